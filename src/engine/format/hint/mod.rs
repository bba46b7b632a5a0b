//! The hint of a sealed segment: the locations of its records in key order, and a filter of their
//! hashes. [`layout`](crate::layout) draws it.
//!
//! A hint is derived from its segment. A hint that is damaged, has another major version, or has a
//! header or rows of another length is rebuilt, so [`check`] gives no reason.

mod row;

use std::ops::Range;

pub use row::HINT_ROW_FIELDS;
pub(crate) use row::{HintRow, ROW_LEN};

use self::row::UNIT;
use super::codec::Compressed;
use super::layout::{Field, layout};
use super::segment_header::StoreId;
use super::u64_at;
use crate::engine::base::ids::{SegmentId, Seqno};

const MAGIC: [u8; 8] = *b"LOGKVHNT";
/// The format version that this code writes.
const MAJOR: u16 = 1;
const MINOR: u16 = 0;

layout! {
    struct HintHeader: 96 {
        magic: [u8; 8],
        major: u16,
        minor: u16,
        header_len: u16,
        row_len: u16,
        store: StoreId,
        segment: SegmentId,
        segment_len: u64,
        last_seq: Seqno,
        row_count: u32,
        record_count: u32,
        filter_len: u32,
        zeros: u32,
        hash_seed: u64,
        raw_len: u64,
        stored_len: u64,
    }
}

pub(crate) const HEADER_LEN: usize = HintHeader::LEN;
const TRAILER_LEN: usize = size_of::<u64>();
// Rows are aligned to their length in the file.
const _: () = assert!(HEADER_LEN.is_multiple_of(ROW_LEN));

/// The fields of the hint's header, in file order.
pub const HINT_FIELDS: &[Field] = HintHeader::FIELDS;

/// The segment that a hint describes. A hint is valid only for this segment at this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// The store that the segment belongs to.
    pub(crate) store: StoreId,
    /// The seed of the rows' hashes.
    pub(crate) hash_seed: u64,
    pub(crate) segment: SegmentId,
    /// The segment's length in bytes when the hint was written.
    pub(crate) segment_len: u64,
    /// The number of the segment's last record.
    pub(crate) last_seq: Seqno,
    /// The number of the segment's records, including those without a row.
    pub(crate) record_count: u32,
    /// The totals of the compressed values.
    pub(crate) compressed: Compressed,
}

/// Returns the bytes before and after `rows` in a hint. `rows` are encoded [`HintRow`]s in key
/// order; the rows of one key are newest first.
///
/// A segment has fewer than 2^32 records. [`check`] refuses a hint with more rows, or with a filter
/// of 4 GiB.
pub(crate) fn around(described: &Described, rows: &[u8], filter: Vec<u8>) -> ([u8; HEADER_LEN], Vec<u8>) {
    let header = header(described, rows.len().div_euclid(ROW_LEN), filter.len());
    let mut tail = filter;
    tail.resize(tail.len().next_multiple_of(UNIT as usize), 0);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&header), rows), &tail);
    tail.extend_from_slice(&u64::from(crc).to_le_bytes());
    (header, tail)
}

fn header(described: &Described, row_count: usize, filter_len: usize) -> [u8; HEADER_LEN] {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let header = HintHeader {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        header_len: HEADER_LEN as u16,
        row_len: ROW_LEN as u16,
        store: described.store,
        segment: described.segment,
        segment_len: described.segment_len,
        last_seq: described.last_seq,
        row_count: count(row_count),
        record_count: described.record_count,
        filter_len: count(filter_len),
        zeros: 0,
        hash_seed: described.hash_seed,
        raw_len: described.compressed.raw_len,
        stored_len: described.compressed.stored_len,
    };
    header.to_bytes()
}

/// The ranges of the parts of a checked hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) described: Described,
    /// The bytes of the rows.
    pub(crate) rows: Range<usize>,
    /// The bytes of the filter.
    pub(crate) filter: Range<usize>,
}

