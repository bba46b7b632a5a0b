//! Compaction — runs of neighbours in the log give way to what is still needed of them.
//!
//! A run's output stands where the run stood, so that the order of the log stays that of the numbers. Its steps, and what a
//! crash in between leaves: see [`CompactionStage`]. Nothing waits for it but writers, for the new MANIFEST and for some
//! slots of the index at a time.

mod clear;
mod copy;
mod decide;
mod plan;
mod report;
mod retention;
mod rewrite;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Instant;

use self::decide::{Judge, Verdict};
pub use self::plan::{Compact, CompactionPlan, CompactionReason, CompactionRun};
use self::plan::{SegmentUse, pick, pick_all, pick_these};
pub use self::report::{
    CompactionEvent, CompactionReport, CompactionStage, Decided, Decision, Dropped, Kept, LeftAlone,
    RunReport, Tallies, Tally,
};
use self::rewrite::Rewrite;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::sync::thread::{self, ThreadId};
use crate::engine::base::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};
use crate::engine::format::segment_header::Layout;
use crate::engine::log::Log;
use crate::engine::options::{CompactionPolicy, Options};
use crate::engine::segment::Segment;
use crate::engine::state::State;

/// How many background runs are kept until they are asked for.
const UNASKED_MAX: usize = 1000;

/// Who is told how a compaction goes, and may break it off.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>;

/// Compacts one store.
#[derive(Debug)]
pub(crate) struct Compactor {
    state: Arc<State>,
    /// `None` when the store was opened read-only: it can be asked what would be done.
    log: Option<Arc<Log>>,
    policy: CompactionPolicy,
    segment_len_max: u64,
    /// Held while one compaction runs: there are no two. Before the log's lock.
    busy: Mutex<()>,
    /// The thread that a compaction runs in. Held to look at it alone.
    runs_in: Mutex<Option<ThreadId>>,
    /// How many commands wait for a compaction in the background to give way.
    waiting: AtomicUsize,
    /// Whether the current compaction is a background one.
    is_unasked: AtomicBool,
    /// The last background runs that were not yet asked for. The lock is held only to access them.
    unasked: Mutex<VecDeque<RunReport>>,
    /// Whether the store is being closed.
    is_closing: AtomicBool,
}

