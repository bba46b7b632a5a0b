//! Layer 4: one segment — read at an offset, scanned from end to end, appended to.

pub(crate) mod file;
pub(crate) mod hint;
mod order;
mod rows;
mod scan;
mod sorter;
mod writer;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use order::Order;
pub(crate) use rows::Rows;
pub(crate) use scan::{Bodies, Scanned, Scanner, Step};
pub(crate) use sorter::{Sorted, Sorter};
pub(crate) use writer::SegmentWriter;

use super::format::key_hash;
use super::format::keydir_file::Covered;
use super::format::record::{Frame, RecordHeader};
use super::format::segment_header::{Layout, StoreId};
use super::fs::{Access, Directory, File, Mapping, StoreFile, read_exact_at};
use super::location::{Location, SegmentId, Seqno};
use super::options::ReadWith;
use super::value::Value;
use super::wake::Wake;
use crate::error::{Damage, Error, Result};

/// What is read at once where nothing is mapped: most records whole, in one system call.
const READ_LEN: u64 = 4096;

/// What the processor fetches at once, and how far ahead of a read it is told to; behind that it sees where it is going.
const CACHE_LINE_LEN: usize = 64;
const WARMED_LEN: u64 = 256;

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
    order: Order,
    /// Whether a compaction must leave it alone: another version laid it out, or damage was found in it.
    is_unfit: AtomicBool,
    /// Whether nothing is appended any more.
    is_sealed: AtomicBool,
    /// For messages.
    pub(crate) path: PathBuf,
    source: Source,
    /// Bytes that can be read: whole records, and nothing else.
    len: AtomicU64,
    /// How long it may become; what MANIFEST says of a sealed one, which is more than can be read when its end is missing.
    limit: AtomicU64,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    /// The file itself is closed: thousands of segments need no thousands of descriptors.
    Mapped(Mapping),
    File(Arc<dyn File>),
}

/// What a segment's records come to. Changed by the writer alone, under the log's lock; read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) record_count: AtomicU64,
    pub(crate) live_count: AtomicU64,
    pub(crate) live_len: AtomicU64,
    pub(crate) tombstone_count: AtomicU64,
    pub(crate) tombstone_len: AtomicU64,
    /// Bytes that are not live and that a compaction has found to be needed, nothing older having been compacted since.
    pub(crate) needed_len: AtomicU64,
}

