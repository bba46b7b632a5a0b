//! Compaction: replaces runs of neighbouring segments with new ones that hold only the needed
//! records.
//!
//! The output of a run takes the run's place in the log, so log order stays sequence number order.
//! [`CompactionStage`] lists the steps, and what a crash between them leaves. Reads never wait for
//! a compaction. Writes wait while it replaces MANIFEST, and while it swaps a few index slots.

mod clear;
mod copy;
mod decide;
mod plan;
mod planner;
mod report;
mod retention;
mod rewrite;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use self::decide::{Decider, Outcome};
use self::plan::Settings;
pub use self::plan::{Compact, CompactionPlan, CompactionReason, CompactionRun};
use self::planner::{ExpiredLen, PlanInputs, Planner};
pub(crate) use self::report::Observer;
pub use self::report::{
    CompactionEvent, CompactionReport, CompactionStage, Decided, Decision, Dropped, Kept, LeftAlone,
    RunReport, Tallies, Tally,
};
use self::rewrite::Rewrite;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::thread::{self, ThreadId};
use crate::engine::base::sync::{AtomicBool, AtomicUsize, LockRank, Mutex, MutexGuard};
use crate::engine::log::Log;
use crate::engine::options::{CompactionPolicy, Options};
use crate::engine::state::State;

/// The most reports of background runs that are kept.
const BACKGROUND_REPORTS_MAX: usize = 1000;

/// Compacts one store.
#[derive(Debug)]
pub(crate) struct Compactor {
    planner: Planner,
    /// `None` if the store is read-only. Plans still work.
    log: Option<Arc<Log>>,
    /// Held while a compaction runs, so that there is one at a time.
    busy: Mutex<()>,
    /// The thread that runs the current compaction. The lock is held only to access it.
    runs_in: Mutex<Option<ThreadId>>,
    /// The number of callers that wait for a background compaction to stop.
    waiting: AtomicUsize,
    /// Whether the current compaction is a background one.
    is_background: AtomicBool,
    /// The last background runs that nobody has read. The lock is held only to access them.
    background_reports: Mutex<VecDeque<RunReport>>,
    /// Whether the store is being closed.
    is_closing: AtomicBool,
}

