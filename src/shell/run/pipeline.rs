//! Writes of a script on their way: appended, not yet acknowledged.
//!
//! Under `--sync always` an acknowledgement costs an fsync. A script's writes are submitted one after another
//! and waited for together, so that many share one. Nothing is said of a write before its wait returned.

use logkv::{Batch, Pending};

use super::session::Session;
use crate::shell::commands::reply::Reply;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::report::Place;
use crate::shell::term::output::Mode;

#[derive(Debug)]
struct Submitted {
    pending: Pending,
    reply: Reply,
    /// How that is said.
    mode: Mode,
    place: Place,
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
    pub fn push(&mut self, (pending, reply): (Pending, Reply), mode: Mode, len: usize, place: Place) {
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

    /// Waits for all, in order, and says what became of each.
    pub fn drain(&mut self, session: &mut Session) {
        self.len = 0;
        for Submitted { pending, reply, mode, place } in self.submitted.drain(..) {
            let committed = pending.wait().map_err(Failure::from);
            session.in_json(mode == Mode::Json, |session| {
                let told = committed.and_then(|commit| reply.tell(session, commit));
                session.settle(told, b"", &place);
            });
            session.acknowledge(&place);
        }
    }
}
