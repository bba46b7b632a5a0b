//! The report of a repair.

use std::ffi::OsString;
use std::ops::Range;

use crate::engine::base::error::Damage;
use crate::engine::base::ids::{SegmentId, Seqno};

/// The progress of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairProgress {
    /// The number of bytes read and written so far.
    pub done_len: u64,
    /// The estimated number of bytes to read and write in total.
    pub total_len: u64,
}

/// The result of a repair. Bytes that were given up are not in the repaired store. The old store
/// still holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// The reason why MANIFEST was derived from the segment headers, or `None` if it could be read.
    pub manifest_lost: Option<String>,
    /// Segments that were copied unchanged.
    pub copied: Vec<SegmentId>,
    /// Segments whose intact records were written to new segments.
    pub salvaged: Vec<SegmentId>,
    /// Segments that MANIFEST does not list, and that were used because MANIFEST or a listed
    /// segment is missing. They may hold records whose deletes were compacted away.
    pub unlisted: Vec<SegmentId>,
    /// Segment files that were left out: they belong to another store, or nothing in them is
    /// readable.
    pub left_out: Vec<SegmentId>,
    /// Files that do not belong to the store. They are not in the new directory.
    pub strangers: Vec<OsString>,
    /// The reason why the options file was left out. `None` if it was copied or does not exist.
    pub options_lost: Option<String>,
    /// The number of records in the repaired store.
    pub record_count: u64,
    /// The number of records that were in two segments. Each was kept once.
    pub duplicate_count: u64,
    /// The number of records whose sequence numbers were too large to keep. They were renumbered
    /// after all others.
    pub renumbered_count: u64,
    /// Without MANIFEST: ranges of sequence numbers that no segment covers. Their records were
    /// compacted away, or their segments are missing. Segments missing at the end of the log leave
    /// no gap.
    pub gaps: Vec<Range<Seqno>>,
    /// The bytes that were given up, in log order.
    pub given_up: Vec<GivenUp>,
    /// The length of the torn tail in bytes. It was left out.
    pub torn_len: u64,
}

impl RepairReport {
    /// Returns whether the repaired store certainly holds everything that the old one did.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.given_up.is_empty() && self.left_out.is_empty() && self.manifest_lost.is_none()
    }

    /// Returns the total length of the given-up bytes.
    #[must_use]
    pub fn given_up_len(&self) -> u64 {
        self.given_up.iter().map(|given_up| given_up.range.end - given_up.range.start).sum()
    }
}

/// Bytes of a segment that were given up, because they hold no intact record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The segment.
    pub segment: SegmentId,
    /// The range of bytes in the segment.
    pub range: Range<u64>,
    /// The reason.
    pub reason: Reason,
    /// The possible sequence numbers of the lost records.
    pub seqs: Range<Seqno>,
    /// The lost records that are known from an intact header or from the segment's hint.
    pub lost: Vec<Lost>,
    /// Whether other records of the same batch were kept.
    pub splits_batch: bool,
}

/// The reason why bytes were given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The bytes are damaged.
    #[error("{0}")]
    Damaged(Damage),
    /// The file is shorter than MANIFEST says.
    #[error("the file is too short")]
    CutShort,
    /// The file is missing.
    #[error("the file is missing")]
    Missing,
    /// The file holds another segment.
    #[error("the file holds another segment")]
    Replaced,
    /// The system returned an error for the bytes.
    #[error("they cannot be read: {0}")]
    Unreadable(String),
}

/// A lost record, and the state of its key in the repaired store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub(crate) hash: u64,
    /// The key, if the damaged record or a kept one of the same hash shows it.
    pub key: Option<Vec<u8>>,
    /// Whether the segment's hint confirms the key. Otherwise the key itself may be damaged.
    pub is_certain: bool,
    /// Whether the record was a delete, as far as is known.
    pub is_delete: bool,
    /// The state of the key in the repaired store.
    pub now: Now,
}

/// The state of a key in the repaired store after one of its records was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// A newer record was kept, with this sequence number. Only history is lost.
    Newer(Seqno),
    /// The key has an older value, from the record with this sequence number.
    Older(Seqno),
    /// The key is absent.
    Absent,
}
