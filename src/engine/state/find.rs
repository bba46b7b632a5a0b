//! Lookups: the record that the keydir points to for a key.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Replaced, State};
use crate::engine::base::error::Result;
use crate::engine::base::sync::thread;
use crate::engine::keydir::{Address, Candidates};
use crate::engine::segment::{Outline, Record};

impl State {
    /// The newest record of `key`, checked; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), and what the operating system says.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        let found = self.find_any(key)?;
        Ok(found.filter(|record| !self.is_past(record.expires_ms)))
    }

    /// The newest record of `key`, checked, expired or not.
    #[inline]
    fn find_any(&self, key: &[u8]) -> Result<Option<Record>> {
        let hash = self.hash(key);
        // Before the lookup: while this set is held, no page of its segments is given to another one. So a slot's page is
        // its own segment's, or not in this set, which is then too old.
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

    /// Where records with this hash may be, at a moment between two batches. Only the look at the index is done again when a
    /// batch came between: what was found is read once, however long that takes and however many batches follow each other.
    fn candidates_between_batches(&self, hash: u64) -> Result<Candidates> {
        loop {
            let batches = self.batches.load(Ordering::Acquire);
            let candidates = self.keydir.candidates(hash);
            // Who has seen a slot of a batch, under its shard's lock, sees that the batch had begun. One that has ended by
            // now, too, may have put what was found and replaced it itself: nobody is to see that.
            let by_now = self.batches.load(Ordering::Acquire);
            if !is_within(by_now) && by_now == batches {
                return candidates;
            }
            while is_within(self.batches.load(Ordering::Acquire)) {
                thread::yield_now();
            }
        }
    }

    /// As [`State::find`] of each key, many of them at once, told to `tell` in their order: first all slots are fetched, then,
    /// when all places are known, all records, so that the processor waits for memory once for many and not once for each.
    pub(crate) fn find_many(&self, keys: &[impl AsRef<[u8]>], mut tell: impl FnMut(Result<Option<Record>>)) {
        /// Enough to keep a processor's fetches busy, few enough that what they brought is still in its caches.
        const AT_ONCE: usize = 64;
        // Keys that expire together are judged at one time.
        let at_ms = self.now_ms();
        let mut hashes = [0; AT_ONCE];
        let mut candidates = Vec::with_capacity(AT_ONCE);
        for keys in keys.chunks(AT_ONCE) {
            let hashes = &mut hashes[..keys.len()];
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = self.hash(key.as_ref());
                self.keydir.prefetch(*hash);
            }
            // As for one key, the set comes before the lookups.
            let set = self.set.load();
            let batches = self.batches.load(Ordering::Acquire);
            for &hash in &*hashes {
                let found = self.keydir.candidates(hash);
                found.iter().flat_map(Candidates::iter).for_each(|address| set.prefetch(address));
                candidates.push(found);
            }
            // A batch that began and ended meanwhile may have been seen by one key and not by the next.
            let is_one_moment = !is_within(batches) && batches == self.batches.load(Ordering::Acquire);
            for (key, candidates) in keys.iter().map(AsRef::as_ref).zip(candidates.drain(..)) {
                tell(match candidates.map(|candidates| set.find(&candidates, key)) {
                    Ok(Some(found)) if is_one_moment => unexpired(found, at_ms),
                    Err(error) if is_one_moment => Err(error),
                    _ => unexpired(self.find_any(key), at_ms),
                });
            }
        }
    }

    /// The record that the keydir points to for `key`, expired or not, for a writer to replace; its body is not
    /// looked at.
    ///
    /// # Errors
    /// What the operating system says.
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

    /// As [`State::replaceable`], and the record is intact.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), and what the operating system says.
    pub(crate) fn intact(&self, hash: u64, key: &[u8]) -> Result<Option<Replaced>> {
        let candidates = self.keydir.candidates(hash)?;
        let set = self.set.load();
        let Some(record) = set.find(&candidates, key).transpose()?.flatten() else { return Ok(None) };
        let is_its_place = |&address: &Address| {
            set.locate(address).is_some_and(|(segment, at)| segment.location(at) == record.location)
        };
        let address = candidates.iter().find(is_its_place);
        let (len, expires_ms) = (record.frame.len, record.expires_ms);
        Ok(address.map(|address| Replaced { address, len, expires_ms }))
    }
}

/// The entry, unless it had expired at `now_ms`.
fn unexpired(found: Result<Option<Record>>, now_ms: u64) -> Result<Option<Record>> {
    found.map(|record| record.filter(|record| !record.is_past(now_ms)))
}

/// Whether a batch is being published, by what is counted of batches.
fn is_within(batches: u64) -> bool {
    !batches.is_multiple_of(2)
}
