//! Every example in the help runs, verbatim, on a store with the data it names.

use std::fs;
use std::io::Read;
use std::path::Path;

use regex::Regex;
use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;

use crate::common::{binary, interrupt, piped, program, program_of_system, scratch};

/// The output of a successful `args`.
fn printed(dir: &Path, args: &[&str]) -> String {
    let output = program(dir).args(args).output().expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), errors.as_ref()), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn commands(dir: &Path) -> Vec<String> {
    let help = printed(dir, &["--json", "data", "help"]);
    let objects = help.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    objects.map(|object: serde_json::Value| object["command"].as_str().expect("a name").to_owned()).collect()
}

/// The examples on the help page of `command`, each followed by its description.
fn examples(dir: &Path, command: &str) -> Vec<String> {
    let page = printed(dir, &["--width", "200", "data", "help", command]);
    let (_, examples) = page.split_once("\nExamples\n").unwrap_or_else(|| panic!("{command} has examples"));
    let lines: Vec<_> = examples.lines().collect();
    let line = |pair: &[&str]| match pair {
        [line, does] if does.starts_with("      ") => line.trim_start().to_owned(),
        _ => panic!("{command}: an example has two lines, not {pair:?}"),
    };
    lines.chunks(2).map(line).collect()
}

/// A directory with a store `data` of four sealed segments and more than 120 records, a backup of
/// it as a directory and as an archive, and the files that the examples read.
fn stage() -> TempDir {
    let dir = scratch();
    let numbers: String = (0..120).map(|number| format!("put item:{number:03} {number}\n")).collect();
    let script = format!(
        "put user:1 alice user:2 bob\n{numbers}rotate\nput user:1 Alice a 1 b 2 c 3\nrotate\n\
         put photo x bin y offer z tmp:1 t stock:7 10\nput session:7 alice --ttl 1h\nrotate\n\
         put --hex 00ff 01\nrotate\ndel user:2\n"
    );
    for (name, text) in [
        ("setup", script.as_str()),
        ("setup.logkv", "put theme dark\n"),
        ("script", "put a 1\nget a\n"),
        ("photo.jpg", "a photo"),
        ("users.jsonl", "{\"key\":\"user:3\",\"value\":\"carol\"}\n"),
        ("users.txt", "user:3\tcarol\n"),
        ("users.csv", "id,name\n7,carol\n"),
        ("a.jsonl", "{\"key\":\"a\",\"value\":1}\n"),
        ("b.csv.gz", "key,value\nb,2\n"),
    ] {
        fs::write(dir.path().join(name), text).expect("a file");
    }
    printed(dir.path(), &["-q", "--sync", "never", "--compaction", "off", "data", "-f", "setup"]);
    for name in ["copy", "today.tar.zst"] {
        printed(dir.path(), &["--compaction", "off", "data", "backup", name]);
    }
    fs::create_dir(dir.path().join("riak")).expect("a directory");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bitcask/3.bitcask.data");
    fs::copy(fixture, dir.path().join("riak/7.bitcask.data")).expect("a copy");
    dir
}

/// Runs `line` in a shell of the system in a copy of `stage`, with `logkv` as the program. A
/// command that only ends at Ctrl-C gets it after its first output.
fn runs(stage: &Path, line: &str) {
    let dir = scratch();
    let script = format!("cp -a \"$1\"/. . && exec {line}").replace("exec logkv", "exec \"$2\"");
    let mut shell = program_of_system("sh", dir.path());
    shell.args(["-c", &script, "sh"]).args([stage, &binary()]);
    // Background compaction would remove history that some examples show.
    shell.env("LOGKV_COMPACTION", "off");
    let goes_on = Regex::new(r"\btail (-f|--follow)\b").expect("a pattern").is_match(line);
    let mut child = piped(&mut shell);
    drop(child.stdin.take());
    if goes_on {
        let out = child.stdout.as_mut().expect("is piped");
        out.read_exact(&mut [0]).expect("prints earlier records");
        interrupt(&child);
    }
    let output = child.wait_with_output().expect("the program ends");
    let code = if goes_on { 130 } else { 0 };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}\n{errors}");
}

/// The ways in which a user would try `line`: at the prompt, and as a command of its own. Questions
/// are answered with yes.
fn ways(command: &str, line: &str) -> Vec<String> {
    let quoted = line.replace('\'', r"'\''");
    match command {
        "restore" => vec![format!("logkv ./new {line} < today.tar.zst")],
        // The store must not be open.
        "repair" => vec![format!("logkv -y ./data {line}")],
        "commit" | "rollback" => vec![format!("logkv ./data -c begin -c 'put a 1' -c '{quoted}'")],
        _ => vec![format!("logkv -y ./data -c '{quoted}'"), format!("logkv -y ./data {line}")],
    }
}

#[test]
fn each_example_in_the_help_works_at_the_prompt_and_as_a_command() {
    let stage = stage();
    for command in commands(stage.path()) {
        for line in examples(stage.path(), &command) {
            ways(&command, &line).iter().for_each(|way| runs(stage.path(), way));
        }
    }
}

#[test]
fn no_help_page_exceeds_its_width_except_in_lines_to_copy() {
    let dir = scratch();
    let check = |topic: &str, lines: &[String]| {
        for width in [50, 60, 80] {
            let page = printed(dir.path(), &["--width", &width.to_string(), "data", "help", topic]);
            let wide = page.lines().find(|line| line.width() > width && !is_unbreakable(line.trim(), lines));
            assert_eq!(wide, None, "help {topic} at {width}");
        }
    };
    for command in commands(dir.path()) {
        check(&command, &examples(dir.path(), &command));
    }
    check("options", &[]);
}

/// Whether `line` cannot be wrapped: an example, or a flag with its arguments.
fn is_unbreakable(line: &str, examples: &[String]) -> bool {
    examples.iter().any(|example| example == line) || line.starts_with('-') && !line.contains("  ")
}

#[test]
fn each_example_in_the_program_help_works() {
    let stage = stage();
    let help = printed(stage.path(), &["--help"]);
    let (_, examples) = help.split_once("Examples:\n").expect("has examples");
    let (examples, _) = examples.split_once("\n\n").expect("the examples end");
    let command = Regex::new(r"^  (logkv .*?)(?:  .*)?$").expect("a pattern");
    for line in examples.lines() {
        let found = command.captures(line).unwrap_or_else(|| panic!("{line} is a command"));
        runs(stage.path(), &found[1]);
    }
}
