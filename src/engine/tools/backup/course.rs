//! How far a backup or a restore has come, and whether it goes on.

use std::ops::ControlFlow;

use super::report::BackupProgress;
use crate::engine::base::stop::Stop;

/// Who is told of the progress, and can break it off.
pub(super) type Observe<'a> = dyn FnMut(BackupProgress) -> ControlFlow<()> + 'a;

/// The progress of one piece of work.
pub(super) struct Course<'a> {
    observe: &'a mut Observe<'a>,
    done_len: u64,
    total_len: u64,
}

impl<'a> Course<'a> {
    pub(super) fn new(observe: &'a mut Observe<'a>, total_len: u64) -> Self {
        Self { observe, done_len: 0, total_len }
    }

    /// Takes note of how much there is to do, which was not known at first.
    pub(super) fn expect(&mut self, total_len: u64) {
        self.total_len = total_len;
    }

    /// `len` more bytes are done.
    pub(super) fn advance(&mut self, len: u64) -> Result<(), Stop> {
        self.done_len += len;
        let total_len = self.total_len.max(self.done_len);
        Stop::unless((self.observe)(BackupProgress { done_len: self.done_len, total_len }))
    }
}
