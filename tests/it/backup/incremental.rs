//! The second and later backups to the same place.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logkv::fs::StoreFile;
use logkv::{Compact, Error, Store};

use super::{back_up, inode, keep_going, place, restore, restored};
use crate::common::{contents, copy_of, files, killed, open, quick, scratch, segment_path, small_store};
use crate::hooked::{Call, Hook, Hooked};
use crate::recount::Recounted;
use crate::verify::verified;

#[test]
fn the_next_backup_copies_new_segments_keeps_existing_ones_and_removes_compacted_ones() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    back_up(&store, &copy);
    let kept = [1, 2].map(|id| inode(&segment_path(&copy, id)));
    store.put("five", "5").expect("a put");
    store.rotate().expect("rotates");
    store.put("six", "6").expect("a put");
    let report = back_up(&store, &copy);
    // The third segment has grown since the first backup, and the fourth is new.
    let counts = |report: &logkv::backup::BackupReport| {
        [
            report.segment_count,
            report.kept_count,
            report.linked_count,
            report.copied_count,
            report.removed_count,
        ]
    };
    assert_eq!(counts(&report), [4, 2, 0, 2, 0]);
    assert_eq!([1, 2].map(|id| inode(&segment_path(&copy, id))), kept);
    assert_eq!(restored(&copy), contents(&store));
    store.compact_recounted(&Compact::All).expect("compacts");
    let report = back_up(&store, &copy);
    assert_eq!(counts(&report), [2, 1, 1, 0, 3]);
    assert_eq!(restored(&copy), contents(&store));
    assert!(verified(&copy).1.is_empty(), "files of the earlier backup are left");
    assert_eq!(back_up(&store, &copy).kept_count, 2);
}

#[test]
fn a_missing_or_truncated_segment_of_the_backup_is_copied_again() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    back_up(&store, &copy);
    fs::remove_file(segment_path(&copy, 1)).expect("exists");
    let cut = segment_path(&copy, 3);
    let bytes = fs::read(&cut).expect("the segment");
    fs::write(&cut, &bytes[..bytes.len() - 8]).expect("is truncated");
    let report = back_up(&store, &copy);
    assert_eq!((report.kept_count, report.copied_count), (1, 2));
    assert_eq!(restored(&copy), contents(&store));
}

#[test]
fn a_backup_refuses_to_extend_one_of_another_history() {
    let dir = small_store();
    let twin = copy_of(dir.path());
    let (_place, copy) = place();
    let store = open(dir.path());
    store.put("k", "mine").expect("a put");
    back_up(&store, &copy);
    let twin = open(twin.path());
    // The same number of bytes, in the same segment.
    twin.put("k", "your").expect("a put");
    let before = files(&copy);
    let error = twin.backup(&copy, &mut keep_going).expect_err("the histories differ");
    assert!(
        matches!(error, Error::Occupied { .. }) && error.to_string().contains("another history"),
        "{error}"
    );
    assert!(files(&copy) == before);
    assert_eq!(restored(&copy), contents(&store));
}

/// A disk whose segment files become unreadable, except through a mapping.
#[derive(Debug, Default)]
struct FailingDisk(AtomicBool);

impl Hook for FailingDisk {
    fn read(&self, file: StoreFile, _: Range<u64>) -> io::Result<()> {
        let fails = matches!(file, StoreFile::Segment(_)) && self.0.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }
}

