//! The fields of a record and of a segment header, and the meaning of their bytes.

use logkv::inspect::{HeaderInfo, RecordItem};
use logkv::layout::{Field as LayoutField, RECORD_FIELDS, SEGMENT_FIELDS};

use super::paint::hue;
use super::text::{self, preview};
use crate::shell::commands::foreign::{ForeignFormat, ForeignRecord};
use crate::shell::lang::words;
use crate::shell::term::moment::Moment;
use crate::shell::term::style::Hue;
use crate::shell::term::units;

/// A field: its offset, its bytes and their meaning.
#[derive(Clone, Debug)]
pub struct ByteField<'a> {
    /// The name on the format page.
    pub name: &'static str,
    /// The hue of this kind of field.
    pub hue: Hue,
    pub at: u64,
    /// The bytes as stored.
    pub bytes: &'a [u8],
    /// The decoded value.
    pub meaning: String,
    /// The result of the check, for a checksum or padding.
    pub check: Option<FieldCheck>,
}

/// The result of checking a field.
#[derive(Clone, Debug)]
pub struct FieldCheck {
    /// Whether the stored bytes are right.
    pub is_right: bool,
    /// The range that the checksum covers, and the computed value if it differs.
    pub note: String,
}

/// Returns the fields of a record in file order, without gaps.
pub fn of_record(record: &RecordItem) -> Vec<ByteField<'_>> {
    let mut splitter = FieldSplitter::new(&record.bytes, record.location.offset);
    for place in RECORD_FIELDS {
        let stored = splitter.peek(place.len);
        splitter.take_at(place, record_meaning(place.name, stored, record));
    }
    let covered_from = record_field("seq").at as u64;
    let header_end = splitter.at as u64;
    splitter.check("hcrc", true, |at| covers(at + covered_from, at + header_end));
    let is_sound = text::is_sound(record);
    splitter.check("rcrc", is_sound, |at| {
        let covered = covers(at + covered_from, at + record.len);
        if is_sound { covered } else { format!("its bytes give {:08x}; {covered}", record.computed_rcrc) }
    });
    let expiry_len = if record.expires_ms.is_some() { size_of::<u64>() } else { 0 };
    let key_at = offset(record.key_at);
    splitter.take_until("newer", key_at.saturating_sub(expiry_len), hue::DIM, "fields of a newer version");
    if let Some(expires_ms) = record.expires_ms {
        splitter.take("expires", expiry_len, hue::TIME, Moment::of(expires_ms).full());
    }
    let [key_len, value_len] = ["klen", "vlen"].map(|name| stored_len(record, name));
    splitter.take("key", key_len, hue::KEY, words::quote(&record.key));
    splitter.padding(offset(record.value_at));
    let value_end = splitter.at.saturating_add(value_len);
    if record.is_compressed() {
        let codec = record.codec_name().unwrap_or_default();
        splitter.take(
            "raw_len",
            size_of::<u32>(),
            hue::LEN,
            format!("{} B before {codec}", record.value.len()),
        );
    }
    splitter.take("value", value_end.saturating_sub(splitter.at), hue::VALUE, preview(&record.value));
    splitter.padding(record.bytes.len());
    splitter.fields
}

/// Returns the fields of another store's record at `at` in file order, without gaps.
pub fn of_foreign<'a>(format: ForeignFormat, at: u64, record: &ForeignRecord<'a>) -> Vec<ByteField<'a>> {
    let mut splitter = FieldSplitter::new(record.bytes, at);
    for &(name, len) in format.header_fields() {
        splitter.take(name, len, hue_of(name), foreign_meaning(name, record));
    }
    let is_sound = record.is_sound();
    splitter
        .check("crc", is_sound, |at| covers(at + size_of::<u32>() as u64, at + record.bytes.len() as u64));
    splitter.take("key", record.key.len(), hue::KEY, preview(record.key));
    let value = record.tombstone.map_or_else(|| preview(record.value), |tombstone| tombstone.to_string());
    splitter.take("value", record.value.len(), hue::VALUE, value);
    splitter.fields
}

/// Returns the fields of a segment header in file order, without gaps.
pub fn of_header(header: &HeaderInfo) -> Vec<ByteField<'_>> {
    let mut splitter = FieldSplitter::new(&header.bytes, 0);
    for place in SEGMENT_FIELDS {
        splitter.take_at(place, header_meaning(place.name, header));
    }
    let end = splitter.at;
    splitter.take_until("newer", header.bytes.len(), hue::DIM, "fields of a newer version");
    let covered = covers(0, end.saturating_sub(size_of::<u32>()) as u64);
    splitter.check("crc", true, |_| covered);
    splitter.fields
}

/// Divides bytes into fields, from the first byte to the last.
struct FieldSplitter<'a> {
    bytes: &'a [u8],
    base: u64,
    at: usize,
    fields: Vec<ByteField<'a>>,
}

impl<'a> FieldSplitter<'a> {
    fn new(bytes: &'a [u8], base: u64) -> Self {
        Self { bytes, base, at: 0, fields: Vec::new() }
    }

