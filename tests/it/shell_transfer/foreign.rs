//! Import and dump of the files of other stores: Riak's bitcask and logkv-store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{MODES, NOON_S};
use crate::common::{crc32, files, open, value};
use crate::transcript::Transcript;

/// A record of Riak's bitcask.
pub(crate) fn bitcask_record(time_s: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let lens = [&(key.len() as u16).to_be_bytes()[..], &(value.len() as u32).to_be_bytes()].concat();
    let covered = [&time_s.to_be_bytes(), &lens[..], key, value].concat();
    [&crc32(&covered).to_be_bytes(), &covered[..]].concat()
}

/// A record of the Go program logkv-store.
fn go_record(time_s: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
    let lens = [(key.len() as u32).to_le_bytes(), (value.len() as u32).to_le_bytes()].concat();
    [&time_s.to_le_bytes(), &lens[..], key, value].concat()
}

fn write(path: &Path, records: &[Vec<u8>]) {
    fs::create_dir_all(path.parent().expect("is in a directory")).expect("creates a directory");
    fs::write(path, records.concat()).expect("writes a file");
}

/// Writes a directory as bitcask leaves it: tombstones of each kind, a file pending removal, and a
/// damaged record.
pub(super) fn write_bitcask(dir: &Path) {
    let record = |key: &str, value: &[u8]| bitcask_record(NOON_S, key.as_bytes(), value);
    let mut damaged = record("hurt", b"this value is not what it was");
    damaged[30] ^= 1;
    write(&dir.join("1.bitcask.data"), &[record("ghost", b"merged away")]);
    let mode = fs::Permissions::from_mode(0o645);
    fs::set_permissions(dir.join("1.bitcask.data"), mode).expect("has permission");
    let first =
        [record("a", b"1"), record("b", b"1"), record("c", b"1"), record("a", b"2"), record("d", b"\xff")];
    write(&dir.join("9.bitcask.data"), &first);
    let second = [
        record("a", b"bitcask_tombstone"),
        damaged,
        record("b", b"bitcask_tombstone2\0\0\0\x09"),
        record("c", b"bitcask_tombstone1\0\0\0\x09"),
        record("b", b"3"),
        record("torn", b"it ends before")[..20].to_vec(),
    ];
    write(&dir.join("10.bitcask.data"), &second);
}

/// Writes a directory as logkv-store leaves it when it is killed while it replaces segments with
/// merged ones.
fn write_logkv_store(dir: &Path) {
    let record = |key: &str, value: &str| go_record(NOON_S, key.as_bytes(), value.as_bytes());
    write(&dir.join("merge_tmp/segment_2.log"), &[record("b", "merged"), record("c", "merged")]);
    write(&dir.join("segment_1.log"), &[record("a", "merged")]);
    let last = [record("c", "new"), record("b", ""), record("e", "5"), record("torn", "off")[..9].to_vec()];
    write(&dir.join("segment_11.log"), &last);
}

#[test]
fn a_bitcask_whose_files_are_all_pending_removal_is_refused_with_a_hint() {
    let mut transcript = Transcript::new();
    write(&transcript.path("riak/1.bitcask.data"), &[bitcask_record(NOON_S, b"k", b"v")]);
    let mode = fs::Permissions::from_mode(0o777);
    fs::set_permissions(transcript.path("riak/1.bitcask.data"), mode).expect("has permission");
    transcript.run("d import riak").run("d import riak/1.bitcask.data").run("d scan");
    transcript.compare("shell-import-merged-away");
}

#[test]
fn directories_of_bitcask_and_logkv_store_are_imported_and_their_damage_is_reported() {
    let mut transcript = Transcript::new();
    write_bitcask(&transcript.path("riak"));
    write_logkv_store(&transcript.path("go"));
    fs::create_dir(transcript.path("empty")).expect("creates a directory");
    for (number, mode) in MODES.iter().enumerate() {
        transcript.run(&format!("{mode} b{number} import riak")).run(&format!("{mode} g{number} import go"));
    }
    transcript.run("b0 scan").run("g0 scan").run("-m table one import riak/9.bitcask.data").run("one scan");
    transcript.run("-m table one import go/segment_11.log");
    for line in
        ["s import empty", "s import riak --format logkv-store", "-m json s import riak --format bitcask"]
    {
        transcript.run(line);
    }
    transcript.compare("shell-import-foreign");
    let store = open(&transcript.path("b0"));
    let values = ["a", "b", "c", "ghost", "hurt", "torn"].map(|key| value(&store, key));
    assert_eq!(values, [None, Some("3".to_owned()), None, None, None, None]);
    let store = open(&transcript.path("g0"));
    let values = ["a", "b", "c", "e"].map(|key| value(&store, key));
    let expected = [Some("merged"), None, Some("new"), Some("5")].map(|value| value.map(str::to_owned));
    assert_eq!(values, expected, "unmerged files are newer");
}

#[test]
fn a_directory_written_by_bitcask_2_1_0_is_imported() {
    let transcript = Transcript::new();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bitcask");
    let output = transcript.command(&["d", "import", fixture]).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = open(&transcript.path("d"));
    let values = ["user:1", "user:2", "user:3"].map(|key| value(&store, key));
    assert_eq!(values, [Some("Alice Cooper"), None, Some("carol")].map(|value| value.map(str::to_owned)));
}

#[test]
fn data_files_of_other_stores_are_dumped_in_their_own_terms() {
    let mut transcript = Transcript::new();
    write_bitcask(&transcript.path("riak"));
    write_logkv_store(&transcript.path("go"));
    let before = files(&transcript.path("riak"));
    for mode in MODES {
        transcript.run(&format!("{mode} riak dump-segment 10.bitcask.data"));
        transcript.run(&format!("{mode} nowhere dump-segment go/segment_11.log"));
    }
    for flags in
        ["--limit 1", "--tail 2", "--record 1", "--key [ab]", "--only tomb", "--only bad", "--from 0x10"]
    {
        transcript.run(&format!("-m table --width 100 riak dump-segment 9.bitcask.data {flags}"));
        transcript.run(&format!("-m plain riak dump-segment 10.bitcask.data {flags}"));
    }
    transcript.run("-m table --width 80 riak dump-segment 10.bitcask.data --hex --record 0");
    transcript.run("-m table --width 80 go dump-segment segment_11.log --hex --values full");
    transcript.run("-m table --width 80 riak dump-segment 9.bitcask.data --values full --limit 2");
    for line in [
        "riak dump-segment 9.bitcask.data --only live",
        "riak dump-segment 9.bitcask.data --record 5",
        "riak dump-segment 7.bitcask.data",
        "riak dump-segment 9",
    ] {
        transcript.run(line);
    }
    transcript.compare("shell-dump-foreign");
    assert!(files(&transcript.path("riak")) == before, "the dump changed files");
}
