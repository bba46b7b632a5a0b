//! A store whose files are removed acknowledges no further write as durable.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logkv::{Error, Options, Store, Sync};
use tempfile::TempDir;

use crate::common::{scratch, segment_path, value, wait_until};

/// The removed file or directory.
#[derive(Clone, Copy, Debug)]
enum Removal {
    Segment,
    SegmentReplaced,
    SegmentMoved,
    Directory,
}

const KINDS: [Removal; 4] =
    [Removal::Segment, Removal::SegmentReplaced, Removal::SegmentMoved, Removal::Directory];

impl Removal {
    fn apply(self, dir: &Path) {
        let segment = segment_path(dir, 1);
        match self {
            Self::Segment => fs::remove_file(segment).expect("the segment is removed"),
            Self::SegmentReplaced => {
                fs::copy(&segment, dir.join("other")).expect("a copy");
                fs::rename(dir.join("other"), segment).expect("the segment is replaced");
            }
            Self::SegmentMoved => fs::rename(segment, dir.join("other")).expect("the segment is renamed"),
            Self::Directory => fs::remove_dir_all(dir).expect("the directory is removed"),
        }
    }
}

/// A store with one durable record.
fn store(sync: Sync) -> (TempDir, PathBuf, Store) {
    let place = scratch();
    let dir = place.path().join("store");
    let store = Store::open_with(&dir, Options::new().sync(sync).background(false)).expect("opens");
    store.put("k", "before").expect("a put");
    store.sync().expect("syncs");
    (place, dir, store)
}

/// Checks that the failure names its reason, that later writes fail, and that reads still work.
fn assert_ends(store: &Store, outcome: logkv::Result<()>, what: &str) {
    let error = outcome.expect_err(what).sentence();
    let is_said = ["it was removed or replaced", "its directory was removed", "LOCK was removed"];
    assert!(is_said.iter().any(|reason| error.contains(reason)), "{what}: {error}");
    let next = store.put("k", "after");
    assert!(matches!(next, Err(Error::Poisoned { .. })), "{what}: {next:?}");
    assert!(store.sync().is_err() && store.rotate().is_err(), "{what}");
    assert!(value(store, "k").is_some(), "{what}: reads fail");
}

#[test]
fn a_put_into_a_removed_file_is_not_acknowledged_as_durable() {
    for kind in KINDS {
        let (_place, dir, store) = store(Sync::Always);
        kind.apply(&dir);
        let put = store.put("k", "removed");
        assert!(matches!(put, Err(Error::OutcomeUnknown { .. })), "{kind:?}: {put:?}");
        assert_ends(&store, put.map(drop), &format!("{kind:?}"));
        assert_eq!(value(&store, "k").as_deref(), Some("before"), "{kind:?}: the failed write is visible");
        assert!(store.close().is_err(), "{kind:?}");
    }
}

#[test]
fn sync_seal_and_close_fail_if_the_file_was_removed() {
    type End = fn(&Store) -> logkv::Result<()>;
    let ends: [(&str, End); 2] = [("sync", Store::sync), ("rotate", |store| store.rotate().map(drop))];
    for (policy, writes_more) in [(Sync::Never, true), (Sync::Never, false), (Sync::Always, false)] {
        for kind in KINDS {
            // A sync with nothing to write does not touch the file.
            for (name, end) in ends.into_iter().filter(|(name, _)| writes_more || *name != "sync") {
                let (_place, dir, store) = store(policy);
                if writes_more {
                    store.put("k", "more").expect("a put");
                }
                kind.apply(&dir);
                assert_ends(&store, end(&store), &format!("{kind:?}, {name}, {policy:?}, {writes_more}"));
            }
            let (_place, dir, store) = store(policy);
            kind.apply(&dir);
            let closed = store.close();
            assert!(closed.is_err(), "{kind:?}, close, {policy:?}, {writes_more}");
        }
    }
}

#[test]
fn a_background_sync_of_a_removed_file_stops_all_writes() {
    for kind in KINDS {
        let (_place, dir, store) = store(Sync::Every(Duration::from_millis(1)));
        kind.apply(&dir);
        wait_until(|| matches!(store.put("k", "removed"), Err(Error::Poisoned { .. })));
        let put = store.put("k", "removed").map(drop);
        assert_ends(&store, put, &format!("{kind:?}"));
    }
}

#[test]
fn a_store_whose_segment_was_moved_away_has_every_acknowledged_write_when_it_is_back() {
    let (_place, dir, store) = store(Sync::Always);
    store.put("k", "acknowledged").expect("a put");
    Removal::SegmentMoved.apply(&dir);
    assert!(store.put("k", "not acknowledged").is_err());
    drop(store);
    fs::rename(dir.join("other"), segment_path(&dir, 1)).expect("renames back");
    let store = Store::open(&dir).expect("opens");
    assert!(matches!(value(&store, "k").as_deref(), Some("acknowledged" | "not acknowledged")));
}
