//! `compact`, and other reports of compaction, in every mode, on stores that are identical in every
//! run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use logkv::{ManualClock, Options, Store};

use crate::common::{files, log_files, open, quick, segment_path, value};
use crate::hooked::{SteadyRandom, hooked};
use crate::person::{CTRL_C, CTRL_D, Person};
use crate::transcript::Transcript;

/// 2026-01-31T05:56:40Z.
const NOON: u64 = 1_769_839_000_000;

fn options() -> Options {
    quick().clock(Arc::new(ManualClock::at(NOON))).file_system(hooked(SteadyRandom::default()))
}

/// Writes a store of four segments to `dir`: the first is dead, the second has a tombstone for it,
/// the third is live, and the fourth, active, has a dead record.
fn write_history(dir: &Path) {
    fs::create_dir(dir).expect("creates a directory");
    // A seal would start a compaction in the background.
    fs::write(dir.join("logkv.toml"), "compaction = \"off\"\n").expect("writes a file");
    let store = Store::open_with(dir, without_background(options())).expect("a new store opens");
    let put = |key: &str, value: &str| {
        store.put(key, value).expect("is written");
    };
    put("a", "1");
    put("b", "2");
    put("c", "3");
    store.rotate().expect("is sealed");
    put("a", "one");
    store.delete("b").expect("is written");
    put("d", "4");
    put("c", "three");
    store.rotate().expect("is sealed");
    put("e", &"5".repeat(200));
    store.rotate().expect("is sealed");
    put("d", "four");
    put("f", "6");
    put("f", "six");
    store.close().expect("is closed");
}

/// Without background compaction, which a seal would start.
fn without_background(options: Options) -> Options {
    options.compaction(logkv::CompactionPolicy { automatic: false, ..Default::default() })
}

fn with_history() -> Transcript {
    let transcript = Transcript::new();
    write_history(&transcript.path("d"));
    transcript
}

const MODES: [&str; 4] = ["-m table --width 80", "-m table --width 40 --ascii", "-m plain", "-m json"];

/// Runs `compact` with `arguments` in every mode, each on its own store, and then lists the
/// segments.
fn compacted(arguments: &str) -> Transcript {
    let mut transcript = Transcript::new();
    for (number, mode) in MODES.iter().enumerate() {
        let dir = format!("d{number}");
        write_history(&transcript.path(&dir));
        transcript.run(format!("{mode} {dir} compact {arguments}").trim_end());
        transcript.run(&format!("{mode} {dir} segments"));
        let store = open(&transcript.path(&dir));
        let values = ["a", "b", "c", "d", "f"].map(|key| value(&store, key));
        let expected = [Some("one"), None, Some("three"), Some("four"), Some("six")];
        assert_eq!(values.each_ref().map(Option::as_deref), expected, "{mode} {arguments}");
    }
    transcript
}

#[test]
fn due_segments_are_compacted_and_reported_before_and_after() {
    compacted("").compare("shell-compact-due");
}

#[test]
fn compact_all_includes_the_active_segment() {
    compacted("--all").compare("shell-compact-all");
}

#[test]
fn named_segments_are_compacted_and_a_needed_tombstone_stays() {
    compacted("2").compare("shell-compact-named");
    compacted("000001.seg 000003.seg").compare("shell-compact-apart");
}

#[test]
fn each_step_is_reported_with_the_result_of_a_crash_there() {
    compacted("1 2 --step").compare("shell-compact-step");
}

#[test]
fn a_dry_run_shows_the_fate_of_each_record_and_changes_nothing() {
    let mut transcript = with_history();
    let before = files(&transcript.path("d"));
    for mode in MODES {
        for arguments in ["", "--all", "2", "1 3", "1 --limit 1", "1 2 --limit 0"] {
            transcript.run(format!("-r {mode} d compact --dry-run {arguments}").trim_end());
        }
    }
    assert!(files(&transcript.path("d")) == before, "a dry run changed the store");
    transcript.run("-m table --width 80 d merge --dry-run 2");
    transcript.compare("shell-compact-dry-run");
}

