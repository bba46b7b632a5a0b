//! Errors of an import: rejected rows, and files that are not what they seem.

use std::fs;
use std::path::Path;

use crate::common::{contents, crc32, open, program_of_system, scratch, value};
use crate::person::Person;
use crate::shell_import::with_files;
use crate::transcript::Transcript;

#[test]
fn every_line_of_a_failed_batch_is_rejected_and_can_be_corrected_from_the_rejects_file() {
    let script = b"put k1 1\nbegin\nput k6 6\n# a comment\nfrob\ndel 'a\nb'\ncommit\nbegin\nput r 1\nput r\n\
        rollback\nbegin\nput good 1\ncommit\nbegin\nput k7 7\n";
    let mut transcript = with_files(&[("k.script", script)]);
    transcript.run("-m table d import k.script --rejects bad").run("d scan").run("--json e import k.script");
    let kept = fs::read_to_string(transcript.path("bad")).expect("was created");
    // The output of cut -f3-.
    let lines = kept.lines().map(|line| line.splitn(3, '\t').last().expect("a line"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(
        lines,
        ["begin", "put k6 6", "frob", "del 'a", "b'", "commit", "put r", "begin", "put k7 7"],
        "{kept}"
    );
    // The corrected lines import.
    let mended = lines.join("\n").replace("frob", "put k8 8").replace("put r\n", "") + "\ncommit\n";
    fs::write(transcript.path("mended.script"), mended).expect("writes a file");
    transcript.run("d import mended.script").compare("shell-import-batches");
    let store = open(&transcript.path("d"));
    let values = ["k1", "k6", "k7", "k8", "good", "r"].map(|key| value(&store, key).is_some());
    assert_eq!(values, [true, true, true, true, true, false]);
}

#[test]
fn cut_restores_rejected_multi_line_rows() {
    let (row, line) = ("x,\"1\n\t2\t3\n\n4\",5\n", "put 'a\n\tb\tc' d e\n");
    let transcript =
        with_files(&[("r.csv", format!("key,value\n{row}").as_bytes()), ("r.script", line.as_bytes())]);
    for (file, expected) in [("r.csv", row), ("r.script", line)] {
        let args = ["-q", "d", "import", file, "--rejects", "bad", "-y"];
        assert_eq!(transcript.command(&args).output().expect("runs").status.code(), Some(1));
        let cut =
            program_of_system("cut", transcript.dir.path()).args(["-f3-", "bad"]).output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&cut.stdout), expected);
    }
}

#[test]
fn conditional_writes_that_set_nothing_are_counted() {
    let script = b"put a 1\nput a 2 --nx\nput b 1 --xx\nexpire nokey 1h\npersist a\nbegin\nput a 3 --nx\n\
        put c 1\ncommit\n";
    let mut transcript = with_files(&[("n.script", script)]);
    for mode in ["table", "plain", "json"] {
        transcript.run(&format!("-m {mode} {mode} import n.script"));
    }
    transcript.run("table scan").compare("shell-import-not-set");
}

#[test]
fn output_for_programs_has_the_file_place_and_reason_of_a_rejected_row() {
    let mut transcript = with_files(&[
        ("a.csv", b"key,value\nx,1\ny\n"),
        ("doc.json", b"[{\"key\":\"a\",\"value\":\"b\"},{\"key\":\"c\"}] garbage\n"),
        ("run", b"put z 1\nimport a.csv\n"),
        ("1.bitcask.data", b"no records at all"),
    ]);
    for line in ["import a.csv", "import doc.json", "-f run", "import 1.bitcask.data"] {
        transcript.run(&format!("--json d {line}"));
    }
    transcript.run("d import doc.json").compare("shell-import-rejected-objects");
}

