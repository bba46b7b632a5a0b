//! How a thread in the background is woken and stopped.

use std::time::Duration;

use super::sync::{Condvar, LockRank, Mutex};

/// What a thread in the background waits for.
#[derive(Debug)]
pub(crate) struct Wakeup {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wishes {
    /// There is something to do.
    work: bool,
    stop: bool,
}

impl Default for Wakeup {
    fn default() -> Self {
        Self { wishes: Mutex::new(LockRank::Leaf, Wishes::default()), changed: Condvar::default() }
    }
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
        wish(&mut self.wishes.lock());
        self.changed.notify_all();
    }

    /// Whether the thread is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.wishes.lock().stop
    }

    /// Waits until there is something to do; `false`: the thread is to end.
    pub(crate) fn wait(&self) -> bool {
        let wishes = self.wishes.lock();
        let mut wishes = self.changed.wait_while(wishes, |wishes| !wishes.work && !wishes.stop);
        wishes.work = false;
        !wishes.stop
    }

    /// Waits for `interval`; `false`: the thread is to end.
    pub(crate) fn pause(&self, interval: Duration) -> bool {
        let wishes = self.wishes.lock();
        !self.changed.wait_timeout_while(wishes, interval, |wishes| !wishes.stop).stop
    }
}
