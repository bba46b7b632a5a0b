//! The items of an inspection: records with all their fields, damaged stretches and the torn tail.

use std::borrow::Cow;
use std::sync::Arc;

use super::fates::Fate;
use crate::engine::base::error::{Damage, Result};
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::format::codec::Codec;
use crate::engine::format::record::Kind;
use crate::engine::segment::value::Value;
use crate::engine::segment::{RawRecord, Segment};

/// One item of a segment.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record with an intact header.
    Record(Box<RecordItem>),
    /// Bytes that hold no readable record.
    Damaged {
        /// The offset of the first byte.
        at: u64,
        /// The length in bytes.
        len: u64,
        /// The damage at the first byte.
        damage: Damage,
        /// The offset of the next intact record header, or `None` if none follows.
        next: Option<u64>,
    },
    /// The torn tail of the log. The next open for writing cuts it off.
    Torn {
        /// The offset at which the file is cut.
        at: u64,
        /// The length in bytes.
        len: u64,
        /// The reason why these bytes are no complete batch.
        damage: Damage,
        /// The number of intact records of an unfinished batch at the start of these bytes.
        records: u64,
        /// The number of intact records after the first damage. `repair` keeps them.
        behind: u64,
    },
}

/// A record with all its fields.
#[derive(Clone, Debug)]
pub struct RecordItem {
    /// The position in the segment, counted from 0.
    pub index: u64,
    /// The location of the record.
    pub location: Location,
    /// The length in bytes, including padding.
    pub len: u64,
    /// The kind of record: put, delete, or a kind that this version skips.
    pub kind: Kind,
    /// The flag byte as stored.
    pub flags: u8,
    /// Whether the next record belongs to the same batch.
    pub more: bool,
    /// The compression of the value as stored: 0 none, 1 lz4, 2 zstd.
    pub codec: u8,
    /// The sequence number.
    pub seq: Seqno,
    /// The distance in sequence numbers from the last record that was durable at the time of the
    /// write. 65,535 means that far or farther.
    pub lag: u16,
    /// The time of the write, in milliseconds since 1970.
    pub time_ms: u64,
    /// The time of expiry, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// The key.
    pub key: Value,
    /// The value, or its stored bytes if it does not decompress or is larger than
    /// [`Options::value_read_max`](crate::Options::value_read_max).
    pub value: Value,
    is_compressed: bool,
    /// The value as stored.
    pub stored: Value,
    /// The checksum of the header. It is always correct.
    pub stored_hcrc: u32,
    /// The checksum of the record as stored.
    pub stored_rcrc: u32,
    /// The checksum of the record as computed from its bytes.
    pub computed_rcrc: u32,
    /// The damage of the record, if any.
    pub damage: Option<Damage>,
    /// Whether the record is live, and if not, which record superseded it.
    pub fate: Fate,
    /// The length of the header in bytes.
    pub header_len: u64,
    /// The offset of the key from the start of the record, in bytes.
    pub key_at: u64,
    /// The offset of the value from the start of the record, in bytes.
    pub value_at: u64,
    /// The whole record as stored.
    pub bytes: Value,
}

impl RecordItem {
    /// Returns whether [`RecordItem::value`] was decompressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Returns the name of the value's compression. `None` if the value is not compressed, or this
    /// version does not know the codec.
    #[must_use]
    pub fn codec_name(&self) -> Option<&'static str> {
        Codec::decode(self.codec).ok().flatten().map(Codec::name)
    }

    /// Reads the record at `at`, which has position `index` in `segment`.
    pub(super) fn read(
        segment: &Segment,
        at: u64,
        index: u64,
        damage: Option<Damage>,
        fate: Fate,
    ) -> Result<Self> {
        let RawRecord { header, frame, bytes } = segment.read_unchecked(at)?;
        let bytes = Arc::new(bytes);
        let part = |at: u64, len: u64| Value::owned(Arc::clone(&bytes), at as usize..(at + len) as usize);
        let stored = part(frame.value_at, frame.value_len);
        let raw = match damage.is_none().then(|| segment.value_of(&header, &bytes)) {
            Some(Ok(Cow::Owned(raw))) => Some(Value::of(raw)),
            _ => None,
        };
        Ok(Self {
            index,
            location: segment.location(at),
            len: frame.len,
            kind: header.kind(),
            flags: header.flag.0,
            more: header.flag.has_more(),
            codec: header.flag.codec_number(),
            seq: header.seq,
            lag: header.lag,
            time_ms: header.time_ms,
            expires_ms: frame.expires_ms(&bytes),
            key: part(frame.key_at, frame.key_len),
            is_compressed: raw.is_some(),
            value: raw.unwrap_or_else(|| stored.clone()),
            stored,
            stored_hcrc: header.hcrc,
            stored_rcrc: header.rcrc,
            computed_rcrc: segment.layout.records.record_crc(at, &bytes),
            damage,
            fate,
            header_len: segment.layout.records.header_len.into(),
            key_at: frame.key_at,
            value_at: frame.value_at,
            bytes: part(0, frame.len),
        })
    }
}
