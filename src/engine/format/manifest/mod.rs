//! MANIFEST: the text file that lists the segments of the log, in log order.
//!
//! ```text
//! logkv manifest 1.0
//! store 6b1f0c5e8d7a4b329c0d1e2f3a4b5c6d
//! lineage 51d8a0c2e6f7b394 from 6b1f0c5e8d7a4b32 at 640
//! hash xxh3-64 seed 9e3779b97f4a7c15
//! generation 12
//! next_segment 5
//! next_seq 2051
//! history dropped 640 whole_from 811 at 1795342834652
//! given_up 702
//! segment 000001 base_seq 1 salt 5f3a9c01 headers 64+32 sealed 67108832
//! segment 000004 base_seq 812 salt 0badf00d headers 64+32 active 67108864
//! crc 1a2b3c4d
//! ```
//!
//! `next_seq` is the lowest number that the next record can have. `history` is present once
//! compaction has dropped records, and limits the readable history. A repair may have lost records
//! up to `given_up`. See [`History`].
//!
//! The line of a segment repeats its base_seq, its salt and its header lengths, so that damage to
//! the segment's header loses no record. Its last words give its state. `sealed LEN` is final.
//! `closed LEN` is the end of the log, closed cleanly; later writes append to it. `active CAPACITY`
//! was open in a writer, and recovery finds its length.
//!
//! `crc` is the CRC-32C of all bytes before its line, in hexadecimal. Lines with unknown names are
//! skipped, so that a later minor version can add some.
//!
//! `lineage` names the [`Lineage`] of the store. `from` and `at` give the lineage that it branched
//! from: records with numbers below `at` belong to that one. Both are missing after a repair, since
//! any of those records may be lost. The first lineage has no line; its name is the first half of
//! the store's id.
//!
//! The line `backup` says that the next backup of the store may update the directory. The first
//! write to it removes the line.

mod text;

use super::record;
use super::segment_header::{Layout, StoreId};
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};

/// The limit of numbers that have none of their own. It leaves room to count on without overflow.
const NUMBER_MAX: u64 = 1 << 62;

/// The contents of MANIFEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    pub(crate) lineage: Lineage,
    /// The start of this lineage; `None` for the first one, and after a repair.
    pub(crate) fork: Option<Fork>,
    pub(crate) hash_seed: u64,
    /// A counter of the versions of this file. See [`Manifest::next_generation`].
    pub(crate) generation: u64,
    pub(crate) next_segment: SegmentId,
    pub(crate) next_seq: Seqno,
    /// Whether this is a backup that was not written to.
    pub(crate) is_backup: bool,
    pub(crate) history: History,
    /// The segments, in log order.
    pub(crate) segments: Vec<SegmentLine>,
}

/// The point at which a lineage branched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fork {
    pub(crate) from: Lineage,
    /// Records with lower numbers are the same in both.
    pub(crate) at: Seqno,
}

/// The history that the log still has. Compaction drops replaced records, and a repair gives up
/// damaged ones. All numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// The highest number of a dropped record, or of a clear, which drops all records before it; 0
    /// if none. If the newest record of a key before some time has a higher number, no record of
    /// the key between that record and that time was dropped.
    pub(crate) dropped: Seqno,
    /// The highest number of a record that a repair may have given up; 0 if none.
    pub(crate) given_up: Seqno,
    /// The first number from which the history is complete. Every dropped record had been replaced,
    /// deleted or expired when this record was written.
    pub(crate) whole_from: Seqno,
    /// The time at which the last dropped record was replaced, deleted or expired, in milliseconds
    /// since 1970.
    pub(crate) whole_from_ms: u64,
}

impl History {
    /// Returns this history, each number lowered to the highest that a log with this `next_seq` can
    /// have.
    pub(crate) fn up_to(self, next_seq: Seqno) -> Self {
        let last = next_seq.previous();
        Self {
            dropped: self.dropped.min(last),
            given_up: self.given_up.min(last),
            whole_from: self.whole_from.min(next_seq),
            ..self
        }
    }

