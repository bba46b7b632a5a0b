//! `Store::backup` and `logkv::backup`: a backup holds every acknowledged write, and a restore
//! yields the same store.

mod archive;
mod incremental;
mod inside;
mod members;
mod steps;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use logkv::backup::{self, BackupReport, RestoreReport};
use logkv::{Batch, Compact, Error, Store};
use tempfile::TempDir;

use crate::common::{Map, contents, files, leftovers, open, quick, scratch, segment_path, small_store};
use crate::recount::Recounted;
use crate::verify::verified;

/// Continues at every progress report.
pub(crate) fn keep_going(_: backup::BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Backs up `store` to `to`.
pub(crate) fn back_up(store: &Store, to: &Path) -> BackupReport {
    store.backup(to, &mut keep_going).unwrap_or_else(|error| panic!("{}", error.sentence()))
}

/// The bytes of an archive of `store`.
pub(crate) fn archived(store: &Store) -> Vec<u8> {
    let mut archive = Vec::new();
    store
        .backup_archive(&mut archive, &mut keep_going)
        .unwrap_or_else(|error| panic!("{}", error.sentence()));
    archive
}

pub(crate) fn restore(from: &Path, to: &Path) -> Result<RestoreReport, Error> {
    backup::restore(from, to, &quick(), &mut keep_going)
}

pub(crate) fn restore_archive(mut archive: &[u8], to: &Path) -> Result<RestoreReport, Error> {
    backup::restore_archive(&mut archive, to, &quick(), &mut keep_going)
}

/// The contents of the store restored from `from`. Verifies the store and writes to it.
pub(crate) fn restored(from: &Path) -> Map {
    let dir = scratch();
    let to = dir.path().join("new");
    restore(from, &to).unwrap_or_else(|error| panic!("{}", error.sentence()));
    contents_of_new(&to)
}

pub(crate) fn contents_of_new(dir: &Path) -> Map {
    let (verdict, findings) = verified(dir);
    assert!(verdict.is_intact() && findings.is_empty(), "{findings:?}");
    assert_eq!(leftovers(dir), [""; 0]);
    let store = open(dir);
    let map = contents(&store);
    store.put("written", "after the restore").expect("a put");
    map
}

/// A directory for backups and restored stores, and an unused path in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = scratch();
    let path = dir.path().join("copy");
    (dir, path)
}

fn inode(path: &Path) -> u64 {
    path.metadata().expect("a file").ino()
}

/// The contents restored from `archive`. On an error, checks that nothing is left.
fn attempt(archive: &[u8]) -> Result<Map, Error> {
    let (place, to) = place();
    let made = restore_archive(archive, &to);
    if made.is_err() {
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0, "files are left behind");
    }
    made.map(|_| contents_of_new(&to))
}

#[test]
fn a_backup_is_the_store_at_the_time_of_the_call_whatever_is_written_later() {
    let dir = small_store();
    fs::write(dir.path().join("logkv.toml"), "sync = \"never\"\n").expect("options");
    let store = open(dir.path());
    store.put("five", "5").expect("a put");
    let map = contents(&store);
    let (place, copy) = place();
    let report = back_up(&store, &copy);
    let archive = archived(&store);
    store.put("one", "later").expect("a put");
    store.delete("five").expect("a delete");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_eq!(restored(&copy), map);
    let new = place.path().join("new");
    let restored = restore_archive(&archive, &new).expect("restores");
    assert_eq!(contents_of_new(&new), map);
    assert_eq!((report.segment_count, report.last_seq.0), (3, 7));
    assert_eq!((restored.segment_count, restored.len, restored.record_count), (3, report.len, 7));
    assert!(restored.has_options && new.join("logkv.toml").exists() && copy.join("logkv.toml").exists());
    assert_eq!(files(&new).iter().filter(|(name, _)| name.contains("unfinished")).count(), 0);
    assert!(!place.path().join("copy.unfinished").exists());
}

#[test]
fn sealed_segments_are_hard_links_and_the_active_segment_is_a_copy() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    let report = back_up(&store, &copy);
    assert_eq!((report.linked_count, report.copied_count), (2, 1));
    for id in 1..=3 {
        let [ours, theirs] = [dir.path(), &copy].map(|dir| inode(&segment_path(dir, id)));
        assert_eq!(ours == theirs, id < 3, "segment {id}");
    }
    store.put("six", "6").expect("accepts writes");
    store.close().expect("closes");
    open(dir.path()).put("seven", "7").expect("accepts writes");
    let before = files(&copy);
    fs::remove_dir_all(dir.path()).expect("removes the store");
    assert!(files(&copy) == before);
    assert!(!restored(&copy).contains_key(&b"six"[..]));
}

#[test]
fn a_backup_of_a_read_only_store_changes_no_byte_of_it() {
    let dir = small_store();
    let writer = open(dir.path());
    writer.put("five", "5").expect("a put");
    let map = contents(&writer);
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    // The compaction removes the files that the reader has open.
    writer.compact_recounted(&Compact::All).expect("compacts");
    let before = files(dir.path());
    let (place, copy) = place();
    let report = back_up(&reader, &copy);
    assert_eq!((report.linked_count, report.copied_count), (0, 3), "the files have no names to link");
    let new = place.path().join("new");
    restore_archive(&archived(&reader), &new).expect("restores");
    assert!(files(dir.path()) == before);
    assert_eq!(restored(&copy), map);
    assert_eq!(contents_of_new(&new), map);
}

