//! Sequences of operations that stores of this kind have got wrong before. The number of a case is
//! in the names of its tests: `case_04_…`. Case 19 is in `simulated::faulty`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::imports::sources;

mod beside;
mod clear;
mod crash;
mod damaged;
mod derived;
mod directory;
mod expiry;
mod midway;
mod order;
pub(crate) mod recorder;
pub(crate) mod steps;

/// The number of the last case.
const LAST_CASE: u32 = 24;

#[test]
fn every_case_has_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let number = |line: &str| line.strip_prefix("fn case_")?.split('_').next()?.parse::<u32>().ok();
    let cases: BTreeSet<_> =
        sources(&tests).iter().flat_map(|(_, text)| text.lines().filter_map(number)).collect();
    assert_eq!(cases, (1..=LAST_CASE).collect());
}
