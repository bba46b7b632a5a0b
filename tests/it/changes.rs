//! A feed, of the open store and of its files, returns each record once and in order, or reports it
//! as gone.

use std::sync::Arc;
use std::time::Duration;

use logkv::{
    Batch, Change, Changes, Commit, Compact, CompactionPolicy, Error, Expiry, Options, Seqno, Store, Sync,
};

use crate::common::{Map, Random, contents, killed, open, quick, scratch, sealed, segment_path};
use crate::hooked::{Hooked, SyncGate};
use crate::recount::Recounted;

/// Reached only if a test fails.
const LONG: Duration = Duration::from_secs(60);

/// A record as its writer knows it: number, key, value.
type Written = (u64, Vec<u8>, Option<Vec<u8>>);

fn written(change: &Change) -> Written {
    (change.meta.seq.0, change.meta.key.to_vec(), change.value.as_ref().map(|value| value.to_vec()))
}

/// The records that `changes` returns now, without errors.
fn all(changes: &mut Changes) -> Vec<Written> {
    changes.map(|change| written(&change.expect("a record"))).collect()
}

fn read_only(store: &Store) -> Store {
    Store::open_with(store.dir(), quick().read_only(true)).expect("opens beside the writer")
}

/// The two kinds of feeds: one of the store itself, and one of a reader of its files.
fn both(store: &Store, from: u64) -> [Changes; 2] {
    [store.changes(Seqno(from)), read_only(store).changes(Seqno(from))]
}

fn put(seq: u64, key: &str, value: &str) -> Written {
    (seq, key.into(), Some(value.into()))
}

#[test]
fn each_record_is_returned_once_and_in_order_and_later_records_when_they_come() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("a", "1").expect("a put");
    store.put("b", "2").expect("a put");
    store.rotate().expect("rotates");
    for mut feed in both(&store, 0) {
        assert_eq!(all(&mut feed), [put(1, "a", "1"), put(2, "b", "2")]);
        assert_eq!((all(&mut feed), feed.cursor().seq), (vec![], Seqno(3)));
    }
    let mut feeds = both(&store, 2);
    for feed in &mut feeds {
        assert_eq!(all(feed), [put(2, "b", "2")]);
    }
    store.delete("a").expect("a delete");
    store.write(Batch::new().put("c", "3").put("d", "4")).expect("a batch");
    for feed in &mut feeds {
        assert!(feed.wait(LONG).expect("waits"));
        let changes: Vec<_> = feed.map(|change| change.expect("a record")).collect();
        assert_eq!(
            changes.iter().map(written).collect::<Vec<_>>(),
            [(3, b"a".to_vec(), None), put(4, "c", "3"), put(5, "d", "4")]
        );
        assert_eq!(changes.iter().map(|change| change.goes_on).collect::<Vec<_>>(), [false, true, false]);
        assert!(!feed.wait(Duration::ZERO).expect("waits") || feed.next().is_none());
    }
}

#[test]
fn a_feed_that_never_waits_returns_new_records_when_polled_again() {
    let dir = scratch();
    let store = open(dir.path());
    let mut feeds = both(&store, 0);
    for seq in 1..5 {
        store.put("k", seq.to_string()).expect("a put");
        store.rotate().expect("rotates");
        for feed in &mut feeds {
            assert_eq!(all(feed), [put(seq, "k", &seq.to_string())]);
        }
    }
}

#[test]
fn the_last_records_are_those_at_the_end_of_the_log_however_many_segments_hold_them() {
    let dir = scratch();
    let store = open(dir.path());
    for feed in [store.recent_changes(3), read_only(&store).recent_changes(3)] {
        assert_eq!(all(&mut feed.expect("a feed")), []);
    }
    for key in ["a", "b", "c", "d"] {
        store.put(key, "1").expect("a put");
        store.rotate().expect("rotates");
    }
    for count in [0, 1, 3, 4, 5, u64::MAX] {
        for store in [store.clone(), read_only(&store)] {
            let mut feed = store.recent_changes(count).expect("a feed");
            let first = 4_u64.saturating_sub(count) + 1;
            assert_eq!(
                all(&mut feed).iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(),
                Vec::from_iter(first..=4)
            );
        }
    }
}

#[test]
fn compacted_records_are_reported_once_and_the_remaining_ones_follow() {
    let dir = scratch();
    let store = open(dir.path());
    for value in ["1", "2", "3"] {
        store.put("k", value).expect("a put");
    }
    store.put("l", "1").expect("a put");
    store.compact_recounted(&Compact::All).expect("compacts");
    for mut feed in both(&store, 2) {
        let gone = feed.next().expect("an item").expect_err("the second put is compacted");
        assert!(matches!(gone, Error::CompactedAway { whole_from: Seqno(3) }), "{gone}");
        assert_eq!(all(&mut feed), [put(3, "k", "3"), put(4, "l", "1")]);
    }
    for mut feed in both(&store, 3) {
        assert_eq!(all(&mut feed), [put(3, "k", "3"), put(4, "l", "1")]);
    }
}

