//! The usage of a segment: counts and bytes of its records.

use std::sync::atomic::Ordering;

use super::identity::Identity;
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::AtomicU64;
use crate::engine::format::codec::Compressed;
use crate::engine::format::keydir_file::Covered;

/// The counts and bytes of a segment's records. The writer changes them under the log's lock. Any
/// thread reads them.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) record_count: AtomicU64,
    live_count: AtomicU64,
    live_len: AtomicU64,
    pub(crate) tombstone_count: AtomicU64,
    pub(crate) tombstone_len: AtomicU64,
    /// The lengths of all compressed values, live or not, before and after compression.
    raw_len: AtomicU64,
    stored_len: AtomicU64,
    /// Bytes of dead or expired records that compaction found to be needed. Void once an older
    /// segment is compacted.
    needed_len: AtomicU64,
    /// When history kept by compaction may be dropped: in milliseconds since 1970, or at a sequence
    /// number. 0 means never.
    needed_until_ms: AtomicU64,
    needed_until_seq: AtomicU64,
}

impl Usage {
    /// Adds `len` needed bytes of dead records.
    pub(crate) fn add_needed(&self, len: u64) {
        self.needed_len.fetch_add(len, Ordering::Relaxed);
    }

    /// Limits the need to the time before `time_ms` and to sequence numbers before `seq`.
    pub(crate) fn need_until(&self, time_ms: Option<u64>, seq: Option<Seqno>) {
        self.needed_until_ms.store(time_ms.unwrap_or(0), Ordering::Relaxed);
        self.needed_until_seq.store(seq.map_or(0, |seq| seq.0), Ordering::Relaxed);
    }

    /// Forgets the needed bytes, because an older segment was compacted.
    pub(crate) fn forget_needed(&self) {
        self.needed_len.store(0, Ordering::Relaxed);
    }

    /// Bytes of dead records that compaction found to be needed, if they still are.
    pub(crate) fn needed_len(&self, now_ms: u64, appended: Seqno) -> u64 {
        let is_past = |limit: &AtomicU64, now| (1..=now).contains(&limit.load(Ordering::Relaxed));
        if is_past(&self.needed_until_ms, now_ms) || is_past(&self.needed_until_seq, appended.0) {
            return 0;
        }
        self.needed_len.load(Ordering::Relaxed)
    }

    /// Counts a record, and the lengths of its value if that is compressed.
    pub(crate) fn add_record(&self, compressed: Compressed) {
        self.record_count.fetch_add(1, Ordering::Relaxed);
        self.raw_len.fetch_add(compressed.raw_len, Ordering::Relaxed);
        self.stored_len.fetch_add(compressed.stored_len, Ordering::Relaxed);
    }

    /// Returns the entry of KEYDIR for the first `len` bytes of the segment.
    pub(super) fn covered(&self, identity: &Identity, len: u64, is_endless: bool) -> Covered {
        let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let compressed = self.compressed();
        Covered {
            id: identity.id,
            len,
            first_page: identity.first_page,
            record_count: figure(&self.record_count),
            live_count: self.live_count(),
            live_len: self.live_len(),
            tombstone_count: figure(&self.tombstone_count),
            tombstone_len: figure(&self.tombstone_len),
            is_endless,
            raw_len: compressed.raw_len,
            stored_len: compressed.stored_len,
        }
    }

    pub(super) fn set(&self, covered: &Covered) {
        let set = |figure: &AtomicU64, value| figure.store(value, Ordering::Relaxed);
        self.set_records(covered.record_count, covered.compressed());
        set(&self.live_count, covered.live_count);
        set(&self.live_len, covered.live_len);
        set(&self.tombstone_count, covered.tombstone_count);
        set(&self.tombstone_len, covered.tombstone_len);
    }

    /// Sets the count of all records and the lengths of compressed values.
    pub(crate) fn set_records(&self, count: u64, compressed: Compressed) {
        self.record_count.store(count, Ordering::Relaxed);
        self.raw_len.store(compressed.raw_len, Ordering::Relaxed);
        self.stored_len.store(compressed.stored_len, Ordering::Relaxed);
    }

    /// Returns the total lengths of compressed values.
    pub(crate) fn compressed(&self) -> Compressed {
        let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Compressed { raw_len: figure(&self.raw_len), stored_len: figure(&self.stored_len) }
    }

    /// Returns the number of live records.
    pub(crate) fn live_count(&self) -> u64 {
        not_below_zero(&self.live_count)
    }

    /// Returns the bytes of live records.
    pub(crate) fn live_len(&self) -> u64 {
        not_below_zero(&self.live_len)
    }

    pub(crate) fn add_live(&self, len: u64) {
        self.add_all_live(1, len);
    }

    /// Adds `count` live records of `len` bytes in total.
    pub(crate) fn add_all_live(&self, count: u64, len: u64) {
        self.live_count.fetch_add(count, Ordering::Relaxed);
        self.live_len.fetch_add(len, Ordering::Relaxed);
    }

    pub(crate) fn remove_live(&self, len: u64) {
        self.live_count.fetch_sub(1, Ordering::Relaxed);
        self.live_len.fetch_sub(len, Ordering::Relaxed);
    }

    pub(crate) fn add_tombstone(&self, len: u64) {
        self.add_tombstones(1, len);
    }

    /// Adds `count` tombstones of `len` bytes in total.
    pub(crate) fn add_tombstones(&self, count: u64, len: u64) {
        self.tombstone_count.fetch_add(count, Ordering::Relaxed);
        self.tombstone_len.fetch_add(len, Ordering::Relaxed);
    }
}

/// Returns the value of `figure`, or 0 if it is negative. A KEYDIR that is wrong under a valid
/// checksum may start a count too low.
fn not_below_zero(figure: &AtomicU64) -> u64 {
    let figure = figure.load(Ordering::Relaxed);
    if figure > i64::MAX as u64 { 0 } else { figure }
}
