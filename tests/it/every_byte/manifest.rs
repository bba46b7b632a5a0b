//! MANIFEST with changed bytes, sectors and lines.

use logkv::fs::StoreFile;
use logkv::{Error, ReadWith};

use super::sectors::sector_faults;
use super::{MASKS, SEGMENTS, Sample, after, open, read, samples};
use crate::any_bytes::properties::memory::{Image, Memory, file, file_mut};
use crate::any_bytes::properties::seal;

#[test]
fn a_damaged_manifest_is_refused_and_nothing_changes() {
    for sample in samples() {
        let whole = file(&sample.image, StoreFile::Manifest).expect("MANIFEST");
        let flipped = (0..whole.len()).flat_map(|at| MASKS.map(|mask| (at, mask))).map(|(at, mask)| {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            bytes
        });
        let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
        let sectors = sector_faults(whole, 64).into_iter().map(|(_, _, bytes)| bytes);
        for bytes in flipped.chain(cut).chain(sectors).filter(|bytes| bytes != whole) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut image = sample.image.clone();
            *file_mut(&mut image, StoreFile::Manifest) = bytes;
            for read_only in [true, false] {
                let memory = Memory::of(&image);
                let outcome = open(&memory, ReadWith::Mmap, read_only);
                assert!(matches!(outcome, Err(Error::ManifestDamaged { .. })), "{outcome:?} of {text}");
                assert_eq!(memory.image(), image, "the open changed files");
            }
        }
    }
}

/// MANIFEST with changed lines and a correct checksum, as only a user writes it.
fn with_lines(image: &Image, change: impl FnOnce(&mut Vec<String>)) -> Image {
    let mut image = image.clone();
    let manifest = file_mut(&mut image, StoreFile::Manifest);
    let text = String::from_utf8(manifest.clone()).expect("text");
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with("crc ")).map(str::to_owned).collect();
    change(&mut lines);
    *manifest = (lines.join("\n") + "\n").into_bytes();
    seal::manifest(manifest);
    image
}

/// Whether the store is refused. If so, checks that nothing changed.
fn is_refused(image: &Image) -> bool {
    let memory = Memory::of(image);
    let outcome = open(&memory, ReadWith::Mmap, false);
    let is_refused = matches!(outcome, Err(Error::ManifestDamaged { .. }));
    assert!(!is_refused || memory.image() == *image, "the open changed files");
    is_refused
}

impl Sample {
    /// Checks MANIFEST with line number `n` missing, and with the line twice. Lines from `segments`
    /// on are segments.
    fn drop_and_repeat(&self, n: usize, segments: usize, what: &str) {
        let twice = with_lines(&self.image, |lines| lines.push(lines[n].clone()));
        let left_out = with_lines(&self.image, |lines| drop(lines.remove(n)));
        if n < segments {
            assert!(is_refused(&left_out), "{what}: missing");
            read(&twice, what, ReadWith::Mmap).is(what, &self.whole());
        } else {
            assert!(is_refused(&twice), "{what}: twice");
            // A segment that MANIFEST does not list is no part of the log.
            let id = SEGMENTS[n - segments];
            let others = after(self.records.iter().filter(|record| record.segment != id));
            read(&left_out, what, ReadWith::Mmap).is(what, &others);
        }
    }
}

#[test]
fn missing_repeated_or_exchanged_lines_of_manifest_are_refused_or_change_nothing() {
    for sample in samples() {
        let text = String::from_utf8(file(&sample.image, StoreFile::Manifest).expect("MANIFEST").clone());
        let lines: Vec<String> = text.expect("text").lines().map(str::to_owned).collect();
        let (count, segments) = (lines.len() - 1, lines.len() - 1 - SEGMENTS.len());
        for n in 0..count {
            let what = format!("{}: {}", sample.what, lines[n]);
            sample.drop_and_repeat(n, segments, &what);
            for other in n + 1..count {
                let exchanged = with_lines(&sample.image, |lines| lines.swap(n, other));
                let what = format!("{what}: exchanged with {}", lines[other]);
                // The first segment's line may move up: it stays the first.
                if n == 0 || n >= segments || other > segments {
                    assert!(is_refused(&exchanged), "{what}");
                } else {
                    read(&exchanged, &what, ReadWith::Mmap).is(&what, &sample.whole());
                }
            }
        }
    }
}
