//! Restoring an archive yields the store that was backed up, or an error.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use logkv::{Error, Store};
use proptest::prelude::*;

use super::{archived, attempt, back_up, contents_of_new, keep_going, place, restore, restore_archive};
use crate::common::{Map, contents, files, open, quick, scratch, segment_path, small_store};

/// An archive of [`small_store`], and its contents.
fn small_archive() -> (Vec<u8>, Map) {
    let dir = small_store();
    let store = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    (archived(&store), contents(&store))
}

fn packed(archive: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.include_checksum(true).expect("sets the option");
    encoder.write_all(archive).expect("writes to memory");
    encoder.finish().expect("writes to memory")
}

fn attempt_packed(packed: &[u8]) -> Result<Map, Error> {
    let (place, to) = place();
    let mut decoder = zstd::Decoder::new(packed).expect("a decoder");
    let made = logkv::backup::restore_archive(&mut decoder, &to, &quick(), &mut keep_going);
    assert!(made.is_ok() || fs::read_dir(place.path()).expect("a directory").count() == 0);
    made.map(|_| contents_of_new(&to))
}

#[test]
fn an_archive_with_a_changed_byte_is_refused_or_restores_the_same_contents() {
    let (archive, map) = small_archive();
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 0x10;
        match attempt(&changed) {
            Ok(made) => assert_eq!(made, map, "byte {at}"),
            // Without the magic that identifies tar, the first header is unrecognisable.
            Err(error) => assert!(
                error.is_corruption()
                    || matches!(error, Error::Unsupported { .. })
                    || matches!(error, Error::NotABackup { .. }) && (257..262).contains(&at),
                "byte {at}: {error}"
            ),
        }
    }
    let packed = packed(&archive);
    for at in 0..packed.len() {
        let mut changed = packed.clone();
        changed[at] ^= 0x10;
        let made = attempt_packed(&changed);
        assert!(made.as_ref().map_or_else(Error::is_corruption, |made| *made == map), "byte {at}: {made:?}");
    }
}

/// Endless zeros, with a count of the bytes read.
struct Zeros(u64);

impl Read for Zeros {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(0);
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

/// The start of an archive, up to the contents of its first segment, which has `len` bytes
/// according to MANIFEST.
fn archive_of_a_long_segment(len: u64) -> Vec<u8> {
    let (place, to) = place();
    restore_archive(&small_archive().0, &to).expect("restores");
    let first = files(&to).into_iter().find(|(name, _)| name.ends_with(".seg")).expect("a segment");
    let (id, has) = (first.0.trim_end_matches(".seg").to_owned(), first.1.len());
    crate::common::rewrite_manifest(&to, |line| match line.starts_with(&format!("segment {id} ")) {
        true => line.replace(&format!("sealed {has}"), &format!("sealed {len}")),
        false => line.to_owned(),
    });
    let manifest = fs::read(to.join("MANIFEST")).expect("MANIFEST");
    drop(place);
    let mut archive = Vec::new();
    for (name, len, bytes) in [("MANIFEST", manifest.len() as u64, &manifest[..]), (&first.0, len, &[])] {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("a name");
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(len);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive
}

#[test]
fn an_archive_damaged_at_its_start_is_refused_there_whatever_its_length() {
    const LEN: u64 = 3 << 30;
    let start = archive_of_a_long_segment(LEN);
    let (place, to) = place();
    let mut zeros = Zeros(0);
    let mut archive = start.as_slice().chain(&mut zeros);
    let mut done_max = 0;
    let made = logkv::backup::restore_archive(&mut archive, &to, &quick(), &mut |progress| {
        done_max = progress.done_len;
        // Restoring the whole archive before checking it would fill the disk.
        if done_max > 64 << 20 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    });
    let error = made.expect_err("is refused");
    assert!(error.to_string().contains("000001.seg: the header's checksum is 00000000"), "{error}");
    assert!(done_max <= 1 << 20 && zeros.0 <= 2 << 20, "{done_max} {}", zeros.0);
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0, "something was left behind");
}

#[test]
fn a_truncated_archive_is_refused() {
    let (archive, map) = small_archive();
    assert_eq!(attempt(&archive).expect("restores"), map);
    // The two blocks of zeros at the end are redundant.
    let end = archive.len() - 1024;
    for len in (0..end).step_by(8).chain(end - 512..end) {
        let is_in_padding = archive[len..end].iter().all(|&byte| byte == 0);
        match attempt(&archive[..len]) {
            Ok(made) => assert!(is_in_padding && made == map, "{len} bytes"),
            Err(error) => {
                let is_none = matches!(error, Error::NotABackup { .. }) && len < 262;
                assert!(error.is_corruption() || is_none, "{len} bytes: {error}");
            }
        }
    }
    let packed = packed(&archive);
    for len in 0..packed.len() {
        let error = attempt_packed(&packed[..len]).expect_err("is truncated");
        assert!(error.is_corruption(), "{len} bytes: {error}");
    }
}

/// The names and bytes of the entries of an archive.
fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    for entry in tar::Archive::new(archive).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("reads the entry");
        entries.push((entry.path().expect("a path").to_string_lossy().into_owned(), bytes));
    }
    entries
}

