//! Records: a header, then an optional expiry (a `u64`), the key and the value, each padded with
//! zeros to a multiple of 8. [`layout`](crate::layout) draws a record and says what the checksums
//! cover.

pub(crate) mod new;
pub(crate) mod unsalted;

use std::borrow::Cow;

use super::codec::{Codec, Compressed};
use super::layout::{Field, U48, layout, stored_as};
use super::{pad8, u32_at, u64_at};
use crate::engine::base::error::Damage;
use crate::engine::base::ids::Seqno;

/// The length in bytes of the header that this code writes.
pub(crate) const HEADER_LEN: usize = RecordHeader::LEN;
/// The offset of the record's number, which is never 0.
pub(crate) const SEQ_AT: usize = RecordHeader::AT.seq;
/// The offset of the part that the checksums cover.
const BODY_AT: usize = SEQ_AT;
pub(crate) const EXPIRY_LEN: u64 = 8;

/// The length in bytes of the shortest record: a header and a padded key of one byte.
pub(crate) const LEN_MIN: u64 = HEADER_LEN as u64 + 8;
/// The maximum length of a key in bytes.
pub const KEY_LEN_MAX: usize = u16::MAX as usize;
/// The lag of a record that was written this far or further ahead of the durable log.
pub(crate) const LAG_UNKNOWN: u16 = u16::MAX;

/// The fields of the record's header, in file order.
pub const RECORD_FIELDS: &[Field] = RecordHeader::FIELDS;

/// The effect of a record on its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sets the key.
    Put,
    /// Removes the key: the record is a tombstone.
    Delete,
    /// An operation of a later version, which this version skips (128 to 255).
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

/// The flags of a record. Unknown bits are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

stored_as!(Flags(u8));

impl Flags {
    const HAS_EXPIRY: u8 = 0b0001;
    const CODEC: u8 = 0b0110;
    const MORE: u8 = 0b1000;

    /// Returns the flags of a record: `more` if its batch continues, `expires` if its key expires.
    fn new(more: bool, expires: bool, codec: Option<Codec>) -> Self {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let codec = codec.map_or(0, Codec::encode) << Self::CODEC.trailing_zeros();
        Self(flag(more, Self::MORE) | flag(expires, Self::HAS_EXPIRY) | codec)
    }

    /// Returns whether an expiry follows the header.
    pub(crate) fn has_expiry(self) -> bool {
        self.0 & Self::HAS_EXPIRY != 0
    }

    /// Returns whether the batch continues in the next record.
    pub(crate) fn has_more(self) -> bool {
        self.0 & Self::MORE != 0
    }

    /// Returns the number of the value's codec: 0 none, 1 lz4, 2 zstd.
    pub(crate) fn codec_number(self) -> u8 {
        (self.0 & Self::CODEC) >> Self::CODEC.trailing_zeros()
    }

    /// Returns the codec of the value, or `None` if it is not compressed.
    pub(crate) fn codec(self) -> Result<Option<Codec>, Damage> {
        Codec::decode(self.codec_number())
    }
}

/// The parameters of a segment on which the bytes of its records depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordContext {
    /// The salt of every checksum.
    pub(crate) salt: u32,
    /// The length of the records' headers. A later version may have made them longer than
    /// [`HEADER_LEN`]; the additional bytes are skipped.
    pub(crate) header_len: u16,
}

impl RecordContext {
    /// Returns the parameters of records that this code writes.
    pub(crate) fn current(salt: u32) -> Self {
        Self { salt, header_len: HEADER_LEN as u16 }
    }

    /// Returns the CRC-32C of salt, offset and `bytes`.
    fn crc(self, offset: u64, bytes: &[u8]) -> u32 {
        let mut place = [0; 12];
        let (salt, at) = place.split_at_mut(4);
        salt.copy_from_slice(&self.salt.to_le_bytes());
        at.copy_from_slice(&offset.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
    }

    /// Checks the header of the record at `offset`. `bytes` start there and may end early.
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

    /// Returns the right checksum of the record in `bytes`, which hold exactly the record.
    pub(crate) fn record_crc(self, offset: u64, bytes: &[u8]) -> u32 {
        self.crc(offset, bytes.get(BODY_AT..).unwrap_or_default())
    }

    /// Checks the record at `offset`. `bytes` hold exactly the record.
    pub(crate) fn check_record(self, offset: u64, bytes: &[u8]) -> Result<(), Damage> {
        let stored = u32_at(bytes, RecordHeader::AT.rcrc);
        let computed = self.record_crc(offset, bytes);
        if stored != computed {
            return Err(Damage::RecordChecksum { stored, computed });
        }
        // A read does not check the header's own checksum. Without this check, a crafted record
        // could show an empty key.
        RecordHeader::peek(bytes).check_fields()
    }
}

layout! {
    /// The fields of the header, checked or not.
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
    /// Returns the unchecked fields of `bytes`. The caller trusts them only after a checksum.
    #[inline]
    pub(crate) fn peek(bytes: &[u8]) -> Self {
        Self::from_bytes(bytes)
    }

    /// Checks that a writer can have written these fields.
    fn check_fields(&self) -> Result<(), Damage> {
        if self.klen == 0 {
            return Err(Damage::Field { what: "the key's length", value: 0 });
        }
        if self.seq >= Seqno::END {
            return Err(Damage::Field { what: "the record's number", value: self.seq.0 });
        }
        Kind::decode(self.kind).map(drop)
    }

    /// Returns the record's kind. An impossible kind, which no checked header has, reads as one to
    /// skip.
    pub(crate) fn kind(&self) -> Kind {
        Kind::decode(self.kind).unwrap_or(Kind::Other(self.kind))
    }

    /// Returns the value of the put in `record`, decompressed if necessary, up to `len_max` bytes.
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

    /// Returns the lengths of the value in `record`; zeros if it is not compressed or its codec is
    /// unknown.
    pub(crate) fn compressed(&self, frame: &Frame, record: &[u8]) -> Compressed {
        match self.flag.codec() {
            Ok(Some(_)) if self.kind() == Kind::Put => Compressed::of(frame.value(record)),
            _ => Compressed::default(),
        }
    }

    /// Returns the positions of the record's parts. The segment's record headers have `header_len`
    /// bytes.
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

/// The positions of a record's parts, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    expires_at: Option<u64>,
    pub(crate) key_at: u64,
    pub(crate) key_len: u64,
    pub(crate) value_at: u64,
    pub(crate) value_len: u64,
    /// The length of the record with its padding, a multiple of 8.
    pub(crate) len: u64,
}

impl Frame {
    /// Returns the key, or no bytes if `record` ends before.
    pub(crate) fn key<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        let end = self.key_at.saturating_add(self.key_len);
        record.get(self.key_at as usize..end as usize).unwrap_or_default()
    }

    /// Returns the stored value, or no bytes if `record` ends before.
    pub(crate) fn value<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        let end = self.value_at.saturating_add(self.value_len);
        record.get(self.value_at as usize..end as usize).unwrap_or_default()
    }

    /// Returns the record's expiry, in milliseconds since 1970.
    pub(crate) fn expires_ms(&self, record: &[u8]) -> Option<u64> {
        self.expires_at.map(|at| u64_at(record, at as usize))
    }
}

#[cfg(test)]
mod tests;
