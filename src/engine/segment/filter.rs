//! A membership filter over hashes. It never misses a hash of its set, and rules out most others.
//!
//! It is a binary fuse filter with fingerprints of 8 bits (Thomas Mueller Graf and Daniel Lemire,
//! "Binary Fuse Filters: Fast and Smaller Than Xor Filters", ACM Journal of Experimental
//! Algorithmics 27, 2022). A lookup reads three bytes, and is wrong for one in 256 of the hashes
//! outside the set. The filter takes 9 bits per hash for a million hashes, 9.5 for 100,000 and 11.4
//! for 1,000. It is immutable and read in place.
//!
//! ```text
//!  0        8           12              16           20
//!  | seed   | block_len | block_len - 1 | places_len | fingerprints: places_len + 2 * block_len bytes |
//!  | u64    | u32       | u32           | u32        | u8 each                                        |
//! ```
//!
//! A hash has three fingerprints in three neighbouring blocks. The first block starts below
//! `places_len`. The eight bytes `nothing.` are a filter over no hashes. Any other bytes, or none
//! at all, are not a filter and rule out no hash.

use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

use crate::engine::format::u32_at;

const SEED_AT: usize = 0;
const BLOCK_LEN_AT: usize = SEED_AT + size_of::<u64>();
const BLOCK_MASK_AT: usize = BLOCK_LEN_AT + size_of::<u32>();
const PLACES_LEN_AT: usize = BLOCK_MASK_AT + size_of::<u32>();
const DESCRIPTOR_LEN: usize = PLACES_LEN_AT + size_of::<u32>();
// The layout is that of the crate and is stored on disk. If this fails, bump the version of the
// hint format.
const _: () = assert!(DESCRIPTOR_LEN == BinaryFuse8::DESCRIPTOR_LEN);

/// A filter over no hashes. It is not all zeros, because a hole in a file must not rule out a key.
const NOTHING: [u8; 8] = *b"nothing.";

/// Builds a filter over `hashes`, and sorts and deduplicates them.
///
/// Takes about 30 bytes of memory per hash. If no filter is found, which is not known to happen,
/// the result is empty, and [`may_hold`] is true for every hash.
pub(crate) fn build(hashes: &mut Vec<u64>) -> Vec<u8> {
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return NOTHING.to_vec();
    }
    BinaryFuse8::try_from(hashes.as_slice())
        .map(|filter| encode(&filter))
        .ok()
        // A missed hash would let compaction drop a tombstone with an older put: the deleted key
        // would come back.
        .filter(|bytes| hashes.iter().all(|&hash| may_hold(bytes, hash)))
        .unwrap_or_default()
}

fn encode(filter: &BinaryFuse8) -> Vec<u8> {
    let mut bytes = vec![0; DESCRIPTOR_LEN];
    filter.dma_copy_descriptor_to(&mut bytes);
    bytes.extend_from_slice(filter.dma_fingerprints());
    bytes
}

/// Returns whether `hash` may be in the set of `filter`. `false` is certain if the bytes are
/// intact. Bytes that are not a filter give `true`.
pub(crate) fn may_hold(filter: &[u8], hash: u64) -> bool {
    if filter == NOTHING {
        return false;
    }
    match filter.split_at_checked(DESCRIPTOR_LEN) {
        Some((descriptor, fingerprints)) if is_sound(descriptor, fingerprints.len()) => {
            BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&hash)
        }
        _ => true,
    }
}

