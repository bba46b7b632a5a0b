//! Layer 3: the keydir, the in-memory index that says where each key's newest record is.
//!
//! 1,024 shards by the top 10 bits of a key's hash; each an open-addressing table of 8-byte slots, `tag 24 bits ·
//! address 40 bits`, kept in hash order (ordered linear probing: Amble and Knuth, "Ordered hash tables", 1974). A
//! slot's home is `tag * capacity >> 24`, which no slot's key is needed for: a table grows in one pass that hashes
//! nothing, a removal shifts back and leaves no tombstone, and a miss stops at the first larger tag.
//!
//! The keys are not here but in the log: a slot with the right tag is a *candidate*, and the caller compares the key
//! in the record. Two keys of one shard share a tag once in 2^24.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Shards; a power of two, chosen by the hash's top bits.
const SHARD_COUNT: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 10;
const TAG_BITS: u32 = 24;
const ADDRESS_BITS: u32 = 40;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;
const _: () = assert!(TAG_BITS + ADDRESS_BITS == u64::BITS);
/// A slot that holds nothing: no record has address 0, where a segment's header stands.
const EMPTY: u64 = 0;
/// Slots are filled to 17/20 = 0.85, then the table grows by a fifth, to 0.71: 9.4 to 11.3 bytes a key,
/// and a little for those behind the last home.
const LOAD_MAX: (usize, usize) = (17, 20);
const GROWTH: (usize, usize) = (6, 5);
const CAPACITY_MIN: usize = 8;
/// Slots that a table nearly never needs behind its last home.
const OVERFLOW: usize = 32;

/// A place in the log's address space: 2^40 units of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address(pub(crate) u64);

/// The index. One writer at a time (the log's lock sees to it); any number of readers.
pub(crate) struct Keydir {
    /// Each lock is held for one lookup or one change of its shard, and for nothing else: no I/O, no other lock.
    shards: Box<[RwLock<Arc<Shard>>]>,
    /// Keys in all shards.
    count: AtomicU64,
}

impl Keydir {
    /// An index without keys.
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARD_COUNT).map(|_| RwLock::default()).collect(), count: AtomicU64::new(0) }
    }

    /// The number of keys.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Where records with this hash may be. Those of other keys are among them once in 2^24 or so.
    pub(crate) fn candidates(&self, hash: u64) -> crate::error::Result<Candidates> {
        Ok(self.read(hash).candidates(tag(hash)))
    }

    pub(crate) fn points_to(&self, hash: u64, address: Address) -> crate::error::Result<bool> {
        Ok(self.candidates(hash)?.iter().any(|candidate| candidate == address))
    }

    /// Adds a slot for a key that has none.
    pub(crate) fn insert(&self, hash: u64, address: Address) {
        self.write(hash, |shard| shard.insert(tag(hash), address));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Points the slot that points at `old` to `new` instead; whether there was one.
    pub(crate) fn replace(&self, hash: u64, old: Address, new: Address) -> bool {
        self.write(hash, |shard| {
            let found = shard.position(slot(tag(hash), old));
            if let Some(at) = found {
                shard.slots[at] = slot(tag(hash), new);
            }
            found.is_some()
        })
    }

    /// Removes the slot that points at `address`; whether there was one.
    pub(crate) fn remove(&self, hash: u64, address: Address) -> bool {
        let removed = self.write(hash, |shard| shard.remove(slot(tag(hash), address)));
        self.count.fetch_sub(u64::from(removed), Ordering::Relaxed);
        removed
    }

    /// The index as it is now, if no write is under way. Costs 1,024 reference counts; a shard is copied when it is
    /// next written to while the snapshot lives.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.shards.iter().map(|shard| Arc::clone(&read(shard))).collect(), self.count())
    }

    /// The memory that the tables take, in bytes.
    pub(crate) fn memory_len(&self) -> u64 {
        let tables: usize =
            self.shards.iter().map(|shard| read(shard).slots.capacity() * size_of::<u64>()).sum();
        (tables + SHARD_COUNT * (size_of::<RwLock<Arc<Shard>>>() + size_of::<Shard>())) as u64
    }

    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Arc<Shard>> {
        read(&self.shards[shard_of(hash)])
    }

    fn write<T>(&self, hash: u64, change: impl FnOnce(&mut Shard) -> T) -> T {
        let lock = &self.shards[shard_of(hash)];
        let mut guard: RwLockWriteGuard<'_, _> = lock.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut guard))
    }
}

impl fmt::Debug for Keydir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keydir").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A shard is never left half changed, so a panic of another thread spoils nothing.
fn read(lock: &RwLock<Arc<Shard>>) -> RwLockReadGuard<'_, Arc<Shard>> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// The index as it was at one moment.
pub(crate) struct Snapshot(Box<[Arc<Shard>]>, u64);

