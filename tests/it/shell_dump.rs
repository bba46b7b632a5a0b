//! `dump-segment` in every mode, on a fixed store, intact and damaged.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use logkv::{Compression, Expiry, ManualClock, Options, Store};

use crate::common::{files, program, quick, scratch, segment_path};
use crate::hooked::{SteadyRandom, hooked};
use crate::transcript::Transcript;

/// 2026-01-31T05:56:40Z.
const NOON: u64 = 1_769_839_000_000;

fn options(clock: &Arc<ManualClock>) -> Options {
    quick().clock(clock.clone()).file_system(hooked(SteadyRandom::default()))
}

/// A store `d` of two segments, with keys of every kind and records of every fate.
fn with_history() -> Transcript {
    let transcript = Transcript::new();
    write_history(&transcript.path("d")).close().expect("is closed");
    transcript
}

/// The same store after its writer was killed.
fn with_killed_writer() -> Transcript {
    let transcript = Transcript::new();
    let original = scratch();
    let store = write_history(original.path());
    fs::create_dir(transcript.path("d")).expect("creates a directory");
    for (name, bytes) in files(original.path()) {
        fs::write(transcript.path("d").join(name), bytes).expect("writes a file");
    }
    drop(store);
    transcript
}

fn write_history(dir: &Path) -> Store {
    let clock = Arc::new(ManualClock::at(NOON));
    let store = Store::open_with(dir, options(&clock)).expect("a new store opens");
    let put = |key: &[u8], value: &[u8]| {
        clock.advance(405);
        store.put(key, value).expect("is written");
    };
    put(b"user:1", b"alice");
    put(b"user:2", b"bob");
    put(b"user:1", b"Alice Cooper");
    store.delete("user:2").expect("is written");
    put(b"\x00\xff binary", &(0..=255).collect::<Vec<u8>>());
    put(b"\x1b[31mred\x1b]0;title\x07", b"\x1b[2Jcleared");
    put("日本".as_bytes(), "語".as_bytes());
    put(b"empty", b"");
    store.rotate().expect("is sealed");
    put(b"user:1", b"Alice C. Cooper");
    store.delete("nobody").expect("the key is missing");
    put(b"two\nlines", b"one\ttab");
    store.delete("empty").expect("is written");
    store
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("exists");
    change(&mut bytes);
    fs::write(path, bytes).expect("can be written");
}

#[test]
fn a_compressed_value_is_shown_decompressed_with_its_stored_length() {
    let mut transcript = Transcript::new();
    let clock = Arc::new(ManualClock::at(NOON));
    for (key, compression) in
        [("a", Compression::None), ("b", Compression::Lz4), ("c", Compression::Zstd { level: 3 })]
    {
        let store = Store::open_with(transcript.path("d"), options(&clock).compression(compression));
        let store = store.expect("opens");
        store.put(key, "again and ".repeat(20)).expect("is written");
        store.close().expect("is closed");
    }
    transcript
        .run("d get c")
        .run("--width 100 -m table d dump-segment 1")
        .run("--width 100 -m table d dump-segment 1 --hex")
        .run("d dump-segment 1")
        .run("--json d dump-segment 1")
        .run("-m table d stats")
        .run("d stats")
        .run("--json d stats")
        .run("d verify")
        .run("--compression zstd:9 d put d x")
        .run("--compression gzip d count")
        .run("--compression zstd:23 d count");
    transcript.compare("shell-compression");
}

#[test]
fn a_segment_is_listed_at_any_terminal_width() {
    let mut transcript = with_history();
    for options in ["--width 80", "--width 100", "--width 140", "--width 48", "--width 80 --ascii"] {
        transcript.run(&format!("-m table {options} d dump-segment 1"));
    }
    transcript.run("-m table --width 80 d dump-segment 000002.seg");
    transcript.compare("shell-dump-table");
}

