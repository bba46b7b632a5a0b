//! Figures of a store and of its segments.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::codec::Compressed;
use crate::engine::segment::Segment;

/// Figures of a whole store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that are there, or have expired and are still to be compacted away.
    pub key_count: u64,
    /// Bytes of the records that hold them.
    pub live_len: u64,
    /// The keys among them that have expired. They are not seen any more; a compaction gives back their room, when
    /// [`CompactionPolicy::expiry_grace`](crate::CompactionPolicy::expiry_grace) is over.
    pub expired_count: u64,
    /// Bytes of the records that hold those.
    pub expired_len: u64,
    /// Bytes of everything else in the segments but their headers: replaced and deleted records, tombstones, damage.
    pub dead_len: u64,
    /// Bytes of all segments.
    pub disk_len: u64,
    /// Segments in the log.
    pub segment_count: u64,
    /// Records in the log, of every kind.
    pub record_count: u64,
    /// Tombstones among them.
    pub tombstone_count: u64,
    /// Bytes that they take.
    pub tombstone_len: u64,
    /// The length of all values in the log that are compressed, in bytes, before that.
    pub raw_len: u64,
    /// What those values take, in bytes: [`Stats::compression_ratio`] times fewer.
    pub stored_len: u64,
    /// The number of the newest record.
    pub last_seq: Seqno,
    /// The number of the newest record that is known to be durable; `None` when the store was opened read-only, which
    /// cannot know.
    pub durable_seq: Option<Seqno>,
    /// Memory that the keydir takes, in bytes.
    pub keydir_len: u64,
    /// Damaged places that opening the store met.
    pub damage_count: u64,
}

/// What an open store takes of memory, in bytes: of the process's own, and of files that are mapped, whose pages are the
/// operating system's, and go when it needs them. Snapshots, scans and values that are held are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// The keydir's tables, of the process's own.
    pub keydir_len: u64,
    /// The parts of the file KEYDIR that nobody has written to since it was mapped.
    pub keydir_mapped_len: u64,
    /// The part of both that is in slots with a key. The rest is free slots and table headers.
    pub keydir_used_len: u64,
    /// The order of segments without a hint, kept since a scan asked for it, of the process's own: 16 bytes a record.
    pub order_len: u64,
    /// The hints that scans and compactions have asked, mapped.
    pub hint_mapped_len: u64,
    /// The segments, as far as they are written, where they are mapped.
    pub segment_mapped_len: u64,
}

/// Whether a segment is still written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Records are appended to it.
    Active,
    /// It is final.
    Sealed,
}

/// Figures of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStats {
    /// Its number.
    pub id: SegmentId,
    /// Whether it is still written to.
    pub state: SegmentState,
    /// The least number that its records may have.
    pub base_seq: Seqno,
    /// Its length in bytes.
    pub len: u64,
    /// Records in it, of every kind.
    pub record_count: u64,
    /// Records in it that are their key's newest.
    pub live_count: u64,
    /// Bytes of those.
    pub live_len: u64,
    /// Bytes of everything else but the header.
    pub dead_len: u64,
    /// Tombstones in it.
    pub tombstone_count: u64,
    /// Bytes of those.
    pub tombstone_len: u64,
    /// The length of all values in it that are compressed, in bytes, before that.
    pub raw_len: u64,
    /// What those values take, in bytes.
    pub stored_len: u64,
    /// When it was made, in milliseconds since 1970; 0 when its header is damaged.
    pub created_ms: u64,
    /// Whether its hint file is there.
    pub has_hint: bool,
}

impl Stats {
    /// How many times longer the compressed values are than what they take; `None` when there are none. Exact over all records
    /// in the log, live and dead, and costs nothing: it is counted when they are written, and kept in hints and KEYDIR.
    #[must_use]
    pub fn compression_ratio(&self) -> Option<f64> {
        (self.stored_len > 0).then(|| self.raw_len as f64 / self.stored_len as f64)
    }

    /// What the segments come to; the rest is zero.
    pub(crate) fn sum(segments: &[SegmentStats]) -> Self {
        // A KEYDIR or a hint that lies under a right checksum may count anything.
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
    /// The figures of `segment`, `active` being the one that is written to, `hinted` those that have a hint.
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
