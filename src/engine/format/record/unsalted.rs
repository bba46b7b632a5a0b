//! Records of a segment whose salt is not known: how they are told from other bytes, and the salt from them.
//!
//! `rcrc` goes on where `hcrc` ends: both start with the salt, the offset and the header. So a record is known by its bytes
//! alone, whatever went before: the checksum of what follows its header, begun with `hcrc`, is `rcrc`. And since each step
//! of a CRC can be taken back, `hcrc` says what it was begun with.

use super::{BODY_AT, HEADER_LEN, Kind, RecordHeader};
use crate::engine::format::u32_at;

/// CRC-32C's polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The fields at the start of `bytes`, if a record may have them; nothing is checked that takes the salt.
pub(crate) fn plausible_header(bytes: &[u8]) -> Option<RecordHeader> {
    let header = RecordHeader::peek(bytes.get(..HEADER_LEN)?);
    (header.klen > 0 && Kind::decode(header.kind).is_ok()).then_some(header)
}

/// Whether `bytes` are exactly a record as it was written, with whatever salt and at whatever place.
pub(crate) fn is_record(bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_at_checked(HEADER_LEN) else { return false };
    let RecordHeader { hcrc, rcrc, .. } = RecordHeader::peek(header);
    crc32c::crc32c_append(hcrc, body) == rcrc
}

/// The one salt with which the checksum of the record header at the start of `bytes` is right at `offset`.
pub(crate) fn salt(offset: u64, bytes: &[u8]) -> u32 {
    let covered = bytes.get(BODY_AT..HEADER_LEN).unwrap_or_default();
    let mut register = !u32_at(bytes, RecordHeader::AT.hcrc);
    for byte in covered.iter().rev().chain(offset.to_le_bytes().iter().rev()) {
        register = eight_bits_back(register) ^ u32::from(*byte);
    }
    // The four bytes of the salt went into a register of ones, all at once.
    !(0..4).fold(register, |register, _| eight_bits_back(register))
}

/// The register of a CRC before its last eight steps, as if zeros had gone in.
fn eight_bits_back(register: u32) -> u32 {
    (0..8).fold(register, |register, _| match register >> 31 {
        // The polynomial was added, as its own highest bit shows: a one had been shifted out.
        1 => (register ^ POLYNOMIAL) << 1 | 1,
        _ => register << 1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::new::NewRecord;
    use super::*;
    use crate::engine::base::ids::Seqno;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_salt_a_record_was_written_with_is_found_and_damage_is_seen_without_it(
            salt in any::<u32>(),
            offset in any::<u32>(),
            seq in 1..1_u64 << 62,
            more in any::<bool>(),
            key in prop::collection::vec(any::<u8>(), 1..100),
            value in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let record =
                NewRecord { seq: Seqno(seq), time_ms: seq >> 15, lag: 7, kind: Kind::Put, more, expires_ms: None, key: &key, value: &value, codec: None };
            let mut bytes = Vec::new();
            record.encode(salt, offset.into(), &mut bytes);
            prop_assert!(is_record(&bytes) && plausible_header(&bytes).is_some());
            prop_assert_eq!(super::salt(offset.into(), &bytes), salt);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let is_in_header = (BODY_AT..HEADER_LEN).contains(&at);
            // What both checksums cover alike is seen by the salt alone, which is another one then.
            prop_assert_ne!(is_record(&bytes), !is_in_header);
            prop_assert_eq!(super::salt(offset.into(), &bytes) == salt, (4..8).contains(&at) || at >= HEADER_LEN);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), offset in any::<u64>()) {
            let _ = (plausible_header(&bytes), is_record(&bytes), salt(offset, &bytes));
        }
    }
}
