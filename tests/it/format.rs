//! The format on disk: drawings of every byte, stores that earlier programs wrote, and stores as a
//! later version may write them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{
    Random, copy_of, files, killed, open, quick, record_crc, remove_derived, rewrite_manifest, scratch,
    seal_segment_header, segment_path, value,
};
use crate::hooked::{SteadyRandom, hooked};
use crate::recount::Recounted;
use crate::verify::verified;
use logkv::layout::{Field, RECORD_FIELDS, SEGMENT_FIELDS};
use logkv::{Batch, Compact, Compression, Damage, Error, ManualClock, Options, Store};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Options that write the same bytes in every run: a fixed clock and fixed random numbers.
fn steady() -> Options {
    quick().clock(Arc::new(ManualClock::at(1_700_000_000_000))).file_system(hooked(SteadyRandom::default()))
}

/// Writes a small store with a sealed and an active segment, a hint and KEYDIR.
fn write_v1(dir: &Path) {
    let store = Store::open_with(dir, steady()).expect("opens");
    store.put("user:1", "alice").expect("a put");
    store.put("user:2", "").expect("a put");
    store.write(Batch::new().put("a", "1").put(b"\x00\xff", [0x80; 9])).expect("a batch");
    store.delete("user:2").expect("a delete");
    store.rotate().expect("rotates");
    store.put("user:1", "Alice Cooper").expect("a put");
    store.close().expect("closes");
    // Opening writes the hint, and closing writes KEYDIR because of the low threshold.
    let options = steady().checkpoint_records(1);
    Store::open_with(dir, options).expect("opens").close().expect("closes");
}

fn assert_v1(store: &Store) {
    assert_eq!(value(store, "user:1").as_deref(), Some("Alice Cooper"));
    assert_eq!(value(store, "user:2"), None);
    assert_eq!(value(store, "a").as_deref(), Some("1"));
    assert_eq!(store.get(b"\x00\xff").expect("reads").as_deref(), Some(&[0x80; 9][..]));
    assert_eq!(store.len(), 3);
    assert_eq!(store.open_report().damage, []);
}

/// Draws a field or part as one row: offset, bytes, name.
fn draw(out: &mut String, bytes: &[u8], at: usize, len: usize, name: &str) {
    for (index, row) in bytes[at..at + len].chunks(16).enumerate() {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            row.iter().map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '.' }).collect();
        let name = if index == 0 { name } else { "" };
        let line = format!("{:06x}  {:<47}  {text:<16}  {name}", at + index * 16, hex.join(" "));
        writeln!(out, "{}", line.trim_end()).expect("a String");
    }
}

fn draw_fields(out: &mut String, bytes: &[u8], at: usize, fields: &[Field]) {
    for field in fields {
        draw(out, bytes, at + field.at, field.len, field.name);
    }
}

/// Draws every byte of a segment.
fn drawing(bytes: &[u8]) -> String {
    let number = |at: usize, len: usize| (0..len).rev().fold(0, |n, i| n << 8 | usize::from(bytes[at + i]));
    let mut out = String::from("segment header\n");
    draw_fields(&mut out, bytes, 0, SEGMENT_FIELDS);
    let mut at = number(12, 2);
    let header_len = number(14, 2);
    while at < bytes.len() {
        writeln!(out, "\nrecord").expect("a String");
        draw_fields(&mut out, bytes, at, RECORD_FIELDS);
        let (value_len, key_len) = (number(at + 24, 4), number(at + 28, 2));
        at += header_len;
        for (len, name) in [(key_len, "key"), (value_len, "value")] {
            let padding = len.next_multiple_of(8) - len;
            draw(&mut out, bytes, at, len, name);
            draw(&mut out, bytes, at + len, padding, "padding");
            at += len + padding;
        }
    }
    out
}

