//! Metrics and statistics of a store: its activity since it was opened, and its current state.

pub(crate) mod meter;
pub(crate) mod prometheus;
pub(crate) mod stats;

use std::time::Duration;

use meter::{Count, Distribution, Meter};
use stats::Stats;

/// The activity of a store since this process opened it, and its current state.
///
/// A get is a read by key, such as [`Store::get`](crate::Store::get) or a read of a transaction.
/// Scans and snapshots are not counted as gets. Puts and deletes are counted when readers see them.
/// Times are distributions of nanoseconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Gets.
    pub get_count: u64,
    /// Gets that found the key.
    pub hit_count: u64,
    /// Gets that did not find the key.
    pub miss_count: u64,
    /// Puts that were written.
    pub put_count: u64,
    /// Tombstones that were written.
    pub delete_count: u64,
    /// Batches that were written. A single put or delete is a batch.
    pub batch_count: u64,
    /// Bytes of the records of these batches.
    pub written_len: u64,
    /// The duration of gets. One get in 64 of each thread is timed, because reading the clock would
    /// slow down every get.
    pub get_ns: Distribution,
    /// The duration of writes, until they are as durable as the sync policy says. Transactions and
    /// submitted writes are not included.
    pub write_ns: Distribution,
    /// The duration of the log's syncs.
    pub sync_ns: Distribution,
    /// The number of records that each sync of the log made durable.
    pub synced_count: Distribution,
    /// Runs of compaction.
    pub compaction_run_count: u64,
    /// Bytes of segments that compaction has replaced.
    pub compaction_read_len: u64,
    /// Bytes of segments that compaction has written.
    pub compaction_written_len: u64,
    /// The number of times that KEYDIR was written.
    pub checkpoint_count: u64,
    /// Reads that failed.
    pub read_error_count: u64,
    /// Writes that failed.
    pub write_error_count: u64,
    /// Syncs of the log that failed.
    pub sync_error_count: u64,
    /// Failures of background work, which is tried again later.
    pub background_error_count: u64,
    /// The duration of opening the store.
    pub open_took: Duration,
    /// The current state of the store.
    pub stats: Stats,
}

impl Metrics {
    pub(crate) fn of(meter: &Meter, stats: Stats, open_took: Duration) -> Self {
        let total = |count| meter.total(count);
        // Reads the hits before the gets. A get that ends in between can add a miss, but never
        // remove one.
        let hit_count = total(Count::Hits);
        let read_error_count = total(Count::ReadErrors);
        let get_count = total(Count::Gets);
        Self {
            get_count,
            hit_count,
            miss_count: get_count.saturating_sub(hit_count).saturating_sub(read_error_count),
            put_count: total(Count::Puts),
            delete_count: total(Count::Deletes),
            batch_count: total(Count::Batches),
            written_len: total(Count::WrittenLen),
            get_ns: meter.gets.so_far(),
            write_ns: meter.writes.so_far(),
            sync_ns: meter.syncs.so_far(),
            synced_count: meter.synced.so_far(),
            compaction_run_count: total(Count::CompactionRuns),
            compaction_read_len: total(Count::CompactionReadLen),
            compaction_written_len: total(Count::CompactionWrittenLen),
            checkpoint_count: total(Count::Checkpoints),
            read_error_count,
            write_error_count: total(Count::WriteErrors),
            sync_error_count: total(Count::SyncErrors),
            background_error_count: total(Count::BackgroundErrors),
            open_took,
            stats,
        }
    }

    /// Returns the bytes that compaction has freed.
    #[must_use]
    pub fn compaction_freed_len(&self) -> u64 {
        self.compaction_read_len.saturating_sub(self.compaction_written_len)
    }
}
