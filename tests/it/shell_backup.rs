//! `backup` and `restore` in every mode, to and from directories, files and pipes, and their
//! refusals.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Output, Stdio};

use crate::common::{contents, files, open, segment_path};
use crate::shell_repair::write_store;
use crate::transcript::Transcript;

/// A store `d` with two sealed segments and an active one.
fn with_store() -> Transcript {
    let transcript = Transcript::new();
    write_store(&transcript.path("d"));
    transcript
}

const MODES: [&str; 4] = ["-m table --width 80", "-m table --width 40 --ascii", "-m plain", "-m json"];

#[test]
fn a_backup_and_a_restore_report_their_result() {
    let mut transcript = with_store();
    for (number, mode) in MODES.iter().enumerate() {
        transcript
            .run(&format!("{mode} d backup copy{number}"))
            .run(&format!("{mode} d backup copy{number}"));
        transcript.run(&format!("{mode} d backup copy{number}.tar.zst --level 19"));
        transcript.run(&format!("{mode} new{number} restore copy{number}"));
        transcript.run(&format!("{mode} packed{number}/ restore copy{number}.tar.zst"));
        transcript.run(&format!("new{number} scan")).run(&format!("packed{number} verify"));
    }
    // Without background compaction, which may or may not use a segment id.
    transcript.run("d put user:4 dave").run("--compaction off d rotate");
    transcript.run("--compaction off d compact --all --json");
    transcript.run("-m table d backup copy0/").run("-r copy0 get user:4").run("d backup plain.tar");
    transcript.run("again restore plain.tar").run("-r -m table d -c 'backup copy0' -c 'backup twice.tzst'");
    transcript.compare("shell-backup");
    let mode = |name: &str| transcript.path(name).metadata().expect("exists").permissions().mode() & 0o777;
    assert_eq!((mode("plain.tar"), mode("copy0"), mode("again")), (0o600, 0o700, 0o700));
}

#[test]
fn a_backup_or_restore_that_is_impossible_is_refused_in_one_sentence() {
    let mut transcript = with_store();
    write_store(&transcript.path("e"));
    transcript.run("e put other 1").run("d backup copy").run("e backup theirs").run("d backup d.tar.zst");
    let archive = fs::read(transcript.path("d.tar.zst")).expect("the archive");
    for (name, bytes) in [
        ("cut.tar.zst", &archive[..archive.len() / 2]),
        ("text.tar.zst", b"some text"),
        ("empty.tar", b""),
        ("mine.tar", b"mine"),
    ] {
        fs::write(transcript.path(name), bytes).expect("a file");
    }
    fs::create_dir(transcript.path("mine")).expect("a directory");
    fs::write(transcript.path("mine/notes"), "mine").expect("a file");
    fs::create_dir(transcript.path("open")).expect("a directory");
    fs::set_permissions(transcript.path("open"), Permissions::from_mode(0o1777)).expect("has permission");
    for line in [
        "backup",
        "backup a b",
        "backup --level",
        "backup x.tar.zst --level 23",
        "backup x.tar.zst --level one",
    ] {
        transcript.run(&format!("d {line}"));
    }
    for to in ["d", "d/inside", "d/x.tar", "mine", "mine.tar", "no/such/x.tar", "e", "x --level 3"] {
        transcript.run(&format!("d backup {to}"));
    }
    transcript.run("d backup ''").run("x restore ''").run("d repair --to ''");
    transcript.run("d backup open").run("--trust d backup open");
    transcript.run("nowhere backup x").run("copy put k v").run("d backup copy");
    for from in ["cut.tar.zst", "text.tar.zst", "empty.tar", "mine", "nowhere", "mine.tar"] {
        transcript.run(&format!("x restore {from}"));
    }
    transcript.run("x restore").run("mine restore theirs").run("mine.tar restore theirs");
    transcript
        .run("d restore theirs")
        .run_with("d", b"restore theirs\n")
        .run_with("x restore -", b"no archive");
    let segment = segment_path(&transcript.path("theirs"), 3);
    let mut bytes = fs::read(&segment).expect("the segment");
    bytes[64 + 40] ^= 1;
    fs::write(&segment, bytes).expect("the damage");
    transcript.run("x restore theirs");
    fs::write(transcript.path("theirs/MANIFEST"), "no MANIFEST").expect("the damage");
    transcript.run("x restore theirs");
    let store = open(&transcript.path("e"));
    transcript.run("x restore e");
    drop(store);
    transcript.compare("shell-backup-refusals");
    assert!(!transcript.path("x").exists() && !transcript.path("x.unfinished").exists());
    assert_eq!(fs::read(transcript.path("mine.tar")).expect("a file"), b"mine");
    assert_eq!(files(&transcript.path("mine")).len(), 1);
}

