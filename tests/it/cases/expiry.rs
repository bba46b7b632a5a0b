//! Records that expire. Nothing here writes them but the test, byte by byte, as another writer may have.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use logkv::{Compact, CompactionPolicy, ManualClock, Options, SegmentId, Store};
use tempfile::TempDir;

use crate::common::{
    leftovers, open, quick, remove_derived, scratch, sealed, segment_path, set_expiry, value,
};

const EXPIRES_MS: u64 = 1_000_000;
const GRACE: Duration = Duration::from_secs(60 * 60);

/// The options of a store whose clock stands so long behind the expiry.
fn after(millis: u64) -> Options {
    quick().clock(Arc::new(ManualClock::at(EXPIRES_MS + millis)))
}

/// A store where `k` was put twice, each time into a segment of its own, and put number `expiring` expires.
fn put_twice(expiring: u64) -> TempDir {
    let dir = scratch();
    let store = open(dir.path());
    let mut at = 0;
    for n in 1..=2 {
        let put = store.put("k", format!("12345678put {n}")).expect("a put");
        store.put(format!("other{n}"), "there").expect("a put");
        store.rotate().expect("rotates");
        if n == expiring {
            at = put.location.offset;
        }
    }
    store.close().expect("closes");
    set_expiry(&segment_path(dir.path(), expiring), at, EXPIRES_MS);
    dir
}

fn assert_k(dir: &Path, millis: u64, expected: Option<&str>, what: &str) {
    for has_hints in [true, false] {
        if !has_hints {
            remove_derived(dir);
        }
        let store = Store::open_with(dir, after(millis)).expect("opens");
        assert_eq!(store.open_report().damage, [], "{what}");
        assert_eq!(value(&store, "k").as_deref(), expected, "{what}, with hints: {has_hints}");
        for other in ["other1", "other2"] {
            assert_eq!(value(&store, other).as_deref(), Some("there"), "{what}");
        }
        let shown =
            store.keys(..).expect("keys").filter(|key| key.as_ref().expect("reads").key == b"k").count();
        assert_eq!(shown, usize::from(expected.is_some()), "{what}");
        store.close().expect("closes");
    }
}

/// Which segments are compacted one after another; 0 stands for all there are.
const ORDERS: [&[u64]; 5] = [&[1], &[2], &[1, 2], &[2, 1], &[0]];

fn compact(dir: &Path, millis: u64, segment: u64) {
    let store = Store::open_with(dir, after(millis)).expect("opens");
    let what = match segment {
        0 => sealed(&store),
        id => vec![SegmentId(id)],
    };
    store.compact(&Compact::Segments(what)).expect("compacts");
    store.close().expect("closes");
    assert_eq!(leftovers(dir), [""; 0]);
}

#[test]
fn case_16_a_put_without_expiry_after_one_with_is_there_whatever_is_compacted() {
    let grace_ms = GRACE.as_millis() as u64;
    for order in ORDERS {
        for millis in [0, grace_ms + 1] {
            let dir = put_twice(1);
            for &segment in order {
                compact(dir.path(), millis, segment);
                assert_k(dir.path(), millis, Some("12345678put 2"), &format!("{segment} of {order:?}"));
            }
        }
    }
}

#[test]
fn case_17_an_expired_put_goes_on_hiding_the_one_before_it_whatever_is_compacted() {
    assert_eq!(CompactionPolicy::default().expiry_grace, GRACE);
    let grace_ms = GRACE.as_millis() as u64;
    let before = put_twice(2);
    let store = Store::open_with(before.path(), quick().clock(Arc::new(ManualClock::at(0)))).expect("opens");
    assert_eq!(value(&store, "k").as_deref(), Some("put 2"), "until it expires");
    for order in ORDERS {
        // Within the time of grace, behind it, and the one after the other.
        for times in [[0, 0], [grace_ms, grace_ms], [0, grace_ms]] {
            let dir = put_twice(2);
            for (&segment, millis) in order.iter().zip(times) {
                compact(dir.path(), millis, segment);
                assert_k(dir.path(), millis, None, &format!("{segment} of {order:?} at {times:?}"));
                if millis == 0 {
                    // The clock had stepped forward by mistake, and is put right.
                    let right = quick().clock(Arc::new(ManualClock::at(EXPIRES_MS - 1)));
                    let store = Store::open_with(dir.path(), right).expect("opens");
                    assert_eq!(value(&store, "k").as_deref(), Some("put 2"), "{segment} of {order:?}");
                }
            }
            // Oldest first: what hides nothing any more goes, too.
            compact(dir.path(), grace_ms, 0);
            assert_k(dir.path(), grace_ms, None, &format!("{order:?} at {times:?}, and then all"));
            let store = Store::open_with(dir.path(), after(grace_ms)).expect("opens");
            let stats = store.stats().expect("stats");
            assert_eq!(
                (stats.key_count, stats.record_count),
                (2, 2),
                "{order:?} at {times:?}: all of it is gone"
            );
        }
    }
}

#[test]
fn a_key_that_was_seen_to_have_expired_does_not_come_back_when_the_clock_steps_back() {
    let dir = put_twice(2);
    let clock = Arc::new(ManualClock::at(EXPIRES_MS - 1));
    let store =
        Store::open_with(dir.path(), quick().clock(Arc::<ManualClock>::clone(&clock))).expect("opens");
    let snapshot = store.snapshot().expect("a snapshot");
    let seen = || {
        let in_snapshot = snapshot.contains("k").expect("reads");
        (value(&store, "k").is_some(), in_snapshot, store.keys(..).expect("keys").count())
    };
    assert_eq!(seen(), (true, true, 3), "it has not expired yet");
    clock.set(EXPIRES_MS);
    assert_eq!(seen(), (false, false, 2), "it has");
    clock.set(EXPIRES_MS - 1);
    assert_eq!(seen(), (false, false, 2), "the clock stepped back");
}
