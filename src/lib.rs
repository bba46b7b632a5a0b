//! **logkv**: a key-value store in the manner of Bitcask, in one process and one directory.
//!
//! A write appends a record to a log. An index in memory, the *keydir*, holds the location of each key's
//! newest record. A read is one look at the index and one at the record, which is mapped and not copied.
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
//! - [`Store`] has the operations; [`Options`] are the choices, each with its cost.
//! - [`Sync`] decides what a power cut may take; [`Batch`] and [`Overlay`] write several keys at once.
//! - [`Snapshot`] reads one moment, [`Changes`] follows all writes.
//! - [`inspect`], [`verify`], [`backup`] and [`repair`] work on the files.
//! - [`guarantees`] lists what is promised, what is not, and the limits; [`layout`] describes the bytes;
//!   [`guide`] is the manual of the program `logkv`.
//! - [`fs`] has the traits below a store; a test replaces them to make a disk fail.
//!
//! # Words
//! - *segment*: a file of records. The last one is *active*, the others are *sealed*: final.
//! - *record*: one put or delete, with its number, time and checksums.
//! - *tombstone*: the record of a delete.
//! - *live*: the newest put of a key. *dead*: a record that a later one replaced.
//! - *seqno*: a record's number, and its place in the order of the log.
//! - *MANIFEST*: the text file that lists the segments in log order.
//! - *hint*: a sealed segment's index in key order, with a filter that knows most absent keys.
//! - *keydir*: the index of each key's newest record. *KEYDIR*: the file that keeps it.
//! - *compaction*: the replacement of segments by a new one with the records that are still needed.

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

/// A segment taken apart: every byte, what it is, and why it is there.
pub mod inspect {
    pub use crate::engine::format::record::Kind;
    pub use crate::engine::tools::inspect::{
        Extent, ExtentKind, Fate, HeaderInfo, Inspection, Item, Items, Range, RecordItem, Role, Totals,
        segment,
    };
}

/// Every checksum, every hint, every count and the order of the log, checked on the files alone.
pub mod verify {
    pub use crate::engine::tools::verify::{Fault, Finding, Severity, VerifyEvent, VerifyReport, store};
}

/// A copy of a store, made while it is written to, and a store made of it again. [`Store::backup`] makes one.
pub mod backup {
    pub use crate::engine::tools::backup::{
        BackupProgress, BackupReport, RestoreReport, restore, restore_archive,
    };
}

/// A new store of every record of a damaged one that is intact.
pub mod repair {
    pub use crate::engine::tools::repair::{
        GivenUp, Lost, Now, Reason, RepairProgress, RepairReport, copy, in_place, settle,
    };
}

/// What a store needs of the operating system, as traits: a test puts its own file system below a store.
pub mod fs {
    pub use crate::engine::fs::{
        Access, Changed, Directory, File, FileSystem, Lock, LockOutcome, Mapping, OsFileSystem, Parent,
        PathKind, Room, StoreFile, Watch, exit_on_bus_error, next_data, raise_open_files_limit,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
