//! `verify` and `repair` in every mode, on stores with the same damage in every run.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use logkv::{CompactionPolicy, ManualClock, Store};

use crate::common::{files, hint_path, killed, open, quick, scratch, segment_path, value};
use crate::hooked::{SteadyRandom, hooked};
use crate::transcript::Transcript;

/// 2026-01-31T05:56:40Z.
const NOON: u64 = 1_769_839_000_000;

/// Writes two sealed segments with hints, and an active one.
pub(crate) fn write_store(dir: &Path) {
    fs::create_dir(dir).expect("creates a directory");
    let policy = CompactionPolicy { automatic: false, ..Default::default() };
    let options = quick().clock(Arc::new(ManualClock::at(NOON))).file_system(hooked(SteadyRandom::default()));
    let store = Store::open_with(dir, options.compaction(policy)).expect("a new store opens");
    for (key, value) in [("user:1", "alice"), ("user:2", "bob"), ("user:3", "carol")] {
        store.put(key, value).expect("a put");
    }
    store.rotate().expect("is sealed");
    store.put("user:1", "Alice").expect("a put");
    store.delete("user:2").expect("a delete");
    store.put("user:3", "Carol").expect("a put");
    store.rotate().expect("is sealed");
    store.put("user:3", "CAROL").expect("a put");
    store.close().expect("is closed");
    open(dir).close().expect("closes after it wrote the hints");
}

fn change(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("exists");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("can be written");
}

/// An intact store `d`, a store `e` with three damaged records, and a store `m` without MANIFEST.
fn with_stores() -> Transcript {
    let transcript = Transcript::new();
    for name in ["d", "e", "m"] {
        write_store(&transcript.path(name));
    }
    let damaged = transcript.path("e");
    // The value of user:1, the delete of user:2, and the header of the first carol.
    change(&segment_path(&damaged, 2), 64 + 40);
    change(&segment_path(&damaged, 2), 112 + 33);
    change(&segment_path(&damaged, 1), 160 + 9);
    change(&hint_path(&damaged, 2), 40);
    fs::remove_file(transcript.path("m").join("MANIFEST")).expect("exists");
    transcript
}

const MODES: [&str; 4] = ["-m table --width 80", "-m table --width 40 --ascii", "-m plain", "-m json"];

#[test]
fn verify_reports_damage_and_its_consequences() {
    let mut transcript = with_stores();
    let before = files(&transcript.path("e"));
    for mode in MODES {
        transcript.run(&format!("{mode} d verify"));
        transcript.run(&format!("{mode} e verify"));
    }
    transcript.run("-m table e check 000001.seg 3").run("-m table m verify").run("-m table e verify 7");
    transcript.run("e verify x").run("nowhere verify").run_with("-m table d", b"put a 1\nverify\n");
    transcript.run("-r e keys").run("-q -r e count").run("-r e export -");
    transcript.compare("shell-verify");
    assert!(files(&transcript.path("e")) == before, "verify changed files");
}

#[test]
fn repair_makes_a_store_of_the_intact_records_and_reports_the_rest() {
    let mut transcript = with_stores();
    let before = files(&transcript.path("e"));
    for (number, mode) in MODES.iter().enumerate() {
        transcript.run(&format!("{mode} e repair --to new{number}"));
        transcript.run(&format!("{mode} new{number} verify"));
        let store = open(&transcript.path(&format!("new{number}")));
        let values = ["user:1", "user:2", "user:3"].map(|key| value(&store, key));
        let expected = ["alice", "bob", "CAROL"].map(|value| Some(value.to_owned()));
        assert_eq!(values, expected, "older values, and an undone delete");
    }
    assert!(files(&transcript.path("e")) == before, "the repair changed the damaged store");
    transcript
        .run("-m table m repair --to whole")
        .run("-m plain m repair --to plain")
        .run("whole scan")
        .run("-m table d repair --to same");
    transcript.compare("shell-repair");
}

#[test]
fn a_repair_in_place_needs_confirmation_and_keeps_the_damaged_store() {
    let mut transcript = with_stores();
    symlink("m", transcript.path("link")).expect("is a link");
    let before = files(&transcript.path("e"));
    transcript.run("e repair --in-place");
    assert!(files(&transcript.path("e")) == before);
    transcript.run("-y -m table e repair --in-place").run("e scan").run("-m table e.damaged verify 2");
    let repaired = files(&transcript.path("e"));
    for mode in MODES {
        transcript.run(&format!("{mode} e/ repair --in-place"));
    }
    assert!(files(&transcript.path("e")) == repaired && !transcript.path("e.damaged-2").exists());
    transcript.run("-y -m plain link repair --in-place").run("m scan");
    assert!(transcript.path("link").is_symlink() && transcript.path("m.damaged").is_dir());
    transcript.compare("shell-repair-in-place");
}

#[test]
fn an_impossible_repair_is_refused_in_one_sentence() {
    let mut transcript = with_stores();
    symlink("loop", transcript.path("loop")).expect("is a link");
    let before = files(&transcript.path("e"));
    transcript.run("e repair").run("e repair --to x --in-place").run("e repair x").run("e repair --to e");
    for to in ["./e/", "d/../e", "e/new", "e/new/newer", ".", "no/../e", "loop"] {
        transcript.run(&format!("e repair --to {to}"));
    }
    assert!(files(&transcript.path("e")) == before && !transcript.path("no").exists());
    transcript.run("e repair --to d").run("nowhere repair --to x").run_with("d", b"repair --to x\n");
    let store = open(&transcript.path("d"));
    transcript.run("d repair --to x").run("-r m get user:1");
    drop(store);
    assert!(!transcript.path("x").exists());
    transcript.compare("shell-repair-refusals");
}

