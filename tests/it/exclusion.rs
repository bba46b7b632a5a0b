//! One writer, whatever happens to the names of its directory and of LOCK.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use logkv::fs::{FileSystem, LockOutcome, OsFileSystem};
use logkv::{Compact, Error, Store, repair};
use tempfile::TempDir;

use crate::common::{contents, copy_of, open, quick, scratch, segment_path, skipped, value};

/// A change of names while a store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameChange {
    LockRemoved,
    LockReplaced,
    DirectoryReplaced,
}

const KINDS: [NameChange; 3] =
    [NameChange::LockRemoved, NameChange::LockReplaced, NameChange::DirectoryReplaced];

impl NameChange {
    /// Applies the change to the store at `dir`. Returns the new path of the store's files.
    fn apply(self, dir: &Path) -> PathBuf {
        let lock = dir.join("LOCK");
        match self {
            Self::LockRemoved => fs::remove_file(lock).expect("LOCK is removed"),
            Self::LockReplaced => {
                fs::write(dir.join("other"), "").expect("creates another file");
                fs::rename(dir.join("other"), lock).expect("LOCK is replaced");
            }
            Self::DirectoryReplaced => return replace(dir),
        }
        dir.to_owned()
    }
}

/// The files in `dir` except LOCK, which the release of a lock empties.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = crate::common::files(dir);
    files.retain(|(name, _)| name != "LOCK");
    files
}

/// Renames the directory `dir` and puts a copy in its place. Returns the new path.
fn replace(dir: &Path) -> PathBuf {
    let copy = copy_of(dir);
    let moved = dir.with_extension("moved");
    fs::rename(dir, &moved).expect("the directory is renamed");
    fs::rename(copy.keep(), dir).expect("replaces it");
    moved
}

/// A closed store of three segments in a directory that can be renamed. Two segments have dead
/// records.
fn closed_store() -> (TempDir, PathBuf) {
    let place = scratch();
    let dir = place.path().join("store");
    let store = open(&dir);
    for round in ["1", "2", "3"] {
        store.put("k", round).expect("a put");
        store.put(round, "own").expect("a put");
        if round != "3" {
            store.rotate().expect("rotates");
        }
    }
    store.close().expect("closes");
    (place, dir)
}

/// An operation that changes files.
type Change = fn(&Store) -> logkv::Result<()>;

const CHANGES: [(&str, Change); 5] = [
    ("the first put", |store| store.put("new", "value").map(drop)),
    ("rotate", |store| store.rotate().map(drop)),
    ("compact", |store| store.compact(&Compact::All).map(drop)),
    ("clear", |store| store.clear().map(drop)),
    ("sync", Store::sync),
];

#[test]
fn a_writer_that_lost_its_lock_changes_no_file_and_says_why() {
    for kind in KINDS {
        for (name, change) in CHANGES {
            let (_place, dir) = closed_store();
            let store = Store::open_with(&dir, quick().checkpoint_records(1)).expect("opens");
            let beside = Store::open_with(&dir, quick().read_only(true)).expect("opens beside the writer");
            let map = contents(&store);
            let kept = kind.apply(&dir);
            let (before, before_at_path) = (files(&kept), files(&dir));
            let error = change(&store).expect_err("the lock is lost").sentence();
            let reason = match kind {
                NameChange::DirectoryReplaced => "another directory has replaced the one",
                _ => "LOCK was removed or replaced",
            };
            assert!(error.contains(reason), "{kind:?}, {name}: {error}");
            let next = store.put("after", "it");
            assert!(matches!(next, Err(Error::Poisoned { .. })), "{kind:?}, {name}: {next:?}");
            assert_eq!(contents(&store), map, "{kind:?}, {name}: reads still work");
            assert_eq!(contents(&beside), map, "{kind:?}, {name}: reads of a second reader still work");
            let closed = store.close();
            assert!(matches!(closed, Err(Error::Poisoned { .. })), "{kind:?}, {name}: {closed:?}");
            assert!(files(&kept) == before && files(&dir) == before_at_path, "{kind:?}, {name}");
            assert_eq!(contents(&open(&dir)), map, "{kind:?}, {name}");
        }
    }
}

