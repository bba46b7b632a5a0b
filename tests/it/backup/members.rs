//! Archives of a backup made by other programs: other names, headers and orders, and derived files.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use logkv::{Error, Store};

use super::{attempt, back_up, place};
use crate::common::{Map, contents, files, open, quick, scratch, skipped, small_store};
use crate::machine::works;

/// A backup directory `copy` with every file that a backup may hold, and its contents.
fn backup_with_everything() -> (tempfile::TempDir, Map) {
    let dir = small_store();
    fs::write(dir.path().join("logkv.toml"), "sync = \"never\"\n").expect("options");
    let store = Store::open_with(dir.path(), quick().checkpoint_records(1)).expect("opens");
    store.scan(..).expect("scans").for_each(drop);
    let map = contents(&store);
    let (place, copy) = place();
    back_up(&store, &copy);
    store.close().expect("closes");
    fs::copy(dir.path().join("KEYDIR"), copy.join("KEYDIR")).expect("was written");
    fs::write(copy.join("LOCK"), "4711\n").expect("a file");
    fs::write(copy.join("MANIFEST.new"), "half").expect("a file");
    fs::write(copy.join("UNFINISHED"), "half").expect("a file");
    fs::write(copy.join("000001.hint"), "a hint").expect("a file");
    (place, map)
}

#[test]
fn an_archive_made_by_tar_restores_in_every_tar_format() {
    if !works("tar", &["--version"]) {
        return skipped("archives made by tar", "tar is not installed");
    }
    let (place, map) = backup_with_everything();
    let long =
        "a-directory-whose-name-is-so-long-that-the-names-of-its-files-do-not-fit-into-the-old-header-of-tar";
    let deep = place.path().join(long).join(long);
    fs::create_dir_all(&deep).expect("a directory");
    for (name, bytes) in files(&place.path().join("copy")) {
        fs::write(deep.join(name), bytes).expect("a copy");
    }
    let archive = place.path().join("archive.tar");
    let deep = format!("{long}/{long}");
    let mut count = 0;
    for format in ["gnu", "oldgnu", "pax", "ustar", "v7"] {
        let of = |dir: &str, what: &[&str]| {
            let mut command = Command::new("tar");
            command.current_dir(place.path()).args(["--format", format, "-cf", "archive.tar", "-C", dir]);
            command
                .args(what)
                .output()
                .expect("runs")
                .status
                .success()
                .then(|| fs::read(&archive).expect("was written"))
        };
        for (dir, what) in [
            (".", vec!["copy"]),
            (".", vec!["./copy"]),
            ("copy", vec!["."]),
            ("copy", vec!["--sort=name", "."]),
            (".", vec![&*deep]),
            ("copy", vec!["000003.seg", "000001.seg", "logkv.toml", "MANIFEST", "000002.seg", "KEYDIR"]),
        ] {
            // The older formats do not support names of this length.
            let Some(bytes) = of(dir, &what) else { continue };
            let made =
                attempt(&bytes).unwrap_or_else(|error| panic!("{format} {what:?}: {}", error.sentence()));
            assert_eq!(made, map, "{format} {what:?}");
            count += 1;
        }
    }
    assert!(count >= 25, "{count}");
}

/// A member of an archive: its name, its kind, its bytes.
type Member<'a> = (&'a str, tar::EntryType, Vec<u8>);

