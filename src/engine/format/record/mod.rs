//! One record: a header, then an optional expiry (a `u64`), the key and the value, each padded with
//! zeros to a multiple of 8. [`layout`](crate::layout) draws it and says what the checksums cover.

pub(crate) mod new;
pub(crate) mod unsalted;

use std::borrow::Cow;

use super::codec::{Codec, Compressed};
use super::layout::{Field, U48, layout, stored_as};
use super::{pad8, u32_at, u64_at};
use crate::engine::base::error::Damage;
use crate::engine::base::ids::Seqno;

/// The length of the header that this version writes, in bytes.
pub(crate) const HEADER_LEN: usize = RecordHeader::LEN;
/// Where its number stands, which is never 0.
pub(crate) const SEQ_AT: usize = RecordHeader::AT.seq;
/// Where the checksummed part starts.
const BODY_AT: usize = SEQ_AT;
const EXPIRY_LEN: u64 = 8;

/// The shortest record: a header and a key of one byte, padded.
pub(crate) const LEN_MIN: u64 = HEADER_LEN as u64 + 8;
/// The longest key, in bytes.
pub const KEY_LEN_MAX: usize = u16::MAX as usize;
/// A lag that says nothing: the record was written this far behind the durable log, or farther.
pub(crate) const LAG_UNKNOWN: u16 = u16::MAX;

/// The record header's fields, in the order they stand in the file.
pub const RECORD_FIELDS: &[Field] = RecordHeader::FIELDS;

/// What a record does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sets it.
    Put,
    /// Removes it: a tombstone.
    Delete,
    /// Something a later version writes and this one may skip (128 to 255).
    Other(u8),
}

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_SKIPPABLE: u8 = 0x80;

impl Kind {
    fn decode(byte: u8) -> Result<Self, Damage> {
        match byte {
            KIND_PUT => Ok(Self::Put),
            KIND_DELETE => Ok(Self::Delete),
            _ if byte & KIND_SKIPPABLE != 0 => Ok(Self::Other(byte)),
            _ => Err(Damage::Field { what: "the record's kind", value: byte.into() }),
        }
    }

    fn encode(self) -> u8 {
        match self {
            Self::Put => KIND_PUT,
            Self::Delete => KIND_DELETE,
            Self::Other(byte) => byte,
        }
    }
}

/// The flag byte. Bits that this version does not know are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

stored_as!(Flags(u8));

impl Flags {
    const HAS_EXPIRY: u8 = 0b0001;
    const CODEC: u8 = 0b0110;
    const MORE: u8 = 0b1000;

    /// Those of a record whose batch goes on in the next one, whose key expires, or whose value is compressed.
    fn new(more: bool, expires: bool, codec: Option<Codec>) -> Self {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let codec = codec.map_or(0, Codec::encode) << Self::CODEC.trailing_zeros();
        Self(flag(more, Self::MORE) | flag(expires, Self::HAS_EXPIRY) | codec)
    }

    /// Whether eight bytes of expiry follow the header.
    pub(crate) fn has_expiry(self) -> bool {
        self.0 & Self::HAS_EXPIRY != 0
    }

    /// Whether the batch goes on in the next record.
    pub(crate) fn has_more(self) -> bool {
        self.0 & Self::MORE != 0
    }

    /// The number of the codec that compressed the value: 0 none, 1 lz4, 2 zstd.
    pub(crate) fn codec_number(self) -> u8 {
        (self.0 & Self::CODEC) >> Self::CODEC.trailing_zeros()
    }

    /// What compressed the value; `None`: nothing.
    pub(crate) fn codec(self) -> Result<Option<Codec>, Damage> {
        Codec::decode(self.codec_number())
    }
}

/// What a segment's header says that its records' bytes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordContext {
    /// Mixed into every checksum.
    pub(crate) salt: u32,
    /// The length of a record's header in this segment; a later version may have made it longer than
    /// [`HEADER_LEN`], and what is added is skipped.
    pub(crate) header_len: u16,
}

impl RecordContext {
    /// What records written by this version need.
    pub(crate) fn current(salt: u32) -> Self {
        Self { salt, header_len: HEADER_LEN as u16 }
    }

