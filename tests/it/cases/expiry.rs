//! Expiring records: as the store writes them, and as another writer may have written them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use logkv::{
    Batch, Compact, CompactionPolicy, Error, Expiry, ManualClock, Options, PutOptions, SegmentId, Store,
};
use tempfile::TempDir;

use crate::common::{
    contents, leftovers, open, quick, remove_derived, scratch, sealed, segment_path, set_expiry, value,
    wait_until,
};
use crate::recount::Recounted;

const EXPIRES_MS: u64 = 1_000_000;
const GRACE: Duration = Duration::from_secs(60 * 60);

/// Options with a clock at `millis` after the expiry.
fn after(millis: u64) -> Options {
    quick().clock(Arc::new(ManualClock::at(EXPIRES_MS + millis)))
}

/// The writer of the expiring record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Store,
    Another,
}

const WRITERS: [Writer; 2] = [Writer::Store, Writer::Another];

/// A store where `k` was put twice, in two segments, and put number `expiring` expires.
fn put_twice(expiring: u64, writer: Writer) -> TempDir {
    let dir = scratch();
    let store = open(dir.path());
    let mut at = 0;
    for n in 1..=2 {
        let put = match writer {
            Writer::Store if n == expiring => {
                let ends = PutOptions::new().expiry(Some(Expiry::At(EXPIRES_MS)));
                store.put_with("k", format!("put {n}"), ends).expect("a put").expect("has no condition")
            }
            _ => store.put("k", format!("12345678put {n}")).expect("a put"),
        };
        store.put(format!("other{n}"), "there").expect("a put");
        store.rotate().expect("rotates");
        if n == expiring {
            at = put.location.offset;
        }
    }
    store.close().expect("closes");
    if writer == Writer::Another {
        set_expiry(&segment_path(dir.path(), expiring), at, EXPIRES_MS);
    }
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

/// Orders in which segments are compacted. 0 means all segments.
const ORDERS: [&[u64]; 5] = [&[1], &[2], &[1, 2], &[2, 1], &[0]];

fn compact(dir: &Path, millis: u64, segment: u64) {
    let store = Store::open_with(dir, after(millis)).expect("opens");
    let what = match segment {
        0 => sealed(&store),
        id => vec![SegmentId(id)],
    };
    store.compact_recounted(&Compact::Segments(what)).expect("compacts");
    store.close().expect("closes");
    assert_eq!(leftovers(dir), [""; 0]);
}

#[test]
fn case_16_a_put_without_expiry_replaces_an_expiring_one_whatever_is_compacted() {
    let grace_ms = GRACE.as_millis() as u64;
    for (order, writer) in ORDERS.into_iter().flat_map(|order| WRITERS.map(|writer| (order, writer))) {
        for millis in [0, grace_ms + 1] {
            let dir = put_twice(1, writer);
            for &segment in order {
                compact(dir.path(), millis, segment);
                assert_k(dir.path(), millis, Some("12345678put 2"), &format!("{segment} of {order:?}"));
            }
        }
    }
}

#[test]
fn case_17_an_expired_put_still_hides_the_older_one_whatever_is_compacted() {
    assert_eq!(CompactionPolicy::default().expiry_grace, GRACE);
    for writer in WRITERS {
        check_that_an_expired_put_hides_the_older_one(writer);
    }
}

fn check_that_an_expired_put_hides_the_older_one(writer: Writer) {
    let grace_ms = GRACE.as_millis() as u64;
    let before = put_twice(2, writer);
    let store = Store::open_with(before.path(), quick().clock(Arc::new(ManualClock::at(0)))).expect("opens");
    assert_eq!(value(&store, "k").as_deref(), Some("put 2"), "before it expires");
    for order in ORDERS {
        // Within the grace period, after it, and first within and then after it.
        for times in [[0, 0], [grace_ms, grace_ms], [0, grace_ms]] {
            let dir = put_twice(2, writer);
            for (&segment, millis) in order.iter().zip(times) {
                compact(dir.path(), millis, segment);
                assert_k(dir.path(), millis, None, &format!("{segment} of {order:?} at {times:?}"));
                if millis == 0 {
                    // The clock had stepped forward by mistake, and is corrected.
                    let right = quick().clock(Arc::new(ManualClock::at(EXPIRES_MS - 1)));
                    let store = Store::open_with(dir.path(), right).expect("opens");
                    assert_eq!(value(&store, "k").as_deref(), Some("put 2"), "{segment} of {order:?}");
                }
            }
            // Oldest first, so that a record that hides nothing more goes as well.
            compact(dir.path(), grace_ms, 0);
            assert_k(dir.path(), grace_ms, None, &format!("{order:?} at {times:?}, and then all"));
            let store = Store::open_with(dir.path(), after(grace_ms)).expect("opens");
            let stats = store.stats().expect("stats");
            assert_eq!(
                (stats.key_count, stats.record_count),
                (2, 2),
                "{order:?} at {times:?}: records are left"
            );
        }
    }
}

#[test]
fn a_key_seen_as_expired_does_not_come_back_when_the_clock_steps_back() {
    let dir = put_twice(2, Writer::Store);
    let clock = Arc::new(ManualClock::at(EXPIRES_MS - 1));
    let store =
        Store::open_with(dir.path(), quick().clock(Arc::<ManualClock>::clone(&clock))).expect("opens");
    let snapshot = store.snapshot().expect("a snapshot");
    let seen = || {
        let in_snapshot = snapshot.contains("k").expect("reads");
        (value(&store, "k").is_some(), in_snapshot, store.keys(..).expect("keys").count())
    };
    assert_eq!(seen(), (true, true, 3), "the key has not expired yet");
    clock.set(EXPIRES_MS);
    assert_eq!(seen(), (false, false, 2), "it has");
    clock.set(EXPIRES_MS - 1);
    assert_eq!(seen(), (false, false, 2), "the clock stepped back");
}

#[test]
fn a_time_to_live_counts_from_the_corrected_clock_after_one_reading_far_ahead() {
    const TWO_HOURS_MS: u64 = 2 * 60 * 60 * 1000;
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(EXPIRES_MS + TWO_HOURS_MS)));
    let options = quick().clock(Arc::<ManualClock>::clone(&clock));
    let store = Store::open_with(dir.path(), options.clone()).expect("opens");
    assert_eq!(store.now_ms(), EXPIRES_MS + TWO_HOURS_MS);
    clock.set(EXPIRES_MS);
    assert_eq!((store.now_ms(), store.clock_ms()), (EXPIRES_MS + TWO_HOURS_MS, EXPIRES_MS));
    let second = Expiry::In(Duration::from_secs(1));
    let put = |key| store.put_with(key, "v", PutOptions::new().expiry(Some(second))).expect("a put");
    put("put");
    store.write(Batch::new().put_expiring("batch", "v", second)).expect("a batch");
    store
        .transact(|tx| {
            tx.put_expiring("transaction", "v", second);
            Ok::<_, Error>(())
        })
        .expect("succeeds");
    store.put("expire", "v").expect("a put");
    assert!(store.expire("expire", second).expect("expires"));
    let keys = ["put", "batch", "transaction", "expire"];
    // They count as expired, like keys that existed at the time far ahead: too early rather than
    // too late.
    assert_eq!(keys.map(|key| value(&store, key)), [const { None }; 4]);
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), options).expect("opens");
    for key in keys {
        let entry = store.get_entry(key).expect("reads").expect("not expired for this process");
        assert_eq!(entry.meta.expires_ms, Some(EXPIRES_MS + 1000), "{key}");
    }
    clock.set(EXPIRES_MS + 1000);
    assert_eq!(keys.map(|key| value(&store, key)), [const { None }; 4], "the second time to live is over");
}

