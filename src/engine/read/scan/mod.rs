//! Keys in order, with and without their values, as they were at one moment.
//!
//! A merge of the segments' rows, from both ends. Whether a record is live follows from its row's hash
//! and offset, without reading it.

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

/// A key, and what its newest record says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key.
    pub key: Value,
    /// Where its newest record stands.
    pub location: Location,
    /// What that record takes, in bytes, padding included.
    pub len: u64,
    /// The value's length in bytes; of one that is compressed, as its record says.
    pub value_len: u64,
    /// What the value takes in the record, in bytes: fewer, where it is compressed.
    pub stored_len: u64,
    /// The record's number.
    pub seq: Seqno,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: u64,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, and what its record says.
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

/// The keys of a range in ascending byte order, from both ends, as they were when this was made, whatever is written
/// and compacted meanwhile, and whatever expires. A record that cannot be read is an error in between, and costs nothing but itself. Holds one key
/// and some places for each segment and end, so its memory does not grow with what it gives; files that are compacted away
/// meanwhile give back their disk space when it is dropped.
pub struct Keys(Live);

/// As [`Keys`], with the values.
pub struct Scan(Live);

impl Keys {
    pub(crate) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        Live::new(&frozen, range).map(Self)
    }

    /// The time at which expiry is judged, in milliseconds since 1970.
    pub(crate) fn at_ms(&self) -> u64 {
        self.0.at_ms()
    }
}

impl Scan {
    pub(crate) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        Live::new(&frozen, range).map(Self)
    }

    /// The time at which expiry is judged, in milliseconds since 1970.
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
