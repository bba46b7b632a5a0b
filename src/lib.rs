//! **logkv**: a key-value store in the manner of Bitcask, in one process and one directory.
//!
//! Every write appends a record to a log; an in-memory index, the *keydir*, says where each key's newest record is; a
//! read is one look at the index and one at the record, which is mapped and not copied.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! let store = logkv::Store::open(dir.path())?;
//! store.put("user:1", "Alice")?;
//! store.put("user:2", "Bob")?;
//! store.delete("user:2")?;
//! assert_eq!(store.get("user:1")?.as_deref(), Some(&b"Alice"[..]));
//! for entry in store.scan_prefix("user:")? {
//!     let entry = entry?;
//!     println!("{:?} = {:?}", entry.meta.key, entry.value);
//! }
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//! [`Store`] is the front door, [`Options`] what can be chosen, [`Sync`] what a power cut may take, [`Batch`] writes that
//! happen together, [`Metrics`] what it has done, [`inspect`] a segment taken apart, [`backup`] what a store is made of
//! again, [`fs`] what is below (and where a test makes it fail), and the `engine` module's source the map of the rooms.
//!
//! # Guarantees
//! - A write that returned survives the death of the process, under every policy but [`Sync::Buffered`]; under
//!   [`Sync::Always`] also a power cut. No reader of this process sees a write that a power cut could still take then (a
//!   read-only open in another process reads the files, and may).
//! - A [`Batch`] is there as a whole or not at all.
//! - Every record has two checksums. Bytes that are not as they were written are never given out: reading the key of a
//!   damaged record is an error, and all others stay readable. A sealed segment's hint knows each record's key by its hash, so
//!   this holds for damage in keys and headers, too. Without a hint (the log's last segment, or a hint that was lost with
//!   the record), when the store is opened anew, nothing says whose record it was: the key then has the value it had before,
//!   and [`Store::open_report`] tells of the damage.
//! - What is derived from the log, hints and the file KEYDIR, may be deleted or damaged: answers stay the same.
//! - Compaction drops a record only when a newer one that is durable stands for its key, and a delete only when no older
//!   segment can hold a put of it. A crash at any point of it leaves the store as it was before or after.
//! - A backup holds every write that was acknowledged before it was called for, and each batch whole or not at all; what is
//!   restored was read and checked to its last byte.
//! - One writer: a second one is refused, in this process and in others, even if the file LOCK was deleted.
//!   A writer that finds LOCK removed or replaced, or another directory at the store's path, changes no
//!   file and takes no more writes. A directory that was only renamed is still its own. Read-only opens go
//!   beside a writer and write nothing.
//! - A sync fails if its file or the directory was removed, and nothing is acknowledged after it.
//! - Work that a progress callback cancels returns [`Error::Cancelled`], and leaves nothing unfinished.
//!
//! # Limits
//! Keys of 1 to 65,535 bytes, values of 64 MiB unless [`Options::value_len_max`] raises it, 8 TiB
//! and 131,072 segments a store, of which each counts as a multiple of 64 MiB. Opening takes time
//! in proportion to the segments. Each segment takes a memory mapping, and each hint that was used
//! takes another. A process makes at most 32,768 mappings, half of Linux's limit
//! (`vm.max_map_count`), since its memory counts against the same limit. A segment beyond that is
//! read instead, as with [`ReadWith::Pread`], and takes a bounded number of file descriptors
//! ([`Options::open_files_max`], [`fs::raise_open_files_limit`]). If the system refuses a thread
//! (`ulimit -u`), the store goes on without background work and reports it to `tracing`, but does
//! not open with [`Sync::Every`]. The keydir takes 64 KiB and, from 100,000 keys on, 9 to 12 bytes
//! a key, whatever its length: of memory what was written since the store was opened, the rest of
//! the file KEYDIR, mapped. Sorting a segment for its hint takes its keys and about 40 bytes a
//! record for a moment. Linux; the directory must be on a file system with `flock` and coherent
//! mappings, so not on NFS.
//!
//! # Words
//! - *segment*: a file of records; the last one is *active*, the rest are *sealed*: final.
//! - *record*: one put or delete, with its number, time and checksums.
//! - *tombstone*: the record of a delete.
//! - *live* and *dead*: a key's newest put, and everything a later record replaced.
//! - *seqno*: a record's number; the order of the log.
//! - *MANIFEST*: the text file that lists the segments in log order.
//! - *hint*: a sealed segment's index in key order, with a filter that says which keys it does not hold.
//! - *keydir*: the index that says where each key's newest record is; *KEYDIR*: the file it is kept in.
//! - *compaction*: a run of segments gives way to what is still needed of them.

