//! The reports of a backup and a restore.

use crate::engine::base::cursor::Cursor;
use crate::engine::base::ids::Seqno;

/// The progress of a backup or a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// The number of bytes checked and copied so far. Segments that need no copy count, too.
    pub done_len: u64,
    /// The number of bytes to check and copy in total.
    pub total_len: u64,
}

/// The result of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The number of segments in the backup.
    pub segment_count: u64,
    /// The number of segments that are hard links to the store's files.
    pub linked_count: u64,
    /// The number of segments that were copied.
    pub copied_count: u64,
    /// The number of segments kept from an earlier backup in the same directory.
    pub kept_count: u64,
    /// The number of segments of the earlier backup that were removed.
    pub removed_count: u64,
    /// The length of all segments in bytes.
    pub len: u64,
    /// The length of the copied segments in bytes.
    pub copied_len: u64,
    /// The sequence number of the newest record.
    pub last_seq: Seqno,
    /// The cursor from which [`Store::changes`](crate::Store::changes) continues after this backup.
    pub cursor: Cursor,
}

/// The result of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// The number of segments in the new store.
    pub segment_count: u64,
    /// The number of records, all of them checked.
    pub record_count: u64,
    /// The length of all segments in bytes.
    pub len: u64,
    /// Whether the backup held an options file. The new store then has it, too.
    pub has_options: bool,
}
