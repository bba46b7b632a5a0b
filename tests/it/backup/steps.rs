//! A backup that ends at any of its calls: by a kill, a power cut, or because the call fails.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use logkv::{Compact, Options, Store};
use tempfile::TempDir;

use super::{back_up, on, place, restore, restored};
use crate::cases::recorder::{Files, Recorder, write_down};
use crate::common::{Map, contents, copy_of, files, open, quick, scratch, small_store};
use crate::faults::{Fault, Plan};
use crate::hooked::Hooked;
use crate::recount::Recounted;
use crate::verify::verified;

/// A store, and an earlier backup of it in `copy` beside it, of which one segment has grown since, one was compacted away,
/// and one is new.
struct Pair {
    dir: TempDir,
    place: TempDir,
    /// What the earlier backup holds, and what the store does now.
    old: Map,
    new: Map,
}

impl Pair {
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

    /// The store, which makes no changes by itself, on another file system.
    fn reader(&self, options: Options) -> Store {
        Store::open_with(self.dir.path(), options.read_only(true)).expect("opens")
    }
}

/// What `files` restore to is what the earlier backup held or what the new one does, and nothing is wrong with them; whether it
/// is the new one. The next backup goes on there.
fn check(pair: &Pair, files: &Files, what: &str) -> bool {
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
fn a_kill_or_a_power_cut_at_any_call_leaves_the_earlier_backup_or_the_new_one() {
    let pair = Pair::new();
    let copy = pair.place.path().join("copy");
    let recorder = Arc::new(Recorder::new(&copy));
    back_up(&pair.reader(quick().file_system(Arc::new(Hooked(Arc::clone(&recorder))))), &copy);
    let moments = recorder.moments_from(0);
    assert!(moments.len() > 15, "there is something to cut: {}", moments.len());
    let mut seen = [0, 0];
    for moment in &moments {
        let what = format!("before {:?}", moment.call);
        seen[usize::from(check(&pair, &moment.killed, &format!("killed {what}")))] += 1;
        check(&pair, &moment.disk.durable, &format!("cut {what}"));
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    let last = moments.last().expect("the end");
    assert!(check(&pair, &last.disk.durable, "a power cut when it is done"), "it is durable when it is done");
}

#[test]
fn a_call_that_fails_is_told_and_leaves_the_earlier_backup_or_the_new_one() {
    let pair = Pair::new();
    let image = copy_of(&pair.place.path().join("copy"));
    for (kind, from_then_on) in
        [(ErrorKind::Other, false), (ErrorKind::StorageFull, false), (ErrorKind::StorageFull, true)]
    {
        for at_call in 0.. {
            let copy = copy_of(image.path());
            let plan = Arc::new(Plan::new(Fault::Error(kind), at_call, from_then_on));
            let store = pair.reader(quick().file_system(Arc::new(Hooked(Arc::clone(&plan)))));
            let outcome = store.backup(copy.path(), &mut on);
            let Some(call) = plan.met() else { break };
            let what = format!("{call:?} fails with {kind:?}: {outcome:?}");
            plan.end();
            let is_new = check(&pair, &files(copy.path()).into_iter().collect(), &what);
            assert!(is_new || outcome.is_err(), "{what}");
        }
    }
}

/// Makes something at a path; whether it did.
type Make<'a> = &'a dyn Fn(&Options, &Path) -> bool;

#[test]
fn a_first_backup_or_a_restore_whose_call_fails_leaves_nothing_or_all_of_it() {
    let pair = Pair::new();
    let make: [(&str, Make<'_>); 2] = [
        ("backup", &|options, to| pair.reader(options.clone()).backup(to, &mut on).is_ok()),
        ("restore", &|options, to| {
            let from = pair.place.path().join("copy");
            logkv::backup::restore(&from, to, options, &mut on).is_ok()
        }),
    ];
    for (what, make) in make {
        for (at_call, from_then_on) in (0..).flat_map(|at_call| [(at_call, false), (at_call, true)]) {
            let dir = scratch();
            let to = dir.path().join("to");
            let plan = Arc::new(Plan::new(Fault::Error(ErrorKind::StorageFull), at_call, from_then_on));
            let options = quick().file_system(Arc::new(Hooked(Arc::clone(&plan))));
            let is_made = make(&options, &to);
            let Some(call) = plan.met() else {
                assert!(is_made, "{what} goes well when nothing fails");
                break;
            };
            plan.end();
            let what = format!("{what}: {call:?} fails");
            assert!(is_made || !to.exists(), "{what}, and something was made");
            // What the disk did not let it remove is in nobody's way: the next one removes it, and is made.
            let is_left = fs::read_dir(dir.path()).expect("a directory").count() > usize::from(is_made);
            assert!(!is_left || from_then_on, "{what}, and something is left behind");
            if is_made {
                fs::remove_dir_all(&to).expect("it is ours");
            }
            assert!(make(&options, &to), "{what}, and it cannot be made afterwards");
            // What was done but for its name looks like a store: nothing but a person removes that.
            let unfinished = dir.path().join("to.unfinished");
            if unfinished.exists() {
                let names: Vec<_> = files(&unfinished).into_iter().map(|(name, _)| name).collect();
                let is_whole = names.iter().any(|name| name == "MANIFEST");
                assert!(from_then_on && is_whole && !names.iter().any(|name| name == "UNFINISHED"), "{what}");
                fs::remove_dir_all(&unfinished).expect("it is ours");
            }
            assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "{what}");
        }
    }
}

#[test]
fn what_stands_where_an_unfinished_one_would_and_is_none_is_left_alone_and_in_nobodys_way() {
    let pair = Pair::new();
    let (place, to) = place();
    let other = place.path().join("copy.unfinished");
    fs::create_dir(&other).expect("a directory");
    for stranger in ["MANIFEST", "notes"] {
        fs::write(other.join(stranger), "mine").expect("a file");
        back_up(&pair.reader(quick()), &to);
        fs::remove_dir_all(&to).expect("it is ours");
        restore(&pair.place.path().join("copy"), &to).expect("it is made");
        fs::remove_dir_all(&to).expect("it is ours");
        assert_eq!(files(&other), [(stranger.to_owned(), b"mine".to_vec())]);
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1, "nothing else stays");
        fs::remove_file(other.join(stranger)).expect("a file");
    }
    back_up(&pair.reader(quick()), &to);
    assert!(!other.exists());
}

#[test]
fn what_a_killed_one_left_under_a_name_that_nobody_could_foresee_is_removed() {
    let pair = Pair::new();
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
    held.lock().expect("nobody has it");
    let refused = pair.reader(quick()).backup(&to, &mut on).expect_err("another one is made").sentence();
    assert!(refused.contains("another process is working in it"), "{refused}");
    drop(held);
    back_up(&pair.reader(quick()), &to);
    assert!(!left.exists() && theirs.iter().all(|dir| files(dir).len() == 2));
}
