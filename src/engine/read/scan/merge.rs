//! The merge of segments' rows, from both ends.
#![expect(
    clippy::mutable_key_type,
    reason = "what a value shows never changes, though its mapping's end moves"
)]

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::format::hint::Row;
use crate::engine::keydir::Candidates;
use crate::engine::segment::value::Value;
use crate::engine::segment::{Record, Rows, Segment};
use crate::engine::state::{Frozen, address_of};

/// How many rows are looked at together, at first and at most. Their places in the index and their records are scattered:
/// looked at one by one, each would be waited for.
const AHEAD: (usize, usize) = (4, 32);

/// One run of rows of one segment, and how much of it is still to come.
struct Source {
    segment: Arc<Segment>,
    rows: Rows,
    left: Range<usize>,
    /// Live rows that were looked at, from either end: they come before what is left there.
    ahead: [VecDeque<Row>; 2],
    /// How many rows are looked at the next time: few for who wants one key alone.
    stride: usize,
    /// The hash that was looked up last: rows of one key stand together, and a key that is written again and again has
    /// many.
    looked_up: Option<(u64, Candidates)>,
}

/// The end that is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

/// What is still to come of a range, from both ends.
pub(super) struct Merge {
    frozen: Arc<Frozen>,
    /// The time at which expiry is judged, in milliseconds since 1970: keys that expire together are
    /// shown together, or not at all.
    at_ms: u64,
    sources: Vec<Source>,
    /// How far each source has come, from the front and from the back.
    fronts: BTreeMap<Place, Head>,
    backs: BTreeMap<Place, Head>,
    /// Sources whose next key has to be looked for.
    behind: Vec<(usize, End)>,
    has_begun: [bool; 2],
    /// What cannot be given, as nobody knows where it belongs: told first.
    unnamed: Vec<Error>,
}

/// Where a source stands: at which key. Its number parts it from a source that has a dead record of the same key.
type Place = (Value, usize);

/// What a source holds at its place.
enum Head {
    Live(Record),
    /// Nothing: it has only come past dead records, of which there may be millions before its next key.
    Passed,
}

impl Source {
    fn new((segment, rows): (Arc<Segment>, Rows), range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let left = rows.range(&segment, range)?;
        Ok(Self { segment, rows, left, ahead: Default::default(), stride: AHEAD.0, looked_up: None })
    }