impl Usage {
    pub(crate) fn add_record(&self) {
        self.record_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_live(&self, len: u64) {
        self.live_count.fetch_add(1, Ordering::Relaxed);
        self.live_len.fetch_add(len, Ordering::Relaxed);
    }

    pub(crate) fn remove_live(&self, len: u64) {
        self.live_count.fetch_sub(1, Ordering::Relaxed);
        self.live_len.fetch_sub(len, Ordering::Relaxed);
    }

    pub(crate) fn add_tombstone(&self, len: u64) {
        self.tombstone_count.fetch_add(1, Ordering::Relaxed);
        self.tombstone_len.fetch_add(len, Ordering::Relaxed);
    }
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
        read_with: ReadWith,
        (len, capacity): (u64, u64),
    ) -> Result<Self> {
        let path = directory.path(StoreFile::Segment(identity.id));
        let mapping = match read_with {
            ReadWith::Mmap if capacity > 0 => file.map(capacity).map_err(|source| Error::Io {
                action: "map",
                path: path.clone(),
                source,
            })?,
            _ => None,
        };
        let source = mapping.map_or_else(|| Source::File(Arc::clone(file)), Source::Mapped);
        let Identity { id, base_seq, layout, created_ms, seq_end, first_page } = identity;
        let segment = Self {
            id,
            base_seq,
            layout,
            created_ms,
            seq_end,
            first_page,
            usage: Usage::default(),
            order: Order::default(),
            is_unfit: AtomicBool::new(layout != Layout::current(layout.records.salt)),
            is_sealed: AtomicBool::new(false),
            path,
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
        self.limit.store(self.len(), Ordering::Release);
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

    /// Its first `len` bytes, and what their records come to, for the file KEYDIR.
    pub(crate) fn covered(&self, len: u64) -> Covered {
        let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Covered {
            id: self.id,
            len,
            first_page: self.first_page,
            record_count: figure(&self.usage.record_count),
            live_count: figure(&self.usage.live_count),
            live_len: figure(&self.usage.live_len),
            tombstone_count: figure(&self.usage.tombstone_count),
            tombstone_len: figure(&self.usage.tombstone_len),
        }
    }

    /// Takes over what `covered` says that the records come to.
    pub(crate) fn count(&self, covered: &Covered) {
        let set = |figure: &AtomicU64, value| figure.store(value, Ordering::Relaxed);
        set(&self.usage.record_count, covered.record_count);
        set(&self.usage.live_count, covered.live_count);
        set(&self.usage.live_len, covered.live_len);
        set(&self.usage.tombstone_count, covered.tombstone_count);
        set(&self.usage.tombstone_len, covered.tombstone_len);
    }

    /// The same segment with nothing mapped, for a pass over all of it.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn windowed(&self, home: &Home) -> Result<Self> {
        let file = file::open(&*home.directory, self.id, Access::Read)?;
        let identity = Identity {
            id: self.id,
            base_seq: self.base_seq,
            layout: self.layout,
            created_ms: self.created_ms,
            seq_end: self.seq_end,
            first_page: self.first_page,
        };
        Self::new(identity, &*home.directory, &file, ReadWith::Pread, (self.len(), self.limit()))
    }

    /// Makes the bytes before `len` readable: they are in the file, and final.
    fn expose(&self, len: u64) {
        if let Source::Mapped(mapping) = &self.source {
            mapping.expose(len);
        }
        self.len.fetch_max(len, Ordering::Release);
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

    /// The newest record of `key`, if the record at `at` is one. Its checksum has been checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the record is not as it was written, also when that is why the keys differ.
    pub(crate) fn lookup(&self, at: u64, key: &[u8]) -> Result<Option<Record>> {
        let raw = self.raw(at)?;
        let is_it = raw.frame.key(&raw.bytes) == key;
        self.layout.records.check_record(at, &raw.bytes).map_err(|damage| self.damaged(at, damage))?;
        Ok(is_it.then(|| self.record(at, raw)))
    }

    /// The record at `at`, whose checksum has been checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the record is not as it was written.
    pub(crate) fn read(&self, at: u64) -> Result<Record> {
        let raw = self.raw(at)?;
        self.layout.records.check_record(at, &raw.bytes).map_err(|damage| self.damaged(at, damage))?;
        Ok(self.record(at, raw))
    }

    /// The length of the record at `at`, if it is one of `key`: for the writer, who need not look at the value.
    /// The record's key is compared, its body is not checked.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn len_if_key(&self, at: u64, key: &[u8]) -> Result<Option<u64>> {
        let context = self.layout.records;
        let wanted = u64::from(context.header_len).saturating_add(8).saturating_add(key.len() as u64);
        let bytes = self.bytes(at, wanted)?;
        let header = RecordHeader::peek(&bytes);
        let frame = header.frame(context.header_len);
        if frame.key(&bytes) != key {
            return Ok(None);
        }
        // With a damaged header the key is overwritten all the same; only how much died is not known.
        Ok(Some(context.check_header(at, &bytes).map_or(0, |_| frame.len)))
    }

    /// The length of the record at `at`; 0 when its header is damaged.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn len_at(&self, at: u64) -> Result<u64> {
        let context = self.layout.records;
        let checked = context.check_header(at, &self.bytes(at, context.header_len.into())?);
        Ok(checked.map_or(0, |header| header.frame(context.header_len).len))
    }

    /// Has the first bytes of the record of `len` bytes at `at` fetched, where they are mapped: records that are read one after
    /// another then are not waited for one by one.
    pub(crate) fn warm(&self, at: u64, len: u64) {
        let Source::Mapped(mapping) = &self.source else { return };
        let range = at as usize..at.saturating_add(len.min(WARMED_LEN)).min(self.len()) as usize;
        let lines = mapping.bytes(range).unwrap_or_default().iter().step_by(CACHE_LINE_LEN);
        std::hint::black_box(lines.fold(0, |sum: u8, byte| sum ^ byte));
    }

    /// The bytes of the record at `at`, checked by nobody: for who wants to show them, damaged or not.
    ///
    /// # Errors
    /// [`Error::Damaged`] when they end before the record does, and what the operating system says.
    pub(crate) fn read_unchecked(&self, at: u64) -> Result<RawRecord> {
        let Raw { header, frame, bytes } = self.raw(at)?;
        Ok(RawRecord { header, frame, bytes: bytes.into_owned() })
    }

