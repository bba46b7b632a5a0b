//! Layer 8: the thread that does unasked what a store needs now and then: hints for what was sealed, and compaction of what
//! is due.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::compaction::{CompactionEvent, Compactor};
use super::log::Log;
use super::segment::Segment;
use super::segment::hint::Hint;
use super::state::State;
use super::wake::Wake;
use crate::error::{Error, Result};

/// A thread that is woken when a segment was sealed, until it is stopped.
#[derive(Debug)]
pub(crate) struct Background {
    wake: Arc<Wake>,
    /// A forked child has this, and not the thread.
    process: u32,
    /// Taken by who stops it; held for that alone.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread works with.
struct Work {
    state: Arc<State>,
    compactor: Arc<Compactor>,
    wake: Arc<Wake>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(state: &Arc<State>, log: &Arc<Log>, compactor: &Arc<Compactor>) -> Result<Self> {
        let wake = Arc::clone(log.sealed());
        let work =
            Work { state: Arc::clone(state), compactor: Arc::clone(compactor), wake: Arc::clone(&wake) };
        let thread = std::thread::Builder::new()
            .name("logkv-background".to_owned())
            .spawn(move || {
                while work.wake.wait() {
                    work.make_hints();
                    work.compact();
                }
            })
            .map_err(Error::io("start a thread for", "the background work"))?;
        Ok(Self { wake, process: std::process::id(), thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread: what it is at is broken off, without a trace.
    pub(crate) fn stop(&self) {
        if std::process::id() != self.process {
            return;
        }
        self.wake.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in there is told by the panic itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Work {
    /// Writes the hints of sealed segments that have none.
    fn make_hints(&self) {
        for segment in self.state.segments().iter().filter(|segment| segment.is_sealed()) {
            if self.wake.is_stopped() {
                return;
            }
            if segment.is_unfit() || segment.hinted(&self.state.home).is_some() {
                continue;
            }
            if let Err(error) = self.make_hint(segment) {
                // A full disk, perhaps: it is derived, and made when the store is next opened.
                tracing::warn!(segment = segment.id.0, error = error.sentence(), "no hint could be made");
            }
        }
    }

    fn make_hint(&self, segment: &Segment) -> Result<()> {
        match Hint::make(&self.state.home, segment)? {
            Some(hint) => segment.take_hint(hint),
            None => {
                tracing::warn!(segment = segment.id.0, "damage in a sealed segment");
                segment.mark_unfit();
            }
        }
        Ok(())
    }

    /// Compacts what is due.
    fn compact(&self) {
        let policy = self.compactor.policy();
        if !policy.automatic {
            return;
        }
        let started = Instant::now();
        let mut observe = |event: CompactionEvent<'_>| {
            if let (CompactionEvent::Progress { done_len, .. }, Some(rate)) = (&event, policy.rate) {
                let due = Duration::from_secs_f64(*done_len as f64 / rate.max(1) as f64);
                self.wake.pause(due.saturating_sub(started.elapsed()));
            }
            if self.wake.is_stopped() || self.compactor.is_wanted() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        match self.compactor.compact_due(&mut observe) {
            Ok(report) => tracing::debug!(runs = report.runs.len(), "compacted"),
            Err(Error::Closed | Error::Poisoned { .. }) => {}
            Err(error) => tracing::warn!(error = error.sentence(), "a background compaction failed"),
        }
    }
}
