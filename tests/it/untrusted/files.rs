//! Objects that are not the user's own regular files, under the names of a store's files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use logkv::{Error, Options, Result, SegmentId, Store, inspect, repair, verify};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;

use crate::common::{copy_of, open, program, quick, scratch, segment_path, skipped, small_store, value};

const STRANGER: u32 = 12_345;
const VICTIM: &[u8] = b"not a word of this is to be changed";

/// Creates something at a path. The second path is a directory outside the store with the file
/// `victim`.
type Plant = fn(&Path, &Path);

const PLANTS: [(&str, Plant); 11] = [
    ("a link to another file of the store", |at, _| symlink("000001.seg", at).expect("is a link")),
    ("a link to a file outside", |at, outside| symlink(outside.join("victim"), at).expect("is a link")),
    ("a dangling link", |at, outside| symlink(outside.join("nothing"), at).expect("is a link")),
    ("a link to itself", |at, _| symlink(at, at).expect("is a link")),
    ("a FIFO", |at, _| node(at, FileType::Fifo, 0)),
    ("a device", |at, _| node(at, FileType::CharacterDevice, makedev(1, 5))),
    ("a directory", |at, _| fs::create_dir(at).expect("a directory")),
    ("a socket", |at, _| drop(UnixListener::bind(at).expect("a socket"))),
    ("a second name of a file outside", |at, outside| {
        fs::hard_link(outside.join("victim"), at).expect("a hard link");
    }),
    ("a file of another user", |at, outside| {
        fs::copy(outside.join("victim"), at).expect("a copy");
        chown(at, Some(STRANGER), None).expect("root has permission");
    }),
    ("a file that everybody may write to", |at, outside| {
        fs::copy(outside.join("victim"), at).expect("a copy");
        fs::set_permissions(at, Permissions::from_mode(0o666)).expect("has permission");
    }),
];