    /// CRC-32C over salt, offset and `bytes`.
    fn crc(self, offset: u64, bytes: &[u8]) -> u32 {
        let mut place = [0; 12];
        let (salt, at) = place.split_at_mut(4);
        salt.copy_from_slice(&self.salt.to_le_bytes());
        at.copy_from_slice(&offset.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
    }

    /// The record at `offset` has an intact header in `bytes` (which start there and may end early).
    pub(crate) fn check_header(self, offset: u64, bytes: &[u8]) -> Result<RecordHeader, Damage> {
        let header_len = usize::from(self.header_len);
        let header = bytes
            .get(..header_len)
            .ok_or(Damage::Truncated { wants: self.header_len.into(), has: bytes.len() as u64 })?;
        let stored = u32_at(header, RecordHeader::AT.hcrc);
        let computed = self.crc(offset, header.get(BODY_AT..).unwrap_or_default());
        if stored != computed {
            return Err(Damage::HeaderChecksum { stored, computed });
        }
        let header = RecordHeader::peek(header);
        header.check_fields()?;
        Ok(header)
    }

    /// The checksum that the whole record in `bytes` (exactly the record) should have.
    pub(crate) fn record_crc(self, offset: u64, bytes: &[u8]) -> u32 {
        self.crc(offset, bytes.get(BODY_AT..).unwrap_or_default())
    }

    /// The record at `offset`, whose bytes are exactly `bytes`, is as it was written, and one that could be.
    pub(crate) fn check_record(self, offset: u64, bytes: &[u8]) -> Result<(), Damage> {
        let stored = u32_at(bytes, RecordHeader::AT.rcrc);
        let computed = self.record_crc(offset, bytes);
        if stored != computed {
            return Err(Damage::RecordChecksum { stored, computed });
        }
        // A read comes here without the header's own checksum: a crafted record would show an empty key otherwise.
        RecordHeader::peek(bytes).check_fields()
    }
}

layout! {
    /// The header's fields as they stand in the file, checked or not.
    pub(crate) struct RecordHeader: 32 {
        pub(crate) hcrc: u32,
        pub(crate) rcrc: u32,
        pub(crate) seq: Seqno,
        pub(crate) time_ms: U48,
        pub(crate) lag: u16,
        pub(crate) vlen: u32,
        pub(crate) klen: u16,
        kind: u8,
        pub(crate) flag: Flags,
    }
}

impl RecordHeader {
    /// The fields of `bytes`, unchecked: what they say must not be trusted before a checksum is.
    #[inline]
    pub(crate) fn peek(bytes: &[u8]) -> Self {
        Self::from_bytes(bytes)
    }

    /// The fields hold what a writer can have put there.
    fn check_fields(&self) -> Result<(), Damage> {
        if self.klen == 0 {
            return Err(Damage::Field { what: "the key's length", value: 0 });
        }
        if self.seq >= Seqno::END {
            return Err(Damage::Field { what: "the record's number", value: self.seq.0 });
        }
        Kind::decode(self.kind).map(drop)
    }

    /// What the record does; a kind that no checked header can have reads as one to skip.
    pub(crate) fn kind(&self) -> Kind {
        Kind::decode(self.kind).unwrap_or(Kind::Other(self.kind))
    }

    /// The value of the put in `record`, decompressed if necessary, up to `len_max` bytes.
    pub(crate) fn value<'a>(
        &self,
        frame: &Frame,
        record: &'a [u8],
        len_max: u64,
    ) -> Result<Cow<'a, [u8]>, Damage> {
        let stored = frame.value(record);
        Ok(match self.flag.codec()? {
            Some(codec) if self.kind() == Kind::Put => Cow::Owned(codec.unpack(stored, len_max)?),
            _ => Cow::Borrowed(stored),
        })
    }

    /// What the value in `record` comes to, if it is compressed; nothing where it is not, or nobody knows how.
    pub(crate) fn compressed(&self, frame: &Frame, record: &[u8]) -> Compressed {
        match self.flag.codec() {
            Ok(Some(_)) if self.kind() == Kind::Put => Compressed::of(frame.value(record)),
            _ => Compressed::default(),
        }
    }

    /// Where the parts of the record stand, in a segment whose record headers have `header_len` bytes.
    pub(crate) fn frame(&self, header_len: u16) -> Frame {
        let expiry = if self.flag.has_expiry() { EXPIRY_LEN } else { 0 };
        let key_at = u64::from(header_len).saturating_add(expiry);
        let value_at = key_at.saturating_add(pad8(self.klen.into()));
        let value_len = u64::from(self.vlen);
        Frame {
            expires_at: self.flag.has_expiry().then_some(header_len.into()),
            key_at,
            key_len: self.klen.into(),
            value_at,
            value_len,
            len: value_at.saturating_add(pad8(value_len)),
        }
    }
}

/// Where the parts of a record stand, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    expires_at: Option<u64>,
    pub(crate) key_at: u64,
    pub(crate) key_len: u64,
    pub(crate) value_at: u64,
    pub(crate) value_len: u64,
    /// The whole record with its padding; a multiple of 8.
    pub(crate) len: u64,
}

impl Frame {
    /// The key in the record's bytes; empty where they end before.
    pub(crate) fn key<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        let end = self.key_at.saturating_add(self.key_len);
        record.get(self.key_at as usize..end as usize).unwrap_or_default()
    }

    /// The value in the record's bytes, as stored; empty where they end before.
    pub(crate) fn value<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        let end = self.value_at.saturating_add(self.value_len);
        record.get(self.value_at as usize..end as usize).unwrap_or_default()
    }

    /// When the record expires, in milliseconds since 1970.
    pub(crate) fn expires_ms(&self, record: &[u8]) -> Option<u64> {
        self.expires_at.map(|at| u64_at(record, at as usize))
    }
}

#[cfg(test)]
mod tests;
