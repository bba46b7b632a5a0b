//! The options with which a store is opened, with their defaults, bounds and costs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::format::codec::Compression;
use super::format::segment_header::SEGMENT_LEN_MAX;
use super::fs::{FileSystem, OsFileSystem};
use crate::engine::base::clock::{Bounded, Clock, SystemClock};

/// When writes are made durable. The choice trades speed against the writes that a power cut can
/// lose.
///
/// When a write returns, the operating system has its bytes (except under [`Sync::Buffered`]), so a
/// killed process loses nothing. A power cut leaves a prefix of the log, without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before the call returns. No acknowledged write is ever lost. Costs one `fdatasync` per
    /// write. Threads that wait at the same time share one.
    Always,
    /// In the background, at most this long after the write. A power cut loses the writes of this
    /// interval, and those made during one sync.
    Every(Duration),
    /// When the operating system writes them back, and when a segment is sealed. A power cut loses
    /// the writes since then: on Linux, those of some tens of seconds.
    Never,
    /// Like `Never`, but the process also buffers writes, up to this many bytes. For bulk loads.
    /// **A killed process loses the buffer.** A read, a [`sync`](crate::Store::sync) and closing
    /// flush it.
    Buffered(usize),
}

/// How the bytes of segments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWith {
    /// From a memory mapping: no copy and no system call. A failing disk kills the process
    /// (SIGBUS), and every segment takes address space.
    Mmap,
    /// With `pread`: one copy and one system call per read. A failing disk is an error. Nothing is
    /// mapped.
    Pread,
}

/// Which segments are compacted, when, and how fast. Compaction runs on request, and in the
/// background unless [`CompactionPolicy::automatic`] is off.
///
/// The policy is applied when a segment is sealed, so a store that is rarely written to does not
/// compact by itself. Riak's Bitcask documents 60% dead or 512 MB dead as triggers, and files of up
/// to 2 GB that are checked every three minutes. Segments of 64 MiB are cheap to rewrite, so half
/// dead is enough here. It keeps a store that is constantly overwritten below twice its live data,
/// and writes about one live byte for each byte freed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// Whether the store compacts in a background thread. Default: true.
    pub automatic: bool,
    /// The dead share of a segment's bytes at which it is compacted, in percent. Default: 50.
    pub dead_percent: u8,
    /// The dead bytes at which a segment is compacted, whatever their share. For large segments.
    /// Default: 256 MiB.
    pub dead_len: u64,
    /// The length below which a segment is small, in percent of [`Options::segment_len_max`]. Four
    /// or more small neighbours are merged if that leaves fewer segments. Default: 25.
    pub small_percent: u8,
    /// The maximum rate of background compaction, in bytes read per second. Requested compactions
    /// have no limit. Default: none.
    pub rate: Option<u64>,
    /// How long an expired record is kept, in case a clock has stepped forward by mistake. Default:
    /// an hour.
    pub expiry_grace: Duration,
    /// The number of versions of a key that are kept for reads of the past
    /// ([`Store::versions`](crate::Store::versions), [`Store::get_at`](crate::Store::get_at)). The
    /// newest version counts, and so does a delete. 1 keeps no more than the store needs. Default:
    /// 1.
    pub keep_versions: u64,
    /// How long replaced, deleted and expired records are kept for reads of the past. Keeping them
    /// takes disk space, and compaction looks up the successor of each dead record. Default: zero.
    pub keep_for: Duration,
}

impl CompactionPolicy {
    /// Returns whether compaction keeps records that the store itself does not need.
    pub(crate) fn keeps_history(&self) -> bool {
        self.keep_versions > 1 || !self.keep_for.is_zero()
    }
}

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self {
            automatic: true,
            dead_percent: 50,
            dead_len: 256 << 20,
            small_percent: 25,
            rate: None,
            expiry_grace: Duration::from_secs(60 * 60),
            keep_versions: 1,
            keep_for: Duration::ZERO,
        }
    }
}

