//! The program from outside: its output, on both streams, and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::shell_help::commands;
use crate::transcript::Transcript;

#[test]
fn every_command_in_every_mode_prints_the_golden_output() {
    for mode in ["table", "plain", "json", "raw"] {
        let mut transcript = Transcript::new();
        for command in [
            "put user:1 alice",
            "put a 1 'b c' 'two words'",
            "put user:1 bob",
            "put user:1 carol --nx",
            "put user:1 carol --xx",
            "get user:1",
            "get user:1 nokey",
            "get --hex 61",
            "exists a nokey",
            "del a nokey",
            "keys",
            "keys --long --reverse",
            "scan 'user:*'",
            "scan --from b --to c",
            "count",
            "count 'b*'",
            "stats",
            "segments",
            "rotate",
            "rotate",
            "sync",
            "config",
            "mode",
            "timer",
            "echo",
            "bail",
            "color",
            "version",
            "history",
            "del --glob 'user:*' -y",
        ] {
            transcript.run(&format!("-m {mode} --width 80 d {command}"));
        }
        transcript.run(&format!(
            "-m {mode} d -c begin -c 'put t 1' -c 'del t u' -c scan -c commit -c begin -c rollback"
        ));
        transcript.compare(&format!("shell-mode-{mode}"));
    }
}

#[test]
fn help_describes_every_command() {
    let mut transcript = Transcript::new();
    transcript.run("--help").run("d help");
    for command in commands(transcript.dir.path()) {
        transcript.run(&format!("d help {command}"));
    }
    transcript.run("d help options").run("-m json d help options");
    transcript.compare("shell-help");
}

/// Calls that fail.
const WRONG: &[&str] = &[
    "",
    "--bogus d",
    "-c 'get a' d get a",
    "--width 3 d",
    "d get a",
    "-r d put a 1",
    "--no-create d put a 1",
    "foreign get a",
    "foreign put a 1",
    "file get a",
    "d put a 1",
    "d frob",
    "d gte a",
    "d get",
    "d put a",
    "d put a b c",
    "d put a b --file x",
    "d put a --file nofile",
    "d put a 1 --nx --xx",
    "d put a 1 b 2 --nx",
    "d put a 1 --ttl soon",
    "d get a --hxe",
    "d get --hex 6",
    "d get a b -o f",
    "d get a -o nodir/f",
    "d del",
    "d del a --glob 'b*'",
    "d del --glob '*'",
    "d keys --limit",
    "d keys --limit many",
    "d keys --all=yes",
    "d mode xml",
    "d count a b",
    "d commit",
    "d rollback",
    "d read nofile",
    "d read foreign",
    "d output nodir/f",
    "d help frob",
    "d -f nofile",
    "d -f foreign",
    "d -c 'put a \"\\q\"'",
    "d -c 'put a \"\\x0\"'",
    "d -c 'put \"a\"b c'",
    "d -c 'put \"open'",
    "d -c begin -c begin",
    "d -c begin -c 'put a 1'",
    "-r d put a 1",
    "-r d -c begin",
    "-r d rotate",
    "d put '' 1",
    "--sync often d get a",
    "--segment-size 1 d get a",
    "--value-limit 1TiB d get a",
    "--read-with eyes d get a",
    "--trust=maybe d get a",
    "--config nofile d get a",
];

#[test]
fn every_error_is_one_sentence_with_the_documented_exit_code() {
    let mut transcript = Transcript::new();
    std::fs::create_dir(transcript.path("foreign")).expect("creates a directory");
    std::fs::write(transcript.path("foreign/notes.txt"), "mine").expect("writes a file");
    std::fs::write(transcript.path("file"), "").expect("writes a file");
    for line in WRONG {
        transcript.run(line);
    }
    for text in ["sync = \"often\"", "snyc = \"always\"", "sync = [1]", "sync =", "trust = true"] {
        std::fs::write(transcript.path("d/logkv.toml"), text).expect("writes a file");
        transcript.run("d get a");
    }
    assert_eq!(std::fs::read(transcript.path("foreign/notes.txt")).expect("exists"), b"mine");
    assert_eq!(std::fs::read_dir(transcript.path("foreign")).expect("exists").count(), 1);
    transcript.compare("shell-errors");
}

#[test]
fn a_script_continues_after_an_error_and_names_its_line() {
    let script = b"\xef\xbb\xbfput a 1\r\n\n# a comment\nfrob\nput b \"two\nlines\"\nget b\nget nokey\nput \
        c \"\\q\"\ncount\nget 'open\n";
    let mut transcript = Transcript::new();
    transcript.run_with("d", script).run_with("--bail d", script).run_with("-e d", b"get a\nquit\nget a\n");
    std::fs::write(transcript.path("inner"), "get a\nfrob\n").expect("writes a file");
    std::fs::write(transcript.path("itself"), "read itself\n").expect("writes a file");
    transcript.run("d -c 'read inner' -c count").run("d read inner").run("d -f itself").run("d -f inner");
    transcript.run_with("d", b"output out\nkeys\noutput\ncount\n");
    assert_eq!(std::fs::read(transcript.path("out")).expect("was written"), b"a\nb\n");
    transcript.compare("shell-scripts");
}