#[test]
fn a_segment_is_listed_with_all_fields_for_programs() {
    let mut transcript = with_history();
    for mode in ["plain", "json", "raw"] {
        transcript.run(&format!("-m {mode} d dump-segment 1")).run(&format!("-m {mode} d dump-segment 2"));
    }
    transcript.compare("shell-dump-programs");
}

#[test]
fn the_hex_view_shows_and_explains_every_byte() {
    let mut transcript = with_history();
    transcript.run("-m table --width 80 d dump-segment 2 --hex");
    for width in [120, 60, 48] {
        transcript.run(&format!("-m table --width {width} d dump-segment 1 --record 4 --hex"));
    }
    transcript.run("-m table --width 80 --ascii d dump-segment 1 --record 5 --hex --values full");
    transcript.run("-m table --width 80 d dump-segment 1 --record 4 --hex --values full");
    transcript.run("-m table --width 80 d dump-segment 1 --record 4 --hex --values none");
    transcript.compare("shell-dump-hex");
}

#[test]
fn filters_select_records_and_the_last_line_has_the_next_page_command() {
    let mut transcript = with_history();
    for flags in [
        "--values full",
        "--values none",
        "--only live",
        "--only dead",
        "--only tomb",
        "--only expired",
        "--only bad",
        "--key 'user:*'",
        "--record 2",
        "--record 8",
        "--tail 2",
        "--tail 1 --only dead",
        "--limit 2",
        "--from 0x70 --limit 2 --key 'user:*' --values none",
        "--from 999999",
        "--limit 0",
    ] {
        transcript.run(&format!("-m table --width 80 d dump-segment 1 {flags}"));
    }
    transcript.run("--json d dump-segment 1 --limit 1 --values none");
    for line in ["dump-segment 3", "dump-segment x", "dump-segment 0", "dump-segment 1 --only some"] {
        transcript.run(&format!("d {line}"));
    }
    transcript.compare("shell-dump-filters");
}

#[test]
fn a_damaged_record_is_shown_with_both_checksums_and_the_records_after_it() {
    let mut transcript = with_history();
    // A byte of the value of record 2, and one of the header of record 6.
    change(&segment_path(&transcript.path("d"), 1), |bytes| {
        let at = bytes.windows(12).position(|window| window == b"Alice Cooper").expect("exists");
        bytes[at] ^= 1;
        let at = bytes.windows(6).position(|window| window == "日本".as_bytes()).expect("exists");
        bytes[at - 16] ^= 1;
    });
    for options in ["-m table --width 80", "-m table --width 48 --ascii", "-m plain", "-m json"] {
        transcript.run(&format!("-r {options} d dump-segment 1"));
    }
    transcript.run("-r -m table --width 80 d dump-segment 1 --only bad");
    transcript.run("-r -m table --width 80 d dump-segment 1 --only bad --hex");
    transcript.run("-r d get user:1 日本");
    transcript.compare("shell-dump-damaged-record");
}

#[test]
fn a_damaged_segment_header_is_reported_and_its_records_are_shown() {
    let mut transcript = with_history();
    change(&segment_path(&transcript.path("d"), 1), |bytes| bytes[40] ^= 1);
    for options in ["-m table --width 80", "-m plain", "-m json"] {
        transcript.run(&format!("-r {options} d dump-segment 1"));
    }
    transcript.run("-r -m table --width 80 d dump-segment 1 --record 0 --hex");
    transcript.compare("shell-dump-damaged-header");
}

#[test]
fn a_torn_tail_is_shown_before_it_is_truncated() {
    let mut transcript = with_killed_writer();
    let active = segment_path(&transcript.path("d"), 2);
    change(&active, |bytes| {
        let len = bytes.len();
        bytes.truncate(len - 13);
    });
    let torn = fs::read(&active).expect("exists");
    for options in ["-m table --width 80", "-m table --width 48 --ascii", "-m plain", "-m json"] {
        transcript.run(&format!("-r {options} d dump-segment 2"));
    }
    transcript.run("-m table --width 80 d dump-segment 2");
    assert_eq!(fs::read(&active).expect("exists"), torn, "the dump changed the file");
    transcript.run("d count").run("-m table --width 80 d dump-segment 2");
    transcript.compare("shell-dump-torn-tail");
}

