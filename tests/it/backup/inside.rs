//! A restore and a backup fill an existing empty directory in place, even through links and on
//! mount points.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use logkv::{Error, Store, backup, repair, verify};
use tempfile::TempDir;

use super::{
    archived, back_up, contents_of_new, inode, keep_going, place, restore, restore_archive, restored,
};
use crate::common::{Map, contents, copy_of, files, open, quick, scratch, skipped, small_store};
use crate::machine::Mount;
use crate::owners::{GROUP, OWNER, is_root, run_as, set_mode, shared};

/// An operation that fills the directory `to` with the store in `from`.
type Fill = fn(from: &Path, to: &Path) -> Result<(), Error>;

fn reader(from: &Path) -> Store {
    Store::open_with(from, quick().read_only(true)).expect("opens")
}

const FILLS: [(&str, Fill); 4] = [
    ("restore", |from, to| restore(from, to).map(drop)),
    ("restore of an archive", |from, to| restore_archive(&archived(&reader(from)), to).map(drop)),
    ("backup", |from, to| reader(from).backup(to, &mut keep_going).map(drop)),
    ("repair", |from, to| repair::copy(from, to, &quick(), &mut |_| ControlFlow::Continue(())).map(drop)),
];

fn map_of(dir: &Path) -> Map {
    contents(&reader(dir))
}

/// Checks that each operation fills the vacant directory `to` in place. `empty` empties it again.
fn check_filled(to: &Path, what: &str, empty: &dyn Fn()) {
    let from = small_store();
    for (name, fill) in FILLS {
        let before = inode(to);
        fill(from.path(), to).unwrap_or_else(|error| panic!("{name} into {what}: {}", error.sentence()));
        assert_eq!(map_of(to), map_of(from.path()), "{name} into {what}");
        assert_eq!(inode(to), before, "{name} into {what}");
        assert!(!to.join("UNFINISHED").exists(), "{name} into {what}");
        empty();
    }
}

/// A store of two segments of two mebibytes each.
fn large_store() -> TempDir {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["a", "b", "c", "d"] {
        store.put(key, vec![b'x'; 1 << 20]).expect("a put");
        if key == "b" {
            store.rotate().expect("rotates");
        }
    }
    store.close().expect("closes");
    dir
}

fn empty(dir: &Path) {
    files(dir).into_iter().for_each(|(name, _)| fs::remove_file(dir.join(name)).expect("has permission"));
}

#[test]
fn an_empty_directory_is_filled_in_place_also_through_links() {
    let (place, to) = place();
    fs::create_dir(&to).expect("a directory");
    check_filled(&to, "an empty directory", &|| empty(&to));
    let (link, chain) = (place.path().join("link"), place.path().join("chain"));
    symlink("copy", &link).expect("is a link");
    symlink(&link, &chain).expect("is a link");
    check_filled(&chain, "a link to a link to a directory", &|| empty(&to));
    assert!(chain.is_symlink() && link.is_symlink());
    // With the slash that completion appends.
    check_filled(&place.path().join("link/"), "a link with a slash", &|| empty(&to));
}

#[test]
fn a_dangling_link_is_refused_in_one_sentence() {
    let (place, _) = place();
    let dangling = place.path().join("dangling");
    symlink("nowhere", &dangling).expect("is a link");
    let from = small_store();
    for (name, fill) in &FILLS[..3] {
        let said = fill(from.path(), &dangling).expect_err("is refused").sentence();
        assert!(said.contains("dangling: it is a dangling symbolic link"), "{name}: {said}");
    }
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1, "a file is left beside the link");
}

#[test]
fn a_mount_point_and_a_new_file_system_count_as_empty() {
    let dir = scratch();
    let Some(mount) = Mount::new(dir.path(), "disk", &["-t", "tmpfs", "-o", "mode=0700", "tmpfs"]) else {
        return skipped("a mount point and a new file system", "mounting needs root");
    };
    check_filled(&mount.0, "a mount point", &|| empty(&mount.0));
    let found = mount.0.join("lost+found");
    fs::create_dir(&found).expect("a directory");
    check_filled(&mount.0, "a fresh file system", &|| {
        fs::remove_dir(&found).expect("is empty");
        empty(&mount.0);
        fs::create_dir(&found).expect("a directory");
    });
    assert!(found.is_dir());
}

#[test]
fn a_directory_below_a_read_only_one_is_filled_and_a_missing_one_is_refused_at_once() {
    if !is_root() {
        return skipped("a directory below a read-only one", "becoming another user needs root");
    }
    let (dir, from) = shared(small_store());
    set_mode(&from, 0o755);
    // Without permission to list it.
    set_mode(dir.path(), 0o711);
    for (name, _) in files(&from) {
        set_mode(&from.join(name), 0o644);
    }
    for (command, name) in [("restore", "restored"), ("backup", "copy")] {
        let own = dir.path().join(name);
        fs::create_dir(&own).expect("a directory");
        chown(&own, Some(OWNER), Some(GROUP)).expect("root has permission");
        let (to, of) = if command == "restore" { (name, "store") } else { ("store", name) };
        let run = |to: &str, of: &str| {
            let flags: &[&str] = if command == "restore" { &["--trust"] } else { &["--trust", "-r"] };
            run_as(dir.path(), [OWNER, GROUP], &[flags, &[to, command, of]].concat())
        };
        let (code, said) = run(to, of);
        assert_eq!(code, Some(0), "{said}");
        let trusting = Store::open_with(&own, quick().read_only(true).trust(true)).expect("opens");
        let held = contents(&trusting);
        assert_eq!((own.metadata().expect("exists").uid(), held), (OWNER, map_of(&from)));
        let (to, of) = if command == "restore" { ("nowhere", of) } else { (to, "nowhere") };
        let (code, said) = run(to, of);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("of nowhere: Permission denied"), "{said}");
    }
}

