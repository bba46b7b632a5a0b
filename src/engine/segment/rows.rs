//! Rows: 16 bytes for each record of a segment, in (key, newest first) order, and the search in them.
//!
//! A row holds no key: the record does. So a search reads records, and goes around those that are damaged.

use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use super::Segment;
use super::value::Value;
use crate::engine::base::error::{Error, Result};
use crate::engine::format::hint::{ROW_LEN, Row};

/// Rows of one segment in (key, newest first) order.
#[derive(Clone, Debug)]
pub(crate) struct Rows(Value);

impl Rows {
    /// The rows in `bytes`.
    pub(super) fn new(bytes: Value) -> Self {
        Self(bytes)
    }

    /// All of them as they stand in a hint.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len() / ROW_LEN
    }

    /// Row number `index`, which is less than [`Rows::len`].
    pub(crate) fn get(&self, index: usize) -> Row {
        Row::decode(&self.0[index * ROW_LEN..][..ROW_LEN])
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.0.chunks_exact(ROW_LEN).map(Row::decode)
    }

    /// Which rows hold the keys of `range`, and damaged records that may have been such.
    ///
    /// # Errors
    /// What the operating system says.
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

    /// The first row whose key is not one of the smaller ones that `is_before` knows. Damaged records have no key: they
    /// may stand on either side.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn partition_point(
        &self,
        segment: &Segment,
        is_before: impl Fn(&[u8]) -> bool,
    ) -> Result<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_intact(segment, middle, high)? {
                Some((found, key)) if is_before(&key) => low = found + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first row of `from..to` whose record is as it was written, and its key.
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

    /// Whether a record of `key` is among them, or a damaged one that may be.
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

    /// These rows and `newer` ones of the same segment, in one order.
    pub(super) fn merged(&self, newer: &Self, segment: &Segment) -> Result<Self> {
        let mut bytes = Vec::with_capacity(self.0.len() + newer.0.len());
        let (mut left, mut right) = (self.iter().peekable(), newer.iter().peekable());
        while let (Some(older), Some(newer)) = (left.peek(), right.peek()) {
            let takes_newer = *segment.key_at(newer.at)? <= *segment.key_at(older.at)?;
            let taken = if takes_newer { right.next() } else { left.next() };
            bytes.extend(taken.iter().flat_map(Row::encode));
        }
        bytes.extend(left.chain(right).flat_map(|row| row.encode()));
        Ok(Self::of_bytes(bytes))
    }

    /// The rows in `bytes`, which become the rows' own.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self(Value::owned(Arc::new(bytes), 0..len))
    }
}