#[test]
fn a_store_whose_lock_file_is_gone_refuses_a_second_writer_and_a_repair() {
    for kind in [NameChange::LockRemoved, NameChange::LockReplaced] {
        let (place, dir) = closed_store();
        let store = open(&dir);
        store.put("acknowledged", "1").expect("a put");
        kind.apply(&dir);
        let second = Store::open_with(&dir, quick());
        assert!(matches!(second, Err(Error::Locked { pid: None })), "{kind:?}: {second:?}");
        let to = place.path().join("repaired");
        let repaired = repair::copy(&dir, &to, &quick(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(repaired, Err(Error::Locked { .. })), "{kind:?}: {repaired:?}");
        let (from, aside) = (dir.as_path(), place.path().join("aside"));
        let repaired = repair::in_place(from, &aside, &quick(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(repaired, Err(Error::Locked { .. })), "{kind:?}: {repaired:?}");
        // Appending uses no file name, so that it still succeeds. The next writer must find the
        // record.
        store.put("acknowledged", "2").expect("a put");
        drop(store);
        assert_eq!(value(&open(&dir), "acknowledged").as_deref(), Some("2"), "{kind:?}");
    }
}

#[test]
fn a_renamed_store_works_until_another_directory_takes_its_place() {
    let (place, dir) = closed_store();
    let store = open(&dir);
    let moved = place.path().join("moved");
    fs::rename(&dir, &moved).expect("the directory is renamed");
    store.put("renamed", "1").expect("a put");
    store.rotate().expect("rotates");
    store.compact(&Compact::All).expect("compacts");
    store.put("renamed", "2").expect("a put");
    let second = Store::open_with(&moved, quick());
    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
    let other = open(&dir);
    other.put("other", "store").expect("a put");
    let before = files(&dir);
    let error = store.rotate().expect_err("the directory was replaced").sentence();
    assert!(error.contains("another directory has replaced the one"), "{error}");
    assert!(store.put("renamed", "3").is_err());
    assert!(files(&dir) == before, "a file of the other store was overwritten");
    other.put("other", "store still").expect("a put");
    drop((store, other));
    assert_eq!(value(&open(&moved), "renamed").as_deref(), Some("2"));
    assert_eq!(value(&open(&dir), "other").as_deref(), Some("store still"));
}

#[test]
fn a_relative_path_still_names_the_store_after_a_change_of_the_working_directory() {
    const CHILD: &str = "LOGKV_TEST_RELATIVE";
    if std::env::var_os(CHILD).is_some() {
        let store = open(Path::new("store"));
        fs::create_dir_all("elsewhere/store").expect("creates the other directory");
        std::env::set_current_dir("elsewhere").expect("the directory is changed");
        store.put("k", "v").expect("a put");
        store.rotate().expect("rotates");
        return store.close().expect("closes");
    }
    // The working directory belongs to the whole process, so that the test changes it in a child.
    let place = scratch();
    let name = "exclusion::a_relative_path_still_names_the_store_after_a_change_of_the_working_directory";
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program).args(["--exact", name]).env(CHILD, "1").current_dir(&place).output();
    let output = output.expect("runs this program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(value(&open(&place.path().join("store")), "k").as_deref(), Some("v"));
}

#[test]
fn a_directory_replaced_between_open_and_lock_is_not_locked() {
    let (_place, dir) = closed_store();
    let directory = OsFileSystem.open_directory(&dir).expect("opens");
    replace(&dir);
    let error = directory.lock().expect_err("the path names another directory");
    assert!(error.to_string().contains("another directory has replaced the one"), "{error}");
    let outcome = OsFileSystem.open_directory(&dir).expect("opens").lock().expect("locks");
    assert!(matches!(outcome, LockOutcome::Held(_)));
}

#[test]
fn a_directory_is_locked_once_through_any_handle() {
    let (_place, dir) = closed_store();
    let directory = OsFileSystem.open_directory(&dir).expect("opens");
    let held = directory.lock().expect("locks");
    assert!(matches!(held, LockOutcome::Held(_)));
    assert!(matches!(directory.lock(), Ok(LockOutcome::HeldBy { .. })), "the same handle");
    let other = OsFileSystem.open_directory(&dir).expect("opens");
    assert!(matches!(other.lock_if_there(), Ok(Some(LockOutcome::HeldBy { .. }))), "a second handle");
    drop(held);
    assert!(matches!(other.lock(), Ok(LockOutcome::Held(_))));
}

/// A file system mounted over a directory until it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn over(dir: &Path) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "mode=0700", "none"]).arg(dir).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is still mounted", self.0.display());
    }
}

