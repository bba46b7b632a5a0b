//! Ordered scans of a snapshot, with and without values.
//!
//! A scan merges the sorted rows of the segments, from both ends. The hash and offset in a row show
//! whether its record is live, without reading the record.

mod live;

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use self::live::Live;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::read::merge::End;
use crate::engine::segment::Record;
use crate::engine::segment::value::Value;
use crate::engine::state::frozen::Frozen;

/// A key and the facts of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key.
    pub key: Value,
    /// The place of the record.
    pub location: Location,
    /// The length of the record in bytes, including padding.
    pub len: u64,
    /// The length of the value in bytes, before compression.
    pub value_len: u64,
    /// The length of the stored value in bytes, after compression.
    pub stored_len: u64,
    /// The sequence number of the record.
    pub seq: Seqno,
    /// The time of the write, in milliseconds since 1970.
    pub time_ms: u64,
    /// The time of expiry, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key and the facts of its record.
    pub meta: KeyEntry,
    /// The value.
    pub value: Value,
}

impl KeyEntry {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            key: record.key(),
            location: record.location,
            len: record.frame.len,
            value_len: record.raw_len(),
            stored_len: record.frame.value_len,
            seq: record.header.seq,
            time_ms: record.header.time_ms,
            expires_ms: record.expires_ms,
        }
    }
}

impl Entry {
    pub(crate) fn of(record: Record) -> Result<Self> {
        Ok(Self { meta: KeyEntry::of(&record), value: record.into_value()? })
    }
}

/// A double-ended iterator over the keys of a range, in ascending byte order.
///
/// It shows the keys as they were when it was created, whatever is written or compacted later, and
/// uses one time for expiry. An unreadable record is one error, and the next keys follow. The
/// memory depends only on the number of segments. Files that are compacted later take disk space
/// until the iterator is dropped.
pub struct Keys(Live);

/// A double-ended iterator over the keys and values of a range; see [`Keys`].
pub struct Scan(Live);

impl Keys {
    pub(crate) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        Live::new(&frozen, range).map(Self)
    }

    /// Returns the time used for expiry, in milliseconds since 1970.
    pub(crate) fn at_ms(&self) -> u64 {
        self.0.at_ms()
    }
}

impl Scan {
    pub(crate) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        Live::new(&frozen, range).map(Self)
    }

    /// Returns the time used for expiry, in milliseconds since 1970.
    pub(crate) fn at_ms(&self) -> u64 {
        self.0.at_ms()
    }
}

impl Iterator for Keys {
    type Item = Result<KeyEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(End::Front).map(|read| read.map(|record| KeyEntry::of(&record)))
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next(End::Back).map(|read| read.map(|record| KeyEntry::of(&record)))
    }
}

impl Iterator for Scan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(End::Front).map(|read| read.and_then(Entry::of))
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next(End::Back).map(|read| read.and_then(Entry::of))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}
