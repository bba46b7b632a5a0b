//! The 64 bytes at the start of a segment.
//!
//! ```text
//!  0                8     10    12          14                 16            32           40         48           54        56     60     64
//!  | LOGKVSEG       |major|minor|header_len |record_header_len | store id    | segment id | base_seq | created_ms |incompat | salt | crc  |
//!  | 8 bytes        | u16 | u16 | u16       | u16              | 16 bytes    | u64        | u64      | u48        | u16     | u32  | u32  |
//! ```
//!
//! `crc` is the CRC-32C of all other bytes up to `header_len`. A later minor version may make the header or the
//! records' headers longer; older readers skip what they do not know. A major version or a bit of `incompat` that
//! is not known makes a reader refuse the segment.

use super::record::{self, RecordContext};
use super::{Field, array, put, u16_at, u32_at, u48_at, u48_bytes, u64_at};
use crate::engine::base::error::Damage;
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};

const MAGIC: [u8; 8] = *b"LOGKVSEG";
const MAGIC_AT: usize = 0;
const MAJOR_AT: usize = MAGIC_AT + MAGIC.len();
const MINOR_AT: usize = MAJOR_AT + size_of::<u16>();
const HEADER_LEN_AT: usize = MINOR_AT + size_of::<u16>();
const RECORD_HEADER_LEN_AT: usize = HEADER_LEN_AT + size_of::<u16>();
const STORE_AT: usize = RECORD_HEADER_LEN_AT + size_of::<u16>();
const SEGMENT_AT: usize = STORE_AT + 16;
const BASE_SEQ_AT: usize = SEGMENT_AT + size_of::<u64>();
const CREATED_AT: usize = BASE_SEQ_AT + size_of::<u64>();
const INCOMPAT_AT: usize = CREATED_AT + 6;
const SALT_AT: usize = INCOMPAT_AT + size_of::<u16>();
const CRC_AT: usize = SALT_AT + size_of::<u32>();
/// The length of the header that this version writes, in bytes.
pub(crate) const HEADER_LEN: usize = CRC_AT + size_of::<u32>();
// The layout is stored on disk. If this fails, bump the format version.
const _: () = assert!(HEADER_LEN == 64);

/// The maximum length of a segment, in bytes.
pub(crate) const SEGMENT_LEN_MAX: u64 = (4 << 30) - 8;

/// The format version that this version of logkv writes.
pub(crate) const MAJOR: u16 = 1;
pub(crate) const MINOR: u16 = 0;
/// Longest header that is believed, of a segment and of a record: longer ones only come from damage.
const LEN_MAX: u16 = 4096;

/// The segment header's fields, in the order they stand in the file.
pub const SEGMENT_FIELDS: &[Field] = &[
    Field { name: "magic", at: MAGIC_AT, len: 8 },
    Field { name: "major", at: MAJOR_AT, len: 2 },
    Field { name: "minor", at: MINOR_AT, len: 2 },
    Field { name: "header_len", at: HEADER_LEN_AT, len: 2 },
    Field { name: "record_header_len", at: RECORD_HEADER_LEN_AT, len: 2 },
    Field { name: "store", at: STORE_AT, len: 16 },
    Field { name: "segment", at: SEGMENT_AT, len: 8 },
    Field { name: "base_seq", at: BASE_SEQ_AT, len: 8 },
    Field { name: "created_ms", at: CREATED_AT, len: 6 },
    Field { name: "incompat", at: INCOMPAT_AT, len: 2 },
    Field { name: "salt", at: SALT_AT, len: 4 },
    Field { name: "crc", at: CRC_AT, len: 4 },
];

/// The identity of a store, made at random when it is created; every segment carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

impl Lineage {
    /// The first lineage of a store.
    pub(crate) fn first_of(StoreId(id): StoreId) -> Self {
        Self(u64::from_be_bytes(array(&id, 0)))
    }
}

/// Where a segment's records start and how they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The offset of the first record.
    pub(crate) header_len: u16,
    /// What the records' bytes depend on.
    pub(crate) records: RecordContext,
}

