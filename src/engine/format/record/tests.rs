//! Records encoded and decoded, cut, flipped, moved and malformed.

use super::new::{NewRecord, clear_more, encoded_len};
use super::*;
use proptest::prelude::*;

const SALT: u32 = 0x5a17_5a17;
const AT: u64 = 4096;

fn encoded(key: &[u8], value: &[u8]) -> Vec<u8> {
    encoded_until(None, key, value)
}

fn encoded_until(expires_ms: Option<u64>, key: &[u8], value: &[u8]) -> Vec<u8> {
    let (seq, time_ms) = (Seqno(7), 1_700_000_000_123);
    let mut out = Vec::new();
    NewRecord { seq, time_ms, lag: 3, kind: Kind::Put, more: true, expires_ms, key, value, codec: None }
        .encode(SALT, AT, &mut out);
    out
}

/// Reads `bytes` at `offset`. Returns the key and the value if both checksums are right.
fn read(context: RecordContext, offset: u64, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Damage> {
    let frame = context.check_header(offset, bytes)?.frame(context.header_len);
    let record = bytes
        .get(..frame.len as usize)
        .ok_or(Damage::Truncated { wants: frame.len, has: bytes.len() as u64 })?;
    context.check_record(offset, record)?;
    Ok((frame.key(record).to_vec(), frame.value(record).to_vec()))
}

#[test]
fn every_prefix_of_a_record_is_refused() {
    let bytes = encoded(b"a key", b"and its value");
    for len in 0..bytes.len() {
        assert!(read(RecordContext::current(SALT), AT, &bytes[..len]).is_err(), "prefix of {len}");
    }
    assert!(read(RecordContext::current(SALT), AT, &bytes).is_ok());
}

#[test]
fn every_flipped_bit_of_a_record_is_refused() {
    let bytes = encoded(b"a key", b"and its value");
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A flip in rcrc leaves the header intact. A flip in the header is found before a length is
        // used.
        assert!(read(RecordContext::current(SALT), AT, &damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn both_checks_refuse_fields_that_no_writer_writes_under_right_checksums() {
    let context = RecordContext::current(SALT);
    let places = RecordHeader::AT;
    for (at, field) in [(places.klen, &[0; 2][..]), (places.seq, &[0xff; 8]), (places.kind, &[0])] {
        let mut bytes = encoded(b"a key", b"and its value");
        bytes[at..at + field.len()].copy_from_slice(field);
        let hcrc = context.crc(AT, &bytes[BODY_AT..HEADER_LEN]);
        let rcrc = context.record_crc(AT, &bytes);
        bytes[..4].copy_from_slice(&hcrc.to_le_bytes());
        bytes[4..8].copy_from_slice(&rcrc.to_le_bytes());
        let [header, record] = [context.check_header(AT, &bytes).map(drop), context.check_record(AT, &bytes)];
        assert!(matches!(header, Err(Damage::Field { .. })), "{header:?}");
        assert_eq!(record, header);
    }
}

#[test]
fn a_record_that_was_moved_or_comes_from_another_segment_is_refused() {
    let bytes = encoded(b"k", b"v");
    assert!(read(RecordContext::current(SALT), AT + 8, &bytes).is_err());
    assert!(read(RecordContext::current(SALT + 1), AT, &bytes).is_err());
}

#[test]
fn a_record_with_more_cleared_is_intact() {
    let mut bytes = encoded(b"key", b"value");
    clear_more(RecordContext::current(SALT), AT, &mut bytes);
    assert!(!RecordHeader::peek(&bytes).flag.has_more());
    assert!(read(RecordContext::current(SALT), AT, &bytes).is_ok());
}

#[test]
fn a_longer_header_is_skipped_over() {
    // The header of a later version: eight more bytes, covered by both checksums.
    let mut bytes = encoded(b"key", b"value");
    bytes.splice(HEADER_LEN..HEADER_LEN, *b"newfield");
    let context = RecordContext { salt: SALT, header_len: HEADER_LEN as u16 + 8 };
    let hcrc = context.crc(AT, &bytes[BODY_AT..HEADER_LEN + 8]);
    let rcrc = context.record_crc(AT, &bytes);
    bytes[..4].copy_from_slice(&hcrc.to_le_bytes());
    bytes[4..8].copy_from_slice(&rcrc.to_le_bytes());
    assert_eq!(read(context, AT, &bytes), Ok((b"key".to_vec(), b"value".to_vec())));
}

#[test]
fn kinds_below_128_that_are_not_known_are_refused_and_those_above_are_skipped() {
    for byte in 0..=u8::MAX {
        let expected = matches!(byte, 1 | 2 | 128..);
        assert_eq!(Kind::decode(byte).is_ok(), expected, "kind {byte}");
    }
}

#[test]
fn each_codec_has_its_number_and_changes_no_other_flag() {
    for (codec, number) in [(None, 0), (Some(Codec::Lz4), 1), (Some(Codec::Zstd), 2)] {
        for (more, expires) in [(false, false), (true, false), (false, true), (true, true)] {
            let flags = Flags::new(more, expires, codec);
            assert_eq!((flags.has_more(), flags.has_expiry()), (more, expires));
            assert_eq!((flags.codec(), flags.codec_number()), (Ok(codec), number));
        }
    }
    assert_eq!(Flags(Flags::CODEC).codec(), Err(Damage::Codec(3)));
}

proptest! {
    #[test]
    fn a_record_decodes_to_itself(
        key in prop::collection::vec(any::<u8>(), 1..300),
        value in prop::collection::vec(any::<u8>(), 0..300),
        expires_ms: Option<u64>,
    ) {
        let bytes = encoded_until(expires_ms, &key, &value);
        let frame = RecordHeader::peek(&bytes).frame(HEADER_LEN as u16);
        prop_assert_eq!(frame.expires_ms(&bytes), expires_ms);
        prop_assert_eq!(bytes.len() as u64, encoded_len(key.len(), value.len(), expires_ms.is_some()));
        prop_assert_eq!(read(RecordContext::current(SALT), AT, &bytes), Ok((key, value)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        header_len in 0u16..200,
    ) {
        let context = RecordContext { salt: SALT, header_len };
        let _ = read(context, AT, &bytes);
        let header = RecordHeader::peek(&bytes);
        let frame = header.frame(header_len);
        let _ = (header.kind(), frame.key(&bytes), frame.value(&bytes), frame.expires_ms(&bytes));
        let _ = (header.value(&frame, &bytes, u64::MAX), header.compressed(&frame, &bytes));
    }
}