impl Snapshot {
    pub(crate) fn count(&self) -> u64 {
        self.1
    }
    pub(crate) fn candidates(&self, hash: u64) -> crate::error::Result<Candidates> {
        Ok(self.0[shard_of(hash)].candidates(tag(hash)))
    }
    pub(crate) fn points_to(&self, hash: u64, address: Address) -> crate::error::Result<bool> {
        Ok(self.candidates(hash)?.iter().any(|candidate| candidate == address))
    }
    /// The place of every key's newest record, in no useful order.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.0.iter().flat_map(|shard| shard.addresses())
    }
}

/// Addresses to look at: nearly always none or one, so they are not put on the heap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    first: Option<Address>,
    more: Vec<Address>,
}

impl Candidates {
    fn push(&mut self, address: Address) {
        match self.first {
            None => self.first = Some(address),
            Some(_) => self.more.push(address),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Address> + '_ {
        self.first.iter().chain(&self.more).copied()
    }
}

/// One table. Slots are in tag order, each at its home or behind it without an empty slot between; the end does not
/// wrap around: what is pushed past `capacity` makes `slots` longer.
#[derive(Clone, Debug, Default)]
struct Shard {
    slots: Vec<u64>,
    /// The number of homes.
    capacity: usize,
    count: usize,
}

pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

fn tag(hash: u64) -> u64 {
    (hash >> (u64::BITS - SHARD_BITS - TAG_BITS)) & ((1 << TAG_BITS) - 1)
}

fn slot(tag: u64, address: Address) -> u64 {
    tag << ADDRESS_BITS | address.0
}

fn tag_of(slot: u64) -> u64 {
    slot >> ADDRESS_BITS
}

impl Shard {
    fn home(&self, tag: u64) -> usize {
        (tag as usize * self.capacity) >> TAG_BITS
    }

    /// The slots from `tag`'s home on that could be `tag`'s, with their positions.
    fn run(&self, tag: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        let home = self.home(tag);
        let slots = self.slots.get(home..).unwrap_or_default();
        slots
            .iter()
            .enumerate()
            .map(move |(at, &slot)| (home + at, slot))
            .take_while(move |&(_, slot)| slot != EMPTY && tag_of(slot) <= tag)
    }

    fn candidates(&self, tag: u64) -> Candidates {
        let mut candidates = Candidates::default();
        for (_, slot) in self.run(tag).filter(|&(_, slot)| tag_of(slot) == tag) {
            candidates.push(Address(slot & ADDRESS_MASK));
        }
        candidates
    }

    fn position(&self, wanted: u64) -> Option<usize> {
        self.run(tag_of(wanted)).find(|&(_, slot)| slot == wanted).map(|(at, _)| at)
    }

    fn insert(&mut self, tag: u64, address: Address) {
        if (self.count + 1) * LOAD_MAX.1 > self.capacity * LOAD_MAX.0 {
            self.grow();
        }
        // Behind its equals: the run ends where a larger tag, an empty slot or the table's end stands.
        let at = self.home(tag) + self.run(tag).count();
        let empty = self.slots.iter().skip(at).position(|&slot| slot == EMPTY);
        match empty {
            Some(distance) => self.slots[at..=at + distance].rotate_right(1),
            None => {
                self.slots.reserve_exact(1);
                self.slots.push(EMPTY);
                self.slots[at..].rotate_right(1);
            }
        }
        self.slots[at] = slot(tag, address);
        self.count += 1;
    }

    fn remove(&mut self, wanted: u64) -> bool {
        let Some(at) = self.position(wanted) else {
            return false;
        };
        // Everything behind moves up by one, until a slot that is at its home (or empty).
        let stays = |(at, &slot): (usize, &u64)| slot == EMPTY || self.home(tag_of(slot)) == at;
        let behind = self.slots.iter().enumerate().skip(at + 1);
        let end = behind.clone().find(|&entry| stays(entry)).map_or(self.slots.len(), |(at, _)| at);
        self.slots[at..end].rotate_left(1);
        self.slots[end - 1] = EMPTY;
        self.count -= 1;
        true
    }

    /// Gives the table a fifth more homes, in one pass over the slots, which are in order already.
    fn grow(&mut self) {
        let capacity = (self.capacity * GROWTH.0).div_ceil(GROWTH.1).max(self.capacity + CAPACITY_MIN);
        let old = std::mem::take(&mut self.slots);
        self.capacity = capacity;
        let mut slots = Vec::with_capacity(capacity + OVERFLOW);
        for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
            // Never before the one before it: at home, or right behind.
            slots.resize(slots.len().max(self.home(tag_of(slot))), EMPTY);
            slots.push(slot);
        }
        slots.resize(slots.len().max(capacity), EMPTY);
        // A Vec that grew by itself has doubled: half of it would be lost to every shard.
        slots.shrink_to_fit();
        self.slots = slots;
    }

    fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.slots.iter().filter(|&&slot| slot != EMPTY).map(|slot| Address(slot & ADDRESS_MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Tags from a few bits, so that runs are long and tags collide: shard 0 alone.
    fn colliding_hash(key: u16) -> u64 {
        (u64::from(key) % 7) << (u64::BITS - SHARD_BITS - 3)
    }

    fn spread_hash(key: u16) -> u64 {
        u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn assert_in_order(shard: &Shard) {
        let taken: Vec<_> = shard.slots.iter().enumerate().filter(|&(_, &slot)| slot != EMPTY).collect();
        assert_eq!(taken.len(), shard.count);
        for pair in taken.windows(2) {
            assert!(tag_of(*pair[0].1) <= tag_of(*pair[1].1), "tags in order");
        }
        for &(at, &slot) in &taken {
            let home = shard.home(tag_of(slot));
            assert!(home <= at, "not before its home");
            assert!(shard.slots[home..at].iter().all(|&slot| slot != EMPTY), "no gap since its home");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16),
        Remove(u16),
        Snapshot,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0u16..300).prop_map(Step::Put),
            3 => (0u16..300).prop_map(Step::Remove),
            1 => Just(Step::Snapshot),
        ];
        prop::collection::vec(step, 0..600)
    }

    /// Does what a store does: looks for the key's own slot among the candidates, by the "log" that knows which
    /// address belongs to which key.
    fn run(steps: &[Step], hash: fn(u16) -> u64) {
        let keydir = Keydir::new();
        let mut model: BTreeMap<u16, Address> = BTreeMap::new();
        let mut log: Vec<u16> = vec![u16::MAX];
        let mut snapshots = Vec::new();
        let find = |log: &[u16], key: u16| {
            keydir.candidates(hash(key)).iter().find(|address| log[address.0 as usize] == key)
        };
        for step in steps {
            match *step {
                Step::Put(key) => {
                    let new = Address(log.len() as u64);
                    match find(&log, key) {
                        Some(old) => assert!(keydir.replace(hash(key), old, new)),
                        None => keydir.insert(hash(key), new),
                    }
                    log.push(key);
                    model.insert(key, new);
                }
                Step::Remove(key) => {
                    let removed = find(&log, key).is_some_and(|old| keydir.remove(hash(key), old));
                    assert_eq!(removed, model.remove(&key).is_some());
                }
                Step::Snapshot => snapshots.push((keydir.snapshot(), model.clone())),
            }
        }
        assert_eq!(keydir.count(), model.len() as u64);
        for key in 0..300 {
            assert_eq!(find(&log, key), model.get(&key).copied(), "key {key}");
        }
        for shard in &keydir.shards {
            assert_in_order(&read(shard));
        }
        snapshots.push((keydir.snapshot(), model));
        for (snapshot, model) in snapshots {
            let mut seen: Vec<_> = snapshot.addresses().collect();
            seen.sort();
            let mut wanted: Vec<_> = model.into_values().collect();
            wanted.sort();
            assert_eq!(seen, wanted, "a snapshot is what the index was");
        }
    }

    proptest! {
        #[test]
        fn the_index_is_a_map_although_hashes_collide(steps in steps()) {
            run(&steps, colliding_hash);
        }

        #[test]
        fn the_index_is_a_map_when_hashes_spread(steps in steps()) {
            run(&steps, spread_hash);
        }
    }

    #[test]
    fn the_largest_tag_is_found_behind_the_last_home() {
        let keydir = Keydir::new();
        let hash = u64::MAX;
        for address in 1..100 {
            keydir.insert(hash, Address(address));
        }
        assert_eq!(keydir.candidates(hash).iter().count(), 99);
        assert!(keydir.remove(hash, Address(50)));
        assert!(!keydir.remove(hash, Address(50)));
        assert_eq!(keydir.candidates(hash).iter().count(), 98);
    }

    #[test]
    fn a_key_takes_at_most_twelve_bytes() {
        let keydir = Keydir::new();
        let mut worst: f64 = 0.0;
        for key in 1..=1_000_000_u64 {
            keydir.insert(crate::engine::format::key_hash(7, &key.to_le_bytes()), Address(key));
            if key >= 500_000 && key.is_multiple_of(50_000) {
                worst = worst.max(keydir.memory_len() as f64 / key as f64);
            }
        }
        assert!(worst <= 12.0, "{worst} bytes a key");
    }
}
