//! Layer 7: the thread that syncs in the background, for [`Sync::Every`](super::options::Sync::Every).

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::log::Log;
use crate::error::{Error, Result};

/// A thread that syncs the log at fixed intervals, until it is dropped.
#[derive(Debug)]
pub(crate) struct Syncer {
    stop: Arc<Stop>,
    /// A forked child has this, and not the thread.
    process: u32,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    /// Guards the wish to stop; held for no longer than it takes to look at it. No other lock is taken under it.
    is_wanted: Mutex<bool>,
    wanted: Condvar,
}

impl Syncer {
    /// Starts syncing `log` every `interval`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(log: Arc<Log>, interval: Duration) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let theirs = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("logkv-sync".to_owned())
            .spawn(move || {
                while !theirs.wait(interval) {
                    match log.sync() {
                        Ok(()) => {}
                        // Who writes is told so, and there is nothing left to do here.
                        Err(Error::Closed | Error::Poisoned { .. }) => return,
                        // Perhaps a full disk: who waits for those writes is told, and the next round may go well.
                        Err(error) => tracing::warn!(%error, "a background sync failed"),
                    }
                }
            })
            .map_err(Error::io("start a thread for", "the background sync"))?;
        Ok(Self { stop, process: std::process::id(), thread: Some(thread) })
    }
}

impl Stop {
    /// Waits for `interval` or until stopping is wanted; whether it is.
    fn wait(&self, interval: Duration) -> bool {
        let guard = self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wanted.wait_timeout_while(guard, interval, |is_wanted| !*is_wanted);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            return;
        }
        *self.stop.is_wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.wanted.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only syncs; a panic in there is told by the panic itself.
            let _ = thread.join();
        }
    }
}
