//! The keydir, the index that says where each key's newest record is.
//!
//! 1,024 shards by the top 10 bits of a key's hash; each an open-addressing table of 8-byte slots, `tag 24 bits ·
//! address 40 bits`, kept in hash order (ordered linear probing: Amble and Knuth, "Ordered hash tables", 1974). A
//! slot's home is `tag * capacity >> 24`, which no slot's key is needed for: a table grows in one pass that hashes
//! nothing, a removal shifts back and leaves no tombstone, and a miss stops at the first larger tag.
//!
//! The keys are not here but in the log: a slot with the right tag is a *candidate*, and the caller compares the key
//! in the record. Two keys of one shard share a tag once in 2^24.
//!
//! A slot holds no pointer, so a shard may lie in memory or in the file KEYDIR, mapped. There it is checked when it is
//! first looked into, and copied into memory when it is first written to.

pub(crate) mod file;
mod shard;
mod slot;
mod table;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use shard::Shard;
pub(crate) use slot::{Address, Candidates, shard_of};
use slot::{slot, tag};
use table::{OwnedTable, Table};

use crate::engine::base::error::Result;
use crate::engine::base::sync::{AtomicU64, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::engine::format::keydir_file::SHARD_COUNT;

/// The index. One writer of a shard at a time (the log's lock sees to it, or who divides the shards among threads);
/// any number of readers.
pub(crate) struct Keydir {
    /// Each lock is held for one lookup or one change of its shard, and for nothing else: no I/O, no other lock.
    shards: Box<[RwLock<Arc<Shard>>]>,
    /// Keys in all shards. Shared with shards in a file, which correct it when they are rebuilt.
    count: Arc<AtomicU64>,
}

impl Keydir {
    /// An index without keys. Its shards are one until they are written to, as those of a snapshot are.
    pub(crate) fn new() -> Self {
        let empty = Arc::<Shard>::default();
        let shards = (0..SHARD_COUNT).map(|_| RwLock::new(Arc::clone(&empty))).collect();
        Self { shards, count: Arc::default() }
    }

    /// The number of keys. Where the file is damaged, that of the log only when the damage has been found.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Where records with this hash may be. Those of other keys are among them once in 2^24 or so.
    ///
    /// # Errors
    /// Those of the rebuild of a damaged shard; the next call tries again.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64) -> Result<Candidates> {
        self.look(hash, |table| table.candidates(tag(hash)))
    }

    /// Prefetches the slot at which a lookup of `hash` begins, so that lookups in a row do not each wait for memory.
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_slot(&read(&self.shards[shard_of(hash)]), hash);
    }

    /// Whether a slot of this hash points at `address`.
    ///
    /// # Errors
    /// As [`Keydir::candidates`].
    pub(crate) fn points_to(&self, hash: u64, address: Address) -> Result<bool> {
        self.look(hash, |table| table.position(slot(tag(hash), address)).is_some())
    }

    /// Adds a slot for a key that has none. As with every change, the shard has been looked into since the keydir was
    /// mapped: who changes a key's slot has looked for it, and has not gone on if that failed.
    pub(crate) fn insert(&self, hash: u64, address: Address) {
        self.write(hash, |table| table.insert(tag(hash), address));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a slot for a key if no slot is a candidate for it; whether it did. For who has many to add: one look instead
    /// of two.
    ///
    /// # Errors
    /// As [`Keydir::candidates`].
    pub(crate) fn insert_if_no_candidate(&self, hash: u64, address: Address) -> Result<bool> {
        let lock = &self.shards[shard_of(hash)];
        loop {
            let mut shard = write(lock);
            if let Some(table) = shard.ready() {
                if table.has_candidate(tag(hash)) {
                    return Ok(false);
                }
                Arc::make_mut(&mut shard).own().insert(tag(hash), address);
                self.count.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            drop(shard);
            check(read(lock))?;
        }
    }

    /// Points the slot that points at `old` to `new` instead; whether there was one.
    pub(crate) fn replace(&self, hash: u64, old: Address, new: Address) -> bool {
        self.write(hash, |table| table.replace(slot(tag(hash), old), slot(tag(hash), new)))
    }

    /// Removes the slot that points at `address`; whether there was one.
    pub(crate) fn remove(&self, hash: u64, address: Address) -> bool {
        let removed = self.write(hash, |table| table.remove(slot(tag(hash), address)));
        self.count.fetch_sub(u64::from(removed), Ordering::Relaxed);
        removed
    }

    /// Checks the shards that nobody has looked into: the count is right then.
    ///
    /// # Errors
    /// As [`Keydir::candidates`].
    pub(crate) fn settle(&self) -> Result<()> {
        self.shards.iter().try_for_each(|shard| check(read(shard)))
    }

    /// Takes all keys out. The index has been settled: a shard that was not would correct the count of one that it is no part
    /// of any more.
    pub(crate) fn clear(&self) {
        let empty = Arc::<Shard>::default();
        for shard in &self.shards {
            *write(shard) = Arc::clone(&empty);
        }
        self.count.store(0, Ordering::Relaxed);
    }

    /// A copy of the index, which shares each shard until either copy writes to it. The index must be settled: otherwise a
    /// shard would correct the count of only one copy. Nobody writes to it meanwhile.
    pub(crate) fn fork(&self) -> Self {
        let shards = self.shards.iter().map(|shard| RwLock::new(Arc::clone(&read(shard)))).collect();
        Self { shards, count: Arc::new(AtomicU64::new(self.count())) }
    }

    /// The index as it is now, if no write is under way. Costs 1,024 reference counts; a shard is copied when it is
    /// next written to while the snapshot lives.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.shards.iter().map(|shard| Arc::clone(&read(shard))).collect())
    }

    /// The bytes of the slots that hold a key, wherever their tables are.
    pub(crate) fn used_len(&self) -> u64 {
        self.count() * size_of::<u64>() as u64
    }

    /// The memory that the tables take, in bytes. Shards that still lie in the file are not counted: their memory is
    /// the operating system's, which takes it back when it needs it.
    pub(crate) fn memory_len(&self) -> u64 {
        let tables: usize = self.shards.iter().map(|shard| read(shard).memory_len()).sum();
        (tables + SHARD_COUNT * (size_of::<RwLock<Arc<Shard>>>() + size_of::<Shard>())) as u64
    }

    /// The bytes of the shards that still lie in the file.
    pub(crate) fn mapped_len(&self) -> u64 {
        self.shards.iter().map(|shard| read(shard).mapped_len() as u64).sum()
    }

    /// Its shard number `index` alone.
    fn into_table(self, index: usize) -> Result<OwnedTable> {
        Ok(read(&self.shards[index]).table()?.to_owned())
    }

    #[inline]
    fn look<T>(&self, hash: u64, look: impl FnOnce(Table<'_>) -> T) -> Result<T> {
        let lock = &self.shards[shard_of(hash)];
        loop {
            let shard = read(lock);
            if let Some(table) = shard.ready() {
                return Ok(look(table));
            }
            check(shard)?;
        }
    }

    fn write<T>(&self, hash: u64, change: impl FnOnce(&mut OwnedTable) -> T) -> T {
        change(Arc::make_mut(&mut write(&self.shards[shard_of(hash)])).own())
    }
}

/// Checks a shard that nobody has looked into. Not under its lock: the whole shard is read, and perhaps the log.
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

/// A shard is never left half changed, so a panic of another thread spoils nothing.
fn read(lock: &RwLock<Arc<Shard>>) -> RwLockReadGuard<'_, Arc<Shard>> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(lock: &RwLock<Arc<Shard>>) -> RwLockWriteGuard<'_, Arc<Shard>> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The index as it was at one moment.
pub(crate) struct Snapshot(Box<[Arc<Shard>]>);

impl Snapshot {
    /// The number of keys, as [`Keydir::count`] told it or, where a shard was rebuilt since, better.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|shard| shard.count()).sum()
    }

    /// As [`Keydir::candidates`].
    ///
    /// # Errors
    /// The same.
    pub(crate) fn candidates(&self, hash: u64) -> Result<Candidates> {
        Ok(self.0[shard_of(hash)].table()?.candidates(tag(hash)))
    }

    /// As [`Keydir::prefetch`].
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_slot(&self.0[shard_of(hash)], hash);
    }

    /// The place of every key's newest record, in no useful order; an error for a shard that is damaged and cannot be
    /// rebuilt.
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