#[test]
fn a_backup_holds_acknowledged_writes_and_whole_batches_beside_writers_and_compactions() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(4096)).expect("opens");
    let (is_over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let (place, copy) = place();
    std::thread::scope(|scope| {
        // Ends the threads after a failed assertion as well, since the scope waits for them.
        let _end = EndsAll(&is_over);
        scope.spawn(|| {
            let mut n = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                n += 1;
                let value = n.to_string();
                let mut batch = Batch::new();
                batch.put("left", &value).put(format!("key {}", n % 50), &value).put("right", &value);
                store.write(&batch).expect("a batch");
                acknowledged.store(n, Ordering::SeqCst);
                // Slows the writer, so that the backup is faster than the growth of the store.
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                store.compact(&Compact::All).expect("compacts");
            }
        });
        for round in 0..9 {
            let before = acknowledged.load(Ordering::SeqCst);
            let map = if round % 3 == 2 {
                let to = place.path().join(format!("new {round}"));
                restore_archive(&archived(&store), &to).expect("restores");
                contents_of_new(&to)
            } else {
                back_up(&store, &copy);
                restored(&copy)
            };
            let number = |key: &str| -> u64 {
                map.get(key.as_bytes())
                    .map_or(0, |value| String::from_utf8_lossy(value).parse().expect("a number"))
            };
            assert_eq!(number("left"), number("right"), "the backup holds half a batch");
            assert!(number("left") >= before, "the backup lacks an acknowledged write");
            let newest = (0..50).map(|n| number(&format!("key {n}"))).max().expect("at least one");
            assert_eq!(newest, number("left"));
        }
    });
}

/// Sets the flag that ends the threads when it is dropped.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_holds_buffered_writes_and_no_unacknowledged_ones() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().sync(logkv::Sync::Buffered(1 << 20))).expect("opens");
    store.put("k", "acknowledged").expect("a put");
    let (_place, copy) = place();
    back_up(&store, &copy);
    assert_eq!(restored(&copy)[&b"k"[..]], b"acknowledged");
}

#[test]
fn a_backup_is_refused_where_something_else_exists() {
    let (dir, other) = (small_store(), small_store());
    let store = open(dir.path());
    let (place, copy) = place();
    fs::create_dir(place.path().join("full")).expect("a directory");
    fs::write(place.path().join("full/notes"), "mine").expect("a file");
    back_up(&open(other.path()), &place.path().join("theirs"));
    symlink(dir.path(), place.path().join("link")).expect("is a link");
    back_up(&store, &place.path().join("written"));
    open(&place.path().join("written")).put("k", "v").expect("a put");
    let inside = dir.path().join("backups/today");
    let places = ["full", "full/notes", "theirs", "link", "link/inside", "written"];
    let before = files(&place.path().join("theirs"));
    for to in places.map(|name| place.path().join(name)).iter().chain([&inside, &dir.path().to_owned()]) {
        let error = store.backup(to, &mut keep_going).expect_err("is refused");
        assert!(matches!(error, Error::Occupied { .. }), "{}: {error}", to.display());
    }
    assert!(!inside.exists() && files(&place.path().join("theirs")) == before);
    back_up(&store, &copy);
    let held = Store::open_with(&copy, quick()).expect("a backup can be opened");
    assert!(
        matches!(store.backup(&copy, &mut keep_going), Err(Error::Occupied { .. })),
        "the directory is open in a store"
    );
    drop(held);
    back_up(&store, &copy);
}

#[test]
fn a_damaged_record_fails_the_backup() {
    let dir = small_store();
    let path = segment_path(dir.path(), 2);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[64 + 36] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    let store = open(dir.path());
    let (_place, copy) = place();
    let error = store.backup(&copy, &mut keep_going).expect_err("has damage");
    assert!(matches!(error, Error::Damaged { segment, .. } if segment.0 == 2), "{error}");
    assert!(!copy.exists() && !copy.with_file_name("copy.unfinished").exists());
    let error = store.backup_archive(&mut Vec::new(), &mut keep_going).expect_err("has damage");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn damage_in_the_active_segment_is_reported_with_its_place() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "1").expect("a put");
    store.put("k", "2").expect("a put");
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[64 + 36] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    for _ in 0..2 {
        let store = open(dir.path());
        let (_place, copy) = place();
        let error = store.backup(&copy, &mut keep_going).expect_err("has damage");
        assert!(matches!(error, Error::Damaged { offset: 64, .. }), "{error}");
        store.close().expect("closes");
    }
}

#[test]
fn a_cancelled_backup_leaves_the_earlier_one_unchanged() {
    let dir = small_store();
    let store = open(dir.path());
    let (_place, copy) = place();
    let stop = &mut |_| ControlFlow::Break(());
    assert!(matches!(store.backup(&copy, stop), Err(Error::Cancelled)));
    assert!(!copy.exists() && !copy.with_file_name("copy.unfinished").exists());
    back_up(&store, &copy);
    let map = contents(&store);
    store.put("more", "1").expect("a put");
    store.rotate().expect("rotates");
    store.put("more", "2").expect("a put");
    let before = files(&copy);
    assert!(matches!(store.backup(&copy, stop), Err(Error::Cancelled)));
    assert!(files(&copy) == before);
    assert_eq!(restored(&copy), map);
    let to = copy.with_file_name("new");
    assert!(matches!(backup::restore(&copy, &to, &quick(), stop), Err(Error::Cancelled)));
    let is_gone = |path: &Path| !path.exists() && !path.with_extension("unfinished").exists();
    assert!(is_gone(&to));
    assert!(matches!(store.backup_archive(&mut Vec::new(), stop), Err(Error::Cancelled)));
    let mut archive = Vec::new();
    store.backup_archive(&mut archive, &mut keep_going).expect("an archive");
    let restored = backup::restore_archive(&mut archive.as_slice(), &to, &quick(), stop);
    assert!(matches!(restored, Err(Error::Cancelled)) && is_gone(&to));
}