mod engine;
mod error;

pub use engine::batch::{Batch, Expiry, Op};
pub use engine::changes::{Change, Changes};
pub use engine::clock::{Clock, ManualClock, SystemClock};
pub use engine::compaction::{
    Compact, CompactionEvent, CompactionPlan, CompactionReason, CompactionReport, CompactionRun,
    CompactionStage, Decided, Decision, Dropped, Kept, LeftAlone, RunReport, Tallies, Tally,
};
pub use engine::format::codec::{Compression, ZSTD_LEVELS};
pub use engine::format::record::KEY_LEN_MAX;
pub use engine::history::{At, Difference, Differences, Past, PastScan, Version, Versions};
pub use engine::judge::TornTail;
pub use engine::location::{Cursor, CursorError, Lineage, Location, SegmentId, Seqno};
pub use engine::log::Commit;
pub use engine::meter::Distribution;
pub use engine::metrics::{Metrics, Prometheus};
pub use engine::options::{
    CompactionPolicy, OpenProgress, Options, ReadWith, SEGMENT_LEN_MAX_BOUNDS, SEGMENT_LEN_MAX_DEFAULT, Sync,
    VALUE_LEN_MAX_DEFAULT, VALUE_READ_MAX_DEFAULT,
};
#[cfg(feature = "planted")]
#[doc(hidden)]
pub use engine::plant::PLANTS;
#[doc(hidden)]
pub use engine::plant::{Plant, planted};
pub use engine::recovery::{FoundDamage, OpenReport};
pub use engine::scan::{Entry, KeyEntry, Keys, Scan};
pub use engine::snapshot::Snapshot;
pub use engine::stats::{MemoryStats, SegmentState, SegmentStats, Stats};
pub use engine::store::transaction::{Transaction, TransactionScan};
pub use engine::store::{Pending, PutOptions, Refreshed, Store};
pub use engine::value::Value;
pub use engine::visible::{Grouped, Visible};
pub use error::{Damage, Error, Result};

/// The layouts of a segment's header, of a record's and of a hint's, field by field.
pub mod layout {
    pub use crate::engine::format::Field;
    pub use crate::engine::format::hint::HINT_FIELDS;
    pub use crate::engine::format::record::RECORD_FIELDS;
    pub use crate::engine::format::segment_header::SEGMENT_FIELDS;
}

/// A segment taken apart: every byte, what it is, and why it is there.
pub mod inspect {
    pub use crate::engine::format::record::Kind;
    pub use crate::engine::inspect::{
        Extent, ExtentKind, Fate, HeaderInfo, Inspection, Item, Items, Range, RecordItem, Role, Totals,
        segment,
    };
}

/// Every checksum, every hint, every count and the order of the log, checked on the files alone.
pub mod verify {
    pub use crate::engine::verify::{Fault, Finding, Severity, VerifyEvent, VerifyReport, store};
}

/// A copy of a store, made while it is written to, and a store made of it again. [`Store::backup`] makes one.
pub mod backup {
    pub use crate::engine::backup::{BackupProgress, BackupReport, RestoreReport, restore, restore_archive};
}

/// A new store of every record of a damaged one that is intact.
pub mod repair {
    pub use crate::engine::repair::{
        GivenUp, Lost, Now, Reason, RepairProgress, RepairReport, copy, in_place, settle,
    };
}

/// What a store needs of the operating system, as traits: a test puts its own file system below a store.
pub mod fs {
    pub use crate::engine::fs::{
        Access, Directory, File, FileSystem, Lock, LockOutcome, Mapping, OsFileSystem, Parent, PathKind,
        Room, Stirred, StoreFile, Watch, exit_on_bus_error, next_data, raise_open_files_limit,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