fn run(transcript: &Transcript, args: &[&str], input: Stdio) -> Output {
    transcript.command(args).stdin(input).output().expect("runs")
}

#[test]
fn a_backup_to_a_pipe_writes_only_the_archive() {
    let transcript = with_store();
    for mode in ["table", "plain", "json"] {
        let packed = run(&transcript, &["-m", mode, "d", "backup", "-"], Stdio::null());
        assert!(packed.status.success());
        assert!(
            String::from_utf8_lossy(&packed.stderr).starts_with("the archive holds the store up to record 7")
        );
        assert!(packed.stdout.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "it has the magic of zstd");
        let (file, new) = (transcript.path("piped"), format!("new-{mode}"));
        for archive in [packed.stdout.clone(), zstd::decode_all(&*packed.stdout).expect("zstd")] {
            fs::write(&file, archive).expect("a file");
            let input = fs::File::open(&file).expect("a file");
            let made = run(&transcript, &["-q", &new, "restore", "-"], input.into());
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            assert_eq!(contents(&open(&transcript.path(&new))), contents(&open(&transcript.path("d"))));
            fs::remove_dir_all(transcript.path(&new)).expect("has permission");
        }
    }
}

#[test]
fn archives_packed_by_tar_and_gzip_restore_and_other_packings_are_named() {
    let transcript = with_store();
    assert!(run(&transcript, &["d", "backup", "copy"], Stdio::null()).status.success());
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("./copy", transcript.path("copy")).expect("is read");
    let tar = tar.into_inner().expect("writes to memory");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("writes to memory");
    let gzip = gzip.finish().expect("writes to memory");
    let zstd = zstd::encode_all(&*tar, 1).expect("writes to memory");
    // The contents decide, whatever the name.
    for (name, bytes) in [("a.tar", &tar), ("a.tar.gz", &gzip), ("a.tgz", &zstd), ("a.tar.zst", &gzip)] {
        fs::write(transcript.path(name), bytes).expect("a file");
        let new = format!("new-{name}");
        let made = run(&transcript, &["-q", &new, "restore", name], Stdio::null());
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
        assert_eq!(contents(&open(&transcript.path(&new))), contents(&open(&transcript.path("d"))), "{name}");
    }
    fs::write(transcript.path("cut.tar.gz"), &gzip[..gzip.len() - 9]).expect("a file");
    let refused = run(&transcript, &["x", "restore", "cut.tar.gz"], Stdio::null());
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    for (start, packing) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh91AY", "bzip2"), (b"PK\x03\x04", "zip")] {
        fs::write(transcript.path("other"), [start, &tar].concat()).expect("a file");
        let refused = run(&transcript, &["x", "restore", "other"], Stdio::null());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            refused.status.code() == Some(2) && said.contains(&format!("compressed with {packing}")),
            "{said}"
        );
    }
    assert!(!transcript.path("x").exists());
}

#[test]
fn the_suffix_of_an_archive_is_case_insensitive() {
    let transcript = with_store();
    for name in ["A.TAR.ZST", "b.Tar", "C.TZST"] {
        assert!(run(&transcript, &["d", "backup", name], Stdio::null()).status.success(), "{name}");
        assert!(transcript.path(name).is_file(), "{name}");
        let made = run(&transcript, &[&format!("new-{name}"), "restore", name], Stdio::null());
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    }
    for name in ["x.TAR.GZ", "x.Zip"] {
        let refused = run(&transcript, &["d", "backup", name], Stdio::null());
        assert_eq!((refused.status.code(), transcript.path(name).exists()), (Some(2), false), "{name}");
    }
}

