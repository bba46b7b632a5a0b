//! Kinds of mistakes that a suite misses because it never varies something. Each module varies one
//! thing through fixed cases, without randomness. `suites:` in `tests/mutants` names the tests that
//! detect each deliberate mistake.

mod beside;
mod covered;
mod leftovers;
mod lines;
mod reopened;
mod sizes;