#[test]
fn a_directory_that_is_not_empty_is_refused_with_the_name_of_a_file_and_unchanged() {
    let from = small_store();
    let (_place, to) = place();
    fs::create_dir(&to).expect("a directory");
    for (name, bytes) in
        [("notes", "mine"), ("logkv.toml", "sync = \"never\"\n"), ("UNFINISHED", &"x".repeat(99))]
    {
        fs::write(to.join(name), bytes).expect("a file");
        for (fill_name, fill) in &FILLS[..2] {
            let said = fill(from.path(), &to).expect_err("is refused").sentence();
            assert!(said.contains(&format!("it is not empty, and holds {name}")), "{fill_name}: {said}");
        }
        assert_eq!(files(&to), [(name.to_owned(), bytes.as_bytes().to_vec())]);
        empty(&to);
    }
    restore(from.path(), &to).expect("restores");
    let said = restore(from.path(), &to).expect_err("is refused").sentence();
    assert!(said.contains("it is not empty, and holds a store"), "{said}");
}

#[test]
fn manifest_is_written_last_after_everything_is_verified() {
    let from = large_store();
    let (_place, to) = place();
    fs::create_dir(&to).expect("a directory");
    let mut asked = 0;
    let mut done_len = 0;
    backup::restore(from.path(), &to, &quick(), &mut |at| {
        asked += 1;
        done_len = at.done_len;
        assert!(!to.join("MANIFEST").exists(), "{at:?}");
        let opened = Store::open_with(&to, quick().read_only(true)).expect_err("is no store yet");
        assert!(matches!(opened, Error::Unfinished { .. }), "{opened:?}");
        ControlFlow::Continue(())
    })
    .expect("restores");
    assert!(asked > 6 && done_len > 5 << 20, "the progress includes the verification: {asked}, {done_len}");
    assert_eq!(contents_of_new(&to), map_of(from.path()));
}

#[test]
fn an_interrupted_restore_leaves_a_marked_directory_and_the_next_one_completes_it() {
    let from = small_store();
    let (place, to) = place();
    fs::create_dir(&to).expect("a directory");
    let mut left = None;
    let _ = backup::restore(from.path(), &to, &quick(), &mut |at| {
        // A copy of the files, as a kill would leave them.
        left = Some(copy_of(&to));
        if at.done_len > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(fs::read_dir(&to).expect("a directory").count(), 0, "a cancelled restore leaves nothing");
    let left = left.expect("has started");
    let before = files(left.path());
    assert!(before.iter().any(|(name, _)| name.ends_with(".seg")), "{before:?}");
    let expected = "is not a store yet: a backup or a restore into it was interrupted; run it again";
    let refused = [
        Store::open_with(left.path(), quick()).map(drop),
        Store::open_with(left.path(), quick().read_only(true)).map(drop),
        verify::store(left.path(), &quick(), &[], &mut |_| ControlFlow::Continue(())).map(drop),
        restore(left.path(), &place.path().join("new")).map(drop),
        repair::copy(left.path(), &place.path().join("new"), &quick(), &mut |_| ControlFlow::Continue(()))
            .map(drop),
    ];
    for refused in refused {
        let said = refused.expect_err("is no store").sentence();
        assert!(said.contains(expected), "{said}");
    }
    assert!(files(left.path()) == before, "the open changed files");
    for (name, fill) in &FILLS[..3] {
        let again = copy_of(left.path());
        fill(from.path(), again.path()).unwrap_or_else(|error| panic!("{name}: {}", error.sentence()));
        assert_eq!(map_of(again.path()), map_of(from.path()), "{name}");
    }
    // In a backup that lost its MANIFEST, an unfinished file is no mark. The segments are all that
    // is left of the backup.
    let copy = place.path().join("backup");
    back_up(&open(from.path()), &copy);
    assert_eq!(restored(&copy), map_of(from.path()));
    fs::remove_file(copy.join("MANIFEST")).expect("exists");
    fs::write(copy.join("UNFINISHED"), "a part of a segment").expect("a file");
    let before = files(&copy);
    let said = restore(from.path(), &copy).expect_err("is not empty").sentence();
    assert!(said.contains("it is not empty, and holds 0000"), "{said}");
    assert!(files(&copy) == before);
}

#[test]
fn a_lack_of_disk_space_is_reported_before_anything_is_written() {
    let dir = scratch();
    let Some(disk) = Mount::new(dir.path(), "disk", &["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"])
    else {
        return skipped("a lack of disk space", "mounting a small tmpfs needs root");
    };
    let from = large_store();
    for (name, fill) in &FILLS[..3] {
        for to in [disk.0.clone(), disk.0.join("new")] {
            let error = fill(from.path(), &to).expect_err("does not fit");
            let said = error.sentence();
            assert!(said.contains("it needs 4,19") && said.contains("bytes, and 2"), "{name}: {said}");
            let Error::Io { source, .. } = error else { panic!("{name}: {said}") };
            assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
            assert_eq!(fs::read_dir(&disk.0).expect("a directory").count(), 0, "{name}");
        }
    }
    let mut asked = 0;
    let refused = reader(from.path()).backup(&disk.0, &mut |_| {
        asked += 1;
        ControlFlow::Continue(())
    });
    assert!(refused.is_err() && asked == 0, "the store was read");
}
