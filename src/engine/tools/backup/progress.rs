//! The progress of a backup or a restore, and its cancellation.

use std::ops::ControlFlow;

use super::report::BackupProgress;
use crate::engine::base::stop::Stop;

/// A callback that receives the progress, and cancels with `Break`.
pub(super) type Observe<'a> = dyn FnMut(BackupProgress) -> ControlFlow<()> + 'a;

pub(super) struct Progress<'a> {
    observe: &'a mut Observe<'a>,
    done_len: u64,
    total_len: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(observe: &'a mut Observe<'a>, total_len: u64) -> Self {
        Self { observe, done_len: 0, total_len }
    }

    /// Sets the total, for callers that learn it later.
    pub(super) fn set_total(&mut self, total_len: u64) {
        self.total_len = total_len;
    }

    /// Adds `len` bytes to those done, and reports them.
    pub(super) fn advance(&mut self, len: u64) -> Result<(), Stop> {
        self.done_len += len;
        let total_len = self.total_len.max(self.done_len);
        Stop::unless((self.observe)(BackupProgress { done_len: self.done_len, total_len }))
    }
}
