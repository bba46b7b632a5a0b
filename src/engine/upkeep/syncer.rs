//! The thread that syncs in the background, for
//! [`Sync::Every`](crate::engine::options::Sync::Every).

use std::sync::Arc;
use std::time::Duration;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::thread;
use crate::engine::base::wakeup::Wakeup;
use crate::engine::log::Log;

/// A thread that syncs the log at fixed intervals, until it is dropped.
#[derive(Debug)]
pub(crate) struct Syncer {
    wakeup: Arc<Wakeup>,
    /// The process that started the thread. A forked child does not have the thread.
    process: u32,
    thread: Option<thread::JoinHandle<()>>,
}

impl Syncer {
    /// Starts syncing `log` every `interval`.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses a thread.
    pub(crate) fn start(log: Arc<Log>, interval: Duration) -> Result<Self> {
        let wakeup = Arc::new(Wakeup::default());
        let pause = Arc::clone(&wakeup);
        let thread = thread::Builder::new()
            .name("logkv-sync".to_owned())
            .spawn(move || {
                while pause.pause(interval) {
                    match log.sync() {
                        Ok(()) => {}
                        // The next write returns the error.
                        Err(Error::Closed | Error::Poisoned { .. }) => return,
                        // The disk may be full. The waiting callers get the error, and the next
                        // sync may succeed.
                        Err(error) => tracing::warn!(%error, "a background sync failed"),
                    }
                }
            })
            .map_err(Error::io("start a thread for", "the background sync"))?;
        Ok(Self { wakeup, process: std::process::id(), thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            return;
        }
        self.wakeup.stop();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already printed its message.
            let _ = thread.join();
        }
    }
}
