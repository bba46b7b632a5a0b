//! A hostile MANIFEST with a correct checksum.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use logkv::verify::{self, VerifyEvent};
use logkv::{Store, Visible};

use crate::common::{quick, rewrite_manifest, scratch, small_store};

/// Inserts lines after the first `keep` lines of MANIFEST.
fn add_lines(dir: &Path, keep: usize, more: &str) {
    let path = dir.join("MANIFEST");
    let text = fs::read_to_string(&path).expect("MANIFEST");
    let kept: String = text.split_inclusive('\n').take(keep).collect();
    fs::write(&path, format!("{kept}{more}crc 0\n")).expect("MANIFEST");
    rewrite_manifest(dir, str::to_owned);
}

#[test]
fn messages_quote_manifest_escaped_and_shortened() {
    const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{200b}";
    let long = ESCAPES.repeat(10_000);
    for (starts, line) in [
        ("logkv manifest", format!("logkv manifest 2.{long}")),
        ("hash", format!("hash {long} seed 00")),
        ("generation", format!("generation {long}")),
        ("segment 000001", format!("segment {long}")),
    ] {
        let dir = small_store();
        rewrite_manifest(
            dir.path(),
            |old| if old.starts_with(starts) { line.clone() } else { old.to_owned() },
        );
        let error = Store::open_with(dir.path(), quick()).expect_err("is no MANIFEST");
        for text in [error.sentence(), format!("{error:?}")] {
            assert!(text.contains(r"\x1b") && text.chars().all(Visible::is), "{text:?}");
            assert!(text.len() < 2000, "{} bytes of messages", text.len());
        }
    }
}

#[test]
fn a_manifest_of_too_many_segments_is_refused() {
    let dir = small_store();
    let line = |id| format!("segment {id:06} base_seq 1 salt 00000000 headers 64+32 sealed 64\n");
    add_lines(dir.path(), 6, &(1..=131_073).map(line).collect::<String>());
    let error = Store::open_with(dir.path(), quick()).expect_err("has too many segments").sentence();
    assert!(error.contains("more than 131,072 segments"), "{error}");
}

#[test]
fn an_oversized_manifest_is_refused() {
    let dir = small_store();
    let file = fs::File::options().write(true).open(dir.path().join("MANIFEST")).expect("exists");
    file.set_len((32 << 20) + 1).expect("extends the file");
    let error = Store::open_with(dir.path(), quick()).expect_err("is too long").sentence();
    assert!(error.contains("it has more than 33,554,432 bytes"), "{error}");
}

#[test]
fn a_manifest_of_thousands_of_missing_segments_is_verified_in_seconds() {
    const COUNT: u64 = 5000;
    let dir = scratch();
    fs::write(
        dir.path().join("MANIFEST"),
        "logkv manifest 1.0\nstore 6b1f0c5e8d7a4b329c0d1e2f3a4b5c6d\nhash xxh3-64 seed 9e3779b97f4a7c15\n\
         generation 12\nnext_segment 500000\nnext_seq 2051\n",
    )
    .expect("MANIFEST");
    let line = |id| format!("segment {id:06} base_seq 1 salt 00000000 headers 64+32 sealed 64\n");
    add_lines(dir.path(), 6, &(1..=COUNT).map(line).collect::<String>());
    let started = Instant::now();
    let go_on = &mut |_: VerifyEvent<'_>| ControlFlow::Continue(());
    let report = verify::store(dir.path(), &quick(), &[], go_on).expect("verifies");
    assert_eq!(report.damage_count, COUNT, "each segment is missing");
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
}
