//! The records of a segment in key order: read from its hint, or sorted when somebody asks.
//!
//! The order of a segment without a hint is kept in sorted runs, as in a log-structured merge tree: what was appended
//! since the last time becomes a run, and runs of similar length are merged, so that each row is moved a number of times
//! that grows with the logarithm of their count. A store that never asks pays nothing.

use std::ops::Range;
use std::sync::PoisonError;

use super::hint::Hint;
use super::rows::Rows;
use super::sorter::{Sorted, Sorter};
use super::{Bodies, Scanner, Segment, Step, StoreContext};
use crate::engine::base::error::Result;
use crate::engine::base::sync::{Mutex, MutexGuard};

/// What is known of a segment's order.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Guards the runs while they are made; held during that, so that no two threads sort the same. No other lock is taken
    /// under it.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
enum Known {
    /// Nobody has asked yet.
    #[default]
    Nothing,
    Hinted(Hint),
    Sorted {
        runs: Vec<Rows>,
        /// Rows of the records before this byte are in the runs.
        sorted_to: u64,
        /// Where among them there is damage: what stood there may be in no row, or in one of another key.
        damaged: Vec<Range<u64>>,
    },
}

impl Order {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // What is half made is not kept.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    /// Rows of every record there is now, in one or more runs, each in (key, newest first) order. From a hint nothing is
    /// read; else the records that nobody has asked for yet are read and sorted, and 16 bytes kept for each.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn order(&self, home: &StoreContext) -> Result<Vec<Rows>> {
        let mut known = self.order.lock();
        self.look_for_hint(home, &mut known);
        let (runs, sorted_to, damaged) = match &mut *known {
            Known::Hinted(hint) => return Ok(vec![hint.sorted().rows]),
            Known::Sorted { runs, sorted_to, damaged } => (runs, sorted_to, damaged),
            // Looked for just now: there is none.
            Known::Nothing => return Ok(Vec::new()),
        };
        if *sorted_to < self.len() {
            let Run { rows, end, damaged: places } = Run::of(home, self, *sorted_to)?;
            // All or nothing: a merge whose read fails leaves runs that hold each row once.
            runs.push(rows);
            damaged.extend(places);
            *sorted_to = end;
            merge_last(self, runs)?;
        }
        Ok(runs.clone())
    }

    /// Where in what [`Segment::order`] has sorted so far there is damage: a record there may be in no row, or in one of
    /// another key. None where a hint knows whose each record is.
    pub(crate) fn damaged_places(&self) -> Vec<Range<u64>> {
        match &*self.order.lock() {
            Known::Sorted { damaged, .. } => damaged.clone(),
            Known::Nothing | Known::Hinted(_) => Vec::new(),
        }
    }

    /// Whether the segment may hold a record of `key`. A hint's filter answers for nearly all that are not there; where it
    /// cannot, the key is looked for.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn may_hold(&self, home: &StoreContext, hash: u64, key: &[u8]) -> Result<bool> {
        {
            let mut known = self.order.lock();
            self.look_for_hint(home, &mut known);
            if let Known::Hinted(hint) = &*known
                && !hint.may_hold(hash)
            {
                return Ok(false);
            }
        }
        for rows in self.order(home)? {
            if rows.may_hold(self, hash, key)? {
                return Ok(true);
            }
        }
        // A record that damage has left without a name may be one.
        Ok(!self.damaged_places().is_empty())
    }

    /// Whether the segment's hint says that it holds no record of any of `keys`.
    pub(crate) fn surely_holds_none<'k>(
        &self,
        home: &StoreContext,
        mut keys: impl Iterator<Item = &'k [u8]>,
    ) -> bool {
        let mut known = self.order.lock();
        self.look_for_hint(home, &mut known);
        match &*known {
            Known::Hinted(hint) => !keys.any(|key| hint.may_hold(home.hash(key))),
            Known::Nothing | Known::Sorted { .. } => false,
        }
    }

    /// What the segment's hint says, if it has one that describes it.
    pub(crate) fn hinted(&self, home: &StoreContext) -> Option<Sorted> {
        let mut known = self.order.lock();
        self.look_for_hint(home, &mut known);
        match &*known {
            Known::Hinted(hint) => Some(hint.sorted()),
            Known::Nothing | Known::Sorted { .. } => None,
        }
    }

    /// Keeps `rows` of all records, and the places of the `damaged` ones, until more are appended
    /// or a hint replaces them.
    pub(crate) fn take_sorted(&self, rows: Rows, damaged: Vec<Range<u64>>) {
        *self.order.lock() = Known::Sorted { runs: vec![rows], sorted_to: self.len(), damaged };
    }

    /// Takes over the sorted records of `shorter`, which are the first ones of this segment.
    pub(crate) fn take_order_of(&self, shorter: &Self) {
        if let Known::Sorted { runs, sorted_to, damaged } = &*shorter.order.lock() {
            let (runs, sorted_to, damaged) = (runs.clone(), *sorted_to, damaged.clone());
            *self.order.lock() = Known::Sorted { runs, sorted_to, damaged };
        }
    }

    /// Goes over to `hint`: what was sorted in memory is not needed any more.
    pub(crate) fn take_hint(&self, hint: Hint) {
        *self.order.lock() = Known::Hinted(hint);
    }

    fn look_for_hint(&self, home: &StoreContext, known: &mut Known) {
        if matches!(known, Known::Nothing) {
            *known = match Hint::open(home, self) {
                Some(hint) => Known::Hinted(hint),
                None => {
                    if self.is_sealed() {
                        home.wake.ring();
                    }
                    Known::Sorted { runs: Vec::new(), sorted_to: 0, damaged: Vec::new() }
                }
            };
        }
    }

    /// What is kept of its order, in bytes: in its hint, and in rows that were sorted in memory.
    pub(crate) fn order_len(&self) -> (u64, u64) {
        match &*self.order.lock() {
            Known::Nothing => (0, 0),
            Known::Hinted(hint) => (hint.len(), 0),
            Known::Sorted { runs, .. } => (0, runs.iter().map(|rows| rows.bytes().len() as u64).sum()),
        }
    }

    /// Whether somebody has looked for a hint that can be used, and found none.
    pub(crate) fn lacks_hint(&self) -> bool {
        matches!(*self.order.lock(), Known::Sorted { .. })
    }
}

