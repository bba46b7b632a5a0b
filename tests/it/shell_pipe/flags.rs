//! No mode ignores a flag.

use std::fs;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{copy_of, open, scratch};
use crate::shell_transfer::foreign::bitcask_record;
use crate::transcript::command;

/// Each flag of each command: a call without it, and the same call with it.
const FLAGS: &[(&str, &str, &str)] = &[
    ("get --at", "get a", "get a --at 1"),
    ("get --output", "get a", "get a --output out"),
    ("get --hex", "get 61", "get --hex 61"),
    ("get --yes", "get a -o rows.tsv", "get a -o rows.tsv -y"),
    ("put --file", "put n", "put n --file rows.tsv"),
    ("put --ttl", "put n 1", "put n 1 --ttl 1h"),
    ("put --until", "put n 1", "put n 1 --until 2100-01-01"),
    ("put --nx", "put a 9", "put a 9 --nx"),
    ("put --xx", "put n 9", "put n 9 --xx"),
    ("put --hex", "put 61 62", "put --hex 61 62"),
    ("del --glob", "del", "del --glob 'a*' -y"),
    ("del --prefix", "del", "del --prefix a -y"),
    ("count --prefix", "count", "count --prefix a"),
    ("del --all", "del", "del --all -y"),
    ("del --yes", "del --all", "del --all --yes"),
    ("del --hex", "del 62", "del --hex 62"),
    ("exists --hex", "exists 62", "exists --hex 62"),
    ("incr --hex", "incr 61", "incr --hex 61"),
    ("ttl --hex", "ttl 62", "ttl --hex 62"),
    ("expire --at", "expire a", "expire a --at 2100-01-01"),
    ("expire --hex", "expire 62 1h", "expire --hex 62 1h"),
    ("persist --hex", "persist 62", "persist --hex 62"),
    ("stats --memory", "stats", "stats --memory"),
    ("stats --prometheus", "stats", "stats --prometheus"),
    ("dump-segment --from", "dump-segment 1", "dump-segment 1 --from 0x70"),
    ("dump-segment --limit", "dump-segment 1", "dump-segment 1 --limit 1"),
    ("dump-segment --tail", "dump-segment 1", "dump-segment 1 --tail 1"),
    ("dump-segment --record", "dump-segment 1", "dump-segment 1 --record 1"),
    ("dump-segment --key", "dump-segment 1", "dump-segment 1 --key a"),
    ("dump-segment --only", "dump-segment 1", "dump-segment 1 --only dead"),
    ("dump-segment --values", "dump-segment 1", "dump-segment 1 --values none"),
    ("dump-segment --values", "dump-segment 1 --values full", "dump-segment 1 --values preview"),
    ("dump-segment --hex", "dump-segment 1", "dump-segment 1 --hex"),
    ("dump-segment --values", "dump-segment 7.bitcask.data", "dump-segment 7.bitcask.data --values none"),
    ("dump-segment --hex", "dump-segment 7.bitcask.data", "dump-segment 7.bitcask.data --hex"),
    ("versions --hex", "versions 62", "versions --hex 62"),
    ("tail --from", "tail", "tail --from 3"),
    ("tail --lines", "tail", "tail --lines 1"),
    ("compact --all", "compact", "compact --all"),
    ("compact --dry-run", "compact --all", "compact --all --dry-run"),
    ("compact --limit", "compact --all --dry-run", "compact --all --dry-run --limit 1"),
    ("compact --step", "compact --all", "compact --all --step"),
    ("backup --level", "backup x.tar.zst", "backup x.tar.zst --level 19"),
    ("backup --yes", "backup old.tar.zst", "backup old.tar.zst -y"),
    ("import --format", "import rows.tsv", "import rows.tsv --format jsonl"),
    ("import --rejects", "import bad.tsv", "import bad.tsv --rejects out"),
    ("import --key", "import rows.tsv", "import rows.tsv --key k1"),
    ("import --value", "import rows.tsv --key k1", "import rows.tsv --key k1 --value two"),
    ("import --yes", "import bad.tsv --rejects rows.tsv", "import bad.tsv --rejects rows.tsv --yes"),
    ("export --yes", "export rows.tsv", "export rows.tsv --yes"),
    ("export --format", "export", "export --format tsv"),
    ("export --glob", "export", "export --glob 'a*'"),
    ("export --prefix", "export", "export --prefix a"),
    ("export --from", "export", "export --from b"),
    ("export --to", "export", "export --to b"),
    ("repair --to", "repair", "repair --to new"),
    ("repair --in-place", "repair", "repair --in-place"),
    ("config --init", "config", "config --init"),
];

