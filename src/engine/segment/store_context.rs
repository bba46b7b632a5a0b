//! The store that a segment belongs to, and the way its segments are read.

use std::sync::Arc;

use crate::engine::base::ids::Lineage;
use crate::engine::base::wakeup::Wakeup;
use crate::engine::format::key_hash;
use crate::engine::format::manifest::Manifest;
use crate::engine::format::segment_header::StoreId;
use crate::engine::fs::{Directory, FilePool};
use crate::engine::options::{Options, ReadWith};

/// A store's identity, its directory, and the way it reads segments.
#[derive(Clone, Debug)]
pub(crate) struct StoreContext {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) store: StoreId,
    /// The lineage that MANIFEST had when the store was opened.
    pub(crate) lineage: Lineage,
    pub(crate) hash_seed: u64,
    pub(crate) reading: ReadMode,
    /// Wakes the background thread when a segment has been sealed or has no usable hint.
    pub(crate) wakeup: Arc<Wakeup>,
}

/// The way segments are read.
#[derive(Clone, Debug)]
pub(crate) struct ReadMode {
    pub(crate) with: ReadWith,
    /// The largest decompressed length of a value, in bytes. A value that takes many bytes on disk
    /// may exceed it.
    pub(crate) value_len_max: u64,
    /// The pool of unmapped files. `None` if each segment keeps its own file open.
    pub(crate) files: Option<Arc<FilePool>>,
}

impl ReadMode {
    pub(crate) fn of(directory: &Arc<dyn Directory>, options: &Options) -> Self {
        Self {
            with: options.read_with,
            value_len_max: options.value_read_max.max(options.value_len_max),
            files: Some(FilePool::new(Arc::clone(directory), options.open_files_max)),
        }
    }

    /// Returns the same mode without mappings.
    pub(crate) fn unmapped(&self) -> Self {
        Self { with: ReadWith::Pread, ..self.clone() }
    }

    /// Returns the same mode without mappings and pool, for one short pass over a segment.
    pub(crate) fn unpooled(&self) -> Self {
        Self { with: ReadWith::Pread, files: None, ..self.clone() }
    }

    /// Returns a mode without mappings, for a caller that decompresses nothing.
    pub(crate) fn stored() -> Self {
        Self { with: ReadWith::Pread, value_len_max: 0, files: None }
    }
}

impl StoreContext {
    /// Returns the store of `manifest` in `directory`.
    pub(crate) fn of(directory: &Arc<dyn Directory>, manifest: &Manifest, reading: ReadMode) -> Self {
        Self {
            directory: Arc::clone(directory),
            store: manifest.store,
            lineage: manifest.lineage,
            hash_seed: manifest.hash_seed,
            reading,
            wakeup: Arc::default(),
        }
    }

    /// Returns the hash of `key` in the keydir and in hints.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash(self.hash_seed, key)
    }
}
