//! A sealed segment's hint: where its records are, in key order, and a filter over their hashes.
//!
//! ```text
//!  0          8     10    12           14        16         32        40            48         56          60             64           68      72          80        88           96
//!  | LOGKVHNT |major|minor|header_len | row_len | store id | segment | segment_len | last_seq | row_count | record_count | filter_len | zeros | hash_seed | raw_len | stored_len |
//!  | 8 bytes  | u16 | u16 | u16       | u16     | 16 bytes | u64     | u64         | u64      | u32       | u32          | u32        | u32   | u64       | u64     | u64        |
//!
//!  then `row_count` rows, by key, of one key the newest first:
//!  0        8            12                            16
//!  | hash   | offset / 8 | length / 8, top bit: delete |
//!  | u64    | u32        | u32                         |
//!
//!  then the filter, zeros up to a multiple of 8, and a trailer:
//!  0      4       8
//!  | crc  | zeros |
//!  | u32  | u32   |
//! ```
//!
//! A row has no key: that is in the record which the row points at. `raw_len` and `stored_len` are what the values of all
//! records come to that are compressed. `crc` is the CRC-32C of all before it.
//!
//! A hint is derived from its segment. One that is damaged, or of another major version, or whose header or rows have
//! another length, is not read, but made anew; so there is one answer, [`check`], and no reason with it.

mod row;

use std::ops::Range;

pub(crate) use row::{ROW_LEN, Row};

use self::row::UNIT;
use super::codec::Compressed;
use super::segment_header::StoreId;
use super::{Field, array, put, u16_at, u32_at, u64_at};
use crate::engine::base::ids::{SegmentId, Seqno};

const MAGIC: [u8; 8] = *b"LOGKVHNT";
const MAGIC_AT: usize = 0;
const MAJOR_AT: usize = MAGIC_AT + MAGIC.len();
const MINOR_AT: usize = MAJOR_AT + size_of::<u16>();
const HEADER_LEN_AT: usize = MINOR_AT + size_of::<u16>();
const ROW_LEN_AT: usize = HEADER_LEN_AT + size_of::<u16>();
const STORE_AT: usize = ROW_LEN_AT + size_of::<u16>();
const SEGMENT_AT: usize = STORE_AT + 16;
const SEGMENT_LEN_AT: usize = SEGMENT_AT + size_of::<u64>();
const LAST_SEQ_AT: usize = SEGMENT_LEN_AT + size_of::<u64>();
const ROW_COUNT_AT: usize = LAST_SEQ_AT + size_of::<u64>();
const RECORD_COUNT_AT: usize = ROW_COUNT_AT + size_of::<u32>();
const FILTER_LEN_AT: usize = RECORD_COUNT_AT + size_of::<u32>();
const ZEROS_AT: usize = FILTER_LEN_AT + size_of::<u32>();
const HASH_SEED_AT: usize = ZEROS_AT + size_of::<u32>();
const RAW_LEN_AT: usize = HASH_SEED_AT + size_of::<u64>();
const STORED_LEN_AT: usize = RAW_LEN_AT + size_of::<u64>();
pub(crate) const HEADER_LEN: usize = STORED_LEN_AT + size_of::<u64>();

const TRAILER_LEN: usize = size_of::<u64>();
// The layout is stored on disk. If this fails, bump the format version.
const _: () = assert!(HEADER_LEN == 96 && HEADER_LEN.is_multiple_of(ROW_LEN) && ROW_LEN == 16);

/// The format version that this version of logkv writes.
const MAJOR: u16 = 2;
/// The version whose header ends before `raw_len`: no value was compressed then.
const MAJOR_WITHOUT_SUMS: u16 = 1;
const MINOR: u16 = 0;
/// The hint header's fields, in the order they stand in the file.
pub const HINT_FIELDS: &[Field] = &[
    Field { name: "magic", at: MAGIC_AT, len: 8 },
    Field { name: "major", at: MAJOR_AT, len: 2 },
    Field { name: "minor", at: MINOR_AT, len: 2 },
    Field { name: "header_len", at: HEADER_LEN_AT, len: 2 },
    Field { name: "row_len", at: ROW_LEN_AT, len: 2 },
    Field { name: "store", at: STORE_AT, len: 16 },
    Field { name: "segment", at: SEGMENT_AT, len: 8 },
    Field { name: "segment_len", at: SEGMENT_LEN_AT, len: 8 },
    Field { name: "last_seq", at: LAST_SEQ_AT, len: 8 },
    Field { name: "row_count", at: ROW_COUNT_AT, len: 4 },
    Field { name: "record_count", at: RECORD_COUNT_AT, len: 4 },
    Field { name: "filter_len", at: FILTER_LEN_AT, len: 4 },
    Field { name: "zeros", at: ZEROS_AT, len: 4 },
    Field { name: "hash_seed", at: HASH_SEED_AT, len: 8 },
    Field { name: "raw_len", at: RAW_LEN_AT, len: 8 },
    Field { name: "stored_len", at: STORED_LEN_AT, len: 8 },
];

