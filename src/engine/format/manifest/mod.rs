//! MANIFEST: the text file that says which segments are the log, in log order.
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
//! `next_seq` is the lowest possible number of the next record. `history` is there if compaction
//! dropped records or a repair gave some up, and limits the readable history. A repair may have
//! given up records up to `given_up`: see [`History`]. A segment's line repeats its base_seq, salt
//! and header lengths, so that a damaged segment header costs nothing but itself. The last word says what the file is:
//! `sealed LEN` — final; `closed LEN` — the log's end, closed cleanly at that length, to be appended to; `active
//! CAPACITY` — a writer has it open, or died with it: its length is for recovery to find. `crc` is the CRC-32C of
//! every byte before its line, in hexadecimal. Lines of unknown names are skipped, so that a later minor version can add some.
//!
//! `lineage` names the course of the store's numbering, and the lineage it branched from: records
//! with lower numbers belong to that one. After a repair `from` is missing, since any of them may
//! be lost. Without the line, it is the first lineage, named by the first half of the store's id.
//!
//! A line `backup` says that the directory is one that the store's next backup may be put into; the first write to it as to
//! a store takes the line out.

mod text;

use super::record;
use super::segment_header::{Layout, StoreId};
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};

/// The largest number accepted without another limit: the numbers after it must not overflow.
const NUMBER_MAX: u64 = 1 << 62;

/// What MANIFEST says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    pub(crate) lineage: Lineage,
    /// Where this lineage branched off; `None` for the first one, and after a repair.
    pub(crate) fork: Option<Fork>,
    pub(crate) hash_seed: u64,
    /// Counts the versions of this file, see [`Manifest::next_generation`].
    pub(crate) generation: u64,
    pub(crate) next_segment: SegmentId,
    pub(crate) next_seq: Seqno,
    /// Whether this is a backup, and not a store that is written to.
    pub(crate) is_backup: bool,
    pub(crate) history: History,
    /// In log order.
    pub(crate) segments: Vec<SegmentLine>,
}

/// The lineage that another one branched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fork {
    pub(crate) from: Lineage,
    /// Records before this number are the same in both.
    pub(crate) at: Seqno,
}

/// The history that the log still has. Compaction drops replaced records, and a repair gives up
/// damaged ones. All numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// The greatest number of a record that was dropped, or of a clear, which drops all before it; 0: nothing was. Of a key
    /// whose newest record before some moment has a greater one, nothing between the two was dropped.
    pub(crate) dropped: Seqno,
    /// The highest number of a record that a repair may have given up; 0: none was.
    pub(crate) given_up: Seqno,
    /// From this number on the log tells what every key was: whatever was dropped had been replaced, deleted or expired when
    /// this record was written.
    pub(crate) whole_from: Seqno,
    /// The time of that: when the last of what was dropped was replaced, deleted, or expired, in milliseconds since 1970.
    pub(crate) whole_from_ms: u64,
}

impl History {
    /// Lowers each number to the highest that a log with this `next_seq` can have.
    pub(crate) fn up_to(self, next_seq: Seqno) -> Self {
        let last = next_seq.previous();
        Self {
            dropped: self.dropped.min(last),
            given_up: self.given_up.min(last),
            whole_from: self.whole_from.min(next_seq),
            ..self
        }
    }

    /// What can be told when `other` was forgotten, too.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            dropped: self.dropped.max(other.dropped),
            given_up: self.given_up.max(other.given_up),
            whole_from: self.whole_from.max(other.whole_from),
            whole_from_ms: self.whole_from_ms.max(other.whole_from_ms),
        }
    }

    /// The highest number of a record that was dropped or given up; 0: none was.
    pub(crate) fn missing(self) -> Seqno {
        self.dropped.max(self.given_up)
    }
}

/// What MANIFEST says of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentLine {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) layout: Layout,
    pub(crate) extent: Extent,
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It is final, and this long.
    Sealed(u64),
    /// The log's end, closed cleanly at this length.
    Closed(u64),
    /// Being appended to, up to this length at most.
    Active(u64),
}

impl Extent {
    /// The segment's length, or the greatest that it may have while it is appended to.
    pub(crate) fn len(&self) -> u64 {
        let (Self::Sealed(len) | Self::Closed(len) | Self::Active(len)) = *self;
        len
    }

    /// Whether the segment's end has to be found, when its file is `file_len` bytes long: a writer has it open or died with
    /// it, or, although it was closed, there is more of it than MANIFEST knows, as when an older MANIFEST was put back.
    pub(crate) fn is_unsettled(&self, file_len: u64) -> bool {
        match *self {
            Self::Active(_) => true,
            Self::Closed(len) => file_len > len,
            Self::Sealed(_) => false,
        }
    }
}

impl SegmentLine {
    /// The first number that no record of this segment has, however many of them a crash took: none is shorter than
    /// [`record::LEN_MIN`]. `file_len` is what there is of it.
    pub(crate) fn seq_end(&self, file_len: u64) -> Seqno {
        let (Extent::Active(len) | Extent::Closed(len) | Extent::Sealed(len)) = self.extent;
        self.base_seq.plus(len.max(file_len) / record::LEN_MIN).plus(1)
    }
}

/// Why a text was not taken for a MANIFEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManifestError {
    /// Not as it was written: a sentence that names the line.
    Damaged(String),
    /// Intact, and of a format that this version must not read.
    Unsupported(String),
}

impl Manifest {
    /// The MANIFEST of a new lineage that branches off here.
    pub(crate) fn forked(self, lineage: Lineage) -> Self {
        let fork = Some(Fork { from: self.lineage, at: self.next_seq });
        Self { lineage, fork, ..self }
    }

    /// Whether this log has all that `older`, a MANIFEST of the same store, lists.
    pub(crate) fn continues(&self, older: &Self) -> bool {
        let is_before = |fork: Fork| fork.from == older.lineage && older.next_seq <= fork.at;
        older.lineage == self.lineage || self.fork.is_some_and(is_before)
    }

    /// The next MANIFEST's generation. It only has to differ, so it restarts at the end of its
    /// range: a large one must not block writes.
    pub(crate) fn next_generation(&self) -> u64 {
        if self.generation < NUMBER_MAX { self.generation.saturating_add(1) } else { 1 }
    }

    /// The numbers that no store reaches by counting, each with its name.
    pub(crate) fn uncounted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let History { dropped, whole_from, given_up, .. } = self.history;
        let history = [("dropped", dropped), ("whole_from", whole_from), ("given_up", given_up)];
        let seqs = [("next_seq", self.next_seq)].into_iter().chain(history);
        let seqs = seqs.filter(|(_, seq)| *seq > Seqno::COUNTED_MAX);
        let segment = Some(self.next_segment).filter(|id| *id > SegmentId::COUNTED_MAX);
        segment.map(|id| ("next_segment", id.0)).into_iter().chain(seqs.map(|(name, seq)| (name, seq.0)))
    }
}
