//! Changes of what is there: sums, and when keys expire. Each is submitted, so that many share a sync, or waited for.

use std::sync::Arc;

use super::Store;
use super::write::Pending;
use crate::engine::base::batch::{Batch, Expiry};
use crate::engine::base::error::{Error, Result};
use crate::engine::log::{Condition, Staged, Urgency};
use crate::engine::read::scan::Entry;

impl Store {
    /// Adds `by` to the number that is `key`'s value, as decimal text, and gives the sum; a missing key counts as 0. What
    /// expires goes on doing so at its time.
    ///
    /// # Errors
    /// [`Error::NotANumber`], [`Error::NumberOverflow`]: nothing was written. And as [`Store::put`] and [`Store::get`].
    pub fn incr(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        let (sum, pending) = self.submit_incr(key, by)?;
        pending.wait()?;
        Ok(sum)
    }

    /// Has `key` expire, whether it did before or not; whether it was there. Writes its value anew.
    ///
    /// # Errors
    /// As [`Store::put`] and [`Store::get`].
    pub fn expire(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<bool> {
        Ok(self.submit_expire(key, expiry)?.wait()?.is_some())
    }

    /// Keeps `key` from expiring; whether it would have. Writes its value anew if so.
    ///
    /// # Errors
    /// As [`Store::put`] and [`Store::get`].
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (_, pending) = self.submit_persist(key)?;
        Ok(pending.wait()?.is_some())
    }

    /// As [`Store::incr`], and does not wait: the sum holds, and others see it, once [`Pending::wait`] has returned. What
    /// was submitted before is added to.
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
        self.submit_change(key, |there, batch| {
            let (sum, expires_ms) = sum(there.map(|entry| (entry.value, entry.meta.expires_ms)), by)?;
            put(batch, key, sum.to_string().as_bytes(), expires_ms.map(Expiry::At));
            Ok(sum)
        })
    }

    /// As [`Store::expire`], and does not wait: [`Pending::wait`] gives `None` when the key was not there, at the end of what was
    /// submitted before.
    ///
    /// # Errors
    /// As [`Store::expire`].
    pub fn submit_expire(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<Pending> {
        let key = key.as_ref();
        let submitted = self.submit_change(key, |there, batch| {
            if let Some(entry) = there {
                put(batch, key, &entry.value, Some(expiry));
            }
            Ok(())
        });
        submitted.map(|((), pending)| pending)
    }

    /// As [`Store::persist`], and does not wait: whether the key is there at the end of what was submitted before, and what
    /// gives `None` when it does not expire. Both hold once [`Pending::wait`] has returned.
    ///
    /// # Errors
    /// As [`Store::persist`].
    pub fn submit_persist(&self, key: impl AsRef<[u8]>) -> Result<(bool, Pending)> {
        let key = key.as_ref();
        self.submit_change(key, |there, batch| {
            if let Some(entry) = there.as_ref().filter(|entry| entry.meta.expires_ms.is_some()) {
                batch.put(key, &entry.value);
            }
            Ok(there.is_some())
        })
    }

    /// Submits what `change` makes of the newest entry of `key`. Nobody writes between the two; and waiting for what was
    /// submitted waits for what was looked at, too, also where there was nothing to write.
    fn submit_change<T>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<Entry>, &mut Batch) -> Result<T>,
    ) -> Result<(T, Pending)> {
        let log = self.log()?;
        let _held = self.0.transaction_lock.exclusive()?;
        let there = self.view().opened.state.meter.get(|| log.newest(key))?.map(Entry::of).transpose()?;
        let mut batch = Batch::new();
        let answer = change(there, &mut batch)?;
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

/// `by` more than the number that a value is, and when that expires: as the value does.
pub(super) fn sum(there: Option<(impl AsRef<[u8]>, Option<u64>)>, by: i64) -> Result<(i64, Option<u64>)> {
    let (number, expires_ms) = match there {
        Some((value, expires_ms)) => (number(value.as_ref()).ok_or(Error::NotANumber)?, expires_ms),
        None => (0, None),
    };
    let sum = number.checked_add(by).ok_or(Error::NumberOverflow { number, by })?;
    Ok((sum, expires_ms))
}

/// The number that decimal text means.
fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