    fn is_live(&mut self, frozen: &Frozen, row: Row) -> Result<bool> {
        if row.is_tombstone {
            return Ok(false);
        }
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

    /// The next live record of one end, or a place on the way there.
    fn advance(&mut self, frozen: &Frozen, now_ms: u64, end: End) -> Option<Result<(Value, Head)>> {
        loop {
            if let Some(row) = self.next_row(end) {
                return Some(self.segment.read(row.at).map(|record| {
                    let key = record.key();
                    (key, if record.is_past(now_ms) { Head::Passed } else { Head::Live(record) })
                }));
            }
            let passed = match self.look_ahead(frozen, end)? {
                Ok(last) if self.ahead[end as usize].is_empty() => self.segment.read(last.at),
                Ok(_) => continue,
                Err(error) => return Some(Err(error)),
            };
            match passed {
                Ok(record) => return Some(Ok((record.key(), Head::Passed))),
                // Nobody asks for a dead record, damaged or not; it has no key to stop at.
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next live row of one end, if it was looked at already.
    fn next_row(&mut self, end: End) -> Option<Row> {
        let other = if end == End::Front { End::Back } else { End::Front };
        match self.ahead[end as usize].pop_front() {
            None if self.left.is_empty() => self.ahead[other as usize].pop_back(),
            row => row,
        }
    }

    /// Looks at the next rows of one end, for live ones; the last that was looked at, or `None` when none is left.
    fn look_ahead(&mut self, frozen: &Frozen, end: End) -> Option<Result<Row>> {
        let count = self.stride.min(self.left.len());
        self.stride = (self.stride * 2).min(AHEAD.1);
        let rows: Vec<Row> = match end {
            End::Front => self.left.by_ref().take(count).map(|index| self.rows.get(index)).collect(),
            End::Back => self.left.by_ref().rev().take(count).map(|index| self.rows.get(index)).collect(),
        };
        rows.iter().for_each(|row| frozen.prefetch(row.hash));
        for &row in &rows {
            match self.is_live(frozen, row) {
                Ok(true) => {
                    self.segment.prefetch(row.at, row.len);
                    self.ahead[end as usize].push_back(row);
                }
                Ok(false) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        rows.last().copied().map(Ok)
    }
}

impl Merge {
    pub(super) fn new(frozen: Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let sources = frozen.ordered()?.into_iter().map(|source| Source::new(source, range));
        Ok(Self {
            unnamed: frozen.unnamed()?,
            sources: sources.collect::<Result<_>>()?,
            at_ms: frozen.state.now_ms(),
            frozen,
            fronts: BTreeMap::new(),
            backs: BTreeMap::new(),
            behind: Vec::new(),
            has_begun: [false; 2],
        })
    }

    /// The time at which expiry is judged, in milliseconds since 1970.
    pub(super) fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// What comes next from `end`.
    pub(super) fn next(&mut self, end: End) -> Option<Result<Record>> {
        if let Some(error) = self.unnamed.pop() {
            return Some(Err(error));
        }
        if !std::mem::replace(&mut self.has_begun[end as usize], true) {
            self.behind.extend((0..self.sources.len()).map(|source| (source, end)));
        }
        loop {
            if let Some(error) = self.catch_up() {
                return Some(Err(error));
            }
            if let Head::Live(record) = self.take_next(end)? {
                return Some(Ok(record));
            }
        }
    }

    /// Takes what comes next from `end`; its source is behind then.
    fn take_next(&mut self, end: End) -> Option<Head> {
        let (ours, others) = match end {
            End::Front => (&mut self.fronts, &mut self.backs),
            End::Back => (&mut self.backs, &mut self.fronts),
        };
        // Where one end has nothing left, what the other end holds is next.
        let is_ours = match (peek(ours, end), peek(others, end)) {
            (None, None) => return None,
            (Some(ours), Some(others)) if end == End::Front => ours <= others,
            (Some(ours), Some(others)) => ours >= others,
            (ours, None) => ours.is_some(),
            (None, Some(_)) => false,
        };
        let heads = if is_ours { ours } else { others };
        let ((_, source), head) = match end {
            End::Front => heads.pop_first(),
            End::Back => heads.pop_last(),
        }?;
        let refilled = if is_ours == (end == End::Front) { End::Front } else { End::Back };
        self.behind.push((source, refilled));
        Some(head)
    }

    /// Looks for the next keys of the sources that gave theirs away; the error of a record that cannot be read, if one
    /// stood in the way.
    fn catch_up(&mut self) -> Option<Error> {
        while let Some(&(source, end)) = self.behind.last() {
            match self.sources[source].advance(&self.frozen, self.at_ms, end) {
                Some(Ok((key, head))) => {
                    let heads = if end == End::Front { &mut self.fronts } else { &mut self.backs };
                    heads.insert((key, source), head);
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

/// The place that comes first from `end`.
fn peek(heads: &BTreeMap<Place, Head>, end: End) -> Option<&Place> {
    match end {
        End::Front => heads.first_key_value(),
        End::Back => heads.last_key_value(),
    }
    .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store, Sync};

    /// Keys 0 to `count`, each written twice, the first time in a segment of its own.
    fn written_twice(dir: &std::path::Path, count: u32) -> Store {
        let store =
            Store::open_with(dir, Options::new().sync(Sync::Never).background(false)).expect("a store");
        for round in ["first", "second"] {
            for n in 0..count {
                store.put(n.to_be_bytes(), round).expect("put");
            }
            store.rotate().expect("sealed");
        }
        store
    }

    #[test]
    fn the_first_key_costs_no_walk_over_all_dead_records() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = written_twice(dir.path(), 1000);
        let mut keys = store.keys(..).expect("keys");
        assert_eq!(*keys.next().expect("one").expect("read").key, [0; 4]);
        assert_eq!(keys.0.sources[0].left, AHEAD.0..1000);
        assert_eq!(*keys.next_back().expect("one").expect("read").key, 999_u32.to_be_bytes());
        assert_eq!(keys.0.sources[0].left, AHEAD.0..1000 - 2 * AHEAD.0);
    }

    #[test]
    fn keys_whose_dead_records_are_places_to_stop_at_come_once_from_both_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = written_twice(dir.path(), 1000);
        let mut keys = store.keys(..).expect("keys");
        let mut found = Vec::new();
        while let Some(front) = keys.next() {
            found.push(front.expect("read").key);
            found.extend(keys.next_back().map(|back| back.expect("read").key));
        }
        found.sort();
        let found: Vec<_> = found.iter().map(|key| key.to_vec()).collect();
        let expected: Vec<_> = (0..1000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(found, expected);
    }
}
