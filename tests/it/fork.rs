//! A forked process inherits the lock and the files, but does not own the store.
#![expect(unsafe_code, reason = "there is no safe fork")]

use std::ops::ControlFlow;

use crate::common::{open, scratch, value};
use logkv::{Compact, Error};

/// Runs `work` in a forked child. Returns whether the child finished and `work` returned true.
fn in_a_fork(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: `work` takes no lock that another thread may hold during the fork. The child leaves
    // through `_exit`, without the parent's destructors.
    match unsafe { libc::fork() } {
        0 => {
            let said_yes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
            // SAFETY: `_exit` only ends the child.
            unsafe { libc::_exit(i32::from(!said_yes)) }
        }
        child => {
            assert!(child > 0, "no fork");
            let mut status = 0;
            // SAFETY: `status` is valid for the write.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            waited == child && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

#[test]
fn a_forked_child_can_read_but_not_write_and_does_not_release_the_lock() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "the parent's").expect("a put");
    let lock = std::fs::read(dir.path().join("LOCK")).expect("LOCK");
    let childs = store.clone();
    assert!(in_a_fork(move || {
        let is_refused = matches!(childs.put("k", "the child's"), Err(Error::Closed))
            && matches!(childs.sync(), Err(Error::Closed))
            && matches!(childs.rotate(), Err(Error::Closed));
        let reads = childs.get("k").is_ok_and(|value| value.as_deref() == Some(&b"the parent's"[..]));
        drop(childs);
        is_refused && reads
    }));
    assert_eq!(std::fs::read(dir.path().join("LOCK")).expect("LOCK"), lock);
    let second = logkv::Store::open(dir.path());
    assert!(matches!(second, Err(Error::Locked { .. })), "the parent still holds the lock: {second:?}");
    store.put("after", "the fork").expect("a put");
    store.close().expect("closes");
    let store = open(dir.path());
    assert_eq!(value(&store, "k").as_deref(), Some("the parent's"));
    assert_eq!(store.len(), 2);
}

#[test]
fn a_child_forked_during_a_compaction_closes_without_waiting_for_it() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "1").expect("a put");
    store.put("k", "2").expect("a put");
    let mut is_well = None;
    let report = store.compact_with(&Compact::All, &mut |_| {
        let childs = store.clone();
        is_well.get_or_insert_with(|| {
            in_a_fork(move || {
                // SAFETY: if the child waits for a lock of its parent, the alarm ends it and the
                // test fails.
                unsafe { libc::alarm(10) };
                matches!(childs.compact(&Compact::All), Err(Error::Closed)) && childs.close().is_ok()
            })
        });
        ControlFlow::Continue(())
    });
    assert_eq!(is_well, Some(true));
    assert_eq!(report.expect("compacts").runs.len(), 1);
}
