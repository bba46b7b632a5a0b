//! What commands write, and what is to be said of it.

use logkv::{Batch, Expiry};

use crate::shell::lang::words::plain::Plain;

/// What a command writes.
#[derive(Debug)]
pub enum Mutation {
    /// Puts, all or none.
    Put(Batch),
    /// Deletes, all or none.
    Delete(Batch),
    /// A put that goes by whether the key is there.
    PutIf {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
        /// When it expires.
        expiry: Option<Expiry>,
        /// Whether the key must not be there; otherwise it must be.
        if_absent: bool,
    },
    /// A sum.
    Incr {
        /// The key whose value is a number.
        key: Vec<u8>,
        /// What is added to it.
        by: i64,
    },
    /// A new expiry.
    Expire {
        /// The key.
        key: Vec<u8>,
        /// When it expires; `None` is never.
        expiry: Option<Expiry>,
    },
}

impl Mutation {
    /// What a plain line writes.
    pub fn of_plain(plain: Plain, batch: Batch) -> Self {
        match plain {
            Plain::Pairs => Self::Put(batch),
            Plain::Keys => Self::Delete(batch),
        }
    }

    /// Its batch, for its memory.
    pub fn into_batch(self) -> Batch {
        match self {
            Self::Put(batch) | Self::Delete(batch) => batch,
            Self::PutIf { .. } | Self::Incr { .. } | Self::Expire { .. } => Batch::new(),
        }
    }
}

/// What is to be said of a write once it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// That it is done.
    Put {
        /// The number of keys that are set.
        keys: usize,
    },
    /// How many keys there were, of the number that was named.
    Delete {
        /// The keys that were named.
        named: usize,
    },
    /// That it is done; or that the key was there, which it was not to be, or was not.
    PutIf {
        /// The key.
        key: Vec<u8>,
        /// Whether it was not to be there.
        if_absent: bool,
    },
    /// That the key expires; or that it is not there.
    Expire {
        /// The key.
        key: Vec<u8>,
    },
    /// That the key stays; or that it is not there.
    Persist {
        /// The key.
        key: Vec<u8>,
        /// Whether it is.
        is_there: bool,
    },
    /// The number that the key's value is now.
    Sum {
        /// The key.
        key: Vec<u8>,
        /// The number.
        sum: i64,
        /// Whether the key was there.
        was_there: bool,
    },
}
