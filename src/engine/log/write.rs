//! A write on its way through the log: its operations, its condition and its result.

use crate::engine::base::batch::{Batch, Op};
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::format::codec::Packed;
use crate::engine::format::record::new::encoded_len;

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The number of the first record that was written.
    pub first: Seqno,
    /// The number of the last one.
    pub last: Seqno,
    /// Where the last one stands.
    pub location: Location,
    /// How many of the batch's deletes met a key that was there, and had not expired.
    pub deleted: usize,
}

/// A write that was appended, and how long its caller has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// `None` when nothing had to be written.
    pub(crate) commit: Option<Commit>,
    /// The record that has to be visible before the caller is told.
    pub(super) waits_for: Seqno,
    /// How many losses there had been when it was staged.
    pub(super) losses: u64,
}

/// When a write is put into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Before `append` returns.
    Now,
    /// When somebody waits for it, or enough has come together.
    WhenWaitedFor,
}

/// Under which condition a write of one key is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    None,
    Absent,
    Present,
}

/// An operation on its way into the log, and what is known of it before the log's lock is taken.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    pub(super) op: Op<'a>,
    pub(super) hash: u64,
    /// The value compressed, if that saves anything.
    pub(super) packed: Option<Packed>,
}

impl<'a> From<Op<'a>> for Staged<'a> {
    fn from(op: Op<'a>) -> Self {
        Self { op, hash: 0, packed: None }
    }
}

impl<'a> Staged<'a> {
    /// The operations of `batch`.
    pub(crate) fn all(batch: &'a Batch) -> Vec<Self> {
        batch.iter().map(Self::from).collect()
    }
}

impl Staged<'_> {
    /// The length of its record in bytes.
    pub(super) fn record_len(&self) -> u64 {
        let value_len = self.packed.as_ref().map_or(self.op.value().len(), |packed| packed.bytes.len());
        encoded_len(self.op.key().len(), value_len, self.op.expiry().is_some())
    }

    pub(super) fn is_delete(&self) -> bool {
        matches!(self.op, Op::Delete { .. })
    }
}
