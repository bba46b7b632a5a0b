//! Numbers that no store reaches by counting, each under a valid checksum: in MANIFEST, segments,
//! hints and KEYDIR.
//!
//! With any such number: a write is acknowledged only if the store opens for writing again;
//! `verify` reports a number that prevents writing, and `repair` makes a writable store. A derived
//! file never changes the numbering.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use logkv::fs::StoreFile;
use logkv::layout::{Field, RECORD_FIELDS, SEGMENT_FIELDS};
use logkv::verify::{Fault, Severity};
use logkv::{Compact, Error, Options, ReadWith, SEGMENT_LEN_MAX_BOUNDS, Store};
use tempfile::TempDir;

use crate::any_bytes::properties::memory::Image;
use crate::any_bytes::properties::seal;
use crate::common::{
    contents, copy_of, files, hint_path, killed, quick, remove_derived, rewrite_manifest,
    seal_segment_header, segment_path, small_store, value,
};
use crate::recount::Recounted;
use crate::repair::repaired;
use crate::verify::{indexed_store, verified};

/// The first number of a record or segment that is rejected, and the greatest number accepted in
/// other fields.
const END: u64 = 1 << 61;
const BELIEVED_MAX: u64 = 1 << 62;
/// The greatest number that a store can reach by counting.
const COUNTED_MAX: u64 = 1 << 60;
/// The greatest number that a repair keeps.
const KEPT_MAX: u64 = 1 << 59;
const SEGMENT_LEN_MAX: u64 = SEGMENT_LEN_MAX_BOUNDS.1;
/// The number of the next record in the stores of these tests.
const NEXT_SEQ: u64 = 7;

/// Values for a field of `len` bytes: each limit, its neighbours, and the maximum.
fn numbers(len: usize) -> BTreeSet<u64> {
    let limits = [KEPT_MAX, COUNTED_MAX, END, BELIEVED_MAX, SEGMENT_LEN_MAX];
    let around = limits.into_iter().flat_map(|limit| [limit - 1, limit, limit + 1]);
    let all = around.chain([0, 1_000_000, u64::MAX]);
    all.map(|number| if len < 8 { number & ((1 << (8 * len)) - 1) } else { number }).collect()
}

/// The end of a writer.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Killed,
}

/// Opens a copy of the store at `dir` for writing several times, and puts a key each time. Returns
/// the copy, and the error that stopped the writes.
fn written_to(dir: &Path, end: End, what: &str) -> (TempDir, Option<Error>) {
    let mut dir = copy_of(dir);
    for round in 0..3 {
        let what = format!("{what}, {end:?}, round {round}");
        let store = match Store::open_with(dir.path(), quick()) {
            Ok(store) => store,
            Err(error) => {
                assert_eq!(round, 0, "{what}: after an acknowledged write: {}", error.sentence());
                return (dir, Some(error));
            }
        };
        for key in (0..round).map(|earlier| format!("new {earlier}")) {
            assert_eq!(value(&store, &key).as_deref(), Some("value"), "{what}: {key}");
        }
        if let Err(error) = store.put(format!("new {round}"), "value") {
            assert!(matches!(error, Error::NumbersSpent { .. }), "{what}: {}", error.sentence());
            contents(&store);
            store.close().unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
            let reopened = Store::open_with(dir.path(), quick());
            drop(reopened.unwrap_or_else(|error| panic!("{what}: {}", error.sentence())));
            return (dir, Some(error));
        }
        if round == 1 {
            store.rotate().unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
        }
        dir = match end {
            End::Closed => {
                store.close().unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
                dir
            }
            End::Killed => killed(store, dir.path()),
        };
    }
    (dir, None)
}

/// Checks the rules above for any store.
fn check(dir: &Path, what: &str) {
    for end in [End::Closed, End::Killed] {
        let (dir, refused) = written_to(dir, end, what);
        let Some(error) = refused else { continue };
        let (report, _) = verified(dir.path());
        assert!(!report.is_intact(), "{what}, {end:?}: {}, but verify reports nothing", error.sentence());
    }
    let (repaired, _) = repaired(dir);
    let (_, refused) = written_to(repaired.path(), End::Killed, &format!("{what}, repaired"));
    assert_eq!(refused.map(|error| error.sentence()), None, "{what}, repaired");
}

