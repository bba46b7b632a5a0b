//! Brings the records of a segment into key order: from its hint, or by sorting them on first use.

use std::ops::Range;

use super::handle::Segment;
use super::hint::Hint;
use super::order::OrderState;
use super::rows::{SortedRecords, SortedRows};
use super::scan::{Bodies, Scanner, Step};
use super::sorter::Sorter;
use super::store_context::StoreContext;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::MutexGuard;

impl Segment {
    /// Returns the rows of all records in one or more runs, each in (key, newest first) order. With
    /// a hint, reads no record. Otherwise reads and sorts the records appended since the last call,
    /// and keeps 16 bytes for each.
    pub(crate) fn order(&self, context: &StoreContext) -> Result<Vec<SortedRows>> {
        let mut state = self.order_state(context);
        let (runs, sorted_to, damaged) = match &mut *state {
            OrderState::Hinted(hint) => return Ok(vec![hint.sorted().rows]),
            OrderState::Sorted { runs, sorted_to, damaged } => (runs, sorted_to, damaged),
            // `order_state` has just set it to another state.
            OrderState::Nothing => return Ok(Vec::new()),
        };
        if *sorted_to < self.len() {
            let Run { rows, end, damaged: places } = Run::of(context, self, *sorted_to)?;
            // If the merge fails, the runs still hold each row once.
            runs.push(rows);
            damaged.extend(places);
            *sorted_to = end;
            merge_last(self, runs)?;
        }
        Ok(runs.clone())
    }

    /// Returns the damage among the records that [`Segment::order`] has sorted. A record there may
    /// have no row, or a row under another key. Empty with a hint, which knows every key.
    pub(crate) fn damaged_places(&self) -> Vec<Range<u64>> {
        match &*self.order.lock() {
            OrderState::Sorted { damaged, .. } => damaged.clone(),
            OrderState::Nothing | OrderState::Hinted(_) => Vec::new(),
        }
    }

    /// Returns whether the segment may hold a record of `key`. The hint's filter rules out most
    /// absent keys without a search.
    pub(crate) fn may_hold(&self, context: &StoreContext, hash: u64, key: &[u8]) -> Result<bool> {
        if let OrderState::Hinted(hint) = &*self.order_state(context)
            && !hint.may_hold(hash)
        {
            return Ok(false);
        }
        for rows in self.order(context)? {
            if rows.may_hold(self, hash, key)? {
                return Ok(true);
            }
        }
        // A damaged record whose key is lost may be one of this key.
        Ok(!self.damaged_places().is_empty())
    }

