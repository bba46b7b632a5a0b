//! Submitted writes of a script that are not acknowledged yet.
//!
//! With `--sync always` an acknowledgement costs an fsync. A script submits many writes and waits
//! for them together, so that they share one. The result of a write is printed only after its wait
//! has returned.

use logkv::{Batch, Pending};

use super::mutation::Reply;
use crate::shell::lang::report::LinePlace;
use crate::shell::term::output::Mode;

/// A submitted write.
#[derive(Debug)]
pub struct Submitted {
    /// The handle to wait for the acknowledgement.
    pub pending: Pending,
    /// The reply to print after the acknowledgement.
    pub reply: Reply,
    /// The mode of the reply.
    pub mode: Mode,
    /// The position in the script.
    pub place: LinePlace,
}

/// The submitted writes, oldest first.
#[derive(Debug, Default)]
pub struct Pipeline {
    submitted: Vec<Submitted>,
    len: usize,
    /// An empty batch whose memory is reused.
    spare: Batch,
}

/// Returns whether `count` writes of `len` bytes in all are enough to wait for. More writes share
/// an fsync if the limit is higher.
pub fn is_enough(count: usize, len: usize) -> bool {
    const COUNT_MAX: usize = 64 << 10;
    const LEN_MAX: usize = 8 << 20;
    count >= COUNT_MAX || len >= LEN_MAX
}

impl Pipeline {
    /// Adds a write of about `len` bytes. Its `reply` is printed in `mode`.
    pub fn push(&mut self, (pending, reply): (Pending, Reply), mode: Mode, len: usize, place: LinePlace) {
        self.submitted.push(Submitted { pending, reply, mode, place });
        self.len += len;
    }

    /// Returns an empty batch with memory of an earlier one.
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.spare)
    }

    /// Keeps the memory of `batch` for the next one.
    pub fn give_batch(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = batch;
    }

    /// Returns whether to wait before the next write.
    pub fn is_full(&self) -> bool {
        is_enough(self.submitted.len(), self.len)
    }

    /// Removes and returns all writes, oldest first.
    pub fn take_all(&mut self) -> Vec<Submitted> {
        self.len = 0;
        std::mem::take(&mut self.submitted)
    }
}
