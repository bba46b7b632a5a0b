//! A cursor identifies its log: a feed continues from its cursor, and fails on another lineage or
//! on an older log.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use logkv::{Batch, Changes, Compact, Cursor, Error, Lineage, Options, Seqno, Store, Sync, repair};

use crate::backup::{archived, back_up, restore, restore_archive, restored};
use crate::common::{contents, copy_of, files, killed, open, quick, scratch, shown, small_store};
use crate::recount::Recounted;
use crate::verify::verified;

/// Reached only if a test fails.
const LONG: Duration = Duration::from_secs(60);

fn reader(dir: &Path) -> Store {
    Store::open_with(dir, quick().read_only(true)).expect("opens beside the writer")
}

fn lineage(store: &Store) -> Lineage {
    store.snapshot().expect("a snapshot").cursor().lineage.expect("the snapshot has a lineage")
}

/// The sequence numbers that `changes` returns now.
fn seqs(changes: &mut Changes) -> Vec<u64> {
    changes.map(|change| change.expect("a record").meta.seq.0).collect()
}

/// Checks that every call on a feed from `from` fails at once, both on `store` and on its files.
fn assert_refused(store: &Store, from: Cursor, is_right: impl Fn(&Error) -> bool) {
    for store in [store.clone(), reader(store.dir())] {
        let mut feed = store.changes(from);
        for _ in 0..2 {
            let error = feed.next().expect("an item").expect_err("is not in this log");
            assert!(is_right(&error), "{error}");
            let error = feed.wait(LONG).expect_err("fails at once");
            assert!(is_right(&error), "{error}");
        }
    }
}

fn is_of_another_lineage(error: &Error) -> bool {
    matches!(error, Error::OtherLineage { .. })
}

/// A store of 100 records, and a copy of its first five.
fn backed_up() -> (tempfile::TempDir, tempfile::TempDir) {
    let (dir, place) = (scratch(), scratch());
    let store = open(dir.path());
    for n in 1..=100 {
        store.put(format!("key{n}"), "value").expect("a put");
        if n == 5 {
            back_up(&store, &place.path().join("copy"));
            fs::write(place.path().join("archive"), archived(&store)).expect("writes");
        }
    }
    store.close().expect("closes");
    (dir, place)
}

#[test]
fn a_store_restored_from_an_older_backup_refuses_the_cursor_of_its_original() {
    let (dir, place) = backed_up();
    let consumed = {
        let store = open(dir.path());
        let mut feed = store.changes(Seqno(1));
        assert_eq!(seqs(&mut feed).len(), 100);
        feed.cursor()
    };
    assert_eq!(consumed.seq, Seqno(101));
    let copy = place.path().join("copy");
    let new = |name: &str| place.path().join(name);
    restore(&copy, &new("from-copy")).expect("restores");
    let archive = fs::read(new("archive")).expect("the archive");
    restore_archive(&archive, &new("from-archive")).expect("restores");
    // A backup that is opened for writing diverges as well.
    fs::rename(&copy, new("in-place")).expect("renames");
    let mut lineages = vec![lineage(&open(dir.path()))];
    for name in ["from-copy", "from-archive", "in-place"] {
        let store = open(&new(name));
        // More records than the consumer has seen, so that the number alone does not reveal the
        // divergence.
        for n in 6..=200 {
            store.put(format!("key{n}"), "another value").expect("a put");
        }
        assert_refused(&store, consumed, is_of_another_lineage);
        let after = store.changes(Cursor { lineage: Some(lineage(&store)), ..consumed });
        assert_eq!(after.map(|change| change.expect("a record").meta.seq.0).next(), Some(101));
        lineages.push(lineage(&store));
        store.close().expect("closes");
        assert_eq!(lineage(&open(&new(name))), *lineages.last().expect("at least one"), "{name}: it stays");
    }
    lineages.sort();
    lineages.dedup();
    assert_eq!(lineages.len(), 4, "each store has its own lineage");
}

#[test]
fn a_feed_refuses_a_number_beyond_the_end_of_the_log_and_waits_for_the_next_one() {
    let (_dir, place) = backed_up();
    let new = place.path().join("new");
    restore(&place.path().join("copy"), &new).expect("restores");
    let store = open(&new);
    let beyond = |seq: u64| {
        let expected = Seqno(seq);
        move |error: &Error| matches!(error, Error::BeyondEnd { seq, next: Seqno(6) } if *seq == expected)
    };
    assert_refused(&store, Seqno(101).into(), beyond(101));
    assert_refused(&store, Seqno(7).into(), beyond(7));
    let own = Cursor { seq: Seqno(7), lineage: Some(lineage(&store)) };
    assert_refused(&store, own, beyond(7));
    let mut feeds = [store.changes(Seqno(6)), reader(&new).changes(Seqno(6))];
    store.put("k", "v").expect("a put");
    for feed in &mut feeds {
        assert!(feed.wait(LONG).expect("waits"));
        assert_eq!(seqs(feed), [6]);
    }
    // This record is in the file, but not yet in MANIFEST.
    assert_eq!(seqs(&mut reader(&new).changes(Seqno(7))), [0; 0]);
    assert_refused(&store, Seqno(8).into(), |error| {
        matches!(error, Error::BeyondEnd { seq: Seqno(8), next: Seqno(7) })
    });
}

