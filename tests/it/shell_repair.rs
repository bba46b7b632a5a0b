//! `verify` and `repair`: in every form, on stores that are damaged alike in every run.

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

/// Two sealed segments with hints, and an active one.
pub(crate) fn write_store(dir: &Path) {
    fs::create_dir(dir).expect("a directory can be made");
    let policy = CompactionPolicy { automatic: false, ..Default::default() };
    let options = quick().clock(Arc::new(ManualClock::at(NOON))).file_system(hooked(SteadyRandom::default()));
    let store = Store::open_with(dir, options.compaction(policy)).expect("a new store opens");
    for (key, value) in [("user:1", "alice"), ("user:2", "bob"), ("user:3", "carol")] {
        store.put(key, value).expect("a put");
    }
    store.rotate().expect("it is sealed");
    store.put("user:1", "Alice").expect("a put");
    store.delete("user:2").expect("a delete");
    store.put("user:3", "Carol").expect("a put");
    store.rotate().expect("it is sealed");
    store.put("user:3", "CAROL").expect("a put");
    store.close().expect("it is closed");
    open(dir).close().expect("closes, having made the hints");
}

fn change(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("it is there");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// A store `d`, one whose records of three kinds are damaged, `e`, and one without MANIFEST, `m`.
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
    fs::remove_file(transcript.path("m").join("MANIFEST")).expect("it is there");
    transcript
}

const MODES: [&str; 4] = ["-m table --width 80", "-m table --width 40 --ascii", "-m plain", "-m json"];

#[test]
fn verify_says_what_is_wrong_and_what_that_costs() {
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
    assert!(files(&transcript.path("e")) == before, "verify writes nothing");
}

#[test]
fn repair_makes_a_store_of_what_is_intact_and_tells_the_rest() {
    let mut transcript = with_stores();
    let before = files(&transcript.path("e"));
    for (number, mode) in MODES.iter().enumerate() {
        transcript.run(&format!("{mode} e repair --to new{number}"));
        transcript.run(&format!("{mode} new{number} verify"));
        let store = open(&transcript.path(&format!("new{number}")));
        let values = ["user:1", "user:2", "user:3"].map(|key| value(&store, key));
        let expected = ["alice", "bob", "CAROL"].map(|value| Some(value.to_owned()));
        assert_eq!(values, expected, "older values, and a delete undone");
    }
    assert!(files(&transcript.path("e")) == before, "the damaged store stays as it is");
    transcript
        .run("-m table m repair --to whole")
        .run("-m plain m repair --to plain")
        .run("whole scan")
        .run("-m table d repair --to same");
    transcript.compare("shell-repair");
}

