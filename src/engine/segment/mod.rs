//! One segment — read at an offset, scanned from end to end, appended to.

mod expiry;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod hint;
mod order;
mod read;
mod rows;
mod scan;
mod sorter;
mod store_context;
pub(crate) mod unsalted;
mod usage;
pub(crate) mod value;
mod versions;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use expiry::{Expired, SegmentExpiry};
use order::Order;
pub(crate) use read::{Outline, RawRecord, Record};
pub(crate) use rows::Rows;
pub(crate) use scan::{Bodies, Scanned, Scanner, Step};
use scan::{STEP, Window};
pub(crate) use sorter::{Sorted, Sorter};
pub(crate) use store_context::{ReadMode, StoreContext};
pub(crate) use usage::Usage;
pub(crate) use versions::Versions;
pub(crate) use writer::SegmentWriter;

use super::format::segment_header::Layout;
use super::fs::{Access, Directory, File, Mapping, StoreFile, map_if_room};
use super::options::ReadWith;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::base::sync::{AtomicBool, AtomicU64};

/// A segment that can be read. What is in it does not change; the active one only gets longer.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) layout: Layout,
    pub(crate) created_ms: u64,
    /// A number that is greater than that of any of its records.
    pub(crate) seq_end: Seqno,
    /// The first of its pages in the log's address space.
    pub(crate) first_page: u32,
    pub(crate) usage: Usage,
    pub(crate) expiry: SegmentExpiry,
    order: Order,
    /// Whether a compaction must leave it alone: another version laid it out, or damage was found in it.
    is_unfit: AtomicBool,
    /// Whether nothing is appended any more.
    is_sealed: AtomicBool,
    /// For messages.
    pub(crate) path: PathBuf,
    /// The largest decompressed length of a value, in bytes.
    value_len_max: u64,
    source: Source,
    /// Bytes that can be read: whole records, and nothing else.
    len: AtomicU64,
    /// How long it may become; what MANIFEST says of a sealed one, which is more than can be read when its end is missing.
    limit: AtomicU64,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    /// The file itself is closed: thousands of segments need no thousands of descriptors. Nothing sparse is mapped: what
    /// is mapped does not tell its holes from zeros, and all of them would be read.
    Mapped(Mapping),
    File(Arc<dyn File>),
}

/// What names and places a segment, before its bytes are at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) layout: Layout,
    pub(crate) created_ms: u64,
    pub(crate) seq_end: Seqno,
    pub(crate) first_page: u32,
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
        let source = match (mapping, &reading.files) {
            (Some(mapping), _) => Source::Mapped(mapping),
            (None, None) => Source::File(Arc::clone(file)),
            (None, Some(pool)) => {
                let pooled = pool.adopt(name, Arc::clone(file)).map_err(Error::io("read", path.clone()))?;
                Source::File(Arc::new(pooled))
            }
        };
        let Identity { id, base_seq, layout, created_ms, seq_end, first_page } = identity;
        let segment = Self {
            id,
            base_seq,
            layout,
            created_ms,
            seq_end,
            first_page,
            usage: Usage::default(),
            expiry: SegmentExpiry::default(),
            order: Order::default(),
            is_unfit: AtomicBool::new(layout != Layout::current(layout.records.salt)),
            is_sealed: AtomicBool::new(false),
            path,
            value_len_max: reading.value_len_max,
            source,
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
    pub(crate) fn windowed(&self, home: &StoreContext) -> Result<Self> {
        let file = file::open(&*home.directory, self.id, Access::Read)?;
        let identity = Identity {
            id: self.id,
            base_seq: self.base_seq,
            layout: self.layout,
            created_ms: self.created_ms,
            seq_end: self.seq_end,
            first_page: self.first_page,
        };
        Self::new(identity, &*home.directory, &file, &home.reading.passing(), (self.len(), self.limit()))
    }

    /// Makes the bytes before `len` readable: they are in the file, and final.
    fn expose(&self, len: u64) {
        if let Source::Mapped(mapping) = &self.source {
            mapping.expose(len);
        }
        self.len.fetch_max(len, Ordering::Release);
    }

    /// How much of it is mapped, as far as it is written.
    pub(crate) fn mapped_len(&self) -> u64 {
        if matches!(self.source, Source::Mapped(_)) { self.len() } else { 0 }
    }

    /// The place of the record at `at`.
    pub(crate) fn location(&self, at: u64) -> Location {
        Location { segment: self.id, offset: at }
    }

    fn damaged(&self, at: u64, damage: Damage) -> Error {
        Error::damaged(self.location(at), damage)
    }

    fn read_error(&self, source: std::io::Error) -> Error {
        Error::Io { action: "read", path: self.path.clone(), source }
    }
}
