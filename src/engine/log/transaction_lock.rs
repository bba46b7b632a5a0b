//! The gate that writes go through, and that a transaction closes behind itself.

use std::sync::PoisonError;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::thread::{self, ThreadId};
use crate::engine::base::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Many writes at a time, or one transaction.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Held shared while a write is appended, alone while a transaction lasts. Before the log's lock.
    way: RwLock<()>,
    /// The thread whose transaction has closed it. Held to look at it alone.
    closed_by: Mutex<Option<ThreadId>>,
}

impl Gate {
    /// Lets a write through, when no transaction is open.
    ///
    /// # Errors
    /// [`Error::WithinTransaction`] when it is open in this very thread, which would wait for itself.
    pub(crate) fn pass(&self) -> Result<RwLockReadGuard<'_, ()>> {
        if let Ok(way) = self.way.try_read() {
            return Ok(way);
        }
        self.refuse_own()?;
        Ok(self.way.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the writes that are on their way, and lets no other through until the result is dropped.
    ///
    /// # Errors
    /// As [`Gate::pass`].
    pub(crate) fn close(&self) -> Result<ClosedGate<'_>> {
        self.refuse_own()?;
        let way = self.way.write().unwrap_or_else(PoisonError::into_inner);
        self.set_closed_by(Some(thread::current().id()));
        Ok(ClosedGate { gate: self, _way: way })
    }

    fn refuse_own(&self) -> Result<()> {
        let closed_by = *self.closed_by.lock().unwrap_or_else(PoisonError::into_inner);
        if closed_by == Some(thread::current().id()) { Err(Error::WithinTransaction) } else { Ok(()) }
    }

    fn set_closed_by(&self, thread: Option<ThreadId>) {
        *self.closed_by.lock().unwrap_or_else(PoisonError::into_inner) = thread;
    }
}

/// A gate that is closed to all others until this is dropped.
#[derive(Debug)]
pub(crate) struct ClosedGate<'a> {
    gate: &'a Gate,
    _way: RwLockWriteGuard<'a, ()>,
}

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        self.gate.set_closed_by(None);
    }
}
