//! Wakeups: how other threads give a background thread work, or stop it.

use std::time::Duration;

use super::sync::{Condvar, LockRank, Mutex};

/// The requests to a background thread.
#[derive(Debug)]
pub(crate) struct Wakeup {
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    /// Whether work is due.
    work: bool,
    stop: bool,
}

impl Default for Wakeup {
    fn default() -> Self {
        Self { requests: Mutex::new(LockRank::Leaf, Requests::default()), changed: Condvar::default() }
    }
}

impl Wakeup {
    /// Wakes the thread for work.
    pub(crate) fn ring(&self) {
        self.request(|requests| requests.work = true);
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.request(|requests| requests.stop = true);
    }

    fn request(&self, change: impl FnOnce(&mut Requests)) {
        change(&mut self.requests.lock());
        self.changed.notify_all();
    }

    /// Returns whether the thread was told to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.requests.lock().stop
    }

    /// Waits until work is due. Returns `false` if the thread was told to end.
    pub(crate) fn wait(&self) -> bool {
        let requests = self.requests.lock();
        let mut requests = self.changed.wait_while(requests, |requests| !requests.work && !requests.stop);
        requests.work = false;
        !requests.stop
    }

    /// Waits for `interval`. Returns `false` if the thread was told to end.
    pub(crate) fn pause(&self, interval: Duration) -> bool {
        let requests = self.requests.lock();
        !self.changed.wait_timeout_while(requests, interval, |requests| !requests.stop).stop
    }
}