/// Options of [`Store::open_with`](crate::Store::open_with). [`Options::default`] suits a store
/// that must not lose data. Opening replaces a value outside its bounds by the nearest bound.
#[derive(Clone, Debug)]
pub struct Options {
    /// When writes are made durable.
    pub sync: Sync,
    /// The length at which the active segment is sealed, in bytes.
    pub segment_len_max: u64,
    /// The age at which the active segment is sealed.
    pub segment_age_max: Option<Duration>,
    /// The maximum length of a value that is written, in bytes.
    pub value_len_max: u64,
    /// The maximum decompressed length of a value that is read, in bytes.
    pub value_read_max: u64,
    pub(crate) open_files_max: Option<usize>,
    /// The compression of new values.
    pub compression: Compression,
    /// How segments are read.
    pub read_with: ReadWith,
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    /// Which segments are compacted, when, and how fast.
    pub compaction: CompactionPolicy,
    pub(crate) background: bool,
    pub(crate) checkpoint_records: u64,
    pub(crate) open_observer: Option<OpenObserver>,
    /// Whether to open a directory that another user owns or that everybody may write to.
    pub trust: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) file_system: Arc<dyn FileSystem>,
}

/// The progress of opening a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenProgress {
    /// Bytes of the segments that were indexed.
    pub done_len: u64,
    /// Bytes of all segments.
    pub total_len: u64,
}

/// The callback for the progress of opening.
#[derive(Clone)]
pub(crate) struct OpenObserver(Arc<dyn Fn(OpenProgress) + Send + std::marker::Sync>);

impl OpenObserver {
    pub(crate) fn tell(&self, progress: OpenProgress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for OpenObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenObserver")
    }
}

/// The default of [`Options::segment_len_max`]: 64 MiB.
pub const SEGMENT_LEN_MAX_DEFAULT: u64 = 64 << 20;
/// The bounds of [`Options::segment_len_max`]: 128 bytes (for tests) to 4 GiB less 8 bytes.
pub const SEGMENT_LEN_MAX_BOUNDS: (u64, u64) = (128, SEGMENT_LEN_MAX);
/// The default of [`Options::checkpoint_records`].
const CHECKPOINT_RECORDS_DEFAULT: u64 = 4096;
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// The default of [`Options::value_read_max`]: 64 MiB, as for writes.
pub const VALUE_READ_MAX_DEFAULT: u64 = VALUE_LEN_MAX_DEFAULT;
/// The default of [`Options::value_len_max`]: 64 MiB.
pub const VALUE_LEN_MAX_DEFAULT: u64 = 64 << 20;

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: Sync::Always,
            segment_len_max: SEGMENT_LEN_MAX_DEFAULT,
            segment_age_max: None,
            value_len_max: VALUE_LEN_MAX_DEFAULT,
            value_read_max: VALUE_READ_MAX_DEFAULT,
            open_files_max: None,
            compression: Compression::None,
            read_with: ReadWith::Mmap,
            read_only: false,
            create: true,
            compaction: CompactionPolicy::default(),
            background: true,
            checkpoint_records: CHECKPOINT_RECORDS_DEFAULT,
            open_observer: None,
            trust: false,
            clock: Arc::new(Bounded(Arc::new(SystemClock))),
            file_system: Arc::new(OsFileSystem),
        }
    }
}

impl Options {
    /// Returns the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns these options, with every value outside its bounds replaced by the nearest bound.
    pub(crate) fn within_bounds(mut self) -> Self {
        if let Sync::Every(interval) = &mut self.sync {
            // Syncing without a pause would starve the writes.
            *interval = (*interval).max(SYNC_INTERVAL_MIN);
        }
        self.segment_len_max = self.segment_len_max.clamp(SEGMENT_LEN_MAX_BOUNDS.0, SEGMENT_LEN_MAX_BOUNDS.1);
        self.value_len_max = self.value_len_max.min(SEGMENT_LEN_MAX_BOUNDS.1);
        self.compression = self.compression.within_bounds();
        self
    }