/// An archive of `entries`. `change` edits the last header.
fn archive_of(entries: &[(String, Vec<u8>)], change: impl Fn(&mut tar::Header)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (index, (name, bytes)) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        // Sets the name directly, since the library rejects names outside the directory.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        if index + 1 == entries.len() {
            change(&mut header);
        }
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).expect("writes to memory");
    }
    builder.into_inner().expect("writes to memory")
}

#[test]
fn an_archive_unpacked_by_tar_is_a_backup_directory_without_other_files() {
    let (archive, map) = small_archive();
    let names: Vec<_> = entries(&archive).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["MANIFEST", "000001.seg", "000002.seg", "000003.seg"]);
    let (place, to) = place();
    fs::create_dir(&to).expect("a directory");
    tar::Archive::new(&*archive).unpack(&to).expect("unpacks");
    let new = place.path().join("new");
    restore(&to, &new).expect("restores");
    assert_eq!(contents_of_new(&new), map);
    let mut padded = archive_of(&entries(&archive), |_| {});
    padded.resize(padded.len() + 10_240, 0);
    assert_eq!(attempt(&padded).expect("restores"), map);
}

#[test]
fn an_archive_with_entries_of_no_backup_is_refused_in_one_sentence() {
    let (archive, _) = small_archive();
    let good = entries(&archive);
    let with = |name: &str, bytes: &[u8]| {
        let mut entries = good.clone();
        entries.push((name.to_owned(), bytes.to_vec()));
        entries
    };
    let plain = |_: &mut tar::Header| {};
    let kind = |kind| move |header: &mut tar::Header| header.set_entry_type(kind);
    let mut bad = vec![
        (archive_of(&with("../escaped", b"x"), plain), "../escaped"),
        (archive_of(&with("/tmp/escaped", b"x"), plain), "/tmp/escaped"),
        (archive_of(&with("a/000001.seg", b"x"), plain), "a/000001.seg"),
        (archive_of(&with("\x1b]0;x\x07", b"x"), plain), "\\x1b]0;x\\x07"),
        (archive_of(&with("000009.seg", b"x"), plain), "MANIFEST lists no 000009.seg of 1 bytes"),
        (archive_of(&with("000001.seg", &good[1].1), plain), "000001.seg twice"),
        (archive_of(&with("MANIFEST", &good[0].1), plain), "MANIFEST twice"),
        (archive_of(&good[..3], plain), "it ends before segment 3"),
        (archive_of(&[], plain), "it holds no store"),
        (b"not an archive".repeat(100), "it is not an archive"),
        (Vec::new(), "it holds no store"),
    ];
    for (entry_type, name) in [
        (tar::EntryType::Symlink, "000009.seg"),
        (tar::EntryType::Link, "000009.seg"),
        (tar::EntryType::Fifo, "000009.seg"),
        (tar::EntryType::Directory, "logkv.toml"),
        (tar::EntryType::GNUSparse, "logkv.toml"),
    ] {
        bad.push((archive_of(&with(name, b"x"), kind(entry_type)), "which no backup does"));
    }
    let mut followed = archive;
    followed.extend_from_slice(&[7; 512]);
    bad.push((followed, "something follows its end"));
    for (archive, expected) in bad {
        let error = attempt(&archive).expect_err(expected);
        let is_of_archive = matches!(error, Error::BackupDamaged { .. } | Error::NotABackup { .. });
        assert!(is_of_archive && error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_huge_entry_is_refused_before_a_file_is_created() {
    let (archive, _) = small_archive();
    let mut good = entries(&archive);
    let huge = |header: &mut tar::Header| header.set_size(1 << 60);
    // A size that contradicts MANIFEST, and one that agrees with MANIFEST in a truncated file.
    let error = attempt(&archive_of(&good, huge)).expect_err("MANIFEST lists no such segment");
    assert!(error.to_string().contains("MANIFEST lists no"), "{error}");
    let error = attempt(&archive_of(&good[..1], huge)).expect_err("MANIFEST is too long");
    assert!(error.to_string().contains("more than"), "{error}");
    let text = String::from_utf8(good[0].1.clone()).expect("text");
    let (body, _) = text.split_once("crc ").expect("a checksum");
    let body: String = body
        .lines()
        .map(|line| match line.strip_prefix("segment 000003 ").and_then(|rest| rest.rsplit_once(' ')) {
            Some((rest, _)) => format!("segment 000003 {rest} {}\n", 1_u64 << 40),
            None => format!("{line}\n"),
        })
        .collect();
    good[0].1 = format!("{body}crc {:08x}\n", crc32c::crc32c(body.as_bytes())).into_bytes();
    let mebibytes = |header: &mut tar::Header| header.set_size(1 << 40);
    let error = attempt(&archive_of(&good, mebibytes)).expect_err("is truncated");
    assert!(matches!(error, Error::BackupDamaged { .. }), "{error}");
}

#[test]
fn a_backup_directory_with_a_changed_byte_is_refused_or_restores_the_same_contents() {
    let dir = small_store();
    let store = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    let map = contents(&store);
    let (place, copy) = place();
    back_up(&store, &copy);
    for (name, bytes) in files(&copy) {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            // The sealed segments are hard links to the store's files.
            fs::remove_file(copy.join(&name)).expect("exists");
            fs::write(copy.join(&name), changed).expect("the damage");
            let to = place.path().join("new");
            match restore(&copy, &to) {
                Ok(_) => {
                    assert_eq!(contents_of_new(&to), map, "{name} byte {at}");
                    fs::remove_dir_all(&to).expect("has permission");
                }
                Err(error) => {
                    assert!(!matches!(error, Error::Occupied { .. }), "{error}");
                    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1);
                }
            }
        }
        fs::write(copy.join(&name), bytes).expect("restores the bytes");
    }
}

#[test]
fn a_directory_that_is_no_backup_is_not_restored_and_no_existing_file_is_overwritten() {
    let dir = small_store();
    let (place, copy) = place();
    let to = place.path().join("to");
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    let refused = |from: &Path, to: &Path| restore(from, to).expect_err("is refused");
    assert!(matches!(refused(dir.path(), &to), Error::Locked { .. }), "a writer has the store open");
    drop(store);
    assert!(matches!(refused(&copy, &to), Error::Missing { .. }));
    fs::create_dir(&copy).expect("a directory");
    assert!(matches!(refused(&copy, &to), Error::Missing { .. }));
    restore(dir.path(), &to).expect("a closed store is a valid backup");
    assert!(matches!(refused(dir.path(), &to), Error::Occupied { .. }));
    fs::remove_file(segment_path(&to, 2)).expect("exists");
    let empty = scratch();
    assert!(matches!(refused(&to, empty.path()), Error::SegmentMissing { segment } if segment.0 == 2));
    assert!(empty.path().exists(), "an existing directory stays");
    restore(dir.path(), empty.path()).expect("an empty directory is vacant");
    assert_eq!(contents_of_new(empty.path()).len(), 4);
    // An unclosed store.
    let unclosed = crate::common::unclosed_store();
    let error = refused(unclosed.path(), &place.path().join("x"));
    assert!(matches!(error, Error::NotABackup { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_restore_to_nothing_or_to_the_backed_up_contents(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..3_u8, prop::collection::vec(any::<u8>(), 1..600)),
            1..4,
        ),
        is_packed in any::<bool>(),
    ) {
        let (archive, map) = small_archive();
        let mut bytes = if is_packed { packed(&archive) } else { archive };
        for (index, what, new) in changes {
            let at = index.index(bytes.len() + 1);
            let end = if what == 0 { at } else { (at + new.len()).min(bytes.len()) };
            bytes.splice(at..end, if what == 1 { Vec::new() } else { new });
        }
        let made = if is_packed { attempt_packed(&bytes) } else { attempt(&bytes) };
        prop_assert!(made.is_err() || made.is_ok_and(|made| made == map));
    }
}
