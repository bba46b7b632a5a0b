//! A row of a hint or of a segment's sorted records: the location of one record.

use crate::engine::format::layout::{Field, Stored, layout};

layout! {
    struct StoredRow: 16 {
        hash: u64,
        at: Units,
        /// The length in units, and the bit [`TOMBSTONE`].
        len: u32,
    }
}

/// The fields of a row.
pub const HINT_ROW_FIELDS: &[Field] = StoredRow::FIELDS;
/// The length of a row in bytes.
pub(crate) const ROW_LEN: usize = StoredRow::LEN;

/// The unit of offsets and lengths of records, in bytes.
pub(super) const UNIT: u64 = 8;
/// The bit of a tombstone, beside the length.
pub(super) const TOMBSTONE: u32 = 1 << 31;

/// The location of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HintRow {
    /// The hash of the record's key.
    pub(crate) hash: u64,
    /// The record's offset in the segment in bytes: a multiple of 8, below 32 GiB.
    pub(crate) at: u64,
    /// The record's length in bytes: a multiple of 8, below 16 GiB.
    pub(crate) len: u64,
    pub(crate) is_tombstone: bool,
}

impl HintRow {
    /// Encodes the row. A location that does not fit becomes one that is outside of every segment.
    pub(crate) fn encode(&self) -> [u8; ROW_LEN] {
        let len = u32::try_from(self.len / UNIT).unwrap_or(u32::MAX).min(!TOMBSTONE);
        let tombstone = if self.is_tombstone { TOMBSTONE } else { 0 };
        StoredRow { hash: self.hash, at: self.at, len: len | tombstone }.to_bytes()
    }

    /// Decodes the row at the start of `bytes`. The caller checks that it leads to a record.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let StoredRow { hash, at, len } = StoredRow::from_bytes(bytes);
        let is_tombstone = len & TOMBSTONE != 0;
        Self { hash, at, len: u64::from(len & !TOMBSTONE).saturating_mul(UNIT), is_tombstone }
    }
}

/// Divides a multiple of [`UNIT`] by it. A number that is too large becomes the largest.
struct Units;

impl Stored for Units {
    type Value = u64;
    const LEN: usize = u32::LEN;

    #[inline]
    fn read(bytes: &[u8], at: usize) -> u64 {
        u64::from(u32::read(bytes, at)).saturating_mul(UNIT)
    }

    #[inline]
    fn write(value: &u64, bytes: &mut [u8], at: usize) {
        u32::write(&u32::try_from(value / UNIT).unwrap_or(u32::MAX), bytes, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_that_does_not_fit_a_row_is_outside_of_every_segment() {
        let row = HintRow { hash: 1, at: 1 << 40, len: 1 << 40, is_tombstone: false };
        let row = HintRow::decode(&row.encode());
        assert!(row.at > u64::from(u32::MAX) && row.len > u64::from(u32::MAX), "{row:?}");
        assert!(!row.is_tombstone);
    }
}