impl Layout {
    /// The layout that this version writes.
    pub(crate) fn current(salt: u32) -> Self {
        Self { header_len: HEADER_LEN as u16, records: RecordContext::current(salt) }
    }

    /// Whether both lengths are ones that a header may have.
    pub(crate) fn is_sane(&self) -> bool {
        let sane = |len: u16, min: usize| usize::from(len) >= min && len <= LEN_MAX && len.is_multiple_of(8);
        sane(self.header_len, HEADER_LEN) && sane(self.records.header_len, record::HEADER_LEN)
    }
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) layout: Layout,
    pub(crate) store: StoreId,
    pub(crate) segment: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) created_ms: u64,
    pub(crate) incompat: u16,
    pub(crate) crc: u32,
}

/// Why a header was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Its bytes are not as they were written.
    Damaged(Damage),
    /// It is intact, and of a format that this version must not read.
    Unsupported(String),
}

impl SegmentHeader {
    /// The header of a new segment.
    pub(crate) fn new(
        store: StoreId,
        segment: SegmentId,
        base_seq: Seqno,
        salt: u32,
        created_ms: u64,
    ) -> Self {
        let layout = Layout::current(salt);
        Self { major: MAJOR, minor: MINOR, layout, store, segment, base_seq, created_ms, incompat: 0, crc: 0 }
    }

    /// Whose it is, if not of segment `segment` of `store`.
    pub(crate) fn unlike(&self, store: StoreId, segment: SegmentId) -> Option<Damage> {
        match (self.store == store, self.segment == segment) {
            (true, true) => None,
            (true, false) => Some(Damage::Foreign(format!("segment {}", self.segment))),
            (false, _) => Some(Damage::Foreign("another store".to_owned())),
        }
    }

    /// The header's bytes, checksum included.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut set = |at: usize, field: &[u8]| put(&mut bytes, at, field);
        set(MAGIC_AT, &MAGIC);
        set(MAJOR_AT, &self.major.to_le_bytes());
        set(MINOR_AT, &self.minor.to_le_bytes());
        set(HEADER_LEN_AT, &self.layout.header_len.to_le_bytes());
        set(RECORD_HEADER_LEN_AT, &self.layout.records.header_len.to_le_bytes());
        set(STORE_AT, &self.store.0);
        set(SEGMENT_AT, &self.segment.0.to_le_bytes());
        set(BASE_SEQ_AT, &self.base_seq.0.to_le_bytes());
        set(CREATED_AT, &u48_bytes(self.created_ms));
        set(INCOMPAT_AT, &self.incompat.to_le_bytes());
        set(SALT_AT, &self.layout.records.salt.to_le_bytes());
        let crc = checksum(&bytes);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, which may go on behind it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = Self::peek(bytes).map_err(HeaderError::Damaged)?;
        // The checksum says first whether the version can be believed.
        let len = usize::from(header.layout.header_len);
        let known = bytes
            .get(..len.max(HEADER_LEN))
            .ok_or(HeaderError::Damaged(Damage::Truncated { wants: len as u64, has: bytes.len() as u64 }))?;
        let computed = checksum(known);
        if header.crc != computed {
            return Err(HeaderError::Damaged(Damage::HeaderChecksum { stored: header.crc, computed }));
        }
        header.check_version()?;
        if !header.layout.is_sane() {
            let value =
                u64::from(header.layout.header_len) << 16 | u64::from(header.layout.records.header_len);
            return Err(HeaderError::Damaged(Damage::Field { what: "the header lengths", value }));
        }
        Ok(header)
    }

    /// The fields as they stand, unchecked but for the magic.
    pub(crate) fn peek(bytes: &[u8]) -> Result<Self, Damage> {
        if bytes.len() < HEADER_LEN {
            return Err(Damage::Truncated { wants: HEADER_LEN as u64, has: bytes.len() as u64 });
        }
        if array(bytes, MAGIC_AT) != MAGIC {
            return Err(Damage::Magic);
        }
        let records =
            RecordContext { salt: u32_at(bytes, SALT_AT), header_len: u16_at(bytes, RECORD_HEADER_LEN_AT) };
        Ok(Self {
            major: u16_at(bytes, MAJOR_AT),
            minor: u16_at(bytes, MINOR_AT),
            layout: Layout { header_len: u16_at(bytes, HEADER_LEN_AT), records },
            store: StoreId(array(bytes, STORE_AT)),
            segment: SegmentId(u64_at(bytes, SEGMENT_AT)),
            base_seq: Seqno(u64_at(bytes, BASE_SEQ_AT)),
            created_ms: u48_at(bytes, CREATED_AT),
            incompat: u16_at(bytes, INCOMPAT_AT),
            crc: u32_at(bytes, CRC_AT),
        })
    }

    fn check_version(&self) -> Result<(), HeaderError> {
        if self.major != MAJOR {
            return Err(HeaderError::Unsupported(format!("{}.{}", self.major, self.minor)));
        }
        if self.incompat != 0 {
            let found = format!("{}.{} with feature bits {:#06x}", self.major, self.minor, self.incompat);
            return Err(HeaderError::Unsupported(found));
        }
        Ok(())
    }
}

