//! The file KEYDIR: the keydir at one point of the log. [`layout`](crate::layout) draws it.
//!
//! The head is everything before the slots. Its checksum is checked when the file is opened. The
//! checksum of a shard is checked when the shard is first used. The slots follow the head without
//! gaps, at multiples of 8, so that they can be used in the mapping.
//!
//! A later minor version may have a longer header; readers skip the fields that they do not know. A
//! file in any other form is ignored and rebuilt from the log.

mod rows;

use super::layout::{Field, layout};
use super::segment_header::StoreId;
use super::u64_at;
use crate::engine::base::ids::Seqno;
pub(crate) use rows::{Covered, ShardRow};
pub use rows::{KEYDIR_SEGMENT_FIELDS, KEYDIR_SHARD_FIELDS};

const MAGIC: [u8; 8] = *b"LOGKVKDR";

layout! {
    struct KeydirHeader: 64 {
        magic: [u8; 8],
        major: u16,
        minor: u16,
        header_len: u16,
        zeros: u16,
        store: StoreId,
        hash_seed: u64,
        covered_seq: Seqno,
        key_count: u64,
        segment_count: u32,
        shard_count: u32,
    }
}

/// The fields of the file's header, in file order.
pub const KEYDIR_FIELDS: &[Field] = KeydirHeader::FIELDS;
const HEADER_LEN: usize = KeydirHeader::LEN;
/// The length of the head's checksum, padded to a multiple of 8.
const HEAD_CRC_LEN: usize = size_of::<u64>();
/// The longest head in bytes: one that covers as many segments as a store can have.
pub(crate) const HEAD_LEN_MAX: u64 =
    (HEADER_LEN_MAX + Covered::LEN * 131_072 + SHARD_ROWS_LEN + HEAD_CRC_LEN) as u64;

const MAJOR: u16 = 1;
const MINOR: u16 = 0;
/// The longest header that a reader accepts. A longer one is damage.
const HEADER_LEN_MAX: usize = 4096;

/// The number of shards, in memory and in the file.
pub(crate) const SHARD_COUNT: usize = 1024;
const SHARD_ROWS_LEN: usize = SHARD_COUNT * ShardRow::LEN;

/// The store and the part of the log that a KEYDIR covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covering {
    pub(crate) store: StoreId,
    pub(crate) hash_seed: u64,
    /// The newest record that the slots cover.
    pub(crate) covered_seq: Seqno,
    /// The covered segments, in log order.
    pub(crate) segments: Vec<Covered>,
}

/// The head of the file: everything but the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeydirHead {
    pub(crate) about: Covering,
    /// One row for each shard.
    pub(crate) shards: Vec<ShardRow>,
}

impl KeydirHead {
    /// Returns the number of keys in all shards.
    pub(crate) fn key_count(&self) -> u64 {
        self.shards.iter().map(|shard| u64::from(shard.count)).sum()
    }
}

/// Returns the length in bytes of a head that covers `segment_count` segments. The slots start
/// there.
pub(crate) fn head_len(segment_count: usize) -> u64 {
    let segment_rows = segment_count.saturating_mul(Covered::LEN);
    segment_rows.saturating_add(HEADER_LEN + SHARD_ROWS_LEN + HEAD_CRC_LEN) as u64
}