#[test]
fn an_expiry_too_late_for_other_readers_is_refused_and_nothing_is_written() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(EXPIRES_MS)));
    let store = Store::open_with(dir.path(), quick().clock(clock)).expect("opens");
    let latest = Expiry::At(Expiry::AT_MS_MAX);
    assert_eq!(Expiry::AT_MS_MAX, (1 << 53) - 1);
    store.put_with("k", "1", PutOptions::new().expiry(Some(latest))).expect("every reader can represent it");
    let rest = Expiry::In(Duration::from_millis(Expiry::AT_MS_MAX - EXPIRES_MS));
    store.put_with("l", "1", PutOptions::new().expiry(Some(rest))).expect("every reader can represent it");
    let before = contents(&store);
    for expiry in [
        Expiry::At(Expiry::AT_MS_MAX + 1),
        Expiry::At(u64::MAX),
        Expiry::In(Duration::from_millis(Expiry::AT_MS_MAX - EXPIRES_MS + 1)),
        Expiry::In(Duration::from_millis(u64::MAX)),
        Expiry::In(Duration::MAX),
    ] {
        let refused = [
            store.put_with("k", "2", PutOptions::new().expiry(Some(expiry))).map(drop),
            store.submit_put("k", "2", PutOptions::new().expiry(Some(expiry))).map(drop),
            store.write(Batch::new().put("other", "2").put_expiring("k", "2", expiry)).map(drop),
            store.expire("k", expiry).map(drop),
            store.transact(|tx| {
                tx.put("other", "2");
                tx.put_expiring("k", "2", expiry);
                Ok::<_, Error>(())
            }),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(Error::ExpiryTooLate)), "{expiry:?}: {refused:?}");
        }
        assert_eq!(contents(&store), before, "{expiry:?}");
    }
    store.put("k", "3").expect("continues");
    assert_eq!(
        store.get_entry("l").expect("reads").expect("exists").meta.expires_ms,
        Some(Expiry::AT_MS_MAX)
    );
}

