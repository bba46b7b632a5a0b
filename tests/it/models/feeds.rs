//! Who follows the log beside those who write it, and is woken for everything that they write.

use std::path::Path;
use std::time::Duration;

use logkv::{Changes, Error, Seqno, Store};
use shuttle::thread;

use super::{PUTS, SlowDisk, WRITERS, explore, put_in_turn};
use crate::common::quick;

/// Follows until all were given: each once, in its order, and none before it `may_be_seen`.
fn follow(mut feed: Changes, may_be_seen: impl Fn(&str) -> bool) {
    const COUNT: u64 = WRITERS * PUTS;
    let mut last = Seqno(0);
    let mut given = 0;
    while given < COUNT {
        for change in feed.by_ref() {
            let change = change.expect("a record");
            let value = String::from_utf8(change.value.expect("a put").to_vec()).expect("text");
            assert!(may_be_seen(&value), "{value} was given, and a power cut would take it");
            assert!(change.meta.seq > last, "{} after {last}", change.meta.seq);
            last = change.meta.seq;
            given += 1;
        }
        // Without end if nobody wakes it: the scheduler says that all threads wait then.
        let more = given < COUNT;
        assert!(!more || feed.wait(Duration::MAX).expect("waits"));
    }
}

/// Writers, somebody who seals, and two who follow them.
fn follow_beside_writers(dir: &Path) {
    let disk = SlowDisk::new(dir, None);
    let store = Store::open_with(dir, disk.options()).expect("opens");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, disk) = (&store, &disk);
            scope.spawn(move || put_in_turn(store, disk, writer));
        }
        for _ in 0..2 {
            let (feed, disk) = (store.changes(Seqno(1)), &disk);
            scope.spawn(move || follow(feed, |value| disk.has(value)));
        }
        scope.spawn(|| assert!(store.rotate().is_ok()));
    });
}

#[test]
fn whoever_follows_is_woken_for_every_write_and_given_none_that_is_not_durable() {
    explore(follow_beside_writers);
}

/// As [`follow_beside_writers`], where nobody waits for the disk.
fn follow_beside_writers_who_do_not_wait(dir: &Path) {
    let store = Store::open_with(dir, quick()).expect("opens");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            let put = move |turn| store.put(format!("key{writer}"), format!("value {turn}")).is_ok();
            scope.spawn(move || assert!((0..PUTS).all(put)));
        }
        let feed = store.changes(Seqno(1));
        scope.spawn(move || follow(feed, |_| true));
    });
}

#[test]
fn whoever_follows_is_woken_for_every_write_also_where_no_sync_ends() {
    explore(follow_beside_writers_who_do_not_wait);
}

/// Two wait for what does not come, and the store is closed.
fn close_beside_those_who_wait(dir: &Path) {
    let disk = SlowDisk::new(dir, None);
    let store = Store::open_with(dir, disk.options()).expect("opens");
    store.put("key", "value").expect("a put");
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut feed = store.changes(Seqno(2));
            scope.spawn(move || {
                assert!(feed.next().is_none());
                assert!(matches!(feed.wait(Duration::MAX), Err(Error::Closed)));
            });
        }
        store.clone().close().expect("closes");
    });
}

#[test]
fn whoever_waits_for_a_write_is_told_that_the_store_was_closed() {
    explore(close_beside_those_who_wait);
}
