//! What can be chosen when a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::format::codec::Compression;
use super::format::segment_header::SEGMENT_LEN_MAX;
use super::fs::{FileSystem, OsFileSystem};
use crate::engine::base::clock::{Bounded, Clock, SystemClock};

/// When a write is made durable: the choice between speed and what a power cut may take.
///
/// Under every policy a write that returned is in the operating system's hands (but see [`Sync::Buffered`]), so
/// killing the process loses nothing; and a power cut leaves a prefix of the log, never a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before the call returns: nothing acknowledged is ever lost. Costs an `fdatasync` a write, shared by the
    /// threads that wait at the same time.
    Always,
    /// In the background, started at most this long after the write: a power cut takes what was written in that time
    /// and during one sync.
    Every(Duration),
    /// When the operating system likes (and when a segment is sealed): a power cut takes what it had not written
    /// yet, tens of seconds on Linux.
    Never,
    /// As `Never`, and writes are held in the process until this many bytes have come together: for bulk loads.
    /// **A killed process loses what is held.** A read, a [`sync`](crate::Store::sync) and closing hand it over.
    Buffered(usize),
}

/// How the bytes of segments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWith {
    /// From a memory mapping: no copy and no system call. A disk that fails under a mapping kills the process
    /// (SIGBUS), and address space is used for every segment.
    Mmap,
    /// With `pread`: a copy and a system call a read; a failing disk is an error, and nothing is mapped.
    Pread,
}

/// Which segments are compacted, when, and how hard: in the background unless [`CompactionPolicy::automatic`] says no, and on
/// command.
///
/// It is looked at when a segment is sealed, so a store that is only read, or written to now and then, never compacts by
/// itself. Riak's Bitcask documents 60% dead or 512 MB dead as triggers and files of up to 2 GB, checked every three
/// minutes. Here segments are 64 MiB, so one is cheap to rewrite: half dead is enough, which keeps a store that is
/// overwritten all the time under twice its live data, writing each live byte about once more for each byte freed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// Whether the store compacts by itself, in a thread of its own. Default: true.
    pub automatic: bool,
    /// The dead share of a segment's records, in percent of their bytes, at which it is compacted. Default: 50.
    pub dead_percent: u8,
    /// The dead bytes of a segment at which it is compacted, whatever their share: for segments made large. Default:
    /// 256 MiB.
    pub dead_len: u64,
    /// What a segment holds, in percent of [`Options::segment_len_max`], below which it is small. Default: 25.
    pub small_percent: u8,
    /// Bytes a second that the background reads at most; what is asked for by hand goes at full speed. Default: none.
    pub rate: Option<u64>,
    /// How long an expired record is kept: a clock may have stepped forward by mistake. Default: an hour.
    pub expiry_grace: Duration,
    /// How many versions of a key are kept, the newest and its delete among them, for those who look back
    /// ([`Store::versions`](crate::Store::versions), [`Store::get_at`](crate::Store::get_at)). 1: no more than the store needs.
    /// Default: 1.
    pub keep_versions: u64,
    /// How long what was replaced, deleted or expired is kept, for those who look back. More takes disk space, and a
    /// compaction that looks up what came after each dead record. Default: zero.
    pub keep_for: Duration,
}

impl CompactionPolicy {
    /// Whether anything is kept that the store itself does not need.
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

/// Options of [`Store::open_with`](crate::Store::open_with). [`Options::default`] suits a store that must not
/// lose data. Opening replaces a value outside its bounds by the nearest bound.
#[derive(Clone, Debug)]
pub struct Options {
    /// When writes are made durable.
    pub sync: Sync,
    /// The size at which the active segment is sealed, in bytes.
    pub segment_len_max: u64,
    /// The age at which the active segment is sealed.
    pub segment_age_max: Option<Duration>,
    /// The largest value that may be written, in bytes.
    pub value_len_max: u64,
    /// The largest decompressed length of a value that is read, in bytes.
    pub value_read_max: u64,
    pub(crate) open_files_max: Option<usize>,
    /// How values are compressed that are written from now on.
    pub compression: Compression,
    /// How segments are read.
    pub read_with: ReadWith,
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    /// Which segments are compacted, when, and how hard.
    pub compaction: CompactionPolicy,
    pub(crate) background: bool,
    pub(crate) checkpoint_records: u64,
    pub(crate) open_observer: Option<OpenObserver>,
    /// Whether a directory is opened although another user owns it.
    pub trust: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) file_system: Arc<dyn FileSystem>,
}

/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenProgress {
    /// Bytes of segments whose records are known.
    pub done_len: u64,
    /// Bytes of all segments.
    pub total_len: u64,
}