/// Returns the parts of the hint in `bytes`, or `None` if it is not exactly as it was written.
/// Reads all bytes once.
pub(crate) fn check(bytes: &[u8]) -> Option<Checked> {
    let checked = parts(bytes)?;
    let crc_at = bytes.len().checked_sub(TRAILER_LEN)?;
    // The checksum and the zeros after it, as one number.
    let is_intact = u64_at(bytes, crc_at) == u64::from(crc32c::crc32c(bytes.get(..crc_at)?));
    is_intact.then_some(checked)
}

/// Works like [`check`] for bytes that were just written. Reads only the header.
pub(crate) fn parts(bytes: &[u8]) -> Option<Checked> {
    let header = HintHeader::from_bytes(bytes.get(..HEADER_LEN)?);
    let is_known = header.magic == MAGIC
        && header.major == MAJOR
        && usize::from(header.header_len) == HEADER_LEN
        && usize::from(header.row_len) == ROW_LEN;
    let row_count = usize::try_from(header.row_count).ok()?;
    let rows_end = row_count.checked_mul(ROW_LEN)?.checked_add(HEADER_LEN)?;
    let filter_end = rows_end.checked_add(usize::try_from(header.filter_len).ok()?)?;
    let crc_at = filter_end.checked_next_multiple_of(UNIT as usize)?;
    let fills_the_file = crc_at.checked_add(TRAILER_LEN)? == bytes.len();
    (is_known && fills_the_file && header.last_seq < Seqno::END).then_some(Checked {
        described: Described {
            store: header.store,
            hash_seed: header.hash_seed,
            segment: header.segment,
            segment_len: header.segment_len,
            last_seq: header.last_seq,
            record_count: header.record_count,
            compressed: Compressed { raw_len: header.raw_len, stored_len: header.stored_len },
        },
        rows: HEADER_LEN..rows_end,
        filter: rows_end..filter_end,
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::row::TOMBSTONE;
    use super::*;
    use crate::engine::format::put;

    const DESCRIBED: Described = Described {
        store: StoreId(*b"0123456789abcdef"),
        hash_seed: 0x9e37_79b9_7f4a_7c15,
        segment: SegmentId(3),
        segment_len: 64 << 20,
        last_seq: Seqno(42),
        record_count: 4,
        compressed: Compressed { raw_len: 10_000, stored_len: 4_000 },
    };
    const ROWS: [HintRow; 3] = [
        HintRow { hash: 0x0123_4567_89ab_cdef, at: 64, len: 48, is_tombstone: false },
        HintRow { hash: 0xfedc_ba98_7654_3210, at: 4096, len: 40, is_tombstone: true },
        HintRow { hash: 0xfedc_ba98_7654_3210, at: 112, len: 1 << 20, is_tombstone: false },
    ];
    const FILTER: &[u8] = b"any bytes";

    fn small() -> Vec<u8> {
        encode(&DESCRIBED, &bytes_of(&ROWS), FILTER)
    }

    fn encode(described: &Described, rows: &[u8], filter: &[u8]) -> Vec<u8> {
        let (header, tail) = around(described, rows, filter.to_vec());
        [&header[..], rows, &tail].concat()
    }

    fn bytes_of(rows: &[HintRow]) -> Vec<u8> {
        rows.iter().flat_map(HintRow::encode).collect()
    }

    /// Returns `bytes` with `field` at `at`, and with the right checksum.
    fn with(mut bytes: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
        put(&mut bytes, at, field);
        let crc_at = bytes.len() - TRAILER_LEN;
        let crc = crc32c::crc32c(&bytes[..crc_at]);
        put(&mut bytes, crc_at, &crc.to_le_bytes());
        bytes
    }

    fn rows_of(bytes: &[u8], checked: &Checked) -> Vec<HintRow> {
        bytes[checked.rows.clone()].chunks_exact(ROW_LEN).map(HintRow::decode).collect()
    }

    fn draw(out: &mut String, bytes: &[u8], part: Range<usize>, name: &str) {
        let hex: Vec<String> = bytes[part.clone()].iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{:04x}  {:<47}  {name}", part.start, hex.join(" ")).expect("a String");
    }

    #[test]
    fn the_drawing_of_a_small_hint_shows_every_byte() {
        let bytes = small();
        let checked = check(&bytes).expect("a hint just made");
        let mut out = String::new();
        for field in HINT_FIELDS {
            draw(&mut out, &bytes, field.at..field.at + field.len, field.name);
        }
        for (index, at) in checked.rows.step_by(ROW_LEN).enumerate() {
            draw(&mut out, &bytes, at..at + ROW_LEN, &format!("{:?}", ROWS[index]));
        }
        let crc_at = bytes.len() - TRAILER_LEN;
        draw(&mut out, &bytes, checked.filter.clone(), "filter");
        draw(&mut out, &bytes, checked.filter.end..crc_at, "padding");
        draw(&mut out, &bytes, crc_at..crc_at + 4, "crc");
        draw(&mut out, &bytes, crc_at + 4..bytes.len(), "zeros");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!("format-hint", out));
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_and_every_added_byte_is_refused() {
        for bytes in [small(), encode(&DESCRIBED, &[], &[])] {
            assert!(check(&bytes).is_some());
            for len in 0..bytes.len() {
                assert_eq!(check(&bytes[..len]), None, "prefix of {len}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(check(&damaged), None, "bit {bit}");
            }
            for count in 1..=ROW_LEN {
                assert_eq!(check(&[&bytes[..], &vec![0; count]].concat()), None, "{count} more");
            }
        }
    }

    #[test]
    fn an_unknown_minor_is_read_and_an_unknown_major_or_length_is_not() {
        assert!(check(&with(small(), HintHeader::AT.minor, &9_u16.to_le_bytes())).is_some());
        for major in [0_u16, 2] {
            assert_eq!(check(&with(small(), HintHeader::AT.major, &major.to_le_bytes())), None, "{major}");
        }
        assert_eq!(check(&with(small(), HintHeader::AT.header_len, &104_u16.to_le_bytes())), None);
        assert_eq!(check(&with(small(), HintHeader::AT.row_len, &24_u16.to_le_bytes())), None);
    }

    #[test]
    fn counts_that_do_not_match_the_bytes_are_refused_under_a_right_checksum() {
        for at in [HintHeader::AT.row_count, HintHeader::AT.filter_len] {
            for count in [0, 1, 1000, 1 << 31, u32::MAX] {
                assert_eq!(check(&with(small(), at, &count.to_le_bytes())), None, "{count} at {at}");
            }
        }
    }

    prop_compose! {
        fn any_row()(hash: u64, at: u32, len in 0..TOMBSTONE, is_tombstone: bool) -> HintRow {
            HintRow { hash, at: u64::from(at) * UNIT, len: u64::from(len) * UNIT, is_tombstone }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_checked_and_decoded(
            rows in prop::collection::vec(any_row(), 0..50),
            filter in prop::collection::vec(any::<u8>(), 0..50),
            (store, numbers, record_count) in any::<([u8; 16], [u64; 6], u32)>(),
        ) {
            let [segment, segment_len, last_seq, hash_seed, raw_len, stored_len] = numbers;
            let last_seq = last_seq % Seqno::END.0;
            let (segment, last_seq) = (SegmentId(segment), Seqno(last_seq));
            let compressed = Compressed { raw_len, stored_len };
            let store = StoreId(store);
            let described =
                Described { store, hash_seed, segment, segment_len, last_seq, record_count, compressed };
            let bytes = encode(&described, &bytes_of(&rows), &filter);
            let checked = check(&bytes).expect("a hint just made");
            prop_assert_eq!(bytes.len() % 8, 0);
            prop_assert_eq!(checked.described, described);
            prop_assert_eq!(rows_of(&bytes, &checked), rows);
            prop_assert_eq!(&bytes[checked.filter], filter);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(check(&bytes), None);
            let _ = HintRow::decode(&bytes);
        }

        #[test]
        fn arbitrary_fields_with_a_right_checksum_never_panic(
            fields in prop::collection::vec(any::<u8>(), HEADER_LEN - HintHeader::AT.store),
        ) {
            let bytes = with(small(), HintHeader::AT.store, &fields);
            if let Some(checked) = check(&bytes) {
                let _ = rows_of(&bytes, &checked);
            }
        }
    }
}