    /// Sets when writes are made durable. Intervals under a millisecond become one. Default:
    /// [`Sync::Always`].
    #[must_use]
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }

    /// Sets the length in bytes at which the active segment is sealed and a new one is started. A
    /// longer record or batch gets a segment of its own. Clamped to [`SEGMENT_LEN_MAX_BOUNDS`].
    /// Default: 64 MiB.
    #[must_use]
    pub fn segment_len_max(mut self, bytes: u64) -> Self {
        self.segment_len_max = bytes;
        self
    }

    /// Sets the age at which the active segment is sealed. Only a write checks it, so a store
    /// without writes seals nothing. Default: none.
    #[must_use]
    pub fn segment_age_max(mut self, age: Option<Duration>) -> Self {
        self.segment_age_max = age;
        self
    }

    /// Sets the maximum length of a value that is written, in bytes before compression; at most
    /// what a segment of 4 GiB holds. Default: 64 MiB.
    #[must_use]
    pub fn value_len_max(mut self, bytes: u64) -> Self {
        self.value_len_max = bytes;
        self
    }

    /// Sets the maximum decompressed length of a compressed value that is read, in bytes: a few
    /// kilobytes on disk can claim gigabytes of memory. A longer one is
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge). Uncompressed values, values up to
    /// [`Options::value_len_max`], and values up to 64 times their stored length can always be
    /// read. Default: 64 MiB.
    #[must_use]
    pub fn value_read_max(mut self, bytes: u64) -> Self {
        self.value_read_max = bytes;
        self
    }

    /// Sets the maximum number of open segment files without mappings ([`ReadWith::Pread`]); at
    /// least 4. The others are reopened when they are read, which takes longer. A read-only store
    /// beside a writer cannot reopen a segment that the writer has compacted away: reading it fails
    /// until the store is refreshed. Default: a quarter of the process's soft limit of open files
    /// (`ulimit -n`).
    #[must_use]
    pub fn open_files_max(mut self, count: usize) -> Self {
        self.open_files_max = Some(count);
        self
    }

    /// Sets the compression of new values. Default: [`Compression::None`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets how segments are read. Default: [`ReadWith::Mmap`].
    #[must_use]
    pub fn read_with(mut self, read_with: ReadWith) -> Self {
        self.read_with = read_with;
        self
    }

    /// Sets whether the store is opened for reading only. It then takes no lock, so it opens beside
    /// a writer, and it writes nothing: no repair, no lock file. It shows the state at the time of
    /// opening or of the last [`Store::refresh`](crate::Store::refresh). It may show a writer's
    /// last records before they are durable. Default: false.
    #[must_use]
    pub fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Sets whether a missing or empty directory becomes a store. Default: true.
    #[must_use]
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Sets which segments are compacted, when, and how fast. Default:
    /// [`CompactionPolicy::default`].
    #[must_use]
    pub fn compaction(mut self, policy: CompactionPolicy) -> Self {
        self.compaction = policy;
        self
    }

    /// Sets whether the store has a background thread that writes the hints of sealed segments,
    /// compacts, and writes KEYDIR. Without it, the next open writes the hints, compaction runs
    /// only on request, and KEYDIR is written only on closing. Default: true.
    #[must_use]
    pub fn background(mut self, yes: bool) -> Self {
        self.background = yes;
        self
    }

    /// Sets about how many records an open may have to read after a clean close. Closing writes
    /// KEYDIR, 8 to 12 bytes per key, if it lacks at least this many records and at least one for
    /// every 2,048 keys. An open store writes it after 32 times as many records, and at least one
    /// for every four keys. An open after a crash reads up to that many records. If a covered
    /// segment was compacted since, it reads all hints instead. To make this rare, KEYDIR is also
    /// written after compactions have read 48 bytes for each key. Default: 4,096.
    #[must_use]
    pub fn checkpoint_records(mut self, count: u64) -> Self {
        self.checkpoint_records = count;
        self
    }

    /// Sets a callback for the progress of building the index from the log. Several threads may
    /// call it at once. Default: none.
    #[must_use]
    pub fn on_open_progress(
        mut self,
        observer: Arc<dyn Fn(OpenProgress) + Send + std::marker::Sync>,
    ) -> Self {
        self.open_observer = Some(OpenObserver(observer));
        self
    }

    /// Sets whether to open a directory that another user owns or that everybody may write to.
    /// Default: false.
    #[must_use]
    pub fn trust(mut self, yes: bool) -> Self {
        self.trust = yes;
        self
    }

    /// Sets the clock that stamps records. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Arc::new(Bounded(clock));
        self
    }

    /// Sets the file system below the store. Default: the operating system's.
    #[must_use]
    pub fn file_system(mut self, file_system: Arc<dyn FileSystem>) -> Self {
        self.file_system = file_system;
        self
    }
}
