//! The numbers that name things — a segment, a moment of the log, the place of a record.

use std::fmt;

/// The end of counting. Numbers below it can be read back.
const COUNT_END: u64 = 1 << 61;
/// Counting to it takes 36,000 years at a million numbers a second.
const COUNTED_MAX: u64 = 1 << 60;
/// Low enough to leave numbers for later writes.
const KEPT_MAX: u64 = 1 << 59;

/// The number of a segment, as in `000003.seg`.
///
/// Ids grow as segments are made, and are never reused. They do not say where in the log a segment
/// stands (compaction puts a new id between old ones): the MANIFEST does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The lowest invalid segment number: a reader rejects it, and a writer never uses it.
    pub(crate) const END: Self = Self(COUNT_END);
    /// The largest number that a store reaches by counting: see [`Seqno::COUNTED_MAX`].
    pub(crate) const COUNTED_MAX: Self = Self(COUNTED_MAX);
    /// The largest number that a repair keeps.
    pub(crate) const KEPT_MAX: Self = Self(KEPT_MAX);
}

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
    /// The lowest invalid record number: a reader rejects it, and a writer never uses it.
    pub(crate) const END: Self = Self(COUNT_END);
    /// The largest number that a store reaches by counting. A larger one was forged with a valid
    /// checksum: it is used, and `verify` reports it.
    pub(crate) const COUNTED_MAX: Self = Self(COUNTED_MAX);
    /// The largest number that a repair keeps. The repaired store continues from there.
    pub(crate) const KEPT_MAX: Self = Self(KEPT_MAX);

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

/// One course of a store's numbering. Within it, a number names one record only.
///
/// A new store begins a lineage. [`backup::restore`](crate::backup::restore),
/// [`repair`](crate::repair) and the first write to a backup begin another, since numbers may be
/// given to other records or records may be missing. A crash does not: an unclean open skips every
/// number that was possibly used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage(pub(crate) u64);

/// 16 hexadecimal digits.
impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
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
