//! `logkv::verify` reports all damage, and nothing else.

use std::fs;
use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logkv::fs::StoreFile;
use logkv::verify::{self, Fault, Finding, Severity, VerifyEvent, VerifyReport};
use logkv::{Compact, CompactionPolicy, Error, Options, SegmentId, Store, Sync};
use tempfile::TempDir;

use crate::any_bytes::properties::seal;
use crate::common::{
    copy_of, files, hint_path, killed, open, quick, rewrite_manifest, scratch, segment_path, small_store,
    unclosed_store, wait_until,
};
use crate::hooked::{Call, Hook, Hooked, SyncGate};
use crate::recount::Recounted;

/// Verifies the store at `dir`.
pub(crate) fn verified(dir: &Path) -> (VerifyReport, Vec<Finding>) {
    verified_some(dir, &[]).expect("reads")
}

fn verified_some(dir: &Path, segments: &[SegmentId]) -> logkv::Result<(VerifyReport, Vec<Finding>)> {
    verified_by(dir, &quick(), segments)
}

pub(crate) fn verified_by(
    dir: &Path,
    options: &Options,
    segments: &[SegmentId],
) -> logkv::Result<(VerifyReport, Vec<Finding>)> {
    let mut findings = Vec::new();
    let report = verify::store(dir, options, segments, &mut |event| {
        if let VerifyEvent::Found(finding) = event {
            findings.push(finding.clone());
        }
        ControlFlow::Continue(())
    })?;
    Ok((report, findings))
}

/// A small store with hints and KEYDIR.
pub(crate) fn indexed_store() -> TempDir {
    let dir = small_store();
    let store = Store::open_with(dir.path(), quick().checkpoint_records(1)).expect("opens");
    store.close().expect("closes");
    assert!(hint_path(dir.path(), 1).exists() && dir.path().join("KEYDIR").exists());
    dir
}

/// A copy of the store with the file `name` changed.
fn with(dir: &TempDir, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let copy = copy_of(dir.path());
    let path = copy.path().join(name);
    let mut bytes = fs::read(&path).expect("exists");
    change(&mut bytes);
    fs::write(&path, bytes).expect("can be written");
    copy
}

#[test]
fn an_intact_store_has_no_finding_and_every_record_hint_and_key_is_checked() {
    let dir = indexed_store();
    let before = files(dir.path());
    let (report, findings) = verified(dir.path());
    assert_eq!(findings, []);
    let counts = (report.segment_count, report.record_count, report.hint_count, report.keydir_keys);
    assert_eq!((counts, report.is_intact()), ((3, 6, 2, Some(3)), true));
    assert_eq!(files(dir.path()), before, "the verification wrote to a file");
    for fixture in ["v1", "v1-compressed"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
        let (report, findings) = verified(copy_of(&dir).path());
        assert!(report.is_intact() && report.record_count > 0, "{fixture}: {findings:?}");
    }
}

#[test]
fn a_changed_byte_of_any_file_is_found_at_its_place() {
    let dir = indexed_store();
    for (name, bytes) in files(dir.path()).into_iter().filter(|(name, _)| name != "LOCK") {
        // KEYDIR has a thousand equal parts.
        let step = if name == "KEYDIR" { 101 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mask = [0x01, 0x80, 0xff][at % 3];
            let copy = with(&dir, &name, |bytes| bytes[at] ^= mask);
            let (report, findings) = verified(copy.path());
            let what = format!("{name} byte {at} mask {mask:#04x}: {findings:?}");
            let file = StoreFile::parse(name.as_ref()).expect("a store file name");
            assert!(!report.is_intact(), "{what}");
            let found = findings.iter().find(|finding| finding.file == file).expect(&what);
            if let (StoreFile::Segment(_), Some(range)) = (file, &found.range) {
                assert!(range.contains(&(at as u64)), "{what}");
            }
            let is_derived = matches!(file, StoreFile::Hint(_) | StoreFile::Keydir);
            assert_eq!(is_derived, report.damage_count == 0, "{what}");
        }
    }
}

#[test]
fn a_file_truncated_anywhere_or_extended_is_found() {
    let dir = indexed_store();
    for (name, bytes) in files(dir.path()).into_iter().filter(|(name, _)| name != "LOCK") {
        let step = if bytes.len() > 4096 { 97 } else { 1 };
        for len in (0..bytes.len()).step_by(step) {
            let copy = with(&dir, &name, |bytes| bytes.truncate(len));
            let (report, findings) = verified(copy.path());
            // A hint shorter than its header may still be in the process of being written.
            let is_unfinished = len == 0 && name.ends_with(".hint");
            assert_eq!(report.is_intact(), is_unfinished, "{name} cut to {len}: {findings:?}");
            assert_ne!(findings, [], "{name} cut to {len}");
        }
        let longer = with(&dir, &name, |bytes| bytes.extend([0; 8]));
        assert_ne!(verified(longer.path()).1, [], "{name} is longer");
    }
}