#[test]
fn a_repaired_store_refuses_the_cursor_of_the_damaged_one() {
    let dir = small_store();
    let consumed = open(dir.path()).snapshot().expect("a snapshot").cursor();
    let place = scratch();
    let (to, aside) = (place.path().join("to"), dir.path().with_extension("damaged"));
    let go_on = &mut |_| ControlFlow::Continue(());
    repair::copy(dir.path(), &to, &quick(), go_on).expect("repairs");
    repair::in_place(dir.path(), &aside, &quick(), go_on).expect("repairs");
    let lineages = [&*to, dir.path()].map(|path| {
        let store = open(path);
        assert_refused(&store, consumed, is_of_another_lineage);
        lineage(&store)
    });
    assert_ne!(lineages[0], lineages[1]);
    assert_eq!(Some(lineage(&open(&aside))), consumed.lineage, "the damaged store keeps its lineage");
    fs::remove_dir_all(aside).expect("has permission");
}

#[test]
fn a_crash_that_loses_records_keeps_the_lineage_and_skips_their_numbers() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(Sync::Never)).expect("opens");
    store.put("kept", "1").expect("a put");
    let len = fs::metadata(dir.path().join("000001.seg")).expect("the segment").len();
    store.put("lost", "2").expect("a put");
    let mut feed = reader(dir.path()).changes(Seqno(1));
    assert_eq!(seqs(&mut feed), [1, 2]);
    let consumed = feed.cursor();
    let copy = killed(store, dir.path());
    let segment = fs::OpenOptions::new().write(true).open(copy.path().join("000001.seg")).expect("exists");
    segment.set_len(len).expect("truncates");
    let store = open(copy.path());
    let after = store.put("after", "3").expect("a put").last;
    assert!(after > Seqno(2), "the number of the lost record is not reused");
    for store in [store, reader(copy.path())] {
        assert_eq!(seqs(&mut store.changes(consumed)), [after.0]);
    }
}

#[test]
fn a_consumer_that_starts_from_a_snapshot_follows_from_its_cursor_without_a_gap() {
    let dir = scratch();
    let store = open(dir.path());
    let empty = store.snapshot().expect("a snapshot");
    assert_eq!((empty.seq(), empty.cursor().seq), (Seqno(0), Seqno(1)));
    store.put("a", "1").expect("a put");
    store.write(Batch::new().put("b", "2").delete("a")).expect("a batch");
    let snapshots = [store.clone(), reader(dir.path())].map(|from| {
        let snapshot = from.snapshot().expect("a snapshot");
        assert_eq!(snapshot.seq(), Seqno(3));
        (from, snapshot)
    });
    store.write(Batch::new().delete("b").put("c", "3")).expect("a batch");
    for (from, snapshot) in snapshots {
        let mut copy = shown(snapshot.scan(..).expect("scans"));
        for change in from.changes(snapshot.cursor()) {
            let change = change.expect("a record");
            assert!(change.meta.seq > snapshot.seq(), "a change was returned twice");
            match change.value {
                Some(value) => drop(copy.insert(change.meta.key.to_vec(), value.to_vec())),
                None => drop(copy.remove(&*change.meta.key)),
            }
        }
        assert_eq!(copy, contents(&store));
    }
}

#[test]
fn a_cursor_never_points_inside_a_batch() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("a", "1").expect("a put");
    store.write(Batch::new().put("b", "2").put("c", "3").put("d", "4")).expect("a batch");
    for store in [store, reader(dir.path())] {
        let mut feed = store.changes(Seqno(1));
        let mut cursors = vec![feed.cursor().seq.0];
        while let Some(change) = feed.next() {
            change.expect("a record");
            let cursor = feed.cursor();
            let rest = seqs(&mut store.changes(cursor));
            assert_eq!(rest.first().copied().unwrap_or(5), cursor.seq.0, "the whole batch comes again");
            cursors.push(cursor.seq.0);
        }
        assert_eq!(cursors, [1, 2, 2, 2, 5]);
    }
}

#[test]
fn a_backup_has_the_cursor_to_continue_from_in_its_store() {
    let (dir, place) = (scratch(), scratch());
    let store = open(dir.path());
    for n in 1..=3 {
        store.put(format!("key{n}"), "value").expect("a put");
    }
    let cursor = back_up(&store, &place.path().join("copy")).cursor;
    assert_eq!(cursor, store.snapshot().expect("a snapshot").cursor());
    store.put("later", "value").expect("a put");
    assert_eq!(seqs(&mut store.changes(cursor)), [4]);
    // A reader of the backup itself has the same cursor.
    assert_eq!(reader(&place.path().join("copy")).snapshot().expect("a snapshot").cursor(), cursor);
}