#[test]
fn a_record_is_not_returned_again_after_it_was_compacted_with_newer_ones() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "1").expect("a put");
    store.rotate().expect("rotates");
    let mut feeds = both(&store, 0);
    for feed in &mut feeds {
        assert_eq!(all(feed), [put(1, "k", "1")]);
    }
    store.put("l", "2").expect("a put");
    store.rotate().expect("rotates");
    store.compact_recounted(&Compact::Segments(sealed(&store))).expect("compacts");
    assert_eq!(sealed(&store).len(), 1, "both are in one segment");
    for feed in &mut feeds {
        assert!(feed.wait(LONG).expect("waits"));
        assert_eq!(all(feed), [put(2, "l", "2")]);
    }
}

#[test]
fn a_clear_is_reported_once_even_to_a_feed_that_has_returned_every_record() {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["k", "l"] {
        store.put(key, "1").expect("a put");
    }
    let [behind, mut followers] = [1, 2].map(|from| both(&store, from));
    for follower in &mut followers {
        assert_eq!(all(follower), [put(2, "l", "1")]);
    }
    store.clear().expect("clears");
    for mut feed in behind.into_iter().chain(followers) {
        assert!(feed.wait(LONG).expect("waits"));
        assert!(matches!(feed.next(), Some(Err(Error::CompactedAway { whole_from: Seqno(4) }))));
        assert_eq!(all(&mut feed), []);
    }
    store.put("m", "1").expect("a put");
    let later = store.changes(Seqno(3)).next().expect("an item");
    assert!(matches!(later, Err(Error::CompactedAway { .. })), "an old number stays gone");
    for mut feed in both(&store, 4) {
        assert_eq!(all(&mut feed), [put(4, "m", "1")]);
    }
    let mut recent = store.recent_changes(2).expect("a feed");
    assert_eq!(all(&mut recent), [put(4, "m", "1")], "a feed from a remaining number has no error");
}

#[test]
fn an_expiring_put_is_returned_with_its_expiry_even_after_it_has_expired() {
    let dir = scratch();
    let store = open(dir.path());
    store.write(Batch::new().put_expiring("k", "v", Expiry::At(7))).expect("a batch");
    for mut feed in both(&store, 0) {
        let change = feed.next().expect("an item").expect("a record");
        assert_eq!((change.meta.expires_ms, change.value.as_deref()), (Some(7), Some(&b"v"[..])));
    }
}

#[test]
fn a_damaged_record_is_one_error_and_costs_no_other_record() {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["a", "b", "c"] {
        store.put(key, "value").expect("a put");
    }
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = std::fs::read(&path).expect("the segment");
    // The second of three records of 48 bytes, after the segment header of 64 bytes: its body, then
    // its header.
    for at in [64 + 48 + 40, 64 + 48 + 8] {
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).expect("writes");
        let store = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
        let mut feed = store.changes(Seqno(0));
        assert_eq!(feed.next().map(|change| written(&change.expect("a record"))), Some(put(1, "a", "value")));
        let error = feed.next().expect("an item").expect_err("is damaged");
        assert!(matches!(error, Error::Damaged { offset: 112, .. }), "{error}");
        assert_eq!(all(&mut feed), [put(3, "c", "value")]);
        assert!(feed.next().is_none(), "the damage is reported once");
    }
}

#[test]
fn a_feed_of_the_writer_returns_no_record_before_it_is_durable() {
    let dir = scratch();
    let gate = Arc::new(SyncGate::default());
    let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("before", "1").expect("a put");
    let mut feed = store.changes(Seqno(2));
    gate.set_shut(true);
    let arrivals = gate.arrivals();
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("k", "v").expect("a put"));
        crate::common::wait_until(|| gate.arrivals() > arrivals);
        let (early, is_woken) = (feed.next(), feed.wait(Duration::from_millis(50)));
        gate.set_shut(false);
        assert!(
            early.is_none() && !is_woken.expect("waits"),
            "the feed returned a record that was not durable"
        );
        assert!(feed.wait(LONG).expect("waits"));
    });
    assert_eq!(all(&mut feed), [put(2, "k", "v")]);
}

#[test]
fn no_feed_returns_a_batch_before_all_of_it_is_in_the_file() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(Sync::Never)).expect("opens");
    store.put("a", "1").expect("a put");
    store.write(Batch::new().put("b", "2").put("c", "3").put("d", "4")).expect("a batch");
    let copy = killed(store, dir.path());
    let path = segment_path(copy.path(), 1);
    let whole = std::fs::read(&path).expect("the segment");
    // A header of 64 bytes, and four records of 48 bytes.
    for len in (112..64 + 4 * 48).step_by(8) {
        std::fs::write(&path, &whole[..len]).expect("cuts");
        let reader = Store::open_with(copy.path(), quick().read_only(true)).expect("opens");
        let mut feed = reader.changes(Seqno(0));
        assert_eq!(all(&mut feed), [put(1, "a", "1")], "{len} bytes");
        std::fs::write(&path, &whole).expect("restores the file");
        assert_eq!(all(&mut feed), [put(2, "b", "2"), put(3, "c", "3"), put(4, "d", "4")], "{len} bytes");
    }
}

