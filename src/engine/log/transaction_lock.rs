//! The lock that writes share and a transaction holds exclusively.

use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::thread::{self, ThreadId};
use crate::engine::base::sync::{LockRank, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held by many writes or by one transaction.
#[derive(Debug)]
pub(crate) struct TransactionLock {
    /// Shared while a write is appended, exclusive during a transaction.
    lock: RwLock<()>,
    /// The thread of the transaction.
    owner: Mutex<Option<ThreadId>>,
}

impl TransactionLock {
    pub(crate) fn new() -> Self {
        let lock = RwLock::new(LockRank::Operation, ());
        Self { lock, owner: Mutex::new(LockRank::Leaf, None) }
    }

    /// Locks for one write. Waits for an open transaction.
    ///
    /// # Errors
    /// [`Error::WithinTransaction`] if the transaction belongs to this thread, which would wait for
    /// itself.
    pub(crate) fn shared(&self) -> Result<RwLockReadGuard<'_, ()>> {
        if let Some(held) = self.lock.try_read() {
            return Ok(held);
        }
        self.refuse_own()?;
        Ok(self.lock.read())
    }

    /// Locks for a transaction. Waits for the writes in progress.
    ///
    /// # Errors
    /// As [`TransactionLock::shared`].
    pub(crate) fn exclusive(&self) -> Result<TransactionGuard<'_>> {
        self.refuse_own()?;
        let held = self.lock.write();
        self.set_owner(Some(thread::current().id()));
        Ok(TransactionGuard { lock: self, _held: held })
    }

    fn refuse_own(&self) -> Result<()> {
        let owner = *self.owner.lock();
        if owner == Some(thread::current().id()) { Err(Error::WithinTransaction) } else { Ok(()) }
    }

    fn set_owner(&self, thread: Option<ThreadId>) {
        *self.owner.lock() = thread;
    }
}

/// Holds a [`TransactionLock`] exclusively until it is dropped.
#[derive(Debug)]
pub(crate) struct TransactionGuard<'a> {
    lock: &'a TransactionLock,
    _held: RwLockWriteGuard<'a, ()>,
}

impl Drop for TransactionGuard<'_> {
    fn drop(&mut self) {
        self.lock.set_owner(None);
    }
}
