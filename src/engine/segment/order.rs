//! The records of a segment in key order: read from its hint, or sorted when somebody asks.
//!
//! The order of a segment without a hint is kept in sorted runs, as in a log-structured merge tree: what was appended
//! since the last time becomes a run, and runs of similar length are merged, so that each row is moved a number of times
//! that grows with the logarithm of their count. A store that never asks pays nothing.

use std::ops::Range;
use std::sync::PoisonError;

use super::hint::Hint;
use super::rows::SortedRows;
use crate::engine::base::sync::{Mutex, MutexGuard};

/// What is known of a segment's order.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Guards the runs while they are made; held during that, so that no two threads sort the same. No other lock is taken
    /// under it.
    state: Mutex<OrderState>,
}

#[derive(Debug, Default)]
pub(super) enum OrderState {
    /// Nobody has asked yet.
    #[default]
    Nothing,
    Hinted(Hint),
    Sorted {
        runs: Vec<SortedRows>,
        /// SortedRows of the records before this byte are in the runs.
        sorted_to: u64,
        /// Where among them there is damage: what stood there may be in no row, or in one of another key.
        damaged: Vec<Range<u64>>,
    },
}

impl Order {
    pub(super) fn lock(&self) -> MutexGuard<'_, OrderState> {
        // What is half made is not kept.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
