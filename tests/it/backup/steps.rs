//! A backup that ends at any of its calls: by a kill, by a power cut, or because the call fails.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use logkv::{Compact, Options, Store};
use tempfile::TempDir;

use super::{back_up, keep_going, place, restore, restored};
use crate::cases::recorder::{Files, Recorder, write_down};
use crate::common::{Map, contents, copy_of, files, open, quick, scratch, small_store};
use crate::faults::{Fault, FaultPlan};
use crate::hooked::Hooked;
use crate::recount::Recounted;
use crate::verify::verified;

/// A store, and an earlier backup of it in `copy`. Since that backup, one segment has grown, one
/// was compacted away, and one is new.
struct StoreAndBackup {
    dir: TempDir,
    place: TempDir,
    /// The contents of the earlier backup, and those of the store.
    old: Map,
    new: Map,
}

impl StoreAndBackup {
    fn new() -> Self {
        let dir = small_store();
        let store = open(dir.path());
        let (place, copy) = place();
        back_up(&store, &copy);
        let old = contents(&store);
        store.put("four", "new").expect("a put");
        store.compact_recounted(&Compact::All).expect("compacts");
        store.rotate().expect("rotates");
        store.put("five", "5").expect("a put");
        let new = contents(&store);
        store.close().expect("closes");
        Self { dir, place, old, new }
    }

    /// The store, opened read-only with `options`.
    fn reader(&self, options: Options) -> Store {
        Store::open_with(self.dir.path(), options.read_only(true)).expect("opens")
    }
}

/// Checks that `files` are the earlier backup or the new one, and that the next backup can extend
/// them. Returns whether they are the new one.
fn check(pair: &StoreAndBackup, files: &Files, what: &str) -> bool {
    let dir = write_down(files);
    let (verdict, findings) = verified(dir.path());
    assert!(verdict.is_intact(), "{what}: {findings:?}");
    let map = restored(dir.path());
    assert!(map == pair.old || map == pair.new, "{what}: a mixture");
    let is_new = map == pair.new;
    back_up(&pair.reader(quick()), dir.path());
    assert_eq!(restored(dir.path()), pair.new, "{what}");
    assert!(verified(dir.path()).1.is_empty(), "{what}");
    is_new
}

