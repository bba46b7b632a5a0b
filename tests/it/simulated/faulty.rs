//! Random lives of a store in which each call fails in turn, in every way, once or with all later
//! calls.
//!
//! Each failure is reported in a sentence, each key has its old or new value, each read is correct
//! or an error, and reads continue to work. Some of those lives are then cut: a call fails, and the
//! power fails after it. Recoveries are tested in the same way.
//!
//! `LOGKV_FAULTS` is the number of failing calls. `LOGKV_SEED` is the seed of the first life.

use super::crash::Trial;
use super::fault::{FailureKind, Fault, KIND_COUNT};
use super::file_system::MapDir;
use super::life::{Life, LifeStart};
use super::plan::{Plan, Step};
use super::search::{Failure, Tally, try_plans};

/// The number of failing calls in one test run.
const FAULTS: u64 = 20_000;

/// Runs `plan` once for each way in which each of its calls, and of the recovery after it, can
/// fail.
fn fail_everywhere(plan: &Plan, maps: &MapDir) -> Result<Tally, Failure> {
    let mut trial = Trial::new(plan, maps);
    let life = fail_each_call(&mut trial, plan, &plan.start(), &plan.steps)?;
    if let Some(torn) = trial.start_after_torn_append(&life) {
        fail_each_call(&mut trial, plan, &torn, &[])?;
    }
    Ok(trial.tally)
}

/// The life without a fault.
fn fail_each_call(
    trial: &mut Trial<'_>,
    plan: &Plan,
    start: &LifeStart,
    steps: &[Step],
) -> Result<Life, Failure> {
    let whole = trial.live(start, &plan.setting, steps)?;
    let ways = FailureKind::EVERY.into_iter().flat_map(|failing| [(failing, false), (failing, true)]);
    for (at_call, (failing, lasts)) in
        (0..whole.call_count).flat_map(|at_call| ways.clone().map(move |way| (at_call, way)))
    {
        let fault = Fault { failing, at_call, lasts };
        let start = LifeStart { fault: Some(fault), ..start.clone() };
        let life = trial.live(&start, &plan.setting, steps).map_err(|mut failure| {
            failure.0.push(format!("{fault:?} under {:?}", plan.setting));
            failure
        })?;
        if let Some(met) = life.met {
            trial.tally.faults += 1;
            trial.tally.kinds.insert(fault.kind(met.call));
            trial.cut_since_fault(&life)?;
        }
    }
    Ok(whole)
}

fn fault_count() -> u64 {
    std::env::var("LOGKV_FAULTS").map_or(FAULTS, |text| text.parse().expect("is a number"))
}

#[test]
fn case_19_a_failed_call_leaves_the_old_or_the_new_value_also_after_a_reopen() {
    let count = fault_count();
    let tally = try_plans(Plan::steady, fail_everywhere, |tally| tally.faults >= count);
    assert_eq!(tally.kinds.len(), KIND_COUNT, "every call failed in every way");
}
