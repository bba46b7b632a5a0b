//! Records of a segment whose salt is unknown: how to recognise them, and how to compute the salt.
//!
//! `rcrc` continues `hcrc`: both start with the salt, the offset and the header. The checksum of
//! the bytes after the header, started with `hcrc`, is `rcrc`, so a record is recognised by its
//! bytes alone. Each step of a CRC can be reversed, so `hcrc` gives the salt that it was started
//! with.

use super::{BODY_AT, HEADER_LEN, Kind, RecordHeader};
use crate::engine::format::u32_at;

/// The polynomial of CRC-32C, bit-reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Returns the header at the start of `bytes`, if its fields are possible. Checks nothing that
/// needs the salt.
pub(crate) fn plausible_header(bytes: &[u8]) -> Option<RecordHeader> {
    let header = RecordHeader::peek(bytes.get(..HEADER_LEN)?);
    (header.klen > 0 && Kind::decode(header.kind).is_ok()).then_some(header)
}

/// Returns whether `bytes` are exactly an intact record, with any salt and at any offset.
pub(crate) fn is_record(bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_at_checked(HEADER_LEN) else { return false };
    let RecordHeader { hcrc, rcrc, .. } = RecordHeader::peek(header);
    crc32c::crc32c_append(hcrc, body) == rcrc
}

/// Returns the only salt for which the checksum of the record header at `offset` is right.
pub(crate) fn salt(offset: u64, bytes: &[u8]) -> u32 {
    let covered = bytes.get(BODY_AT..HEADER_LEN).unwrap_or_default();
    let mut register = !u32_at(bytes, RecordHeader::AT.hcrc);
    for byte in covered.iter().rev().chain(offset.to_le_bytes().iter().rev()) {
        register = eight_bits_back(register) ^ u32::from(*byte);
    }
    // The register starts as ones. Adding all four bytes of the salt at once gives the inverted
    // salt.
    !(0..4).fold(register, |register, _| eight_bits_back(register))
}

/// Reverses eight steps of a CRC with zeros as input.
fn eight_bits_back(register: u32) -> u32 {
    (0..8).fold(register, |register, _| match register >> 31 {
        // The highest bit shows that the polynomial was added, because a one had been shifted out.
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
        fn the_salt_of_a_record_is_computed_and_damage_is_found_without_it(
            salt in any::<u32>(),
            offset in any::<u32>(),
            seq in 1..1_u64 << 62,
            more in any::<bool>(),
            key in prop::collection::vec(any::<u8>(), 1..100),
            value in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let record = NewRecord {
                seq: Seqno(seq),
                time_ms: seq >> 15,
                lag: 7,
                kind: Kind::Put,
                more,
                expires_ms: None,
                key: &key,
                value: &value,
                codec: None,
            };
            let mut bytes = Vec::new();
            record.encode(salt, offset.into(), &mut bytes);
            prop_assert!(is_record(&bytes) && plausible_header(&bytes).is_some());
            prop_assert_eq!(super::salt(offset.into(), &bytes), salt);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let is_in_header = (BODY_AT..HEADER_LEN).contains(&at);
            // A flip in the header, which both checksums cover, is seen only as another salt.
            prop_assert_ne!(is_record(&bytes), !is_in_header);
            let keeps_salt = (4..8).contains(&at) || at >= HEADER_LEN;
            prop_assert_eq!(super::salt(offset.into(), &bytes) == salt, keeps_salt);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            offset in any::<u64>(),
        ) {
            let _ = (plausible_header(&bytes), is_record(&bytes), salt(offset, &bytes));
        }
    }
}