fn node(at: &Path, kind: FileType, device: u64) {
    mknodat(CWD, at, kind, Mode::from_bits_truncate(0o600), device).expect("is created");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The names of a store's files, and whether the file is optional.
const NAMES: [(&str, bool); 11] = [
    ("LOCK", false),
    ("MANIFEST", false),
    ("000001.seg", false),
    ("000003.seg", false),
    ("MANIFEST.new", true),
    ("logkv.toml", true),
    ("KEYDIR", true),
    ("KEYDIR.new", true),
    ("000001.hint", true),
    ("000099.seg", true),
    ("000099.hint", true),
];

const KEYS: [(&str, Option<&str>); 4] =
    [("one", Some("1")), ("two", Some("twenty-two")), ("three", None), ("four", Some("4444"))];

/// An operation on a directory.
type Operation = fn(&Path, &Path) -> Result<()>;

const DEEDS: [(&str, Operation); 5] = [
    ("reading", |dir, _| reads_right(&Store::open_with(dir, quick().read_only(true))?)),
    ("writing", |dir, _| {
        let store = Store::open_with(dir, quick())?;
        reads_right(&store)?;
        store.put("new", "value")?;
        store.rotate()?;
        store.close()
    }),
    ("verifying", |dir, _| {
        let go_on = &mut |_: verify::VerifyEvent<'_>| std::ops::ControlFlow::Continue(());
        verify::store(dir, &quick(), &[], go_on).map(drop)
    }),
    ("repairing", |dir, outside| {
        let go_on = &mut |_: repair::RepairProgress| std::ops::ControlFlow::Continue(());
        repair::copy(dir, &outside.join("repaired"), &quick(), go_on).map(drop)
    }),
    ("inspecting", |dir, _| inspect::segment(dir, &quick(), SegmentId(1)).map(drop)),
];

fn reads_right(store: &Store) -> Result<()> {
    for (key, expected) in KEYS {
        let value = store.get(key)?;
        // A replaced segment is reported as damage, since its keys are unknown.
        if store.open_report().damage.is_empty() {
            assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{key}");
        } else {
            assert!(value.as_deref() != Some(VICTIM), "{key}");
        }
    }
    Ok(())
}

/// The result of `deed`. Panics after a timeout.
fn soon(what: &str, deed: Operation, dir: &TempDir, outside: &TempDir) -> Result<()> {
    let (done, outcome) = mpsc::channel();
    let (dir, outside) = (dir.path().to_owned(), outside.path().to_owned());
    thread::spawn(move || done.send(deed(&dir, &outside)));
    let outcome = outcome.recv_timeout(Duration::from_secs(60));
    outcome.unwrap_or_else(|error| panic!("{what}: it hangs or has panicked: {error}"))
}

#[test]
fn whatever_replaces_a_store_file_is_not_followed_or_waited_for_and_changes_nothing_outside() {
    let store = small_store();
    for (kind, plant) in PLANTS {
        if !is_root() && ["a device", "a file of another user"].contains(&kind) {
            skipped("an object under the name of a store's file", &format!("making {kind} needs root"));
            continue;
        }
        for (name, is_needless) in NAMES {
            for (doing, deed) in DEEDS {
                let (dir, outside) = (copy_of(store.path()), scratch());
                fs::write(outside.path().join("victim"), VICTIM).expect("the file outside");
                let _ = fs::remove_file(dir.path().join(name));
                plant(&dir.path().join(name), outside.path());
                let what = format!("{doing} where {name} is {kind}");
                let outcome = soon(&what, deed, &dir, &outside);
                let victim = fs::read(outside.path().join("victim")).expect("the file outside");
                assert!(victim == VICTIM, "{what}: a file outside the store was changed");
                assert!(
                    !outside.path().join("nothing").exists(),
                    "{what}: a file was made outside the store"
                );
                let must_work = is_needless && ["reading", "verifying", "inspecting"].contains(&doing);
                if must_work && let Err(error) = outcome {
                    panic!("{what}: {}", error.sentence());
                }
            }
        }
    }
}

#[test]
fn a_store_whose_active_segment_is_linked_to_a_backup_opens_read_only() {
    let dir = small_store();
    let backup = scratch();
    for entry in fs::read_dir(dir.path()).expect("the store") {
        let entry = entry.expect("a file");
        fs::hard_link(entry.path(), backup.path().join(entry.file_name())).expect("a hard link");
    }
    reads_right(&Store::open_with(dir.path(), quick().read_only(true)).expect("reads"))
        .expect("no record is missing");
    let refused =
        Store::open_with(dir.path(), quick()).expect_err("the segment is linked to a backup").sentence();
    assert!(refused.contains("000003.seg") && refused.contains("hard link"), "{refused}");
    // A copy of the last segment suffices, since no other segment is written to again.
    let last = segment_path(dir.path(), 3);
    let bytes = fs::read(&last).expect("the segment");
    fs::remove_file(&last).expect("has permission");
    fs::write(&last, bytes).expect("a copy");
    let before = crate::common::files(backup.path());
    let store = open(dir.path());
    store.put("new", "value").expect("a put");
    store.close().expect("closes");
    assert!(crate::common::files(backup.path()) == before, "the backup was changed");
}

/// Applies `change` to the directory and all its files.
fn for_all(dir: &TempDir, change: fn(&Path)) {
    for entry in fs::read_dir(dir.path()).expect("the store") {
        change(&entry.expect("a file").path());
    }
    change(dir.path());
}

#[test]
fn a_store_of_another_user_is_refused_and_opens_completely_when_trusted() {
    let open_to_all = |path: &Path| {
        let mode = if path.is_dir() { 0o777 } else { 0o666 };
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("has permission");
    };
    let gave_away = |path: &Path| chown(path, Some(STRANGER), None).expect("root has permission");
    let changes: [fn(&Path); 2] = [open_to_all, gave_away];
    for change in changes.into_iter().take(if is_root() { 2 } else { 1 }) {
        let dir = small_store();
        for_all(&dir, change);
        for (doing, deed) in DEEDS {
            let outcome = deed(dir.path(), scratch().path());
            assert!(matches!(outcome, Err(Error::Untrusted { .. })), "{doing}: {outcome:?}");
        }
        let trusting: Options = quick().trust(true);
        inspect::segment(dir.path(), &trusting, SegmentId(1)).expect("inspects");
        let store = Store::open_with(dir.path(), trusting).expect("opens");
        reads_right(&store).expect("reads");
        store.put("new", "value").expect("a put");
        assert_eq!(value(&store, "new").as_deref(), Some("value"));
    }
}

#[test]
fn a_file_less_trusted_than_its_directory_opens_with_the_trust_option_only() {
    for name in ["MANIFEST", "000001.seg", "000003.seg", "LOCK"] {
        let dir = small_store();
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o666)).expect("has permission");
        let refused = Store::open_with(dir.path(), quick()).expect_err("is world-writable").sentence();
        assert!(refused.contains(name) && refused.contains("everybody may write to it"), "{refused}");
        let store = Store::open_with(dir.path(), quick().trust(true)).expect("is trusted");
        reads_right(&store).expect("reads");
        store.close().expect("closes");
        // The trust option does not cover links, which lead out of the directory.
        let at = dir.path().join(name);
        fs::rename(&at, dir.path().join("elsewhere")).expect("has permission");
        symlink("elsewhere", &at).expect("is a link");
        let refused = Store::open_with(dir.path(), quick().trust(true)).expect_err("is a link").sentence();
        assert!(refused.contains("it is a symbolic link"), "{refused}");
    }
}

#[test]
fn a_refused_file_is_reported_neither_as_damaged_nor_as_intact() {
    let verified = |dir: &Path| {
        let output = program(dir).args(["-m", "plain", ".", "verify"]).output().expect("runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let dir = small_store();
    let open_to_all = |name: &str| {
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o666)).expect("has permission");
    };
    open_to_all("000001.seg");
    let (code, out) = verified(dir.path());
    assert_eq!(code, Some(3), "{out}");
    let expected = "refused\t000001.seg\t0\t0\t\tit was not looked at: everybody may write to it";
    assert!(out.starts_with(expected), "{out}");
    let path = segment_path(dir.path(), 2);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[70] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    assert_eq!(verified(dir.path()).0, Some(4), "damage is reported first");
    open_to_all("MANIFEST");
    assert_eq!(verified(dir.path()), (Some(3), String::new()), "MANIFEST is refused");
}

#[test]
fn a_directory_writable_by_the_user_s_own_group_is_trusted() {
    // The umask of many systems makes directories like this, with a group of the user alone.
    let dir = small_store();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).expect("has permission");
    reads_right(&open(dir.path())).expect("reads");
}
