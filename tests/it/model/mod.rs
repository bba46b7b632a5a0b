//! A store equals a map after random steps, with time passing, reopens and crashes.

mod checks;
mod history;
mod pair;
mod step;
mod world;

use std::sync::Arc;

use proptest::prelude::*;

use self::pair::Pair;
use self::step::{Step, ago, options, step};
use crate::moving::MovingClock;

const START_MS: u64 = 1_000_000;

/// The number of random step sequences. `PROPTEST_CASES` sets it.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

#[test]
fn a_store_equals_a_map_after_random_steps_reopens_and_crashes() {
    let clock = Arc::new(MovingClock::at(START_MS));
    let looks = prop::collection::vec((any::<[u64; 2]>(), ago()), 6);
    let plans = (options(&clock), prop::collection::vec(step(), 1..120), looks);
    let config = ProptestConfig { cases: cases(), source_file: Some(file!()), ..ProptestConfig::default() };
    proptest!(config, |(((options, retention), steps, looks) in plans)| {
        let mut pair = Pair::new(options, retention, Arc::clone(&clock));
        for step in &steps {
            pair.step(step);
        }
        pair.check_all();
        for (seqs, ago_ms) in looks {
            pair.step(&Step::LookBack(seqs, ago_ms));
        }
    });
}