/// Who is told how far opening has come.
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
/// The default of [`Options::checkpoint_records`]: opening reads at most so many.
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
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These options, each one outside its bounds replaced by the nearest bound.
    pub(crate) fn within_bounds(mut self) -> Self {
        if let Sync::Every(interval) = &mut self.sync {
            // Syncing without a pause would leave no time for writing.
            *interval = (*interval).max(SYNC_INTERVAL_MIN);
        }
        self.segment_len_max = self.segment_len_max.clamp(SEGMENT_LEN_MAX_BOUNDS.0, SEGMENT_LEN_MAX_BOUNDS.1);
        self.value_len_max = self.value_len_max.min(SEGMENT_LEN_MAX_BOUNDS.1);
        self.compression = self.compression.within_bounds();
        self
    }

    /// When writes are made durable. Default: [`Sync::Always`]. Intervals under a millisecond are taken as one.
    #[must_use]
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }

    /// The size in bytes at which the active segment is sealed and a new one started; a larger record or batch
    /// gets a segment of its own. Default 64 MiB; values outside [`SEGMENT_LEN_MAX_BOUNDS`] are taken as the nearest bound.
    #[must_use]
    pub fn segment_len_max(mut self, bytes: u64) -> Self {
        self.segment_len_max = bytes;
        self
    }

    /// The age at which the active segment is sealed, looked at when something is written. Default: none.
    #[must_use]
    pub fn segment_age_max(mut self, age: Option<Duration>) -> Self {
        self.segment_age_max = age;
        self
    }

    /// The largest value that may be written, in bytes, before it is compressed. Default 64 MiB; at most what a 4 GiB segment
    /// holds.
    #[must_use]
    pub fn value_len_max(mut self, bytes: u64) -> Self {
        self.value_len_max = bytes;
        self
    }

    /// The largest decompressed length, in bytes, of a compressed value that is read: a few
    /// kilobytes on disk can claim gigabytes of memory. A larger one is
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge). Uncompressed values, values up to
    /// [`Options::value_len_max`], and values up to 64 times their stored length are always read.
    /// Default: 64 MiB.
    #[must_use]
    pub fn value_read_max(mut self, bytes: u64) -> Self {
        self.value_read_max = bytes;
        self
    }

    /// The maximum number of open segment files without mappings ([`ReadWith::Pread`]). The others
    /// are reopened when they are read, which takes longer. The minimum is 4. A
    /// read-only store beside a writer cannot reopen a segment that the writer has compacted away:
    /// reading it is an error until it is refreshed. Default: a quarter of the process's soft limit of open files
    /// (`ulimit -n`) when the store is opened.
    #[must_use]
    pub fn open_files_max(mut self, count: usize) -> Self {
        self.open_files_max = Some(count);
        self
    }

    /// How values are compressed that are written from now on. Default: [`Compression::None`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How segments are read. Default: [`ReadWith::Mmap`].
    #[must_use]
    pub fn read_with(mut self, read_with: ReadWith) -> Self {
        self.read_with = read_with;
        self
    }

    /// Opens without a lock, beside a writer or not, and writes nothing at all: no repair, no lock file. What it
    /// shows is the store as it was when it was opened, or last refreshed with
    /// [`Store::refresh`](crate::Store::refresh); of a writer's last records it may show some that are in the file
    /// and not yet durable. Default: false.
    #[must_use]
    pub fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Whether a directory that is missing or empty becomes a store. Default: true.
    #[must_use]
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Which segments are compacted, when, and how hard. Default: [`CompactionPolicy::default`].
    #[must_use]
    pub fn compaction(mut self, policy: CompactionPolicy) -> Self {
        self.compaction = policy;
        self
    }

    /// Whether the store has a thread of its own that makes hints of sealed segments, compacts, and writes KEYDIR now and
    /// then. Without it hints are made when the store is next opened, compaction happens on command, and KEYDIR is
    /// written on closing. Default: true.
    #[must_use]
    pub fn background(mut self, yes: bool) -> Self {
        self.background = yes;
        self
    }

    /// How many records opening a closed store may have to read: when there are more that the file KEYDIR does not know (and
    /// more than a 2,048th of the keys), it is written on closing, 8 to 12 bytes a key. While the store is open it is
    /// written after 32 times as many (and a quarter of the keys): that is what opening reads at most after a crash, unless
    /// something that it covers was compacted since. Then all hints are read, until compactions have read 48 bytes for each
    /// key, when it is written again. Default: 4,096.
    #[must_use]
    pub fn checkpoint_records(mut self, count: u64) -> Self {
        self.checkpoint_records = count;
        self
    }

    /// Tells `observer` how far opening has come, while the index is built from the log; from several threads at once.
    /// Default: nobody.
    #[must_use]
    pub fn on_open_progress(
        mut self,
        observer: Arc<dyn Fn(OpenProgress) + Send + std::marker::Sync>,
    ) -> Self {
        self.open_observer = Some(OpenObserver(observer));
        self
    }

    /// Opens a directory although another user owns it or everybody may write to it. Default: false.
    #[must_use]
    pub fn trust(mut self, yes: bool) -> Self {
        self.trust = yes;
        self
    }

    /// The clock that stamps records. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Arc::new(Bounded(clock));
        self
    }

    /// The file system below the store; tests put one that fails here. Default: the operating system's.
    #[must_use]
    pub fn file_system(mut self, file_system: Arc<dyn FileSystem>) -> Self {
        self.file_system = file_system;
        self
    }
}
