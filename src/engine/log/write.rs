//! A write on its way through the log: its operations, its condition and its result.

use crate::engine::base::batch::{Batch, Op};
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::format::codec::Packed;
use crate::engine::format::record::new::encoded_len;

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The sequence number of its first record.
    pub first: Seqno,
    /// The sequence number of its last record.
    pub last: Seqno,
    /// The location of its last record.
    pub location: Location,
    /// The number of deletes in the batch whose key was present and not expired.
    pub deleted: usize,
}

/// An appended write, for [`Log::wait`](super::Log::wait).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// `None` if nothing was written.
    pub(crate) commit: Option<Commit>,
    /// The record that must be visible before the write is acknowledged.
    pub(super) waits_for: Seqno,
    /// The number of losses before it was staged.
    pub(super) losses: u64,
}

/// When a write goes to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Before `append` returns.
    Now,
    /// When a caller waits, or the buffer is full.
    WhenWaitedFor,
}

/// The condition of a write to one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    None,
    Absent,
    Present,
}

/// An operation, prepared before the log's lock is taken.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    pub(super) op: Op<'a>,
    pub(super) hash: u64,
    /// The compressed value, if it is shorter.
    pub(super) packed: Option<Packed>,
}

impl<'a> From<Op<'a>> for Staged<'a> {
    fn from(op: Op<'a>) -> Self {
        Self { op, hash: 0, packed: None }
    }
}

impl<'a> Staged<'a> {
    /// Returns the operations of `batch`.
    pub(crate) fn all(batch: &'a Batch) -> Vec<Self> {
        batch.iter().map(Self::from).collect()
    }
}

impl Staged<'_> {
    /// Returns the length of the record in bytes.
    pub(super) fn record_len(&self) -> u64 {
        let value_len = self.packed.as_ref().map_or(self.op.value().len(), |packed| packed.bytes.len());
        encoded_len(self.op.key().len(), value_len, self.op.expiry().is_some())
    }

    pub(super) fn is_delete(&self) -> bool {
        matches!(self.op, Op::Delete { .. })
    }
}