impl Compactor {
    pub(crate) fn new(state: Arc<State>, log: Option<Arc<Log>>, options: &Options) -> Self {
        Self {
            state,
            log,
            policy: options.compaction.clone(),
            segment_len_max: options.segment_len_max,
            busy: Mutex::new(()),
            runs_in: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            is_unasked: AtomicBool::new(false),
            unasked: Mutex::default(),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Breaks off what runs, and waits until that has left no trace, unless it runs in this very thread, whose observer is
    /// closing the store; nothing is compacted any more.
    pub(crate) fn stop(&self) {
        let Some(log) = &self.log else { return };
        self.is_closing.store(true, Ordering::Relaxed);
        // In a fork it would wait for a thread that is not there.
        if !log.is_fork() && self.runs_in() != Some(thread::current().id()) {
            drop(self.busy.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Keeps a committed run until it is asked for, if it ran in the background.
    fn keep_unasked(&self, run: &RunReport) {
        if !self.is_unasked.load(Ordering::Relaxed) {
            return;
        }
        let mut unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        if unasked.len() == UNASKED_MAX {
            unasked.pop_front();
        }
        unasked.push_back(run.clone());
    }

    /// Takes the runs that were kept.
    pub(crate) fn take_unasked(&self) -> Vec<RunReport> {
        self.unasked.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn runs_in(&self) -> Option<ThreadId> {
        *self.runs_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn policy(&self) -> &CompactionPolicy {
        &self.policy
    }

    /// Whether a command waits for the compaction that runs.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// What would be compacted.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`] and [`Error::NotCompactable`] for segments that were named.
    pub(crate) fn plan(&self, what: &Compact) -> Result<CompactionPlan> {
        self.plan_by(what, &self.basis(Known::ByLooking))
    }

    fn basis(&self, known: Known) -> Basis {
        let appended = self.log.as_ref().map_or(Seqno(0), |log| log.appended());
        Basis { now_ms: self.state.now_ms(), appended, known }
    }

    fn plan_by(&self, what: &Compact, basis: &Basis) -> Result<CompactionPlan> {
        let set = self.state.segments();
        let uses = set.iter().map(|segment| self.use_of(segment, basis)).collect::<Result<Vec<_>>>()?;
        let runs = match what {
            Compact::Due => pick(&uses, &self.policy, self.segment_len_max),
            Compact::All => pick_all(&uses, &self.policy, self.segment_len_max),
            Compact::Segments(ids) => {
                for &id in ids {
                    let segment = set.iter().find(|segment| segment.id == id);
                    check_fit(segment.ok_or(Error::NoSuchSegment { segment: id })?)?;
                }
                pick_these(&uses, self.segment_len_max, ids)
            }
        };
        Ok(CompactionPlan { at_ms: basis.now_ms, runs })
    }

    /// Reports the fate of each record of `run` at `at_ms`, in log order, and returns the totals.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`], [`Error::Damaged`], [`Error::Cancelled`] when `tell` returned `Break`, and what the operating
    /// system says.
    pub(crate) fn decisions(
        &self,
        run: &CompactionRun,
        at_ms: u64,
        tell: &mut dyn FnMut(Decided) -> ControlFlow<()>,
    ) -> Result<Tallies> {
        let judge = Judge::new(&self.state, run, &self.policy, at_ms)?;
        let mut tallies = Tallies::default();
        for segment in judge.run() {
            let goes_on = judge.records(segment, |record, Verdict { decision, .. }| {
                tallies.add(decision, record.frame.len);
                Ok(tell(Decided {
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

    /// Compacts, after any compaction that is running.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::WithinCompaction`] when `observe` of another one asks for it, [`Error::Damaged`] in a
    /// segment that was named, [`Error::Cancelled`] when `observe` returned `Break`, [`Error::Closed`] when the store was
    /// closed meanwhile, a log that takes no more writes, and what the operating system says. Runs that were done before
    /// stay done.
    pub(crate) fn compact(&self, what: &Compact, observe: Observer<'_>) -> Result<CompactionReport> {
        let started = Instant::now();
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        let _turn = self.turn(log)?;
        self.is_unasked.store(false, Ordering::Relaxed);
        // Read after the wait for other compactions.
        let basis = self.basis(Known::ByLooking);
        if *what == Compact::All {
            self.seal_dead(log, &basis)?;
        }
        let mut report = self.runs(log, what, &basis, observe)?;
        report.took = started.elapsed();
        Ok(report)
    }

    /// Interrupts a background compaction, and waits for others.
    ///
    /// # Errors
    /// [`Error::WithinCompaction`] inside a compaction of the same thread, and a log that takes no
    /// more writes.
    fn turn(&self, log: &Log) -> Result<Turn<'_>> {
        // In a fork the lock below may be held for ever, by a thread that is not there.
        log.check()?;
        if self.runs_in() == Some(thread::current().id()) {
            return Err(Error::WithinCompaction);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(Turn::begin(self, busy))
    }

    /// Compacts what is due, unless a compaction runs already.
    ///
    /// # Errors
    /// As [`Compactor::compact`].
    pub(crate) fn compact_due(&self, observe: Observer<'_>) -> Result<CompactionReport> {
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        let busy = match self.busy.try_lock() {
            Ok(busy) => busy,
            // An observer has panicked: that compaction is over.
            Err(TryLockError::Poisoned(busy)) => busy.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(CompactionReport::default()),
        };
        let _turn = Turn::begin(self, busy);
        self.is_unasked.store(true, Ordering::Relaxed);
        self.runs(log, &Compact::Due, &self.basis(Known::WithoutLooking), observe)
    }

    fn runs(
        &self,
        log: &Arc<Log>,
        what: &Compact,
        basis: &Basis,
        observe: Observer<'_>,
    ) -> Result<CompactionReport> {
        let mut report = CompactionReport::default();
        let newest = self.state.segments().iter().map(|segment| segment.id).max();
        let mut plan = self.plan_by(what, basis)?;
        let (mut done_len, mut total_len) = (0, plan.read_len());
        while !plan.runs.is_empty() {
            let run = plan.runs.remove(0);
            let behind = self.behind(&run);
            let mut observe_run = |event: CompactionEvent<'_>| match event {
                _ if self.is_closing.load(Ordering::Relaxed) => ControlFlow::Break(()),
                CompactionEvent::Progress { done_len: of_run, .. } => {
                    observe(CompactionEvent::Progress { done_len: done_len + of_run, total_len })
                }
                event => observe(event),
            };
            let next = match Rewrite::new(&self.state, log, &run, self, plan.at_ms)?.run(&mut observe_run) {
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
                // Its segment is not taken again, and must not stand in the way of the others.
                Err(Error::Damaged { segment, offset, damage }) if !matches!(what, Compact::Segments(_)) => {
                    report.left.push(LeftAlone { segment, met: Some((offset, damage)) });
                    run.segments.first().copied()
                }
                Err(error) => return Err(error),
            };
            // What an older run dropped may let a newer segment go without what it kept for its sake.
            plan = match what {
                Compact::Due => self.plan_by(what, basis)?.with_any_up_to(newest),
                Compact::All => self.plan_from(next, basis)?,
                Compact::Segments(_) => plan,
            };
            done_len += run.read_len;
            total_len = done_len + plan.read_len();
        }
        if *what == Compact::All {
            self.add_left_before(&mut report.left, basis)?;
        }
        Ok(report)
    }

    /// The segments that hold something dead and were known to be damaged.
    fn add_left_before(&self, left: &mut Vec<LeftAlone>, basis: &Basis) -> Result<()> {
        let basis = Basis { known: Known::WithoutLooking, ..*basis };
        for segment in self.state.segments().iter().filter(|segment| segment.is_unfit()) {
            let usage = self.use_of(segment, &basis)?;
            let is_damaged = segment.layout == Layout::current(segment.layout.records.salt);
            let is_told = left.iter().any(|left| left.segment == segment.id);
            if is_damaged && !is_told && usage.body_len > usage.live_len {
                left.push(LeftAlone { segment: segment.id, met: None });
            }
        }
        Ok(())
    }

    /// The segment behind `run`.
    fn behind(&self, run: &CompactionRun) -> Option<SegmentId> {
        let set = self.state.segments();
        set.iter().map(|segment| segment.id).skip_while(|id| Some(id) != run.segments.last()).nth(1)
    }

    /// What is still to be done of [`Compact::All`] from segment `first` on.
    fn plan_from(&self, first: Option<SegmentId>, basis: &Basis) -> Result<CompactionPlan> {
        let set = self.state.segments();
        let segments = set.iter().skip_while(|segment| Some(segment.id) != first);
        let uses = segments.map(|segment| self.use_of(segment, basis)).collect::<Result<Vec<_>>>()?;
        let runs = pick_all(&uses, &self.policy, self.segment_len_max);
        Ok(CompactionPlan { at_ms: basis.now_ms, runs })
    }

    /// Seals the active segment if it holds anything dead.
    fn seal_dead(&self, log: &Log, basis: &Basis) -> Result<()> {
        let set = self.state.segments();
        let active = set.iter().next_back().filter(|last| !last.is_sealed());
        let active = active.map(|last| self.use_of(last, basis)).transpose()?;
        if active.is_some_and(|active| active.body_len + active.expired_len > active.live_len) {
            log.rotate()?;
        }
        Ok(())
    }

    /// The figures of one segment that the choice looks at.
    fn use_of(&self, segment: &Segment, basis: &Basis) -> Result<SegmentUse> {
        let grace_ms = u64::try_from(self.policy.expiry_grace.as_millis()).unwrap_or(u64::MAX);
        let by_ms = basis.now_ms.saturating_sub(grace_ms);
        let usage = &segment.usage;
        Ok(SegmentUse {
            id: segment.id,
            body_len: segment.len().saturating_sub(segment.layout.header_len.into()),
            live_len: usage.live_len(),
            expired_len: match basis.known {
                Known::ByLooking => self.state.expired(segment, by_ms)?.len,
                Known::WithoutLooking => segment.expired_len(by_ms),
            },
            tombstone_len: usage.tombstone_len.load(Ordering::Relaxed),
            needed_len: usage.needed_len(basis.now_ms, basis.appended),
            is_fit: check_fit(segment).is_ok(),
        })
    }
}

/// The inputs of a compaction's decisions, read once: a clock that moves or is set meanwhile
/// changes nothing.
#[derive(Clone, Copy, Debug)]
struct Basis {
    /// In milliseconds since 1970.
    now_ms: u64,
    /// The number of the newest record appended.
    appended: Seqno,
    known: Known,
}

/// A compaction that runs, until it is dropped.
struct Turn<'a> {
    compactor: &'a Compactor,
    #[expect(dead_code, reason = "held, not looked at")]
    busy: MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    fn begin(compactor: &'a Compactor, busy: MutexGuard<'a, ()>) -> Self {
        let turn = Self { compactor, busy };
        turn.runs_in(Some(thread::current().id()));
        turn
    }

    fn runs_in(&self, thread: Option<ThreadId>) {
        *self.compactor.runs_in.lock().unwrap_or_else(PoisonError::into_inner) = thread;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.runs_in(None);
    }
}

/// How it is known what has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The headers of records are read where one may have: for who asked for a compaction.
    ByLooking,
    /// By what was noted as records were written, which tells of segments in which all that expires has: the background
    /// reads no segment to see whether it should.
    WithoutLooking,
}

/// Whether a segment can be compacted.
fn check_fit(segment: &Segment) -> Result<()> {
    let reason = match (segment.is_sealed(), segment.is_unfit()) {
        (false, _) => "it is the log's end; `rotate` seals it",
        (true, true) => "it is damaged, or of another version's layout, and stays as it is",
        (true, false) => return Ok(()),
    };
    Err(Error::NotCompactable { segment: segment.id, reason })
}
