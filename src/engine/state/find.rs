//! Lookups of keys in the current state.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Replaced, State};
use crate::engine::base::error::Result;
use crate::engine::base::sync::thread;
use crate::engine::keydir::{Address, Candidates};
use crate::engine::segment::{Outline, Record};

impl State {
    /// Returns the newest record of `key`, or `None` if it is missing or expired.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), and I/O errors.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        let found = self.find_any(key)?;
        Ok(found.filter(|record| !self.is_past(record.expires_ms)))
    }

    /// Works like [`State::find`], but also returns expired records.
    #[inline]
    fn find_any(&self, key: &[u8]) -> Result<Option<Record>> {
        let hash = self.hash(key);
        // The set is loaded before the lookup. While it is held, the pages of its segments are not
        // given to other segments. So a slot's page belongs to the slot's own segment, or to none
        // in this set, which is then too old.
        let mut set = self.set.load();
        loop {
            let candidates = self.candidates_between_batches(hash)?;
            if let Some(found) = set.find(&candidates, key) {
                return found;
            }
            let newer = self.set.load();
            if Arc::ptr_eq(&set, &newer) {
                return Ok(None);
            }
            set = newer;
        }
    }

    /// Returns the addresses of records whose key may have this hash, from a moment between two
    /// batches. If a batch interferes, only the index lookup is repeated. The record is read once,
    /// however many batches follow.
    fn candidates_between_batches(&self, hash: u64) -> Result<Candidates> {
        loop {
            let batches = self.batches.load(Ordering::Acquire);
            let candidates = self.keydir.candidates(hash);
            // Through the shard's lock, a lookup that sees a slot of a batch also sees that the
            // batch began. A batch that has ended meanwhile may have written the slot that was
            // found, and replaced it again, so it counts too.
            let by_now = self.batches.load(Ordering::Acquire);
            if !is_within(by_now) && by_now == batches {
                return candidates;
            }
            while is_within(self.batches.load(Ordering::Acquire)) {
                thread::yield_now();
            }
        }
    }

    /// Works like [`State::find`] for many keys. Passes the results to `emit` in the order of
    /// `keys`. Prefetches all slots, then all records, so that the keys share the waits for memory.
    pub(crate) fn find_many(&self, keys: &[impl AsRef<[u8]>], mut emit: impl FnMut(Result<Option<Record>>)) {
        /// Enough to keep many prefetches in flight, and few enough for the results to stay in the
        /// processor's caches.
        const AT_ONCE: usize = 64;
        // All keys are checked against the same time, so that those that expire together disappear
        // together.
        let at_ms = self.now_ms();
        let mut hashes = [0; AT_ONCE];
        let mut candidates = Vec::with_capacity(AT_ONCE);
        for keys in keys.chunks(AT_ONCE) {
            let hashes = &mut hashes[..keys.len()];
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = self.hash(key.as_ref());
                self.keydir.prefetch(*hash);
            }
            // The set is loaded before the lookups, as for one key.
            let set = self.set.load();
            let batches = self.batches.load(Ordering::Acquire);
            for &hash in &*hashes {
                let found = self.keydir.candidates(hash);
                found.iter().flat_map(Candidates::iter).for_each(|address| set.prefetch(address));
                candidates.push(found);
            }
            // Otherwise one key may show a batch that another does not.
            let is_one_moment = !is_within(batches) && batches == self.batches.load(Ordering::Acquire);
            for (key, candidates) in keys.iter().map(AsRef::as_ref).zip(candidates.drain(..)) {
                emit(match candidates.map(|candidates| set.find(&candidates, key)) {
                    Ok(Some(found)) if is_one_moment => unexpired(found, at_ms),
                    Err(error) if is_one_moment => Err(error),
                    _ => unexpired(self.find_any(key), at_ms),
                });
            }
        }
    }

    /// Returns the put that a new record of `key` would replace, expired or not. Does not check its
    /// body.
    pub(crate) fn replaceable(&self, hash: u64, key: &[u8]) -> Result<Option<Replaced>> {
        let candidates = self.keydir.candidates(hash)?;
        let set = self.set.load();
        for address in candidates.iter() {
            if let Some((segment, at)) = set.locate(address)
                && let Some(Outline { len, expires_ms }) = segment.outline_if_key(at, key)?
            {
                return Ok(Some(Replaced { address, len, expires_ms }));
            }
        }
        Ok(None)
    }

    /// Works like [`State::replaceable`], but also checks the record.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), and I/O errors.
    pub(crate) fn intact(&self, hash: u64, key: &[u8]) -> Result<Option<Replaced>> {
        let candidates = self.keydir.candidates(hash)?;
        let set = self.set.load();
        let Some(record) = set.find(&candidates, key).transpose()?.flatten() else { return Ok(None) };
        let is_its_address = |&address: &Address| {
            set.locate(address).is_some_and(|(segment, at)| segment.location(at) == record.location)
        };
        let address = candidates.iter().find(is_its_address);
        Ok(address.map(|address| Replaced { address, len: record.frame.len, expires_ms: record.expires_ms }))
    }
}

/// Drops a record that had expired at `now_ms`.
fn unexpired(found: Result<Option<Record>>, now_ms: u64) -> Result<Option<Record>> {
    found.map(|record| record.filter(|record| !record.is_past(now_ms)))
}

/// Returns whether a batch is being published, given the count of begins and ends.
fn is_within(batches: u64) -> bool {
    !batches.is_multiple_of(2)
}
