//! The fork of a process shares its lock and its files, and does not own the store.
#![expect(unsafe_code, reason = "there is no safe fork")]

use std::ops::ControlFlow;

use crate::common::{open, scratch, value};
use logkv::{Compact, Error};

/// Runs `work` in a forked child; whether it came to its end and said yes.
fn in_a_fork(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `work`, which takes no lock that another thread of the parent can have held at the fork, and
    // leaves by `_exit`, without the parent's destructors.
    match unsafe { libc::fork() } {
        0 => {
            let said_yes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
            // SAFETY: it ends the child, and nothing else.
            unsafe { libc::_exit(i32::from(!said_yes)) }
        }
        child => {
            assert!(child > 0, "no fork");
            let mut status = 0;
            // SAFETY: `status` is there for the call to write to.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            waited == child && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

#[test]
fn a_forked_child_reads_and_neither_writes_nor_lets_the_parents_lock_go() {
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
    assert!(matches!(second, Err(Error::Locked { .. })), "the parent has it still: {second:?}");
    store.put("after", "the fork").expect("a put");
    store.close().expect("closes");
    let store = open(dir.path());
    assert_eq!(value(&store, "k").as_deref(), Some("the parent's"));
    assert_eq!(store.len(), 2);
}

#[test]
fn a_child_forked_during_a_compaction_waits_for_none_and_closes() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "1").expect("a put");
    store.put("k", "2").expect("a put");
    let mut is_well = None;
    let report = store.compact_with(&Compact::All, &mut |_| {
        let childs = store.clone();
        is_well.get_or_insert_with(|| {
            in_a_fork(move || {
                // SAFETY: a child that waits for a lock of its parent's is ended, and the test fails.
                unsafe { libc::alarm(10) };
                matches!(childs.compact(&Compact::All), Err(Error::Closed)) && childs.close().is_ok()
            })
        });
        ControlFlow::Continue(())
    });
    assert_eq!(is_well, Some(true));
    assert_eq!(report.expect("compacts").runs.len(), 1);
}
