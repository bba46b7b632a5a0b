//! The rows of a keydir's head: a segment that it covers, a shard. The page above draws them.

use super::super::codec::Compressed;
use super::super::{put, record, u32_at, u64_at};
use crate::engine::base::ids::SegmentId;

const ID_AT: usize = 0;
const LEN_AT: usize = ID_AT + size_of::<u64>();
const FIRST_PAGE_AT: usize = LEN_AT + size_of::<u64>();
const EXPIRY_AT: usize = FIRST_PAGE_AT + size_of::<u32>();
const RECORD_COUNT_AT: usize = EXPIRY_AT + size_of::<u32>();
const LIVE_COUNT_AT: usize = RECORD_COUNT_AT + size_of::<u64>();
const LIVE_LEN_AT: usize = LIVE_COUNT_AT + size_of::<u64>();
const TOMBSTONE_COUNT_AT: usize = LIVE_LEN_AT + size_of::<u64>();
const TOMBSTONE_LEN_AT: usize = TOMBSTONE_COUNT_AT + size_of::<u64>();
const RAW_LEN_AT: usize = TOMBSTONE_LEN_AT + size_of::<u64>();
const STORED_LEN_AT: usize = RAW_LEN_AT + size_of::<u64>();
/// The length of a row that ends before `raw_len`.
pub(super) const SEGMENT_ROW_LEN_WITHOUT_SUMS: usize = RAW_LEN_AT;
pub(super) const SEGMENT_ROW_LEN: usize = STORED_LEN_AT + size_of::<u64>();

pub(super) const SLOTS_AT_AT: usize = 0;
pub(super) const SLOT_COUNT_AT: usize = SLOTS_AT_AT + size_of::<u64>();
pub(super) const CAPACITY_AT: usize = SLOT_COUNT_AT + size_of::<u32>();
pub(super) const COUNT_AT: usize = CAPACITY_AT + size_of::<u32>();
const CRC_AT: usize = COUNT_AT + size_of::<u32>();
pub(super) const SHARD_ROW_LEN: usize = CRC_AT + size_of::<u32>();
// The layout is stored on disk. If this fails, bump the format version.
const _: () = assert!(SEGMENT_ROW_LEN == 80 && SHARD_ROW_LEN == 24);

/// In place of the zero that says nothing: none of the segment's records expires.
const ENDLESS: u32 = 1;

const SLOT_LEN: u64 = size_of::<u64>() as u64;

/// A segment that slots point into, and what was counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Covered {
    pub(crate) id: SegmentId,
    /// Bytes of it that are covered.
    pub(crate) len: u64,
    /// Where it stands in the address space of the slots.
    pub(crate) first_page: u32,
    pub(crate) record_count: u64,
    pub(crate) live_count: u64,
    pub(crate) live_len: u64,
    pub(crate) tombstone_count: u64,
    pub(crate) tombstone_len: u64,
    /// Whether it is known that none of its records expires.
    pub(crate) is_endless: bool,
    /// What the values come to that are compressed.
    pub(crate) compressed: Compressed,
}

impl Covered {
    /// The row's bytes.
    pub(super) fn encode(&self) -> [u8; SEGMENT_ROW_LEN] {
        let mut bytes = [0; SEGMENT_ROW_LEN];
        let mut set = |at: usize, field: &[u8]| put(&mut bytes, at, field);
        set(ID_AT, &self.id.0.to_le_bytes());
        set(LEN_AT, &self.len.to_le_bytes());
        set(FIRST_PAGE_AT, &self.first_page.to_le_bytes());
        set(EXPIRY_AT, &if self.is_endless { ENDLESS } else { 0 }.to_le_bytes());
        set(RECORD_COUNT_AT, &self.record_count.to_le_bytes());
        set(LIVE_COUNT_AT, &self.live_count.to_le_bytes());
        set(LIVE_LEN_AT, &self.live_len.to_le_bytes());
        set(TOMBSTONE_COUNT_AT, &self.tombstone_count.to_le_bytes());
        set(TOMBSTONE_LEN_AT, &self.tombstone_len.to_le_bytes());
        set(RAW_LEN_AT, &self.compressed.raw_len.to_le_bytes());
        set(STORED_LEN_AT, &self.compressed.stored_len.to_le_bytes());
        bytes
    }

    /// Whether so many records, and so many bytes of them, can be in that length.
    pub(super) fn is_possible(&self) -> bool {
        let counts = [self.record_count, self.live_count, self.tombstone_count];
        counts.iter().all(|&count| count <= self.len / record::LEN_MIN)
            && self.live_len.max(self.tombstone_len).max(self.compressed.stored_len) <= self.len
    }

    /// The segment in `row`, whose length is right; unchecked. Zero is what a shorter row does not tell.
    pub(super) fn decode(row: &[u8]) -> Self {
        Self {
            id: SegmentId(u64_at(row, ID_AT)),
            len: u64_at(row, LEN_AT),
            first_page: u32_at(row, FIRST_PAGE_AT),
            record_count: u64_at(row, RECORD_COUNT_AT),
            live_count: u64_at(row, LIVE_COUNT_AT),
            live_len: u64_at(row, LIVE_LEN_AT),
            tombstone_count: u64_at(row, TOMBSTONE_COUNT_AT),
            tombstone_len: u64_at(row, TOMBSTONE_LEN_AT),
            is_endless: u32_at(row, EXPIRY_AT) == ENDLESS,
            compressed: Compressed {
                raw_len: u64_at(row, RAW_LEN_AT),
                stored_len: u64_at(row, STORED_LEN_AT),
            },
        }
    }
}

/// Where a shard's slots stand in the file, and what is to be found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardRow {
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

impl ShardRow {
    /// The row's bytes.
    pub(super) fn encode(&self) -> [u8; SHARD_ROW_LEN] {
        let mut bytes = [0; SHARD_ROW_LEN];
        let mut set = |at: usize, field: &[u8]| put(&mut bytes, at, field);
        set(SLOTS_AT_AT, &self.slots_at.to_le_bytes());
        set(SLOT_COUNT_AT, &self.slot_count.to_le_bytes());
        set(CAPACITY_AT, &self.capacity.to_le_bytes());
        set(COUNT_AT, &self.count.to_le_bytes());
        set(CRC_AT, &self.crc.to_le_bytes());
        bytes
    }

    /// The shard in `row`, whose length is right; unchecked.
    pub(super) fn decode(row: &[u8]) -> Self {
        Self {
            slots_at: u64_at(row, SLOTS_AT_AT),
            slot_count: u32_at(row, SLOT_COUNT_AT),
            capacity: u32_at(row, CAPACITY_AT),
            count: u32_at(row, COUNT_AT),
            crc: u32_at(row, CRC_AT),
        }
    }

    /// The first byte behind the slots.
    pub(crate) fn end(&self) -> Option<u64> {
        u64::from(self.slot_count).checked_mul(SLOT_LEN)?.checked_add(self.slots_at)
    }
}
