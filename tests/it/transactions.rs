//! Transactions and overlays: one at a time, all or nothing, without interference. Gets of many
//! keys.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use logkv::{Batch, Error, Expiry, ManualClock, Options, Overlay, OverlayEntry, PutOptions, Store, Sync};

use crate::common::{open, quick, scratch, value};

const THREADS: usize = 4;

/// The pairs that a transaction sees, from key `from` on.
fn seen(transaction: &mut Overlay, from: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let pairs = transaction.scan((std::ops::Bound::Included(from.as_bytes()), std::ops::Bound::Unbounded));
    let pairs = pairs.expect("scans").map(|pair| pair.expect("reads"));
    pairs.map(|(key, value)| (text(&key), text(&value))).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_transaction_sees_its_own_writes_and_no_other_reader_does() {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["a", "b", "d"] {
        store.put(key, "old").expect("a put");
    }
    let done = store.transact(|transaction| {
        assert_eq!(seen(transaction, "a"), owned(&[("a", "old"), ("b", "old"), ("d", "old")]));
        transaction.put("b", "new");
        transaction.delete("a");
        transaction.put("c", "new");
        transaction.delete("missing");
        assert_eq!(transaction.get("a")?, None);
        assert_eq!(transaction.get("b")?.as_deref(), Some(&b"new"[..]));
        assert_eq!(seen(transaction, "a"), owned(&[("b", "new"), ("c", "new"), ("d", "old")]));
        assert_eq!(seen(transaction, "c"), owned(&[("c", "new"), ("d", "old")]));
        assert_eq!(seen(transaction, "x"), []);
        assert_eq!(value(&store, "b").as_deref(), Some("old"), "the transaction has not committed");
        Ok::<_, Error>(7)
    });
    assert_eq!(done.expect("is written"), 7);
    store.close().expect("closes");
    let store = open(dir.path());
    let values = ["a", "b", "c", "d"].map(|key| value(&store, key));
    assert_eq!(values.each_ref().map(Option::as_deref), [None, Some("new"), Some("new"), Some("old")]);
}

#[test]
fn a_transaction_sees_writes_submitted_before_it() {
    let dir = scratch();
    let store = open(dir.path());
    let mut batch = Batch::new();
    batch.put("k", "submitted");
    let pending = store.submit(&batch).expect("accepts the write");
    let seen = store.transact(|transaction| transaction.get("k")).expect("a transaction");
    assert_eq!(seen.as_deref(), Some(&b"submitted"[..]));
    pending.wait().expect("is acknowledged");
}

#[test]
fn a_transaction_that_fails_or_panics_writes_nothing_and_the_next_one_runs() {
    let dir = scratch();
    let store = open(dir.path());
    let before = store.put("a", "old").expect("a put").last;
    let failed = store.transact(|transaction| {
        transaction.put("a", "new");
        Err::<(), _>(Error::NotANumber)
    });
    assert!(matches!(failed, Err(Error::NotANumber)), "{failed:?}");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.transact(|transaction| -> logkv::Result<()> {
            transaction.delete("a");
            panic!("on purpose");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(value(&store, "a").as_deref(), Some("old"));
    let commit = store.put("b", "1").expect("a put");
    assert_eq!(commit.first.0, before.0 + 1, "a number was used");
    store
        .transact(|transaction| {
            transaction.put("a", "new");
            Ok::<_, Error>(())
        })
        .expect("is written");
    assert_eq!(value(&store, "a").as_deref(), Some("new"));
}

#[test]
fn a_write_past_its_own_transaction_is_refused_and_one_of_another_thread_waits() {
    let dir = scratch();
    let store = open(dir.path());
    let other = store.clone();
    let late = store.transact(|transaction| {
        assert!(matches!(store.put("a", "1"), Err(Error::WithinTransaction)));
        assert!(matches!(store.transact(|_| Ok::<_, Error>(())), Err(Error::WithinTransaction)));
        transaction.put("a", "in it");
        let late = std::thread::spawn(move || other.put("a", "after it").map(|commit| commit.last));
        assert_eq!(transaction.get("a")?.as_deref(), Some(&b"in it"[..]));
        Ok::<_, Error>(late)
    });
    let late = late.expect("is written").join().expect("no panic").expect("a put");
    assert_eq!((value(&store, "a").as_deref(), late.0), (Some("after it"), 2));
}

#[test]
fn counters_of_many_threads_miss_no_increment_under_any_policy() {
    const STEPS: usize = 50;
    for sync in [Sync::Always, Sync::Every(Duration::from_millis(5)), Sync::Never, Sync::Buffered(200)] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), quick().sync(sync)).expect("opens");
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for step in 0..STEPS {
                        store.incr("sum", 1).expect("a number");
                        // A write without a transaction must not be lost either.
                        store.put(format!("other{step}"), "x").expect("a put");
                    }
                });
            }
        });
        assert_eq!(value(&store, "sum"), Some((THREADS * STEPS).to_string()), "{sync:?}");
    }
}