#[test]
fn one_wrong_number_that_breaks_many_parts_of_keydir_is_one_finding() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().checkpoint_records(1)).expect("opens");
    for n in 0..20 {
        store.put(format!("key{n}"), "").expect("a put");
    }
    store.rotate().expect("rotates");
    store.close().expect("closes");
    // The first page of segment 1.
    let copy = with(&dir, "KEYDIR", |bytes| {
        bytes[80] = 9;
        let segment_count = u32::from_le_bytes(bytes[56..60].try_into().expect("four bytes")) as usize;
        let head_end = 64 + 80 * segment_count + 24 * 1024;
        let crc = u64::from(crc32c::crc32c(&bytes[..head_end]));
        bytes[head_end..head_end + 8].copy_from_slice(&crc.to_le_bytes());
    });
    let (report, findings) = verified(copy.path());
    assert_eq!((report.derived_count, report.damage_count), (1, 0), "{findings:?}");
    assert!(matches!(findings[0].fault, Fault::KeydirEntries { count: 18..=20, .. }), "{findings:?}");
}

#[test]
fn a_wrong_hint_or_keydir_with_a_correct_checksum_is_found() {
    let dir = indexed_store();
    let seal = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 8;
        let crc = u64::from(crc32c::crc32c(&bytes[..at]));
        bytes[at..].copy_from_slice(&crc.to_le_bytes());
    };
    let lie = |at: usize, field: &[u8]| {
        let copy = with(&dir, "000001.hint", |bytes| {
            bytes[at..at + field.len()].copy_from_slice(field);
            seal(bytes);
        });
        let (report, findings) = verified(copy.path());
        assert_eq!((report.derived_count, report.damage_count), (1, 0), "{findings:?}");
        findings[0].fault.clone()
    };
    assert_eq!(lie(96 + 16 + 8, &[0xee]), Fault::HintRow(1));
    assert_eq!(lie(60, &[9]), Fault::Count { what: "records", said: 9, counted: 3 });
    assert_eq!(lie(80, &[7]), Fault::Count { what: "bytes of those values themselves", said: 7, counted: 0 });
    assert_eq!(lie(88, &[7]), Fault::Count { what: "bytes of compressed values", said: 7, counted: 0 });
    assert_eq!(lie(48, &[2]), Fault::Count { what: "last number", said: 2, counted: 3 });
    // The second half of the filter, with as many zeros as it has fingerprints.
    let (filter_at, end) = (96 + 3 * 16, fs::read(hint_path(dir.path(), 1)).expect("a hint").len() - 8);
    let zeros = vec![0; (end - filter_at) / 2];
    assert!(matches!(lie(end - zeros.len(), &zeros), Fault::HintFilter(_)));

    // Moves the first slot of the first nonempty part by eight bytes.
    let copy = with(&dir, "KEYDIR", |bytes| {
        let number = |bytes: &[u8], at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize
        };
        let rows_at = 64 + 3 * 80;
        let row_at = (0..1024)
            .map(|index| rows_at + 24 * index)
            .find(|&at| number(bytes, at + 16) as u32 > 0)
            .expect("a part with a slot");
        let (slots_at, len) = (number(bytes, row_at), (number(bytes, row_at + 8) as u32 as usize) * 8);
        let slot_at =
            (slots_at..slots_at + len).step_by(8).find(|&at| number(bytes, at) != 0).expect("a slot");
        bytes[slot_at] ^= 1;
        let crc = crc32c::crc32c(&bytes[slots_at..slots_at + len]);
        bytes[row_at + 20..row_at + 24].copy_from_slice(&crc.to_le_bytes());
        let head_end = rows_at + 24 * 1024;
        let crc = u64::from(crc32c::crc32c(&bytes[..head_end]));
        bytes[head_end..head_end + 8].copy_from_slice(&crc.to_le_bytes());
    });
    let (report, findings) = verified(copy.path());
    assert!(matches!(findings[..], [Finding { fault: Fault::KeydirEntries { .. }, .. }]), "{findings:?}");
    assert!(!report.is_intact());
}

