//! A double-ended iterator over the live records of a range.

use std::collections::VecDeque;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::format::hint::HintRow;
use crate::engine::keydir::Candidates;
use crate::engine::read::merge::{End, Merge, MergeRun};
use crate::engine::segment::value::Value;
use crate::engine::segment::{Record, Segment, SortedRows};
use crate::engine::state::address_of;
use crate::engine::state::frozen::Frozen;

/// The fewest rows that are examined together.
const LOOKAHEAD_MIN: usize = 4;
/// The most rows that are examined together. Their index slots and records are scattered in memory,
/// and a prefetch loads them in parallel.
const LOOKAHEAD_MAX: usize = 32;

/// The live rows of one segment.
struct LiveRun {
    frozen: Arc<Frozen>,
    at_ms: u64,
    segment: Arc<Segment>,
    rows: SortedRows,
    /// The rows not yet examined.
    left: Range<usize>,
    /// The live rows that were examined, for each end. They come before the rows in `left`.
    ahead: [VecDeque<HintRow>; 2],
    /// The number of rows to examine next. It starts low, since the caller may want one key only.
    stride: usize,
    /// The last hash that was looked up. A key that was often overwritten has many rows in
    /// sequence.
    looked_up: Option<(u64, Candidates)>,
}

/// The item of a run at a key.
enum Head {
    Live(Record),
    /// A dead record. The merge may have to switch runs here, since millions may follow.
    Dead,
}

impl LiveRun {
    fn is_live(&mut self, row: HintRow) -> Result<bool> {
        if row.is_tombstone {
            return Ok(false);
        }
        let address = address_of(&self.segment, row.at);
        if let Some((hash, candidates)) = &self.looked_up
            && *hash == row.hash
        {
            return Ok(candidates.iter().any(|candidate| candidate == address));
        }
        let candidates = self.frozen.candidates(row.hash)?;
        let is_live = candidates.iter().any(|candidate| candidate == address);
        self.looked_up = Some((row.hash, candidates));
        Ok(is_live)
    }

    /// Returns the next live row from `end`, if it was examined already.
    fn next_row(&mut self, end: End) -> Option<HintRow> {
        let other = if end == End::Front { End::Back } else { End::Front };
        match self.ahead[end as usize].pop_front() {
            None if self.left.is_empty() => self.ahead[other as usize].pop_back(),
            row => row,
        }
    }

    /// Examines the next rows from `end`. Returns the last of them, or `None` if no row is left.
    fn look_ahead(&mut self, end: End) -> Option<Result<HintRow>> {
        let count = self.stride.min(self.left.len());
        self.stride = (self.stride * 2).min(LOOKAHEAD_MAX);
        let rows: Vec<HintRow> = match end {
            End::Front => self.left.by_ref().take(count).map(|index| self.rows.get(index)).collect(),
            End::Back => self.left.by_ref().rev().take(count).map(|index| self.rows.get(index)).collect(),
        };
        rows.iter().for_each(|row| self.frozen.prefetch(row.hash));
        for &row in &rows {
            match self.is_live(row) {
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

impl MergeRun for LiveRun {
    type Head = Head;

    fn advance(&mut self, end: End) -> Option<Result<(Value, Head)>> {
        loop {
            if let Some(row) = self.next_row(end) {
                return Some(self.segment.read(row.at).map(|record| {
                    let key = record.key();
                    (key, if record.is_past(self.at_ms) { Head::Dead } else { Head::Live(record) })
                }));
            }
            let dead = match self.look_ahead(end)? {
                Ok(last) if self.ahead[end as usize].is_empty() => self.segment.read(last.at),
                Ok(_) => continue,
                Err(error) => return Some(Err(error)),
            };
            match dead {
                Ok(record) => return Some(Ok((record.key(), Head::Dead))),
                // A damaged dead record is not reported, and has no key to stop at.
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The remaining live records of a range.
pub(super) struct Live {
    merge: Merge<LiveRun>,
    /// The time used for expiry, in milliseconds since 1970. One time ensures that keys with the
    /// same expiry are all shown, or none.
    at_ms: u64,
}

impl Live {
    pub(super) fn new(frozen: &Arc<Frozen>, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let at_ms = frozen.state.now_ms();
        let run = |(segment, rows): (Arc<Segment>, SortedRows)| -> Result<LiveRun> {
            let left = rows.range(&segment, range)?;
            Ok(LiveRun {
                frozen: Arc::clone(frozen),
                at_ms,
                segment,
                rows,
                left,
                ahead: Default::default(),
                stride: LOOKAHEAD_MIN,
                looked_up: None,
            })
        };
        let runs = frozen.ordered()?.into_iter().map(run).collect::<Result<_>>()?;
        Ok(Self { merge: Merge::new(runs, frozen.errors_without_key()?), at_ms })
    }

    pub(super) fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Returns the record of the next live key from `end`.
    pub(super) fn next(&mut self, end: End) -> Option<Result<Record>> {
        loop {
            match self.merge.next(end)? {
                Ok((_, Head::Live(record))) => return Some(Ok(record)),
                Ok((_, Head::Dead)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store, Sync};

    /// A store with the keys 0 to `count`, written once in each of two segments.
    fn written_twice(dir: &std::path::Path, count: u32) -> Store {
        let store = Store::open_with(dir, Options::new().sync(Sync::Never).background(false)).expect("opens");
        for round in ["first", "second"] {
            for n in 0..count {
                store.put(n.to_be_bytes(), round).expect("puts");
            }
            store.rotate().expect("seals");
        }
        store
    }

    #[test]
    fn the_first_key_does_not_cost_a_walk_over_all_dead_records() {
        let dir = tempfile::tempdir().expect("creates a directory");
        let store = written_twice(dir.path(), 1000);
        let mut keys = store.keys(..).expect("scans");
        assert_eq!(*keys.next().expect("has a key").expect("reads").key, [0; 4]);
        assert_eq!(keys.0.merge.runs[0].left, LOOKAHEAD_MIN..1000);
        assert_eq!(*keys.next_back().expect("has a key").expect("reads").key, 999_u32.to_be_bytes());
        assert_eq!(keys.0.merge.runs[0].left, LOOKAHEAD_MIN..1000 - 2 * LOOKAHEAD_MIN);
    }

    #[test]
    fn a_key_with_dead_records_is_returned_once_from_both_ends() {
        let dir = tempfile::tempdir().expect("creates a directory");
        let store = written_twice(dir.path(), 1000);
        let mut keys = store.keys(..).expect("scans");
        let mut found = Vec::new();
        while let Some(front) = keys.next() {
            found.push(front.expect("reads").key);
            found.extend(keys.next_back().map(|back| back.expect("reads").key));
        }
        found.sort();
        let found: Vec<_> = found.iter().map(|key| key.to_vec()).collect();
        let expected: Vec<_> = (0..1000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(found, expected);
    }
}
