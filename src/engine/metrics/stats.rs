//! Statistics of a store and of its segments.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::codec::Compressed;
use crate::engine::segment::Segment;

/// Statistics of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys in the keydir, including expired ones that have not been compacted away.
    pub key_count: u64,
    /// Bytes of their records.
    pub live_len: u64,
    /// Expired keys among them. Reads do not see them. A compaction frees their space when
    /// [`CompactionPolicy::expiry_grace`](crate::CompactionPolicy::expiry_grace) is over.
    pub expired_count: u64,
    /// Bytes of the records of expired keys.
    pub expired_len: u64,
    /// Bytes of everything else in segments except their headers: replaced and deleted records,
    /// tombstones, damage.
    pub dead_len: u64,
    /// Bytes of all segments.
    pub disk_len: u64,
    /// Segments in the log.
    pub segment_count: u64,
    /// Records in the log, of all kinds.
    pub record_count: u64,
    /// Tombstones in the log.
    pub tombstone_count: u64,
    /// Bytes of the tombstones.
    pub tombstone_len: u64,
    /// The total length of the compressed values in the log, in bytes, before compression.
    pub raw_len: u64,
    /// Their total length after compression, in bytes. See [`Stats::compression_ratio`].
    pub stored_len: u64,
    /// The number of the newest record.
    pub last_seq: Seqno,
    /// The number of the newest record that is durable. `None` if the store is open read-only,
    /// since only the writer knows it.
    pub durable_seq: Option<Seqno>,
    /// The memory of the keydir, in bytes.
    pub keydir_len: u64,
    /// Damaged ranges that were found when the store was opened.
    pub damage_count: u64,
}

/// The memory of an open store, in bytes: memory of the process, and mapped files, whose pages the
/// operating system can drop. Open snapshots, scans and values are not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// The keydir's tables in memory.
    pub keydir_len: u64,
    /// The mapped parts of KEYDIR. A shard leaves them when it is first written to.
    pub keydir_mapped_len: u64,
    /// The used slots of both. The rest is free slots and the tables' headers.
    pub keydir_used_len: u64,
    /// The rows of segments without a hint, kept after a scan sorted them: 16 bytes per record.
    pub order_len: u64,
    /// The mapped hints that scans and compactions have used.
    pub hint_mapped_len: u64,
    /// The mapped and written parts of segments.
    pub segment_mapped_len: u64,
}

/// The state of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Records are appended to it.
    Active,
    /// It is final.
    Sealed,
}

/// Statistics of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStats {
    /// Its number.
    pub id: SegmentId,
    /// Its state.
    pub state: SegmentState,
    /// The lowest number that its records can have.
    pub base_seq: Seqno,
    /// Its length in bytes.
    pub len: u64,
    /// Records in it, of all kinds.
    pub record_count: u64,
    /// Records in it that are the newest of their keys.
    pub live_count: u64,
    /// Bytes of live records.
    pub live_len: u64,
    /// Bytes of everything else except the header.
    pub dead_len: u64,
    /// Tombstones in it.
    pub tombstone_count: u64,
    /// Bytes of the tombstones.
    pub tombstone_len: u64,
    /// The total length of its compressed values, in bytes, before compression.
    pub raw_len: u64,
    /// Their total length after compression, in bytes.
    pub stored_len: u64,
    /// The time of its creation, in milliseconds since 1970; 0 if its header is damaged.
    pub created_ms: u64,
    /// Whether it has a hint.
    pub has_hint: bool,
}

impl Stats {
    /// Returns the length of the compressed values before compression, divided by that after it;
    /// `None` if there are none. Exact for all records in the log, live and dead. It costs nothing:
    /// the lengths are counted when the values are written, and kept in hints and KEYDIR.
    #[must_use]
    pub fn compression_ratio(&self) -> Option<f64> {
        (self.stored_len > 0).then(|| self.raw_len as f64 / self.stored_len as f64)
    }

    /// Returns the sums of the segments' statistics. The other fields are zero.
    pub(crate) fn sum(segments: &[SegmentStats]) -> Self {
        // Even a KEYDIR or a hint with a right checksum can hold any counts.
        let sum = |what: fn(&SegmentStats) -> u64| segments.iter().map(what).fold(0, u64::saturating_add);
        Self {
            live_len: sum(|segment| segment.live_len),
            dead_len: sum(|segment| segment.dead_len),
            disk_len: sum(|segment| segment.len),
            segment_count: segments.len() as u64,
            record_count: sum(|segment| segment.record_count),
            tombstone_count: sum(|segment| segment.tombstone_count),
            tombstone_len: sum(|segment| segment.tombstone_len),
            raw_len: sum(|segment| segment.raw_len),
            stored_len: sum(|segment| segment.stored_len),
            ..Self::default()
        }
    }
}

impl SegmentStats {
    /// Returns the statistics of `segment`. `active` is the active segment, and `hinted` are those
    /// with a hint.
    pub(crate) fn of(segment: &Segment, active: Option<SegmentId>, hinted: &HashSet<SegmentId>) -> Self {
        let usage = &segment.usage;
        let live_len = usage.live_len();
        let Compressed { raw_len, stored_len } = usage.compressed();
        let len = segment.len();
        Self {
            id: segment.id,
            state: if active == Some(segment.id) { SegmentState::Active } else { SegmentState::Sealed },
            base_seq: segment.base_seq,
            len,
            record_count: usage.record_count.load(Ordering::Relaxed),
            live_count: usage.live_count(),
            live_len,
            dead_len: len.saturating_sub(u64::from(segment.layout.header_len)).saturating_sub(live_len),
            tombstone_count: usage.tombstone_count.load(Ordering::Relaxed),
            tombstone_len: usage.tombstone_len.load(Ordering::Relaxed),
            raw_len,
            stored_len,
            created_ms: segment.created_ms,
            has_hint: hinted.contains(&segment.id),
        }
    }
}