#[test]
fn an_option_comes_from_the_flag_then_the_environment_then_the_file_then_the_default() {
    let mut transcript = Transcript::new();
    transcript.run("d put a 1");
    std::fs::write(transcript.path("d/logkv.toml"), "sync = \"100ms\"\nsegment-size = \"4k\"\n")
        .expect("writes a file");
    let output = transcript
        .command(&["--sync", "never", "d", "config"])
        .env("LOGKV_SYNC", "always")
        .env("LOGKV_SEGMENT_AGE", "1h")
        .output()
        .expect("the program runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "sync\tnever\tflag\nsegment-size\t4KiB\td/logkv.toml\nsegment-age\t1h\tLOGKV_SEGMENT_AGE\n\
        value-limit\t64MiB\tdefault\nread-limit\t64MiB\tdefault\ncompression\tnone\tdefault\n\
        read-with\tmmap\tdefault\ncompaction\tauto\tdefault\ncompact-dead-percent\t50%\tdefault\n\
        compact-dead-size\t256MiB\tdefault\ncompact-small-percent\t25%\tdefault\n\
        compact-rate\tnone\tdefault\nexpiry-grace\t1h\tdefault\nkeep-versions\t1\tdefault\n\
        keep-for\t0s\tdefault\ntrust\tno\tdefault\nmetrics-file\tnone\tdefault\n\
        metrics-interval\t15s\tdefault\nlog\toff\tdefault\n"
    );
}

#[test]
fn binary_values_survive_a_put_from_stdin_or_a_file_and_a_get() {
    let mut transcript = Transcript::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    transcript.run_with("d put k -", &bytes);
    std::fs::write(transcript.path("in"), &bytes).expect("writes a file");
    transcript.run("d put f --file in").run("d get f -o out");
    assert_eq!(std::fs::read(transcript.path("out")).expect("was written"), bytes);
    let output = transcript.command(&["-m", "raw", "d", "get", "k"]).output().expect("the program runs");
    assert_eq!(output.stdout, bytes);
}

#[test]
fn a_program_can_converse_with_a_script_over_a_pipe() {
    let transcript = Transcript::new();
    let mut child = transcript
        .command(&["--json", "d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("is piped"));
    for round in 0..20 {
        writeln!(stdin, "put k {round}").expect("the program reads");
        let mut reply = String::new();
        stdout.read_line(&mut reply).expect("the program answers");
        assert!(reply.starts_with("{\"ok\":true,"), "{reply}");
    }
    drop(stdin);
    assert!(child.wait().expect("the program ends").success());
}

#[test]
fn a_closed_output_ends_the_program_silently() {
    let transcript = Transcript::new();
    let script: String = (0..50_000).map(|number| format!("put k{number} v\n")).collect();
    std::fs::write(transcript.path("script"), script).expect("writes a file");
    let status =
        transcript.command(&["--sync", "never", "d", "-f", "script"]).status().expect("the program runs");
    assert!(status.success());
    let mut child = transcript
        .command(&["d", "keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("reads a key");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_colour_flag_overrides_the_environment() {
    let mut transcript = Transcript::new();
    transcript.run("d put user:1 alice");
    let colored = |flags: &[&str], name: &str| {
        let args = [flags, &["-m", "table", "d", "scan"]].concat();
        let output = transcript.command(&args).env(name, "1").output().expect("the program runs");
        // A heading is bold, and a key is cyan.
        ["\u{1b}[1mkey", "\u{1b}[36muser:1"]
            .map(|part| String::from_utf8_lossy(&output.stdout).contains(part))
    };
    assert_eq!(colored(&["--color", "always"], "NO_COLOR"), [true, true]);
    assert_eq!(colored(&["--color", "never"], "CLICOLOR_FORCE"), [false, false]);
    assert_eq!(colored(&[], "CLICOLOR_FORCE"), [true, true]);
    assert_eq!(colored(&[], "NO_COLOR"), [false, false]);
}

#[test]
fn tables_round_the_memory_share_of_few_keys_and_group_digits() {
    let transcript = Transcript::new();
    assert_eq!(transcript.answer(&["-q", "d", "put", "a", "1", "b", "2"]).0, Some(0));
    let (_, table) = transcript.answer(&["-m", "table", "d", "stats", "--memory"]);
    assert!(table.contains("index, share in use") && table.contains("<1%"), "{table}");
    assert!(!table.contains("of a key"), "{table}");
    let lines: String = (0..12_345).map(|n| format!("put key:{n} {n}\n")).collect();
    fs::write(transcript.path("lines"), lines).expect("a file");
    assert_eq!(transcript.answer(&["--sync", "never", "d", "-f", "lines"]).0, Some(0));
    let (_, table) = transcript.answer(&["-m", "table", "d", "stats"]);
    assert!(table.contains("12,347") && table.contains("last record"), "{table}");
    // Numbers that can be typed back are not grouped.
    assert!(table.lines().any(|line| line.contains("last record") && line.ends_with(" 12347")), "{table}");
    assert_eq!(transcript.answer(&["-m", "table", "d", "count"]).1, "12,347\n");
    assert_eq!(transcript.answer(&["-m", "plain", "d", "count"]).1, "12347\n");
    assert_eq!(transcript.answer(&["-m", "json", "d", "count"]).1, "{\"count\":12347}\n");
    let (_, deleted) = transcript.answer(&["-m", "table", "d", "del", "-y", "--glob", "key:*"]);
    assert_eq!(deleted, "deleted 12,345 of 12,345\n");
}
