//! The table of one shard: open addressing in tag order.

use super::slot::{Address, Candidates, EMPTY, TAG_BITS, address_of, slot, tag_of};
use crate::engine::fs::prefetch;

/// A table grows by a fifth when it is 17/20 = 0.85 full, and is 0.71 full afterwards. A key takes
/// 9.4 to 11.3 bytes, plus the overflow.
const LOAD_MAX: (usize, usize) = (17, 20);
const GROWTH: (usize, usize) = (6, 5);
const CAPACITY_MIN: usize = 8;
/// Slots reserved after the last home. A table rarely needs more.
const OVERFLOW: usize = 32;

/// A view of a table. Slots are in tag order, each at its home, or after it with no empty slot in
/// between. The end does not wrap around: slots pushed past `capacity` make `slots` longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    pub(super) slots: &'a [u64],
    /// The number of homes.
    pub(super) capacity: usize,
    pub(super) count: usize,
}

fn home(tag: u64, capacity: usize) -> usize {
    (tag as usize * capacity) >> TAG_BITS
}

impl<'a> Table<'a> {
    /// Returns the slots from the home of `tag` on that can hold `tag`, with their positions.
    #[inline]
    fn run(self, tag: u64) -> impl Iterator<Item = (usize, u64)> + 'a {
        let home = home(tag, self.capacity);
        let slots = self.slots.get(home..).unwrap_or_default();
        slots
            .iter()
            .enumerate()
            .map(move |(at, &slot)| (home + at, slot))
            .take_while(move |&(_, slot)| slot != EMPTY && tag_of(slot) <= tag)
    }

    #[inline]
    pub(super) fn candidates(self, tag: u64) -> Candidates {
        let mut candidates = Candidates::default();
        for (_, slot) in self.run(tag).filter(|&(_, slot)| tag_of(slot) == tag) {
            candidates.push(address_of(slot));
        }
        candidates
    }

    /// Prefetches the first slot that a lookup of `tag` reads.
    pub(super) fn prefetch(self, tag: u64) {
        if let Some(slot) = self.slots.get(home(tag, self.capacity)) {
            prefetch(slot);
        }
    }

    pub(super) fn has_candidate(self, tag: u64) -> bool {
        self.run(tag).any(|(_, slot)| tag_of(slot) == tag)
    }

    pub(super) fn position(self, wanted: u64) -> Option<usize> {
        self.run(tag_of(wanted)).find(|&(_, slot)| slot == wanted).map(|(at, _)| at)
    }

    pub(super) fn addresses(self) -> impl Iterator<Item = Address> + 'a {
        self.slots.iter().filter(|&&slot| slot != EMPTY).map(|&slot| address_of(slot))
    }

    /// Returns the occupied slots in an order that does not depend on the history of the table.
    pub(super) fn sorted_slots(self) -> Vec<u64> {
        let mut slots: Vec<u64> = self.slots.iter().copied().filter(|&slot| slot != EMPTY).collect();
        slots.sort_unstable();
        slots
    }

    /// Returns whether the slots are in the order described at [`Table`]. A file may hold anything.
    pub(super) fn is_sound(self) -> bool {
        let mut run_start = 0;
        let mut last_tag = 0;
        let mut count = 0;
        for (at, &slot) in self.slots.iter().enumerate() {
            if slot == EMPTY {
                run_start = at + 1;
                continue;
            }
            let tag = tag_of(slot);
            let is_in_reach = (run_start..=at).contains(&home(tag, self.capacity));
            if !is_in_reach || tag < last_tag || address_of(slot).0 == 0 {
                return false;
            }
            (last_tag, count) = (tag, count + 1);
        }
        count == self.count && self.capacity <= self.slots.len()
    }

    pub(super) fn to_owned(self) -> OwnedTable {
        OwnedTable { slots: self.slots.to_vec(), capacity: self.capacity, count: self.count }
    }
}

/// A table in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnedTable {
    slots: Vec<u64>,
    capacity: usize,
    count: usize,
}

