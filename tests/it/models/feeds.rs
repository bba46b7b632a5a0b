//! Feeds beside writers: each write wakes a waiting feed.

use std::path::Path;
use std::time::Duration;

use logkv::{Changes, Error, Seqno, Store};
use shuttle::thread;

use super::{PUTS, SlowDisk, WRITERS, explore, put_in_turn};
use crate::common::quick;

/// Follows until all writes were returned: each once and in order, and none before `may_be_seen`
/// holds.
fn follow(mut feed: Changes, may_be_seen: impl Fn(&str) -> bool) {
    const COUNT: u64 = WRITERS * PUTS;
    let mut last = Seqno(0);
    let mut given = 0;
    while given < COUNT {
        for change in feed.by_ref() {
            let change = change.expect("a record");
            let value = String::from_utf8(change.value.expect("a put").to_vec()).expect("text");
            assert!(may_be_seen(&value), "{value} was returned before it was durable");
            assert!(change.meta.seq > last, "{} after {last}", change.meta.seq);
            last = change.meta.seq;
            given += 1;
        }
        // Never ends if a wakeup is lost. The scheduler then reports a deadlock.
        let more = given < COUNT;
        assert!(!more || feed.wait(Duration::MAX).expect("waits"));
    }
}

/// Writers, a thread that seals, and two feeds.
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
fn a_feed_wakes_for_every_write_and_returns_none_before_it_is_durable() {
    explore(follow_beside_writers);
}

/// [`follow_beside_writers`] without syncs.
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
fn a_feed_wakes_for_every_write_also_without_syncs() {
    explore(follow_beside_writers_who_do_not_wait);
}

/// Two feeds wait while the store is closed.
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
fn a_waiting_feed_wakes_when_the_store_is_closed() {
    explore(close_beside_those_who_wait);
}
