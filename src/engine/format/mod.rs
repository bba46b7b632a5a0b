//! Conversion between the bytes of files and values.
//!
//! This code opens no file, reads no clock and does not panic. The same functions serve reads,
//! recovery, inspection and fuzzing, on arbitrary bytes. All numbers are little-endian. Every
//! checksum is CRC-32C (Castagnoli, RFC 3720 appendix B.4), and every hash is seeded XXH3 with 64
//! bits.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub(crate) mod codec;
pub(crate) mod hint;
pub(crate) mod keydir_file;
pub(crate) mod layout;
pub(crate) mod manifest;
pub(crate) mod record;
pub(crate) mod segment_header;

/// Returns the seeded hash of a key. Its top bits choose the shard and the slot in the keydir.
pub(crate) fn key_hash(seed: u64, key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, seed)
}

/// Rounds `len` up to a multiple of 8. Lengths in this format are far below 2^63.
pub(crate) const fn pad8(len: u64) -> u64 {
    len.saturating_add(7) & !7
}

/// Returns the `N` bytes at `at`, or zeros if `bytes` is too short. Decoders check lengths first.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|slice| slice.try_into().ok())
        .unwrap_or([0; N])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Returns the first `N` bytes, with zeros for those that are missing.
#[inline]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut whole = [0; N];
        put(&mut whole, 0, bytes);
        whole
    })
}

/// Writes `field` at `at`. `bytes` is long enough.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(field) {
        *to = *from;
    }
}