impl OwnedTable {
    #[inline]
    pub(super) fn view(&self) -> Table<'_> {
        Table { slots: &self.slots, capacity: self.capacity, count: self.count }
    }

    /// Returns the memory of the slots, in bytes.
    pub(super) fn memory_len(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    /// Replaces the slot `old` with `new`, which has the same tag. Returns whether `old` was found.
    pub(super) fn replace(&mut self, old: u64, new: u64) -> bool {
        let found = self.view().position(old);
        if let Some(at) = found {
            self.slots[at] = new;
        }
        found.is_some()
    }

    pub(super) fn insert(&mut self, tag: u64, address: Address) {
        if (self.count + 1) * LOAD_MAX.1 > self.capacity * LOAD_MAX.0 {
            self.grow();
        }
        // After slots of the same tag: the run ends at a larger tag, an empty slot or the end.
        let at = home(tag, self.capacity) + self.view().run(tag).count();
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

    /// Removes the slot `wanted`. Returns whether it was found.
    pub(super) fn remove(&mut self, wanted: u64) -> bool {
        let Some(at) = self.view().position(wanted) else {
            return false;
        };
        // The following slots shift back by one, up to the first that is empty or at its home.
        let stays = |(at, &slot): (usize, &u64)| slot == EMPTY || home(tag_of(slot), self.capacity) == at;
        let behind = self.slots.iter().enumerate().skip(at + 1);
        let end = behind.clone().find(|&entry| stays(entry)).map_or(self.slots.len(), |(at, _)| at);
        self.slots[at..end].rotate_left(1);
        self.slots[end - 1] = EMPTY;
        self.count -= 1;
        true
    }

    /// Adds a fifth more homes, in one pass over the slots, which are already in order.
    fn grow(&mut self) {
        let capacity = (self.capacity * GROWTH.0).div_ceil(GROWTH.1).max(self.capacity + CAPACITY_MIN);
        let old = std::mem::take(&mut self.slots);
        self.capacity = capacity;
        let mut slots = Vec::with_capacity(capacity + OVERFLOW);
        for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
            // At its home, or right after the previous slot.
            slots.resize(slots.len().max(home(tag_of(slot), capacity)), EMPTY);
            slots.push(slot);
        }
        slots.resize(slots.len().max(capacity), EMPTY);
        // A Vec that had to grow has doubled its capacity, and each shard would waste half of it.
        slots.shrink_to_fit();
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u64 = 1 << (TAG_BITS - 1);

    #[test]
    fn a_table_is_sound_only_when_every_slot_can_be_found() {
        let low = slot(0, Address(1));
        let high = slot(TOP, Address(2));
        let cases: &[(&str, &[u64], usize, usize, bool)] = &[
            ("nothing", &[], 0, 0, true),
            ("each at its home", &[low, high], 2, 2, true),
            ("pushed behind its home", &[low, low, high], 2, 3, true),
            ("past the last home", &[EMPTY, high, high], 2, 2, true),
            ("before its home", &[high, EMPTY], 2, 1, false),
            ("behind a gap", &[EMPTY, EMPTY, high], 2, 1, false),
            ("out of order", &[low, high, low], 2, 3, false),
            ("another count", &[low, high], 2, 1, false),
            ("more homes than slots", &[low], 2, 1, false),
            ("an address that no record has", &[slot(1, Address(0))], 1, 1, false),
        ];
        for &(what, slots, capacity, count, is_sound) in cases {
            assert_eq!(Table { slots, capacity, count }.is_sound(), is_sound, "{what}");
        }
    }

    #[test]
    fn the_largest_tag_is_found_behind_the_last_home() {
        let mut table = OwnedTable::default();
        let tag = (1 << TAG_BITS) - 1;
        for address in 1..100 {
            table.insert(tag, Address(address));
        }
        assert_eq!(table.view().candidates(tag).iter().count(), 99);
        assert!(table.remove(slot(tag, Address(50))));
        assert!(!table.remove(slot(tag, Address(50))));
        assert_eq!(table.view().candidates(tag).iter().count(), 98);
        assert!(table.view().is_sound());
    }
}