    /// Takes the next field of the layout. A layout has no gaps.
    fn take_at(&mut self, place: &LayoutField, meaning: String) {
        self.take(place.name, place.len, hue_of(place.name), meaning);
    }

    /// Returns the next `len` bytes, or fewer: the length comes from the file.
    fn peek(&self, len: usize) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        &rest[..len.min(rest.len())]
    }

    fn take(&mut self, name: &'static str, len: usize, hue: Hue, meaning: String) {
        let bytes = self.peek(len);
        let at = self.base + self.at as u64;
        self.at += bytes.len();
        if !bytes.is_empty() {
            self.fields.push(ByteField { name, hue, at, bytes, meaning, check: None });
        }
    }

    fn take_until(&mut self, name: &'static str, end: usize, hue: Hue, meaning: &str) {
        self.take(name, end.saturating_sub(self.at), hue, meaning.to_owned());
    }

    /// Takes the padding up to `end`, and marks it as wrong if it is not zero.
    fn padding(&mut self, end: usize) {
        let bytes = self.peek(end.saturating_sub(self.at));
        let nonzero = bytes.iter().filter(|&&byte| byte != 0).count();
        self.take_until("padding", end, hue::DIM, "to a multiple of 8");
        if nonzero > 0
            && let Some(field) = self.fields.last_mut()
        {
            let count = units::count(nonzero as u64, "byte");
            field.hue = hue::BAD;
            field.meaning = "not zero".to_owned();
            field.check = Some(FieldCheck { is_right: false, note: format!("{count} should be zero") });
        }
    }

    /// Adds a check to the field `name`. `note` gets the offset of the record or header.
    fn check(&mut self, name: &str, is_right: bool, note: impl FnOnce(u64) -> String) {
        let base = self.base;
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            field.check = Some(FieldCheck { is_right, note: note(base) });
        }
    }
}

fn record_meaning(name: &str, stored: &[u8], record: &RecordItem) -> String {
    match name {
        "hcrc" => format!("{:08x}", record.stored_hcrc),
        "rcrc" => format!("{:08x}", record.stored_rcrc),
        "seq" => record.seq.to_string(),
        "time_ms" => Moment::of(record.time_ms).full(),
        "lag" => lag(record),
        "kind" => format!("{} {}", number(stored), text::kind(record.kind)),
        "flag" => flags(record),
        _ => format!("{} B", number(stored)),
    }
}

fn foreign_meaning(name: &str, record: &ForeignRecord<'_>) -> String {
    match name {
        "crc" => record.checksum.map_or_else(String::new, |checksum| text::checksum(checksum.stored)),
        "tstamp" | "timestamp" => Moment::of(u64::from(record.time_s) * 1000).seconds_full(),
        "ksz" | "key_size" => units::bytes(record.key.len() as u64),
        _ => units::bytes(record.value.len() as u64),
    }
}

fn header_meaning(name: &str, header: &HeaderInfo) -> String {
    match name {
        "magic" => "a segment of logkv".to_owned(),
        "major" => header.major.to_string(),
        "minor" => header.minor.to_string(),
        "header_len" => format!("{} B", header.header_len),
        "record_header_len" => format!("{} B", header.record_header_len),
        "segment" => header.segment.to_string(),
        "base_seq" => header.base_seq.to_string(),
        "created_ms" => Moment::of(header.created_ms).seconds_full(),
        "incompat" => format!("{:#06x}", header.incompat),
        "salt" => format!("{:08x}", header.salt),
        "crc" => format!("{:08x}", header.crc),
        _ => String::new(),
    }
}

/// Returns the hue of a field, the same in records and headers of all formats.
fn hue_of(name: &str) -> Hue {
    match name {
        "hcrc" | "rcrc" | "crc" => hue::CHECKSUM,
        "seq" | "base_seq" | "segment" => hue::SEQ,
        "time_ms" | "created_ms" | "tstamp" | "timestamp" => hue::TIME,
        "lag" => hue::LAG,
        "vlen" | "klen" | "header_len" | "record_header_len" => hue::LEN,
        "ksz" | "value_sz" | "key_size" | "value_size" => hue::LEN,
        "kind" | "major" | "minor" => hue::KIND,
        "flag" | "incompat" | "salt" => hue::FLAG,
        "store" => hue::KEY,
        _ => hue::PLAIN,
    }
}

fn lag(record: &RecordItem) -> String {
    match record.lag {
        u16::MAX => "unknown or too large".to_owned(),
        lag => format!("{lag}: durable up to {}", record.seq.0.saturating_sub(u64::from(lag))),
    }
}

fn flags(record: &RecordItem) -> String {
    let expires = record.expires_ms.map(|_| "expires".to_owned());
    let unknown = || format!("codec {}", record.codec);
    let codec = (record.codec != 0).then(|| record.codec_name().map_or_else(unknown, str::to_owned));
    let more = record.more.then(|| "the batch continues".to_owned());
    let set: Vec<_> = [expires, codec, more].into_iter().flatten().collect();
    let names = if set.is_empty() { "none".to_owned() } else { set.join(", ") };
    format!("{:#04x} {names}", record.flags)
}

