//! The state of a segment's key order: a hint, or runs of sorted rows.
//!
//! Without a hint, the rows are kept in sorted runs, as in a log-structured merge tree. Records
//! appended since the last use become a run, and runs of similar length are merged, so that each
//! row moves a logarithmic number of times. A store that never needs key order pays nothing.

use std::ops::Range;

use super::hint::Hint;
use super::rows::SortedRows;
use crate::engine::base::sync::{LockRank, Mutex, MutexGuard};

/// The key order of a segment, as far as it has been needed.
#[derive(Debug)]
pub(super) struct Order {
    /// Held while runs are made, so that no two threads sort the same records.
    state: Mutex<OrderState>,
}

#[derive(Debug, Default)]
pub(super) enum OrderState {
    /// Not needed yet.
    #[default]
    Nothing,
    Hinted(Hint),
    Sorted {
        runs: Vec<SortedRows>,
        /// The runs hold the records before this offset.
        sorted_to: u64,
        /// Damage before `sorted_to`. A record there may have no row, or a row under another key.
        damaged: Vec<Range<u64>>,
    },
}

impl Default for Order {
    fn default() -> Self {
        Self { state: Mutex::new(LockRank::SegmentOrder, OrderState::default()) }
    }
}

impl Order {
    pub(super) fn lock(&self) -> MutexGuard<'_, OrderState> {
        self.state.lock()
    }
}
