//! The summary of a segment: its role, its header fields and its totals.

use crate::engine::base::ids::{SegmentId, Seqno};

/// The role of a segment file in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The active segment, to which the current or the next writer appends.
    Active,
    /// A sealed segment, which is final.
    Sealed,
    /// An orphan file that MANIFEST does not list. The next open for writing removes it if it
    /// belongs to this store.
    Orphan,
    /// Unknown, because MANIFEST cannot be read.
    Unknown,
}

/// The fields of a segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderInfo {
    /// The major format version. This version of logkv reads only one.
    pub major: u16,
    /// The minor format version. Every minor version can be read.
    pub minor: u16,
    /// The length of this header in bytes.
    pub header_len: u16,
    /// The length of each record's header in bytes.
    pub record_header_len: u16,
    /// The identity of the store.
    pub store: [u8; 16],
    /// The segment.
    pub segment: SegmentId,
    /// The lowest sequence number that a record of this segment may have.
    pub base_seq: Seqno,
    /// The time of creation, in milliseconds since 1970.
    pub created_ms: u64,
    /// Bits of features that a reader must know. None are defined.
    pub incompat: u16,
    /// The salt of every record checksum.
    pub salt: u32,
    /// The checksum of this header.
    pub crc: u32,
    /// The header as stored.
    pub bytes: Vec<u8>,
}

/// The totals of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of records with an intact header.
    pub record_count: u64,
    /// The number of live records.
    pub live_count: u64,
    /// The length of live records in bytes.
    pub live_len: u64,
    /// The decompressed length of all compressed values in intact records, in bytes.
    pub raw_len: u64,
    /// The stored length of those values in bytes.
    pub stored_len: u64,
    /// The number of puts that a later record replaced or deleted.
    pub dead_count: u64,
    /// The length of those puts in bytes.
    pub dead_len: u64,
    /// The number of deletes.
    pub tombstone_count: u64,
    /// The length of deletes in bytes.
    pub tombstone_len: u64,
    /// The number of records that are the newest of their key and have expired.
    pub expired_count: u64,
    /// The length of those records in bytes.
    pub expired_len: u64,
    /// The number of damaged records and of stretches without a readable record.
    pub damaged_count: u64,
    /// The length of damaged bytes.
    pub damaged_len: u64,
    /// The length of the torn tail in bytes.
    pub torn_len: u64,
}

/// The kind of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// The segment's header.
    Header,
    /// Live records.
    Live,
    /// Puts that a later record replaced or deleted, and records of kinds that this version skips.
    Dead,
    /// Deletes.
    Tombstone,
    /// Records that have expired.
    Expired,
    /// Damaged bytes.
    Damaged,
    /// The torn tail.
    Torn,
}

/// Adjacent bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The kind of the bytes.
    pub kind: ExtentKind,
    /// The offset of the first byte.
    pub at: u64,
    /// The length in bytes.
    pub len: u64,
}

impl Totals {
    /// Counts a piece of `len` bytes.
    pub(super) fn add(&mut self, kind: ExtentKind, len: u64) {
        let mut no_count = 0;
        let (count, total) = match kind {
            ExtentKind::Header => return,
            ExtentKind::Live => (&mut self.live_count, &mut self.live_len),
            ExtentKind::Dead => (&mut self.dead_count, &mut self.dead_len),
            ExtentKind::Tombstone => (&mut self.tombstone_count, &mut self.tombstone_len),
            ExtentKind::Expired => (&mut self.expired_count, &mut self.expired_len),
            ExtentKind::Damaged => (&mut self.damaged_count, &mut self.damaged_len),
            ExtentKind::Torn => (&mut no_count, &mut self.torn_len),
        };
        *count += 1;
        *total += len;
    }
}