#[test]
fn the_drawing_covers_every_byte_of_a_small_segment() {
    let dir = scratch();
    write_v1(dir.path());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        let bytes = fs::read(segment_path(dir.path(), 1)).expect("the segment");
        insta::assert_snapshot!("format-segment", drawing(&bytes));
        let manifest = fs::read_to_string(dir.path().join("MANIFEST")).expect("MANIFEST");
        insta::assert_snapshot!("format-manifest", manifest);
    });
}

#[test]
fn the_store_written_by_version_1_opens() {
    let dir = copy_of(&fixtures().join("v1"));
    for read_only in [true, false] {
        let store = Store::open_with(dir.path(), quick().read_only(read_only)).expect("opens");
        assert_v1(&store);
        assert_eq!(store.open_report().record_count, 0, "KEYDIR covered all records");
    }
    let writer = open(dir.path());
    writer.put("new", "record").expect("a put");
    writer.close().expect("closes");
    let store = open(dir.path());
    assert_eq!(value(&store, "new").as_deref(), Some("record"));
    assert_eq!(store.len(), 4);
}

#[test]
fn the_hint_written_by_version_1_is_used() {
    let dir = copy_of(&fixtures().join("v1"));
    fs::remove_file(dir.path().join("KEYDIR")).expect("exists");
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
    assert_v1(&reader);
    // A segment that is read at open reports its damage.
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[64 + 40] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    let damage_of = || {
        let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
        reader.open_report().damage.len()
    };
    assert_eq!(damage_of(), 0, "the hint was not used");
    remove_derived(dir.path());
    assert_eq!(damage_of(), 1, "the segment was not read");
}

/// Writes one segment with values in every codec, among them a short and an incompressible one. The
/// rest of the log has the same values in other codecs.
fn write_compressed(dir: &Path) {
    let codecs = [Compression::Lz4, Compression::Zstd { level: 3 }, Compression::None];
    for (index, compression) in codecs.into_iter().enumerate() {
        let options = steady().compression(compression).checkpoint_records(1);
        let store = Store::open_with(dir, options).expect("opens");
        for (key, value) in values() {
            store.put(format!("{key}:{index}"), value).expect("a put");
        }
        if index == 1 {
            store.rotate().expect("rotates");
        }
        store.close().expect("closes");
    }
}

