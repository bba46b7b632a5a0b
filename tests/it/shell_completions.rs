//! Completions in bash.

use std::fs;
use std::process::Command;

use crate::transcript::Transcript;

/// The completions of bash for the last of `words`, in order.
fn offered(transcript: &Transcript, words: &[&str]) -> Vec<String> {
    const ASKS: &str = r#"
        source ./completions
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _logkv "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.current_dir(transcript.dir.path()).env_clear().env("PATH", "/usr/bin:/bin");
    let output = bash.args(["--norc", "-c", ASKS, "bash", "logkv"]).args(words).output().expect("bash");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_after_the_directory_and_then_their_flags_and_arguments() {
    let transcript = Transcript::new();
    let output = transcript.command(&["--completions", "bash"]).output().expect("the program runs");
    fs::write(transcript.path("completions"), output.stdout).expect("a script");
    let is_offered = |words: &[&str], all: &[&str], none: &[&str]| {
        let offered = offered(&transcript, words);
        let has = |word: &&str| offered.iter().any(|offered| offered == word);
        assert!(all.iter().all(has) && !none.iter().any(has), "{words:?}: {offered:?}");
    };
    is_offered(&["d", ""], &["put", "get", "dump-segment", "versions", "log", "quit"], &["--ttl", "?"]);
    is_offered(&["-r", "--sync", "never", "d", "pu"], &["put"], &["get"]);
    is_offered(
        &["d", "put", "--"],
        &["--ttl", "--nx", "--hex", "--json", "--help"],
        &["--at", "--sync", "put"],
    );
    is_offered(&["d", "log", "--"], &["--hex"], &["--ttl"]);
    is_offered(&["d", "get", "k", "-"], &["--at", "-o", "--output", "-h"], &["--ttl"]);
    is_offered(&["d", "mode", ""], &["table", "plain", "json", "raw"], &["put"]);
    is_offered(&["d", "help", "op"], &["options"], &["put"]);
    is_offered(&["d", "help", "ver"], &["verify", "version", "versions"], &["put"]);
    is_offered(&["d", "export", "--format", ""], &["jsonl", "tsv", "script", "resp"], &["--format"]);
    is_offered(&["--sy"], &["--sync"], &["put"]);
    is_offered(&["-m", "t"], &["table"], &["plain"]);
}
