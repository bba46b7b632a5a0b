//! The thread that syncs in the background, for [`Sync::Every`](crate::engine::options::Sync::Every).

use std::sync::Arc;
use std::time::Duration;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::thread;
use crate::engine::base::wakeup::Wakeup;
use crate::engine::log::Log;

/// A thread that syncs the log at fixed intervals, until it is dropped.
#[derive(Debug)]
pub(crate) struct Syncer {
    wake: Arc<Wakeup>,
    /// A forked child has this, and not the thread.
    process: u32,
    thread: Option<thread::JoinHandle<()>>,
}

impl Syncer {
    /// Starts syncing `log` every `interval`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(log: Arc<Log>, interval: Duration) -> Result<Self> {
        let wake = Arc::new(Wakeup::default());
        let theirs = Arc::clone(&wake);
        let thread = thread::Builder::new()
            .name("logkv-sync".to_owned())
            .spawn(move || {
                while theirs.pause(interval) {
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
        Ok(Self { wake, process: std::process::id(), thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            return;
        }
        self.wake.stop();
        if let Some(thread) = self.thread.take() {
            // It only syncs; a panic in there is told by the panic itself.
            let _ = thread.join();
        }
    }
}
