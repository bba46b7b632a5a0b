//! `verify` with files that are unreadable, of another kind, or full of zeros.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use logkv::fs::StoreFile;
use logkv::verify::{self, Fault, Finding, Severity, VerifyEvent, VerifyReport};
use logkv::{Error, SegmentId, repair};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::{
    binary, files, hint_path, open, program_of_system, quick, scratch, segment_path, small_store,
    unclosed_store,
};
use crate::hooked::{BadSectors, hooked};
use crate::verify::{indexed_store, verified, verified_by};

/// Verifies the store at `dir` on a disk where bytes `range` of segment 1 are unreadable.
fn verified_on_bad_disk(dir: &Path, range: Range<u64>) -> (VerifyReport, Vec<Finding>) {
    let disk = BadSectors { file: StoreFile::Segment(SegmentId(1)), range };
    verified_by(dir, &quick().file_system(hooked(disk)), &[]).expect("reads")
}

#[test]
fn unreadable_bytes_are_reported_with_their_place_and_the_rest_is_checked() {
    const PAGE: u64 = 4096;
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..100_u32 {
        store.put(format!("key{n:02}"), [7; 968]).expect("a put");
    }
    store.rotate().expect("seals");
    store.close().expect("closes");
    let (whole, findings) = verified(dir.path());
    assert_eq!((findings, whole.record_count), (vec![], 100));

    let (report, findings) = verified_on_bad_disk(dir.path(), 5 * PAGE + 100..6 * PAGE + 100);
    let reported: Vec<_> =
        findings.iter().map(|found| (found.range.clone(), found.fault.to_string())).collect();
    let unreadable = "it cannot be read: Input/output error".to_owned();
    assert!(reported.contains(&(Some(5 * PAGE..7 * PAGE), unreadable)), "{reported:?}");
    // Two pages of records of 1,008 bytes: nine whole records, and a part of one at each end.
    assert!((89..=91).contains(&report.record_count), "{report:?}");
    let others = findings.iter().filter(|found| !matches!(found.fault, Fault::Unreadable(_)));
    let others: Vec<_> = others.collect();
    assert!(others.iter().all(|found| found.fault == Fault::PartlyUnreadable), "{others:?}");
    assert_eq!(others[0].key.as_deref(), Some(&b"key20"[..]), "the header and the key are readable");
    assert_eq!(report.damage_count, findings.len() as u64);

    // The page of the header, with the four records that end in it.
    let (report, findings) = verified_on_bad_disk(dir.path(), 0..PAGE);
    assert_eq!(report.record_count, 96);
    assert!(matches!(&findings[..], [Finding { fault: Fault::Unreadable(_), .. }]), "{findings:?}");
}

#[test]
fn segments_under_swapped_names_or_of_another_store_are_reported_as_such_only() {
    let dir = indexed_store();
    let [one, two, aside] = [1, 2, 9].map(|id| segment_path(dir.path(), id));
    for (from, to) in [(&one, &aside), (&two, &one), (&aside, &two)] {
        fs::rename(from, to).expect("exists");
    }
    let found = |dir: &Path| -> Vec<_> {
        let (report, findings) = verified(dir);
        assert!(report.damage_count > 0);
        let reported = findings.into_iter().filter(|found| found.fault.severity() == Severity::Damage);
        reported.map(|found| (found.file, found.fault)).collect()
    };
    let file = |id| StoreFile::Segment(SegmentId(id));
    let swapped = [(1, 2), (2, 1)].map(|(name, id)| (file(name), Fault::AnotherSegment(SegmentId(id))));
    assert_eq!(found(dir.path()), swapped);
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    let without = found(dir.path());
    assert!(matches!(without[0].1, Fault::Manifest(_)), "{without:?}");
    assert_eq!(without[1..].iter().filter(|found| swapped.contains(found)).count(), 2, "{without:?}");

    let (dir, other) = (indexed_store(), small_store());
    fs::copy(segment_path(other.path(), 2), segment_path(dir.path(), 2)).expect("a copy");
    assert_eq!(found(dir.path()), [(file(2), Fault::AnotherStore)]);
}

/// Creates something at a path.
type Plant = fn(&Path);

#[test]
fn a_store_file_that_is_no_regular_file_is_reported_in_words() {
    for (name, is_needed) in [
        ("LOCK", true),
        ("logkv.toml", true),
        ("KEYDIR", false),
        ("000001.hint", false),
        ("000009.hint", false),
    ] {
        let dir = indexed_store();
        let at = dir.path().join(name);
        let _ = fs::remove_file(&at);
        let kinds: [(&str, Plant); 4] = [
            ("a directory", |at| fs::create_dir(at).expect("a directory")),
            ("a symbolic link", |at| symlink("MANIFEST", at).expect("is a link")),
            ("a socket", |at| drop(UnixListener::bind(at).expect("a socket"))),
            ("a FIFO", |at| mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO")),
        ];
        for (kind, plant) in kinds {
            plant(&at);
            let (report, findings) = verified(dir.path());
            let reported = format!("it is {kind}");
            let fault = if is_needed { Fault::InTheWay(reported) } else { Fault::NotAFile(reported) };
            let finding = Finding {
                file: StoreFile::parse(name.as_ref()).expect("a name"),
                range: None,
                key: None,
                fault,
            };
            assert_eq!(findings, [finding], "{name}");
            assert_eq!((report.is_damaged(), report.is_intact()), (false, !is_needed), "{name}");
            if kind == "a directory" { fs::remove_dir(&at) } else { fs::remove_file(&at) }
                .expect("has permission");
        }
    }
}

#[test]
fn verify_and_repair_can_be_cancelled_in_a_long_range_without_records() {
    const LEN: usize = 4 << 20;
    let dir = unclosed_store();
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes.extend(std::iter::repeat_n(1, LEN));
    fs::write(&path, bytes).expect("damages the end");
    let mut look_count = 0;
    let whole = verify::store(dir.path(), &quick(), &[], &mut |event| {
        look_count += usize::from(matches!(event, VerifyEvent::Progress { .. }));
        ControlFlow::Continue(())
    });
    whole.expect("reads");
    assert!(look_count >= LEN >> 21, "it asks at least every two MiB: {look_count}");
    let broken_off = verify::store(dir.path(), &quick(), &[], &mut |event| match event {
        VerifyEvent::Progress { .. } => ControlFlow::Break(()),
        VerifyEvent::Found(_) => ControlFlow::Continue(()),
    });
    assert!(matches!(broken_off, Err(Error::Cancelled)), "{broken_off:?}");
    let mut look_count = 0;
    let to = scratch();
    let repaired = repair::copy(dir.path(), to.path(), &quick(), &mut |_| {
        look_count += 1;
        if look_count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(repaired, Err(Error::Cancelled)), "{repaired:?}");
    assert_eq!(files(to.path()), []);
}

#[test]
fn a_hint_too_large_for_memory_is_reported_and_the_verification_continues() {
    const HUGE: u64 = 3 << 30;
    let dir = indexed_store();
    for path in [segment_path(dir.path(), 1), hint_path(dir.path(), 1)] {
        fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(HUGE)).expect("a hole");
    }
    let mut command = program_of_system("sh", dir.path());
    let limited = r#"ulimit -v 1000000; exec "$0" -m plain . verify"#;
    let output = command.args(["-c", limited]).arg(binary()).output().expect("a shell");
    let reported = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        reported.contains("refused\t000001.hint\t0\t0\t\tit was not looked at: out of memory"),
        "{reported}"
    );
}
