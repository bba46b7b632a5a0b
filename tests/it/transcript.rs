//! Transcripts of the program's output, compared with golden files.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::piped;

/// A directory in which the program runs, and a transcript of its output.
pub(crate) struct Transcript {
    pub(crate) dir: TempDir,
    seen: String,
}

impl Transcript {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("creates a directory"), seen: String::new() }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        command(self.dir.path(), args)
    }

    /// Runs the program. Returns its exit code and standard output.
    pub(crate) fn answer(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(args).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `logkv` with the words of `line`, and records its output.
    pub(crate) fn run(&mut self, line: &str) -> &mut Self {
        self.run_with(line, b"")
    }

    /// Runs `logkv` with the words of `line` and with `input` on the standard input.
    pub(crate) fn run_with(&mut self, line: &str, input: &[u8]) -> &mut Self {
        let words = split(line);
        let mut child = piped(&mut self.command(&words));
        let mut stdin = child.stdin.take().expect("is piped");
        // A program that rejects its arguments exits without reading.
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

    /// Compares the transcript with the golden file `name`.
    pub(crate) fn compare(&self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        // Thirteen digits are a time in milliseconds. No length or number in the tests has as many.
        settings.add_filter(r"\b\d{13}\b", "1767225600000");
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "2026-01-01T00:00:00.000Z");
        // The time of a record, after its number.
        settings.add_filter(
            r"(?m)^([ ┌│└/|\\]* *\d+  )\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}",
            "${1}2026-01-01 00:00:00.000",
        );
        // Times in seconds, and expiry times.
        settings.add_filter(
            r"(?m)(^ *\d+  |\d  |  expires |→ )\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b",
            "${1}2026-01-01 00:00:00",
        );
        // Each store spreads its keys over the shards differently.
        settings.add_filter(r#"(index in memory +|keydir_bytes"?[\t:])[\d.]+"#, "${1}65000");
        // The lineage in a cursor.
        settings.add_filter(r"\b(\d+)@[0-9a-f]{16}\b", "${1}@6b1f0c5e8d7a4b32");
        settings.add_filter(r"pid \d+", "pid 4711");
        // The remaining seconds or milliseconds of a hundred days.
        settings.add_filter(r"\b86(?:40|39)\d{3}\b", "8640000");
        settings.add_filter(r"\b86(?:40|39)\d{6}\b", "8640000000");
        settings.bind(|| insta::assert_snapshot!(name, self.seen));
    }
}

/// A command that runs `logkv` in `dir`, without the user's settings.
pub(crate) fn command(dir: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logkv"));
    command.args(args).current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// Splits at spaces. Single quotes keep a word together.
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