    /// Returns whether the hint's filter rules out all of `keys`. `false` without a hint.
    pub(crate) fn hint_excludes<'k>(
        &self,
        context: &StoreContext,
        mut keys: impl Iterator<Item = &'k [u8]>,
    ) -> bool {
        match &*self.order_state(context) {
            OrderState::Hinted(hint) => !keys.any(|key| hint.may_hold(context.hash(key))),
            OrderState::Nothing | OrderState::Sorted { .. } => false,
        }
    }

    /// Returns the sorted records from the segment's hint, if it has a valid one.
    pub(crate) fn hinted(&self, context: &StoreContext) -> Option<SortedRecords> {
        match &*self.order_state(context) {
            OrderState::Hinted(hint) => Some(hint.sorted()),
            OrderState::Nothing | OrderState::Sorted { .. } => None,
        }
    }

    /// Keeps `rows` of all records and the places of damage.
    pub(crate) fn take_sorted(&self, rows: SortedRows, damaged: Vec<Range<u64>>) {
        *self.order.lock() = OrderState::Sorted { runs: vec![rows], sorted_to: self.len(), damaged };
    }

    /// Takes over the sorted rows of `shorter`, whose records are the first ones of this segment.
    pub(crate) fn take_order_of(&self, shorter: &Self) {
        let sorted = match &*shorter.order.lock() {
            OrderState::Sorted { runs, sorted_to, damaged } => {
                Some((runs.clone(), *sorted_to, damaged.clone()))
            }
            OrderState::Nothing | OrderState::Hinted(_) => None,
        };
        if let Some((runs, sorted_to, damaged)) = sorted {
            *self.order.lock() = OrderState::Sorted { runs, sorted_to, damaged };
        }
    }

    /// Replaces the rows in memory with `hint`.
    pub(crate) fn take_hint(&self, hint: Hint) {
        *self.order.lock() = OrderState::Hinted(hint);
    }

    /// Reads and checks all records of this sealed segment and writes its hint. Returns `None`, and
    /// writes nothing, if one is damaged. Takes the memory of a [`Sorter`].
    ///
    /// # Errors
    /// I/O errors. The segment then has no hint.
    pub(crate) fn make_hint(&self, context: &StoreContext) -> Result<Option<Hint>> {
        // Without a mapping, which would count as this process's memory.
        let windowed = self.windowed(context)?;
        let mut sorter = Sorter::default();
        let mut scanner = Scanner::new(&windowed, Bodies::Checked);
        loop {
            match scanner.next_intact() {
                Ok(Some(record)) => sorter.add_scanned(context, &record),
                Ok(None) => break,
                Err(Error::Damaged { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        if windowed.len() < self.limit() {
            return Ok(None);
        }
        self.write_hint(context, &sorter.finish()).map(Some)
    }

    /// Writes the hint of this sealed segment from its `sorted` records.
    ///
    /// # Errors
    /// I/O errors. The segment then has no hint.
    pub(crate) fn write_hint(&self, context: &StoreContext, sorted: &SortedRecords) -> Result<Hint> {
        Hint::write(context, &self.identity, self.limit(), sorted)
    }

    /// Locks the order. Looks for a hint first, unless that was done before.
    fn order_state(&self, context: &StoreContext) -> MutexGuard<'_, OrderState> {
        let mut state = self.order.lock();
        if matches!(*state, OrderState::Nothing) {
            *state = match Hint::open(context, &self.identity, self.limit()) {
                Some(hint) => OrderState::Hinted(hint),
                None => {
                    if self.is_sealed() {
                        context.wakeup.ring();
                    }
                    OrderState::Sorted { runs: Vec::new(), sorted_to: 0, damaged: Vec::new() }
                }
            };
        }
        state
    }

    /// Returns the bytes of the hint, and of rows in memory.
    pub(crate) fn order_len(&self) -> (u64, u64) {
        match &*self.order.lock() {
            OrderState::Nothing => (0, 0),
            OrderState::Hinted(hint) => (hint.len(), 0),
            OrderState::Sorted { runs, .. } => (0, runs.iter().map(|rows| rows.bytes().len() as u64).sum()),
        }
    }

    /// Returns whether a valid hint was looked for and not found.
    pub(crate) fn lacks_hint(&self) -> bool {
        matches!(*self.order.lock(), OrderState::Sorted { .. })
    }
}

/// A run: consecutive records, sorted.
struct Run {
    rows: SortedRows,
    /// The end of the records. Others may have been appended since.
    end: u64,
    damaged: Vec<Range<u64>>,
}

impl Run {
    /// Reads, checks and sorts the records from `from` on.
    fn of(context: &StoreContext, segment: &Segment, from: u64) -> Result<Self> {
        let mut sorter = Sorter::default();
        let mut damaged = Vec::new();
        let mut scanner = Scanner::new(segment, Bodies::Checked).starting_at(from);
        while let Some(step) = scanner.next()? {
            match step {
                Step::Record(record) => {
                    sorter.add_scanned(context, &record);
                    if record.damage.is_some() {
                        damaged.push(record.at..record.at + record.frame.len);
                    }
                }
                Step::Bad { at, len, .. } => match segment.read_intact(at)? {
                    // Only the header's checksum is damaged, which reads do not use.
                    Some(record) => sorter.add_read(context, &record),
                    None => damaged.push(at..at + len),
                },
            }
        }
        Ok(Self { rows: sorter.finish().rows, end: scanner.end(), damaged })
    }
}

/// Merges the last two runs while the older one is at most twice as long.
fn merge_last(segment: &Segment, runs: &mut Vec<SortedRows>) -> Result<()> {
    while let [.., older, newer] = runs.as_slice()
        && older.len() <= newer.len().saturating_mul(2)
    {
        let merged = older.merged(newer, segment)?;
        runs.truncate(runs.len() - 2);
        runs.push(merged);
    }
    Ok(())
}