/// The flags of `keys` and `scan`.
const LISTING_FLAGS: &[(&str, &str)] = &[
    ("at", "--at 1"),
    ("prefix", "--prefix a"),
    ("from", "--from b"),
    ("to", "--to b"),
    ("limit", "--limit 1"),
    ("long", "--long"),
    ("reverse", "--reverse"),
    ("null", "-0"),
];

/// Flags without effect in these calls (no pager, no damage), or without an end.
const UNTRIED: &[&str] = &["keys --all", "scan --all", "tail --follow", "repair --yes"];

/// The effects of a call in mode `mode`, in a copy of `store` with the files `beside` it: the
/// output, the files, and after a write also the keys.
fn effects_in_copy(
    [store, beside]: [&TempDir; 2],
    mode: &str,
    line: &str,
) -> impl PartialEq + std::fmt::Debug + use<> {
    let dir = copy_of(beside.path());
    fs::rename(copy_of(store.path()).keep(), dir.path().join("d")).expect("renames");
    let run = |args: &[&str]| {
        let output = command(dir.path(), args).stdin(Stdio::null()).output().expect("runs");
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned())
    };
    let line = line.replace('\'', "");
    let words: Vec<_> = line.split(' ').collect();
    let said = run(&[&["-m", mode, "--width", "80", "d"], words.as_slice()].concat());
    let is_write = ["put", "del", "incr", "expire", "persist"].contains(&words[0]);
    let entries = fs::read_dir(dir.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut left: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().map(ToOwned::to_owned), fs::read(&path).expect("can be read")))
        .collect();
    left.sort();
    (said, left, is_write.then(|| run(&["d", "export"])))
}

#[test]
fn no_mode_ignores_a_flag() {
    let listings = ["keys", "scan"].into_iter().flat_map(|name| {
        let case = move |(flag, call): &(&str, &str)| {
            (format!("{name} --{flag}"), name.to_owned(), format!("{name} {call}"))
        };
        LISTING_FLAGS.iter().map(case)
    });
    let owned = |(flag, without, with): &(&str, &str, &str)| {
        ((*flag).to_owned(), (*without).to_owned(), (*with).to_owned())
    };
    let cases: Vec<_> = FLAGS.iter().map(owned).chain(listings).collect();
    let help = command(scratch().path(), &["-m", "json", "d", "help"]).output().expect("runs").stdout;
    let flag = regex::Regex::new(r"--[a-z-]+").expect("a pattern");
    for line in help.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let object: Value = serde_json::from_slice(line).expect("JSON");
        let [name, usage] = ["command", "usage"].map(|field| object[field].as_str().expect("text"));
        for found in flag.find_iter(usage) {
            let flag = format!("{name} {}", found.as_str());
            let is_tried = cases.iter().any(|(tried, ..)| *tried == flag);
            assert!(is_tried || UNTRIED.contains(&flag.as_str()), "{flag} is not tested");
        }
    }
    let (store, beside) = (scratch(), scratch());
    let opened = open(store.path());
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("k", &"v".repeat(400)), ("61", "9")] {
        opened.put(key, value).expect("a put");
    }
    opened.rotate().expect("rotates");
    opened.close().expect("closes");
    fs::write(beside.path().join("rows.tsv"), "k1\tone\n").expect("a file");
    fs::write(beside.path().join("bad.tsv"), "bad\n").expect("a file");
    fs::write(beside.path().join("old.tar.zst"), "old").expect("a file");
    fs::write(beside.path().join("7.bitcask.data"), bitcask_record(1, b"key", b"value")).expect("a file");
    for mode in ["table", "plain", "json", "raw"] {
        for (flag, without, with) in &cases {
            let [without, with] = [without, with].map(|line| effects_in_copy([&store, &beside], mode, line));
            assert_ne!(without, with, "{flag} in mode {mode}");
        }
    }
}
