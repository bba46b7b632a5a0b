//! A row of a hint, or of what is sorted in memory: where one record is.

use crate::engine::format::{put, u32_at, u64_at};

const HASH_AT: usize = 0;
const OFFSET_AT: usize = HASH_AT + size_of::<u64>();
const LEN_AT: usize = OFFSET_AT + size_of::<u32>();
/// The length of a row, in bytes.
pub(crate) const ROW_LEN: usize = LEN_AT + size_of::<u32>();

/// Records start at multiples of this, and so are their lengths.
pub(super) const UNIT: u64 = 8;
/// The bit beside the length that says: a tombstone.
pub(super) const TOMBSTONE: u32 = 1 << 31;

/// Where one record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The hash of the record's key.
    pub(crate) hash: u64,
    /// The record's offset in the segment, in bytes: a multiple of 8, below 32 GiB.
    pub(crate) at: u64,
    /// The record's length, in bytes: a multiple of 8, below 16 GiB.
    pub(crate) len: u64,
    pub(crate) is_tombstone: bool,
}

impl Row {
    /// The row's bytes. A place beyond what a row can tell becomes one that is in no segment.
    pub(crate) fn encode(&self) -> [u8; ROW_LEN] {
        let at = u32::try_from(self.at / UNIT).unwrap_or(u32::MAX);
        let len = u32::try_from(self.len / UNIT).unwrap_or(u32::MAX).min(!TOMBSTONE);
        let tombstone = if self.is_tombstone { TOMBSTONE } else { 0 };
        let mut bytes = [0; ROW_LEN];
        put(&mut bytes, HASH_AT, &self.hash.to_le_bytes());
        put(&mut bytes, OFFSET_AT, &at.to_le_bytes());
        put(&mut bytes, LEN_AT, &(len | tombstone).to_le_bytes());
        bytes
    }

    /// The row at the start of `bytes`. Whether it leads to a record is to be seen there.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let len = u32_at(bytes, LEN_AT);
        Self {
            hash: u64_at(bytes, HASH_AT),
            at: u64::from(u32_at(bytes, OFFSET_AT)).saturating_mul(UNIT),
            len: u64::from(len & !TOMBSTONE).saturating_mul(UNIT),
            is_tombstone: len & TOMBSTONE != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_a_row_cannot_tell_is_beyond_every_segment() {
        let row = Row { hash: 1, at: 1 << 40, len: 1 << 40, is_tombstone: false };
        let told = Row::decode(&row.encode());
        assert!(told.at > u64::from(u32::MAX) && told.len > u64::from(u32::MAX), "{told:?}");
        assert!(!told.is_tombstone);
    }
}
