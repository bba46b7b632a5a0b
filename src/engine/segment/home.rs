//! Whose segments they are, and where.

use std::sync::Arc;

use crate::engine::format::key_hash;
use crate::engine::format::segment_header::StoreId;
use crate::engine::fs::Directory;
use crate::engine::options::ReadWith;
use crate::engine::wake::Wake;

/// Where a store's files are, whose they are, and how they are read.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) store: StoreId,
    pub(crate) hash_seed: u64,
    pub(crate) read_with: ReadWith,
    /// Rung when there is something to do in the background: a segment was sealed, or has no hint that can be used.
    pub(crate) wake: Arc<Wake>,
}

impl Home {
    /// The hash that the keydir and the hints know `key` by.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash(self.hash_seed, key)
    }
}
