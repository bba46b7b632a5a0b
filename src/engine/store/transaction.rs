//! Transactions and compare-and-swap.

use super::Store;
use super::overlay::Overlay;
use crate::engine::base::error::{Error, Result};
use crate::engine::log::{Condition, Staged, Urgency};

impl Store {
    /// Runs `work` as a transaction. Writes all its changes if it returns `Ok`, and nothing if it
    /// returns `Err` or panics.
    ///
    /// Transactions are serialisable: they run one at a time, and other writes wait until the
    /// changes are in the log. Reads do not wait. Keep `work` short, and write through its
    /// [`Overlay`]. A write through the store in this thread fails with
    /// [`Error::WithinTransaction`], and waiting for a write in another thread is a deadlock.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// # store.put("from", "100")?;
    /// # store.put("to", "0")?;
    /// store.transact(|transaction| {
    ///     let amount = |value: Option<logkv::Value>| value.map_or(0, |value| value.len());
    ///     let sum = amount(transaction.get("from")?) + amount(transaction.get("to")?);
    ///     transaction.delete("from");
    ///     transaction.put("to", sum.to_string());
    ///     Ok::<_, logkv::Error>(())
    /// })?;
    /// assert_eq!(store.get("to")?.as_deref(), Some(&b"4"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The errors of `work`, and those of [`Store::write`].
    pub fn transact<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Overlay) -> Result<T, E>,
    ) -> Result<T, E> {
        let log = self.log()?;
        let held = self.0.transaction_lock.exclusive()?;
        // The transaction must see all earlier writes.
        log.publish_all()?;
        let mut overlay = Overlay::new(self);
        let done = work(&mut overlay)?;
        let batch = overlay.to_batch();
        if batch.is_empty() {
            return Ok(done);
        }
        let ticket = log.append(&mut Staged::all(&batch), Condition::None, Urgency::Now)?;
        // The batch has its place in the log. Other writes can now share its sync.
        drop(held);
        log.wait(&ticket)?;
        Ok(done)
    }

    /// Sets `key` to `new` if its value is `expected`, and returns whether it was. `None` as
    /// `expected` means that the key is absent; `None` as `new` deletes the key. The new value does
    /// not expire.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// assert!(store.compare_and_swap("leader", None, Some(b"a"))?);
    /// assert!(!store.compare_and_swap("leader", None, Some(b"b"))?);
    /// assert!(store.compare_and_swap("leader", Some(b"a"), Some(b"b"))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::put`] and [`Store::get`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        self.transact(|transaction| {
            let key = key.as_ref();
            let is_expected = transaction.get(key)?.as_deref() == expected;
            match new.filter(|_| is_expected) {
                Some(new) => transaction.put(key, new),
                None if is_expected => transaction.delete(key),
                None => {}
            }
            Ok(is_expected)
        })
    }
}
