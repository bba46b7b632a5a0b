//! Compressed values read as they were written.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use logkv::inspect::{Item, Range};
use logkv::verify::{Fault, Finding};
use logkv::{
    Batch, Compact, Compression, Damage, Error, Expiry, Options, PutOptions, ReadWith, SegmentId, Stats,
    Store, repair,
};
use proptest::prelude::*;

use crate::common::{
    Map, assert_is, binary, contents, copy_of, files, killed, open, program, program_of_system, quick,
    record_crc, remove_derived, scratch, segment_path, small_store,
};
use crate::recount::Recounted;
use crate::verify::verified;

const ZSTD: Compression = Compression::Zstd { level: 3 };
const CHOICES: [Compression; 3] = [Compression::None, Compression::Lz4, ZSTD];

fn compressing(compression: Compression) -> Options {
    quick().compression(compression)
}

/// A value that compresses well, different for each number.
fn text(number: usize) -> Vec<u8> {
    format!("{{\"id\":{number},\"state\":\"waiting\",\"tags\":[\"waiting\",\"waiting\"]}}")
        .repeat(8)
        .into_bytes()
}

/// Writes one segment with values of every codec.
fn mixed(dir: &Path) -> Map {
    let mut map = Map::new();
    for (number, compression) in CHOICES.into_iter().enumerate() {
        let store = Store::open_with(dir, compressing(compression)).expect("opens");
        store.put(format!("text:{number}"), text(number)).expect("a put");
        map.insert(format!("text:{number}").into_bytes(), text(number));
        store.close().expect("closes");
    }
    map
}

fn codecs(store: &Store, id: u64) -> Vec<u8> {
    let inspection = store.inspect(SegmentId(id)).expect("inspects");
    let items = inspection.items(Range::default()).map(|item| item.expect("reads"));
    items.filter_map(|item| if let Item::Record(record) = item { Some(record.codec) } else { None }).collect()
}

/// The raw and stored lengths of all values, counted record by record.
fn recounted(store: &Store) -> (u64, u64) {
    let segments = store.segments().expect("segments");
    segments.iter().fold((0, 0), |(raw_len, stored_len), segment| {
        let totals = store.inspect(segment.id).expect("inspects").totals;
        (raw_len + totals.raw_len, stored_len + totals.stored_len)
    })
}

fn sums(store: &Store) -> (u64, u64) {
    let Stats { raw_len, stored_len, .. } = store.stats().expect("statistics");
    (raw_len, stored_len)
}

#[test]
fn every_codec_reads_from_one_segment_under_any_setting_and_after_compaction() {
    let dir = scratch();
    let map = mixed(dir.path());
    for compression in CHOICES {
        for read_with in [ReadWith::Mmap, ReadWith::Pread] {
            let store = Store::open_with(dir.path(), compressing(compression).read_with(read_with));
            let store = store.expect("opens");
            assert_eq!(codecs(&store, 1), [0, 1, 2]);
            assert_is(&store, &map, "reopened");
            assert_eq!(sums(&store), recounted(&store));
            store.close().expect("closes");
        }
    }
    let store = open(dir.path());
    store.put("text:0", "replaced").expect("a put");
    store.put("text:0", text(0)).expect("a put");
    store.rotate().expect("rotates");
    let before = sums(&store);
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_is(&store, &map, "compacted");
    let newest = store.segments().expect("segments")[0].id;
    assert_eq!(codecs(&store, newest.0), [1, 2, 0], "compaction copies values as they are stored");
    assert_eq!(sums(&store), before);
    assert_eq!(sums(&store), recounted(&store));
    let (report, findings) = verified(dir.path());
    assert!(report.is_intact(), "{findings:?}");
}

#[test]
fn an_uncompressed_value_is_zero_copy_and_a_compressed_one_is_not() {
    let dir = scratch();
    mixed(dir.path());
    let store = open(dir.path());
    let is_zero_copy = |key: &str| store.get(key).expect("reads").expect("exists").is_zero_copy();
    assert_eq!(["text:0", "text:1", "text:2"].map(is_zero_copy), [true, false, false]);
}

#[test]
fn a_value_is_compressed_only_if_its_record_becomes_smaller() {
    for compression in [Compression::Lz4, ZSTD, Compression::Zstd { level: 22 }] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), compressing(compression)).expect("opens");
        let noise: Vec<u8> =
            (0..1000_u32).flat_map(|n| crc32c::crc32c(&n.pow(3).to_le_bytes()).to_le_bytes()).collect();
        let len_of = |key: &str, value: &[u8]| {
            store.put(key, value).expect("a put");
            store.get_entry(key).expect("reads").expect("exists").meta.len
        };
        assert_eq!(len_of("noise", &noise), 32 + 8 + 4000);
        assert_eq!(len_of("short", &[b'x'; 63]), 32 + 8 + 64);
        assert!(len_of("text", &text(1)) < 32 + 8 + text(1).len() as u64);
        assert_eq!(&codecs(&store, 1)[..2], [0, 0], "{compression:?}");
        assert_ne!(codecs(&store, 1)[2], 0, "{compression:?}");
    }
}