#[test]
fn a_rejected_row_is_shown_while_the_import_waits_for_more_rows() {
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["d", "import", "-", "--format", "tsv"], &[]);
    person.enters("no tab").sees("-:1: rejected: it has no tab between a key and a value");
    person.enters("k\tv").enters("none").sees("-:3: rejected").types("\x04").sees("imported 1 row");
    let screen = person.screen();
    assert!(screen.find("-:3: rejected") < screen.find("imported 1 row"), "{screen}");
}

#[test]
fn the_summary_includes_the_rejected_rows_of_a_file_given_up() {
    let mut transcript =
        with_files(&[("a.csv", b"key,value\na,1\nb\nc\nd,1\ne,\"1\n"), ("b.csv", b"key,value\nz,1\n")]);
    transcript.run("d import a.csv").run("d import a.csv b.csv").compare("shell-import-given-up");
}

#[test]
fn an_ambiguous_column_name_is_refused_only_if_used() {
    let mut transcript = with_files(&[
        ("value.csv", b"key,value,value\na,1,2\n"),
        ("other.csv", b"key,note,value,note\na,x,1,y\n"),
        ("id.csv", b"id,name,id\n1,a,2\n"),
        ("id.tsv", b"id\tname\tid\n1\ta\t2\n"),
        ("none.csv", b"id,,\n1,2,3\n"),
    ]);
    for line in [
        "value.csv",
        "other.csv",
        "id.csv --key id",
        "id.csv --key name",
        "id.csv --key name --value id",
        "id.tsv --key id",
        "none.csv --key id",
        "none.csv --key id --value id",
    ] {
        transcript.run(&format!("-m table d import {line}"));
    }
    transcript.run("d scan").compare("shell-import-columns-twice");
}