/// The numbers in MANIFEST: the start of the line, the position of the word, and the text before
/// and after the number.
const OF_MANIFEST: &[(&str, usize, &str, &str)] = &[
    ("generation", 1, "", ""),
    ("next_segment", 1, "", ""),
    ("next_seq", 1, "", ""),
    ("history", 2, "", ""),
    ("history", 4, "", ""),
    ("history", 6, "", ""),
    ("given_up", 1, "", ""),
    ("segment 000001", 1, "", ""),
    ("segment 000001", 3, "", ""),
    ("segment 000001", 7, "", "+32"),
    ("segment 000001", 7, "64+", ""),
    ("segment 000001", 9, "", ""),
    ("segment 000003", 3, "", ""),
    ("segment 000003", 9, "", ""),
];

#[test]
fn whatever_the_numbers_in_manifest_no_write_is_acknowledged_that_blocks_the_next_open() {
    let dir = small_store();
    rewrite_manifest(dir.path(), |line| match line.starts_with("next_seq") {
        true => format!("{line}\nhistory dropped 0 whole_from 2 at 3\ngiven_up 1"),
        false => line.to_owned(),
    });
    check(dir.path(), "as it was");
    for (line, word, before, behind) in OF_MANIFEST {
        for number in numbers(8) {
            let copy = copy_of(dir.path());
            rewrite_manifest(copy.path(), |old| {
                let mut words: Vec<String> = old.split(' ').map(str::to_owned).collect();
                if old.starts_with(line) {
                    words[*word] = format!("{before}{number}{behind}");
                }
                words.join(" ")
            });
            check(copy.path(), &format!("MANIFEST, {line}, word {word}, {number}"));
        }
    }
}

#[test]
fn at_the_last_number_a_write_is_refused_and_changes_nothing_and_the_error_names_manifest() {
    for (counter, wants_segment) in [("next_seq", false), ("next_segment", true)] {
        let dir = small_store();
        rewrite_manifest(dir.path(), |line| match line.split(' ').next() == Some(counter) {
            true => format!("{counter} {END}"),
            false => line.to_owned(),
        });
        let store = Store::open_with(dir.path(), quick()).expect("opens");
        if wants_segment {
            // The active segment still accepts writes. Only the next segment has no id left.
            store.put("last", "1").expect("a put");
            store.rotate().expect("rotates");
        }
        let before = files(dir.path());
        let error = store.put("more", "1").expect_err("no number is left");
        let sentence = format!(
            "nothing was written: {counter} in MANIFEST is {END}, and no number is left after it; \
             `logkv repair` makes a store that continues from its records' numbers"
        );
        assert_eq!(error.sentence(), sentence);
        assert!(files(dir.path()) == before, "{counter}: the refused write changed files");
        store.close().expect("closes");
        let (report, findings) = verified(dir.path());
        let fault = Fault::NumberTooLarge { what: counter, number: END };
        let found: Vec<_> = findings.iter().map(|found| (found.file, &found.fault)).collect();
        assert_eq!(found, [(StoreFile::Manifest, &fault)]);
        assert!(report.is_damaged());
    }
}

#[test]
fn a_repair_keeps_a_record_with_an_unreachable_number_under_a_new_number() {
    let dir = small_store();
    let last = |image: &Image| *starts(image, 3).last().expect("a record");
    edit(dir.path(), |image| {
        let at = last(image);
        set_record_field(image, 3, at, "seq", END - 1);
    });
    let (to, report) = repaired(dir.path());
    assert_eq!(
        (report.renumbered_count, report.salvaged.len(), report.given_up.len()),
        (1, 1, 0),
        "{report:?}"
    );
    let store = Store::open_with(to.path(), quick()).expect("opens");
    assert_eq!(value(&store, "four").as_deref(), Some("4444"));
    let commit = store.put("more", "1").expect("a put");
    assert!((NEXT_SEQ..KEPT_MAX).contains(&commit.last.0), "{commit:?}");
}

#[test]
fn a_file_named_like_a_segment_with_an_unreachable_id_blocks_no_writer() {
    for id in [4, COUNTED_MAX - 1, COUNTED_MAX, END - 1, END, u64::MAX] {
        let dir = small_store();
        let stranger = segment_path(dir.path(), id);
        fs::write(&stranger, "a stranger's").expect("a file");
        let (dir, refused) = written_to(dir.path(), End::Closed, "a stranger");
        assert_eq!(refused.map(|error| error.sentence()), None, "{id}");
        assert!(verified(dir.path()).0.is_intact(), "{id}");
        assert_eq!(fs::read(segment_path(dir.path(), id)).expect("exists"), b"a stranger's", "{id}");
    }
}

fn image(dir: &Path) -> Image {
    let known = |(name, bytes): (String, Vec<u8>)| Some((StoreFile::parse(name.as_ref())?, bytes));
    files(dir).into_iter().filter_map(known).collect()
}