    /// Returns the history that is left if what `other` lacks is lost, too.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            dropped: self.dropped.max(other.dropped),
            given_up: self.given_up.max(other.given_up),
            whole_from: self.whole_from.max(other.whole_from),
            whole_from_ms: self.whole_from_ms.max(other.whole_from_ms),
        }
    }

    /// Returns the highest number of a dropped or given-up record; 0 if none.
    pub(crate) fn missing(self) -> Seqno {
        self.dropped.max(self.given_up)
    }
}

/// The line of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentLine {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) layout: Layout,
    pub(crate) extent: SegmentExtent,
}

/// The state and the length of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentExtent {
    /// The segment is final and has this length.
    Sealed(u64),
    /// The end of the log, closed cleanly at this length.
    Closed(u64),
    /// The active segment, with at most this length.
    Active(u64),
}

impl SegmentExtent {
    /// Returns the segment's length, or the maximum length of an active one.
    pub(crate) fn len(&self) -> u64 {
        let (Self::Sealed(len) | Self::Closed(len) | Self::Active(len)) = *self;
        len
    }

    /// Returns whether recovery has to find the end of the segment, whose file has `file_len`
    /// bytes. It does after a crash, and if a closed segment is longer than MANIFEST says, as it is
    /// after an older MANIFEST was put back.
    pub(crate) fn is_unsettled(&self, file_len: u64) -> bool {
        match *self {
            Self::Active(_) => true,
            Self::Closed(len) => file_len > len,
            Self::Sealed(_) => false,
        }
    }
}

impl SegmentLine {
    /// Returns a number above those of all records of this segment, even of those lost in a crash.
    /// No record is shorter than [`record::LEN_MIN`]. The file has `file_len` bytes.
    pub(crate) fn seq_end(&self, file_len: u64) -> Seqno {
        self.base_seq.plus(self.extent.len().max(file_len) / record::LEN_MIN).plus(1)
    }
}

/// Why a text was refused as MANIFEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManifestError {
    /// The text is damaged. The sentence names the line.
    Damaged(String),
    /// The text is intact, but has a format that this version does not support.
    Unsupported(String),
}

impl Manifest {
    /// Returns the MANIFEST of a new lineage that branches off here.
    pub(crate) fn forked(self, lineage: Lineage) -> Self {
        let fork = Some(Fork { from: self.lineage, at: self.next_seq });
        Self { lineage, fork, ..self }
    }

    /// Returns whether this log has all records that `older`, a MANIFEST of the same store, lists.
    pub(crate) fn continues(&self, older: &Self) -> bool {
        let is_before = |fork: Fork| fork.from == older.lineage && older.next_seq <= fork.at;
        older.lineage == self.lineage || self.fork.is_some_and(is_before)
    }

    /// Returns the generation of the next MANIFEST. It only has to differ, so it restarts at the
    /// end of its range: a large number must not block writes.
    pub(crate) fn next_generation(&self) -> u64 {
        if self.generation < NUMBER_MAX { self.generation.saturating_add(1) } else { 1 }
    }

    /// Returns the counters that are higher than a store can reach by counting, each with its name.
    pub(crate) fn uncounted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let History { dropped, whole_from, given_up, .. } = self.history;
        let history = [("dropped", dropped), ("whole_from", whole_from), ("given_up", given_up)];
        let seqs = [("next_seq", self.next_seq)].into_iter().chain(history);
        let seqs = seqs.filter(|(_, seq)| *seq > Seqno::COUNTED_MAX);
        let segment = Some(self.next_segment).filter(|id| *id > SegmentId::COUNTED_MAX);
        segment.map(|id| ("next_segment", id.0)).into_iter().chain(seqs.map(|(name, seq)| (name, seq.0)))
    }
}
