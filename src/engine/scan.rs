//! Layer 8: keys in order, with and without their values, as they were at one moment.
//!
//! A merge of the segments' rows, from both ends. Of each segment the next live key of either end is held; whether a
//! record is live is seen from its row's hash and place, without reading it.
#![expect(
    clippy::mutable_key_type,
    reason = "what a value shows never changes, though its mapping's end moves"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use super::format::hint::Row;
use super::keydir::Candidates;
use super::location::{Location, Seqno};
use super::segment::{Record, Rows, Segment};
use super::state::{Frozen, address_of};
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

/// The keys of a range in ascending byte order, from both ends, as they were when this was made, whatever is written
/// and compacted meanwhile. A record that cannot be read is an error in between, and costs nothing but itself. Holds one key
/// for each segment and end, so its memory does not grow with what it gives; files that are compacted away meanwhile give
/// back their disk space when it is dropped.
pub struct Keys(Merge);

/// As [`Keys`], with the values.
pub struct Scan(Merge);

impl Keys {
    pub(crate) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        Merge::new(frozen, range).map(Self)
    }
}

impl Scan {
    pub(crate) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        Merge::new(frozen, range).map(Self)
    }
}

/// The next records of sources, by key and source.
type Heads = BTreeMap<(Value, usize), Record>;

/// One run of rows of one segment, and how much of it is still to come.
struct Source {
    segment: Arc<Segment>,
    rows: Rows,
    left: Range<usize>,
    /// The hash that was looked up last: rows of one key stand together, and a key that is written again and again has
    /// many.
    looked_up: Option<(u64, Candidates)>,
}

/// The end that is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

struct Merge {
    frozen: Arc<Frozen>,
    sources: Vec<Source>,
    /// The next key of each source, from the front and from the back, and which source that is.
    fronts: Heads,
    backs: Heads,
    /// Sources whose next key has to be looked for.
    behind: Vec<(usize, End)>,
    has_begun: [bool; 2],
}

impl Source {
    fn new((segment, rows): (Arc<Segment>, Rows), range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let from = match range.start_bound() {
            Bound::Included(from) => rows.partition_point(&segment, |key| key < from)?,
            Bound::Excluded(from) => rows.partition_point(&segment, |key| key <= from)?,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(to) => rows.partition_point(&segment, |key| key <= to)?,
            Bound::Excluded(to) => rows.partition_point(&segment, |key| key < to)?,
            Bound::Unbounded => rows.len(),
        };
        Ok(Self { segment, rows, left: from..to.max(from), looked_up: None })
    }

    fn is_live(&mut self, frozen: &Frozen, row: Row) -> Result<bool> {
        let address = address_of(&self.segment, row.at);
        if let Some((hash, candidates)) = &self.looked_up
            && *hash == row.hash
        {
            return Ok(candidates.iter().any(|candidate| candidate == address));
        }
        let candidates = frozen.candidates(row.hash)?;
        let is_live = candidates.iter().any(|candidate| candidate == address);
        self.looked_up = Some((row.hash, candidates));
        Ok(is_live)
    }

    /// The next live record of one end.
    fn advance(&mut self, frozen: &Frozen, end: End) -> Option<Result<Record>> {
        loop {
            let index = match end {
                End::Front => self.left.next()?,
                End::Back => self.left.next_back()?,
            };
            let row = self.rows.get(index);
            if row.is_tombstone {
                continue;
            }
            match self.is_live(frozen, row) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => return Some(Err(error)),
            }
            match self.segment.read(row.at) {
                Ok(record) if frozen.state.has_expired(&record) => {}
                read => return Some(read),
            }
        }
    }
}

impl Merge {
    fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let sources = frozen.ordered()?.into_iter().map(|source| Source::new(source, range));
        Ok(Self {
            sources: sources.collect::<Result<_>>()?,
            frozen,
            fronts: BTreeMap::new(),
            backs: BTreeMap::new(),
            behind: Vec::new(),
            has_begun: [false; 2],
        })
    }

    fn next(&mut self, end: End) -> Option<Result<Record>> {
        if !std::mem::replace(&mut self.has_begun[end as usize], true) {
            self.behind.extend((0..self.sources.len()).map(|source| (source, end)));
        }
        if let Some(error) = self.catch_up() {
            return Some(Err(error));
        }
        let (ours, others) = match end {
            End::Front => (&mut self.fronts, &mut self.backs),
            End::Back => (&mut self.backs, &mut self.fronts),
        };
        // Where one end has nothing left, what the other end holds is next.
        let first = |heads: &mut Heads| match end {
            End::Front => heads.pop_first(),
            End::Back => heads.pop_last(),
        };
        let is_ours = match (peek(ours, end), peek(others, end)) {
            (None, None) => return None,
            (Some(ours), Some(others)) if end == End::Front => ours <= others,
            (Some(ours), Some(others)) => ours >= others,
            (ours, None) => ours.is_some(),
            (None, Some(_)) => false,
        };
        let ((_, source), record) = first(if is_ours { ours } else { others })?;
        let refilled = if is_ours == (end == End::Front) { End::Front } else { End::Back };
        self.behind.push((source, refilled));
        Some(Ok(record))
    }

    /// Looks for the next keys of the sources that gave theirs away; the error of a record that cannot be read, if one
    /// stood in the way.
    fn catch_up(&mut self) -> Option<Error> {
        while let Some(&(source, end)) = self.behind.last() {
            match self.sources[source].advance(&self.frozen, end) {
                Some(Ok(record)) => {
                    let heads = if end == End::Front { &mut self.fronts } else { &mut self.backs };
                    heads.insert((record.key(), source), record);
                    self.behind.pop();
                }
                Some(Err(error)) => return Some(error),
                None => {
                    self.behind.pop();
                }
            }
        }
        None
    }
}

/// The head that comes first from `end`.
fn peek(heads: &Heads, end: End) -> Option<&(Value, usize)> {
    match end {
        End::Front => heads.first_key_value(),
        End::Back => heads.last_key_value(),
    }
    .map(|(key, _)| key)
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
