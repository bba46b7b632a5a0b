//! The writes of commands, and their replies.

use logkv::{Batch, Expiry};

use crate::shell::lang::words::plain::Plain;

/// A write of one command.
#[derive(Debug)]
pub enum Mutation {
    /// Puts, all or none.
    Put(Batch),
    /// Deletes, all or none.
    Delete(Batch),
    /// A put that depends on whether the key exists.
    PutIf {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
        /// The expiry, if any.
        expiry: Option<Expiry>,
        /// Whether the key must be absent; otherwise it must exist.
        if_absent: bool,
    },
    /// An addition.
    Incr {
        /// The key whose value is a number.
        key: Vec<u8>,
        /// The addend.
        by: i64,
    },
    /// A new expiry.
    Expire {
        /// The key.
        key: Vec<u8>,
        /// The expiry. `None` removes it.
        expiry: Option<Expiry>,
    },
}

impl Mutation {
    /// Returns the write of a plain line.
    pub fn of_plain(plain: Plain, batch: Batch) -> Self {
        match plain {
            Plain::Pairs => Self::Put(batch),
            Plain::Keys => Self::Delete(batch),
        }
    }

    /// Returns the batch, so that its memory can be reused.
    pub fn into_batch(self) -> Batch {
        match self {
            Self::Put(batch) | Self::Delete(batch) => batch,
            Self::PutIf { .. } | Self::Incr { .. } | Self::Expire { .. } => Batch::new(),
        }
    }
}

/// The reply to a write, given after the store has acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The keys were set.
    Put {
        /// The number of keys.
        keys: usize,
    },
    /// Some of the named keys were deleted.
    Delete {
        /// The number of named keys.
        named: usize,
    },
    /// The key was set, or the condition was not met.
    PutIf {
        /// The key.
        key: Vec<u8>,
        /// Whether the key had to be absent.
        if_absent: bool,
    },
    /// The key has an expiry now, or does not exist.
    Expire {
        /// The key.
        key: Vec<u8>,
    },
    /// The key has no expiry now, or does not exist.
    Persist {
        /// The key.
        key: Vec<u8>,
        /// Whether the key exists.
        is_there: bool,
    },
    /// The new value of the key.
    Sum {
        /// The key.
        key: Vec<u8>,
        /// The sum.
        sum: i64,
        /// Whether the key existed before.
        was_there: bool,
    },
}