#[test]
fn a_repair_in_place_is_asked_for_twice_and_keeps_what_was_there() {
    let mut transcript = with_stores();
    symlink("m", transcript.path("link")).expect("a link");
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
fn what_cannot_be_repaired_or_not_like_that_is_refused_in_a_sentence() {
    let mut transcript = with_stores();
    symlink("loop", transcript.path("loop")).expect("a link");
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
fn options_that_cannot_be_read_keep_nobody_from_verifying_and_repairing() {
    let mut transcript = with_stores();
    fs::write(transcript.path("d").join("logkv.toml"), "garbage[").expect("a file");
    transcript.run("d get user:1").run("d verify").run("d repair --to new");
    fs::write(transcript.path("e").join("logkv.toml"), "no_such = 1\n").expect("a file");
    transcript.run("e verify 3");
    transcript.compare("shell-repair-options");
}

#[test]
fn what_a_killed_repair_in_place_left_is_put_right_by_the_next_one() {
    let mut transcript = with_stores();
    let damaged = files(&transcript.path("e"));
    // Killed while the new store was made, and after it had taken the place of the old one.
    let making = transcript.path("e.repairing");
    fs::create_dir(&making).expect("a directory");
    fs::write(making.join("LOCK"), "an unfinished repair\n").expect("a mark");
    fs::write(making.join("000001.seg"), "the beginning").expect("a segment");
    transcript.run("-y -m plain e repair --in-place");
    assert!(!making.exists() && files(&transcript.path("e.damaged")) == damaged);
    fs::rename(transcript.path("e.damaged"), &making).expect("it is there");
    fs::write(transcript.path("e").join("LOCK"), "an unfinished repair\n").expect("a mark");
    transcript.run("-m table e repair --in-place").run("-m table e repair --in-place");
    assert!(!making.exists() && files(&transcript.path("e.damaged")) == damaged);
    transcript.compare("shell-repair-killed");
}

#[test]
fn a_name_that_is_no_text_is_told_as_it_can_be_and_no_number_of_the_system() {
    let mut transcript = with_stores();
    symlink("elsewhere", transcript.path("e").join("logkv.toml")).expect("a link");
    fs::remove_file(segment_path(&transcript.path("e"), 1)).expect("it is there");
    symlink("elsewhere", segment_path(&transcript.path("e"), 1)).expect("a link");
    let stranger = std::ffi::OsStr::from_bytes(b"no\xfftext");
    fs::write(transcript.path("e").join(stranger), "").expect("a file");
    transcript.run("-m table e repair --to new").run("-m json e repair --to newer").run("-m table e verify");
    transcript.compare("shell-repair-names");
}

#[test]
fn records_behind_a_hole_that_nothing_judges_are_told_wherever_they_are_met() {
    let mut transcript = Transcript::new();
    let made = scratch();
    let options = quick().clock(Arc::new(ManualClock::at(NOON))).file_system(hooked(SteadyRandom::default()));
    let store = Store::open_with(made.path(), options).expect("a new store opens");
    for n in 1..=4 {
        store.put(format!("key {n}"), "value").expect("a put");
    }
    let dir = transcript.path("h");
    fs::rename(killed(store, made.path()).keep(), &dir).expect("it has a name");
    change(&segment_path(&dir, 1), 64 + 48 + 40);
    for mode in ["-m table", "-m json"] {
        transcript.run(&format!("{mode} h verify")).run(&format!("{mode} h dump-segment 1"));
    }
    transcript.run("-r h count").run("-y -m table h repair --in-place").run("h keys").run("h.damaged keys");
    transcript.compare("shell-repair-hole");
}

#[test]
fn a_repair_in_place_of_what_it_may_not_see_or_move_is_refused() {
    let mut transcript = with_stores();
    let open_to_all = transcript.path("d");
    fs::set_permissions(segment_path(&open_to_all, 1), fs::Permissions::from_mode(0o666))
        .expect("it is ours");
    let before = files(&transcript.path("e"));
    transcript
        .run("-y d repair --in-place")
        .run("-y -r e repair --in-place")
        .run("--no-create e repair --to new");
    transcript.compare("shell-repair-refused");
    assert!(files(&transcript.path("e")) == before && !transcript.path("new").exists());
}

#[test]
fn what_goes_by_a_missing_key_is_said_to_be_uncertain_in_a_damaged_store() {
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
fn a_question_is_answered_with_yes_before_the_directory_or_behind_the_command() {
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
        assert_eq!(transcript.answer(&["d", "repair", "--in-place"]).0, Some(1), "nobody can be asked");
        assert_eq!(transcript.answer(args).0, Some(4), "{args:?}: a record is given up");
        assert!(transcript.path("d.damaged").exists(), "{args:?}");
        for backup in [["d", "backup", "a.tar"].as_slice(), &["d", "backup", "a.tar", "-y"]] {
            assert_eq!(transcript.answer(backup).0, Some(0), "{backup:?}");
        }
        // It counts for that command alone.
        let (code, _) = transcript.answer(&["d", "-c", "backup a.tar -y", "-c", "backup a.tar"]);
        assert_eq!(code, Some(1));
    }
}
