//! The rows of KEYDIR's head: covered segments, and shards.

use crate::engine::base::ids::SegmentId;
use crate::engine::format::codec::Compressed;
use crate::engine::format::layout::{Field, Stored, layout};
use crate::engine::format::record;

/// The value that means that none of the segment's records expires. Zero means unknown.
const ENDLESS: u32 = 1;

const SLOT_LEN: u64 = size_of::<u64>() as u64;

layout! {
    /// A segment that slots point into, and its counters.
    pub(crate) struct Covered: 80 {
        pub(crate) id: SegmentId,
        /// The covered length in bytes.
        pub(crate) len: u64,
        /// Its first page in the address space of the slots.
        pub(crate) first_page: u32,
        /// [`ENDLESS`], or zero if it is not known whether records expire.
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

/// The fields of a segment's row.
pub const KEYDIR_SEGMENT_FIELDS: &[Field] = Covered::FIELDS;
/// The fields of a shard's row.
pub const KEYDIR_SHARD_FIELDS: &[Field] = ShardRow::FIELDS;

/// Whether none of the records expires, stored as a `u32`: [`ENDLESS`] or zero.
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
    /// Returns the totals of the compressed values.
    pub(crate) fn compressed(&self) -> Compressed {
        Compressed { raw_len: self.raw_len, stored_len: self.stored_len }
    }

    /// Returns whether a segment of this length can hold these records and live bytes.
    pub(super) fn is_possible(&self) -> bool {
        let counts = [self.record_count, self.live_count, self.tombstone_count];
        counts.iter().all(|&count| count <= self.len / record::LEN_MIN)
            && self.live_len.max(self.tombstone_len).max(self.stored_len) <= self.len
    }
}

layout! {
    /// The position of a shard's slots in the file, and their counters.
    pub(crate) struct ShardRow: 24 {
        /// The offset in the file, a multiple of 8.
        pub(crate) slots_at: u64,
        pub(crate) slot_count: u32,
        /// The number of home slots, at most `slot_count`.
        pub(crate) capacity: u32,
        /// The number of used slots, at most `slot_count`.
        pub(crate) count: u32,
        /// CRC-32C of the slots.
        pub(crate) crc: u32,
    }
}

impl ShardRow {
    /// Returns the offset of the first byte after the slots.
    pub(crate) fn end(&self) -> Option<u64> {
        u64::from(self.slot_count).checked_mul(SLOT_LEN)?.checked_add(self.slots_at)
    }
}
