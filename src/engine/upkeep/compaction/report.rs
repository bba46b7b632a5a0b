//! The decisions, events and results of a compaction.

use std::ops::ControlFlow;
use std::time::Duration;

use super::plan::CompactionRun;
use crate::engine::base::error::Damage;
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::segment::value::Value;

/// The reason why a compaction keeps a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The record is the newest put of its key.
    Live,
    /// A tombstone, or an expired record that becomes one. An older segment may hold a put that it
    /// hides.
    Tombstone {
        /// The nearest older segment outside the run that may hold the key.
        needed_by: SegmentId,
    },
    /// The record expired less than
    /// [`CompactionPolicy::expiry_grace`](crate::CompactionPolicy::expiry_grace) ago, or is kept as
    /// history.
    Expired,
    /// The record is dead, and kept as history; see
    /// [`CompactionPolicy::keep_versions`](crate::CompactionPolicy::keep_versions).
    Version,
    /// This version of logkv does not know the kind of the record.
    Unknown,
}

/// The reason why a compaction drops a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// A later put replaced the record.
    Replaced,
    /// The key was deleted later.
    Deleted,
    /// The record has expired, and hides no older record.
    Expired,
    /// A tombstone that a later record of its key replaced.
    TombstoneReplaced,
    /// A tombstone that hides nothing: no older segment can hold its key.
    TombstoneDone,
}

/// The decision about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The record is copied to the output.
    Keep(Kept),
    /// The record is dropped.
    Drop(Dropped),
}

/// A record, and the decision of a compaction about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The place of the record.
    pub at: Location,
    /// The length of the record in bytes, including padding.
    pub len: u64,
    /// The sequence number of the record.
    pub seq: Seqno,
    /// The key of the record.
    pub key: Value,
    /// Whether the record is a delete.
    pub is_tombstone: bool,
    /// The decision and its reason.
    pub decision: Decision,
}

/// A number of records, and their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of records.
    pub count: u64,
    /// The length of the records in bytes, including padding.
    pub len: u64,
}

impl Tally {
    fn add(&mut self, len: u64) {
        self.count += 1;
        self.len += len;
    }
}

/// The totals of a run's records, by decision and reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Kept: the newest put of its key.
    pub live: Tally,
    /// Kept: tombstones that may hide an older put, and expired records that became tombstones.
    pub tombstones: Tally,
    /// Kept: expired, but within the grace period or kept as history.
    pub expired_kept: Tally,
    /// Kept: dead, as history.
    pub versions: Tally,
    /// Kept: of an unknown kind.
    pub unknown: Tally,
    /// Dropped: replaced by a later put.
    pub replaced: Tally,
    /// Dropped: deleted later.
    pub deleted: Tally,
    /// Dropped: expired.
    pub expired: Tally,
    /// Dropped: tombstones that a later record of the key replaced.
    pub tombstones_replaced: Tally,
    /// Dropped: tombstones that hid nothing.
    pub tombstones_done: Tally,
    /// The older segments that tombstones were kept for, with the number of tombstones, in log
    /// order.
    pub needed_by: Vec<(SegmentId, u64)>,
}

impl Tallies {
    pub(crate) fn add(&mut self, decision: Decision, len: u64) {
        let tally = match decision {
            Decision::Keep(Kept::Live) => &mut self.live,
            Decision::Keep(Kept::Tombstone { needed_by }) => {
                match self.needed_by.iter_mut().find(|(id, _)| *id == needed_by) {
                    Some((_, count)) => *count += 1,
                    None => self.needed_by.push((needed_by, 1)),
                }
                &mut self.tombstones
            }
            Decision::Keep(Kept::Expired) => &mut self.expired_kept,
            Decision::Keep(Kept::Version) => &mut self.versions,
            Decision::Keep(Kept::Unknown) => &mut self.unknown,
            Decision::Drop(Dropped::Replaced) => &mut self.replaced,
            Decision::Drop(Dropped::Deleted) => &mut self.deleted,
            Decision::Drop(Dropped::Expired) => &mut self.expired,
            Decision::Drop(Dropped::TombstoneReplaced) => &mut self.tombstones_replaced,
            Decision::Drop(Dropped::TombstoneDone) => &mut self.tombstones_done,
        };
        tally.add(len);
    }

    /// Returns the total of the kept records.
    #[must_use]
    pub fn kept(&self) -> Tally {
        sum(&[self.live, self.tombstones, self.expired_kept, self.versions, self.unknown])
    }

    /// Returns the total of the dropped records.
    #[must_use]
    pub fn dropped(&self) -> Tally {
        sum(&[self.replaced, self.deleted, self.expired, self.tombstones_replaced, self.tombstones_done])
    }
}

fn sum(tallies: &[Tally]) -> Tally {
    Tally {
        count: tallies.iter().map(|tally| tally.count).sum(),
        len: tallies.iter().map(|tally| tally.len).sum(),
    }
}

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionStage {
    /// The run is planned, and nothing has changed. A crash leaves nothing.
    Planned,
    /// The records are in new files that no MANIFEST lists. A crash leaves orphans, which the next
    /// open removes.
    Copied,
    /// The new files are durable. A crash still leaves only orphans.
    Synced,
    /// MANIFEST lists the new files in place of the old ones. A crash leaves the old files as
    /// orphans.
    Committed,
    /// The old files are removed, and the run is complete.
    Removed,
}

/// An event of a running compaction.
#[derive(Clone, Debug)]
pub enum CompactionEvent<'a> {
    /// A run has reached a stage.
    Reached(CompactionStage, &'a CompactionRun),
    /// A run is complete, and stays even if a later one fails.
    Done(&'a RunReport),
    /// Progress of the whole compaction.
    Progress {
        /// The bytes of records read so far.
        done_len: u64,
        /// The bytes of records that the plan reads.
        total_len: u64,
    },
}

/// A callback for events, which may cancel the compaction.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>;

/// The result of a compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// The completed runs, in log order.
    pub runs: Vec<RunReport>,
    /// The segments that stay as they are because they are damaged. A damaged segment that the
    /// caller named is an error.
    pub left: Vec<LeftAlone>,
    /// The duration of the compaction.
    pub took: Duration,
}

/// A damaged segment that a compaction left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// The segment.
    pub segment: SegmentId,
    /// The offset and kind of the first damage that this compaction found; `None` if the damage was
    /// known before.
    pub met: Option<(u64, Damage)>,
}

/// The result of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// The replaced segments.
    pub inputs: Vec<SegmentId>,
    /// The new segments; empty if no record was kept.
    pub outputs: Vec<SegmentId>,
    /// The length of the replaced files in bytes.
    pub before_len: u64,
    /// The length of the new files in bytes.
    pub after_len: u64,
    /// The totals of the records.
    pub records: Tallies,
}
