//! Reports of damage: by the command that meets it, at open, and in the statistics.

use std::fs;
use std::sync::Arc;

use logkv::{ManualClock, Store};

use crate::common::{hint_path, quick, segment_path};
use crate::hooked::{SteadyRandom, hooked};
use crate::transcript::Transcript;

/// Two segments. In the first, a value is damaged, which the open finds if there is no hint.
fn with_damage(transcript: &Transcript, name: &str, has_hint: bool) {
    let steady = hooked(SteadyRandom::default());
    let options = quick().clock(Arc::new(ManualClock::at(1_767_225_600_000))).file_system(steady);
    let dir = transcript.path(name);
    let store = Store::open_with(&dir, options).expect("opens");
    for (key, value) in [("user:1", "alice"), ("user:2", "bob"), ("user:3", "carol")] {
        store.put(key, value).expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("user:4", "dave").expect("a put");
    store.close().expect("closes");
    // The first open after the seal writes the hint.
    drop(Store::open_with(&dir, quick()).expect("opens"));
    assert!(hint_path(&dir, 1).exists());
    if !has_hint {
        fs::remove_file(hint_path(&dir, 1)).expect("a hint");
        drop(fs::remove_file(dir.join("KEYDIR")));
    }
    let path = segment_path(&dir, 1);
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[64 + 48 + 40] ^= 1;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn a_command_that_meets_damage_reports_the_key_and_the_remedy() {
    let mut transcript = Transcript::new();
    with_damage(&transcript, "d", true);
    for mode in ["table", "plain", "json"] {
        for line in [
            "get user:2",
            "get user:1 user:2",
            "exists user:2",
            "ttl user:2",
            "keys",
            "scan user:*",
            "count user:*",
            "versions user:2",
            "get user:2 --at 2",
            "dump-segment 1 --only bad",
            "export",
        ] {
            transcript.run(&format!("-r -m {mode} --width 80 d {line}"));
        }
    }
    for line in ["incr user:2", "expire user:2 1h", "persist user:2", "put user:2 x --nx", "compact 1"] {
        transcript.run(&format!("d {line}"));
    }
    transcript.compare("shell-damage-met");
}

#[test]
fn statistics_include_damage_found_by_the_open_or_by_a_command() {
    let mut transcript = Transcript::new();
    with_damage(&transcript, "d", false);
    with_damage(&transcript, "e", true);
    for mode in ["table", "plain", "json"] {
        transcript.run(&format!("-r -m {mode} --width 80 d stats"));
        transcript.run(&format!("-r -m {mode} --width 80 d segments"));
        for meets in ["get user:2", "verify", "dump-segment 1 --only bad", "tail -n 1"] {
            transcript.run(&format!("-r -q -m {mode} --width 80 e -c '{meets}' -c stats -c segments"));
        }
    }
    transcript.compare("shell-damage-figures");
}

#[test]
fn a_warning_at_open_is_not_dimmed_and_has_the_same_text_without_colours() {
    let transcript = Transcript::new();
    with_damage(&transcript, "d", false);
    let shown = |color: &str| {
        let output = transcript.command(&["-r", "--color", color, "d", "get", "user:1"]).output();
        String::from_utf8(output.expect("runs").stderr).expect("text")
    };
    let (plain, coloured) = (shown("never"), shown("always"));
    assert!(plain.starts_with("warning: 48 B at 1:0x000070 are damaged: "), "{plain}");
    assert!(coloured.starts_with("\u{1b}[33;1mwarning:\u{1b}[0m 48 B at "), "{coloured:?}");
    assert!(!coloured.contains("\u{1b}[2m"), "{coloured:?}");
    let stats = transcript.command(&["-r", "--color", "always", "-m", "table", "d", "stats"]).output();
    let stats = String::from_utf8(stats.expect("runs").stdout).expect("text");
    let last = stats.lines().rev().nth(1).expect("a second line");
    assert!(last.starts_with("\u{1b}[31;1m1 damaged range in segment 1"), "{last:?}");
}

#[test]
fn a_sealed_damaged_log_end_is_listed_as_sealed_everywhere() {
    let mut transcript = Transcript::new();
    transcript.run_with("-m plain d", b"put a 1\nput b 2\n");
    let path = segment_path(&transcript.path("d"), 1);
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[64 + 40] ^= 1;
    fs::write(path, bytes).expect("writes");
    for (options, shown_as) in [("-q", "sealed"), ("-q -r", "active")] {
        let words = options.split(' ').chain(["--json", "d", "-c", "segments", "-c", "dump-segment 1"]);
        let output = transcript.command(&words.collect::<Vec<_>>()).output().expect("runs");
        let shown = String::from_utf8(output.stdout).expect("text");
        assert!(shown.contains(&format!("\"segment\":1,\"state\":\"{shown_as}\"")), "{options}: {shown}");
        assert!(shown.contains(&format!("\"segment\":1,\"role\":\"{shown_as}\"")), "{options}: {shown}");
    }
}
