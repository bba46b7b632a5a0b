//! Opening after a crash: logs cut anywhere, a single decision about the tail, no loss of
//! acknowledged writes.

use std::fs;

use crate::common::{
    copy_of, files, killed, open, quick, record_crc, remove_derived, scratch, segment_path, value,
};
use crate::repair::repaired;
use crate::verify::verified;
use logkv::{Error, Options, SegmentId, Seqno, Store, Sync};
use tempfile::TempDir;

#[test]
fn an_active_segment_cut_at_any_byte_opens_with_every_record_before_the_cut() {
    let dir = scratch();
    let store = open(dir.path());
    let mut ends = Vec::new();
    for n in 0..12 {
        store.put(format!("key{n}"), "x".repeat(n)).expect("a put");
        ends.push(fs::read(segment_path(dir.path(), 1)).expect("the segment").len());
    }
    let dir = killed(store, dir.path());
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    for len in 64..=whole.len() {
        let copy = copy_of(dir.path());
        fs::write(segment_path(copy.path(), 1), &whole[..len]).expect("the cut");
        let kept = ends.iter().filter(|&&end| end <= len).count();
        let read_only = Store::open_with(copy.path(), quick().read_only(true)).expect("opens read-only");
        assert_eq!(read_only.len(), kept as u64, "cut at {len}");
        assert_eq!(
            fs::read(segment_path(copy.path(), 1)).expect("the segment").len(),
            len,
            "a reader truncated the file"
        );
        drop(read_only);
        let store = open(copy.path());
        for n in 0..12 {
            assert_eq!(value(&store, &format!("key{n}")).is_some(), n < kept, "cut at {len}, key {n}");
        }
        store.put("after", "the crash").expect("a put");
        store.close().expect("closes");
        let store = open(copy.path());
        assert_eq!(store.len(), kept as u64 + 1, "cut at {len}");
        assert!(!store.open_report().unclean);
    }
}

#[test]
fn a_truncated_segment_header_is_reported_as_damage_of_a_durable_file() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    let dir = killed(store, dir.path());
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    for len in 0..64 {
        let copy = copy_of(dir.path());
        fs::write(segment_path(copy.path(), 1), &whole[..len]).expect("the cut");
        let store = open(copy.path());
        assert_eq!(store.len(), 0, "cut at {len}");
        store.put("new", "1").expect("a put");
    }
}

#[test]
fn damage_before_durable_records_stops_a_writer_but_no_reader() {
    let dir = scratch();
    // Under `Always`, each record proves that the one before it was durable.
    let store = Store::open_with(dir.path(), Options::new()).expect("opens");
    let mut places = Vec::new();
    for n in 0..10 {
        places.push(store.put(format!("key{n}"), "value").expect("a put").location.offset as usize);
    }
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("the segment");
    for (n, &at) in places.iter().enumerate() {
        for byte in [at + 9, at + 41] {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1;
            fs::write(&path, &bytes).expect("the damage");
            let outcome = Store::open_with(dir.path(), quick());
            // Damage in the last record looks like a torn write. All earlier records are known to
            // have been durable.
            if n < 9 {
                match outcome {
                    Err(Error::Rot { segment, offset, .. }) => {
                        assert_eq!((segment.0, offset), (1, at as u64));
                    }
                    other => panic!("record {n}: {other:?}"),
                }
                assert_eq!(
                    fs::read(&path).expect("the segment"),
                    bytes,
                    "the refused open changed the segment"
                );
                let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
                for other in (0..10).filter(|&other| other != n) {
                    assert_eq!(
                        value(&reader, &format!("key{other}")).as_deref(),
                        Some("value"),
                        "record {n}"
                    );
                }
                assert_eq!(reader.open_report().damage.len(), 1);
            }
        }
        fs::write(&path, &whole).expect("restores the file");
    }
}

#[test]
fn a_store_that_was_never_synced_loses_its_tail_and_keeps_its_head() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), Options::new().sync(Sync::Never)).expect("opens");
    let mut places = Vec::new();
    for n in 0..10 {
        places.push(store.put(format!("key{n}"), "value").expect("a put").location.offset as usize);
    }
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[places[4] + 9] ^= 1;
    fs::write(&path, &bytes).expect("the damage");
    let store = open(dir.path());
    assert_eq!(store.len(), 4, "no record proves that the rest was durable");
    assert_eq!(store.open_report().torn.map(|torn| torn.at.offset), Some(places[4] as u64));
}

