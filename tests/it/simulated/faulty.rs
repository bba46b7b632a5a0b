//! Each call of random lives of a store, made to fail in every way, once or with all that follow.
//!
//! What is refused is told in a sentence, the value is the old or the new one, what is read is right or an error, and reads
//! go on. Each of those lives is then cut: a call fails, and the power goes. A recovery is such a life, too.
//!
//! `LOGKV_FAULTS` is the number of failing calls, `LOGKV_SEED` that of the first life.

use super::crash::Trial;
use super::fault::{Failing, Fault, KIND_COUNT};
use super::file_system::MapDir;
use super::life::{Birth, Life};
use super::plan::{Plan, Step};
use super::search::{Failure, Tally, try_plans};

/// Calls that one run of the tests makes fail.
const FAULTS: u64 = 20_000;

/// Lives `plan` once for each way in which each of its calls can fail, and so a recovery after it.
fn fail_everywhere(plan: &Plan, maps: &MapDir) -> Result<Tally, Failure> {
    let mut trial = Trial::new(plan, maps);
    let life = fail_each_call(&mut trial, plan, &plan.birth(), &plan.steps)?;
    if let Some(torn) = trial.birth_after_torn_append(&life) {
        fail_each_call(&mut trial, plan, &torn, &[])?;
    }
    Ok(trial.tally)
}

/// The life in which nothing fails.
fn fail_each_call(
    trial: &mut Trial<'_>,
    plan: &Plan,
    birth: &Birth,
    steps: &[Step],
) -> Result<Life, Failure> {
    let whole = trial.live(birth, &plan.setting, steps)?;
    let ways = Failing::EVERY.into_iter().flat_map(|failing| [(failing, false), (failing, true)]);
    for (at_call, (failing, lasts)) in
        (0..whole.call_count).flat_map(|at_call| ways.clone().map(move |way| (at_call, way)))
    {
        let fault = Fault { failing, at_call, lasts };
        let birth = Birth { fault: Some(fault), ..birth.clone() };
        let life = trial.live(&birth, &plan.setting, steps).map_err(|mut failure| {
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
    std::env::var("LOGKV_FAULTS").map_or(FAULTS, |text| text.parse().expect("it is a number"))
}

#[test]
fn case_19_a_call_that_fails_leaves_the_old_or_the_new_and_a_reopen_agrees() {
    let count = fault_count();
    let tally = try_plans(Plan::steady, fail_everywhere, |tally| tally.faults >= count);
    assert_eq!(tally.kinds.len(), KIND_COUNT, "every call failed in every way");
}