/// Returns whether all three places of every hash are within `count` fingerprints. The crate does
/// not check, and panics or overflows otherwise.
fn is_sound(descriptor: &[u8], count: usize) -> bool {
    let block_len = u32_at(descriptor, BLOCK_LEN_AT);
    let mask = u32_at(descriptor, BLOCK_MASK_AT);
    let places_len = u32_at(descriptor, PLACES_LEN_AT);
    // The crate adds them as 32-bit numbers, which must not overflow.
    let len = block_len.checked_mul(2).and_then(|two_blocks| two_blocks.checked_add(places_len));
    // The crate moves a place within its block by a xor of masked bits. The place stays in the
    // block only if the block is aligned.
    let has_blocks = block_len.is_power_of_two() && mask == block_len - 1;
    has_blocks
        && places_len > 0
        && places_len.is_multiple_of(block_len)
        && len.is_some_and(|len| usize::try_from(len) == Ok(count))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::format::{key_hash, u64_at};

    fn hashes(numbers: Range<u64>) -> Vec<u64> {
        numbers.map(|number| key_hash(42, &number.to_le_bytes())).collect()
    }

    fn assert_no_hash_is_missed(mut hashes: Vec<u64>) {
        let filter = build(&mut hashes);
        assert!(!filter.is_empty(), "no filter over {} hashes", hashes.len());
        assert!(hashes.iter().all(|&hash| may_hold(&filter, hash)), "one of {} is missed", hashes.len());
    }

    #[test]
    fn no_hash_is_missed_in_sets_of_any_size() {
        for count in (0..200).chain([1000, 1023, 1024, 1025, 10_000, 65_536]) {
            assert_no_hash_is_missed(hashes(0..count));
        }
    }

    #[test]
    fn special_numbers_are_not_missed() {
        assert_no_hash_is_missed((0..1000).collect());
        let mut bits: Vec<u64> = (0..64).map(|bit| 1 << bit).chain([0, u64::MAX]).collect();
        let seed = u64_at(&build(&mut bits), SEED_AT);
        // The crate adds its seed to a hash and mixes the sum. It marks free places with zero,
        // which this number becomes.
        bits.push(seed.wrapping_neg());
        assert_no_hash_is_missed(bits);
    }

    #[test]
    fn the_order_and_repetition_of_hashes_do_not_change_the_filter() {
        let mut once = hashes(0..100);
        let mut twice: Vec<u64> = once.iter().chain(&once).rev().copied().collect();
        assert_eq!(build(&mut once), build(&mut twice));
        assert_eq!(once, twice);
    }

    #[test]
    fn an_empty_set_rules_out_every_hash_and_no_filter_rules_out_none() {
        let nothing = build(&mut Vec::new());
        for hash in hashes(0..1000) {
            assert!(!may_hold(&nothing, hash));
            assert!(may_hold(&[], hash));
        }
    }

    #[test]
    fn at_100_000_hashes_a_filter_takes_9_5_bits_each_and_is_wrong_at_most_once_in_100() {
        let filter = build(&mut hashes(0..100_000));
        assert!((940_000..955_000).contains(&(filter.len() * 8)), "{} bytes", filter.len());
        let wrong = hashes(100_000..200_000).into_iter().filter(|&hash| may_hold(&filter, hash)).count();
        assert!(wrong <= 1000, "{wrong} of 100000 other hashes");
    }

    /// Filters are stored in files. This fails if a new version of the crate builds other bytes.
    #[test]
    fn the_bytes_of_a_filter_are_those_that_version_1_0_of_the_hint_holds() {
        let built = build(&mut hashes(0..3));
        let hex: String = built.iter().map(|byte| format!("{byte:02x}")).collect();
        let drawn = "c15c0289ec2d0a91 08000000 07000000 08000000 \
                     65000000000000000000000000000000000000000000911d";
        assert_eq!(hex, drawn.replace(' ', ""));
        assert_eq!(crc32c::crc32c(&build(&mut hashes(0..5000))), 0x514f_86e6);
    }

    #[test]
    fn a_lookup_never_panics_whatever_the_descriptor() {
        for (block_len, places_len) in
            (0..=17_u32).flat_map(|block| (0..=40_u32).map(move |len| (block, len)))
        {
            for mask in [block_len.wrapping_sub(1), block_len, 1, u32::MAX] {
                for count in 0..80 {
                    ask_all(block_len, mask, places_len, count);
                }
            }
        }
        for huge in [1 << 31, u32::MAX] {
            ask_all(huge, huge - 1, 8, 24);
            ask_all(8, 7, huge & !7, 8);
        }
    }

    fn ask_all(block_len: u32, mask: u32, places_len: u32, count: usize) {
        let numbers = [block_len, mask, places_len].map(u32::to_le_bytes);
        let filter = [&[7; 8][..], numbers.as_flattened(), &vec![0; count]].concat();
        for hash in hashes(0..16) {
            let _ = may_hold(&filter, hash);
        }
    }

    #[test]
    fn a_truncated_or_longer_filter_rules_out_nothing() {
        let filter = build(&mut hashes(0..10));
        let longer = [&filter[..], &[0]].concat();
        let cut = (0..filter.len()).map(|len| &filter[..len]);
        for bytes in cut.chain([&longer[..]]) {
            assert!(hashes(0..1000).into_iter().all(|hash| may_hold(bytes, hash)), "{} bytes", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn no_hash_of_any_set_is_missed(mut hashes in prop::collection::vec(any::<u64>(), 0..500)) {
            let filter = build(&mut hashes);
            prop_assert!(!filter.is_empty());
            prop_assert!(hashes.iter().all(|&hash| may_hold(&filter, hash)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            filter in prop::collection::vec(any::<u8>(), 0..200),
            hash in any::<u64>(),
        ) {
            let _ = may_hold(&filter, hash);
        }
    }
}