#[test]
fn an_active_segment_of_another_store_is_not_truncated() {
    let [dir, other] = [(); 2].map(|()| {
        let dir = scratch();
        let store = open(dir.path());
        store.put("k", "v").expect("a put");
        killed(store, dir.path())
    });
    let foreign = fs::read(segment_path(other.path(), 1)).expect("the other's segment");
    fs::write(segment_path(dir.path(), 1), &foreign).expect("copies the segment");
    let outcome = Store::open_with(dir.path(), quick()).map(drop);
    let now = fs::read(segment_path(dir.path(), 1)).ok();
    assert!(now.as_ref() == Some(&foreign), "data of another store was destroyed; the open said {outcome:?}");
}

#[test]
fn a_number_is_never_reused() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(4096)).expect("opens");
    let mut last = 0;
    for n in 0..50 {
        last = store.put(format!("key{n}"), "value").expect("a put").last.0;
    }
    store.close().expect("closes");
    let store = open(dir.path());
    let next = store.put("one more", "").expect("a put").last.0;
    assert_eq!(next, last + 1, "a clean close leaves a gap");
    let dir = killed(store, dir.path());
    // Removes everything that the dead writer wrote to its last segment, as a power cut may.
    let segment =
        files(dir.path()).into_iter().rev().find(|(name, _)| name.ends_with(".seg")).expect("a segment").0;
    let path = dir.path().join(segment);
    let bytes = fs::read(&path).expect("the segment");
    fs::write(&path, &bytes[..64]).expect("the cut");
    let store = open(dir.path());
    assert!(store.put("after", "").expect("a put").last.0 > next);
}

#[test]
fn after_a_crash_the_newest_number_is_that_of_an_existing_record() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    let dir = killed(store, dir.path());
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
    assert_eq!(reader.stats().expect("stats").last_seq, Seqno(1));
    assert_eq!(open(dir.path()).stats().expect("stats").last_seq, Seqno(1));
}

#[test]
fn a_writer_continues_in_a_cleanly_closed_segment() {
    let dir = scratch();
    for n in 0..5 {
        let store = open(dir.path());
        store.put(format!("key{n}"), "value").expect("a put");
        store.close().expect("closes");
    }
    let store = open(dir.path());
    assert_eq!(store.segments().expect("segments").len(), 1);
    assert_eq!(store.len(), 5);
}

#[test]
fn a_closed_segment_that_lost_its_end_is_reported_and_not_appended_to() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..5 {
        store.put(format!("key{n}"), "value").expect("a put");
    }
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let bytes = fs::read(&path).expect("the segment");
    fs::write(&path, &bytes[..bytes.len() - 8]).expect("the cut");
    let store = open(dir.path());
    assert!(!store.open_report().damage.is_empty());
    assert_eq!(store.len(), 4);
    assert_eq!(store.put("new", "value").expect("a put").location.segment, SegmentId(2));
    store.close().expect("closes");
    let store = open(dir.path());
    assert_eq!(store.len(), 5);
    assert!(!store.open_report().damage.is_empty(), "the missing end is not reported");
}

#[test]
fn bytes_after_the_end_of_a_closed_segment_are_reported_when_truncated() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes.extend([7; 4096]);
    fs::write(&path, &bytes).expect("extends the file");
    let store = open(dir.path());
    let report = store.open_report();
    let is_cut = fs::read(&path).expect("the segment").len() < bytes.len();
    assert!(
        !is_cut || report.torn.is_some() || !report.damage.is_empty(),
        "4096 bytes were truncated, and the report is {report:?}"
    );
}

#[test]
fn a_reader_beside_a_writer_keeps_its_view_and_writes_nothing() {
    let dir = scratch();
    let writer = Store::open_with(dir.path(), quick().segment_len_max(1000)).expect("opens");
    for n in 0..100 {
        writer.put(format!("key{n}"), format!("value{n}")).expect("a put");
    }
    let before = files(dir.path());
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
    assert_eq!(files(dir.path()), before);
    writer.put("key0", "changed").expect("a put");
    writer.put("later", "").expect("a put");
    assert_eq!(value(&reader, "key0").as_deref(), Some("value0"));
    assert_eq!(value(&reader, "later"), None);
    assert_eq!(reader.len(), 100);
    for refused in [
        reader.put("k", "v").map(|_| ()),
        reader.delete("k").map(|_| ()),
        reader.sync(),
        reader.rotate().map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::ReadOnly)));
    }
    let again = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
    assert_eq!(again.len(), 101);
}

