//! Encoding of records.

use super::{BODY_AT, EXPIRY_LEN, Flags, HEADER_LEN, Kind, RecordContext, RecordHeader};
use crate::engine::base::ids::Seqno;
use crate::engine::format::codec::Codec;
use crate::engine::format::{pad8, put};

/// A record to be encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) seq: Seqno,
    pub(crate) time_ms: u64,
    pub(crate) lag: u16,
    pub(crate) kind: Kind,
    pub(crate) more: bool,
    /// The expiry, in milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) key: &'a [u8],
    /// The value as it is stored.
    pub(crate) value: &'a [u8],
    /// The codec that compressed the value.
    pub(crate) codec: Option<Codec>,
}

/// Returns the length in bytes of a record with a key and a value of these lengths.
pub(crate) fn encoded_len(key_len: usize, value_len: usize, expires: bool) -> u64 {
    let expiry_len = if expires { EXPIRY_LEN } else { 0 };
    let head_len = (HEADER_LEN as u64).saturating_add(expiry_len);
    head_len.saturating_add(pad8(key_len as u64)).saturating_add(pad8(value_len as u64))
}

impl NewRecord<'_> {
    /// Appends the record to `out`, encoded for `offset` in a segment with this salt. The caller
    /// has checked the lengths of key and value.
    pub(crate) fn encode(&self, salt: u32, offset: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let header = RecordHeader {
            hcrc: 0,
            rcrc: 0,
            seq: self.seq,
            time_ms: self.time_ms,
            lag: self.lag,
            vlen: self.value.len() as u32,
            klen: self.key.len() as u16,
            kind: self.kind.encode(),
            flag: Flags::new(self.more, self.expires_ms.is_some(), self.codec),
        };
        let header = header.to_bytes();
        let context = RecordContext::current(salt);
        let hcrc = context.crc(offset, header.get(BODY_AT..).unwrap_or_default());
        out.extend_from_slice(&header);
        out.extend(self.expires_ms.into_iter().flat_map(u64::to_le_bytes));
        for part in [self.key, self.value] {
            out.extend_from_slice(part);
            let padding = (pad8(part.len() as u64) as usize).saturating_sub(part.len());
            out.extend_from_slice([0; 8].get(..padding).unwrap_or_default());
        }
        let rcrc = context.record_crc(offset, out.get(start..).unwrap_or_default());
        if let Some(record) = out.get_mut(start..) {
            put_checksums(record, hcrc, rcrc);
        }
    }
}

/// Clears the MORE flag of `record`, exactly the record at `offset`, and updates its checksums.
pub(crate) fn clear_more(context: RecordContext, offset: u64, record: &mut [u8]) {
    let flags = RecordHeader::peek(record).flag.0 & !Flags::MORE;
    put(record, RecordHeader::AT.flag, &[flags]);
    let header = record.get(BODY_AT..context.header_len.into()).unwrap_or_default();
    let hcrc = context.crc(offset, header);
    let rcrc = context.record_crc(offset, record);
    put_checksums(record, hcrc, rcrc);
}

fn put_checksums(record: &mut [u8], hcrc: u32, rcrc: u32) {
    put(record, RecordHeader::AT.hcrc, &hcrc.to_le_bytes());
    put(record, RecordHeader::AT.rcrc, &rcrc.to_le_bytes());
}