#[test]
fn an_archive_replaces_an_older_one_after_confirmation() {
    let transcript = with_store();
    let archive = || fs::read(transcript.path("a.tar.zst")).expect("the archive");
    let back_up = |yes: &[&str]| {
        run(&transcript, &[yes, &["d", "backup", "a.tar.zst"]].concat(), Stdio::null()).status.success()
    };
    assert!(back_up(&[]));
    let before = archive();
    open(&transcript.path("d")).put("more", "1").expect("a put");
    assert!(!back_up(&[]) && archive() == before, "no terminal to ask");
    assert!(back_up(&["-y"]) && archive() != before);
    assert!(!transcript.path("a.tar.zst.unfinished").exists());
}

#[test]
fn two_backups_to_one_file_exclude_each_other_and_leftovers_of_a_killed_one_do_not_block() {
    let transcript = with_store();
    let draft = transcript.path("a.tar.zst.unfinished");
    let held = fs::File::create(&draft).expect("a staged file");
    held.lock().expect("the lock is free");
    let back_up = || run(&transcript, &["d", "backup", "a.tar.zst"], Stdio::null());
    let refused = back_up();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("another backup is being written there"), "{said}");
    assert_eq!((refused.status.code(), draft.exists()), (Some(1), true));
    // As after a kill.
    drop(held);
    fs::write(&draft, vec![b'x'; 1 << 20]).expect("a staged file");
    assert!(back_up().status.success());
    assert!(run(&transcript, &["new", "restore", "a.tar.zst"], Stdio::null()).status.success());
}

#[test]
fn an_archive_is_readable_by_its_owner_only_whatever_was_at_its_staging_name() {
    let transcript = with_store();
    let draft = transcript.path("a.tar.unfinished");
    fs::write(&draft, "left").expect("a file");
    fs::set_permissions(&draft, Permissions::from_mode(0o666)).expect("has permission");
    let back_up = |name: &str| run(&transcript, &["d", "backup", name], Stdio::null());
    assert!(back_up("a.tar").status.success());
    let mode = fs::metadata(transcript.path("a.tar")).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(transcript.path("precious"), "mine").expect("a file");
    fs::hard_link(transcript.path("precious"), transcript.path("b.tar.unfinished")).expect("a second name");
    symlink("precious", transcript.path("c.tar.unfinished")).expect("is a link");
    fs::create_dir(transcript.path("d.tar.unfinished")).expect("a directory");
    for name in ["b.tar", "c.tar", "d.tar"] {
        assert!(back_up(name).status.success(), "{name}");
        assert!(
            transcript.path(&format!("{name}.unfinished")).symlink_metadata().is_ok(),
            "{name}: it is no staged file"
        );
        let mode = fs::symlink_metadata(transcript.path(name)).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let is_draft = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".logkv-");
    let mut names = fs::read_dir(transcript.path(".")).expect("can be read");
    assert!(!names.any(|entry| is_draft(&entry.expect("an entry").file_name())));
    assert_eq!(fs::read(transcript.path("precious")).expect("exists"), b"mine");
}

#[test]
fn a_restore_is_refused_under_no_create_and_a_backup_under_a_foreign_suffix() {
    let transcript = with_store();
    assert!(run(&transcript, &["d", "backup", "copy"], Stdio::null()).status.success());
    for flag in ["--read-only", "--no-create"] {
        let refused = run(&transcript, &[flag, "new", "restore", "copy"], Stdio::null());
        assert_eq!((refused.status.code(), transcript.path("new").exists()), (Some(1), false), "{flag}");
    }
    for name in ["x.tar.gz", "x.zst", "x.zip"] {
        let refused = run(&transcript, &["d", "backup", name], Stdio::null());
        assert_eq!((refused.status.code(), transcript.path(name).exists()), (Some(2), false), "{name}");
    }
}