/// What a hint describes: it is of use for exactly this segment, at exactly this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// The store that the segment belongs to.
    pub(crate) store: StoreId,
    /// What the rows' hashes are seeded with.
    pub(crate) hash_seed: u64,
    pub(crate) segment: SegmentId,
    /// The segment's length, in bytes, when the hint was made.
    pub(crate) segment_len: u64,
    /// The number of the segment's last record.
    pub(crate) last_seq: Seqno,
    /// How many records the segment has, those without a row counted too.
    pub(crate) record_count: u32,
    /// What the values of its records come to that are compressed.
    pub(crate) compressed: Compressed,
}

/// What stands before and behind `rows` in a hint: encoded [`Row`]s in the order of their keys, those of one key newest
/// first.
///
/// A segment has fewer than 2^32 records; a hint with more rows, or with a filter of 4 GiB, is none that [`check`] takes.
pub(crate) fn around(described: &Described, rows: &[u8], filter: Vec<u8>) -> ([u8; HEADER_LEN], Vec<u8>) {
    let header = header(described, rows.len().div_euclid(ROW_LEN), filter.len());
    let mut behind = filter;
    behind.resize(behind.len().next_multiple_of(UNIT as usize), 0);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&header), rows), &behind);
    behind.extend_from_slice(&u64::from(crc).to_le_bytes());
    (header, behind)
}

fn header(described: &Described, row_count: usize, filter_len: usize) -> [u8; HEADER_LEN] {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = [0; HEADER_LEN];
    let mut set = |at: usize, field: &[u8]| put(&mut bytes, at, field);
    set(MAGIC_AT, &MAGIC);
    set(MAJOR_AT, &MAJOR.to_le_bytes());
    set(MINOR_AT, &MINOR.to_le_bytes());
    set(HEADER_LEN_AT, &(HEADER_LEN as u16).to_le_bytes());
    set(ROW_LEN_AT, &(ROW_LEN as u16).to_le_bytes());
    set(STORE_AT, &described.store.0);
    set(SEGMENT_AT, &described.segment.0.to_le_bytes());
    set(SEGMENT_LEN_AT, &described.segment_len.to_le_bytes());
    set(LAST_SEQ_AT, &described.last_seq.0.to_le_bytes());
    set(ROW_COUNT_AT, &count(row_count));
    set(RECORD_COUNT_AT, &described.record_count.to_le_bytes());
    set(FILTER_LEN_AT, &count(filter_len));
    set(HASH_SEED_AT, &described.hash_seed.to_le_bytes());
    set(RAW_LEN_AT, &described.compressed.raw_len.to_le_bytes());
    set(STORED_LEN_AT, &described.compressed.stored_len.to_le_bytes());
    bytes
}

/// Where the parts of a checked hint stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) described: Described,
    /// The rows' bytes.
    pub(crate) rows: Range<usize>,
    /// The filter's bytes.
    pub(crate) filter: Range<usize>,
}

/// The parts of the hint that `bytes` are, or `None` if they are not, from the first to the last, as a version that is
/// known wrote them. Reads all of them once.
pub(crate) fn check(bytes: &[u8]) -> Option<Checked> {
    let checked = parts(bytes)?;
    let crc_at = bytes.len().checked_sub(TRAILER_LEN)?;
    // The checksum and the zeros behind it, as one number.
    let is_intact = u64_at(bytes, crc_at) == u64::from(crc32c::crc32c(bytes.get(..crc_at)?));
    is_intact.then_some(checked)
}

/// As [`check`], of bytes that were written just now: all but the header is left unread.
pub(crate) fn parts(bytes: &[u8]) -> Option<Checked> {
    let header_len = match u16_at(bytes, MAJOR_AT) {
        MAJOR => HEADER_LEN,
        MAJOR_WITHOUT_SUMS => RAW_LEN_AT,
        _ => return None,
    };
    let is_known = array(bytes, MAGIC_AT) == MAGIC
        && usize::from(u16_at(bytes, HEADER_LEN_AT)) == header_len
        && usize::from(u16_at(bytes, ROW_LEN_AT)) == ROW_LEN;
    if !is_known {
        return None;
    }
    let number = |at: usize| usize::try_from(u32_at(bytes, at)).ok();
    let row_count = number(ROW_COUNT_AT)?;
    let rows_end = row_count.checked_mul(ROW_LEN)?.checked_add(header_len)?;
    let filter_end = rows_end.checked_add(number(FILTER_LEN_AT)?)?;
    let crc_at = filter_end.checked_next_multiple_of(UNIT as usize)?;
    if crc_at.checked_add(TRAILER_LEN)? != bytes.len() {
        return None;
    }
    let described = described(bytes.get(..header_len)?);
    (described.last_seq < Seqno::END).then_some(Checked {
        described,
        rows: header_len..rows_end,
        filter: rows_end..filter_end,
    })
}