#[test]
fn a_feed_reports_compacted_and_cleared_records() {
    let dir = scratch();
    let store = open(dir.path());
    let begin = store.snapshot().expect("a snapshot").cursor();
    for n in 0..3 {
        store.put("k", format!("{n}")).expect("a put");
    }
    store.rotate().expect("rotates");
    store.compact_recounted(&Compact::All).expect("compacts");
    let gap = |cursor| store.changes(cursor).next().expect("an item").expect_err("reports the gap");
    assert!(matches!(gap(begin), Error::CompactedAway { .. }));
    // After the error, the feed returns the remaining records without another error.
    let mut feed = store.changes(begin);
    assert!(feed.next().expect("an item").is_err() && feed.by_ref().all(|change| change.is_ok()));
    assert_eq!(seqs(&mut store.changes(feed.cursor())), [0; 0]);
    let before_clear = store.snapshot().expect("a snapshot").cursor();
    store.clear().expect("clears");
    assert!(matches!(gap(before_clear), Error::CompactedAway { .. }));
    for store in [store.clone(), reader(dir.path())] {
        let mut feed = store.changes(before_clear);
        assert!(feed.next().expect("an item").is_err() && feed.next().is_none());
        assert_eq!(seqs(&mut store.changes(feed.cursor())), [0; 0]);
    }
    assert_eq!(seqs(&mut store.changes(store.snapshot().expect("a snapshot").cursor())), [0; 0]);
}

#[test]
fn a_backup_of_another_lineage_is_not_replaced_if_it_may_hold_more() {
    let (dir, place) = backed_up();
    let [copy, all] = ["copy", "all"].map(|name| place.path().join(name));
    let original = open(dir.path());
    back_up(&original, &all);
    let new = place.path().join("new");
    restore(&copy, &new).expect("restores");
    let store = open(&new);
    for n in 0..500 {
        store.put(format!("new{n}"), "value").expect("a put");
    }
    store.rotate().expect("rotates");
    // After compaction no segment is in both, so that names and numbers prove nothing.
    store.compact_recounted(&Compact::All).expect("compacts");
    let before = files(&all);
    let error =
        store.backup(&all, &mut |_| ControlFlow::Continue(())).expect_err("the backup has 95 more records");
    assert!(matches!(error, Error::Occupied { .. }) && error.to_string().contains("lineage"), "{error}");
    assert!(files(&all) == before);
    assert_eq!(restored(&all), contents(&original));
    // The other backup holds nothing that this store lacks.
    back_up(&store, &copy);
    assert_eq!(restored(&copy), contents(&store));
    let error =
        original.backup(&copy, &mut |_| ControlFlow::Continue(())).expect_err("the histories diverge");
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
}

#[test]
fn a_repaired_store_does_not_replace_the_backup_of_the_damaged_one() {
    let (dir, place) = (small_store(), scratch());
    let [copy, to, other] = ["copy", "to", "other"].map(|name| place.path().join(name));
    back_up(&open(dir.path()), &copy);
    repair::copy(dir.path(), &to, &quick(), &mut |_| ControlFlow::Continue(())).expect("repairs");
    let store = open(&to);
    let error =
        store.backup(&copy, &mut |_| ControlFlow::Continue(())).expect_err("the backup may hold more");
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    back_up(&store, &other);
    store.put("k", "v").expect("a put");
    back_up(&store, &other);
    assert_eq!(restored(&other), contents(&store));
}

#[test]
fn a_feed_of_files_ends_when_their_lineage_changes() {
    let (_dir, place) = backed_up();
    let copy = place.path().join("copy");
    let mut feed = reader(&copy).changes(Seqno(1));
    assert_eq!(seqs(&mut feed), [1, 2, 3, 4, 5]);
    open(&copy).put("k", "another way").expect("a put");
    assert!(feed.wait(LONG).expect("is known"));
    let error = feed.next().expect("an item").expect_err("the log was replaced");
    assert!(is_of_another_lineage(&error), "{error}");
}

#[test]
fn the_lineage_of_a_new_store_is_the_start_of_its_id() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    let text = fs::read_to_string(fixture.join("MANIFEST")).expect("MANIFEST");
    let id = text.lines().find_map(|line| line.strip_prefix("store ")).expect("an id");
    let dir = copy_of(&fixture);
    let cursor =
        Store::open_with(dir.path(), Options::new()).expect("opens").snapshot().expect("one").cursor();
    assert_eq!(cursor.to_string(), format!("{}@{}", cursor.seq, &id[..16]));
    assert!(verified(dir.path()).0.is_intact());
}