#[test]
fn a_waiting_feed_ends_when_the_store_is_closed() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    let mut feed = store.changes(Seqno(0));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            assert_eq!(all(&mut feed), [put(1, "k", "v")]);
            feed.wait(LONG)
        });
        store.clone().close().expect("closes");
        let outcome = waits.join().expect("no panic");
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    });
}

/// Follows until the last write. Returns the changes, and the number of records reported as gone.
fn follow(mut feed: Changes) -> (Vec<Change>, u64) {
    let (mut given, mut gone) = (Vec::<Change>::new(), 0);
    loop {
        for change in feed.by_ref() {
            match change {
                Ok(change) => given.push(change),
                Err(Error::CompactedAway { whole_from }) => gone = whole_from.previous().0,
                Err(error) => panic!("{}", error.sentence()),
            }
        }
        if given.last().is_some_and(|change| *change.meta.key == *LAST) {
            return (given, gone);
        }
        assert!(feed.wait(LONG).expect("waits"), "the wait timed out");
    }
}

/// The key of the last write.
const LAST: &[u8] = b"last";

/// Writes random operations, and returns them.
fn write(store: &Store, random: &mut Random, count: u64) -> Vec<Written> {
    let mut all = Vec::new();
    let mut note = |commit: Commit, records: Vec<(String, Option<String>)>| {
        assert_eq!(commit.last.0 - commit.first.0 + 1, records.len() as u64);
        let records =
            records.into_iter().map(|(key, value)| (key.into_bytes(), value.map(String::into_bytes)));
        all.extend((commit.first.0..).zip(records).map(|(seq, (key, value))| (seq, key, value)));
    };
    for step in 0..count {
        let key = format!("key{}", random.below(30));
        let value = format!("{step}:{}", "v".repeat(random.below(200) as usize));
        match random.below(10) {
            0..3 => {
                if let Some(commit) = store.write(Batch::new().delete(&key)).expect("a delete") {
                    note(commit, vec![(key, None)]);
                }
            }
            3..5 => {
                let records: Vec<_> =
                    (0..2 + random.below(20)).map(|n| (format!("batch{n}"), Some(value.clone()))).collect();
                let mut batch = Batch::new();
                for (key, value) in &records {
                    batch.put(key, value.as_ref().expect("a put"));
                }
                note(store.write(&batch).expect("a batch").expect("wrote something"), records);
            }
            5 if step % 7 == 0 => drop(store.rotate().expect("rotates")),
            _ => note(store.put(&key, &value).expect("a put"), vec![(key, Some(value))]),
        }
    }
    note(store.put(LAST, "1").expect("a put"), vec![("last".to_owned(), Some("1".to_owned()))]);
    all
}

/// Checks that `given` equals `all` except for at most `gone` records.
fn assert_given(given: &[Change], gone: u64, all: &[Written], who: &str) {
    let mut all = all.iter().peekable();
    for change in given {
        let record = written(change);
        while let Some(passed_over) = all.next_if(|next| next.0 < record.0) {
            assert!(
                passed_over.0 <= gone,
                "{who}: {passed_over:?} is missing, and {gone} are reported as gone"
            );
        }
        assert_eq!(Some(&record), all.next(), "{who}");
    }
    assert_eq!(all.next(), None, "{who}: records are missing at the end");
}

#[test]
fn feeds_beside_a_writer_and_compactions_return_every_record_or_report_it_as_gone() {
    let mut random = Random::announced();
    let policy = CompactionPolicy { dead_percent: 1, ..Default::default() };
    for compacts in [false, true] {
        let dir = scratch();
        let options = quick().segment_len_max(8 << 10).background(compacts).compaction(policy.clone());
        let store = Store::open_with(dir.path(), options).expect("opens");
        let feeds = both(&store, 0);
        let mut writer = random.fork();
        std::thread::scope(|scope| {
            let followers = feeds.map(|feed| scope.spawn(|| follow(feed)));
            let all = write(&store, &mut writer, 6000);
            for (follower, who) in followers.into_iter().zip(["its own", "of the files"]) {
                let (given, gone) = follower.join().expect("no panic");
                assert!(compacts || gone == 0, "{who}: nothing was compacted");
                assert_given(&given, gone, &all, who);
                let mut map = Map::new();
                for change in &given {
                    match &change.value {
                        Some(value) => drop(map.insert(change.meta.key.to_vec(), value.to_vec())),
                        None => drop(map.remove(&*change.meta.key)),
                    }
                }
                assert!(
                    gone > 0 || map == contents(&store),
                    "{who}: the feed does not lead to the store's contents"
                );
            }
        });
    }
}
