//! The handle of an open segment: its identity, length and bytes.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::expiry::SegmentExpiry;
use super::file;
use super::identity::Identity;
use super::order::Order;
use super::store_context::{ReadMode, StoreContext};
use super::usage::Usage;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::Location;
use crate::engine::base::sync::{AtomicBool, AtomicU64};
use crate::engine::format::keydir_file::Covered;
use crate::engine::format::segment_header::Layout;
use crate::engine::fs::{Access, Directory, File, Mapping, StoreFile, map_if_room};
use crate::engine::options::ReadWith;

/// An open segment. Its bytes never change; the active segment only grows.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) identity: Identity,
    pub(crate) usage: Usage,
    pub(crate) expiry: SegmentExpiry,
    pub(super) order: Order,
    /// Whether compaction must leave it alone: it is damaged, or another version wrote it.
    is_unfit: AtomicBool,
    /// Whether no more records are appended.
    is_sealed: AtomicBool,
    pub(crate) path: PathBuf,
    /// The largest decompressed length of a value, in bytes.
    pub(super) value_len_max: u64,
    pub(super) backing: Backing,
    /// The readable bytes: the header and whole records.
    len: AtomicU64,
    /// The capacity of the active segment, and the length that MANIFEST gives a sealed one. A
    /// sealed file may be shorter if its end is missing.
    limit: AtomicU64,
}

/// The source of the bytes.
#[derive(Debug)]
pub(super) enum Backing {
    /// The file is closed after mapping: thousands of segments would take too many descriptors.
    /// Sparse files are not mapped, because a scan of a mapping reads holes as zeros, byte by byte.
    Mapped(Mapping),
    File(Arc<dyn File>),
}

impl Segment {
    /// Opens the first `len` bytes of `file`. `capacity` becomes the segment's limit.
    pub(crate) fn new(
        identity: Identity,
        directory: &dyn Directory,
        file: &Arc<dyn File>,
        reading: &ReadMode,
        (len, capacity): (u64, u64),
    ) -> Result<Self> {
        let name = StoreFile::Segment(identity.id);
        let path = directory.path(name);
        let mapping = match reading.with {
            ReadWith::Mmap if capacity > 0 && !file::is_sparse(&**file, len) => {
                map_if_room(&**file, capacity).map_err(Error::io("map", path.clone()))?
            }
            _ => None,
        };
        let backing = match (mapping, &reading.files) {
            (Some(mapping), _) => Backing::Mapped(mapping),
            (None, None) => Backing::File(Arc::clone(file)),
            (None, Some(pool)) => {
                let pooled = pool.adopt(name, Arc::clone(file)).map_err(Error::io("read", path.clone()))?;
                Backing::File(Arc::new(pooled))
            }
        };
        let layout = identity.layout;
        let segment = Self {
            identity,
            usage: Usage::default(),
            expiry: SegmentExpiry::default(),
            order: Order::default(),
            is_unfit: AtomicBool::new(layout != Layout::current(layout.records.salt)),
            is_sealed: AtomicBool::new(false),
            path,
            value_len_max: reading.value_len_max,
            backing,
            len: AtomicU64::new(0),
            limit: AtomicU64::new(capacity),
        };
        segment.expose(len);
        Ok(segment)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Returns the capacity of the active segment, or the length of a sealed one.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Seals the segment at its length.
    pub(crate) fn seal(&self) {
        self.seal_at(self.len());
    }

    /// Seals the segment at `len` bytes. The file may be shorter.
    pub(crate) fn seal_at(&self, len: u64) {
        self.limit.store(len, Ordering::Release);
        self.is_sealed.store(true, Ordering::Release);
    }

    /// Marks the segment as sealed at the limit it was opened with.
    pub(crate) fn mark_sealed(&self) {
        self.is_sealed.store(true, Ordering::Release);
    }

    /// Returns whether no more records are appended.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::Acquire)
    }

    /// Returns whether compaction must leave it alone.
    pub(crate) fn is_unfit(&self) -> bool {
        self.is_unfit.load(Ordering::Relaxed)
    }

    /// Excludes the segment from compaction.
    pub(crate) fn mark_unfit(&self) {
        self.is_unfit.store(true, Ordering::Relaxed);
    }

    /// Opens the segment again without a mapping, for one pass over all of it.
    pub(crate) fn windowed(&self, context: &StoreContext) -> Result<Self> {
        let file = file::open(&*context.directory, self.id, Access::Read)?;
        let reading = context.reading.unpooled();
        Self::new(self.identity, &*context.directory, &file, &reading, (self.len(), self.limit()))
    }

    /// Makes the bytes before `len` readable. They are in the file and will not change.
    pub(super) fn expose(&self, len: u64) {
        if let Backing::Mapped(mapping) = &self.backing {
            mapping.expose(len);
        }
        self.len.fetch_max(len, Ordering::Release);
    }

    /// Returns the mapped bytes, up to the end of the records.
    pub(crate) fn mapped_len(&self) -> u64 {
        if matches!(self.backing, Backing::Mapped(_)) { self.len() } else { 0 }
    }

    /// Returns the location of the record at `at`.
    pub(crate) fn location(&self, at: u64) -> Location {
        Location { segment: self.id, offset: at }
    }

    pub(super) fn damaged(&self, at: u64, damage: Damage) -> Error {
        Error::damaged(self.location(at), damage)
    }

    pub(super) fn read_error(&self, source: std::io::Error) -> Error {
        Error::Io { action: "read", path: self.path.clone(), source }
    }

    /// Returns the entry of KEYDIR for the first `len` bytes: identity and usage.
    pub(crate) fn covered(&self, len: u64) -> Covered {
        self.usage.covered(&self.identity, len, self.expiry.never_expires())
    }

    /// Sets the usage from an entry of KEYDIR.
    pub(crate) fn set_usage(&self, covered: &Covered) {
        self.usage.set(covered);
        // Records appended since KEYDIR was written may expire.
        if covered.is_endless && covered.len == self.len() {
            self.expiry.add(covered.live_len, None);
            self.expiry.set_known();
        }
    }

    /// Returns a lower bound for the bytes of live records that have expired at `by_ms`. Reads
    /// nothing.
    pub(crate) fn expired_len(&self, by_ms: u64) -> u64 {
        self.expiry.expired_len(by_ms, self.usage.live_len())
    }
}

impl Deref for Segment {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}
