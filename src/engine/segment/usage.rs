//! What a segment's records come to.

use std::sync::atomic::Ordering;

use super::Segment;
use crate::engine::format::codec::Compressed;
use crate::engine::format::keydir_file::Covered;
use crate::engine::sync::AtomicU64;

/// What a segment's records come to. Changed by the writer alone, under the log's lock; read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) record_count: AtomicU64,
    pub(crate) live_count: AtomicU64,
    pub(crate) live_len: AtomicU64,
    pub(crate) tombstone_count: AtomicU64,
    pub(crate) tombstone_len: AtomicU64,
    /// The values of its records that are compressed, live or not: their length, and what they take.
    pub(crate) raw_len: AtomicU64,
    pub(crate) stored_len: AtomicU64,
    /// Bytes that are not live and that a compaction has found to be needed, nothing older having been compacted since.
    pub(crate) needed_len: AtomicU64,
}

impl Usage {
    /// Counts a record, and what its value comes to if it is compressed.
    pub(crate) fn add_record(&self, compressed: Compressed) {
        self.record_count.fetch_add(1, Ordering::Relaxed);
        self.raw_len.fetch_add(compressed.raw_len, Ordering::Relaxed);
        self.stored_len.fetch_add(compressed.stored_len, Ordering::Relaxed);
    }

    /// Takes note of all records that there are, and what those of their values come to that are compressed.
    pub(crate) fn set_records(&self, count: u64, compressed: Compressed) {
        self.record_count.store(count, Ordering::Relaxed);
        self.raw_len.store(compressed.raw_len, Ordering::Relaxed);
        self.stored_len.store(compressed.stored_len, Ordering::Relaxed);
    }

    /// What the values come to that are compressed.
    pub(crate) fn compressed(&self) -> Compressed {
        let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Compressed { raw_len: figure(&self.raw_len), stored_len: figure(&self.stored_len) }
    }

    pub(crate) fn add_live(&self, len: u64) {
        self.live_count.fetch_add(1, Ordering::Relaxed);
        self.live_len.fetch_add(len, Ordering::Relaxed);
    }

    pub(crate) fn remove_live(&self, len: u64) {
        self.live_count.fetch_sub(1, Ordering::Relaxed);
        self.live_len.fetch_sub(len, Ordering::Relaxed);
    }

    pub(crate) fn add_tombstone(&self, len: u64) {
        self.tombstone_count.fetch_add(1, Ordering::Relaxed);
        self.tombstone_len.fetch_add(len, Ordering::Relaxed);
    }
}

impl Segment {
    /// Its first `len` bytes, and what their records come to, for the file KEYDIR.
    pub(crate) fn covered(&self, len: u64) -> Covered {
        let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Covered {
            id: self.id,
            len,
            first_page: self.first_page,
            record_count: figure(&self.usage.record_count),
            live_count: figure(&self.usage.live_count),
            live_len: figure(&self.usage.live_len),
            tombstone_count: figure(&self.usage.tombstone_count),
            tombstone_len: figure(&self.usage.tombstone_len),
            compressed: self.usage.compressed(),
        }
    }

    /// Takes over what `covered` says that the records come to.
    pub(crate) fn count(&self, covered: &Covered) {
        let set = |figure: &AtomicU64, value| figure.store(value, Ordering::Relaxed);
        self.usage.set_records(covered.record_count, covered.compressed);
        set(&self.usage.live_count, covered.live_count);
        set(&self.usage.live_len, covered.live_len);
        set(&self.usage.tombstone_count, covered.tombstone_count);
        set(&self.usage.tombstone_len, covered.tombstone_len);
    }
}
