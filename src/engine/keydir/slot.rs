//! A slot: the tag of a hash and the address of a record in 8 bytes.

use crate::engine::format::keydir_file::SHARD_COUNT;

pub(super) const SHARD_BITS: u32 = 10;
// The top bits of a hash choose the shard.
const _: () = assert!(SHARD_COUNT == 1 << SHARD_BITS);
pub(super) const TAG_BITS: u32 = 24;
const ADDRESS_BITS: u32 = 40;
pub(super) const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;
const _: () = assert!(TAG_BITS + ADDRESS_BITS == u64::BITS);

/// An empty slot. No record has address 0, because a segment's header is there.
pub(super) const EMPTY: u64 = 0;

/// A position in the log's address space of 2^40 units of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address(pub(crate) u64);

/// Returns the number of the shard that holds `hash`.
pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

/// Returns the 24 bits of `hash` below those that choose the shard.
pub(super) fn tag(hash: u64) -> u64 {
    (hash >> (u64::BITS - SHARD_BITS - TAG_BITS)) & ((1 << TAG_BITS) - 1)
}

pub(super) fn slot(tag: u64, address: Address) -> u64 {
    tag << ADDRESS_BITS | address.0
}

pub(super) fn tag_of(slot: u64) -> u64 {
    slot >> ADDRESS_BITS
}

pub(super) fn address_of(slot: u64) -> Address {
    Address(slot & ADDRESS_MASK)
}

/// The addresses of slots with one tag. Usually there is at most one, so the first needs no heap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    first: Option<Address>,
    more: Vec<Address>,
}

impl Candidates {
    pub(super) fn push(&mut self, address: Address) {
        match self.first {
            None => self.first = Some(address),
            Some(_) => self.more.push(address),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Address> + '_ {
        self.first.iter().chain(&self.more).copied()
    }
}