/// Changes the files of the store at `dir`, and corrects the checksums of the records.
fn edit(dir: &Path, change: impl FnOnce(&mut Image)) {
    let mut image = image(dir);
    change(&mut image);
    seal::all_records(&mut image);
    for (name, bytes) in image {
        fs::write(dir.join(name.to_string()), bytes).expect("can be written");
    }
}

fn segment(image: &mut Image, id: u64) -> &mut Vec<u8> {
    let is_it = |(name, _): &&mut (StoreFile, Vec<u8>)| *name == StoreFile::Segment(logkv::SegmentId(id));
    &mut image.iter_mut().find(is_it).expect("the segment").1
}

fn starts(image: &Image, id: u64) -> Vec<usize> {
    seal::record_starts(segment(&mut image.clone(), id))
}

fn record_field(name: &str) -> &'static Field {
    RECORD_FIELDS.iter().find(|field| field.name == name).expect("the field exists")
}

fn set_record_field(image: &mut Image, id: u64, at: usize, name: &str, number: u64) {
    let field = record_field(name);
    let place = at + field.at..at + field.at + field.len;
    segment(image, id)[place].copy_from_slice(&number.to_le_bytes()[..field.len]);
}

#[test]
fn a_store_with_any_number_in_a_record_can_be_written_or_verify_gives_the_reason() {
    let dir = small_store();
    for id in [1, 3] {
        for field in ["seq", "time_ms", "lag"] {
            let len = record_field(field).len;
            for number in numbers(len) {
                let copy = copy_of(dir.path());
                edit(copy.path(), |image| {
                    let at = starts(image, id)[0];
                    set_record_field(image, id, at, field, number);
                });
                check(copy.path(), &format!("segment {id}, {field} of its first record, {number}"));
            }
        }
    }
}

#[test]
fn a_store_with_any_number_in_a_segment_header_can_be_written_or_verify_gives_the_reason() {
    let dir = small_store();
    for name in ["header_len", "record_header_len", "segment", "base_seq", "created_ms", "salt"] {
        let field = SEGMENT_FIELDS.iter().find(|field| field.name == name).expect("the field exists");
        for number in numbers(field.len) {
            let copy = copy_of(dir.path());
            let path = segment_path(copy.path(), 3);
            let mut bytes = fs::read(&path).expect("the segment");
            bytes[field.at..field.at + field.len].copy_from_slice(&number.to_le_bytes()[..field.len]);
            seal_segment_header(&mut bytes[..64]);
            fs::write(&path, bytes).expect("the segment");
            let what = format!("segment 3, {name}, {number}");
            let (dir, refused) = written_to(copy.path(), End::Closed, &what);
            assert!(refused.is_none() || !verified(dir.path()).0.is_intact(), "{what}: {refused:?}");
        }
    }
}

/// The offset and length of each number in the header of KEYDIR. `engine/format/keydir_file` has
/// the layout.
const OF_KEYDIR: &[(&str, usize, usize)] = &[
    ("covered_seq", 40, 8),
    ("segment_count", 56, 4),
    ("id", 64, 8),
    ("len", 72, 8),
    ("first_page", 80, 4),
    ("expiry", 84, 4),
    ("record_count", 88, 8),
    ("live_count", 96, 8),
    ("live_len", 104, 8),
    ("tombstone_count", 112, 8),
    ("tombstone_len", 120, 8),
    ("raw_len", 128, 8),
    ("stored_len", 136, 8),
    ("len of the last segment", 232, 8),
    ("first_page of the last segment", 240, 4),
];

/// The numbers in the header of a hint.
const OF_HINT: &[(&str, usize, usize)] = &[
    ("segment", 32, 8),
    ("segment_len", 40, 8),
    ("last_seq", 48, 8),
    ("row_count", 56, 4),
    ("record_count", 60, 4),
    ("filter_len", 64, 4),
    ("raw_len", 80, 8),
    ("stored_len", 88, 8),
];

/// Checks a store with an arbitrary number in a derived file, under a correct checksum: all keys
/// are there, the next write gets the next number, and the statistics stay within the files.
fn check_derived(dir: &Path, what: &str) {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = copy_of(dir);
        let options = || -> Options { quick().read_with(read_with).checkpoint_records(1) };
        let mut next = NEXT_SEQ;
        for _ in 0..2 {
            let store = Store::open_with(dir.path(), options());
            let store = store.unwrap_or_else(|error| panic!("{what}: {}", error.sentence()));
            let commit = store.put("four", "4").expect("a put");
            assert_eq!(commit.last.0, next, "{what}: the numbering changed");
            store.delete("one").expect("a delete");
            next = store.put("one", "1").expect("a put").last.0 + 1;
            let stats = store.stats().expect("stats");
            assert!(stats.live_len <= stats.disk_len, "{what}: {stats:?}");
            store.close().expect("closes");
        }
    }
}

