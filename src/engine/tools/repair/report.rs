//! What a repair did, and what it had to give up.

use std::ffi::OsString;
use std::ops::Range;

use crate::engine::base::error::Damage;
use crate::engine::base::ids::{SegmentId, Seqno};

/// How far a repair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairProgress {
    /// Bytes that were read and written.
    pub done_len: u64,
    /// Bytes that are to be read and written, about.
    pub total_len: u64,
}

/// What a repair did. The bytes that were given up are nowhere in the repaired store; they are still in the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Why MANIFEST had to be made anew from the segments' headers; `None` when it could be read.
    pub manifest_lost: Option<String>,
    /// Segments that were copied as they are.
    pub copied: Vec<SegmentId>,
    /// Segments whose intact records went into new ones.
    pub salvaged: Vec<SegmentId>,
    /// Segments that MANIFEST does not list and that were taken in, because something that it lists is missing, or it is
    /// missing itself. A delete that compaction had dropped may be undone by them.
    pub unlisted: Vec<SegmentId>,
    /// Segment files that were left out: they are another store's, or nothing in them can be made out.
    pub left_out: Vec<SegmentId>,
    /// Files beside the store's own: they are not in the new directory.
    pub strangers: Vec<OsString>,
    /// Why the file of options was left out; `None` when it was taken along, or there is none.
    pub options_lost: Option<String>,
    /// Records in the repaired store.
    pub record_count: u64,
    /// Records that were in two segments, and are taken once.
    pub duplicate_count: u64,
    /// Records with numbers that no store reaches by counting. They were renumbered after all
    /// others.
    pub renumbered_count: u64,
    /// Without a MANIFEST, the numbers between segments that are in none: records of them were compacted away, or stood in
    /// segments that are gone. Whether segments are missing at the log's end nobody knows.
    pub gaps: Vec<Range<Seqno>>,
    /// What could not be kept, in log order.
    pub given_up: Vec<GivenUp>,
    /// Bytes of the unfinished end of the log, which was left out.
    pub torn_len: u64,
}

impl RepairReport {
    /// Whether the repaired store certainly holds all that the damaged one did.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.given_up.is_empty() && self.left_out.is_empty() && self.manifest_lost.is_none()
    }

    /// Bytes that were given up.
    #[must_use]
    pub fn given_up_len(&self) -> u64 {
        self.given_up.iter().map(|given_up| given_up.range.end - given_up.range.start).sum()
    }
}

/// Bytes of a segment that are in no record that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The segment.
    pub segment: SegmentId,
    /// The bytes in it.
    pub range: Range<u64>,
    /// What is wrong with them.
    pub reason: Reason,
    /// The numbers that the lost records can have had.
    pub seqs: Range<Seqno>,
    /// The records that stood there, as far as is known: from an intact header, or from the segment's hint. Empty where
    /// nothing is known.
    pub lost: Vec<Lost>,
    /// Whether other records of a batch were kept.
    pub splits_batch: bool,
}

/// Why bytes were given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// They are not what was written.
    #[error("{0}")]
    Damaged(Damage),
    /// The file is shorter than MANIFEST says.
    #[error("the file ends before")]
    CutShort,
    /// The file is gone.
    #[error("the file is missing")]
    Missing,
    /// Its file holds another segment.
    #[error("the file holds another segment")]
    Replaced,
    /// The system does not give them.
    #[error("they cannot be read: {0}")]
    Unreadable(String),
}

/// A record that was lost, and what became of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The key's hash.
    pub(crate) hash: u64,
    /// The key, where it can be read: in what is left of the record, or in another one of the same hash.
    pub key: Option<Vec<u8>>,
    /// Whether that is certainly its key, as the segment's hint knows; without one it may be the key that is damaged.
    pub is_certain: bool,
    /// Whether it was a delete, as far as is known.
    pub is_delete: bool,
    /// What the repaired store says of the key.
    pub now: Now,
}

/// What the repaired store says of a key one of whose records was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// What it should: a newer record was kept, with this number. Nothing is lost but history.
    Newer(Seqno),
    /// An older value, of the record with this number.
    Older(Seqno),
    /// Nothing: the key is not there.
    Absent,
}
