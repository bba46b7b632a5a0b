//! What a segment's records come to.

use std::sync::atomic::Ordering;

use super::Segment;
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
    /// Bytes that are not live and that a compaction has found to be needed, nothing older having been compacted since.
    pub(crate) needed_len: AtomicU64,
}

impl Usage {
    pub(crate) fn add_record(&self) {
        self.record_count.fetch_add(1, Ordering::Relaxed);
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
            is_endless: self.lifetimes.are_endless(),
        }
    }

    /// Takes over what `covered` says that the records come to.
    pub(crate) fn count(&self, covered: &Covered) {
        let set = |figure: &AtomicU64, value| figure.store(value, Ordering::Relaxed);
        set(&self.usage.record_count, covered.record_count);
        set(&self.usage.live_count, covered.live_count);
        set(&self.usage.live_len, covered.live_len);
        set(&self.usage.tombstone_count, covered.tombstone_count);
        set(&self.usage.tombstone_len, covered.tombstone_len);
        // What came after it may be anything.
        if covered.is_endless && covered.len == self.len() {
            self.lifetimes.note(covered.live_len, None);
            self.lifetimes.set_known();
        }
    }
}
