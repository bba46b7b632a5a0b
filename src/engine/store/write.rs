//! Writes: puts, deletes and batches, waited for or not.

use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::engine::base::batch::{Batch, Expiry, Op};
#[cfg(doc)]
use crate::engine::base::error::Error;
use crate::engine::base::error::Result;
use crate::engine::log::{Commit, Condition, Log, Staged, Ticket, Urgency};

/// How a put is done: until when, and if what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    expiry: Option<Expiry>,
    condition: Condition,
}

impl PutOptions {
    /// For ever, and whatever there is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The key expires then; `None`: never.
    #[must_use]
    pub fn expiry(mut self, expiry: Option<Expiry>) -> Self {
        self.expiry = expiry;
        self
    }

    /// The key expires so long after the write.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.expiry(Some(Expiry::In(ttl)))
    }

    /// Only if the key is not there.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::Absent;
        self
    }

    /// Only if the key is there already.
    #[must_use]
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::Present;
        self
    }
}

/// A write that [`Store::submit`] took and that has not been waited for.
///
/// Until [`Pending::wait`] returns, anything may take it, and nothing is promised of who sees it. It goes into the log in
/// its order, with the next write, wait or sync at the latest; dropping this does not take it back. Writes that nobody
/// waits for take about 100 bytes of memory each until a sync.
#[derive(Debug)]
#[must_use = "the write is acknowledged when `wait` returns"]
pub struct Pending {
    pub(super) log: Arc<Log>,
    pub(super) ticket: Ticket,
}

impl Pending {
    /// Waits until the write is as durable as the sync policy says, and visible. `None` when nothing had to be written; what
    /// decided that is durable then.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotWritten`] and [`Error::Closed`]: it is not there.
    /// [`Error::OutcomeUnknown`]: it may be.
    pub fn wait(self) -> Result<Option<Commit>> {
        self.log.wait(&self.ticket)?;
        Ok(self.ticket.commit)
    }
}

impl Store {
    /// Sets `key` to `value`. When this returns, the write is as durable as the sync policy says.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::ValueLength`], [`Error::ExpiryTooLate`], [`Error::ReadOnly`], [`Error::Closed`],
    /// [`Error::Poisoned`] and [`Error::Io`]: nothing was written. [`Error::OutcomeUnknown`]: it may have been.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Commit> {
        let commit = self.put_with(key, value, PutOptions::new())?;
        Ok(commit.expect("a put without a condition always writes"))
    }

    /// Sets `key` to `value` if it is not there; `None`, and nothing written, if it is.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Commit>> {
        self.put_with(key, value, PutOptions::new().if_absent())
    }

    /// Sets `key` to `value` if it is there already; `None`, and nothing written, if it is not.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_if_present(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Commit>> {
        self.put_with(key, value, PutOptions::new().if_present())
    }

    /// Sets `key` to `value` as `options` say; `None`, and nothing written, when their condition does not hold.
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

    /// Removes `key`; whether it was there. Removing what is not there writes nothing.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let commit = self.commit(&mut [Op::Delete { key: key.as_ref() }.into()], Condition::None)?;
        Ok(commit.is_some_and(|commit| commit.deleted > 0))
    }

    /// Applies all of `batch` or nothing of it, also across a crash. `None` when nothing had to be written: it was
    /// empty, or deleted only what was not there.
    ///
    /// # Errors
    /// As [`Store::put`], and [`Error::BatchLength`].
    pub fn write(&self, batch: &Batch) -> Result<Option<Commit>> {
        self.commit(&mut Staged::all(batch), Condition::None)
    }

    /// Takes `batch` and does not wait: what follows shares one system call and one sync with it. [`Pending::wait`]
    /// acknowledges it. For many writes one after another; see [`Store::write`] for one.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn submit(&self, batch: &Batch) -> Result<Pending> {
        self.take(&mut Staged::all(batch), Condition::None)
    }

    /// As [`Store::put_with`], and does not wait: [`Pending::wait`] gives `None` when the condition did not hold at the end of
    /// what was submitted before.
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
        self.take(&mut [put.into()], options.condition)
    }

    fn take(&self, staged: &mut [Staged<'_>], condition: Condition) -> Result<Pending> {
        let log = self.log()?;
        let _held = self.0.transaction_lock.shared()?;
        let ticket = log.append(staged, condition, Urgency::WhenWaitedFor)?;
        Ok(Pending { log: Arc::clone(log), ticket })
    }

    /// Append, wait until it is durable and visible: the protocol of every write.
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