#[test]
fn column_names_are_shown_verbatim_and_utf_16_is_recognised() {
    let utf_16: Vec<u8> = "\u{feff}key,value\na,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big_endian: Vec<u8> = "\u{feff}key\tvalue\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut transcript = with_files(&[
        ("excel.csv", &utf_16),
        ("excel.tsv", &big_endian),
        ("excel.script", &utf_16),
        ("blanks.csv", b"the key,\"a, b\",caf\xe9,\n1,2,3,4\n"),
        ("names.csv", b"id,the key\n1,2\n"),
        ("o.jsonl", b"{\"the key\":1}\n{\"x\":1}\n"),
    ]);
    for file in ["excel.csv", "excel.tsv", "excel.script", "blanks.csv"] {
        transcript.run(&format!("n import {file}"));
    }
    let run = |args: &[&str]| {
        let output = transcript.command(args).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?} {said}");
        said
    };
    let said = run(&["n", "import", "names.csv", "--key", ""]);
    assert!(said.contains("it has no column \"\"; its columns are id, \"the key\"\n"), "{said}");
    let said = run(&["n", "import", "blanks.csv", "--key", "the key"]);
    assert!(said.contains(r#"its column "caf\xe9" is not UTF-8"#), "{said}");
    assert!(run(&["d", "import", "o.jsonl", "--key", "the key"]).contains("it has no \"the key\"\n"));
    for args in [&["d", "export", ""][..], &["d", "import", ""], &["d", "put", "k", "--file", ""]] {
        assert!(run(args).contains(" \"\": the file name is empty\n"), "{args:?}");
    }
    transcript.compare("shell-import-names");
}

/// A gzip file with `bytes` uncompressed, and with the checksum and length of `claimed`.
fn stored(bytes: &[u8], claimed: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("one block");
    let block = [&[1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes].concat();
    let end = [crc32(claimed).to_le_bytes(), u32::from(len).to_le_bytes()].concat();
    [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &block, &end].concat()
}

#[test]
fn data_after_a_compressed_stream_and_errors_inside_it_are_reported() {
    let (rows, hurt) = (b"key,value\nk1,one\nk2,two", b"key,value\nk1,ONE\nk2,two");
    let whole = stored(rows, rows);
    let skipped = b"\x53\x2a\x4d\x18\x04\0\0\0\x01\x02\x03\x04";
    let zstd = [skipped, &zstd::encode_all(&rows[..], 1).expect("writes to memory")[..]].concat();
    let twice = zstd::encode_all(&whole[..], 1).expect("writes to memory");
    let mut transcript = with_files(&[
        ("hurt.csv.gz", &stored(hurt, rows)),
        ("junk.csv.gz", &[&whole[..], b"junk"].concat()),
        ("junk.csv.zst", &[&zstd[..], b"junk"].concat()),
        ("padded.csv.gz", &[&whole[..], &[0; 1000]].concat()),
        ("pzstd.csv.zst", &zstd),
        ("pzstd.csv", &[&zstd[..], skipped, skipped].concat()),
        ("twice.csv.gz.zst", &twice),
    ]);
    for name in ["hurt.csv.gz", "junk.csv.gz", "junk.csv.zst", "padded.csv.gz", "pzstd.csv.zst", "pzstd.csv"]
    {
        transcript.run(&format!("-m table {name}.d import {name}"));
        // The decompressed data ends without a line break, and its last row still counts.
        let expected = if name.starts_with("hurt") { 1 } else { 2 };
        assert_eq!(contents(&open(&transcript.path(&format!("{name}.d")))).len(), expected, "{name}");
    }
    transcript.run("n import twice.csv.gz.zst").run("n import twice.csv.gz.zst --format csv");
    transcript.compare("shell-import-packed");
}

#[test]
fn the_suffix_of_an_export_decides_its_format_even_if_it_is_the_whole_name() {
    let mut transcript = Transcript::new();
    transcript.run("d put k v");
    for line in [".csv", ".tsv.gz", "x.csv.gz.zst", "x.zst.gz --format csv", ".parquet"] {
        transcript.run(&format!("-m table d export {line}"));
    }
    transcript.run("d export d/MANIFEST").run("d export d/000009.seg").run("n import d/000001.seg");
    fs::write(transcript.path("rows.tsv"), "k\tv\n").expect("writes a file");
    transcript.run("d import rows.tsv --rejects rows.tsv").run("d import rows.tsv --rejects d/MANIFEST");
    fs::copy(transcript.path("rows.tsv"), transcript.path("LOCK")).expect("a copy");
    transcript.run("d import LOCK").run("d import LOCK --format tsv");
    assert_eq!(fs::read_to_string(transcript.path(".csv")).expect("was created"), "key,value\nk,v\n");
    assert!(!transcript.path("n").exists());
    transcript.compare("shell-export-names");
}

/// The errors of an import of `begin` followed by endless text, with 150 MB of memory.
fn endless(dir: &Path, begin: &str, args: &str) -> String {
    let program = env!("CARGO_BIN_EXE_logkv");
    let line = format!(
        "(printf '{begin}'; tr '\\0' x </dev/zero) | (ulimit -v 150000; exec '{program}' -q --no-create \
         --read-with pread --value-limit 1MiB d import - {args}) 2>&1"
    );
    let output = program_of_system("sh", dir).args(["-c", &line]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn an_endless_header_or_row_is_refused_at_a_limit() {
    let dir = scratch();
    open(&dir.path().join("d")).close().expect("closes");
    for (begin, args) in [("", "--format csv"), ("", "--format csv --key zz"), ("", "--format tsv --key zz")]
    {
        let said = endless(dir.path(), begin, args);
        let expected = "error: -:1: its first line, which names the columns, is longer than 1 MiB\n";
        assert!(said.starts_with(expected), "{args}: {said:.200}");
        assert!(said.len() < 300, "{args}: {said:.200}");
    }
    for begin in ["key,value\\na,1\\nb,", "key,value\\na,1\\nb,\""] {
        let said = endless(dir.path(), begin, "--format csv");
        let expected = "error: -:3: this row is longer than 2,534,057 bytes; perhaps a quote in it is not \
            closed; 1 row went in\n";
        assert_eq!(said, expected);
    }
}