/// Records that were appended one after the other, sorted.
struct Run {
    rows: Rows,
    /// Where they end: more may be appended meanwhile.
    end: u64,
    damaged: Vec<Range<u64>>,
}

impl Run {
    /// The records from `from` on, each checked.
    fn of(home: &StoreContext, segment: &Segment, from: u64) -> Result<Self> {
        let (mut sorter, mut damaged) = (Sorter::default(), Vec::new());
        let mut scanner = Scanner::new(segment, Bodies::Checked).starting_at(from);
        while let Some(step) = scanner.next()? {
            match step {
                Step::Record(record) => {
                    sorter.add_scanned(home, &record);
                    if record.damage.is_some() {
                        damaged.push(record.at..record.at + record.frame.len);
                    }
                }
                Step::Bad { at, len, .. } => match segment.read_intact(at)? {
                    // Only the checksum of its header is damaged, which no read needs.
                    Some(record) => sorter.add_read(home, &record),
                    None => damaged.push(at..at + len),
                },
            }
        }
        Ok(Self { rows: sorter.finish().rows, end: scanner.end(), damaged })
    }
}

/// Merges the last runs while one is not much longer than the next.
fn merge_last(segment: &Segment, runs: &mut Vec<Rows>) -> Result<()> {
    while let [.., older, newer] = runs.as_slice()
        && older.len() <= newer.len().saturating_mul(2)
    {
        let merged = older.merged(newer, segment)?;
        runs.truncate(runs.len() - 2);
        runs.push(merged);
    }
    Ok(())
}