#[test]
fn a_clock_beyond_the_largest_record_time_stays_at_that_time() {
    const LATEST_MS: u64 = (1 << 48) - 1;
    for reading_ms in [LATEST_MS + 1, 1 << 53, 1 << 62, u64::MAX] {
        let dir = scratch();
        let options = quick().clock(Arc::new(ManualClock::at(reading_ms)));
        let store = Store::open_with(dir.path(), options.clone()).expect("opens");
        let ends = PutOptions::new().ttl(Duration::from_secs(1));
        store.put_with("k", "v", ends).expect("a put").expect("has no condition");
        for n in 0..3 {
            store.put("other", format!("{n}")).expect("a put");
        }
        let meta = store.get_entry("k").expect("reads").expect("exists").meta;
        assert_eq!((meta.time_ms, meta.expires_ms), (LATEST_MS, Some(LATEST_MS + 1000)));
        // Dropped records get that time in MANIFEST.
        store.rotate().expect("rotates");
        store.compact_recounted(&Compact::All).expect("compacts");
        store.clear().expect("clears");
        store.put("after", "1").expect("a put");
        store.close().expect("closes");
        let store = Store::open_with(dir.path(), options).expect("reopens");
        assert_eq!(value(&store, "after").as_deref(), Some("1"), "{reading_ms}");
    }
}

/// A store where every third key expires. It is just written, or reopened, and then has to count.
fn every_third_expires(dir: &Path, clock: &Arc<ManualClock>, is_new: bool) -> Store {
    let options = quick().clock(Arc::<ManualClock>::clone(clock));
    let store = Store::open_with(dir, options.clone()).expect("opens");
    for n in 0..30_u64 {
        let expiry = (n % 3 == 0).then_some(Expiry::At(EXPIRES_MS + n));
        store.put_with(format!("key{n}"), "value", PutOptions::new().expiry(expiry)).expect("a put");
    }
    if is_new {
        return store;
    }
    store.close().expect("closes");
    Store::open_with(dir, options).expect("opens")
}

#[test]
fn expired_records_are_counted_exactly_until_compaction() {
    for is_new in [true, false] {
        let (dir, clock) = (scratch(), Arc::new(ManualClock::at(0)));
        let store = every_third_expires(dir.path(), &clock, is_new);
        let expired = || {
            let stats = store.stats().expect("stats");
            (stats.expired_count, stats.expired_len, stats.key_count)
        };
        assert_eq!(expired(), (0, 0, 30));
        clock.set(EXPIRES_MS + 6);
        assert_eq!(expired(), (3, 3 * 56, 30), "keys 0, 3 and 6");
        store.put("key3", "is there again").expect("a put");
        store.delete("key6").expect("a delete");
        assert_eq!(expired(), (1, 56, 29), "key 0");
        clock.set(EXPIRES_MS + GRACE.as_millis() as u64 + 27);
        assert_eq!(expired(), (8, 8 * 56, 29));
        let report = store.compact_recounted(&Compact::All).expect("compacts");
        assert_eq!(report.runs.iter().map(|run| run.records.expired.count).sum::<u64>(), 8);
        assert_eq!(expired(), (0, 0, 21));
        assert_eq!(store.keys(..).expect("keys").count(), 21);
    }
}

#[test]
fn a_segment_with_only_expired_dead_records_is_compacted_on_request_or_once_all_expired() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(0)));
    let options = quick().clock(Arc::<ManualClock>::clone(&clock)).segment_len_max(1024);
    let fill = |store: &Store, prefix: &str, expiry| {
        for n in 0..40 {
            let put = PutOptions::new().expiry(expiry);
            store.put_with(format!("{prefix}{n}"), "value", put).expect("a put");
        }
    };
    let store = Store::open_with(dir.path(), options.clone().background(true)).expect("opens");
    fill(&store, "mortal", Some(Expiry::At(EXPIRES_MS)));
    clock.set(EXPIRES_MS + GRACE.as_millis() as u64);
    // A seal starts the background compaction.
    fill(&store, "other", None);
    wait_until(|| store.len() <= 60);
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_eq!(store.len(), 40, "only the other keys are left");
}

#[test]
fn a_copied_record_keeps_its_expiry_however_often_it_is_copied() {
    let (dir, clock) = (scratch(), Arc::new(ManualClock::at(0)));
    let store = Store::open_with(dir.path(), quick().clock(clock.clone())).expect("opens");
    let ends = PutOptions::new().expiry(Some(Expiry::At(EXPIRES_MS)));
    store.put_with("k", "v", ends).expect("a put");
    for _ in 0..2 {
        store.put("other", "replaced").expect("a put");
        store.compact_recounted(&Compact::All).expect("compacts");
        let entry = store.get_entry("k").expect("reads").expect("exists");
        assert_eq!(entry.meta.expires_ms, Some(EXPIRES_MS));
    }
    clock.set(EXPIRES_MS);
    assert_eq!(value(&store, "k"), None);
}
