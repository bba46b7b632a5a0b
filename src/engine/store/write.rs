//! Puts, deletes and batches, with and without waiting.

use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::engine::base::batch::{Batch, Expiry, Op};
#[cfg(doc)]
use crate::engine::base::error::Error;
use crate::engine::base::error::Result;
use crate::engine::log::{Commit, Condition, Log, Staged, Ticket, Urgency};

/// The expiry and the condition of a put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    expiry: Option<Expiry>,
    condition: Condition,
}

impl PutOptions {
    /// Creates options for a put without expiry and condition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the expiry. `None` means that the key never expires.
    #[must_use]
    pub fn expiry(mut self, expiry: Option<Expiry>) -> Self {
        self.expiry = expiry;
        self
    }

    /// Sets a time to live, which counts from the write.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.expiry(Some(Expiry::In(ttl)))
    }

    /// Puts only if the key is absent.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::Absent;
        self
    }

    /// Puts only if the key is present.
    #[must_use]
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::Present;
        self
    }
}

/// A submitted write that is not acknowledged yet; see [`Store::submit`].
///
/// Until [`Pending::wait`] returns, the write may be lost, and readers may or may not see it. It
/// goes into the log in order, with the next write, wait or sync at the latest. Dropping this value
/// does not cancel the write. A write that no caller waits for takes about 100 bytes of memory
/// until a sync.
#[derive(Debug)]
#[must_use = "the write is acknowledged when `wait` returns"]
pub struct Pending {
    pub(super) log: Arc<Log>,
    pub(super) ticket: Ticket,
}

impl Pending {
    /// Waits until the write is visible, and as durable as the sync policy says. Returns `None` if
    /// nothing had to be written; the records that decided this are then durable.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotWritten`] and [`Error::Closed`]: the write is lost.
    /// [`Error::OutcomeUnknown`]: the write may be lost.
    pub fn wait(self) -> Result<Option<Commit>> {
        self.log.wait(&self.ticket)?;
        Ok(self.ticket.commit)
    }
}

impl Store {
    /// Sets `key` to `value`. When this returns, the write is as durable as the sync policy says.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::ValueLength`], [`Error::ExpiryTooLate`], [`Error::ReadOnly`],
    /// [`Error::Closed`], [`Error::Poisoned`] and [`Error::Io`]: nothing was written.
    /// [`Error::OutcomeUnknown`]: the write may be lost.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Commit> {
        let commit = self.put_with(key, value, PutOptions::new())?;
        Ok(commit.expect("a put without a condition always writes"))
    }

    /// Sets `key` to `value` if the key is absent. Otherwise writes nothing and returns `None`.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Commit>> {
        self.put_with(key, value, PutOptions::new().if_absent())
    }

    /// Sets `key` to `value` if the key is present. Otherwise writes nothing and returns `None`.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_if_present(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Commit>> {
        self.put_with(key, value, PutOptions::new().if_present())
    }

    /// Sets `key` to `value` with `options`. If their condition does not hold, writes nothing and
    /// returns `None`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// use std::time::Duration;
    /// let for_a_minute = logkv::PutOptions::new().ttl(Duration::from_secs(60));
    /// assert!(store.put_with("lock", "me", for_a_minute.if_absent())?.is_some());
    /// assert!(store.put_with("lock", "you", for_a_minute.if_absent())?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<Option<Commit>> {
        let put = Op::Put { key: key.as_ref(), value: value.as_ref(), expiry: options.expiry };
        self.commit(&mut [put.into()], options.condition)
    }

    /// Removes `key`, and returns whether it was present. Writes nothing if it was absent.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let commit = self.commit(&mut [Op::Delete { key: key.as_ref() }.into()], Condition::None)?;
        Ok(commit.is_some_and(|commit| commit.deleted > 0))
    }

    /// Applies the whole `batch` or nothing of it, even across a crash. Returns `None` if nothing
    /// had to be written, because the batch only deletes absent keys, or is empty.
    ///
    /// # Errors
    /// As [`Store::put`], and [`Error::BatchLength`].
    pub fn write(&self, batch: &Batch) -> Result<Option<Commit>> {
        self.commit(&mut Staged::all(batch), Condition::None)
    }

    /// Submits `batch` without waiting, so that later writes share its system call and its sync.
    /// [`Pending::wait`] acknowledges it. Use this for many writes in a row, and [`Store::write`]
    /// for one.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn submit(&self, batch: &Batch) -> Result<Pending> {
        self.submit_staged(&mut Staged::all(batch), Condition::None)
    }

    /// Works as [`Store::put_with`] without waiting, on top of earlier submitted writes.
    /// [`Pending::wait`] returns `None` if the condition did not hold.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn submit_put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<Pending> {
        let put = Op::Put { key: key.as_ref(), value: value.as_ref(), expiry: options.expiry };
        self.submit_staged(&mut [put.into()], options.condition)
    }

    fn submit_staged(&self, staged: &mut [Staged<'_>], condition: Condition) -> Result<Pending> {
        let log = self.log()?;
        let _held = self.0.transaction_lock.shared()?;
        let ticket = log.append(staged, condition, Urgency::WhenWaitedFor)?;
        Ok(Pending { log: Arc::clone(log), ticket })
    }

    /// The protocol of every write: append, then wait until the write is durable and visible.
    pub(super) fn commit(&self, staged: &mut [Staged<'_>], condition: Condition) -> Result<Option<Commit>> {
        let log = self.log()?;
        self.view().opened.state.meter.write(|| {
            let held = self.0.transaction_lock.shared()?;
            let ticket = log.append(staged, condition, Urgency::Now)?;
            drop(held);
            log.wait(&ticket)?;
            Ok(ticket.commit)
        })
    }
}