#[test]
fn a_kill_or_power_cut_at_any_call_leaves_the_earlier_backup_or_the_new_one() {
    let pair = StoreAndBackup::new();
    let copy = pair.place.path().join("copy");
    let recorder = Arc::new(Recorder::new(&copy));
    back_up(&pair.reader(quick().file_system(Arc::new(Hooked(Arc::clone(&recorder))))), &copy);
    let moments = recorder.moments_from(0);
    assert!(moments.len() > 15, "only {} moments to cut", moments.len());
    let mut seen = [0, 0];
    for moment in &moments {
        let what = format!("before {:?}", moment.call);
        seen[usize::from(check(&pair, &moment.killed, &format!("killed {what}")))] += 1;
        check(&pair, &moment.disk.durable, &format!("cut {what}"));
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    let last = moments.last().expect("the end");
    assert!(check(&pair, &last.disk.durable, "a power cut when it is done"), "a finished backup is durable");
}

#[test]
fn a_failed_call_is_reported_and_leaves_the_earlier_backup_or_the_new_one() {
    let pair = StoreAndBackup::new();
    let image = copy_of(&pair.place.path().join("copy"));
    for (kind, from_then_on) in
        [(ErrorKind::Other, false), (ErrorKind::StorageFull, false), (ErrorKind::StorageFull, true)]
    {
        for at_call in 0.. {
            let copy = copy_of(image.path());
            let plan = Arc::new(FaultPlan::new(Fault::Error(kind), at_call, from_then_on));
            let store = pair.reader(quick().file_system(Arc::new(Hooked(Arc::clone(&plan)))));
            let outcome = store.backup(copy.path(), &mut keep_going);
            let Some(call) = plan.met() else { break };
            let what = format!("{call:?} fails with {kind:?}: {outcome:?}");
            plan.end();
            let is_new = check(&pair, &files(copy.path()).into_iter().collect(), &what);
            assert!(is_new || outcome.is_err(), "{what}");
        }
    }
}

/// Creates something at a path, and returns whether it succeeded.
type Make<'a> = &'a dyn Fn(&Options, &Path) -> bool;

#[test]
fn a_first_backup_or_restore_with_a_failed_call_leaves_nothing_or_all_of_it() {
    let pair = StoreAndBackup::new();
    let make: [(&str, Make<'_>); 2] = [
        ("backup", &|options, to| pair.reader(options.clone()).backup(to, &mut keep_going).is_ok()),
        ("restore", &|options, to| {
            let from = pair.place.path().join("copy");
            logkv::backup::restore(&from, to, options, &mut keep_going).is_ok()
        }),
    ];
    for (what, make) in make {
        for (at_call, from_then_on) in (0..).flat_map(|at_call| [(at_call, false), (at_call, true)]) {
            let dir = scratch();
            let to = dir.path().join("to");
            let plan = Arc::new(FaultPlan::new(Fault::Error(ErrorKind::StorageFull), at_call, from_then_on));
            let options = quick().file_system(Arc::new(Hooked(Arc::clone(&plan))));
            let is_made = make(&options, &to);
            let Some(call) = plan.met() else {
                assert!(is_made, "{what} succeeds without faults");
                break;
            };
            plan.end();
            let what = format!("{what}: {call:?} fails");
            assert!(is_made || !to.exists(), "{what} failed, and left files at its target");
            // A leftover that the disk did not let it remove does not block the next attempt, which
            // removes it.
            let is_left = fs::read_dir(dir.path()).expect("a directory").count() > usize::from(is_made);
            assert!(!is_left || from_then_on, "{what} left files behind");
            if is_made {
                fs::remove_dir_all(&to).expect("has permission");
            }
            assert!(make(&options, &to), "{what} cannot be repeated afterwards");
            // A leftover that is complete except for its name looks like a store, and only the user
            // may remove it.
            let unfinished = dir.path().join("to.unfinished");
            if unfinished.exists() {
                let names: Vec<_> = files(&unfinished).into_iter().map(|(name, _)| name).collect();
                let is_whole = names.iter().any(|name| name == "MANIFEST");
                assert!(from_then_on && is_whole && !names.iter().any(|name| name == "UNFINISHED"), "{what}");
                fs::remove_dir_all(&unfinished).expect("has permission");
            }
            assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "{what}");
        }
    }
}

#[test]
fn a_foreign_file_under_the_name_of_a_staging_directory_stays_and_blocks_nothing() {
    let pair = StoreAndBackup::new();
    let (place, to) = place();
    let other = place.path().join("copy.unfinished");
    fs::create_dir(&other).expect("a directory");
    for stranger in ["MANIFEST", "notes"] {
        fs::write(other.join(stranger), "mine").expect("a file");
        back_up(&pair.reader(quick()), &to);
        fs::remove_dir_all(&to).expect("has permission");
        restore(&pair.place.path().join("copy"), &to).expect("is created");
        fs::remove_dir_all(&to).expect("has permission");
        assert_eq!(files(&other), [(stranger.to_owned(), b"mine".to_vec())]);
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1, "other files are left");
        fs::remove_file(other.join(stranger)).expect("a file");
    }
    back_up(&pair.reader(quick()), &to);
    assert!(!other.exists());
}

#[test]
fn the_staging_directory_of_a_killed_backup_has_a_random_name_and_is_removed() {
    let pair = StoreAndBackup::new();
    let (place, to) = place();
    fs::write(place.path().join("copy.unfinished"), "in its way").expect("a file");
    let left = place.path().join("copy.unfinished-0123456789abcdef");
    let theirs = ["copy.unfinished-0123456789abcde", "copy.unfinished-0123456789abcdefg", "other.unfinished"];
    let theirs = theirs.map(|name| place.path().join(name));
    for dir in theirs.iter().chain([&left]) {
        fs::create_dir(dir).expect("a directory");
        fs::write(dir.join("UNFINISHED"), "").expect("a mark");
        fs::write(dir.join("000001.seg"), "the beginning").expect("a segment");
    }
    let held = fs::File::create(left.join("LOCK")).expect("a lock");
    held.lock().expect("the lock is free");
    let refused =
        pair.reader(quick()).backup(&to, &mut keep_going).expect_err("another backup runs").sentence();
    assert!(refused.contains("another process is working in it"), "{refused}");
    drop(held);
    back_up(&pair.reader(quick()), &to);
    assert!(!left.exists() && theirs.iter().all(|dir| files(dir).len() == 2));
}