#[test]
fn a_closed_active_segment_that_was_truncated_is_damaged_and_not_torn() {
    let mut transcript = with_history();
    change(&segment_path(&transcript.path("d"), 2), |bytes| bytes.truncate(200));
    transcript.run("-r -m table --width 80 d dump-segment 2");
    transcript.compare("shell-dump-cut-short");
}

#[test]
fn an_orphan_segment_can_be_dumped() {
    let mut transcript = with_history();
    fs::copy(segment_path(&transcript.path("d"), 1), segment_path(&transcript.path("d"), 9))
        .expect("copies a file");
    transcript.run("-r -m table --width 80 d dump-segment 9");
    transcript.run("-r -m table --width 80 d dump-segment 7");
    transcript.compare("shell-dump-orphan");
}

#[test]
fn a_segment_of_a_store_that_does_not_open_can_be_dumped() {
    let mut transcript = with_history();
    change(&transcript.path("d").join("MANIFEST"), |bytes| bytes[20] ^= 1);
    transcript.run("d get user:1");
    for mode in ["table", "plain", "json"] {
        transcript.run(&format!("-m {mode} --width 80 d dump-segment 2"));
    }
    transcript.run("d dump-segment 3");
    fs::remove_file(transcript.path("d").join("MANIFEST")).expect("exists");
    transcript.run("-m table --width 80 d dump-segment 2");
    transcript.run("foreign dump-segment 1");
    transcript.compare("shell-dump-unopened");
}

#[test]
fn a_page_of_records_ends_with_the_next_page_command() {
    let mut transcript = Transcript::new();
    let clock = Arc::new(ManualClock::at(NOON));
    let store = Store::open_with(transcript.path("d"), options(&clock)).expect("a new store opens");
    for number in 0..45 {
        store.put(format!("key{number:02}"), "value").expect("is written");
    }
    store.close().expect("is closed");
    for mode in ["table", "plain"] {
        transcript.run(&format!("-m {mode} --width 80 d keys"));
        transcript.run(&format!("-m {mode} --width 40 d scan --reverse"));
    }
    transcript.run("-m table --width 80 d keys --all --long");
    transcript.run("-m table --width 80 d keys --limit 3");
    transcript.run("-m table --width 80 d dump-segment 1 --from 0x400 --limit 3");
    transcript.compare("shell-pages");
}

#[test]
fn a_state_has_the_same_name_in_every_mode_and_in_its_flag() {
    let dir = scratch();
    let store = Store::open_with(dir.path().join("d"), quick()).expect("a new store opens");
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")] {
        store.put(key, value).expect("is written");
    }
    store.delete("b").expect("is written");
    store.expire("c", Expiry::At(1)).expect("is written");
    store.close().expect("is closed");
    let shown = |mode: &str, line: &[&str]| {
        let output = program(dir.path()).args(["--width", "120", "-m", mode, "d"]).args(line).output();
        String::from_utf8(output.expect("runs").stdout).expect("text")
    };
    for (state, key) in [("live", "a"), ("dead", "a"), ("tomb", "b"), ("expired", "c")] {
        for line in [&["dump-segment", "1", "--only", state][..], &["versions", key]] {
            let table = shown("table", line).to_lowercase();
            assert!(table.contains(&format!("  {state}")), "{table}");
            let plain = shown("plain", line);
            assert!(plain.split(['\t', ' ']).any(|word| word == state), "{plain}");
            let json = shown("json", line);
            assert!(json.contains(&format!("\"state\":\"{state}\"")), "{json}");
        }
    }
}