#[test]
fn an_entry_has_the_raw_and_the_stored_length_of_its_value() {
    let dir = scratch();
    mixed(dir.path());
    let store = open(dir.path());
    for entry in store.scan(..).expect("scans").map(|entry| entry.expect("reads")) {
        assert_eq!(entry.meta.value_len, entry.value.len() as u64);
        let is_compressed = entry.meta.key != b"text:0";
        assert_eq!(entry.meta.stored_len < entry.meta.value_len, is_compressed, "{:?}", entry.meta);
    }
    for key in store.keys(..).expect("keys").map(|key| key.expect("reads")) {
        assert_eq!(Some(key.clone()), store.get_entry(&key.key).expect("reads").map(|entry| entry.meta));
    }
}

#[test]
fn limits_conditions_and_sums_apply_to_the_raw_value() {
    let dir = scratch();
    let options = compressing(ZSTD).value_len_max(1000);
    let store = Store::open_with(dir.path(), options).expect("opens");
    assert!(matches!(store.put("k", [0; 1001]), Err(Error::ValueLength { len: 1001, limit: 1000 })));
    store.put("k", [0; 1000]).expect("a put");
    assert!(store.compare_and_swap("k", Some(&[0; 1000]), Some(&text(1))).expect("swaps"));
    assert!(!store.compare_and_swap("k", Some(&[0; 1000]), None).expect("compares"));
    store.put("n", format!("{:0100}", 41)).expect("a put");
    assert_eq!(store.incr("n", 1).expect("adds"), 42);
    let ttl = PutOptions::new().expiry(Some(Expiry::At(Expiry::AT_MS_MAX)));
    store.put_with("t", text(2), ttl).expect("a put");
    assert!(store.persist("t").expect("persists"));
    store
        .transact(|transaction| {
            transaction.put("in", text(3));
            assert_eq!(transaction.get("in")?.as_deref(), Some(&text(3)[..]));
            Ok::<_, Error>(())
        })
        .expect("a transaction");
    let map = Map::from([
        (b"k".to_vec(), text(1)),
        (b"n".to_vec(), b"42".to_vec()),
        (b"t".to_vec(), text(2)),
        (b"in".to_vec(), text(3)),
    ]);
    assert_is(&store, &map, "written");
    let many = store.get_many(&["t", "in", "none"]).expect("reads");
    let many: Vec<_> =
        many.into_iter().map(|value| value.expect("reads").map(|value| value.to_vec())).collect();
    assert_eq!(many, [Some(text(2)), Some(text(3)), None]);
}

/// Compares the statistics with a count of the files: in the open store, after closing, with
/// KEYDIR, with hints, and with the log alone.
#[test]
fn the_compression_ratio_is_exact_after_every_kind_of_open() {
    let dir = scratch();
    let options = || compressing(Compression::Lz4).segment_len_max(4096).checkpoint_records(1);
    let store = Store::open_with(dir.path(), options()).expect("opens");
    for number in 0..100 {
        store.put(format!("k{}", number % 40), text(number)).expect("a put");
    }
    let mut batch = Batch::new();
    batch.put("a", text(1)).delete("k1").put("b", text(2)).put("c", "short");
    store.write(&batch).expect("a batch");
    let counted = recounted(&store);
    assert_eq!(sums(&store), counted);
    let ratio = store.stats().expect("statistics").compression_ratio().expect("has a ratio");
    assert!(ratio > 2.0, "{ratio}");
    let crashed = killed(store.clone(), dir.path());
    let reopened = Store::open_with(crashed.path(), options()).expect("opens");
    assert_eq!(sums(&reopened), counted, "after a crash");
    store.close().expect("closes");
    let copy = copy_of(dir.path());
    for what in ["KEYDIR", "hints", "log"] {
        let path = dir.path();
        match what {
            "hints" => fs::remove_file(path.join("KEYDIR")).expect("existed"),
            "log" => remove_derived(path),
            _ => {}
        }
        for read_only in [true, false] {
            let store = Store::open_with(path, options().read_only(read_only)).expect("opens");
            assert_eq!(sums(&store), counted, "{what}");
            if !read_only {
                store.put("more", text(7)).expect("a put");
                store.delete("more").expect("a delete");
                assert_eq!(sums(&store), recounted(&store), "{what}, after more writes");
            }
        }
        fs::remove_dir_all(path).expect("is removed");
        fs::create_dir(path).expect("is created");
        for (name, bytes) in files(copy.path()) {
            fs::write(path.join(name), bytes).expect("a copy");
        }
    }
    assert!(verified(dir.path()).0.is_intact());
    let store = Store::open_with(dir.path(), options()).expect("opens");
    store.rotate().expect("rotates");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert!(sums(&store).0 < counted.0, "compaction dropped dead values");
    assert_eq!(sums(&store), recounted(&store), "compacted");
}

