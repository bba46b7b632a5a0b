//! The result of an open.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::seen::SeenFiles;
use crate::engine::base::error::Damage;
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::files::tail::TornTail;
use crate::engine::format::keydir_file::Covering;
use crate::engine::fs::Directory;
use crate::engine::log::Log;
use crate::engine::state::State;

/// The state of an open store, and the facts that opening it established.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) state: Arc<State>,
    pub(crate) report: Arc<OpenReport>,
    /// The sequence number of the newest record.
    pub(crate) last_seq: Seqno,
    /// The last segment of the log, unless it is sealed.
    pub(crate) unsealed: Option<SegmentId>,
}

/// The mode of an open, with the parts that only a writer or only a reader needs.
#[derive(Debug)]
pub(crate) enum OpenedAs {
    /// `covering` says which part of the log KEYDIR covered.
    Writer {
        log: Arc<Log>,
        covering: Option<Covering>,
    },
    Reader(SeenFiles),
}

/// The report of an open: its findings and its changes.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Whether this open created the store.
    pub created: bool,
    /// Whether this open had to search for the end of the log: the last writer did not close the
    /// store (or, for a read-only open, is still running), or the log is
    /// [`outgrown`](Self::outgrown).
    pub unclean: bool,
    /// Whether the last writer closed the store, and the last segment file has grown since.
    pub outgrown: bool,
    /// The torn tail of the log. An open for writing cuts it off; a read-only open ignores it.
    pub torn: Option<TornTail>,
    /// The number of intact records read at the end of the log, if an open for writing had to
    /// search for that end.
    pub end_count: u64,
    /// Sequence numbers that are never assigned, because a crash may have lost records that had
    /// them. Empty if the last writer closed the store, and for a read-only open.
    pub skipped: Range<Seqno>,
    /// The damage in the rest of the log, in log order.
    pub damage: Vec<FoundDamage>,
    /// Orphan segments of this store, left by an interrupted operation. This open removed them.
    pub orphans_removed: Vec<SegmentId>,
    /// Segment files that the MANIFEST does not list and that belong to another store. The open
    /// leaves them alone.
    pub strangers: Vec<SegmentId>,
    /// The number of records that KEYDIR did not cover, so that this open indexed them.
    pub record_count: u64,
    /// The duration of the open.
    pub took: Duration,
}

/// A damaged record, or a range of bytes without a recognisable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDamage {
    /// The start of the damaged range.
    pub at: Location,
    /// The number of bytes up to the next intact record.
    pub len: u64,
    /// The kind of damage.
    pub damage: Damage,
}
