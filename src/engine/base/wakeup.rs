//! How a thread in the background is woken and stopped.

use std::sync::PoisonError;
use std::time::Duration;

use super::sync::{Condvar, Mutex};

/// What a thread in the background waits for.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    /// Held for no longer than it takes to look; no other lock is taken under it.
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wishes {
    /// There is something to do.
    work: bool,
    stop: bool,
}

impl Wakeup {
    /// Wakes the thread: there is something to do.
    pub(crate) fn ring(&self) {
        self.wish(|wishes| wishes.work = true);
    }

    /// Wakes the thread: it is to end.
    pub(crate) fn stop(&self) {
        self.wish(|wishes| wishes.stop = true);
    }

    fn wish(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Whether the thread is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).stop
    }

    /// Waits until there is something to do; `false`: the thread is to end.
    pub(crate) fn wait(&self) -> bool {
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(wishes, |wishes| !wishes.work && !wishes.stop);
        let mut wishes = waited.unwrap_or_else(PoisonError::into_inner);
        wishes.work = false;
        !wishes.stop
    }

    /// Waits for `interval`; `false`: the thread is to end.
    pub(crate) fn pause(&self, interval: Duration) -> bool {
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(wishes, interval, |wishes| !wishes.stop);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}
