//! Searches in sorted rows. Rows hold no keys, so a search reads records. It skips damaged ones.

use std::ops::{Bound, Range, RangeBounds};

use super::handle::Segment;
use super::rows::SortedRows;
use super::value::Value;
use crate::engine::base::error::{Error, Result};
use crate::engine::format::hint::HintRow;

impl SortedRows {
    /// Returns the indices of the rows with keys in `range`, and of damaged records that may be in
    /// it.
    pub(crate) fn range(&self, segment: &Segment, range: &impl RangeBounds<[u8]>) -> Result<Range<usize>> {
        let before = |key: &[u8]| self.partition_point(segment, |other| other < key);
        let through = |key: &[u8]| self.partition_point(segment, |other| other <= key);
        let from = match range.start_bound() {
            Bound::Included(from) => before(from)?,
            Bound::Excluded(from) => through(from)?,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(to) => through(to)?,
            Bound::Excluded(to) => before(to)?,
            Bound::Unbounded => self.len(),
        };
        Ok(from..to.max(from))
    }

    /// Returns the index of the first row whose key is not `is_before`. Damaged records have no key
    /// and may be on either side.
    pub(crate) fn partition_point(
        &self,
        segment: &Segment,
        is_before: impl Fn(&[u8]) -> bool,
    ) -> Result<usize> {
        let mut low = 0;
        let mut high = self.len();
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_intact(segment, middle, high)? {
                Some((found, key)) if is_before(&key) => low = found + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Returns the first row of `from..to` whose record is intact, and its key.
    fn first_intact(&self, segment: &Segment, from: usize, to: usize) -> Result<Option<(usize, Value)>> {
        for index in from..to {
            match segment.read(self.get(index).at) {
                Ok(record) => return Ok(Some((index, record.key()))),
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns whether the rows include a record of `key`, or a damaged one that may be.
    pub(super) fn may_hold(&self, segment: &Segment, hash: u64, key: &[u8]) -> Result<bool> {
        let first = self.partition_point(segment, |other| other < key)?;
        for index in first..self.len() {
            let row = self.get(index);
            match segment.read(row.at) {
                Ok(record) if *record.key() == *key => return Ok(true),
                Ok(_) => return Ok(false),
                Err(Error::Damaged { .. }) if row.hash == hash => return Ok(true),
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Merges these rows with `newer` ones of the same segment.
    pub(super) fn merged(&self, newer: &Self, segment: &Segment) -> Result<Self> {
        let mut bytes = Vec::with_capacity(self.bytes().len() + newer.bytes().len());
        let mut left = self.iter().peekable();
        let mut right = newer.iter().peekable();
        while let (Some(older), Some(newer)) = (left.peek(), right.peek()) {
            let takes_newer = *segment.key_at(newer.at)? <= *segment.key_at(older.at)?;
            let taken = if takes_newer { right.next() } else { left.next() };
            bytes.extend(taken.iter().flat_map(HintRow::encode));
        }
        bytes.extend(left.chain(right).flat_map(|row| row.encode()));
        Ok(Self::of_bytes(bytes))
    }
}