fn values() -> [(&'static str, Vec<u8>); 3] {
    let mut random = Random::seeded(7);
    let noise = std::iter::repeat_with(|| random.below(256) as u8).take(300).collect();
    [("text", b"what is said again and again ".repeat(20)), ("short", b"short".to_vec()), ("noise", noise)]
}

#[test]
fn the_compressed_values_written_by_version_1_are_read() {
    for has_derived in [true, false] {
        let dir = copy_of(&fixtures().join("v1-compressed"));
        if !has_derived {
            remove_derived(dir.path());
        }
        for options in [quick().read_only(true), quick()] {
            let store = Store::open_with(dir.path(), options).expect("opens");
            for (key, value) in values() {
                for index in 0..3 {
                    let key = format!("{key}:{index}");
                    assert_eq!(store.get(&key).expect("reads").as_deref(), Some(&value[..]), "{key}");
                }
            }
            let (report, stats) = (store.open_report(), store.stats().expect("statistics"));
            assert_eq!(report.damage, []);
            assert_eq!(report.record_count, if has_derived { 0 } else { 9 });
            // 580 bytes of text, once as lz4 and once as zstd.
            assert_eq!((stats.raw_len, stats.stored_len), (2 * 580, 42 + 45));
        }
    }
}

#[test]
fn an_unknown_codec_is_an_error_of_one_record_and_its_bytes_stay() {
    let dir = scratch();
    let store = open(dir.path());
    let at = store.put("k", "v").expect("a put").location.offset as usize;
    store.put("other", "value").expect("a put");
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[at + 31] |= 3 << 1;
    let salt = bytes[56..60].to_vec();
    let hcrc = record_crc(&salt, at, &bytes[at + 8..at + 32]);
    let rcrc = record_crc(&salt, at, &bytes[at + 8..at + 48]);
    bytes[at..at + 4].copy_from_slice(&hcrc);
    bytes[at + 4..at + 8].copy_from_slice(&rcrc);
    fs::write(&path, &bytes).expect("the later version's record");
    let store = open(dir.path());
    let error = store.get("k").expect_err("the codec is unknown");
    assert!(matches!(error, Error::Damaged { damage: Damage::Codec(3), .. }), "{error}");
    assert_eq!(value(&store, "other").as_deref(), Some("value"));
    store.rotate().expect("rotates");
    store.compact_recounted(&Compact::All).expect("compacts");
    assert!(matches!(store.get("k"), Err(Error::Damaged { damage: Damage::Codec(3), .. })));
}

#[test]
fn a_store_with_longer_record_headers_and_a_higher_minor_version_opens() {
    type Rewrite = fn(&Path);
    let rewrites: [(&str, Rewrite); 2] = [
        ("longer record headers", later_versions::lengthen_record_headers),
        ("an unknown minor version", later_versions::raise_minor),
    ];
    for (what, rewrite) in rewrites {
        let dir = copy_of(&fixtures().join("v1"));
        remove_derived(dir.path());
        rewrite(dir.path());
        assert!(verified(dir.path()).0.is_intact(), "{what}");
        assert_v1(&Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only"));
        let store = open(dir.path());
        assert_v1(&store);
        // This version writes new records to a segment in its own layout.
        store.put("new", "record").expect("a put");
        store.close().expect("closes");
        let store = open(dir.path());
        assert_eq!(value(&store, "new").as_deref(), Some("record"), "{what}");
        assert_eq!(store.open_report().damage, [], "{what}");
    }
}

#[test]
fn a_higher_major_version_or_an_unknown_feature_is_refused_and_nothing_changes() {
    for (major, incompat, found) in [(2_u16, 0_u16, "2.0"), (1, 4, "1.0 with feature bits 0x0004")] {
        let dir = copy_of(&fixtures().join("v1"));
        let path = segment_path(dir.path(), 1);
        let mut bytes = fs::read(&path).expect("the segment");
        bytes[8..10].copy_from_slice(&major.to_le_bytes());
        bytes[54..56].copy_from_slice(&incompat.to_le_bytes());
        seal_segment_header(&mut bytes);
        fs::write(&path, bytes).expect("the change");
        let before = files(dir.path());
        let error = Store::open_with(dir.path(), quick()).map(drop).expect_err("is refused");
        assert!(matches!(error, Error::Unsupported { .. }));
        assert_eq!(
            error.to_string(),
            format!("segment 1 has format {found}, which this version cannot read (it reads 1.x)")
        );
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn an_active_segment_in_a_refused_format_is_not_truncated() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    // A feature bit of a later version, and records that only it can read.
    bytes[54] = 1;
    seal_segment_header(&mut bytes);
    bytes[64] ^= 0xff;
    fs::write(&path, &bytes).expect("the later version's segment");
    let outcome = Store::open_with(dir.path(), quick()).map(drop);
    assert!(
        fs::read(&path).expect("the segment") == bytes,
        "the segment was truncated; the open said {outcome:?}"
    );
    assert!(matches!(outcome, Err(Error::Unsupported { .. })), "{outcome:?}");
}

/// A kind without the high bit must not be skipped. It is no torn write either, since both
/// checksums match.
#[test]
fn an_intact_record_of_unknown_kind_at_the_end_of_the_log_is_not_truncated() {
    let dir = scratch();
    let store = open(dir.path());
    let at = store.put("k", "v").expect("a put").location.offset as usize;
    store.put("after", "v").expect("a put");
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[at + 30] = 3;
    let salt = bytes[56..60].to_vec();
    let hcrc = record_crc(&salt, at, &bytes[at + 8..at + 32]);
    let rcrc = record_crc(&salt, at, &bytes[at + 8..at + 48]);
    bytes[at..at + 4].copy_from_slice(&hcrc);
    bytes[at + 4..at + 8].copy_from_slice(&rcrc);
    fs::write(&path, &bytes).expect("the later version's record");
    let outcome = Store::open_with(dir.path(), quick()).map(drop);
    let now = fs::read(&path).ok();
    assert!(now.as_ref() == Some(&bytes), "the segment was truncated or removed; the open said {outcome:?}");
}

/// Stores as a later version may write them, with correct checksums.
mod later_versions {
    use super::*;

    fn number(bytes: &[u8], at: usize, len: usize) -> usize {
        (0..len).rev().fold(0, |n, i| n << 8 | usize::from(bytes[at + i]))
    }

    /// Adds eight bytes to each record header.
    pub(super) fn lengthen_record_headers(dir: &Path) {
        for id in [1, 2] {
            let path = segment_path(dir, id);
            let bytes = with_longer_record_headers(&fs::read(&path).expect("the segment"));
            fs::write(&path, &bytes).expect("the change");
            rewrite_manifest(dir, |line| {
                let Some(start) = line.strip_prefix(&format!("segment {id:06} ")) else {
                    return line.to_owned();
                };
                let (start, _) = start.rsplit_once(' ').expect("a length");
                format!("segment {id:06} {} {}", start.replace("64+32", "64+40"), bytes.len())
            });
        }
    }

    fn with_longer_record_headers(bytes: &[u8]) -> Vec<u8> {
        let salt = bytes[56..60].to_vec();
        let mut out = bytes[..64].to_vec();
        out[14..16].copy_from_slice(&40_u16.to_le_bytes());
        seal_segment_header(&mut out);
        let mut at = 64;
        while at < bytes.len() {
            let body =
                number(bytes, at + 28, 2).next_multiple_of(8) + number(bytes, at + 24, 4).next_multiple_of(8);
            let mut record = [&bytes[at..at + 32], b"NEWFIELD", &bytes[at + 32..at + 32 + body]].concat();
            let hcrc = record_crc(&salt, out.len(), &record[8..40]);
            let rcrc = record_crc(&salt, out.len(), &record[8..]);
            record[..4].copy_from_slice(&hcrc);
            record[4..8].copy_from_slice(&rcrc);
            out.extend_from_slice(&record);
            at += 32 + body;
        }
        out
    }

    /// Sets minor version 7 in the segments and in MANIFEST, and adds an unknown line to MANIFEST.
    pub(super) fn raise_minor(dir: &Path) {
        for id in [1, 2] {
            let path = segment_path(dir, id);
            let mut bytes = fs::read(&path).expect("the segment");
            bytes[10..12].copy_from_slice(&7_u16.to_le_bytes());
            seal_segment_header(&mut bytes);
            fs::write(&path, &bytes).expect("the change");
        }
        rewrite_manifest(dir, |line| match line {
            "logkv manifest 1.0" => "logkv manifest 1.7\nfuture words that nobody here knows".to_owned(),
            line => line.to_owned(),
        });
    }
}

#[test]
fn this_version_writes_the_fixtures() {
    for (name, write) in [("v1", write_v1 as fn(&Path)), ("v1-compressed", write_compressed)] {
        let dir = scratch();
        write(dir.path());
        let committed = fixtures().join(name);
        if std::env::var_os("LOGKV_WRITE_FIXTURES").is_some() && !committed.exists() {
            fs::create_dir_all(&committed).expect("a folder");
            for (file, bytes) in files(dir.path()) {
                fs::write(committed.join(file), bytes).expect("a file");
            }
        }
        // A newer codec may compress differently. It still reads the old bytes.
        if name == "v1" {
            assert!(files(dir.path()) == files(&committed), "{name} has other bytes");
        }
    }
}
