//! The thread that does unasked what a store needs now and then: hints for what was sealed, compaction of what is
//! due, and the file KEYDIR.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpointer, Occasion};
use super::compaction::{CompactionEvent, Compactor, LeftAlone};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::sync::{Mutex, thread};
use crate::engine::base::wakeup::Wakeup;
use crate::engine::metrics::meter::Count;
use crate::engine::segment::{Segment, file};
use crate::engine::state::State;

/// How long a command waits at most for a compaction that rests for the sake of its rate.
const REST_MAX: Duration = Duration::from_millis(50);

/// A thread that is woken when a segment was sealed, until it is stopped.
#[derive(Debug)]
pub(crate) struct Background {
    wake: Arc<Wakeup>,
    /// A forked child has this, and not the thread.
    process: u32,
    /// Taken by who stops it; held for that alone.
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// What the thread works with.
struct Work {
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
        let wake = Arc::clone(&state.context.wakeup);
        let work = Work {
            state: Arc::clone(state),
            compactor: Arc::clone(compactor),
            checkpointer: Arc::clone(checkpointer),
        };
        // What an earlier process did not come to.
        if !work.without_hint().is_ok_and(|segments| segments.is_empty()) {
            wake.ring();
        }
        let thread = thread::Builder::new().name("logkv-background".to_owned()).spawn(move || {
            while work.state.context.wakeup.wait() {
                work.make_hints();
                work.compact();
                work.checkpoint();
            }
        });
        match thread {
            Ok(thread) => Some(Self { wake, process: std::process::id(), thread: Mutex::new(Some(thread)) }),
            Err(error) => {
                state.meter.add(Count::BackgroundErrors, 1);
                tracing::warn!(%error, "cannot start the background thread; going on without it");
                None
            }
        }
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
    /// Counts a failure, and tells it: nobody waits for what is done here.
    fn tell(&self, error: &Error, what: &str) {
        self.state.meter.add(Count::BackgroundErrors, 1);
        tracing::warn!(error = error.sentence(), "{what}");
    }

    fn is_stopped(&self) -> bool {
        self.state.context.wakeup.is_stopped()
    }

    /// Sealed segments that have no hint, or none that can be used, as far as anybody has looked.
    fn without_hint(&self) -> Result<Vec<Arc<Segment>>> {
        let present: HashSet<_> = file::hinted(&*self.state.context.directory)?.into_iter().collect();
        let lacks_hint = |segment: &&Arc<Segment>| {
            let is_sound = segment.is_sealed() && !segment.is_unfit();
            is_sound && (segment.lacks_hint() || !present.contains(&segment.id))
        };
        Ok(self.state.segments().iter().filter(lacks_hint).cloned().collect())
    }

    /// Writes the hints that are missing.
    fn make_hints(&self) {
        let segments = match self.without_hint() {
            Ok(segments) => segments,
            Err(error) => return self.tell(&error, "no hints could be made"),
        };
        for segment in segments {
            if self.is_stopped() {
                return;
            }
            if let Err(error) = self.make_hint(&segment) {
                // A full disk, perhaps: it is derived, and made when there is something to do again.
                self.tell(&error, &format!("no hint of segment {} could be made", segment.id));
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
                self.rest(|| due.saturating_sub(started.elapsed()));
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
            Err(error) => self.tell(&error, "a background compaction failed"),
        }
    }

    /// Rests as long as `left` says, or until somebody wants the thread to stop or to give way.
    fn rest(&self, left: impl Fn() -> Duration) {
        while left() > Duration::ZERO && !self.compactor.is_wanted() {
            if !self.state.context.wakeup.pause(left().min(REST_MAX)) {
                return;
            }
        }
    }

    /// Writes KEYDIR, if enough has come since the last time.
    fn checkpoint(&self) {
        if self.is_stopped() {
            return;
        }
        if let Err(error) = self.checkpointer.write_if_due(Occasion::Open) {
            self.tell(&error, "KEYDIR could not be written");
        }
    }
}
