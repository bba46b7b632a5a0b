//! Each call of random lives of a store, made to fail in every way, once or with all that follow.
//!
//! What is refused is told in a sentence, the value is the old or the new one, what is read is right or an error, and reads
//! go on. Each of those lives is then cut: a failed call, and the power goes.
//!
//! `LOGKV_FAULTS` is the number of failing calls, `LOGKV_SEED` that of the first life.

use super::crash::{Failure, Tally, Trial, try_plans};
use super::fault::{Failing, Fault};
use super::file_system::MapDir;
use super::life::Birth;
use super::plan::Plan;

/// Calls that one run of the tests makes fail.
const FAULTS: u64 = 20_000;

/// Lives `plan` once for each way in which each of its calls can fail.
fn fail_everywhere(plan: &Plan, maps: &MapDir) -> Result<Tally, Failure> {
    let mut trial = Trial::new(plan, maps);
    let birth = plan.birth();
    let whole = trial.live(&birth, &plan.setting, &plan.steps)?;
    for at_call in 0..whole.call_count {
        for (failing, lasts) in
            Failing::EVERY.into_iter().flat_map(|failing| [(failing, false), (failing, true)])
        {
            let fault = Some(Fault { failing, at_call, lasts });
            let birth = Birth { fault, ..birth.clone() };
            let life = trial.live(&birth, &plan.setting, &plan.steps).map_err(|mut failure| {
                failure.0.push(format!("{fault:?} under {:?}", plan.setting));
                failure
            })?;
            if life.met.is_some() {
                trial.tally.faults += 1;
                trial.cut_since_fault(&life)?;
            }
        }
    }
    Ok(trial.tally)
}

fn fault_count() -> u64 {
    std::env::var("LOGKV_FAULTS").map_or(FAULTS, |text| text.parse().expect("it is a number"))
}

#[test]
fn case_19_a_call_that_fails_leaves_the_old_or_the_new_and_a_reopen_agrees() {
    let count = fault_count();
    try_plans(Plan::steady, fail_everywhere, |tally| tally.faults >= count);
}
