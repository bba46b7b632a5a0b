//! What an inspection gives: records with all their fields, and what is no record.

use std::borrow::Cow;
use std::sync::Arc;

use super::fates::Fate;
use crate::engine::base::error::{Damage, Result};
use crate::engine::base::ids::{Location, Seqno};
use crate::engine::format::codec::Codec;
use crate::engine::format::record::Kind;
use crate::engine::segment::value::Value;
use crate::engine::segment::{RawRecord, Segment};

/// One stretch of a segment.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record whose header is intact.
    Record(Box<RecordItem>),
    /// Bytes in which no record can be made out.
    Damaged {
        /// The first of them.
        at: u64,
        /// How many.
        len: u64,
        /// What is wrong with the first.
        damage: Damage,
        /// Where the next intact record starts.
        next: Option<u64>,
    },
    /// The unfinished end of the log, which the next open for writing cuts off.
    Torn {
        /// Where the file is cut.
        at: u64,
        /// How many bytes go.
        len: u64,
        /// Why they are no whole batch.
        damage: Damage,
        /// Whole records of an unfinished batch that they begin with.
        records: u64,
        /// Intact records behind the first bad place, which `repair` keeps.
        behind: u64,
    },
}

/// A record with all its fields.
#[derive(Clone, Debug)]
pub struct RecordItem {
    /// Its position in the segment, counted from 0.
    pub index: u64,
    /// Where it stands.
    pub location: Location,
    /// What it takes in bytes, padding included.
    pub len: u64,
    /// What it does.
    pub kind: Kind,
    /// The flag byte as it stands.
    pub flags: u8,
    /// Whether its batch goes on in the next record.
    pub more: bool,
    /// How the value is compressed: 0 not at all, 1 lz4, 2 zstd.
    pub codec: u8,
    /// Its number.
    pub seq: Seqno,
    /// How far the durable log was behind it when it was written; 65,535: that far or farther.
    pub lag: u16,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: u64,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// The key.
    pub key: Value,
    /// The value, or its stored bytes if it does not decompress or is larger than
    /// [`Options::value_read_max`](crate::Options::value_read_max).
    pub value: Value,
    is_compressed: bool,
    /// The value's bytes as they stand in the file.
    pub stored: Value,
    /// The header's checksum, which is right.
    pub stored_hcrc: u32,
    /// The record's checksum as stored.
    pub stored_rcrc: u32,
    /// The record's checksum as its bytes give it.
    pub computed_rcrc: u32,
    /// What is wrong with it.
    pub damage: Option<Damage>,
    /// Why it is there.
    pub fate: Fate,
    /// The header's length in bytes.
    pub header_len: u64,
    /// Where the key starts, in bytes from the record's start.
    pub key_at: u64,
    /// Where the value starts, in bytes from the record's start.
    pub value_at: u64,
    /// The whole record as it stands in the file.
    pub bytes: Value,
}

impl RecordItem {
    /// Whether [`RecordItem::value`] was decompressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// What compressed the value; `None`: nothing, or what this version does not know.
    #[must_use]
    pub fn codec_name(&self) -> Option<&'static str> {
        Codec::decode(self.codec).ok().flatten().map(Codec::name)
    }

    /// Reads the record at `at`, which is record number `index` of `segment`.
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
