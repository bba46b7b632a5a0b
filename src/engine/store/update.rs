//! Updates of existing keys: counters and expiry. Each has a `submit_` form, so that many share a
//! sync.

use std::sync::Arc;

use super::Store;
use super::write::Pending;
use crate::engine::base::batch::{Batch, Expiry};
use crate::engine::base::error::{Error, Result};
use crate::engine::log::{Condition, Staged, Urgency};
use crate::engine::read::scan::Entry;

impl Store {
    /// Adds `by` to the value of `key`, a number as decimal text, and returns the sum. A missing
    /// key counts as 0. The expiry of the key stays.
    ///
    /// # Errors
    /// [`Error::NotANumber`] and [`Error::NumberOverflow`]: nothing was written. Otherwise as
    /// [`Store::put`] and [`Store::get`].
    pub fn incr(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        let (sum, pending) = self.submit_incr(key, by)?;
        pending.wait()?;
        Ok(sum)
    }

    /// Sets the expiry of `key`, and returns whether the key is present. Writes the value again.
    ///
    /// # Errors
    /// As [`Store::put`] and [`Store::get`].
    pub fn expire(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<bool> {
        Ok(self.submit_expire(key, expiry)?.wait()?.is_some())
    }

    /// Removes the expiry of `key`, and returns whether it had one. Writes the value again in that
    /// case.
    ///
    /// # Errors
    /// As [`Store::put`] and [`Store::get`].
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (_, pending) = self.submit_persist(key)?;
        Ok(pending.wait()?.is_some())
    }

    /// Works as [`Store::incr`] without waiting, on top of earlier submitted writes. The sum is
    /// final, and visible to readers, after [`Pending::wait`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// let (_, _first) = store.submit_incr("hits", 1)?;
    /// let (sum, second) = store.submit_incr("hits", 1)?;
    /// second.wait()?;
    /// assert_eq!(sum, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::incr`].
    pub fn submit_incr(&self, key: impl AsRef<[u8]>, by: i64) -> Result<(i64, Pending)> {
        let key = key.as_ref();
        self.submit_change(key, |found, batch| {
            let (sum, expires_ms) = sum(found.map(|entry| (entry.value, entry.meta.expires_ms)), by)?;
            put(batch, key, sum.to_string().as_bytes(), expires_ms.map(Expiry::At));
            Ok(sum)
        })
    }

    /// Works as [`Store::expire`] without waiting, on top of earlier submitted writes.
    /// [`Pending::wait`] returns `None` if the key is absent.
    ///
    /// # Errors
    /// As [`Store::expire`].
    pub fn submit_expire(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<Pending> {
        let key = key.as_ref();
        let submitted = self.submit_change(key, |found, batch| {
            if let Some(entry) = found {
                put(batch, key, &entry.value, Some(expiry));
            }
            Ok(())
        });
        submitted.map(|((), pending)| pending)
    }

    /// Works as [`Store::persist`] without waiting, on top of earlier submitted writes. Returns
    /// whether the key is present. [`Pending::wait`] returns `None` if the key has no expiry. Both
    /// are final after the wait.
    ///
    /// # Errors
    /// As [`Store::persist`].
    pub fn submit_persist(&self, key: impl AsRef<[u8]>) -> Result<(bool, Pending)> {
        let key = key.as_ref();
        self.submit_change(key, |found, batch| {
            if let Some(entry) = found.as_ref().filter(|entry| entry.meta.expires_ms.is_some()) {
                batch.put(key, &entry.value);
            }
            Ok(found.is_some())
        })
    }

    /// Reads the newest entry of `key` and submits the batch that `change` makes of it. No other
    /// write comes in between. Waiting for the result also waits for the entry that was read, even
    /// if the batch is empty.
    fn submit_change<T>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<Entry>, &mut Batch) -> Result<T>,
    ) -> Result<(T, Pending)> {
        let log = self.log()?;
        let _held = self.0.transaction_lock.exclusive()?;
        let found = self.view().opened.state.meter.get(|| log.newest(key))?.map(Entry::of).transpose()?;
        let mut batch = Batch::new();
        let answer = change(found, &mut batch)?;
        let ticket = log.append(&mut Staged::all(&batch), Condition::None, Urgency::WhenWaitedFor)?;
        Ok((answer, Pending { log: Arc::clone(log), ticket }))
    }
}

fn put(batch: &mut Batch, key: &[u8], value: &[u8], expiry: Option<Expiry>) {
    match expiry {
        Some(expiry) => batch.put_expiring(key, value, expiry),
        None => batch.put(key, value),
    };
}

/// Returns the sum of `by` and the number in `found`, with the expiry of `found`.
pub(super) fn sum(found: Option<(impl AsRef<[u8]>, Option<u64>)>, by: i64) -> Result<(i64, Option<u64>)> {
    let (number, expires_ms) = match found {
        Some((value, expires_ms)) => (number(value.as_ref()).ok_or(Error::NotANumber)?, expires_ms),
        None => (0, None),
    };
    let sum = number.checked_add(by).ok_or(Error::NumberOverflow { number, by })?;
    Ok((sum, expires_ms))
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