/// Decodes up to eight little-endian bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn covers(from: u64, to: u64) -> String {
    format!("covers {from:#08x}..{to:#08x}")
}

/// Returns the layout of the record field `name`.
fn record_field(name: &str) -> &'static LayoutField {
    let found = RECORD_FIELDS.iter().find(|place| place.name == name);
    found.expect("callers pass names of the layout")
}

/// Returns the length in the header field `name`. A decompressed value has another length.
fn stored_len(record: &RecordItem, name: &str) -> usize {
    let place = record_field(name);
    offset(number(record.bytes.get(place.at..place.at + place.len).unwrap_or_default()))
}

fn offset(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_items, store_with_history};
    use super::*;
    use crate::shell::commands::foreign::Parsed;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use logkv::inspect::{self, Inspection, Item};
    use logkv::{Compression, Options, SegmentId, Store};

    #[test]
    fn every_byte_of_a_segment_belongs_to_one_field() {
        let (_dir, inspection) = store_with_history();
        let mut next = 0;
        let mut follow = |fields: Vec<ByteField<'_>>| {
            for field in fields {
                assert_eq!(field.at, next, "{}", field.name);
                next += field.bytes.len() as u64;
            }
        };
        follow(of_header(inspection.header.as_ref().expect("the header is intact")));
        for item in all_items(&inspection) {
            let Item::Record(record) = item else { panic!("the segment is intact") };
            follow(of_record(&record));
        }
        assert_eq!(next, inspection.len);
    }

    #[test]
    fn every_byte_of_a_record_of_another_store_belongs_to_one_field() {
        for format in ForeignFormat::ALL {
            let written = format.write(7, b"key", b"value");
            let Parsed::Record(record) = format.read(&written) else { panic!("the record is whole") };
            let fields = of_foreign(format, 100, &record);
            let bytes: Vec<u8> = fields.iter().flat_map(|field| field.bytes.to_vec()).collect();
            assert_eq!(bytes, written);
            let ends: Vec<_> = fields.iter().map(|field| field.at + field.bytes.len() as u64).collect();
            let starts: Vec<_> = fields.iter().map(|field| field.at).collect();
            assert_eq!((starts[0], &ends[..ends.len() - 1]), (100, &starts[1..]));
        }
    }

    #[test]
    fn nonzero_padding_is_marked_as_wrong() {
        let (dir, inspection) = store_with_history();
        let padding = |inspection: &Inspection| {
            let Some(Item::Record(record)) = all_items(inspection).into_iter().next() else {
                panic!("the segment has a record")
            };
            let fields = of_record(&record);
            let last = fields.last().expect("a record has fields");
            let note = last.check.as_ref().map(|check| check.note.clone());
            (last.name, last.meaning.clone(), note, last.at + last.bytes.len() as u64 - 1)
        };
        let (name, meaning, note, at) = padding(&inspection);
        assert_eq!((name, meaning.as_str(), note), ("padding", "to a multiple of 8", None));
        let data = dir.path().join("data");
        let file = File::options().write(true).open(data.join("000001.seg")).expect("the segment exists");
        file.write_all_at(&[7], at).expect("the file is writable");
        let inspection =
            inspect::segment(&data, &Options::new(), SegmentId(1)).expect("the segment is readable");
        let (name, meaning, note, _) = padding(&inspection);
        let note = note.expect("the padding has a check");
        assert_eq!((name, meaning.as_str(), note.as_str()), ("padding", "not zero", "1 byte should be zero"));
    }

    #[test]
    fn the_raw_length_and_the_block_of_a_compressed_value_are_two_fields() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let options = Options::new().compression(Compression::Zstd { level: 3 });
        let store = Store::open_with(dir.path(), options).expect("a store can be created");
        store.put("k", [b'v'; 1000]).expect("the store is writable");
        let inspection = store.inspect(SegmentId(1)).expect("the segment is readable");
        let [Item::Record(record)] = &all_items(&inspection)[..] else {
            panic!("the segment has one record")
        };
        let fields = of_record(record);
        let field = |name| fields.iter().find(|field| field.name == name).expect("the record has this field");
        assert_eq!(field("flag").meaning, "0x04 zstd");
        assert_eq!(
            (field("raw_len").meaning.as_str(), field("raw_len").bytes),
            ("1000 B before zstd", &[0xe8, 3, 0, 0][..])
        );
        // The magic of a zstd frame (RFC 8878, section 3.1.1).
        assert!(field("value").bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        assert!(field("value").meaning.starts_with("vvvv"));
        assert_eq!(field("raw_len").bytes.len() + field("value").bytes.len(), record.stored.len());
    }

    #[test]
    fn every_field_has_a_meaning_and_the_stored_lengths_match_key_and_value() {
        let (_dir, inspection) = store_with_history();
        for item in all_items(&inspection) {
            let Item::Record(record) = item else { panic!("the segment is intact") };
            assert!(of_record(&record).iter().all(|field| !field.meaning.is_empty()));
            assert_eq!(stored_len(&record, "klen"), record.key.len());
            assert_eq!(stored_len(&record, "vlen"), record.stored.len());
        }
    }
}