fn archive_of(members: &[Member<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// The files of a backup of three segments, as members in a directory `d`.
fn good() -> (Vec<Member<'static>>, Map) {
    let dir = small_store();
    let (_place, copy) = place();
    back_up(&open(dir.path()), &copy);
    let names = ["d/000001.seg", "d/000002.seg", "d/000003.seg", "d/MANIFEST"];
    let member = |name: &'static str| {
        let bytes = fs::read(copy.join(Path::new(name).file_name().expect("a name"))).expect("a file");
        (name, tar::EntryType::Regular, bytes)
    };
    (names.map(member).into(), contents(&open(dir.path())))
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let line = |len: usize| format!("{len} {key}={value}\n");
    let len = (0..).find(|&len| line(len).len() == len).expect("a length that includes its own digits");
    line(len).into_bytes()
}

#[test]
fn manifest_may_come_last_and_unknown_members_of_other_programs_are_skipped() {
    use tar::EntryType as Kind;
    let (good, map) = good();
    let mut members = vec![
        ("pax_global_header", Kind::XGlobalHeader, pax("comment", "made by hand")),
        ("d/", Kind::Directory, vec![]),
        ("d/lost+found", Kind::Directory, vec![]),
    ];
    for member in good.iter().cloned() {
        members.push(("PaxHeaders/x", Kind::XHeader, pax("mtime", "1700000000.123456789")));
        members.push(member);
    }
    assert_eq!(attempt(&archive_of(&members)).expect("restores"), map);
    // The name in an extended header replaces the one in the header.
    let mut renamed = good.clone();
    renamed[0].0 = "d/x";
    renamed.insert(0, ("x", Kind::XHeader, pax("path", "d/000001.seg")));
    assert_eq!(attempt(&archive_of(&renamed)).expect("restores"), map);
    renamed[0] = ("././@LongLink", Kind::GNULongName, b"d/000001.seg\0".to_vec());
    assert_eq!(attempt(&archive_of(&renamed)).expect("restores"), map);
}

#[test]
fn a_hostile_archive_is_refused_with_the_member_s_name_and_creates_nothing() {
    use tar::EntryType as Kind;
    let (good, _) = good();
    let x = || b"x".to_vec();
    let extra: Vec<(Member<'_>, &str)> = vec![
        (("/etc/cron.d/000009.seg", Kind::Regular, x()), "/etc/cron.d/000009.seg, which"),
        (("d/../000009.seg", Kind::Regular, x()), "d/../000009.seg, which"),
        (("../000009.seg", Kind::Regular, x()), "../000009.seg, which"),
        (("e/000009.seg", Kind::Regular, x()), "e/000009.seg beside files of another directory"),
        (("000009.seg", Kind::Regular, x()), "000009.seg beside files of another directory"),
        (("d/notes.txt", Kind::Regular, x()), "d/notes.txt, which"),
        (("d/000009.seg", Kind::Symlink, vec![]), "d/000009.seg as a link"),
        (("d/000009.seg", Kind::Link, vec![]), "d/000009.seg as a link"),
        (("d/LOCK", Kind::Fifo, vec![]), "d/LOCK as a device"),
        (("d/LOCK", Kind::Block, vec![]), "d/LOCK as a device"),
        (("d/LOCK", Kind::Char, vec![]), "d/LOCK as a device"),
        (("d/000009.seg", Kind::GNUSparse, x()), "d/000009.seg as a sparse file"),
        (("d/000009.seg", Kind::Directory, vec![]), "d/000009.seg as a directory"),
        (("d/000001.seg", Kind::Regular, good[0].2.clone()), "d/000001.seg twice"),
        (("d/MANIFEST", Kind::Regular, good[3].2.clone()), "d/MANIFEST twice"),
        (("d/x", Kind::new(b'Z'), x()), "d/x as a member of an unknown kind"),
        (("x", Kind::XHeader, pax("GNU.sparse.major", "1")), "a sparse file"),
    ];
    for (member, expected) in extra {
        for first in [true, false] {
            let mut members = good.clone();
            members.insert(if first { 0 } else { 4 }, member.clone());
            let error = attempt(&archive_of(&members)).expect_err(expected);
            let said = error.sentence();
            // Whichever of the two comes second is the surplus one.
            let is_named = said.contains(expected) && matches!(error, Error::NotABackup { .. });
            assert!(is_named || first, "{expected}: {said}");
        }
    }
}

#[test]
fn wrong_sizes_and_oversized_headers_are_reported_as_damage_and_allocate_no_memory() {
    use tar::EntryType as Kind;
    let (good, _) = good();
    let with = |member: Member<'static>| {
        let mut members = good.clone();
        members.insert(0, member);
        archive_of(&members)
    };
    let [huge, most] = [1 << 60, u64::MAX].map(|len: u64| len.to_string());
    let bad = [
        (with(("x", Kind::XHeader, pax("size", &huge))), "cannot be read"),
        (with(("x", Kind::XHeader, pax("size", &most))), "cannot be read"),
        (
            archive_of(&[("x", Kind::XHeader, pax("size", &most)), ("d", Kind::Directory, Vec::new())]),
            "it ends in the middle of a file",
        ),
        (with(("x", Kind::XHeader, pax("size", "-1"))), "an extended header in it is damaged"),
        (with(("x", Kind::XHeader, b"nonsense".to_vec())), "an extended header in it is damaged"),
        (with(("x", Kind::XHeader, vec![b'9'; 1 << 20])), "an extended header of 1,048,576 bytes"),
        (with(("x", Kind::GNULongName, vec![b'9'; 1 << 20])), "an extended header of 1,048,576 bytes"),
        (archive_of(&good[..3]), "it holds no MANIFEST"),
        (archive_of(&[&good[1..2], &good[3..]].concat()), "it ends before segment 1"),
    ];
    for (archive, expected) in bad {
        let error = attempt(&archive).expect_err(expected);
        assert!(
            error.is_corruption() && error.sentence().contains(expected),
            "{expected}: {}",
            error.sentence()
        );
    }
    // Two segments before MANIFEST: one that MANIFEST does not list, and one of another store.
    let mut more = good.clone();
    more[2].0 = "d/000009.seg";
    let error = attempt(&archive_of(&more)).expect_err("the header says segment 3");
    assert!(error.is_corruption(), "{}", error.sentence());
    let other = scratch();
    let store = open(other.path());
    store.put("k", "v").expect("a put");
    store.close().expect("closes");
    let mut mixed = good.clone();
    mixed[0].2 = fs::read(other.path().join("000001.seg")).expect("a segment");
    let error = attempt(&archive_of(&mixed)).expect_err("belongs to another store");
    assert!(
        error.sentence().contains("its segment 1 is not the one that MANIFEST lists"),
        "{}",
        error.sentence()
    );
}

#[test]
fn endless_zeros_before_manifest_are_refused_at_their_start() {
    struct Zeros(u64);
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(0);
            self.0 += buffer.len() as u64;
            Ok(buffer.len())
        }
    }
    let mut header = tar::Header::new_gnu();
    header.set_path("000001.seg").expect("a name");
    header.set_size(1 << 40);
    header.set_cksum();
    let mut zeros = Zeros(0);
    let (place, to) = place();
    let mut archive = header.as_bytes().as_slice().chain(&mut zeros);
    let error = logkv::backup::restore_archive(&mut archive, &to, &quick(), &mut super::keep_going);
    assert!(error.expect_err("is refused").is_corruption());
    assert!(zeros.0 <= 2 << 20, "{}", zeros.0);
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);
}
