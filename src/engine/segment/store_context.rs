//! Whose segments they are, and where.

use std::sync::Arc;

use crate::engine::base::ids::Lineage;
use crate::engine::base::wakeup::Wakeup;
use crate::engine::format::key_hash;
use crate::engine::format::segment_header::StoreId;
use crate::engine::fs::{Directory, FilePool};
use crate::engine::options::{Options, ReadWith};

/// Where a store's files are, whose they are, and how they are read.
#[derive(Clone, Debug)]
pub(crate) struct StoreContext {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) store: StoreId,
    /// From MANIFEST when the store was opened.
    pub(crate) lineage: Lineage,
    pub(crate) hash_seed: u64,
    pub(crate) reading: ReadMode,
    /// Rung when there is something to do in the background: a segment was sealed, or has no hint that can be used.
    pub(crate) wakeup: Arc<Wakeup>,
}

/// How segments are read.
#[derive(Clone, Debug)]
pub(crate) struct ReadMode {
    pub(crate) with: ReadWith,
    /// The largest decompressed length of a value, in bytes; more if its block is large, too.
    pub(crate) value_len_max: u64,
    /// Holds the unmapped files; `None` if each segment holds its own for a short time.
    pub(crate) files: Option<Arc<FilePool>>,
}

impl ReadMode {
    /// For the files in `directory`, by `options`.
    pub(crate) fn of(directory: &Arc<dyn Directory>, options: &Options) -> Self {
        Self {
            with: options.read_with,
            value_len_max: options.value_read_max.max(options.value_len_max),
            files: Some(FilePool::new(Arc::clone(directory), options.open_files_max)),
        }
    }

    /// The same without mappings.
    pub(crate) fn unmapped(&self) -> Self {
        Self { with: ReadWith::Pread, ..self.clone() }
    }

    /// The same without mappings, for reading one segment briefly.
    pub(crate) fn passing(&self) -> Self {
        Self { with: ReadWith::Pread, files: None, ..self.clone() }
    }

    /// Without mappings, for a caller that decompresses nothing.
    pub(crate) fn stored() -> Self {
        Self { with: ReadWith::Pread, value_len_max: 0, files: None }
    }
}

impl StoreContext {
    /// The hash that the keydir and the hints know `key` by.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash(self.hash_seed, key)
    }
}
