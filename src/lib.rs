//! **logkv**: an embedded key-value store in the style of Bitcask, in one process and one
//! directory.
//!
//! A write appends a record to a log. An index in memory, the *keydir*, holds the location of each
//! key's newest record. A read is one index lookup and one access to the record, which is
//! memory-mapped and not copied.
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
//! - [`Store`] has the operations. [`Options`] lists the choices with their costs.
//! - [`Sync`] decides what a power cut may lose. [`Batch`] and [`Overlay`] write several keys at
//!   once.
//! - [`Snapshot`] is an unchanging view. [`Changes`] follows all writes.
//! - [`inspect`], [`verify`], [`backup`] and [`repair`] work on the files.
//! - [`guarantees`] lists the promises, the exceptions and the limits. [`layout`] describes the
//!   bytes. [`guide`] is the manual of the program `logkv`.
//! - [`fs`] has the file system traits. A test can implement them to simulate a failing disk.
//!
//! # Glossary
//! - *segment*: a file of records. The last one is *active*; the others are *sealed* and never
//!   change.
//! - *record*: one put or delete, with its sequence number, time and checksums.
//! - *tombstone*: the record of a delete.
//! - *live*: the newest put of a key. *dead*: a record that a later one replaced.
//! - *seqno*: the sequence number of a record, which is its place in log order.
//! - *MANIFEST*: the text file that lists the segments in log order.
//! - *hint*: the index of a sealed segment in key order, with a filter that excludes most absent
//!   keys.
//! - *keydir*: the index of the newest record of each key. *KEYDIR*: the file that stores it.
//! - *compaction*: replaces segments with a new one that holds only the records that are still
//!   needed.

mod engine;
pub mod guide;

pub use engine::base::batch::{Batch, Expiry, Op};
pub use engine::base::clock::{Clock, ManualClock, SystemClock};
pub use engine::base::cursor::{Cursor, CursorError};
pub use engine::base::error::{Damage, Error, Result};
pub use engine::base::escape::{Grouped, Visible};
pub use engine::base::ids::{Lineage, Location, SegmentId, Seqno};
pub use engine::files::tail::TornTail;
pub use engine::format::codec::{Compression, ZSTD_LEVELS};
pub use engine::format::record::KEY_LEN_MAX;
pub use engine::log::Commit;
pub use engine::metrics::Metrics;
pub use engine::metrics::meter::Distribution;
pub use engine::metrics::prometheus::Prometheus;
pub use engine::metrics::stats::{MemoryStats, SegmentState, SegmentStats, Stats};
pub use engine::open::opened::{FoundDamage, OpenReport};
pub use engine::options::{
    CompactionPolicy, OpenProgress, Options, ReadWith, SEGMENT_LEN_MAX_BOUNDS, SEGMENT_LEN_MAX_DEFAULT, Sync,
    VALUE_LEN_MAX_DEFAULT, VALUE_READ_MAX_DEFAULT,
};
pub use engine::read::changes::{Change, Changes};
pub use engine::read::history::diff::{Difference, Differences};
pub use engine::read::history::{At, Past, PastScan, Version, Versions};
pub use engine::read::scan::{Entry, KeyEntry, Keys, Scan};
pub use engine::read::snapshot::Snapshot;
pub use engine::segment::value::Value;
pub use engine::store::Store;
pub use engine::store::overlay::{Overlay, OverlayEntries, OverlayEntry, OverlayScan};
pub use engine::store::view::Refreshed;
pub use engine::store::write::{Pending, PutOptions};
pub use engine::upkeep::compaction::{
    Compact, CompactionEvent, CompactionPlan, CompactionReason, CompactionReport, CompactionRun,
    CompactionStage, Decided, Decision, Dropped, Kept, LeftAlone, RunReport, Tallies, Tally,
};

#[doc = include_str!("guide/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("guide/bytes.md")]
pub mod layout {
    pub use crate::engine::format::hint::{HINT_FIELDS, HINT_ROW_FIELDS};
    pub use crate::engine::format::keydir_file::{KEYDIR_FIELDS, KEYDIR_SEGMENT_FIELDS, KEYDIR_SHARD_FIELDS};
    pub use crate::engine::format::layout::Field;
    pub use crate::engine::format::record::RECORD_FIELDS;
    pub use crate::engine::format::segment_header::SEGMENT_FIELDS;
}

/// Decodes a segment: every byte, its meaning, and the reason why it is there.
pub mod inspect {
    pub use crate::engine::format::record::Kind;
    pub use crate::engine::tools::inspect::{
        Extent, ExtentKind, Fate, HeaderInfo, Inspection, Item, Items, Range, RecordItem, Role, Totals,
        segment,
    };
}

/// Checks the files of a store: every checksum, hint and count, and the order of the log.
pub mod verify {
    pub use crate::engine::tools::verify::{Fault, Finding, Severity, VerifyEvent, VerifyReport, store};
}

/// Restores backups. [`Store::backup`] makes them, while the store is in use.
pub mod backup {
    pub use crate::engine::tools::backup::{
        BackupProgress, BackupReport, RestoreReport, restore, restore_archive,
    };
}

/// Makes a new store from the intact records of a damaged one.
pub mod repair {
    pub use crate::engine::tools::repair::{
        GivenUp, Lost, Now, Reason, RepairProgress, RepairReport, copy, in_place, settle,
    };
}

/// The file system below a store, as traits that a test can implement.
pub mod fs {
    pub use crate::engine::fs::{
        Access, Changed, Directory, File, FileSystem, Lock, LockOutcome, Mapping, OsFileSystem, Parent,
        PathKind, Room, StoreFile, Watch, exit_on_bus_error, next_data, raise_open_files_limit,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
