//! Writes of a script on their way: appended, not yet acknowledged.
//!
//! Under `--sync always` an acknowledgement costs an fsync. A script's writes are submitted one after another
//! and waited for together, so that many share one. Nothing is said of a write before its wait returned.

use logkv::{Batch, Pending};

use super::mutation::Reply;
use crate::shell::lang::report::LinePlace;
use crate::shell::term::output::Mode;

/// A write that is on its way.
#[derive(Debug)]
pub struct Submitted {
    /// It, which is to be waited for.
    pub pending: Pending,
    /// What is said of it then.
    pub reply: Reply,
    /// How that is said.
    pub mode: Mode,
    /// Where it was given.
    pub place: LinePlace,
}

/// The writes on their way, oldest first.
#[derive(Debug, Default)]
pub struct Pipeline {
    submitted: Vec<Submitted>,
    len: usize,
    /// An empty batch, kept for its memory.
    spare: Batch,
}

/// Whether `count` writes of `len` bytes in all should be waited for. As many share an fsync as are appended without waiting.
pub fn is_enough(count: usize, len: usize) -> bool {
    const COUNT_MAX: usize = 64 << 10;
    const LEN_MAX: usize = 8 << 20;
    count >= COUNT_MAX || len >= LEN_MAX
}

impl Pipeline {
    /// Adds a write of about `len` bytes, given at `place`, of which `reply` is said in `mode`.
    pub fn push(&mut self, (pending, reply): (Pending, Reply), mode: Mode, len: usize, place: LinePlace) {
        self.submitted.push(Submitted { pending, reply, mode, place });
        self.len += len;
    }

    /// An empty batch, with the memory of an earlier one.
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.spare)
    }

    /// Keeps the memory of a batch for the next.
    pub fn give_batch(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = batch;
    }

    /// Whether so much is on its way that it should be waited for.
    pub fn is_full(&self) -> bool {
        is_enough(self.submitted.len(), self.len)
    }

    /// All writes on their way, oldest first.
    pub fn take_all(&mut self) -> Vec<Submitted> {
        self.len = 0;
        std::mem::take(&mut self.submitted)
    }
}