#[test]
fn an_unreadable_file_of_the_earlier_backup_is_named_by_its_path() {
    let dir = small_store();
    let (_place, copy) = place();
    back_up(&open(dir.path()), &copy);
    let disk = Arc::new(FailingDisk::default());
    let options = quick().file_system(Arc::new(Hooked(Arc::clone(&disk))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    disk.0.store(true, Ordering::SeqCst);
    let error = store.backup(&copy, &mut keep_going).expect_err("the disk fails");
    let path = segment_path(&copy, 1);
    assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
}

#[test]
fn a_restored_store_extends_the_backup_that_it_was_restored_from() {
    let dir = small_store();
    let (place, copy) = place();
    back_up(&open(dir.path()), &copy);
    let new = place.path().join("new");
    restore(&copy, &new).expect("restores");
    let store = open(&new);
    store.put("after", "the restore").expect("a put");
    let report = back_up(&store, &copy);
    assert_eq!((report.kept_count, report.copied_count), (3, 1), "the third segment has not grown");
    assert_eq!(restored(&copy), contents(&store));
}

#[test]
fn a_store_that_lost_its_end_in_a_crash_can_be_backed_up_over_a_longer_backup() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("durable", "1").expect("a put");
    let (_place, copy) = place();
    let len = segment_path(dir.path(), 1).metadata().expect("the segment").len();
    store.put("lost", "2").expect("a put");
    back_up(&store, &copy);
    let dir = killed(store, dir.path());
    let segment = fs::OpenOptions::new().write(true).open(segment_path(dir.path(), 1)).expect("the segment");
    segment.set_len(len).expect("truncates");
    let store = open(dir.path());
    store.put("after", "3").expect("a put");
    back_up(&store, &copy);
    let map = restored(&copy);
    assert_eq!(map, contents(&store));
    assert!(!map.contains_key(&b"lost"[..]));
}

#[test]
fn the_options_file_is_backed_up_and_removed_with_the_original() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    let options = |dir: &Path| fs::read_to_string(dir.join("logkv.toml")).ok();
    for text in [Some("sync = \"always\"\n"), Some("sync = \"never\"\n"), None] {
        match text {
            Some(text) => fs::write(dir.path().join("logkv.toml"), text).expect("options"),
            None => fs::remove_file(dir.path().join("logkv.toml")).expect("options"),
        }
        back_up(&store, &copy);
        assert_eq!(options(&copy).as_deref(), text);
    }
}

#[test]
fn a_backup_that_was_written_to_is_a_separate_store() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    back_up(&store, &copy);
    // Reading it, or opening it without a write, leaves it a backup.
    drop(Store::open_with(&copy, quick().read_only(true)).expect("opens"));
    open(&copy).close().expect("closes");
    back_up(&store, &copy);
    open(&copy).put("own", "1").expect("a put");
    let before = files(&copy);
    let error = store.backup(&copy, &mut keep_going).expect_err("the backup was written to");
    assert!(error.to_string().contains("a store that is written to"), "{error}");
    assert!(files(&copy) == before);
}

/// A file system without hard links.
#[derive(Debug)]
struct NoLinks;

impl Hook for NoLinks {
    fn before(&self, call: Call) -> std::io::Result<()> {
        match call {
            Call::Link(_) => Err(std::io::ErrorKind::CrossesDevices.into()),
            _ => Ok(()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn without_hard_links_each_segment_is_copied_once() {
    let dir = small_store();
    let options = quick().file_system(Arc::new(Hooked(Arc::new(NoLinks))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    let (_place, copy) = place();
    let report = back_up(&store, &copy);
    assert_eq!((report.linked_count, report.copied_count, report.copied_len), (0, 3, report.len));
    assert_eq!(restored(&copy), contents(&store));
    let report = back_up(&store, &copy);
    assert_eq!((report.kept_count, report.copied_count, report.copied_len), (3, 0, 0));
}

#[test]
fn a_store_restored_from_an_older_backup_does_not_replace_a_later_backup() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    let (_older_place, older) = place();
    back_up(&store, &older);
    store.put("precious", "1").expect("a put");
    store.rotate().expect("rotates");
    // Also with a record after the last one of the older backup.
    store.delete("precious").expect("a delete");
    store.compact_recounted(&Compact::All).expect("compacts");
    back_up(&store, &copy);
    let (_again_place, again) = place();
    restore(&older, &again).expect("restores");
    let before = files(&copy);
    let refused = open(&again).backup(&copy, &mut keep_going).expect_err("is older");
    assert!(
        refused.to_string().contains("it holds a later backup of this store, up to record 8"),
        "{refused}"
    );
    assert!(files(&copy) == before, "the refused backup changed files");
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    for store in [store, reader] {
        back_up(&store, &copy);
    }
}