/// Writes `field` at offset `at` of the stored value of the record at offset `record`, and updates
/// the checksums.
fn change_value(path: &Path, record: u64, at: usize, field: &[u8]) {
    let mut bytes = fs::read(path).expect("the segment");
    let salt = bytes[56..60].to_vec();
    let start = record as usize;
    let number = |at: usize, len: usize| {
        (0..len).rev().fold(0, |number, index| number << 8 | usize::from(bytes[start + at + index]))
    };
    let value_at = 32 + number(28, 2).next_multiple_of(8);
    let end = start + value_at + number(24, 4).next_multiple_of(8);
    bytes[start + value_at + at..][..field.len()].copy_from_slice(field);
    let rcrc = record_crc(&salt, start, &bytes[start + 8..end]);
    bytes[start + 4..start + 8].copy_from_slice(&rcrc);
    fs::write(path, bytes).expect("the change");
}

#[test]
fn a_value_that_does_not_decompress_is_an_error_to_each_reader_and_given_up_by_repair() {
    for (number, codec) in [(1, "lz4"), (2, "zstd")] {
        let dir = scratch();
        let map = mixed(dir.path());
        let key = format!("text:{number}");
        let store = open(dir.path());
        let location = store.get_entry(&key).expect("reads").expect("exists").meta.location;
        store.close().expect("closes");
        remove_derived(dir.path());
        // One more than the length of the value.
        let raw_len = text(number).len() as u32 + 1;
        change_value(&segment_path(dir.path(), 1), location.offset, 0, &raw_len.to_le_bytes());
        let store = open(dir.path());
        assert_eq!(store.open_report().damage, [], "the checksum is correct");
        let expected = Damage::Compressed { codec, raw_len };
        let is_it = |error: &Error| matches!(error, Error::Damaged { damage, .. } if *damage == expected);
        assert!(store.get(&key).is_err_and(|error| is_it(&error)));
        let scanned: Vec<_> = store.scan(..).expect("scans").collect();
        assert_eq!(scanned.iter().filter(|entry| entry.is_ok()).count(), map.len() - 1);
        assert!(scanned.iter().any(|entry| entry.as_ref().is_err_and(is_it)));
        let inspection = store.inspect(SegmentId(1)).expect("inspects");
        assert_eq!(inspection.totals.damaged_count, 1);
        store.close().expect("closes");
        let (report, findings) = verified(dir.path());
        assert_eq!(report.damage_count, 1, "{findings:?}");
        assert!(
            findings.iter().any(|Finding { fault, .. }| *fault == Fault::Record(expected.clone())),
            "{findings:?}"
        );
        let target = scratch();
        let to = target.path().join("repaired");
        let report = repair::copy(dir.path(), &to, &quick(), &mut |_| ControlFlow::Continue(()));
        let report = report.expect("repairs");
        assert_eq!(report.given_up.len(), 1);
        let mut left = map.clone();
        left.remove(key.as_bytes());
        let repaired = open(&to);
        assert_is(&repaired, &left, "repaired");
        assert_eq!(codecs(&repaired, repaired.segments().expect("segments")[0].id.0).len(), 2);
        repaired.close().expect("closes");
        assert!(verified(&to).0.is_intact());
    }
}

/// The program has 512 MiB of address space. The record is small, and claims a value of four times
/// that length.
#[test]
fn a_value_that_claims_to_be_huge_allocates_no_memory_for_it() {
    for compression in ["lz4", "zstd"] {
        let dir = scratch();
        let put = program(dir.path())
            .args(["--compression", compression, "d", "put", "k"])
            .arg("x".repeat(500))
            .status();
        assert!(put.expect("the program runs").success());
        let path = segment_path(&dir.path().join("d"), 1);
        change_value(&path, 64, 0, &(2_u32 << 30).to_le_bytes());
        let logkv = binary();
        let limited = format!("ulimit -v 524288; exec '{}' --read-with pread d get k", logkv.display());
        let output = program_of_system("sh", dir.path()).args(["-c", &limited]).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("does not decompress to the expected 2,147,483,648 bytes"), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn arbitrary_values_read_back_under_every_setting(
        values in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..40), 1..60_usize, 0..4_usize),
            1..12,
        ),
    ) {
        let dir = scratch();
        let mut map = Map::new();
        for (number, (unit, times, choice)) in values.iter().enumerate() {
            let fast = Compression::Zstd { level: 1 };
            let compression = [Compression::None, Compression::Lz4, ZSTD, fast][*choice];
            let store = Store::open_with(dir.path(), compressing(compression)).expect("opens");
            let (key, value) = (format!("k{}", number % 5).into_bytes(), unit.repeat(*times));
            store.put(&key, &value).expect("a put");
            map.insert(key, value);
            if number % 4 == 3 {
                store.rotate().expect("rotates");
            }
            prop_assert_eq!(&contents(&store), &map);
            store.close().expect("closes");
        }
        let store = open(dir.path());
        store.rotate().expect("rotates");
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_is(&store, &map, "compacted");
        prop_assert_eq!(sums(&store), recounted(&store));
        store.close().expect("closes");
        prop_assert!(verified(dir.path()).0.is_intact());
    }
}

#[test]
fn a_store_without_compressed_values_has_no_ratio() {
    let dir = small_store();
    assert_eq!(open(dir.path()).stats().expect("statistics").compression_ratio(), None);
}
