//! Standard streams, named pipes and Ctrl-C.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::{binary, interrupt, open, piped, program_of_system, scratch, skipped, wait_until};
use crate::machine::works;
use crate::person::Person;
use crate::transcript::{Transcript, command};

#[test]
fn keys_and_values_end_with_nul_on_request_for_xargs() {
    let mut transcript = Transcript::new();
    transcript.run_with("d", b"put plain 1 'two words' \"line\\nbreak\" \"t\\tab\" \"\\xff\"\n");
    for mode in ["plain", "raw"] {
        let run = |args: &[&str]| {
            transcript.command(&[&["-m", mode, "d"], args].concat()).output().expect("runs").stdout
        };
        assert_eq!(run(&["keys", "-0"]), b"plain\0t\tab\0two words\0", "{mode}");
        assert_eq!(run(&["keys", "--null", "t*", "--reverse"]), b"two words\0t\tab\0", "{mode}");
        assert_eq!(run(&["scan", "-0", "--limit", "2"]), b"plain\x001\0t\tab\0\xff\0", "{mode}");
    }
    let keys = transcript.command(&["d", "keys", "-0"]).output().expect("runs").stdout;
    let mut xargs = program_of_system("xargs", transcript.dir.path());
    let mut child = piped(xargs.args(["-0", "-n", "1"]).arg(binary()).args(["d", "get"]));
    child.stdin.take().expect("is piped").write_all(&keys).expect("reads");
    assert_eq!(child.wait_with_output().expect("exits").stdout, b"1\n\xff\nline\nbreak\n");
    transcript.run("d put --hex 6100 31 62 3000 63 33");
    transcript.run("d keys -0 --limit 3").run("d scan -0 --limit 4");
    transcript.run("-m table d keys -0").run("--json d scan -0").run("d keys -0 --long").run("d count -0");
    transcript.compare("shell-pipe-null");
    let mut person = Person::at(transcript.dir.path(), &["-m", "plain", "d"], &[]);
    person.sees_at_end("logkv d>").enters("keys -0").sees("on a terminal it needs mode raw");
    person.sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

#[test]
fn a_dash_means_a_standard_stream_for_every_file_argument_or_is_refused() {
    let mut transcript = Transcript::new();
    fs::write(transcript.path("empty"), "").expect("writes a file");
    transcript.run_with("d put v -", b"\x00\xff\nvalue").run_with("d put f --file -", b"from\nstdin");
    transcript
        .run("d get f -o -")
        .run("-m table d get f -o -")
        .run("--json d get f -o -")
        .run("d get nokey -o -");
    transcript.run("-m table d get nokey --output -").run("d get f v -o -");
    transcript
        .run_with("d read -", b"count\nfrob\nput k -\n")
        .run_with("d -f -", b"count\nread -\nimport -\n");
    transcript.run_with("d -c 'put c -' -c 'get c'", b"where commands do not come from");
    transcript.run_with("d -f empty", b"").run("d -c 'output -' -c count");
    transcript.run_with("d import - --format tsv --rejects -", b"k1\tone\nbad row\nk2\ttwo\n\xff\xfe\n");
    transcript.run_with("-m table d import - --format tsv --rejects -", b"bad row\n");
    transcript.run_with("--json d import - --format tsv --rejects -", b"bad row\n");
    transcript.run("d export - --prefix k").run("d repair --to -").run("--config - d get f").run("- put a 1");
    transcript.run("--metrics-file - d get f").run("d dump-segment -");
    assert!(!transcript.path("-").exists());
    // A quoted dash is a file name.
    transcript.run("d -c 'get f -o \"-\"'");
    assert_eq!(fs::read(transcript.path("-")).expect("was written"), b"from\nstdin");
    transcript.compare("shell-pipe-dash");
    let output = transcript.command(&["d", "get", "v", "-o", "-"]).output().expect("runs");
    assert_eq!(output.stdout, b"\x00\xff\nvalue");
    let mut person = Person::at(transcript.dir.path(), &["d"], &[]);
    person.sees_at_end("logkv d>").enters("get v -o -").sees("on a terminal it needs mode raw");
    // The prompt starts on a new line after a value without a line break.
    person
        .sees_at_end("logkv d>")
        .enters("mode raw")
        .sees_at_end("logkv d>")
        .enters("get k1")
        .sees("\none\n");
    person.sees_at_end("logkv d>").enters("get k2 -o -").sees("\ntwo\n");
    person.sees_at_end("logkv d>").enters("import empty --rejects -").sees("does not write raw rows");
    person.sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
}

/// `logkv` in an environment without inotify.
fn unwatched(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = program_of_system("strace", dir.path());
    command.args(["-f", "-qq", "-o", "trace", "-e", "trace=inotify_init1"]);
    command.args(["-e", "inject=inotify_init1:error=EMFILE"]).arg(binary()).args(args);
    command
}

#[test]
fn a_followed_tail_without_inotify_ends_on_ctrl_c_and_on_a_closed_output() {
    if !works("strace", &["-V"]) {
        return skipped("a followed tail without inotify", "strace is not installed");
    }
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    store.put("a", "1").expect("a put");
    let follow = |first: &str| {
        let mut command = unwatched(&dir, &["-r", "-m", "plain", "d", "tail", "-f", "--from", "1"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("has started");
        assert!(line.ends_with(first), "{line}");
        let trace = || fs::read_to_string(dir.path().join("trace")).unwrap_or_default();
        wait_until(|| trace().contains("EMFILE"));
        let pid =
            trace().split(' ').next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).expect("a number");
        (child, lines, pid)
    };
    let (mut child, lines, _) = follow("PUT\ta\t1\n");
    drop(lines);
    assert_eq!(child.wait().expect("exits").code(), Some(0), "the output is closed");
    fs::remove_file(dir.path().join("trace")).expect("exists");
    let (child, mut lines, pid) = follow("PUT\ta\t1\n");
    store.put("b", "2").expect("a put");
    let mut line = String::new();
    lines.read_line(&mut line).expect("continues");
    assert!(line.ends_with("PUT\tb\t2\n"), "{line}");
    kill_process(pid, Signal::INT).expect("exists");
    let output = child.wait_with_output().expect("exits");
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: interrupted after 2 records"));
    assert_eq!(output.status.code(), Some(130));
}

#[test]
fn ctrl_c_ends_a_wait_for_the_reader_of_a_named_pipe() {
    for line in ["get a -o pipe", "export pipe", "output pipe", "import rows.tsv --rejects pipe"] {
        let dir = scratch();
        fs::write(dir.path().join("rows.tsv"), "bad\n").expect("a file");
        mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let mut child = piped(&mut command(dir.path(), &["--ack", "d"]));
        let mut stdin = child.stdin.take().expect("is piped");
        stdin.write_all(format!("put a 1\ncount\n{line}\n").as_bytes()).expect("reads its input");
        let mut answers = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let mut next = || answers.next().expect("answers").expect("text");
        // Earlier answers are flushed before the wait.
        assert_eq!([next(), next(), next()], ["OK", "1", "OK"], "{line}");
        interrupt(&child);
        let said = next();
        assert!(said.starts_with("ERR 130 interrupted"), "{line}: {said}");
        assert_eq!(child.wait().expect("exits").code(), Some(130), "{line}");
    }
}

#[test]
fn ctrl_c_ends_a_wait_for_the_writer_of_a_pipe() {
    const LINES: [&str; 9] = [
        "d put a --file pipe",
        "d put a -",
        "d read pipe",
        "d read -",
        "d -f pipe",
        "d import pipe",
        "d import -",
        "new restore pipe",
        "new restore -",
    ];
    for line in LINES {
        let dir = scratch();
        open(&dir.path().join("d")).close().expect("closes");
        mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let child = piped(&mut command(dir.path(), &line.split(' ').collect::<Vec<_>>()));
        wait_until(|| catches_ctrl_c(&child));
        interrupt(&child);
        assert_eq!(child.wait_with_output().expect("exits").status.code(), Some(130), "{line}");
    }
}

/// Whether `child` handles SIGINT.
fn catches_ctrl_c(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("exists");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("a mask") & 1 << (Signal::INT.as_raw() - 1) != 0
}
