//! The records of a segment in key order, from its hint or sorted.

use std::ops::Range;

use super::handle::Segment;
use super::hint::Hint;
use super::order::OrderState;
use super::rows::{SortedRecords, SortedRows};
use super::scan::{Bodies, Scanner, Step};
use super::sorter::Sorter;
use super::store_context::StoreContext;
use crate::engine::base::error::{Error, Result};

impl Segment {
    /// SortedRows of every record there is now, in one or more runs, each in (key, newest first) order. From a hint nothing is
    /// read; else the records that nobody has asked for yet are read and sorted, and 16 bytes kept for each.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn order(&self, context: &StoreContext) -> Result<Vec<SortedRows>> {
        let mut state = self.order.lock();
        self.look_for_hint(context, &mut state);
        let (runs, sorted_to, damaged) = match &mut *state {
            OrderState::Hinted(hint) => return Ok(vec![hint.sorted().rows]),
            OrderState::Sorted { runs, sorted_to, damaged } => (runs, sorted_to, damaged),
            // Looked for just now: there is none.
            OrderState::Nothing => return Ok(Vec::new()),
        };
        if *sorted_to < self.len() {
            let Run { rows, end, damaged: places } = Run::of(context, self, *sorted_to)?;
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
            OrderState::Sorted { damaged, .. } => damaged.clone(),
            OrderState::Nothing | OrderState::Hinted(_) => Vec::new(),
        }
    }

    /// Whether the segment may hold a record of `key`. A hint's filter answers for nearly all that are not there; where it
    /// cannot, the key is looked for.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn may_hold(&self, context: &StoreContext, hash: u64, key: &[u8]) -> Result<bool> {
        {
            let mut state = self.order.lock();
            self.look_for_hint(context, &mut state);
            if let OrderState::Hinted(hint) = &*state
                && !hint.may_hold(hash)
            {
                return Ok(false);
            }
        }
        for rows in self.order(context)? {
            if rows.may_hold(self, hash, key)? {
                return Ok(true);
            }
        }
        // A record that damage has left without a name may be one.
        Ok(!self.damaged_places().is_empty())
    }

    /// Whether the segment's hint says that it holds no record of any of `keys`.
    pub(crate) fn hint_excludes<'k>(
        &self,
        context: &StoreContext,
        mut keys: impl Iterator<Item = &'k [u8]>,
    ) -> bool {
        let mut state = self.order.lock();
        self.look_for_hint(context, &mut state);
        match &*state {
            OrderState::Hinted(hint) => !keys.any(|key| hint.may_hold(context.hash(key))),
            OrderState::Nothing | OrderState::Sorted { .. } => false,
        }
    }

    /// What the segment's hint says, if it has one that describes it.
    pub(crate) fn hinted(&self, context: &StoreContext) -> Option<SortedRecords> {
        let mut state = self.order.lock();
        self.look_for_hint(context, &mut state);
        match &*state {
            OrderState::Hinted(hint) => Some(hint.sorted()),
            OrderState::Nothing | OrderState::Sorted { .. } => None,
        }
    }

    /// Keeps `rows` of all records, and the places of the `damaged` ones, until more are appended
    /// or a hint replaces them.
    pub(crate) fn take_sorted(&self, rows: SortedRows, damaged: Vec<Range<u64>>) {
        *self.order.lock() = OrderState::Sorted { runs: vec![rows], sorted_to: self.len(), damaged };
    }

    /// Takes over the sorted records of `shorter`, which are the first ones of this segment.
    pub(crate) fn take_order_of(&self, shorter: &Self) {
        if let OrderState::Sorted { runs, sorted_to, damaged } = &*shorter.order.lock() {
            let (runs, sorted_to, damaged) = (runs.clone(), *sorted_to, damaged.clone());
            *self.order.lock() = OrderState::Sorted { runs, sorted_to, damaged };
        }
    }

    /// Goes over to `hint`: what was sorted in memory is not needed any more.
    pub(crate) fn take_hint(&self, hint: Hint) {
        *self.order.lock() = OrderState::Hinted(hint);
    }

    /// Reads and checks all of `segment`, which is sealed, and writes its hint; `None`, and no file, when it is damaged.
    /// Takes 48 bytes of memory a record, or 36 and the keys.
    ///
    /// # Errors
    /// What the operating system says; there is no hint then.
    pub(crate) fn make_hint(&self, context: &StoreContext) -> Result<Option<Hint>> {
        // Through a window: a mapping would count as this process's memory, all of it.
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

    /// Writes the hint of this sealed segment, whose records are `sorted`.
    ///
    /// # Errors
    /// What the operating system says; there is no hint then.
    pub(crate) fn write_hint(&self, context: &StoreContext, sorted: &SortedRecords) -> Result<Hint> {
        Hint::write(context, &self.identity, self.limit(), sorted)
    }

    fn look_for_hint(&self, context: &StoreContext, state: &mut OrderState) {
        if matches!(state, OrderState::Nothing) {
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
    }

    /// What is kept of its order, in bytes: in its hint, and in rows that were sorted in memory.
    pub(crate) fn order_len(&self) -> (u64, u64) {
        match &*self.order.lock() {
            OrderState::Nothing => (0, 0),
            OrderState::Hinted(hint) => (hint.len(), 0),
            OrderState::Sorted { runs, .. } => (0, runs.iter().map(|rows| rows.bytes().len() as u64).sum()),
        }
    }

    /// Whether somebody has looked for a hint that can be used, and found none.
    pub(crate) fn lacks_hint(&self) -> bool {
        matches!(*self.order.lock(), OrderState::Sorted { .. })
    }
}

/// Records that were appended one after the other, sorted.
struct Run {
    rows: SortedRows,
    /// Where they end: more may be appended meanwhile.
    end: u64,
    damaged: Vec<Range<u64>>,
}

impl Run {
    /// The records from `from` on, each checked.
    fn of(context: &StoreContext, segment: &Segment, from: u64) -> Result<Self> {
        let (mut sorter, mut damaged) = (Sorter::default(), Vec::new());
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
                    // Only the checksum of its header is damaged, which no read needs.
                    Some(record) => sorter.add_read(context, &record),
                    None => damaged.push(at..at + len),
                },
            }
        }
        Ok(Self { rows: sorter.finish().rows, end: scanner.end(), damaged })
    }
}

/// Merges the last runs while one is not much longer than the next.
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
