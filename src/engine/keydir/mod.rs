//! The keydir: the index from each key to its newest record.
//!
//! The top 10 bits of a key's hash choose one of 1,024 shards. A shard is an open-addressing table
//! of 8-byte slots, `tag 24 bits · address 40 bits`, in hash order (ordered linear probing: Amble
//! and Knuth, "Ordered hash tables", 1974). A slot's home is `tag * capacity >> 24`, which needs no
//! key. So a table grows in one pass without hashing, a removal shifts slots back and leaves no
//! tombstone, and a miss stops at the first larger tag.
//!
//! Only the log holds the keys. A slot with the right tag is a *candidate*: the caller compares the
//! key in its record. Two keys of one shard share a tag with probability 2^-24.
//!
//! A slot holds no pointer, so a shard can be in memory or in the mapped file KEYDIR. A mapped
//! shard is checked on its first lookup and copied into memory on its first write.

pub(crate) mod file;
mod shard;
mod slot;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shard::Shard;
pub(crate) use slot::{Address, Candidates, shard_of};
use slot::{slot, tag};
use table::{OwnedTable, Table};

use crate::engine::base::error::Result;
use crate::engine::base::sync::{AtomicU64, LockRank, RwLock, RwLockReadGuard};
use crate::engine::format::keydir_file::SHARD_COUNT;

/// The index. Each shard has one writer at a time and any number of readers. The log's lock ensures
/// this, or the caller divides the shards among threads.
pub(crate) struct Keydir {
    /// Each lock covers one lookup or one change of its shard, and never I/O or another lock.
    shards: Box<[RwLock<Arc<Shard>>]>,
    /// Keys in all shards. Mapped shards share it and correct it when they are rebuilt.
    count: Arc<AtomicU64>,
}

impl Keydir {
    /// Returns an empty index. All its shards share one empty table until they are written to.
    pub(crate) fn new() -> Self {
        let empty = Arc::<Shard>::default();
        let shards = (0..SHARD_COUNT).map(|_| RwLock::new(LockRank::Leaf, Arc::clone(&empty))).collect();
        Self { shards, count: Arc::default() }
    }

