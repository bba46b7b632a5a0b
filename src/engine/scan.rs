//! Layer 8: the keys in order, with and without their values, as they were at one moment.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use super::keydir::{Address, Snapshot};
use super::location::{Location, Seqno};
use super::segment::Record;
use super::state::{SegmentSet, State};
use super::value::Value;
use crate::error::{Error, Result};

/// A key, and what its newest record says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key.
    pub key: Value,
    /// Where its newest record stands.
    pub location: Location,
    /// What that record takes, in bytes, padding included.
    pub len: u64,
    /// The value's length in bytes, as stored.
    pub value_len: u64,
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
    fn of(record: &Record) -> Self {
        Self {
            key: record.key(),
            location: record.location,
            len: record.frame.len,
            value_len: record.frame.value_len,
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

/// The keys of a range in ascending byte order, from both ends. It shows the store as it was when it was made, whatever
/// is written meanwhile; records that cannot be read come first, as errors, and cost nothing but themselves.
pub struct Keys(Ordered);

/// As [`Keys`], with the values.
pub struct Scan(Ordered);

struct Ordered {
    /// Keeps the segments, and so the keys below, alive.
    set: Arc<SegmentSet>,
    state: Arc<State>,
    failures: std::vec::IntoIter<Error>,
    keys: std::vec::IntoIter<(Value, Address)>,
}

impl Keys {
    pub(crate) fn new(state: &Arc<State>, snapshot: &Snapshot, range: &impl RangeBounds<[u8]>) -> Self {
        Self(Ordered::new(state, snapshot, range))
    }
}

impl Scan {
    pub(crate) fn new(state: &Arc<State>, snapshot: &Snapshot, range: &impl RangeBounds<[u8]>) -> Self {
        Self(Ordered::new(state, snapshot, range))
    }
}

impl Ordered {
    /// Reads and sorts the keys of the range: a pass over all keys of the store.
    fn new(state: &Arc<State>, snapshot: &Snapshot, range: &impl RangeBounds<[u8]>) -> Self {
        // After the snapshot: a slot's segment was in the set before the slot was.
        let set = state.segments();
        let (mut keys, mut failures) = (Vec::new(), Vec::new());
        for address in snapshot.addresses() {
            let found = address.map(|address| read(&set, address).map(|record| (record, address)));
            match found {
                Ok(Some((Ok(record), address))) => {
                    let key = record.key();
                    if range.contains(&*key) {
                        keys.push((key, address));
                    }
                }
                Ok(Some((Err(error), _))) | Err(error) => failures.push(error),
                Ok(None) => {}
            }
        }
        keys.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self { set, state: Arc::clone(state), failures: failures.into_iter(), keys: keys.into_iter() }
    }

    fn record(&self, address: Address) -> Option<Result<Record>> {
        match read(&self.set, address)? {
            Ok(record) if self.state.has_expired(&record) => None,
            read => Some(read),
        }
    }

    fn next(&mut self) -> Option<Result<Record>> {
        if let Some(failure) = self.failures.next() {
            return Some(Err(failure));
        }
        while let Some((_, address)) = self.keys.next() {
            if let Some(record) = self.record(address) {
                return Some(record);
            }
        }
        None
    }

    fn next_back(&mut self) -> Option<Result<Record>> {
        if let Some(failure) = self.failures.next() {
            return Some(Err(failure));
        }
        while let Some((_, address)) = self.keys.next_back() {
            if let Some(record) = self.record(address) {
                return Some(record);
            }
        }
        None
    }
}

fn read(set: &SegmentSet, address: Address) -> Option<Result<Record>> {
    set.locate(address).map(|(segment, at)| segment.read(at))
}

impl Iterator for Keys {
    type Item = Result<KeyEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|read| read.map(|record| KeyEntry::of(&record)))
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|read| read.map(|record| KeyEntry::of(&record)))
    }
}

impl Iterator for Scan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|read| read.and_then(Entry::of))
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|read| read.and_then(Entry::of))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("left", &self.0.keys.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("left", &self.0.keys.len()).finish_non_exhaustive()
    }
}
