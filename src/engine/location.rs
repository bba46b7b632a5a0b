//! Layer 0: the numbers that name things — a segment, a moment of the log, the place of a record.

use std::fmt;

/// The number of a segment, as in `000003.seg`.
///
/// Ids grow as segments are made, and are never reused. They do not say where in the log a segment
/// stands (compaction puts a new id between old ones): the MANIFEST does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The sequence number of a record: one counter for the whole store, one number a record, starting at 1.
///
/// Of two records of one key the higher number is the newer one, whatever any clock said. A number is never
/// used twice, not even after a crash: an unclean open leaves out every number that could have been handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seqno(pub u64);

impl Seqno {
    /// The largest number that is believed of a file: no store ever counts so far.
    pub(crate) const BELIEVED_MAX: Self = Self(1 << 62);

    /// The number `count` places later.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The number just before this one; that of the first is 0, which no record has.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seqno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record stands: the segment, and the byte at which its header starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The segment that holds the record.
    pub segment: SegmentId,
    /// Bytes from the start of the segment's file to the record's header; a multiple of 8.
    pub offset: u64,
}

/// `3:0x00003a`: segment, colon, offset.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#08x}", self.segment, self.offset)
    }
}
