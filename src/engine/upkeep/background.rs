//! The background thread: writes missing hints, compacts what is due, and writes KEYDIR.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpointer, Occasion};
use super::compaction::{CompactionEvent, Compactor, LeftAlone};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::{LockRank, Mutex, thread};
use crate::engine::base::wakeup::Wakeup;
use crate::engine::metrics::meter::Count;
use crate::engine::segment::{Segment, file};
use crate::engine::state::State;

/// The longest pause of a rate-limited compaction, and so the longest time that a caller waits for
/// it to stop.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The background thread. It wakes up when a segment is sealed.
#[derive(Debug)]
pub(crate) struct Background {
    wakeup: Arc<Wakeup>,
    /// The process that started the thread. A forked child does not have the thread.
    process: u32,
    /// The lock is held only to take the handle.
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// The parts of the store that the thread works on.
struct Worker {
    state: Arc<State>,
    compactor: Arc<Compactor>,
    checkpointer: Arc<Checkpointer>,
}

impl Background {
    /// Starts the thread, or returns `None` if the system refuses one. Reads and writes work
    /// without it, and a later open does its work.
    pub(crate) fn start(
        state: &Arc<State>,
        compactor: &Arc<Compactor>,
        checkpointer: &Arc<Checkpointer>,
    ) -> Option<Self> {
        let wakeup = Arc::clone(&state.context.wakeup);
        let worker = Worker {
            state: Arc::clone(state),
            compactor: Arc::clone(compactor),
            checkpointer: Arc::clone(checkpointer),
        };
        // An earlier process may have left segments without a hint.
        if !worker.without_hint().is_ok_and(|segments| segments.is_empty()) {
            wakeup.ring();
        }
        let thread = thread::Builder::new().name("logkv-background".to_owned()).spawn(move || {
            while worker.state.context.wakeup.wait() {
                worker.make_hints();
                worker.compact();
                worker.checkpoint();
            }
        });
        match thread {
            Ok(thread) => Some(Self {
                wakeup,
                process: std::process::id(),
                thread: Mutex::new(LockRank::Leaf, Some(thread)),
            }),
            Err(error) => {
                state.meter.add(Count::BackgroundErrors, 1);
                tracing::warn!(%error, "cannot start the background thread; going on without it");
                None
            }
        }
    }

    /// Stops the thread, and cancels its current work.
    pub(crate) fn stop(&self) {
        if std::process::id() != self.process {
            return;
        }
        self.wakeup.stop();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic in the thread has already printed its message.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    /// Counts and logs a failure, since no caller waits for this work.
    fn log_failure(&self, error: &Error, what: &str) {
        self.state.meter.add(Count::BackgroundErrors, 1);
        tracing::warn!(error = error.sentence(), "{what}");
    }

    fn is_stopped(&self) -> bool {
        self.state.context.wakeup.is_stopped()
    }

    /// Returns the sealed segments whose hint is missing or known to be unusable.
    fn without_hint(&self) -> Result<Vec<Arc<Segment>>> {
        let present: HashSet<_> = file::hinted(&*self.state.context.directory)?.into_iter().collect();
        let lacks_hint = |segment: &&Arc<Segment>| {
            let is_sound = segment.is_sealed() && !segment.is_unfit();
            is_sound && (segment.lacks_hint() || !present.contains(&segment.id))
        };
        Ok(self.state.segments().iter().filter(lacks_hint).cloned().collect())
    }

    fn make_hints(&self) {
        let segments = match self.without_hint() {
            Ok(segments) => segments,
            Err(error) => return self.log_failure(&error, "no hints could be written"),
        };
        for segment in segments {
            if self.is_stopped() {
                return;
            }
            if let Err(error) = self.make_hint(&segment) {
                // The disk may be full. The next wakeup tries again.
                self.log_failure(&error, &format!("no hint of segment {} could be written", segment.id));
            }
        }
    }

    fn make_hint(&self, segment: &Segment) -> Result<()> {
        match segment.make_hint(&self.state.context)? {
            Some(hint) => segment.take_hint(hint),
            None => {
                tracing::warn!(segment = segment.id.0, "damage in a sealed segment");
                segment.mark_unfit();
            }
        }
        Ok(())
    }

    fn compact(&self) {
        let policy = self.compactor.policy();
        if !policy.automatic {
            return;
        }
        let started = Instant::now();
        let mut observe = |event: CompactionEvent<'_>| {
            if let (CompactionEvent::Progress { done_len, .. }, Some(rate)) = (&event, policy.rate) {
                let due = Duration::from_secs_f64(*done_len as f64 / rate.max(1) as f64);
                self.pause(|| due.saturating_sub(started.elapsed()));
            }
            if self.is_stopped() || self.compactor.is_wanted() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        match self.compactor.compact_due(&mut observe) {
            Ok(report) => {
                for LeftAlone { segment, .. } in report.left {
                    tracing::warn!(segment = segment.0, "a damaged segment stays as it is");
                }
                tracing::debug!(runs = report.runs.len(), "compacted");
            }
            Err(Error::Closed | Error::Poisoned { .. } | Error::Cancelled) => {}
            Err(error) => self.log_failure(&error, "a background compaction failed"),
        }
    }

    /// Pauses while `left` is above zero, unless the thread must stop or a caller waits.
    fn pause(&self, left: impl Fn() -> Duration) {
        while left() > Duration::ZERO && !self.compactor.is_wanted() {
            if !self.state.context.wakeup.pause(left().min(PAUSE_MAX)) {
                return;
            }
        }
    }

    fn checkpoint(&self) {
        if self.is_stopped() {
            return;
        }
        if let Err(error) = self.checkpointer.write_if_due(Occasion::Open) {
            self.log_failure(&error, "KEYDIR could not be written");
        }
    }
}