#[test]
fn a_writer_whose_directory_is_hidden_by_a_mount_changes_no_file() {
    let (_place, dir) = closed_store();
    let store = open(&dir);
    store.put("before", "1").expect("a put");
    let beside = Store::open_with(&dir, quick().read_only(true)).expect("opens beside the writer");
    let map = contents(&store);
    let Some(mount) = Mount::over(&dir) else {
        skipped("a mount over the directory", "mounting a file system needs root");
        return;
    };
    let other = open(&dir);
    other.put("other", "store").expect("a put");
    let error = store.rotate().expect_err("the path names another directory").sentence();
    assert!(error.contains("another directory has replaced the one"), "{error}");
    assert!(matches!(store.put("after", "it"), Err(Error::Poisoned { .. })));
    assert_eq!((contents(&store), contents(&beside)), (map.clone(), map.clone()));
    drop(other);
    drop((store, mount));
    assert_eq!(contents(&open(&dir)), map);
}

#[test]
fn a_repair_in_place_leaves_alone_a_directory_that_replaced_the_damaged_one() {
    let (place, dir) = closed_store();
    let mut bytes = fs::read(segment_path(&dir, 1)).expect("a segment");
    *bytes.last_mut().expect("is not empty") ^= 1;
    fs::write(segment_path(&dir, 1), bytes).expect("damage");
    let (aside, moved) = (place.path().join("aside"), place.path().join("moved"));
    let mut is_replaced = false;
    let repaired = repair::in_place(&dir, &aside, &quick(), &mut |_| {
        if !std::mem::replace(&mut is_replaced, true) {
            fs::rename(&dir, &moved).expect("the directory is renamed");
            fs::create_dir(&dir).expect("replaces it");
            fs::write(dir.join("somebody's"), "own").expect("a file");
        }
        ControlFlow::Continue(())
    });
    let error = repaired.expect_err("the name is taken").sentence();
    assert!(error.contains("another directory has replaced the one"), "{error}");
    assert_eq!(files(&dir), [("somebody's".to_owned(), b"own".to_vec())]);
    assert!(!aside.exists() && !place.path().join("store.repairing").exists());
}

#[test]
fn a_backup_writes_only_to_the_directory_that_it_locked() {
    for kind in KINDS {
        let (place, dir) = closed_store();
        let store = open(&dir);
        let to = place.path().join("backup");
        store.backup(&to, &mut |_| ControlFlow::Continue(())).expect("a backup");
        store.put("more", "1").expect("a put");
        let mut kept = None;
        let error = store.backup(&to, &mut |_| {
            kept.get_or_insert_with(|| {
                let kept = kind.apply(&to);
                (files(&kept), files(&to), kept)
            });
            ControlFlow::Continue(())
        });
        let error = error.expect_err("the lock is lost").sentence();
        let (before, before_at_path, kept) = kept.expect("reported progress");
        assert!(files(&to) == before_at_path, "{kind:?}: {error}");
        let names =
            |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let manifest = |files: &[(String, Vec<u8>)]| {
            files.iter().find(|(name, _)| name == "MANIFEST").map(|(_, bytes)| bytes.clone())
        };
        let after = files(&kept);
        assert_eq!(manifest(&after), manifest(&before), "{kind:?}: {error}");
        assert!(names(&before).iter().all(|name| names(&after).contains(name)), "{kind:?}: {error}");
    }
}
