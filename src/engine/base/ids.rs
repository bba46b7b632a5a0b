//! Numbers that name segments, records and lineages.

use std::fmt;

/// The end of all counters. Readers refuse this number and larger ones.
const COUNT_END: u64 = 1 << 61;
/// Counting this far takes 36,000 years at a million numbers per second.
const COUNTED_MAX: u64 = 1 << 60;
/// The largest number that a repair keeps. It leaves numbers for later writes.
const KEPT_MAX: u64 = 1 << 59;

/// The number of a segment, as in `000003.seg`.
///
/// Numbers grow as segments are created and are never reused. They do not give the order of the
/// segments in the log, since compaction puts new segments between old ones. MANIFEST gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The lowest invalid segment number. Readers refuse it, and writers never use it.
    pub(crate) const END: Self = Self(COUNT_END);
    /// The largest number that a store reaches by counting. See [`Seqno::COUNTED_MAX`].
    pub(crate) const COUNTED_MAX: Self = Self(COUNTED_MAX);
    /// The largest number that a repair keeps.
    pub(crate) const KEPT_MAX: Self = Self(KEPT_MAX);
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The sequence number of a record. One counter numbers all records of a store, from 1.
///
/// Of two records of a key, the one with the higher number is newer, whatever the clock said. A
/// number is never reused, not even after a crash: recovery skips every number that may have been
/// given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seqno(pub u64);

impl Seqno {
    /// The lowest invalid record number. Readers refuse it, and writers never use it.
    pub(crate) const END: Self = Self(COUNT_END);
    /// The largest number that a store reaches by counting. A larger one was forged with a valid
    /// checksum. The store uses it, and `verify` reports it.
    pub(crate) const COUNTED_MAX: Self = Self(COUNTED_MAX);
    /// The largest number that a repair keeps. The repaired store continues from there.
    pub(crate) const KEPT_MAX: Self = Self(KEPT_MAX);

    /// Returns the number `count` higher.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// Returns the number before this one; 0, which no record has, before the first.
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

/// The name of one unbroken numbering of a store's records. Within a lineage, a number names only
/// one record.
///
/// A new store begins a lineage. [`backup::restore`](crate::backup::restore),
/// [`repair`](crate::repair) and the first write to a backup begin another, because a number may
/// then name another record, and records may be missing. A crash does not: recovery skips every
/// number that may have been given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage(pub(crate) u64);

/// 16 hexadecimal digits.
impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The location of a record: its segment, and the offset of its header.
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
