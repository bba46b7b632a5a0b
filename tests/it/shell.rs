//! The program from outside: what it prints, on which stream, and with which exit code.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A directory to run the program in, and what was seen there.
struct Terminal {
    dir: TempDir,
    seen: String,
}

impl Terminal {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory can be made"), seen: String::new() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        command(self.dir.path(), args)
    }

    /// Runs `logkv` with the words of `line`, and keeps what it says.
    fn run(&mut self, line: &str) -> &mut Self {
        self.run_with(line, b"")
    }

    /// The same with something on the standard input.
    fn run_with(&mut self, line: &str, input: &[u8]) -> &mut Self {
        let words = split(line);
        let mut child = self
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A program that refuses its arguments leaves without reading.
        drop(stdin.write_all(input));
        drop(stdin);
        let output = child.wait_with_output().expect("the program ends");
        self.seen.push_str(&format!("$ logkv {line}\n"));
        for line in input.split_inclusive(|&byte| byte == b'\n') {
            self.seen.push_str(&format!("< {}\n", line.trim_ascii_end().escape_ascii()));
        }
        self.seen.push_str(&String::from_utf8_lossy(&output.stdout));
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            self.seen.push_str(&format!("! {line}\n"));
        }
        if let Some(code) = output.status.code().filter(|&code| code != 0) {
            self.seen.push_str(&format!("[{code}]\n"));
        }
        self
    }

    /// Compares what was seen with the golden file.
    fn compare(&self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        // Thirteen digits are a moment in milliseconds; no length or number gets there.
        settings.add_filter(r"\b\d{13}\b", "1767225600000");
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "2026-01-01T00:00:00.000Z");
        // Keys fall into other shards in each store.
        settings.add_filter(r#"(index in memory +|keydir_bytes"?[\t:])[\d.]+"#, "${1}65000");
        settings.add_filter(r"pid \d+", "pid 4711");
        settings.bind(|| insta::assert_snapshot!(name, self.seen));
    }
}

/// `logkv` in a world without settings of its user.
fn command(dir: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logkv"));
    command.args(args).current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// Splits on blanks; single quotes hold a word together.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_command_in_every_mode_says_what_the_golden_file_says() {
    for mode in ["table", "plain", "json", "raw"] {
        let mut terminal = Terminal::new();
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
            terminal.run(&format!("-m {mode} --width 80 d {command}"));
        }
        terminal.run(&format!(
            "-m {mode} d -c begin -c 'put t 1' -c 'del t u' -c scan -c commit -c begin -c rollback"
        ));
        terminal.compare(&format!("shell-mode-{mode}"));
    }
}

#[test]
fn help_explains_every_command() {
    let mut terminal = Terminal::new();
    terminal.run("--help").run("d help");
    for command in [
        "get",
        "put",
        "del",
        "exists",
        "keys",
        "scan",
        "count",
        "begin",
        "commit",
        "rollback",
        "stats",
        "segments",
        "dump-segment",
        "sync",
        "rotate",
        "config",
        "help",
        "mode",
        "timer",
        "echo",
        "bail",
        "color",
        "read",
        "output",
        "history",
        "clear",
        "version",
        "quit",
    ] {
        terminal.run(&format!("d help {command}"));
    }
    terminal.compare("shell-help");
}

#[test]
fn every_error_is_one_clear_sentence_and_the_right_exit_code() {
    let mut terminal = Terminal::new();
    std::fs::create_dir(terminal.path("foreign")).expect("a directory can be made");
    std::fs::write(terminal.path("foreign/notes.txt"), "mine").expect("a file can be written");
    std::fs::write(terminal.path("file"), "").expect("a file can be written");
    for line in [
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
        "d put --ttl 1 a 1",
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
    ] {
        terminal.run(line);
    }
    for text in ["sync = \"often\"", "snyc = \"always\"", "sync = [1]", "sync =", "trust = true"] {
        std::fs::write(terminal.path("d/logkv.toml"), text).expect("a file can be written");
        terminal.run("d get a");
    }
    assert_eq!(std::fs::read(terminal.path("foreign/notes.txt")).expect("it is there"), b"mine");
    assert_eq!(std::fs::read_dir(terminal.path("foreign")).expect("it is there").count(), 1);
    terminal.compare("shell-errors");
}

#[test]
fn a_script_goes_on_after_an_error_and_names_its_line() {
    let script = b"\xef\xbb\xbfput a 1\r\n\n# a comment\nfrob\nput b \"two\nlines\"\nget b\nget nokey\nput c \"\\q\"\ncount\nget 'open\n";
    let mut terminal = Terminal::new();
    terminal.run_with("d", script).run_with("--bail d", script).run_with("-e d", b"get a\nquit\nget a\n");
    std::fs::write(terminal.path("inner"), "get a\nfrob\n").expect("a file can be written");
    std::fs::write(terminal.path("itself"), "read itself\n").expect("a file can be written");
    terminal.run("d -c 'read inner' -c count").run("d read inner").run("d -f itself").run("d -f inner");
    terminal.run_with("d", b"output out\nkeys\noutput\ncount\n");
    assert_eq!(std::fs::read(terminal.path("out")).expect("it was written"), b"a\nb\n");
    terminal.compare("shell-scripts");
}

#[test]
fn an_option_comes_from_the_flag_then_the_environment_then_the_file_then_the_default() {
    let mut terminal = Terminal::new();
    terminal.run("d put a 1");
    std::fs::write(terminal.path("d/logkv.toml"), "sync = \"100ms\"\nsegment-size = \"4k\"\n")
        .expect("a file can be written");
    let output = terminal
        .command(&["--sync", "never", "d", "config"])
        .env("LOGKV_SYNC", "always")
        .env("LOGKV_SEGMENT_AGE", "1h")
        .output()
        .expect("the program runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "sync\tnever\tflag\nsegment-size\t4KiB\td/logkv.toml\nsegment-age\t1h\tLOGKV_SEGMENT_AGE\n\
         value-limit\t64MiB\tdefault\nread-with\tmmap\tdefault\ntrust\tno\tdefault\n"
    );
}

#[test]
fn values_of_any_bytes_go_in_by_stdin_and_file_and_come_out_as_they_were() {
    let mut terminal = Terminal::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    terminal.run_with("d put k -", &bytes);
    std::fs::write(terminal.path("in"), &bytes).expect("a file can be written");
    terminal.run("d put f --file in").run("d get f -o out");
    assert_eq!(std::fs::read(terminal.path("out")).expect("it was written"), bytes);
    let output = terminal.command(&["-m", "raw", "d", "get", "k"]).output().expect("the program runs");
    assert_eq!(output.stdout, bytes);
}

#[test]
fn a_program_can_converse_with_a_script_over_a_pipe() {
    let terminal = Terminal::new();
    let mut child = terminal
        .command(&["--json", "d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
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
fn a_reader_that_leaves_ends_the_program_in_silence() {
    let terminal = Terminal::new();
    let script: String = (0..50_000).map(|number| format!("put k{number} v\n")).collect();
    std::fs::write(terminal.path("script"), script).expect("a file can be written");
    let status =
        terminal.command(&["--sync", "never", "d", "-f", "script"]).status().expect("the program runs");
    assert!(status.success());
    let mut child = terminal
        .command(&["d", "keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a key comes");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
