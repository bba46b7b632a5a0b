//! What a compaction decides of each record, tells while it runs, and comes to.

use std::time::Duration;

use super::plan::CompactionRun;
use crate::engine::base::error::Damage;
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::segment::value::Value;

/// Why a compaction keeps a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is its key's newest put.
    Live,
    /// A tombstone, or an expired record that becomes one: this older segment may hold a put that it hides.
    Tombstone {
        /// The nearest older segment that is not compacted along, and may hold the key.
        needed_by: SegmentId,
    },
    /// It has expired less than [`CompactionPolicy::expiry_grace`](crate::CompactionPolicy::expiry_grace) ago, or is kept
    /// for those who look back.
    Expired,
    /// It is dead, and kept for those who look back: see
    /// [`CompactionPolicy::keep_versions`](crate::CompactionPolicy::keep_versions).
    Version,
    /// It is of a kind that this version does not know.
    Unknown,
}

/// Why a compaction drops a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// A later put took its place.
    Replaced,
    /// Its key was deleted since.
    Deleted,
    /// It has expired, and nothing older is left of its key.
    Expired,
    /// A tombstone that a later record of its key made pointless.
    TombstoneReplaced,
    /// A tombstone that hides nothing any more: no older segment can hold its key.
    TombstoneDone,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes into the new segment.
    Keep(Kept),
    /// It goes.
    Drop(Dropped),
}

/// A record, and what a compaction would do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Where it stands.
    pub at: Location,
    /// What it takes in bytes, padding included.
    pub len: u64,
    /// Its number.
    pub seq: Seqno,
    /// Its key.
    pub key: Value,
    /// Whether it is a delete.
    pub is_tombstone: bool,
    /// What would become of it, and why.
    pub decision: Decision,
}

/// Records, and the bytes that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub len: u64,
}

impl Tally {
    fn add(&mut self, len: u64) {
        self.count += 1;
        self.len += len;
    }
}

/// What became of a run's records, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Kept: each its key's newest put.
    pub live: Tally,
    /// Kept: tombstones that still hide something, and expired records that became such.
    pub tombstones: Tally,
    /// Kept: expired a short time ago.
    pub expired_kept: Tally,
    /// Kept: dead, for those who look back.
    pub versions: Tally,
    /// Kept: of a kind that this version does not know.
    pub unknown: Tally,
    /// Dropped: a later put took their place.
    pub replaced: Tally,
    /// Dropped: their keys were deleted.
    pub deleted: Tally,
    /// Dropped: expired.
    pub expired: Tally,
    /// Dropped: tombstones that later records made pointless.
    pub tombstones_replaced: Tally,
    /// Dropped: tombstones that hid nothing any more.
    pub tombstones_done: Tally,
    /// For which older segments tombstones were kept, and how many, in log order.
    pub needed_by: Vec<(SegmentId, u64)>,
}

impl Tallies {
    /// Counts a record of `len` bytes.
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

    /// All that was kept.
    #[must_use]
    pub fn kept(&self) -> Tally {
        sum(&[self.live, self.tombstones, self.expired_kept, self.versions, self.unknown])
    }

    /// All that was dropped.
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

/// How far a compaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionStage {
    /// A run is about to be copied; nothing was changed yet. A crash leaves nothing.
    Planned,
    /// Its records are in new files, which no MANIFEST lists. A crash leaves orphans, which the next open removes.
    Copied,
    /// The new files are durable. A crash still leaves orphans alone.
    Synced,
    /// MANIFEST lists the new files in place of the old ones. A crash leaves the old ones as orphans.
    Committed,
    /// The old files are gone: the run is done.
    Removed,
}

/// What a compaction tells while it runs.
#[derive(Clone, Debug)]
pub enum CompactionEvent<'a> {
    /// A run has reached a stage.
    Reached(CompactionStage, &'a CompactionRun),
    /// A run is finished, and is kept even if a later one fails.
    Done(&'a RunReport),
    /// Bytes of records read so far, of all that the plan reads.
    Progress {
        /// Read so far.
        done_len: u64,
        /// To be read.
        total_len: u64,
    },
}

/// What a compaction came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// The runs that were done, in log order.
    pub runs: Vec<RunReport>,
    /// The segments that stay as they are for damage in them, unless they were named: that is an error.
    pub left: Vec<LeftAlone>,
    /// How long it took.
    pub took: Duration,
}

/// A segment that a compaction goes around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// The segment.
    pub segment: SegmentId,
    /// Where the first damage is that this compaction met, and what it is; `None` when it was known before.
    pub met: Option<(u64, Damage)>,
}

/// What one run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// The segments that are gone.
    pub inputs: Vec<SegmentId>,
    /// The segments in their place; none when nothing was kept.
    pub outputs: Vec<SegmentId>,
    /// Bytes of the files before, headers included.
    pub before_len: u64,
    /// Bytes of the files after, headers included.
    pub after_len: u64,
    /// What became of the records.
    pub records: Tallies,
}