/// Encodes the head with its checksum.
pub(crate) fn encode_head(head: &KeydirHead) -> Vec<u8> {
    let mut bytes = header_bytes(head).to_vec();
    for segment in &head.about.segments {
        bytes.extend_from_slice(&segment.to_bytes());
    }
    for shard in &head.shards {
        bytes.extend_from_slice(&shard.to_bytes());
    }
    let crc = u64::from(crc32c::crc32c(&bytes));
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Decodes the head at the start of `bytes`, which may be longer. `file_len` is the length of the
/// file. Returns `None` if the head is damaged or has an unknown version.
pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Option<KeydirHead> {
    let header = KeydirHeader::from_bytes(bytes.get(..HEADER_LEN)?);
    let header_len = usize::from(header.header_len);
    let is_known = header.magic == MAGIC
        && header.major == MAJOR
        && header.shard_count == SHARD_COUNT as u32
        && (HEADER_LEN..=HEADER_LEN_MAX).contains(&header_len)
        && header_len.is_multiple_of(8);
    if !is_known {
        return None;
    }
    let segment_count = usize::try_from(header.segment_count).ok()?;
    let shards_at = segment_count.checked_mul(Covered::LEN)?.checked_add(header_len)?;
    let crc_at = shards_at.checked_add(SHARD_ROWS_LEN)?;
    let head_len = crc_at.checked_add(HEAD_CRC_LEN)?;
    // The counts are checked against the bytes present before memory is allocated for them.
    let (checked, crc) = bytes.get(..head_len)?.split_at_checked(crc_at)?;
    if u64_at(crc, 0) != u64::from(crc32c::crc32c(checked)) {
        return None;
    }
    let about = Covering {
        store: header.store,
        hash_seed: header.hash_seed,
        covered_seq: header.covered_seq,
        segments: rows(checked.get(header_len..shards_at)?, Covered::LEN, Covered::from_bytes),
    };
    let shards = rows(checked.get(shards_at..)?, ShardRow::LEN, ShardRow::from_bytes);
    let head = KeydirHead { about, shards };
    let agrees = head.about.covered_seq < Seqno::END
        && head.about.segments.iter().all(Covered::is_possible)
        && head.key_count() == header.key_count
        && fill_the_file(&head.shards, head_len as u64, file_len);
    agrees.then_some(head)
}

/// Returns whether the shards' slots follow each other from `start` to `file_len`, with possible
/// counts.
fn fill_the_file(shards: &[ShardRow], start: u64, file_len: u64) -> bool {
    let end = shards.iter().try_fold(start, |at, shard| {
        let fits = shard.count <= shard.slot_count && shard.capacity <= shard.slot_count;
        (fits && shard.slots_at == at).then(|| shard.end()).flatten()
    });
    end == Some(file_len)
}

fn rows<T>(bytes: &[u8], row_len: usize, row: fn(&[u8]) -> T) -> Vec<T> {
    bytes.chunks_exact(row_len).map(row).collect()
}

fn header_bytes(head: &KeydirHead) -> [u8; HEADER_LEN] {
    let about = &head.about;
    let header = KeydirHeader {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        header_len: HEADER_LEN as u16,
        zeros: 0,
        store: about.store,
        hash_seed: about.hash_seed,
        covered_seq: about.covered_seq,
        key_count: head.key_count(),
        segment_count: about.segments.len() as u32,
        shard_count: SHARD_COUNT as u32,
    };
    header.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ids::SegmentId;
    use crate::engine::format::put;
    use proptest::prelude::*;

    fn covered(id: u64) -> Covered {
        Covered {
            id: SegmentId(id),
            len: 1 << 20,
            first_page: id as u32 - 1,
            record_count: 9,
            live_count: 4,
            live_len: 400,
            tombstone_count: 2,
            tombstone_len: 80,
            is_endless: id.is_multiple_of(2),
            raw_len: 1000,
            stored_len: 300,
        }
    }

    /// Returns a head that covers two segments, with some empty shards, and the length of its file.
    fn head() -> (KeydirHead, u64) {
        let segments = vec![covered(1), covered(2)];
        let mut at = head_len(segments.len());
        let mut shards = Vec::new();
        for index in 0..SHARD_COUNT as u32 {
            let slot_count = index % 4;
            shards.push(ShardRow {
                slots_at: at,
                slot_count,
                capacity: slot_count / 2,
                count: slot_count,
                crc: index,
            });
            at += u64::from(slot_count) * 8;
        }
        let store = StoreId(*b"0123456789abcdef");
        (KeydirHead { about: Covering { store, hash_seed: 7, covered_seq: Seqno(42), segments }, shards }, at)
    }

    /// Returns the head's bytes after `change`, with the right checksum.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = encode_head(&head().0);
        bytes.truncate(bytes.len() - HEAD_CRC_LEN);
        change(&mut bytes);
        let crc = u64::from(crc32c::crc32c(&bytes));
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn a_head_decodes_to_itself_also_with_slots_after_it() {
        let (head, file_len) = head();
        let mut bytes = encode_head(&head);
        assert_eq!(bytes.len() as u64, head_len(2));
        assert_eq!(decode(&bytes, file_len), Some(head.clone()));
        bytes.resize(file_len as usize, 0xaa);
        assert_eq!(decode(&bytes, file_len), Some(head));
    }

    #[test]
    fn every_prefix_and_every_other_length_of_the_file_is_refused() {
        let (head, file_len) = head();
        let bytes = encode_head(&head);
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], file_len), None, "prefix of {len}");
        }
        for other in [0, bytes.len() as u64, file_len - 8, file_len - 1, file_len + 1, u64::MAX] {
            assert_eq!(decode(&bytes, other), None, "a file of {other}");
        }
        let with_one_more = changed(|bytes| bytes.push(0));
        assert_eq!(decode(&with_one_more, file_len + 1), None);
    }

    #[test]
    fn a_flipped_bit_of_any_byte_is_refused() {
        let (head, file_len) = head();
        let mut bytes = encode_head(&head);
        // Tries every bit outside of the shards' rows. In those, which are all alike, one bit of
        // each byte.
        let first_row = HEADER_LEN + 2 * Covered::LEN;
        let plain = first_row + ShardRow::LEN..bytes.len() - HEAD_CRC_LEN;
        for bit in (0..bytes.len() * 8).filter(|bit| !plain.contains(&(bit / 8)) || bit % 7 == 0) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes, file_len), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_longer_header_of_a_later_minor_is_read() {
        let (mut head, file_len) = head();
        let longer = changed(|bytes| {
            bytes[KeydirHeader::AT.minor] = 9;
            bytes[KeydirHeader::AT.header_len] = 72;
            bytes.splice(HEADER_LEN..HEADER_LEN, *b"newfield");
            let rows = bytes.len() - SHARD_ROWS_LEN;
            for row in bytes[rows..].chunks_exact_mut(ShardRow::LEN) {
                let at = u64_at(row, ShardRow::AT.slots_at) + 8;
                put(row, ShardRow::AT.slots_at, &at.to_le_bytes());
            }
        });
        head.shards.iter_mut().for_each(|shard| shard.slots_at += 8);
        assert_eq!(decode(&longer, file_len + 8), Some(head));
    }

    #[test]
    fn a_head_that_no_writer_writes_is_refused_under_a_right_checksum() {
        let (_, file_len) = head();
        let first_row = HEADER_LEN + 2 * Covered::LEN;
        let second_row = first_row + ShardRow::LEN;
        let cases: &[(&str, usize, &[u8])] = &[
            ("an unknown major", KeydirHeader::AT.major, &[2]),
            ("a short header", KeydirHeader::AT.header_len, &[56]),
            ("a crooked header", KeydirHeader::AT.header_len, &[65]),
            ("a huge segment count", KeydirHeader::AT.segment_count, &[0xff; 4]),
            ("another shard count", KeydirHeader::AT.shard_count, &[0xff; 4]),
            ("a wrong key count", KeydirHeader::AT.key_count, &[0xff; 8]),
            ("slots in the head", first_row + ShardRow::AT.slots_at, &[8, 0, 0]),
            ("slots far out", second_row + ShardRow::AT.slots_at, &[0xff; 8]),
            ("more slots than the file has", second_row + ShardRow::AT.slot_count, &[0xff; 4]),
            ("more homes than slots", second_row + ShardRow::AT.capacity, &[2]),
            ("more keys than slots", second_row + ShardRow::AT.count, &[2]),
        ];
        assert!(decode(&changed(|_| ()), file_len).is_some());
        for &(what, at, field) in cases {
            assert_eq!(decode(&changed(|bytes| put(bytes, at, field)), file_len), None, "{what}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_with_a_right_checksum_never_panic(
            edits in prop::collection::vec((0usize..2000, any::<u64>()), 0..6),
            file_len in any::<u64>(),
        ) {
            let edit = |bytes: &mut Vec<u8>| {
                edits.iter().for_each(|(at, field)| put(bytes, *at, &field.to_le_bytes()));
            };
            let _ = decode(&changed(edit), file_len);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            file_len: u64,
        ) {
            let _ = decode(&bytes, file_len);
            put(&mut bytes, KeydirHeader::AT.magic, &MAGIC);
            put(&mut bytes, KeydirHeader::AT.major, &MAJOR.to_le_bytes());
            let _ = decode(&bytes, file_len);
        }
    }
}
