//! What a store tells of itself to those who watch over it.

pub(crate) mod meter;
pub(crate) mod prometheus;
pub(crate) mod stats;

use std::time::Duration;

use meter::{Count, Distribution, Meter};
use stats::Stats;

/// What a store has done since this process opened it, and what it is now.
///
/// Gets are [`Store::get`](crate::Store::get) and its like, by key, and what transactions read of the store; scans and
/// snapshots are not counted among them. Puts and deletes are records, counted when readers see them. Distributions of time are in nanoseconds.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Keys that were asked for.
    pub get_count: u64,
    /// Those that were there.
    pub hit_count: u64,
    /// Those that were not.
    pub miss_count: u64,
    /// Records of puts that were written.
    pub put_count: u64,
    /// Tombstones that were written.
    pub delete_count: u64,
    /// Batches that were written; a single put or delete is one, too.
    pub batch_count: u64,
    /// Bytes of all these records.
    pub written_len: u64,
    /// How long gets took: one get in 64 of each thread, because reading the clock would slow down every get.
    pub get_ns: Distribution,
    /// How long writes took, until they were as durable as the sync policy says; transactions and what was submitted are
    /// not among them.
    pub write_ns: Distribution,
    /// How long each sync of the log took.
    pub sync_ns: Distribution,
    /// How many records each sync of the log made durable.
    pub synced_count: Distribution,
    /// Runs of compaction that were done.
    pub compaction_run_count: u64,
    /// Bytes of segments that gave way.
    pub compaction_read_len: u64,
    /// Bytes of segments that took their place.
    pub compaction_written_len: u64,
    /// How often the file KEYDIR was written.
    pub checkpoint_count: u64,
    /// Reads that failed.
    pub read_error_count: u64,
    /// Writes that failed.
    pub write_error_count: u64,
    /// Syncs of the log that failed.
    pub sync_error_count: u64,
    /// Failures of what is done in the background, and goes on later.
    pub background_error_count: u64,
    /// How long opening took.
    pub open_took: Duration,
    /// What the store is now.
    pub stats: Stats,
}

impl Metrics {
    pub(crate) fn of(meter: &Meter, stats: Stats, open_took: Duration) -> Self {
        let total = |count| meter.total(count);
        // Hits first: a get that ends meanwhile makes a miss too many, and never one below none.
        let (hit_count, read_error_count) = (total(Count::Hits), total(Count::ReadErrors));
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

    /// Bytes that compaction has given back.
    #[must_use]
    pub fn compaction_freed_len(&self) -> u64 {
        self.compaction_read_len.saturating_sub(self.compaction_written_len)
    }
}
