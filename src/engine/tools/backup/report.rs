//! What a backup and a restore tell of themselves.

use crate::engine::base::cursor::Cursor;
use crate::engine::base::ids::Seqno;

/// How far a backup or a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// Bytes that were checked and copied; those of a segment that is not copied count all the same.
    pub done_len: u64,
    /// Bytes that are to be.
    pub total_len: u64,
}

/// What a backup came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Segments in the backup.
    pub segment_count: u64,
    /// Those of them that are the store's own files, under a second name.
    pub linked_count: u64,
    /// Those that were copied.
    pub copied_count: u64,
    /// Those that an earlier backup to the same place had taken.
    pub kept_count: u64,
    /// Segments of the earlier backup that this one does without.
    pub removed_count: u64,
    /// Bytes of the backup's segments.
    pub len: u64,
    /// Bytes of those that were copied.
    pub copied_len: u64,
    /// The number of the newest record in it.
    pub last_seq: Seqno,
    /// [`Store::changes`](crate::Store::changes) continues from here after this backup.
    pub cursor: Cursor,
}

/// What a restore came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Segments of the new store.
    pub segment_count: u64,
    /// Records in them, each of which is as it was written.
    pub record_count: u64,
    /// Bytes of the segments.
    pub len: u64,
    /// Whether the backup held a file of options, which the new store has now.
    pub has_options: bool,
}