impl Compactor {
    pub(crate) fn new(state: Arc<State>, log: Option<Arc<Log>>, options: &Options) -> Self {
        let policy = options.compaction.clone();
        let settings = Settings { policy, segment_len_max: options.segment_len_max };
        Self {
            planner: Planner { state, settings },
            log,
            busy: Mutex::new(LockRank::Operation, ()),
            runs_in: Mutex::new(LockRank::Leaf, None),
            waiting: AtomicUsize::new(0),
            is_background: AtomicBool::new(false),
            background_reports: Mutex::new(LockRank::Leaf, VecDeque::new()),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Cancels the current compaction, waits until its output is removed, and prevents further
    /// ones. Does not wait inside the observer of that compaction.
    pub(crate) fn stop(&self) {
        let Some(log) = &self.log else { return };
        self.is_closing.store(true, Ordering::Relaxed);
        // In a fork, the thread that holds the lock does not exist.
        if !log.is_fork() && self.runs_in() != Some(thread::current().id()) {
            drop(self.busy.lock());
        }
    }

    fn keep_background_report(&self, run: &RunReport) {
        if !self.is_background.load(Ordering::Relaxed) {
            return;
        }
        let mut reports = self.background_reports.lock();
        if reports.len() == BACKGROUND_REPORTS_MAX {
            reports.pop_front();
        }
        reports.push_back(run.clone());
    }

    /// Takes the reports of background runs since the last call.
    pub(crate) fn take_background_reports(&self) -> Vec<RunReport> {
        self.background_reports.lock().drain(..).collect()
    }

    fn runs_in(&self) -> Option<ThreadId> {
        *self.runs_in.lock()
    }

    pub(crate) fn policy(&self) -> &CompactionPolicy {
        &self.planner.settings.policy
    }

    /// Returns whether a caller waits for the current compaction to stop.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Plans a compaction without running it.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`] and [`Error::NotCompactable`] for a segment named in `what`.
    pub(crate) fn plan(&self, what: &Compact) -> Result<CompactionPlan> {
        self.planner.plan(what, &self.inputs(ExpiredLen::FromHeaders))
    }

    fn inputs(&self, expired_len: ExpiredLen) -> PlanInputs {
        let appended = self.log.as_ref().map_or(Seqno(0), |log| log.appended());
        PlanInputs { now_ms: self.planner.state.now_ms(), appended, expired_len }
    }

    /// Passes to `report` the decision about each record of `run` at `at_ms`, in log order. Returns
    /// the totals.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`], [`Error::Damaged`], [`Error::Cancelled`] if `report` returned
    /// `Break`, and [`Error::Io`].
    pub(crate) fn decisions(
        &self,
        run: &CompactionRun,
        at_ms: u64,
        report: &mut dyn FnMut(Decided) -> ControlFlow<()>,
    ) -> Result<Tallies> {
        let decider = Decider::new(&self.planner.state, run, self.policy(), at_ms)?;
        let mut tallies = Tallies::default();
        for segment in decider.run() {
            let goes_on = decider.records(segment, |record, Outcome { decision, .. }| {
                tallies.add(decision, record.frame.len);
                Ok(report(Decided {
                    at: segment.location(record.at),
                    len: record.frame.len,
                    seq: record.header.seq,
                    key: segment.read(record.at)?.key(),
                    is_tombstone: decide::is_tombstone(record),
                    decision,
                }))
            })?;
            if goes_on.is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(tallies)
    }

    /// Compacts the segments that `what` selects, after any compaction that is running.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::WithinCompaction`] inside the observer of another compaction;
    /// [`Error::Damaged`] in a named segment; [`Error::Cancelled`] if `observe` returned `Break`;
    /// [`Error::Closed`] if the store was closed in between; the errors of a poisoned log; and
    /// [`Error::Io`]. Completed runs stay.
    pub(crate) fn compact(&self, what: &Compact, observe: Observer<'_>) -> Result<CompactionReport> {
        let started = Instant::now();
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        let _turn = self.turn(log)?;
        self.is_background.store(false, Ordering::Relaxed);
        // Read after the wait for other compactions.
        let inputs = self.inputs(ExpiredLen::FromHeaders);
        if *what == Compact::All && self.planner.is_active_dirty(&inputs)? {
            log.rotate()?;
        }
        let mut report = self.runs(log, what, &inputs, observe)?;
        report.took = started.elapsed();
        Ok(report)
    }

    /// Interrupts a background compaction, and waits for any other.
    ///
    /// # Errors
    /// [`Error::WithinCompaction`] in the thread of a compaction, and the errors of a poisoned log.
    fn turn(&self, log: &Log) -> Result<Turn<'_>> {
        // In a fork the lock below may be held forever, by a thread that does not exist.
        log.check()?;
        if self.runs_in() == Some(thread::current().id()) {
            return Err(Error::WithinCompaction);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let busy = self.busy.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(Turn::begin(self, busy))
    }

    /// Compacts what is due, unless a compaction runs already.
    ///
    /// # Errors
    /// As [`Compactor::compact`].
    pub(crate) fn compact_due(&self, observe: Observer<'_>) -> Result<CompactionReport> {
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        let Some(busy) = self.busy.try_lock() else { return Ok(CompactionReport::default()) };
        let _turn = Turn::begin(self, busy);
        self.is_background.store(true, Ordering::Relaxed);
        self.runs(log, &Compact::Due, &self.inputs(ExpiredLen::FromCounters), observe)
    }

    fn runs(
        &self,
        log: &Arc<Log>,
        what: &Compact,
        inputs: &PlanInputs,
        observe: Observer<'_>,
    ) -> Result<CompactionReport> {
        let Planner { state, settings } = &self.planner;
        let mut report = CompactionReport::default();
        let newest = state.segments().iter().map(|segment| segment.id).max();
        let mut plan = self.planner.plan(what, inputs)?;
        let mut done_len = 0;
        let mut total_len = plan.read_len();
        while !plan.runs.is_empty() {
            let run = plan.runs.remove(0);
            let behind = self.planner.behind(&run);
            let mut observe_run = |event: CompactionEvent<'_>| match event {
                _ if self.is_closing.load(Ordering::Relaxed) => ControlFlow::Break(()),
                CompactionEvent::Progress { done_len: of_run, .. } => {
                    observe(CompactionEvent::Progress { done_len: done_len + of_run, total_len })
                }
                event => observe(event),
            };
            let rewrite = Rewrite::new(state, log, settings, &run, plan.at_ms)?;
            let next = match rewrite.run(&mut observe_run, |done| self.keep_background_report(done)) {
                Ok(ControlFlow::Continue(done)) => {
                    // Too late to cancel this run. The next run asks again.
                    let _ = observe(CompactionEvent::Done(&done));
                    report.runs.push(done);
                    behind
                }
                Ok(ControlFlow::Break(())) if self.is_closing.load(Ordering::Relaxed) => {
                    return Err(Error::Closed);
                }
                Ok(ControlFlow::Break(())) => return Err(Error::Cancelled),
                // The damaged segment is left out of further plans, and must not block the others.
                Err(Error::Damaged { segment, offset, damage }) if !matches!(what, Compact::Segments(_)) => {
                    report.left.push(LeftAlone { segment, met: Some((offset, damage)) });
                    run.segments.first().copied()
                }
                Err(error) => return Err(error),
            };
            // After an older run, a newer segment may no longer need its tombstones.
            plan = match what {
                Compact::Due => self.planner.plan(what, inputs)?.with_any_up_to(newest),
                Compact::All => self.planner.plan_from(next, inputs)?,
                Compact::Segments(_) => plan,
            };
            done_len += run.read_len;
            total_len = done_len + plan.read_len();
        }
        if *what == Compact::All {
            self.planner.add_known_damaged(&mut report.left, inputs)?;
        }
        Ok(report)
    }
}

/// A running compaction. Ends when it is dropped.
struct Turn<'a> {
    compactor: &'a Compactor,
    #[expect(dead_code, reason = "holds the lock")]
    busy: MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    fn begin(compactor: &'a Compactor, busy: MutexGuard<'a, ()>) -> Self {
        let turn = Self { compactor, busy };
        turn.set_thread(Some(thread::current().id()));
        turn
    }

    fn set_thread(&self, thread: Option<ThreadId>) {
        *self.compactor.runs_in.lock() = thread;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.set_thread(None);
    }
}
