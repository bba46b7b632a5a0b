//! The handle of an open segment.

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

/// A segment that can be read. What is in it does not change; the active one only gets longer.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) identity: Identity,
    pub(crate) usage: Usage,
    pub(crate) expiry: SegmentExpiry,
    pub(super) order: Order,
    /// Whether a compaction must leave it alone: another version laid it out, or damage was found in it.
    is_unfit: AtomicBool,
    /// Whether nothing is appended any more.
    is_sealed: AtomicBool,
    /// For messages.
    pub(crate) path: PathBuf,
    /// The largest decompressed length of a value, in bytes.
    pub(super) value_len_max: u64,
    pub(super) backing: Backing,
    /// Bytes that can be read: whole records, and nothing else.
    len: AtomicU64,
    /// How long it may become; what MANIFEST says of a sealed one, which is more than can be read when its end is missing.
    limit: AtomicU64,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(super) enum Backing {
    /// The file itself is closed: thousands of segments need no thousands of descriptors. Nothing sparse is mapped: what
    /// is mapped does not tell its holes from zeros, and all of them would be read.
    Mapped(Mapping),
    File(Arc<dyn File>),
}

impl Segment {
    /// The first `len` bytes of `file`; `capacity` is how far they may grow, or how long the file should be.
    ///
    /// # Errors
    /// What the operating system says.
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

    /// Bytes of whole records (and the header) that can be read.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// The first byte behind all that it holds, or may come to hold.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Takes note that nothing is appended any more.
    pub(crate) fn seal(&self) {
        self.seal_at(self.len());
    }

    /// The same, for a file that had `len` bytes and may be shorter now.
    pub(crate) fn seal_at(&self, len: u64) {
        self.limit.store(len, Ordering::Release);
        self.is_sealed.store(true, Ordering::Release);
    }

    /// Takes note that this one is sealed, at the length it was opened with.
    pub(crate) fn mark_sealed(&self) {
        self.is_sealed.store(true, Ordering::Release);
    }

    /// Whether nothing is appended any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::Acquire)
    }

    /// Whether a compaction must leave it alone.
    pub(crate) fn is_unfit(&self) -> bool {
        self.is_unfit.load(Ordering::Relaxed)
    }

    /// Takes note that a compaction must leave it alone.
    pub(crate) fn mark_unfit(&self) {
        self.is_unfit.store(true, Ordering::Relaxed);
    }

    /// The same segment with nothing mapped, for a pass over all of it.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn windowed(&self, context: &StoreContext) -> Result<Self> {
        let file = file::open(&*context.directory, self.id, Access::Read)?;
        let reading = context.reading.passing();
        Self::new(self.identity, &*context.directory, &file, &reading, (self.len(), self.limit()))
    }

    /// Makes the bytes before `len` readable: they are in the file, and final.
    pub(super) fn expose(&self, len: u64) {
        if let Backing::Mapped(mapping) = &self.backing {
            mapping.expose(len);
        }
        self.len.fetch_max(len, Ordering::Release);
    }

    /// How much of it is mapped, as far as it is written.
    pub(crate) fn mapped_len(&self) -> u64 {
        if matches!(self.backing, Backing::Mapped(_)) { self.len() } else { 0 }
    }

    /// The place of the record at `at`.
    pub(crate) fn location(&self, at: u64) -> Location {
        Location { segment: self.id, offset: at }
    }

    pub(super) fn damaged(&self, at: u64, damage: Damage) -> Error {
        Error::damaged(self.location(at), damage)
    }

    pub(super) fn read_error(&self, source: std::io::Error) -> Error {
        Error::Io { action: "read", path: self.path.clone(), source }
    }

    /// Its first `len` bytes and its usage, for the file KEYDIR.
    pub(crate) fn covered(&self, len: u64) -> Covered {
        self.usage.covered(&self.identity, len, self.expiry.are_endless())
    }

    /// Sets the usage to what `covered` says.
    pub(crate) fn set_usage(&self, covered: &Covered) {
        self.usage.set(covered);
        // Records appended since KEYDIR was written may expire.
        if covered.is_endless && covered.len == self.len() {
            self.expiry.note(covered.live_len, None);
            self.expiry.set_known();
        }
    }

    /// The least number of bytes of live records that have expired at `by_ms`. Reads nothing.
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