#[test]
fn whatever_the_numbers_in_keydir_the_numbering_does_not_change() {
    let dir = indexed_store();
    for &(field, at, len) in OF_KEYDIR {
        for number in numbers(len) {
            let copy = copy_of(dir.path());
            let path = copy.path().join("KEYDIR");
            let mut bytes = fs::read(&path).expect("KEYDIR");
            bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
            seal::keydir(&mut bytes);
            fs::write(&path, bytes).expect("KEYDIR");
            check_derived(copy.path(), &format!("KEYDIR, {field}, {number}"));
        }
    }
}

#[test]
fn whatever_the_numbers_in_a_hint_the_numbering_does_not_change() {
    let dir = indexed_store();
    fs::remove_file(dir.path().join("KEYDIR")).expect("exists");
    for &(field, at, len) in OF_HINT {
        for number in numbers(len) {
            let copy = copy_of(dir.path());
            let path = hint_path(copy.path(), 2);
            let mut bytes = fs::read(&path).expect("a hint");
            bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
            seal::hint(&mut bytes);
            fs::write(&path, bytes).expect("the hint");
            check_derived(copy.path(), &format!("the hint of segment 2, {field}, {number}"));
        }
    }
}

#[test]
fn a_keydir_ahead_of_the_log_is_ignored_and_verify_reports_it() {
    let dir = indexed_store();
    let whole = contents(&Store::open_with(dir.path(), quick().read_only(true)).expect("opens"));
    for number in [NEXT_SEQ, 1_000_000, END - 1] {
        let copy = copy_of(dir.path());
        let path = copy.path().join("KEYDIR");
        let mut bytes = fs::read(&path).expect("KEYDIR");
        bytes[40..48].copy_from_slice(&number.to_le_bytes());
        seal::keydir(&mut bytes);
        fs::write(&path, bytes).expect("KEYDIR");
        let (report, findings) = verified(copy.path());
        let [found] = &findings[..] else { panic!("{number}: {findings:?}") };
        let said = logkv::Seqno(number);
        assert_eq!((found.file, &found.fault), (StoreFile::Keydir, &Fault::KeydirAhead { said }));
        assert_eq!((found.fault.severity(), report.derived_count), (Severity::Derived, 1));
        for read_only in [true, false] {
            let options = quick().read_only(read_only).checkpoint_records(1);
            let store = Store::open_with(copy.path(), options).expect("opens");
            assert_eq!(store.open_report().record_count, 6, "{number}: the open read the log");
            assert_eq!(contents(&store), whole);
            assert_eq!(store.stats().expect("stats").last_seq.0, NEXT_SEQ - 1);
        }
        let (report, findings) = verified(copy.path());
        assert!(report.is_intact() && findings.is_empty(), "{number}: rewritten: {findings:?}");
    }
}

#[test]
fn a_keydir_with_overlapping_segments_is_ignored() {
    let dir = indexed_store();
    let path = dir.path().join("KEYDIR");
    let mut bytes = fs::read(&path).expect("KEYDIR");
    assert_eq!(bytes[80..84], 0_u32.to_le_bytes(), "the first page of the first segment");
    bytes[160..164].copy_from_slice(&0_u32.to_le_bytes());
    seal::keydir(&mut bytes);
    fs::write(&path, bytes).expect("KEYDIR");
    let faults: Vec<_> = verified(dir.path()).1.into_iter().map(|found| (found.file, found.fault)).collect();
    assert_eq!(faults, [(StoreFile::Keydir, Fault::DerivedDamaged)]);
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    assert_eq!(store.open_report().record_count, 6, "the open read the log");
}

#[test]
fn a_keydir_with_a_segment_at_a_wrong_page_hides_no_key() {
    let dir = indexed_store();
    let open = |dir: &Path| Store::open_with(dir, quick()).expect("opens");
    let expected = contents(&open(copy_of(dir.path()).path()));
    for (at, page) in [(80, 7_u32), (80, 99_999), (160, 7), (160, 99_999), (240, 99_999)] {
        let copy = copy_of(dir.path());
        let path = copy.path().join("KEYDIR");
        let mut bytes = fs::read(&path).expect("KEYDIR");
        bytes[at..at + 4].copy_from_slice(&page.to_le_bytes());
        seal::keydir(&mut bytes);
        fs::write(&path, bytes).expect("KEYDIR");
        let store = open(copy.path());
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_eq!(contents(&store), expected, "{at}: {page}");
        store.close().expect("closes");
        remove_derived(copy.path());
        assert_eq!(contents(&open(copy.path())), expected, "{at}: {page}, without KEYDIR");
    }
}