/// Whether `bytes` can be the start of a segment of `store`: whole or cut short, its first fields are a segment's.
pub(crate) fn may_start(bytes: &[u8], store: StoreId) -> bool {
    let agrees = |at: usize, field: &[u8]| bytes.iter().skip(at).zip(field).all(|(a, b)| a == b);
    agrees(MAGIC_AT, &MAGIC) && agrees(STORE_AT, &store.0)
}

/// CRC-32C of the header but for its own four bytes.
fn checksum(header: &[u8]) -> u32 {
    let before = header.get(..CRC_AT).unwrap_or_default();
    let after = header.get(HEADER_LEN..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(before), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader::new(
            StoreId(*b"0123456789abcdef"),
            SegmentId(3),
            Seqno(42),
            0xdead_beef,
            1_700_000_000_123,
        )
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let decoded = SegmentHeader::decode(&header().encode()).expect("a header just made");
        assert_eq!(SegmentHeader { crc: 0, ..decoded }, header());
    }

    #[test]
    fn the_fields_follow_each_other_without_a_gap() {
        let mut at = 0;
        for field in SEGMENT_FIELDS {
            assert_eq!(field.at, at, "{}", field.name);
            at += field.len;
        }
        assert_eq!(at, HEADER_LEN);
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_is_refused() {
        let bytes = header().encode();
        for len in 0..HEADER_LEN {
            assert!(SegmentHeader::decode(&bytes[..len]).is_err(), "prefix of {len}");
        }
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let refused = SegmentHeader::decode(&damaged);
            assert!(matches!(refused, Err(HeaderError::Damaged(_))), "bit {bit}: {refused:?}");
        }
    }

    #[test]
    fn an_unknown_minor_is_read_and_an_unknown_major_or_feature_is_refused_by_name() {
        let minor = SegmentHeader { minor: 9, ..header() };
        assert_eq!(SegmentHeader::decode(&minor.encode()).map(|h| h.minor), Ok(9));
        let major = SegmentHeader { major: 2, ..header() };
        assert_eq!(SegmentHeader::decode(&major.encode()), Err(HeaderError::Unsupported("2.0".into())));
        let feature = SegmentHeader { incompat: 4, ..header() };
        let refused = SegmentHeader::decode(&feature.encode());
        assert_eq!(refused, Err(HeaderError::Unsupported("1.0 with feature bits 0x0004".into())));
    }

    #[test]
    fn a_longer_header_is_read_and_its_new_bytes_are_checked() {
        let mut longer = header();
        longer.layout.header_len = 72;
        let mut bytes = longer.encode().to_vec();
        bytes.extend_from_slice(b"newfield");
        let crc = checksum(&bytes);
        bytes[CRC_AT..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes).map(|h| h.layout.header_len), Ok(72));
        bytes[70] ^= 1;
        assert!(SegmentHeader::decode(&bytes).is_err());
    }
}
