//! The rows of a keydir's head: a segment that it covers, a shard.

use crate::engine::base::ids::SegmentId;
use crate::engine::format::codec::Compressed;
use crate::engine::format::layout::{Field, Stored, layout};
use crate::engine::format::record;

/// In place of the zero that says nothing: none of the segment's records expires.
const ENDLESS: u32 = 1;

const SLOT_LEN: u64 = size_of::<u64>() as u64;

layout! {
    /// A segment that slots point into, and what was counted in it.
    pub(crate) struct Covered: 80 {
        pub(crate) id: SegmentId,
        /// Bytes of it that are covered.
        pub(crate) len: u64,
        /// Where it stands in the address space of the slots.
        pub(crate) first_page: u32,
        /// Whether it is known that none of its records expires.
        pub(crate) is_endless: Endless,
        pub(crate) record_count: u64,
        pub(crate) live_count: u64,
        pub(crate) live_len: u64,
        pub(crate) tombstone_count: u64,
        pub(crate) tombstone_len: u64,
        pub(crate) raw_len: u64,
        pub(crate) stored_len: u64,
    }
}

/// The fields of a row of a covered segment.
pub const KEYDIR_SEGMENT_FIELDS: &[Field] = Covered::FIELDS;
/// The fields of a shard's row.
pub const KEYDIR_SHARD_FIELDS: &[Field] = ShardRow::FIELDS;

/// A `u32`: [`ENDLESS`], or zero for what is not known.
pub(crate) struct Endless;

impl Stored for Endless {
    type Value = bool;
    const LEN: usize = u32::LEN;

    fn read(bytes: &[u8], at: usize) -> bool {
        u32::read(bytes, at) == ENDLESS
    }

    fn write(is_endless: &bool, bytes: &mut [u8], at: usize) {
        u32::write(&if *is_endless { ENDLESS } else { 0 }, bytes, at);
    }
}

impl Covered {
    /// What the values come to that are compressed.
    pub(crate) fn compressed(&self) -> Compressed {
        Compressed { raw_len: self.raw_len, stored_len: self.stored_len }
    }

    /// Whether so many records, and so many bytes of them, can be in that length.
    pub(super) fn is_possible(&self) -> bool {
        let counts = [self.record_count, self.live_count, self.tombstone_count];
        counts.iter().all(|&count| count <= self.len / record::LEN_MIN)
            && self.live_len.max(self.tombstone_len).max(self.stored_len) <= self.len
    }
}

layout! {
    /// Where a shard's slots stand in the file, and what is to be found there.
    pub(crate) struct ShardRow: 24 {
        /// Bytes from the file's start, a multiple of 8.
        pub(crate) slots_at: u64,
        pub(crate) slot_count: u32,
        /// The number of homes, at most `slot_count`.
        pub(crate) capacity: u32,
        /// Slots that are taken, at most `slot_count`.
        pub(crate) count: u32,
        /// CRC-32C of the slots.
        pub(crate) crc: u32,
    }
}

impl ShardRow {
    /// The first byte behind the slots.
    pub(crate) fn end(&self) -> Option<u64> {
        u64::from(self.slot_count).checked_mul(SLOT_LEN)?.checked_add(self.slots_at)
    }
}