#[test]
fn if_nothing_is_due_the_segments_closest_to_it_are_listed() {
    let mut transcript = Transcript::new();
    let store =
        Store::open_with(transcript.path("d"), without_background(options())).expect("a new store opens");
    for keys in [&["a", "b", "c", "d"][..], &["a", "e", "f"], &["b"]] {
        for key in keys {
            store.put(key, "value").expect("is written");
        }
        store.rotate().expect("is sealed");
    }
    store.close().expect("is closed");
    for mode in MODES {
        for command in ["compact", "compact --dry-run", "segments"] {
            transcript.run(&format!("{mode} --compact-dead-percent 60 d {command}"));
        }
    }
    let store = open(&transcript.path("new"));
    store.put("a", "1").expect("is written");
    store.close().expect("is closed");
    for arguments in ["", "--all", "--dry-run"] {
        transcript.run(format!("-m table --width 80 new compact {arguments}").trim_end());
    }
    transcript.compare("shell-compact-nothing-due");
}

#[test]
fn an_impossible_compaction_is_refused_and_changes_nothing() {
    let mut transcript = with_history();
    let before = log_files(&transcript.path("d"));
    for line in [
        "-r d compact",
        "-r d compact 1",
        "-r d compact --all --step",
        "d compact 9",
        "d compact 1 9",
        "d compact 0",
        "d compact 1 4",
        "d compact 4 --dry-run",
        "d compact x",
        "d compact -1",
        "d compact 1 --all",
        "d compact --limit 3",
        "d compact --dry-run --limit many",
        "d compact --dry-run --step",
        "d compact --drry-run",
        "d compcat",
        "none compact",
    ] {
        transcript.run(line);
        assert!(log_files(&transcript.path("d")) == before, "{line} changed the store");
    }
    transcript.compare("shell-compact-refusals");
}

#[test]
fn a_damaged_segment_is_left_alone_and_reported() {
    let mut transcript = Transcript::new();
    for dir in ["hinted", "unhinted"] {
        let path = transcript.path(dir);
        write_history(&path);
        if dir == "hinted" {
            // Opening writes the hints, and a segment with a hint is not read at the next open.
            open(&path).close().expect("is closed");
        }
        let path = segment_path(&path, 1);
        let mut bytes = fs::read(&path).expect("exists");
        // A byte of the first value.
        bytes[64 + 40] ^= 1;
        fs::write(&path, bytes).expect("can be written");
        for command in
            ["compact 1", "compact 1 --dry-run", "compact", "segments", "dump-segment 1", "compact --all"]
        {
            transcript.run(&format!("-m table --width 80 {dir} {command}"));
        }
    }
    transcript.compare("shell-compact-damaged");
}

#[test]
fn dump_segment_shows_the_bytes_that_compaction_would_free() {
    let mut transcript = with_history();
    for segment in 1..=4 {
        for mode in ["-m table --width 80", "-m json"] {
            transcript.run(&format!("{mode} d dump-segment {segment} --limit 1"));
        }
    }
    transcript.run("-m table --width 80 d dump-segment 1 --record 0");
    transcript.compare("shell-compact-dump");
}

#[test]
fn options_of_compaction_have_bounds_and_messages_name_them() {
    let mut transcript = with_history();
    for option in [
        "--compaction on",
        "--compact-dead-percent 0",
        "--compact-dead-percent 101",
        "--compact-dead-size 0",
        "--compact-small-percent 101",
        "--compact-rate 0",
        "--expiry-grace soon",
    ] {
        transcript.run(&format!("{option} d count"));
    }
    transcript.run(
        "--compaction off --compact-dead-percent 60 --compact-rate 10MiB --expiry-grace 0s -m table d config",
    );
    transcript.compare("shell-compact-options");
}

const PROMPT: &str = "logkv d>";