#[test]
fn a_keydir_with_a_wrong_count_and_a_correct_checksum_is_found() {
    let dir = indexed_store();
    let counts = ["records", "live records", "live bytes", "tombstones", "bytes of tombstones"];
    for (index, name) in counts.into_iter().enumerate() {
        let copy = with(&dir, "KEYDIR", |bytes| {
            // In the row of the first segment, after its id, length and page.
            bytes[64 + 24 + index * 8] += 1;
            let head_end = 64 + 3 * 80 + 24 * 1024;
            let crc = u64::from(crc32c::crc32c(&bytes[..head_end]));
            bytes[head_end..head_end + 8].copy_from_slice(&crc.to_le_bytes());
        });
        let (report, findings) = verified(copy.path());
        let [Finding { fault: Fault::Count { what, said, counted }, .. }] = &findings[..] else {
            panic!("{name}: {findings:?}")
        };
        assert_eq!((*what, *said), (name, counted + 1));
        assert!(!report.is_intact());
    }
}

#[test]
fn older_and_foreign_files_are_reported_as_notes_only() {
    let dir = indexed_store();
    fs::copy(hint_path(dir.path(), 1), hint_path(dir.path(), 2)).expect("a copy");
    fs::copy(segment_path(dir.path(), 1), segment_path(dir.path(), 9)).expect("a copy");
    fs::write(dir.path().join("MANIFEST.new"), "half").expect("a file");
    let other = small_store();
    let store = Store::open_with(other.path(), quick().checkpoint_records(1)).expect("opens");
    store.close().expect("closes");
    let (report, findings) = verified(dir.path());
    let found: Vec<_> = findings.into_iter().map(|finding| (finding.file, finding.fault)).collect();
    assert_eq!(
        found,
        [
            (StoreFile::Segment(SegmentId(9)), Fault::Orphan),
            (StoreFile::ManifestNew, Fault::Leftover),
            (StoreFile::Hint(SegmentId(2)), Fault::Stale),
        ]
    );
    assert!(report.is_intact());
}

#[test]
fn contradictions_between_manifest_and_segments_are_found() {
    let dir = small_store();
    let faults = |change: &dyn Fn(&str) -> String| {
        let copy = copy_of(dir.path());
        rewrite_manifest(copy.path(), change);
        let (report, findings) = verified(copy.path());
        assert!(report.damage_count > 0);
        findings.into_iter().map(|finding| finding.fault).collect::<Vec<_>>()
    };
    let taken = faults(&|line| match line.strip_prefix("next_seq ") {
        Some(_) => "next_seq 6".to_owned(),
        None => line.to_owned(),
    });
    assert!(matches!(taken[..], [Fault::NumberTaken { .. }]), "{taken:?}");
    let salted = faults(&|line| {
        let at = line.find("salt ").filter(|_| line.starts_with("segment 000002"));
        at.map_or_else(|| line.to_owned(), |at| format!("{}salt 00000000{}", &line[..at], &line[at + 13..]))
    });
    assert!(matches!(salted[..], [Fault::Disagree { what: "salt", .. }, Fault::Record(_)]), "{salted:?}");
    let overlapping = faults(&|line| line.replace("000002 base_seq 4", "000002 base_seq 3"));
    assert!(
        overlapping.iter().any(|fault| matches!(fault, Fault::Overlap { .. }))
            && overlapping.iter().any(|fault| matches!(fault, Fault::Disagree { what: "base_seq", .. })),
        "{overlapping:?}"
    );
    fs::remove_file(segment_path(dir.path(), 1)).expect("exists");
    assert_eq!(verified(dir.path()).1[0].fault, Fault::Missing);
}

#[test]
fn a_torn_tail_is_a_note_and_damage_before_it_is_damage() {
    let dir = unclosed_store();
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes.extend([1; 13]);
    fs::write(&path, &bytes).expect("tears the end");
    let (report, findings) = verified(dir.path());
    let torn = Finding {
        file: StoreFile::Segment(SegmentId(1)),
        range: Some(bytes.len() as u64 - 13..bytes.len() as u64),
        key: None,
        fault: Fault::Torn,
    };
    assert_eq!((findings, report.is_intact()), (vec![torn], true));
    bytes[70] ^= 1;
    fs::write(&path, &bytes).expect("the damage");
    let (_, findings) = verified(dir.path());
    assert!(
        findings.iter().any(|finding| matches!(finding.fault, Fault::DurableDamage { .. })),
        "{findings:?}"
    );
}

#[test]
fn records_between_damage_and_the_record_that_proves_it_belong_to_the_log() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    for n in 0..3 {
        store.put(format!("key {n}"), "value").expect("a put");
    }
    store.sync().expect("syncs");
    store.put("the proof", "value").expect("a put");
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes.extend([1; 13]);
    bytes[64 + 40] ^= 1;
    fs::write(&path, &bytes).expect("the damage");
    let (_, findings) = verified(dir.path());
    let faults: Vec<_> = findings.iter().map(|finding| &finding.fault).collect();
    assert!(matches!(faults[..], [Fault::DurableDamage { .. }, Fault::Torn, Fault::Record(_)]), "{faults:?}");
}