    /// Returns the number of keys. Damage in KEYDIR makes it wrong until the damaged shard is
    /// rebuilt.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns the addresses of records whose key may have this hash.
    ///
    /// # Errors
    /// Those of rebuilding a damaged shard. The next call tries again.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64) -> Result<Candidates> {
        self.look(hash, |table| table.candidates(tag(hash)))
    }

    /// Prefetches the slot where a lookup of `hash` begins.
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_slot(&self.shards[shard_of(hash)].read(), hash);
    }

    /// Returns whether a slot for this hash points at `address`.
    ///
    /// # Errors
    /// As [`Keydir::candidates`].
    pub(crate) fn points_to(&self, hash: u64, address: Address) -> Result<bool> {
        self.look(hash, |table| table.position(slot(tag(hash), address)).is_some())
    }

    /// Adds a slot for a key that has none. As before every change, the caller has looked the key
    /// up, so the shard has been checked.
    pub(crate) fn insert(&self, hash: u64, address: Address) {
        self.write(hash, |table| table.insert(tag(hash), address));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a slot for a key unless it has a candidate. Returns whether it did. Saves bulk loads
    /// the lookup before [`Keydir::insert`].
    ///
    /// # Errors
    /// As [`Keydir::candidates`].
    pub(crate) fn insert_if_no_candidate(&self, hash: u64, address: Address) -> Result<bool> {
        let lock = &self.shards[shard_of(hash)];
        loop {
            let mut shard = lock.write();
            if let Some(table) = shard.ready() {
                if table.has_candidate(tag(hash)) {
                    return Ok(false);
                }
                Arc::make_mut(&mut shard).own().insert(tag(hash), address);
                self.count.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            drop(shard);
            check(lock.read())?;
        }
    }

    /// Points the slot for `old` at `new`. Returns whether there was one.
    pub(crate) fn replace(&self, hash: u64, old: Address, new: Address) -> bool {
        self.write(hash, |table| table.replace(slot(tag(hash), old), slot(tag(hash), new)))
    }

    /// Removes the slot for `address`. Returns whether there was one.
    pub(crate) fn remove(&self, hash: u64, address: Address) -> bool {
        let removed = self.write(hash, |table| table.remove(slot(tag(hash), address)));
        self.count.fetch_sub(u64::from(removed), Ordering::Relaxed);
        removed
    }

    /// Checks all shards that no lookup has checked yet. The count is exact afterwards.
    ///
    /// # Errors
    /// As [`Keydir::candidates`].
    pub(crate) fn settle(&self) -> Result<()> {
        self.shards.iter().try_for_each(|shard| check(shard.read()))
    }

    /// Removes all keys. The index must be settled: an unchecked shard would later correct the
    /// count of an index that it no longer belongs to.
    pub(crate) fn clear(&self) {
        let empty = Arc::<Shard>::default();
        for shard in &self.shards {
            *shard.write() = Arc::clone(&empty);
        }
        self.count.store(0, Ordering::Relaxed);
    }

    /// Returns a copy of the index. Both share each shard until one of them writes to it. The index
    /// must be settled, or a rebuilt shard would correct the count of only one copy. The caller
    /// prevents writes meanwhile.
    pub(crate) fn fork(&self) -> Self {
        let shards =
            self.shards.iter().map(|shard| RwLock::new(LockRank::Leaf, Arc::clone(&shard.read()))).collect();
        Self { shards, count: Arc::new(AtomicU64::new(self.count())) }
    }

    /// Returns a snapshot of the index. The caller prevents writes meanwhile. Costs 1,024 reference
    /// counts, and a copy of each shard that is written to while the snapshot exists.
    pub(crate) fn snapshot(&self) -> KeydirSnapshot {
        KeydirSnapshot(self.shards.iter().map(|shard| Arc::clone(&shard.read())).collect())
    }

    /// Returns the bytes of occupied slots, in memory and in the file.
    pub(crate) fn used_len(&self) -> u64 {
        self.count() * size_of::<u64>() as u64
    }

    /// Returns the memory of the tables, in bytes. Mapped shards do not count: the operating system
    /// can reclaim them.
    pub(crate) fn memory_len(&self) -> u64 {
        let tables: usize = self.shards.iter().map(|shard| shard.read().memory_len()).sum();
        (tables + SHARD_COUNT * (size_of::<RwLock<Arc<Shard>>>() + size_of::<Shard>())) as u64
    }

    /// Returns the bytes of the shards that are still in the file.
    pub(crate) fn mapped_len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().mapped_len() as u64).sum()
    }

    /// Returns the table of shard `index`.
    fn into_table(self, index: usize) -> Result<OwnedTable> {
        Ok(self.shards[index].read().table()?.to_owned())
    }

    #[inline]
    fn look<T>(&self, hash: u64, look: impl FnOnce(Table<'_>) -> T) -> Result<T> {
        let lock = &self.shards[shard_of(hash)];
        loop {
            let shard = lock.read();
            if let Some(table) = shard.ready() {
                return Ok(look(table));
            }
            check(shard)?;
        }
    }

    fn write<T>(&self, hash: u64, change: impl FnOnce(&mut OwnedTable) -> T) -> T {
        change(Arc::make_mut(&mut self.shards[shard_of(hash)].write()).own())
    }
}

/// Checks a shard on first use. Releases the shard's lock first, because the check reads the whole
/// shard, and perhaps the log.
#[cold]
fn check(guard: RwLockReadGuard<'_, Arc<Shard>>) -> Result<()> {
    let shard = Arc::clone(&guard);
    drop(guard);
    shard.table().map(drop)
}

impl fmt::Debug for Keydir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keydir").field("count", &self.count()).finish_non_exhaustive()
    }
}

fn prefetch_slot(shard: &Shard, hash: u64) {
    if let Some(table) = shard.ready() {
        table.prefetch(tag(hash));
    }
}

/// The index at one moment.
pub(crate) struct KeydirSnapshot(Box<[Arc<Shard>]>);

impl KeydirSnapshot {
    /// Returns the number of keys: [`Keydir::count`] of that moment, corrected for shards rebuilt
    /// since.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|shard| shard.count()).sum()
    }

    /// Works like [`Keydir::candidates`].
    pub(crate) fn candidates(&self, hash: u64) -> Result<Candidates> {
        Ok(self.0[shard_of(hash)].table()?.candidates(tag(hash)))
    }

    /// Works like [`Keydir::prefetch`].
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_slot(&self.0[shard_of(hash)], hash);
    }

    /// Returns the address of every key's newest record, in no useful order. Yields an error for a
    /// damaged shard that cannot be rebuilt.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Result<Address>> + '_ {
        self.0.iter().flat_map(|shard| {
            let (table, failure) = match shard.table() {
                Ok(table) => (Some(table), None),
                Err(error) => (None, Some(Err(error))),
            };
            table.into_iter().flat_map(Table::addresses).map(Ok).chain(failure)
        })
    }
}

#[cfg(test)]
mod tests;
