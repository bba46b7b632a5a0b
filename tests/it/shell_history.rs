//! Queries of the past in the shell: `versions`, `--at`, `diff`.

use crate::transcript::Transcript;

const MODES: [&str; 3] = ["table", "plain", "json"];

#[test]
fn past_versions_and_differences_are_shown_in_every_mode() {
    for mode in MODES {
        let mut transcript = Transcript::new();
        for command in [
            "put user:1 alice user:2 bob",
            "put user:1 'Alice Cooper'",
            "del user:2",
            "put user:3 carol",
            "versions user:1",
            "log user:2",
            "versions --hex 757365723a33",
            "versions nobody",
            "get user:1 user:2 --at 2",
            "get user:3 --at 2",
            "get user:1 --at 2000-01-01",
            "get user:1 --at 0s",
            "keys --at 2",
            "scan 'user:*' --at 2 --from user:2",
            "diff 2",
            "diff 0 3",
            "diff 5",
        ] {
            transcript.run(&format!("-m {mode} --width 80 d {command}"));
        }
        transcript.compare(&format!("shell-history-{mode}"));
    }
}

#[test]
fn compacted_history_is_reported_as_gone_and_retained_history_is_shown() {
    let mut transcript = Transcript::new();
    let script = b"put k 1\nput k 2\nput k 3\nput old 1\ndel old\n";
    transcript.run_with("-m plain d", script).run("d compact --all");
    for command in [
        "get k --at 1",
        "get k --at 3",
        "get old --at 4",
        "versions k",
        "versions old",
        "scan --at 2",
        "diff 1",
    ] {
        transcript.run(&format!("-m plain d {command}"));
    }
    transcript
        .run_with("-m plain --keep-versions 2 kept", script)
        .run("--keep-versions 2 kept compact --all --dry-run");
    transcript.run("--keep-versions 2 kept compact --all").run("-m plain kept versions k");
    transcript.run("-m plain kept get k --at 2").run("-m plain kept get k --at 1");
    transcript
        .run_with("-m plain --keep-for 1h long", script)
        .run("-m plain --keep-for 1h long compact --all");
    transcript.run("-m plain long get k old --at 4").run("-m plain long versions old");
    transcript.compare("shell-history-compacted");
}

#[test]
fn an_invalid_point_is_refused_with_the_valid_forms() {
    let mut transcript = Transcript::new();
    transcript.run("d put a 1");
    for command in [
        "get a --at",
        "get a --at yesterday",
        "get a --at -1",
        "keys --at 1 --reverse",
        "diff",
        "diff now",
        "diff 1 2 3",
        "versions",
        "versions a b",
        "get a --at 99",
        "get a --at 3000-01-01",
        "diff 1 99",
    ] {
        transcript.run(&format!("d {command}"));
    }
    transcript.run_with("d", b"begin\nput a 2\nget a --at 1\nscan --at 1\nrollback\n");
    transcript.run("nowhere versions a");
    transcript.compare("shell-history-refusals");
}

#[test]
fn a_time_of_several_words_needs_no_quotes() {
    let mut transcript = Transcript::new();
    transcript.run("d put a 1 ago 2 12:00 3");
    for command in [
        "get a --at 10m ago",
        "get a --at 2 days ago",
        "get --at 2 days 3 hours ago a",
        "get a ago --at 2999-01-31 12:00",
        "get --at in 2 days -- a",
        "get --at 2999-01-31 -- 12:00",
        "keys --at 10m ago",
        "diff 10m ago",
        "diff 1h 30m ago 1m ago",
        "diff 1h 30m",
        "get a --at 1h 30m",
        "diff 10m ago in 1h",
        "diff 0 in 1h more",
        "put w 1 --until 2999-01-31 12:00",
        "put w 1 --until in 2 days v 2",
        "put w 1 --ttl 10m ago",
        "expire a 1h 30m",
        "expire a --at in 2 days",
        "expire a 10m ago",
    ] {
        transcript.run(&format!("-m plain d {command}"));
    }
    // In a line, quotes keep a word separate.
    transcript.run_with("-m plain d", b"get --at 0s 'ago'\nget ago --at 10m ago\nget --at '0s' ago\n");
    transcript.compare("shell-times-of-words");
}

#[test]
fn the_time_and_the_state_of_a_version_stay_visible_on_a_narrow_terminal() {
    let mut transcript = Transcript::new();
    transcript
        .run_with("-m plain d", b"put k first\nput k 'the second, which is a longer one'\ndel k\nput k 4\n");
    for width in [120, 80, 60, 40] {
        transcript.run(&format!("-m table --width {width} d versions k"));
    }
    transcript.compare("shell-history-width");
}

#[test]
fn a_changed_expiry_is_a_difference_and_shows_both_times() {
    let mut transcript = Transcript::new();
    transcript.run_with("-m plain d", b"put lasts v\nput ends v\nput both 1\nput gone v\n");
    transcript.run("-m plain d -c 'expire ends 100d' -c 'put new v --ttl 100d' -c 'put both 2 --ttl 100d'");
    transcript.run("-m plain d -c 'expire gone 100d' -c 'expire lasts 100d' -c 'persist lasts'");
    for command in ["diff 4", "diff 9 10", "diff 8 9"] {
        for mode in MODES {
            transcript.run(&format!("-m {mode} --width 80 d {command}"));
        }
    }
    transcript.run_with(
        "-m plain d",
        format!("put ends {}\nexpire ends 100d\ndel gone\n", "long".repeat(50)).as_bytes(),
    );
    transcript.run("-m table --width 80 d diff 10").run("-m plain d diff 10 11");
    let put = |key: &str, value: &str| format!("put {} {}\n", key.repeat(50), value.repeat(50));
    let lines = [put("k", "old"), put("k", "new"), put("m", "old"), "put ends short --ttl 9d\n".to_owned()];
    transcript.run_with("-m plain d", lines.concat().as_bytes()).run("-m table --width 80 d diff 14 17");
    transcript.compare("shell-history-expiry");
}

#[test]
fn a_point_of_the_log_can_be_any_human_time_however_extreme() {
    let transcript = Transcript::new();
    let answer = |args: &[&str]| transcript.answer(&[&["d"], args].concat());
    assert_eq!(answer(&["put", "k", "v"]).0, Some(0));
    for at in ["now", "9999-12-31", "9999-12-31T23:59:59.999Z", "tomorrow", "in 1h"] {
        assert_eq!(answer(&["get", "k", "--at", at]), (Some(0), "v\n".to_owned()), "{at}");
        assert_eq!(answer(&["keys", "--at", at]).1, "k\n", "{at}");
    }
    for at in [
        "yesterday",
        "10m ago",
        "1h30m ago",
        "1969-12-31",
        "0001-01-01",
        "-009999-01-01",
        "9999y",
        "1970-01-01",
    ] {
        assert_eq!(answer(&["get", "k", &format!("--at={at}")]), (Some(1), String::new()), "{at}");
        assert_eq!(answer(&["diff", "--", at]), (Some(0), "+\tk\tv\n".to_owned()), "{at}");
        assert_eq!(answer(&["tail", "-n", "1", &format!("--from={at}")]).1.lines().count(), 1, "{at}");
    }
    for at in
        ["-1", "18446744073709551615", "18446744073709551616", "10000-01-01", "2030-02-30", "soon", "never"]
    {
        for command in [["get", "k", "--at"], ["tail", "-f", "--from"]] {
            let (code, out) = answer(&[&command[..], &[at]].concat());
            assert!(matches!(code, Some(1 | 2)) && out.is_empty(), "{command:?} {at}: {code:?} {out}");
        }
    }
}