/// What a header says; zero what stands behind its end.
fn described(header: &[u8]) -> Described {
    Described {
        store: StoreId(array(header, STORE_AT)),
        hash_seed: u64_at(header, HASH_SEED_AT),
        segment: SegmentId(u64_at(header, SEGMENT_AT)),
        segment_len: u64_at(header, SEGMENT_LEN_AT),
        last_seq: Seqno(u64_at(header, LAST_SEQ_AT)),
        record_count: u32_at(header, RECORD_COUNT_AT),
        compressed: Compressed {
            raw_len: u64_at(header, RAW_LEN_AT),
            stored_len: u64_at(header, STORED_LEN_AT),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::row::TOMBSTONE;
    use super::*;

    const DESCRIBED: Described = Described {
        store: StoreId(*b"0123456789abcdef"),
        hash_seed: 0x9e37_79b9_7f4a_7c15,
        segment: SegmentId(3),
        segment_len: 64 << 20,
        last_seq: Seqno(42),
        record_count: 4,
        compressed: Compressed { raw_len: 10_000, stored_len: 4_000 },
    };
    const ROWS: [Row; 3] = [
        Row { hash: 0x0123_4567_89ab_cdef, at: 64, len: 48, is_tombstone: false },
        Row { hash: 0xfedc_ba98_7654_3210, at: 4096, len: 40, is_tombstone: true },
        Row { hash: 0xfedc_ba98_7654_3210, at: 112, len: 1 << 20, is_tombstone: false },
    ];
    const FILTER: &[u8] = b"any bytes";

    fn small() -> Vec<u8> {
        encode(&DESCRIBED, &bytes_of(&ROWS), FILTER)
    }

    fn encode(described: &Described, rows: &[u8], filter: &[u8]) -> Vec<u8> {
        let (header, behind) = around(described, rows, filter.to_vec());
        [&header[..], rows, &behind].concat()
    }

    fn bytes_of(rows: &[Row]) -> Vec<u8> {
        rows.iter().flat_map(Row::encode).collect()
    }

    /// `bytes` with `field` at `at`, and a checksum that is right.
    fn with(mut bytes: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
        put(&mut bytes, at, field);
        let crc_at = bytes.len() - TRAILER_LEN;
        let crc = crc32c::crc32c(&bytes[..crc_at]);
        put(&mut bytes, crc_at, &crc.to_le_bytes());
        bytes
    }

    fn rows_of(bytes: &[u8], checked: &Checked) -> Vec<Row> {
        bytes[checked.rows.clone()].chunks_exact(ROW_LEN).map(Row::decode).collect()
    }

    fn draw(out: &mut String, bytes: &[u8], part: Range<usize>, name: &str) {
        let hex: Vec<String> = bytes[part.clone()].iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{:04x}  {:<47}  {name}", part.start, hex.join(" ")).expect("a String");
    }

    #[test]
    fn every_byte_of_a_small_hint_is_drawn() {
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
    fn the_fields_follow_each_other_without_a_gap() {
        let mut at = 0;
        for field in HINT_FIELDS {
            assert_eq!(field.at, at, "{}", field.name);
            at += field.len;
        }
        assert_eq!(at, HEADER_LEN);
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
        assert!(check(&with(small(), MINOR_AT, &9_u16.to_le_bytes())).is_some());
        for major in [0_u16, 3] {
            assert_eq!(check(&with(small(), MAJOR_AT, &major.to_le_bytes())), None, "{major}");
        }
        let of_version_1 = with(small(), MAJOR_AT, &1_u16.to_le_bytes());
        assert_eq!(check(&of_version_1), None, "its header is shorter");
        assert_eq!(check(&with(small(), HEADER_LEN_AT, &104_u16.to_le_bytes())), None);
        assert_eq!(check(&with(small(), ROW_LEN_AT, &24_u16.to_le_bytes())), None);
    }

    #[test]
    fn counts_that_are_not_those_of_the_bytes_are_refused_though_the_checksum_is_right() {
        for at in [ROW_COUNT_AT, FILTER_LEN_AT] {
            for count in [0, 1, 1000, 1 << 31, u32::MAX] {
                assert_eq!(check(&with(small(), at, &count.to_le_bytes())), None, "{count} at {at}");
            }
        }
    }

    prop_compose! {
        fn any_row()(hash: u64, at: u32, len in 0..TOMBSTONE, is_tombstone: bool) -> Row {
            Row { hash, at: u64::from(at) * UNIT, len: u64::from(len) * UNIT, is_tombstone }
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
            let described = Described { store: StoreId(store), hash_seed, segment, segment_len, last_seq, record_count, compressed };
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
            let _ = Row::decode(&bytes);
        }

        #[test]
        fn arbitrary_fields_with_a_right_checksum_never_panic(
            fields in prop::collection::vec(any::<u8>(), HEADER_LEN - STORE_AT),
        ) {
            let bytes = with(small(), STORE_AT, &fields);
            if let Some(checked) = check(&bytes) {
                let _ = rows_of(&bytes, &checked);
            }
        }
    }
}
