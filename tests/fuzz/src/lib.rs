//! What must hold for any bytes that logkv reads: one property a format, each a function of any input.
//!
//! The fuzzer drives them ([`libFuzzer`](https://llvm.org/docs/LibFuzzer.html), a program a property in `targets`), and so
//! do the project's ordinary tests (`tests/it/any_bytes.rs`), which include this very file: at random, and with every
//! input in `corpus`. They go through the library's front door alone, on a directory in memory.
//!
//! A format that comes later (an import, say) takes a function here, a row in [`PROPERTIES`], a file in `targets` with
//! its `[[bin]]`, and inputs in `corpus`; a test says which of them is missing. The shell's words
//! have their property beside them, in `src/shell/lang/words/any_line.rs`.

pub mod edit;
pub mod laws;
pub mod memory;
pub mod offline;
pub mod sample;
pub mod seal;

use edit::Edits;
use logkv::SegmentId;
use logkv::fs::StoreFile;
use memory::{Image, file_mut};

/// A property of any input: returns, or panics.
pub type Property = fn(&[u8]);

/// Every property, by the name of its target and of its corpus.
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

/// The input's first byte, as bits, and the rest.
fn bits(input: &[u8]) -> (impl Fn(u32) -> bool, &[u8]) {
    let (first, rest) = input.split_first().map_or((0, input), |(first, rest)| (*first, rest));
    (move |bit| first >> bit & 1 == 1, rest)
}

/// The input is the records of a segment: of a sealed one, or of the log's end, closed or not; with right checksums or not.
pub fn records(input: &[u8]) {
    let (bit, input) = bits(input);
    let mut image = sample(bit(0));
    let id = if bit(1) { sample::LAST_SEGMENT } else { SegmentId(1) };
    let segment = file_mut(&mut image, StoreFile::Segment(id));
    segment.truncate(seal::SEGMENT_HEADER_LEN);
    segment.extend_from_slice(input);
    // What was derived of the segment as it was is no lie, but it is of another one of the same name.
    image.retain(|(name, _)| *name != StoreFile::Keydir && *name != StoreFile::Hint(id));
    if bit(2) {
        seal::all_records(&mut image);
    }
    laws::hold(&image);
}

/// The input is the text of MANIFEST, with a right checksum or without.
pub fn manifest(input: &[u8]) {
    let (bit, input) = bits(input);
    let mut image = sample(bit(0));
    let text = file_mut(&mut image, StoreFile::Manifest);
    *text = input.to_vec();
    if bit(1) {
        seal::manifest(text);
    }
    laws::hold(&image);
}

/// The input is the hint of a segment, with a right checksum or without.
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
    laws::hold(&image);
}

/// The input says how KEYDIR is edited: it is too long to be an input itself.
pub fn keydir(input: &[u8]) {
    laws::hold(&edited(input, |name| name == StoreFile::Keydir));
}

/// The input says how all files are edited.
pub fn directory(input: &[u8]) {
    laws::hold(&edited(input, |_| true));
}

/// The input says how all files are edited before they are repaired.
pub fn repair(input: &[u8]) {
    laws::hold_for_a_repair(&edited(input, |_| true));
}

fn edited(input: &[u8], are_meant: fn(StoreFile) -> bool) -> Image {
    let edits = Edits::of(input);
    let mut image = sample(edits.is_unclosed);
    edits.apply(&mut image, are_meant);
    image
}