#[test]
fn segments_can_be_verified_by_name_and_a_verification_can_be_cancelled() {
    let dir = indexed_store();
    let (report, findings) = verified_some(dir.path(), &[SegmentId(2)]).expect("exists");
    assert_eq!((report.segment_count, report.hint_count, report.keydir_keys), (1, 1, None));
    assert_eq!(findings, []);
    let missing = verified_some(dir.path(), &[SegmentId(7)]);
    assert!(matches!(missing, Err(Error::NoSuchSegment { segment: SegmentId(7) })));
    let nothing = verified_some(scratch().path(), &[]);
    assert!(matches!(nothing, Err(Error::Missing { .. })), "{nothing:?}");
    let damaged = with(&dir, "000001.seg", |bytes| bytes[70] ^= 1);
    let report = verify::store(damaged.path(), &quick(), &[], &mut |_| ControlFlow::Break(()));
    assert!(matches!(report, Err(Error::Cancelled)), "{report:?}");
}

/// Sets the flag when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_verification_beside_a_compacting_writer_finds_nothing_wrong() {
    let dir = scratch();
    let policy = CompactionPolicy { dead_percent: 20, ..CompactionPolicy::default() };
    let options = Options::new().sync(Sync::Never).segment_len_max(4096).checkpoint_records(10);
    let store = Store::open_with(dir.path(), options.compaction(policy)).expect("opens");
    store.put("first", "1").expect("a put");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0_u64..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                store.put((n % 50).to_be_bytes(), [7; 60]).expect("a put");
            }
        });
        // Ends the writer after a failed assertion as well, since the scope waits for it.
        let _ending = Ending(&is_over);
        for _ in 0..100 {
            let (report, findings) = verified(dir.path());
            let wrong: Vec<_> =
                findings.iter().filter(|found| found.fault.severity() > Severity::Note).collect();
            assert!(wrong.is_empty() && report.is_intact(), "{wrong:?}");
        }
    });
    store.close().expect("closes");
    open(dir.path()).close().expect("closes");
    assert!(verified(dir.path()).0.is_intact());
}

#[test]
fn a_compaction_during_a_verification_is_no_finding() {
    let dir = indexed_store();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    // Long enough for a progress report after the segments that KEYDIR covers.
    store.put("long", vec![7; 2 << 20]).expect("a put");
    let mut is_compacted = false;
    let report = verify::store(dir.path(), &quick(), &[], &mut |event| {
        if let VerifyEvent::Progress { .. } = event
            && !mem::replace(&mut is_compacted, true)
        {
            store.compact_recounted(&Compact::All).expect("compacts");
            assert!(!segment_path(dir.path(), 1).exists(), "KEYDIR covers segment 1");
        }
        ControlFlow::Continue(())
    });
    assert!(is_compacted && report.expect("reads").is_intact());
}

#[test]
fn a_keydir_with_a_segment_outside_the_address_space_is_damaged_and_allocates_no_memory_for_it() {
    /// In the first segment row, after the header.
    const FIRST_PAGE_AT: usize = 64 + 16;
    let hurt = with(&indexed_store(), "KEYDIR", |bytes| {
        bytes[FIRST_PAGE_AT..FIRST_PAGE_AT + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        seal::keydir(bytes);
    });
    let (_, findings) = verified(hurt.path());
    assert!(matches!(findings[..], [Finding { fault: Fault::DerivedDamaged, .. }]), "{findings:?}");
}

/// Blocks every write into a hint after the first while it is shut.
#[derive(Debug, Default)]
struct HintGate(SyncGate, AtomicBool);

impl Hook for HintGate {
    fn before(&self, call: Call) -> io::Result<()> {
        let is_later = matches!(call, Call::Write(StoreFile::Hint(_))) && self.1.swap(true, Ordering::SeqCst);
        if is_later { self.0.wait_for_opening() } else { Ok(()) }
    }
}

#[test]
fn a_hint_that_is_being_written_is_only_a_note() {
    let (dir, gate) = (scratch(), Arc::new(HintGate::default()));
    let options = quick().background(true).file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("a", "1").expect("a put");
    gate.0.set_shut(true);
    store.rotate().expect("rotates");
    wait_until(|| gate.0.arrivals() > 0);
    let (report, findings) = verified(dir.path());
    gate.0.set_shut(false);
    let faults: Vec<_> = findings.into_iter().map(|found| found.fault).collect();
    assert!(report.is_intact() && faults == [Fault::Unfinished], "{faults:?}");
}