#[test]
fn a_compare_and_swap_happens_only_if_the_value_is_the_expected_one() {
    let dir = scratch();
    let store = open(dir.path());
    let swap = |expected: Option<&str>, new: Option<&str>| {
        let [expected, new] = [expected, new].map(|value| value.map(str::as_bytes));
        store.compare_and_swap("k", expected, new).expect("reads")
    };
    assert!(!swap(Some("1"), Some("2")), "the key does not exist");
    assert!(swap(None, None), "a missing key stays missing");
    assert!(swap(None, Some("1")));
    assert!(!swap(None, Some("2")));
    assert!(!swap(Some("11"), None));
    assert!(swap(Some("1"), Some("2")));
    assert_eq!(value(&store, "k").as_deref(), Some("2"));
    assert!(swap(Some("2"), None));
    assert_eq!(value(&store, "k"), None);
}

#[test]
fn a_value_that_is_no_number_and_a_sum_that_overflows_are_refused_and_nothing_is_written() {
    let dir = scratch();
    let store = open(dir.path());
    assert_eq!(store.incr("n", -3).expect("a number"), -3);
    assert_eq!(store.incr("n", 10).expect("a number"), 7);
    for text in ["", "1.5", "seven", " 7", "9223372036854775808"] {
        store.put("text", text).expect("a put");
        assert!(matches!(store.incr("text", 1), Err(Error::NotANumber)), "{text}");
        assert_eq!(value(&store, "text").as_deref(), Some(text));
    }
    store.put("n", i64::MAX.to_string()).expect("a put");
    assert!(matches!(store.incr("n", 1), Err(Error::NumberOverflow { number: i64::MAX, by: 1 })));
    assert_eq!(value(&store, "n"), Some(i64::MAX.to_string()));
}

#[test]
fn an_expiry_can_be_set_and_removed_and_survives_an_increment() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
    let store = Store::open_with(dir.path(), Options::new().clock(clock.clone())).expect("opens");
    let expires = |key: &str| store.get_entry(key).expect("reads").map(|entry| entry.meta.expires_ms);
    store.put("n", "1").expect("a put");
    assert_eq!(expires("n"), Some(None));
    assert!(store.expire("n", Expiry::In(Duration::from_millis(500))).expect("a put"));
    assert_eq!(expires("n"), Some(Some(1_500)));
    assert_eq!(store.incr("n", 1).expect("a number"), 2);
    assert_eq!(expires("n"), Some(Some(1_500)));
    assert!(store.persist("n").expect("a put"));
    assert!(!store.persist("n").expect("has no expiry"));
    assert!(store.expire("n", Expiry::At(1_200)).expect("a put"));
    clock.set(1_200);
    assert_eq!(expires("n"), None);
    assert!(!store.expire("n", Expiry::At(9_999)).expect("the key is missing"));
    assert!(!store.delete("n").expect("the key is missing"));
    assert_eq!(store.incr("n", 5).expect("a number"), 5);
    store
        .transact(|transaction| {
            transaction.put_expiring("t", "1", Expiry::At(1_200));
            assert_eq!(transaction.get("t")?, None, "the expiry is in the past");
            transaction.put_expiring("t", "1", Expiry::In(Duration::from_millis(1)));
            assert_eq!(transaction.get_with_expiry("t")?.map(|(_, at)| at), Some(Some(1_201)));
            Ok::<_, Error>(())
        })
        .expect("is written");
    assert_eq!(expires("t"), Some(Some(1_201)));
}

#[test]
fn an_increment_or_expiry_applies_to_submitted_writes_that_are_not_visible_yet() {
    let after = |ms| Expiry::In(Duration::from_millis(ms));
    for sync in [Sync::Always, Sync::Never, Sync::Buffered(1 << 20)] {
        let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
        let options = quick().clock(clock.clone()).sync(sync);
        let store = Store::open_with(dir.path(), options).expect("opens");
        let submitted = |pending: logkv::Pending| pending.wait().expect("waits").map(|commit| commit.last.0);
        let ttl = PutOptions::new().expiry(Some(after(500)));
        let put = store.submit_put("n", "40", ttl).expect("a put");
        let (sum, incr) = store.submit_incr("n", 2).expect("a number");
        assert_eq!(sum, 42, "{sync:?}");
        let absent = store.submit_put("n", "7", PutOptions::new().if_absent()).expect("looks");
        let (was_there, persist) = store.submit_persist("n").expect("looks");
        let (is_there, again) = store.submit_persist("n").expect("looks");
        assert!(was_there && is_there);
        let expire = store.submit_expire("n", after(700)).expect("looks");
        let none = store.submit_expire("nothing", after(700)).expect("looks");
        let mut batch = Batch::new();
        batch.delete("n");
        let delete = store.submit(&batch).expect("a delete");
        let (is_there, nothing) = store.submit_persist("n").expect("looks");
        assert!(!is_there);
        let (sum, anew) = store.submit_incr("n", 1).expect("a number");
        assert_eq!(sum, 1, "the key was deleted");
        if sync == Sync::Always {
            assert_eq!(value(&store, "n"), None, "readers do not see a write that is not durable");
        }
        let pending = [put, incr, absent, persist, again, expire, none, delete, nothing, anew];
        let numbers = [Some(1), Some(2), None, Some(3), None, Some(4), None, Some(5), None, Some(6)];
        assert_eq!(pending.map(submitted), numbers, "{sync:?}");
        assert_eq!(value(&store, "n").as_deref(), Some("1"));
        store.close().expect("closes");
        assert_eq!(value(&open(dir.path()), "n").as_deref(), Some("1"));
    }
}