#[test]
fn enter_advances_a_stepwise_compaction() {
    let dir = crate::common::scratch();
    write_history(&dir.path().join("d"));
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (40, 100));
    person.sees_at_end(PROMPT).enters("compact 1 --step");
    person.sees_at_end("Enter copies the needed records into new files, q cancels:").enters("");
    person.sees_at_end("Enter makes the new files durable (fsync), q cancels:").enters("");
    person.sees_at_end("Enter commits (replaces MANIFEST), q cancels:").enters("");
    person.sees_at_end("Enter removes the old files:").enters("");
    person.sees("compacted segment 1: nothing of it was needed").sees_at_end(PROMPT);
    person.types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    assert!(!segment_path(&dir.path().join("d"), 1).exists(), "segment 1 still exists");
}

#[test]
fn q_before_the_commit_cancels_a_compaction_without_a_trace() {
    let dir = crate::common::scratch();
    write_history(&dir.path().join("d"));
    let segments = |store: &Store| store.segments().expect("can be read");
    let before = segments(&open(&dir.path().join("d")));
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (40, 100));
    person.sees_at_end(PROMPT).enters("compact 1 --step").sees_at_end("q cancels:").enters("");
    person.sees("copied").sees_at_end("q cancels:").enters("stop").sees("q cancels: stop");
    person.sees_at_end("Enter makes the new files durable (fsync), q cancels:").enters("q");
    person.sees("cancelled: nothing was compacted").sees_at_end(PROMPT).types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
    assert_eq!(segments(&open(&dir.path().join("d"))), before);
}

#[test]
fn ctrl_d_cancels_a_stepwise_compaction_with_a_message_on_its_own_line() {
    let dir = crate::common::scratch();
    write_history(&dir.path().join("d"));
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (40, 100));
    person.sees_at_end(PROMPT).enters("compact 1 --step").sees_at_end("q cancels:").types(CTRL_D);
    person.sees("q cancels: \ncancelled: nothing was compacted").sees_at_end(PROMPT).types(CTRL_D);
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn ctrl_c_stops_a_compaction_with_130_and_reports_that_nothing_was_compacted() {
    let dir = crate::common::scratch();
    write_history(&dir.path().join("d"));
    let mut person = Person::at_terminal(dir.path(), &["d", "compact", "1", "--step"], &[], (40, 100));
    person.sees_at_end("q cancels:").types(CTRL_C).sees("error: interrupted: nothing was compacted");
    assert_eq!(person.sees_it_end(), Some(130));
    assert!(segment_path(&dir.path().join("d"), 1).exists(), "segment 1 was compacted");
    let args = ["-m", "plain", "d", "compact", "1", "--step"];
    let mut person = Person::at_terminal(dir.path(), &args, &[], (40, 100));
    let report = "runs    0\nleft    0\ncancelled       1\nerror: interrupted: nothing was compacted";
    person.sees_at_end("q cancels:").types(CTRL_C).sees(report);
    assert_eq!(person.sees_it_end(), Some(130));
}

#[test]
fn a_page_of_a_dry_run_shows_the_number_of_remaining_records() {
    let dir = crate::common::scratch();
    fs::create_dir(dir.path().join("d")).expect("creates a directory");
    // A session may compact due segments in the background.
    fs::write(dir.path().join("d/logkv.toml"), "compaction = \"off\"\n").expect("writes a file");
    let store =
        Store::open_with(dir.path().join("d"), without_background(options())).expect("a new store opens");
    for _ in 0..2 {
        for number in 0..50 {
            store.put(format!("key{number:02}"), "value").expect("is written");
        }
        store.rotate().expect("is sealed");
    }
    store.close().expect("is closed");
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (70, 100));
    person.sees_at_end(PROMPT).enters("compact --dry-run 1").sees("… 40 of 50 records");
    person.sees_at_end(PROMPT).enters("clear").enters("compact --dry-run 1 --limit 50").sees("key49");
    assert!(!person.sees_at_end(PROMPT).screen().contains(" of 50 records"), "all records were shown");
}
