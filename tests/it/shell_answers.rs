//! Answers in sentences: the number of keys set, empty results, the reason why a key is missing,
//! and hints for commands of other programs.

use std::fs;

use tempfile::TempDir;

use crate::common::{open, scratch, value};
use crate::person::Person;
use crate::transcript::Transcript;

const PROMPT: &str = "logkv d>";

/// A user at the prompt of a new store.
fn person(dir: &TempDir) -> Person {
    let mut person = Person::at_terminal(dir.path(), &["d"], &[], (50, 100));
    // Turns off the output of times, which vary.
    person.sees_at_end(PROMPT).enters("timer off").sees("timer off\nlogkv d>");
    person
}

#[test]
fn a_put_of_several_pairs_reports_the_number_of_keys_also_in_a_batch() {
    let mut transcript = Transcript::new();
    let script = b"put title The Old Man\nput a 1 a 2\nput a 1 a 2 b 3 --ttl 1d\nput t The Old\nbegin\nput \
        x 1 y 2\nput z 3\ndel x b\ndel --glob 'title' -y\ndel --prefix O -y\ncommit\ndel x y\nscan\nbegin\n\
        del --all -y\nrollback\n";
    for mode in ["table", "plain", "json"] {
        transcript.run_with(&format!("-q -m {mode} {mode}"), script);
    }
    transcript.run("-q -m table one put a 1 b 2").run("-q -m table one put a 1 b 2 c 3 --ttl 1d");
    transcript.compare("shell-answers-writes");
}

#[test]
fn an_empty_result_is_reported_in_a_sentence() {
    let commands = [
        "keys",
        "scan",
        "count",
        "keys 'user:*'",
        "versions k",
        "tail",
        "tail -n 0",
        "diff 0",
        "segments",
        "history",
        "export",
    ];
    let after = [
        "keys user",
        "scan user",
        "count user",
        "keys use?",
        "keys 'us[e]r'",
        "keys nobody",
        "keys '*x'",
        "scan --prefix x",
        "keys --limit 0",
        "keys user --at 1",
        "keys --from x --to y",
        "keys user --from v",
        "count --prefix user",
        "count --prefix x",
        "keys 'us er'",
        "export --glob x",
    ];
    let mut transcript = Transcript::new();
    for mode in ["table", "plain", "json"] {
        let lines =
            commands.join("\n") + "\nput user:1 alice\nput 'us er:2' bob\n" + &after.join("\n") + "\n";
        transcript.run_with(&format!("-q -m {mode} --width 80 {mode}"), lines.as_bytes());
    }
    transcript.compare("shell-answers-nothing");
}

#[test]
fn every_command_with_patterns_matches_a_prefix_byte_by_byte() {
    let mut transcript = Transcript::new();
    transcript.run("-q d put 'a*1' x 'a*2' y 'ab' z");
    transcript.run_with("d", b"put \"\\xff\\x001\" bin\n");
    for line in [
        "keys --prefix 'a*'",
        "scan --prefix 'a*' --reverse",
        "scan --prefix a --from 'a*2' --limit 1",
        "count --prefix a",
        "count --prefix ''",
        "export --prefix 'a*'",
        "keys --prefix a --at 1",
        "keys a --prefix a",
        "count a --prefix=a",
        "export --glob a --prefix a",
        "del --glob a --prefix a",
        "del k --prefix a",
        "del --all --prefix a",
        "del --prefix",
        "del --prefix 'a*'",
        "del --prefix 'a*' -y",
        "del --hex --prefix ff00 -y",
        "-m table del --prefix zz",
        "-m table del --glob 'z z*'",
        "keys",
    ] {
        transcript.run(&format!("d {line}"));
    }
    transcript.run_with(
        "d",
        b"put \"\\xff\\x001\" bin\nkeys --prefix \"\\xff\\x00\"\nbegin\nput ac 1\ncount --prefix a\ncommit\n",
    );
    transcript.run("d -m table del --all -y").run("d -m table del --all").run("d -m json del --all");
    transcript.compare("shell-answers-prefix");
}

#[test]
fn an_unclosed_or_empty_set_is_an_error_in_every_pattern() {
    let mut transcript = Transcript::new();
    transcript.run("-q d put a 1 b 2 '!' 3 '[' 4");
    for command in ["keys", "scan", "count", "del -y --glob", "export --glob", "dump-segment 1 --key"] {
        for pattern in ["x[ab", "[]", "a[^]b"] {
            transcript.run(&format!("d {command} {pattern}"));
        }
    }
    for pattern in ["[!a]", "[^a]", "[a!]", "[b-a]", "'\\['", "[[]"] {
        transcript.run(&format!("d keys {pattern}"));
    }
    transcript.compare("shell-answers-patterns");
}