#[test]
fn readers_opened_while_a_writer_rolls_see_a_prefix_of_the_log() {
    let dir = scratch();
    let writer = Store::open_with(dir.path(), quick().segment_len_max(2000)).expect("opens");
    writer.put("0", "").expect("a put");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
                let count = reader.len();
                assert!(count >= last, "an older state followed a newer one");
                for n in 0..count {
                    assert!(reader.contains(n.to_string()).expect("reads"), "{n} of {count}");
                }
                last = count;
            }
        });
        for n in 1..2000 {
            writer.put(n.to_string(), "some value").expect("a put");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A closed store of one record with this number and a correct checksum.
fn with_number(number: u64) -> TempDir {
    let dir = scratch();
    let store = open(dir.path());
    store.put("far", "ahead").expect("a put");
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    let salt = bytes[56..60].to_vec();
    let (at, end) = (64, bytes.len());
    bytes[at + 8..at + 16].copy_from_slice(&number.to_le_bytes());
    let hcrc = record_crc(&salt, at, &bytes[at + 8..at + 32]);
    let rcrc = record_crc(&salt, at, &bytes[at + 8..end]);
    bytes[at..at + 4].copy_from_slice(&hcrc);
    bytes[at + 4..at + 8].copy_from_slice(&rcrc);
    fs::write(&path, bytes).expect("the number");
    dir
}

#[test]
fn a_write_after_a_number_far_ahead_of_manifest_survives_a_reopen() {
    for number in [1000, u64::MAX >> 4] {
        let dir = with_number(number);
        let store = open(dir.path());
        assert_eq!(store.put("new", "value").expect("a put").last, Seqno(number + 1));
        store.close().expect("closes");
        let store = open(dir.path());
        assert_eq!(store.open_report().damage, [], "{number}");
        assert_eq!(value(&store, "new").as_deref(), Some("value"), "{number}");
        assert_eq!(value(&store, "far").as_deref(), Some("ahead"), "{number}");
    }
}

#[test]
fn a_number_too_large_to_be_reached_is_damage_or_stops_the_writer_and_loses_no_write() {
    let dir = with_number((1 << 61) - 1);
    for _ in 0..2 {
        let store = open(dir.path());
        let refused = store.put("new", "value");
        assert!(matches!(refused, Err(Error::NumbersSpent { .. })), "{refused:?}");
        assert_eq!(value(&store, "far").as_deref(), Some("ahead"));
        store.close().expect("closes");
    }
    for number in [1 << 61, 1 << 62, u64::MAX] {
        let dir = with_number(number);
        let store = open(dir.path());
        assert_eq!(value(&store, "far"), None, "{number}");
        assert_eq!(store.open_report().damage.len(), 1, "{number}");
        store.put("new", "value").expect("a put");
        store.close().expect("closes");
        assert_eq!(value(&open(dir.path()), "new").as_deref(), Some("value"), "{number}");
    }
}

#[test]
fn a_closed_segment_has_no_torn_tail_whatever_the_length_of_its_file() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..5 {
        store.put(format!("key {n}"), "value").expect("a put");
    }
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("the segment");
    let zeros = [&whole[..64], &[0; 4032][..]].concat();
    let mut longer = [&whole[..], &[1; 13][..]].concat();
    longer[64 + 48 + 40] ^= 1;
    for (bytes, lost) in [(longer, 1), (zeros, 5)] {
        let copy = copy_of(dir.path());
        remove_derived(copy.path());
        fs::write(segment_path(copy.path(), 1), &bytes).expect("the damage");
        let (report, findings) = verified(copy.path());
        assert!(report.damage_count > 0, "{findings:?}");
        let (to, report) = repaired(copy.path());
        assert_eq!((open(to.path()).len(), report.given_up.len()), (5 - lost, 1), "{report:?}");
        for _ in 0..2 {
            let store = open(copy.path());
            assert_eq!(store.open_report().damage.len(), 1, "{:?}", store.open_report());
            assert_eq!(store.get("key 1").is_err(), lost == 1);
            store.put("more", "1").expect("a put");
            store.close().expect("closes");
        }
        assert!(segment_path(copy.path(), 1).exists());
    }
}
