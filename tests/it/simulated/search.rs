//! Tries plans on all cores until there are enough or one fails, and shrinks the failed one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::fault::Kind;
use super::file_system::MapDir;
use super::plan::Plan;
use crate::common::{scratch, seed};

/// The interval between progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);
/// The time limit for shrinking a failure.
const SHRINK_MAX: Duration = Duration::from_secs(20);

/// The number of attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// States that were drawn and are correct.
    pub(super) states: u64,
    /// Distinct states of a plan, each of which was opened.
    pub(super) different: u64,
    /// Stores that were written to after a crash.
    pub(super) afterlives: u64,
    /// Calls that failed on purpose.
    pub(super) faults: u64,
    /// The kinds of those calls and their failures.
    pub(super) kinds: HashSet<Kind>,
}

/// The description of a failure and the path to it, innermost first.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Vec<String>);

/// The experiment with one plan.
pub(super) type Try = fn(&Plan, &MapDir) -> Result<Tally, Failure>;

/// Removes steps while the plan still fails.
fn shrink(mut plan: Plan, mut failure: Failure, maps: &MapDir, try_plan: Try) -> (Plan, Failure) {
    let started = Instant::now();
    let mut chunk = plan.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < plan.steps.len() && started.elapsed() < SHRINK_MAX {
            let mut smaller = plan.clone();
            smaller.steps.drain(at..(at + chunk).min(plan.steps.len()));
            match try_plan(&smaller, maps) {
                Ok(_) => at += chunk,
                Err(still) => (plan, failure) = (smaller, still),
            }
        }
        chunk /= 2;
    }
    (plan, failure)
}

/// The total of all attempts so far.
#[derive(Default)]
struct Progress {
    tally: Tally,
    plans: u64,
    last_message: Option<Instant>,
    failure: Option<(Plan, Failure)>,
}

impl Progress {
    fn add(&mut self, tally: Tally) {
        self.plans += 1;
        self.tally.states += tally.states;
        self.tally.different += tally.different;
        self.tally.afterlives += tally.afterlives;
        self.tally.faults += tally.faults;
        self.tally.kinds.extend(tally.kinds);
    }

    fn tell(&mut self, started: Instant) {
        let rate = self.tally.states as f64 / started.elapsed().as_secs_f64();
        let Tally { states, different, afterlives, faults, .. } = self.tally;
        println!(
            "{} lives, {states} states ({different} different), {afterlives} lives after a crash, {faults} \
            faults; {rate:.0} states a second",
            self.plans
        );
        self.last_message = Some(Instant::now());
    }
}

/// Tries plans from the announced seed on, until `is_enough`.
///
/// # Panics
///
/// If a plan fails, with the shrunk plan.
pub(super) fn try_plans(
    plan_of: fn(u64) -> Plan,
    try_plan: Try,
    is_enough: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    let (first, started) = (seed(), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let progress = Mutex::new(Progress::default());
    let lock = || progress.lock().expect("no panic");
    let goes_on = || {
        let progress = lock();
        progress.failure.is_none() && !is_enough(&progress.tally)
    };
    let work = || {
        let maps: MapDir = Some(Arc::new(scratch()));
        while goes_on() {
            let plan = plan_of(first.wrapping_add(next.fetch_add(1, Ordering::Relaxed)));
            let tried = try_plan(&plan, &maps);
            let mut progress = lock();
            match tried {
                Ok(tally) => progress.add(tally),
                Err(failure) => progress.failure = Some((plan, failure)),
            }
            if progress.last_message.unwrap_or(started).elapsed() > PROGRESS_INTERVAL {
                progress.tell(started);
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut progress = progress.into_inner().expect("no panic");
    progress.tell(started);
    if let Some((plan, failure)) = progress.failure {
        panic!("{}", smallest(plan, failure, try_plan));
    }
    progress.tally
}

fn smallest(plan: Plan, failure: Failure, try_plan: Try) -> String {
    let seed = plan.seed;
    let (plan, Failure(way)) = shrink(plan, failure, &Some(Arc::new(scratch())), try_plan);
    let way: Vec<_> = way.into_iter().rev().collect();
    format!("LOGKV_SEED={seed} fails; shrunk to\n{:?}\n{}", plan.steps, way.join("\nthen\n"))
}
