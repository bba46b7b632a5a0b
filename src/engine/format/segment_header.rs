//! The header of a segment: its first 64 bytes. [`layout`](crate::layout) draws them.
//!
//! `crc` is the CRC-32C of all other bytes up to `header_len`. A later minor version may have a
//! longer header, or longer headers of records; older readers skip the fields that they do not
//! know. A reader refuses a segment with an unknown major version or an unknown bit in `incompat`.

use super::layout::{Field, U48, layout, stored_as};
use super::record::{self, RecordContext};
use super::{array, put};
use crate::engine::base::error::Damage;
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};

const MAGIC: [u8; 8] = *b"LOGKVSEG";
/// The length in bytes of the header that this code writes.
pub(crate) const HEADER_LEN: usize = SegmentHeader::LEN;

/// The maximum length of a segment in bytes.
pub(crate) const SEGMENT_LEN_MAX: u64 = (4 << 30) - 8;

/// The format version that this code writes.
pub(crate) const MAJOR: u16 = 1;
pub(crate) const MINOR: u16 = 0;
/// The longest header, of a segment or a record, that a reader accepts. A longer one is damage.
const LEN_MAX: u16 = 4096;

/// The fields of the segment's header, in file order.
pub const SEGMENT_FIELDS: &[Field] = SegmentHeader::FIELDS;

/// The identity of a store: random bytes from its creation. Every segment carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

stored_as!(StoreId([u8; 16]) SegmentId(u64) Seqno(u64));

impl Lineage {
    /// Returns the first lineage of a store.
    pub(crate) fn first_of(StoreId(id): StoreId) -> Self {
        Self(u64::from_be_bytes(array(&id, 0)))
    }
}

/// The header lengths of a segment, and the salt of its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The offset of the first record.
    pub(crate) header_len: u16,
    /// The parameters of the records' bytes.
    pub(crate) records: RecordContext,
}

impl Layout {
    /// Returns the layout that this code writes.
    pub(crate) fn current(salt: u32) -> Self {
        Self { header_len: HEADER_LEN as u16, records: RecordContext::current(salt) }
    }

    /// Returns whether both header lengths are possible.
    pub(crate) fn is_sane(&self) -> bool {
        let sane = |len: u16, min: usize| usize::from(len) >= min && len <= LEN_MAX && len.is_multiple_of(8);
        sane(self.header_len, HEADER_LEN) && sane(self.records.header_len, record::HEADER_LEN)
    }
}

layout! {
    /// The header of a segment.
    pub(crate) struct SegmentHeader: 64 {
        magic: [u8; 8],
        pub(crate) major: u16,
        pub(crate) minor: u16,
        pub(crate) header_len: u16,
        pub(crate) record_header_len: u16,
        pub(crate) store: StoreId,
        pub(crate) segment: SegmentId,
        pub(crate) base_seq: Seqno,
        pub(crate) created_ms: U48,
        pub(crate) incompat: u16,
        pub(crate) salt: u32,
        pub(crate) crc: u32,
    }
}

/// Why a header was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Its bytes are damaged.
    Damaged(Damage),
    /// It is intact, but has a format that this version does not support.
    Unsupported(String),
}

impl SegmentHeader {
    /// Returns the header of a new segment.
    pub(crate) fn new(
        store: StoreId,
        segment: SegmentId,
        base_seq: Seqno,
        salt: u32,
        created_ms: u64,
    ) -> Self {
        Self {
            magic: MAGIC,
            major: MAJOR,
            minor: MINOR,
            header_len: HEADER_LEN as u16,
            record_header_len: record::HEADER_LEN as u16,
            store,
            segment,
            base_seq,
            created_ms,
            incompat: 0,
            salt,
            crc: 0,
        }
    }

    /// Returns the segment's layout.
    pub(crate) fn layout(&self) -> Layout {
        let records = RecordContext { salt: self.salt, header_len: self.record_header_len };
        Layout { header_len: self.header_len, records }
    }

    /// Returns the damage if this is not the header of segment `segment` of `store`.
    pub(crate) fn unlike(&self, store: StoreId, segment: SegmentId) -> Option<Damage> {
        match (self.store == store, self.segment == segment) {
            (true, true) => None,
            (true, false) => Some(Damage::Foreign(format!("segment {}", self.segment))),
            (false, _) => Some(Damage::Foreign("another store".to_owned())),
        }
    }

    /// Encodes the header with its checksum.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = self.to_bytes();
        let crc = checksum(&bytes);
        put(&mut bytes, Self::AT.crc, &crc.to_le_bytes());
        bytes
    }

    /// Decodes the header at the start of `bytes`, which may be longer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = Self::peek(bytes).map_err(HeaderError::Damaged)?;
        // The checksum comes first. If it is wrong, the version means nothing.
        let len = usize::from(header.header_len);
        let known = bytes
            .get(..len.max(HEADER_LEN))
            .ok_or(HeaderError::Damaged(Damage::Truncated { wants: len as u64, has: bytes.len() as u64 }))?;
        let computed = checksum(known);
        if header.crc != computed {
            return Err(HeaderError::Damaged(Damage::HeaderChecksum { stored: header.crc, computed }));
        }
        header.check_version()?;
        if !header.layout().is_sane() {
            let value = u64::from(header.header_len) << 16 | u64::from(header.record_header_len);
            return Err(HeaderError::Damaged(Damage::Field { what: "the header lengths", value }));
        }
        Ok(header)
    }

    /// Returns the unchecked fields, if the magic is right.
    pub(crate) fn peek(bytes: &[u8]) -> Result<Self, Damage> {
        if bytes.len() < HEADER_LEN {
            return Err(Damage::Truncated { wants: HEADER_LEN as u64, has: bytes.len() as u64 });
        }
        let header = Self::from_bytes(bytes);
        if header.magic == MAGIC { Ok(header) } else { Err(Damage::Magic) }
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

/// Returns whether `bytes`, which may be cut short, can be the start of a segment of `store`.
pub(crate) fn may_start(bytes: &[u8], store: StoreId) -> bool {
    let agrees = |at: usize, field: &[u8]| bytes.iter().skip(at).zip(field).all(|(a, b)| a == b);
    agrees(SegmentHeader::AT.magic, &MAGIC) && agrees(SegmentHeader::AT.store, &store.0)
}

/// Returns the CRC-32C of the header without its own four bytes.
fn checksum(header: &[u8]) -> u32 {
    let before = header.get(..SegmentHeader::AT.crc).unwrap_or_default();
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
    fn a_header_decodes_to_itself() {
        let decoded = SegmentHeader::decode(&header().encode()).expect("a header just made");
        assert_eq!(SegmentHeader { crc: 0, ..decoded }, header());
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
        longer.header_len = 72;
        let mut bytes = longer.encode().to_vec();
        bytes.extend_from_slice(b"newfield");
        let crc = checksum(&bytes);
        bytes[SegmentHeader::AT.crc..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes).map(|h| h.header_len), Ok(72));
        bytes[70] ^= 1;
        assert!(SegmentHeader::decode(&bytes).is_err());
    }
}
