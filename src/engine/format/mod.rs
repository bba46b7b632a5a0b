//! Bytes to values and values to bytes, and nothing else.
//!
//! No file, no clock, no panic: the same functions serve reads, recovery, the inspector and the fuzzer, on any
//! bytes whatever. All numbers are little-endian. Every checksum is CRC-32C (Castagnoli, RFC 3720 appendix B.4),
//! every hash is XXH3 (64 bits, seeded).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub(crate) mod codec;
pub(crate) mod hint;
pub(crate) mod keydir_file;
pub(crate) mod manifest;
pub(crate) mod record;
pub(crate) mod segment_header;

/// A field of a fixed layout: the one place that says where it stands, read by the decoder's tests, by
/// `dump-segment --hex` and by the format drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name, as in the drawing.
    pub name: &'static str,
    /// Bytes from the start of the structure.
    pub at: usize,
    /// Bytes it takes.
    pub len: usize,
}

/// The seeded hash of a key: its top bits choose the keydir's shard and slot.
pub(crate) fn key_hash(seed: u64, key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, seed)
}

/// `len` rounded up to the next multiple of 8; lengths in this format are far below 2^63.
pub(crate) const fn pad8(len: u64) -> u64 {
    len.saturating_add(7) & !7
}

/// The `N` bytes at `at`, zeros where `bytes` ends before: decoders check the length first.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|slice| slice.try_into().ok())
        .unwrap_or([0; N])
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// A 48-bit number.
pub(crate) fn u48_at(bytes: &[u8], at: usize) -> u64 {
    let [a, b, c, d, e, f] = array(bytes, at);
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// The low 48 bits of `value`.
pub(crate) fn u48_bytes(value: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, _, _] = value.to_le_bytes();
    [a, b, c, d, e, f]
}

/// Puts `field` at `at` of `bytes`, which have room for it.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(field) {
        *to = *from;
    }
}
