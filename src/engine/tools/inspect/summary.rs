//! What a segment is as a whole: its role, its header, what its bytes come to.

use crate::engine::base::ids::{SegmentId, Seqno};

/// What a segment file is to its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end of the log, written to by the next writer or by one that has it open.
    Active,
    /// A part of the log that is final.
    Sealed,
    /// MANIFEST does not list it: a leftover, which the next open for writing removes if this store made it.
    Orphan,
    /// MANIFEST cannot be read, so nobody knows.
    Unknown,
}

/// The fields of a segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Format version; another major version is not read.
    pub major: u16,
    /// Format version; any minor version is read.
    pub minor: u16,
    /// Length of this header in bytes.
    pub header_len: u16,
    /// Length of each record's header in bytes.
    pub record_header_len: u16,
    /// The identity of the store.
    pub store: [u8; 16],
    /// The segment.
    pub segment: SegmentId,
    /// The least number that its records may have.
    pub base_seq: Seqno,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Features that a reader must know; none are defined.
    pub incompat: u16,
    /// Mixed into every checksum of its records.
    pub salt: u32,
    /// The header's own checksum.
    pub crc: u32,
    /// The header as it stands in the file.
    pub bytes: Vec<u8>,
}

/// What the bytes of a segment come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records with an intact header.
    pub record_count: u64,
    /// Records that are their key's newest.
    pub live_count: u64,
    /// Bytes of those.
    pub live_len: u64,
    /// The values of intact records that are compressed: their own length, in bytes.
    pub raw_len: u64,
    /// What those values take, in bytes.
    pub stored_len: u64,
    /// Puts that a later record replaced or deleted.
    pub dead_count: u64,
    /// Bytes of those.
    pub dead_len: u64,
    /// Deletes.
    pub tombstone_count: u64,
    /// Bytes of those.
    pub tombstone_len: u64,
    /// Records that are their key's newest, and have expired.
    pub expired_count: u64,
    /// Bytes of those.
    pub expired_len: u64,
    /// Damaged records, and stretches in which no record can be made out.
    pub damaged_count: u64,
    /// Bytes of those.
    pub damaged_len: u64,
    /// Bytes of an unfinished end.
    pub torn_len: u64,
}

/// What a stretch of a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// The segment's header.
    Header,
    /// Records that are their key's newest.
    Live,
    /// Puts that a later record replaced or deleted, and records of kinds that this version skips.
    Dead,
    /// Deletes.
    Tombstone,
    /// Records that have expired.
    Expired,
    /// Bytes that are not as they were written.
    Damaged,
    /// An unfinished end.
    Torn,
}

/// A stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it is.
    pub kind: ExtentKind,
    /// Its first byte.
    pub at: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl Totals {
    /// Counts one piece of `len` bytes.
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