#[test]
fn unreadable_options_block_neither_verify_nor_repair() {
    let mut transcript = with_stores();
    fs::write(transcript.path("d").join("logkv.toml"), "garbage[").expect("a file");
    transcript.run("d get user:1").run("d verify").run("d repair --to new");
    fs::write(transcript.path("e").join("logkv.toml"), "no_such = 1\n").expect("a file");
    transcript.run("e verify 3");
    transcript.compare("shell-repair-options");
}

#[test]
fn the_next_repair_cleans_up_after_one_killed_in_place() {
    let mut transcript = with_stores();
    let damaged = files(&transcript.path("e"));
    // Killed while it made the new store, and after it had exchanged the two.
    let making = transcript.path("e.repairing");
    fs::create_dir(&making).expect("a directory");
    fs::write(making.join("LOCK"), "an unfinished repair\n").expect("a mark");
    fs::write(making.join("000001.seg"), "the beginning").expect("a segment");
    transcript.run("-y -m plain e repair --in-place");
    assert!(!making.exists() && files(&transcript.path("e.damaged")) == damaged);
    fs::rename(transcript.path("e.damaged"), &making).expect("exists");
    fs::write(transcript.path("e").join("LOCK"), "an unfinished repair\n").expect("a mark");
    transcript.run("-m table e repair --in-place").run("-m table e repair --in-place");
    assert!(!making.exists() && files(&transcript.path("e.damaged")) == damaged);
    transcript.compare("shell-repair-killed");
}

#[test]
fn a_file_name_that_is_not_utf_8_is_shown_escaped_and_errors_are_shown_in_words() {
    let mut transcript = with_stores();
    symlink("elsewhere", transcript.path("e").join("logkv.toml")).expect("is a link");
    fs::remove_file(segment_path(&transcript.path("e"), 1)).expect("exists");
    symlink("elsewhere", segment_path(&transcript.path("e"), 1)).expect("is a link");
    let stranger = std::ffi::OsStr::from_bytes(b"no\xfftext");
    fs::write(transcript.path("e").join(stranger), "").expect("a file");
    transcript.run("-m table e repair --to new").run("-m json e repair --to newer").run("-m table e verify");
    transcript.compare("shell-repair-names");
}

#[test]
fn records_after_an_unprovable_hole_are_reported_by_every_command() {
    let mut transcript = Transcript::new();
    let made = scratch();
    let options = quick().clock(Arc::new(ManualClock::at(NOON))).file_system(hooked(SteadyRandom::default()));
    let store = Store::open_with(made.path(), options).expect("a new store opens");
    for n in 1..=4 {
        store.put(format!("key {n}"), "value").expect("a put");
    }
    let dir = transcript.path("h");
    fs::rename(killed(store, made.path()).keep(), &dir).expect("has a name");
    change(&segment_path(&dir, 1), 64 + 48 + 40);
    for mode in ["-m table", "-m json"] {
        transcript.run(&format!("{mode} h verify")).run(&format!("{mode} h dump-segment 1"));
    }
    transcript.run("-r h count").run("-y -m table h repair --in-place").run("h keys").run("h.damaged keys");
    transcript.compare("shell-repair-hole");
}

#[test]
fn a_repair_in_place_without_permissions_is_refused() {
    let mut transcript = with_stores();
    let open_to_all = transcript.path("d");
    fs::set_permissions(segment_path(&open_to_all, 1), fs::Permissions::from_mode(0o666))
        .expect("has permission");
    let before = files(&transcript.path("e"));
    transcript
        .run("-y d repair --in-place")
        .run("-y -r e repair --in-place")
        .run("--no-create e repair --to new");
    transcript.compare("shell-repair-refused");
    assert!(files(&transcript.path("e")) == before && !transcript.path("new").exists());
}

#[test]
fn in_a_damaged_store_every_answer_about_a_missing_key_is_uncertain() {
    let mut transcript = with_stores();
    for command in
        ["put no y --xx", "expire no 1h", "persist no", "del no", "put new y --nx", "put new y --nx"]
    {
        transcript.run(&format!("-q -m plain e {command}"));
    }
    transcript.run("-q -r e versions user:3 --json").run("-q -r e diff 5");
    transcript.compare("shell-uncertain");
}

#[test]
fn the_yes_flag_works_before_the_directory_and_after_the_command() {
    for args in [
        &["-y", "d", "repair", "--in-place"][..],
        &["d", "repair", "--in-place", "-y"],
        &["d", "repair", "-y", "--in-place"],
    ] {
        let transcript = Transcript::new();
        write_store(&transcript.path("d"));
        let segment = segment_path(&transcript.path("d"), 1);
        let mut bytes = fs::read(&segment).expect("the segment");
        bytes[64 + 40] ^= 1;
        fs::write(&segment, bytes).expect("the damage");
        assert_eq!(transcript.answer(&["d", "repair", "--in-place"]).0, Some(1), "no terminal to ask");
        assert_eq!(transcript.answer(args).0, Some(4), "{args:?}: a record is given up");
        assert!(transcript.path("d.damaged").exists(), "{args:?}");
        for backup in [["d", "backup", "a.tar"].as_slice(), &["d", "backup", "a.tar", "-y"]] {
            assert_eq!(transcript.answer(backup).0, Some(0), "{backup:?}");
        }
        // The flag applies to that command only.
        let (code, _) = transcript.answer(&["d", "-c", "backup a.tar -y", "-c", "backup a.tar"]);
        assert_eq!(code, Some(1));
    }
}