    /// The bytes of `range`, whatever they are; fewer at the segment's end.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn bytes_unchecked(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        let len = range.end.saturating_sub(range.start);
        Ok(self.bytes(range.start, len)?.into_owned())
    }

    /// The key of the record at `at`, whose header is known to be intact.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn key_at(&self, at: u64) -> Result<Cow<'_, [u8]>> {
        let header_len = self.layout.records.header_len;
        let frame = RecordHeader::peek(&self.bytes(at, header_len.into())?).frame(header_len);
        self.bytes(at.saturating_add(frame.key_at), frame.key_len)
    }

    /// Up to `len` bytes at `at`, fewer at the segment's end.
    fn bytes(&self, at: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        let end = at.saturating_add(len).min(self.len());
        match &self.source {
            Source::Mapped(mapping) => {
                Ok(Cow::Borrowed(mapping.bytes(at as usize..end as usize).unwrap_or_default()))
            }
            Source::File(file) => {
                let mut buffer = vec![0; end.saturating_sub(at) as usize];
                read_exact_at(&**file, &mut buffer, at).map_err(|error| self.read_error(error))?;
                Ok(Cow::Owned(buffer))
            }
        }
    }

    /// The bytes of the record at `at`, as long as its header says, which is not checked where nothing has to be
    /// allocated for it.
    fn raw(&self, at: u64) -> Result<Raw<'_>> {
        let context = self.layout.records;
        let room = self.len().saturating_sub(at);
        let mut bytes = match &self.source {
            Source::Mapped(_) => self.bytes(at, room)?,
            Source::File(_) => self.bytes(at, room.min(READ_LEN))?,
        };
        let header = RecordHeader::peek(&bytes);
        let frame = header.frame(context.header_len);
        if frame.len > bytes.len() as u64 {
            // The length decides what is allocated, or is the damage: now the header has to prove itself.
            context.check_header(at, &bytes).map_err(|damage| self.damaged(at, damage))?;
            if frame.len > room {
                return Err(self.damaged(at, Damage::Truncated { wants: frame.len, has: room }));
            }
            bytes = self.bytes(at, frame.len)?;
        }
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..frame.len as usize]),
            Cow::Owned(mut bytes) => {
                bytes.truncate(frame.len as usize);
                Cow::Owned(bytes)
            }
        };
        Ok(Raw { header, frame, bytes })
    }

    fn record(&self, at: u64, raw: Raw<'_>) -> Record {
        let Raw { header, frame, bytes } = raw;
        let expires_ms = frame.expires_ms(&bytes);
        let source = match (&self.source, bytes) {
            (Source::Mapped(mapping), Cow::Borrowed(_)) => RecordBytes::Mapped(mapping.clone(), at as usize),
            (_, bytes) => RecordBytes::Owned(bytes.into()),
        };
        Record { location: self.location(at), header, frame, expires_ms, source }
    }
}

/// A record's bytes, found but not checked.
struct Raw<'a> {
    header: RecordHeader,
    frame: Frame,
    bytes: Cow<'a, [u8]>,
}

/// As [`Raw`], with bytes of its own.
pub(crate) struct RawRecord {
    pub(crate) header: RecordHeader,
    pub(crate) frame: Frame,
    pub(crate) bytes: Vec<u8>,
}

/// A record that was read and checked.
pub(crate) struct Record {
    pub(crate) location: Location,
    pub(crate) header: RecordHeader,
    pub(crate) frame: Frame,
    pub(crate) expires_ms: Option<u64>,
    source: RecordBytes,
}

enum RecordBytes {
    /// The mapping, and where in it the record starts.
    Mapped(Mapping, usize),
    Owned(Arc<[u8]>),
}

impl Record {
    /// The value.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is stored with a codec that this version does not have.
    pub(crate) fn into_value(self) -> Result<Value> {
        match self.header.flags.codec() {
            0 => {
                let start = self.frame.value_at as usize;
                let end = start + self.frame.value_len as usize;
                Ok(match self.source {
                    RecordBytes::Mapped(mapping, at) => Value::mapped(mapping, at + start..at + end),
                    RecordBytes::Owned(buffer) => Value::owned(buffer, start..end),
                })
            }
            codec => Err(Error::damaged(self.location, Damage::Codec(codec))),
        }
    }

    /// The key.
    pub(crate) fn key(&self) -> Value {
        let start = self.frame.key_at as usize;
        let end = start + self.frame.key_len as usize;
        match &self.source {
            RecordBytes::Mapped(mapping, at) => Value::mapped(mapping.clone(), at + start..at + end),
            RecordBytes::Owned(buffer) => Value::owned(Arc::clone(buffer), start..end),
        }
    }
}
