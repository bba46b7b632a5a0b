//! Properties of logkv for any bytes in its files: one property per format, a function of any
//! input.
//!
//! The fuzzer ([`libFuzzer`](https://llvm.org/docs/LibFuzzer.html)) runs one program in `targets`
//! per property. The integration tests (`tests/it/any_bytes.rs`) include this file and run the
//! properties on random inputs and on the corpus. The properties use only the public API, on a
//! directory in memory.
//!
//! A property for a new format needs a function here, a row in [`PROPERTIES`], a file in `targets`
//! with its `[[bin]]`, and inputs in `corpus`. A test names what is missing. The shell's words have
//! their property in `src/shell/lang/words/any_line.rs`.

pub mod edit;
pub mod invariants;
pub mod memory;
pub mod offline;
pub mod sample;
pub mod seal;

use edit::Edits;
use logkv::SegmentId;
use logkv::fs::StoreFile;
use memory::{Image, file_mut};

/// A property of any input. It panics if the property does not hold.
pub type Property = fn(&[u8]);

/// Every property with the name of its target and corpus.
pub const PROPERTIES: &[(&str, Property)] = &[
    ("directory", directory),
    ("hint", hint),
    ("keydir", keydir),
    ("manifest", manifest),
    ("records", records),
    ("repair", repair),
];

fn sample(is_unclosed: bool) -> Image {
    if is_unclosed { sample::unclosed() } else { sample::closed() }.clone()
}

/// Returns the bits of the input's first byte, and the rest of the input.
fn bits(input: &[u8]) -> (impl Fn(u32) -> bool, &[u8]) {
    let (first, rest) = input.split_first().map_or((0, input), |(first, rest)| (*first, rest));
    (move |bit| first >> bit & 1 == 1, rest)
}

/// Reads the input as the records of a sealed or active segment, in a closed or unclosed store,
/// with or without correct checksums.
pub fn records(input: &[u8]) {
    let (bit, input) = bits(input);
    let mut image = sample(bit(0));
    let id = if bit(1) { sample::LAST_SEGMENT } else { SegmentId(1) };
    let segment = file_mut(&mut image, StoreFile::Segment(id));
    segment.truncate(seal::SEGMENT_HEADER_LEN);
    segment.extend_from_slice(input);
    // The hint and KEYDIR describe the segment before the change. They would count as damage.
    image.retain(|(name, _)| *name != StoreFile::Keydir && *name != StoreFile::Hint(id));
    if bit(2) {
        seal::all_records(&mut image);
    }
    invariants::check(&image);
}

/// Reads the input as MANIFEST, with or without a correct checksum.
pub fn manifest(input: &[u8]) {
    let (bit, input) = bits(input);
    let mut image = sample(bit(0));
    let text = file_mut(&mut image, StoreFile::Manifest);
    *text = input.to_vec();
    if bit(1) {
        seal::manifest(text);
    }
    invariants::check(&image);
}

/// Reads the input as the hint of a segment, with or without a correct checksum.
pub fn hint(input: &[u8]) {
    let (bit, input) = bits(input);
    let mut image = sample(bit(0));
    if bit(1) {
        image.retain(|(name, _)| *name != StoreFile::Keydir);
    }
    let hint = file_mut(&mut image, StoreFile::Hint(SegmentId(if bit(2) { 2 } else { 1 })));
    *hint = input.to_vec();
    if bit(3) {
        seal::hint(hint);
    }
    invariants::check(&image);
}

/// Reads the input as edits of KEYDIR, which is too long for an input.
pub fn keydir(input: &[u8]) {
    invariants::check(&edited(input, |name| name == StoreFile::Keydir));
}

/// Reads the input as edits of all files.
pub fn directory(input: &[u8]) {
    invariants::check(&edited(input, |_| true));
}

/// Reads the input as edits of all files, and repairs the store.
pub fn repair(input: &[u8]) {
    invariants::check_repair(&edited(input, |_| true));
}

fn edited(input: &[u8], is_edited: fn(StoreFile) -> bool) -> Image {
    let edits = Edits::of(input);
    let mut image = sample(edits.is_unclosed);
    edits.apply(&mut image, is_edited);
    image
}