#[test]
fn the_reason_for_writing_nothing_is_durable_before_the_call_returns() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(Sync::Always)).expect("opens");
    let forever = store.submit_put("k", "v", PutOptions::new()).expect("a put");
    assert!(!store.persist("k").expect("looks"), "the key has no expiry");
    assert_eq!(value(&store, "k").as_deref(), Some("v"), "the value that decided it is durable");
    assert!(forever.wait().expect("waits").is_some());
}

#[test]
fn a_get_of_many_keys_equals_single_gets() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(4096)).expect("opens");
    let key = |n: u32| format!("key{n}");
    for n in 0..500 {
        store.put(key(n), n.to_string()).expect("a put");
    }
    (0..500).step_by(3).for_each(|n| assert!(store.delete(key(n)).expect("a delete")));
    let keys: Vec<_> = (0..600).rev().map(key).collect();
    let many = store.get_many(&keys).expect("reads");
    assert_eq!(many.len(), keys.len());
    for (key, found) in keys.iter().zip(many) {
        assert_eq!(found.expect("reads"), store.get(key).expect("reads"), "{key}");
    }
    assert!(store.get_many(&[""; 0]).expect("an empty result").is_empty());
}

#[test]
fn an_overlay_scan_merges_its_changes_from_both_ends() {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["a", "c", "e"] {
        store.put(key, "stored").expect("a put");
    }
    let mut overlay = Overlay::new(&store);
    for key in ["b", "c", "f"] {
        overlay.put(key, "changed");
    }
    overlay.delete("e");
    overlay.delete("missing");
    assert_eq!(overlay.len(), 5);
    let snapshot = store.snapshot().expect("a snapshot");
    let text = |entry: logkv::Result<OverlayEntry>| {
        let OverlayEntry { key, value, record, .. } = entry.expect("reads");
        let value = value.map(|value| String::from_utf8(value.to_vec()).expect("text"));
        assert_eq!(record.is_some(), value.as_deref() != Some("changed"), "only stored values have a record");
        (String::from_utf8(key.to_vec()).expect("text"), value.expect("the entry has a value"))
    };
    let expected = owned(&[("a", "stored"), ("b", "changed"), ("c", "changed"), ("f", "changed")]);
    // Every order of calls on the two ends, as the bits of `ends`.
    for ends in 0..1 << expected.len() {
        let mut scan = overlay.scan_over(&snapshot, ..).expect("scans");
        let (mut front, mut back) = (Vec::new(), Vec::new());
        for step in 0..expected.len() {
            if ends >> step & 1 == 0 {
                front.push(text(scan.next().expect("another key")));
            } else {
                back.push(text(scan.next_back().expect("another key")));
            }
        }
        assert!(scan.next().is_none() && scan.next_back().is_none(), "{ends:b}");
        back.reverse();
        front.extend(back);
        assert_eq!(front, expected, "{ends:b}");
    }
    let keys = overlay.keys_over(&snapshot, ..).expect("scans").rev();
    let keys = keys.map(|entry| entry.map(|entry| (entry.key.to_vec(), entry.value.is_some())));
    let keys = keys.collect::<logkv::Result<Vec<_>>>().expect("reads");
    let without_value = |key: &str| (key.as_bytes().to_vec(), false);
    assert_eq!(keys, ["f", "c", "b", "a"].map(without_value));
}

#[test]
fn a_scan_of_an_overlay_keeps_its_view_while_the_overlay_changes() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("a", "1").expect("a put");
    let mut overlay = Overlay::new(&store);
    overlay.put("b", "2");
    let mut scan = overlay.scan(..).expect("scans");
    assert_eq!(&*scan.next().expect("a").expect("reads").0, b"a");
    overlay.delete("b");
    overlay.put("c", "3");
    assert_eq!(&*scan.next().expect("b").expect("reads").0, b"b");
    assert!(scan.next().is_none());
}

#[test]
fn an_expiring_put_of_an_overlay_expires_and_its_lifetime_starts_at_the_put() {
    let clock = Arc::new(ManualClock::at(1000));
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().clock(clock.clone())).expect("opens");
    store.put("a", "stored").expect("a put");
    let mut overlay = Overlay::new(&store);
    assert_eq!(overlay.change_of("a"), None);
    overlay.put_expiring("a", "1", Expiry::In(Duration::from_millis(500)));
    clock.set(1499);
    let change = overlay.change_of("a").expect("is changed").expect("has not expired");
    assert_eq!((&*change.0, change.1), (&b"1"[..], Some(1500)));
    clock.set(1500);
    assert_eq!(overlay.change_of("a"), Some(None));
    assert!(
        overlay.scan(..).expect("scans").next().is_none(),
        "the expired put still hides the stored value"
    );
}