#[test]
fn a_missing_key_is_reported_with_its_delete_and_the_command_that_shows_it() {
    let dir = scratch();
    let mut person = person(&dir);
    person
        .enters("put user:1 alice user:2 bob")
        .sees("OK, 2 keys")
        .enters("del user:1")
        .sees("deleted 1 of 1");
    person
        .enters("get user:1")
        .sees("(nil)\nnote: record 3 deleted user:1 ")
        .sees("ago; get user:1 --at 1 shows what it was");
    person
        .sees_at_end(PROMPT)
        .enters("get user:1 --at 1")
        .sees("\nalice\n")
        .enters("clear")
        .sees_at_end(PROMPT);
    for (line, answer) in [
        ("exists user:1", "no\nnote: record 3 deleted"),
        ("ttl user:1", "(nil)\nnote: record 3 deleted"),
        ("expire user:1 1h", "not set: user:1 does not exist\nnote: record 3 deleted"),
        ("persist user:1", "not set: user:1 does not exist\nnote: record 3 deleted"),
        ("put user:1 x --xx", "not set: user:1 does not exist\nnote: record 3 deleted"),
        ("get user:1 -o f", "(nil)\nnote: record 3 deleted"),
        ("get user:7", "(nil)\nhint: did you mean user:2?"),
    ] {
        person.enters(line).sees(&format!("> {line}\n{answer}")).sees_at_end(PROMPT);
    }
    person.enters("put lock me --ttl 1ms").sees("OK").enters("clear").sees_at_end(PROMPT);
    person
        .enters("get lock")
        .sees("(nil)\nnote: lock expired ")
        .sees("ago (record 4); versions lock shows it");
    person.enters("begin").sees_at_end("logkv d*>").enters("del user:2").sees("deleted 1 of 1, with commit");
    person.enters("get user:2").sees("(nil)\nnote: the open batch deletes user:2; rollback undoes that");
    person
        .enters("rollback")
        .sees_at_end(PROMPT)
        .enters("rotate")
        .enters("compact --all")
        .sees_at_end(PROMPT);
    // After compaction, the delete is unknown.
    person
        .enters("clear")
        .enters("get user:1")
        .sees("> get user:1\n(nil)\nhint: did you mean user:2?\nlogkv d>");
}

#[test]
fn output_for_programs_does_not_say_why_a_key_is_missing() {
    let mut transcript = Transcript::new();
    for mode in ["table", "plain", "json"] {
        let script = b"put a 1\ndel a\nget a\nexists a\nttl a\nput b 1 --ttl 1ms\n";
        transcript.run_with(&format!("-q -m {mode} {mode}"), script).run(&format!("-m {mode} {mode} get a"));
    }
    transcript.compare("shell-answers-gone");
}

#[test]
fn shell_operators_get_a_hint_at_the_prompt_and_are_plain_words_in_a_script() {
    let dir = scratch();
    let mut person = person(&dir);
    person.enters("put a 1;").sees("OK\nhint: the ; is part of 1; here: a command ends with its line");
    person.enters("get a").sees("\n1;\n").sees_at_end(PROMPT).enters("clear").sees_at_end(PROMPT);
    person
        .enters("get a > f")
        .sees("hint: > is a word like any other here: output FILE sends")
        .sees_at_end(PROMPT);
    person
        .enters("keys | head")
        .sees("error: keys takes no argument head")
        .sees("hint: | is a word like any other here");
    person.enters("count;").sees("error: unknown command count;").sees("hint: did you mean count?");
    person.sees_at_end(PROMPT).enters("clear").sees_at_end(PROMPT);
    person.enters("stats; keys").sees("error: unknown command stats;").sees("hint: did you mean stats?");
    person.enters("mode json;").sees("not json;").sees("hint: the ; is part of json; here");
    person.sees_at_end(PROMPT).enters("clear").sees_at_end(PROMPT);
    // Quoted, or after two dashes, a word has no special meaning.
    for line in ["put b '2;'", "put -- c 3;", "put d '>'"] {
        person.enters(line).sees(&format!("> {line}\nOK\nlogkv d>"));
    }

    let transcript = Transcript::new();
    fs::write(transcript.path("script"), "put a 1;\nput > | ; x;\nget a > ;\n").expect("writes a file");
    let output = transcript.command(&["-q", "-m", "table", "d", "-f", "script"]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "OK\nOK, 2 keys\n1;\n|\nx;\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(value(&open(&transcript.path("d")), "a").as_deref(), Some("1;"));
}

#[test]
fn a_key_named_like_an_option_is_stored_with_a_hint_how_to_set_the_option() {
    let dir = scratch();
    let mut person = person(&dir);
    person
        .enters("set mode json")
        .sees("OK\nhint: this set a key called mode; mode json, without set, sets the option");
    person
        .enters("SET sync never")
        .sees("OK\nhint: this set a key called sync; the option is --sync never before DIR, LOGKV_SYNC,");
    person.enters("put bail on").sees("> put bail on\nOK\nlogkv d>");
    person.enters("set user:1 x").sees("> set user:1 x\nOK\nlogkv d>");
    let mut transcript = Transcript::new();
    transcript.run("-q -m table d set a 1 EX 10").run("d set a 1 NX");
    transcript
        .run("-q -m table d set mode json")
        .run("-q d set mode json")
        .run("-q -m table d -c 'set mode json'");
    transcript.compare("shell-answers-set");
}

#[test]
fn commands_of_other_programs_get_a_hint_to_the_matching_command() {
    let mut transcript = Transcript::new();
    let lines = [
        "mset a 1 b 2",
        "append a 1",
        "rename a b",
        "flushall",
        "multi",
        "exec",
        "discard",
        "select 1",
        "select * from t",
        "use other",
        "show tables",
        "hget a b",
        "setex a 10 1",
        "expireat a 1",
        "decr a",
        "ping",
        ".tables",
        ".schema",
        ".open x",
        ".dump",
        ".headers on",
        "\\d",
        "\\dt",
        "\\timing",
        "\\copy t from 'x'",
        "VACUUM;",
        "insert into t values 1",
        "cat a",
        "grep x",
        "monitor",
        "frob",
    ];
    transcript.run_with("-q d", (lines.join("\n") + "\n").as_bytes());
    transcript.run("d mset a 1");
    transcript.compare("shell-answers-elsewhere");
}
