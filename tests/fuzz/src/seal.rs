//! Checksums put right after bytes were changed, so that what lies behind them is reached; and an independent reader of
//! records, which knows what was ever written.

use std::collections::BTreeSet;
use std::ops::Range;

use logkv::fs::StoreFile;
use logkv::layout::{
    Field, KEYDIR_FIELDS, KEYDIR_SEGMENT_FIELDS, KEYDIR_SHARD_FIELDS, RECORD_FIELDS, SEGMENT_FIELDS,
};

use super::memory::{Image, file};

/// The length of a segment's header, and of a record's, as this version writes them.
pub const SEGMENT_HEADER_LEN: usize = 64;
const RECORD_HEADER_LEN: usize = 32;
/// What a record's checksums cover starts here.
const BODY_AT: usize = 8;
const EXPIRY_FLAG: u64 = 1;

/// Where the field `name` stands.
fn place(fields: &[Field], name: &str) -> Range<usize> {
    let field = fields.iter().find(|field| field.name == name);
    let field = field.unwrap_or_else(|| panic!("there is a field {name}"));
    field.at..field.at + field.len
}

/// The length of what has these fields.
fn len(fields: &[Field]) -> usize {
    fields.iter().map(|field| field.len).sum()
}

/// The little-endian number in the first eight bytes of `bytes`, or in all of them.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn record_field(record: &[u8], name: &str) -> u64 {
    number(&record[place(RECORD_FIELDS, name)])
}

/// What the records of a segment are read with, as MANIFEST and the segment's header say; they agree unless edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Context {
    salt: u32,
    header_len: usize,
}

impl Context {
    fn crc(self, at: usize, bytes: &[u8]) -> u32 {
        let place = [&self.salt.to_le_bytes()[..], &(at as u64).to_le_bytes()].concat();
        crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
    }

    /// Where key and value of the record at the start of `bytes` are, and its length; `None` if it ends behind them.
    fn frame(self, bytes: &[u8]) -> Option<(Range<usize>, Range<usize>, usize)> {
        bytes.get(..self.header_len)?;
        let expiry = if record_field(bytes, "flag") & EXPIRY_FLAG == 0 { 0 } else { 8 };
        let key_at = self.header_len + expiry;
        let key_end = key_at + record_field(bytes, "klen") as usize;
        let value_at = key_end.next_multiple_of(8);
        let value_end = value_at + record_field(bytes, "vlen") as usize;
        let len = value_end.next_multiple_of(8);
        (len <= bytes.len()).then_some((key_at..key_end, value_at..value_end, len))
    }
}

/// The contexts in which the records of segment `name` may be read.
fn contexts(image: &Image, name: StoreFile, bytes: &[u8]) -> BTreeSet<Context> {
    let mut contexts = BTreeSet::new();
    if let Some(header) = bytes.get(..SEGMENT_HEADER_LEN) {
        let salt = number(&header[place(SEGMENT_FIELDS, "salt")]) as u32;
        let header_len = number(&header[place(SEGMENT_FIELDS, "record_header_len")]) as usize;
        contexts.insert(Context { salt, header_len });
    }
    let manifest = file(image, StoreFile::Manifest).map(Vec::as_slice).unwrap_or_default();
    for line in String::from_utf8_lossy(manifest).lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let ["segment", id, _, _, "salt", salt, "headers", headers, ..] = *words.as_slice()
            && id.parse().map(|id| StoreFile::Segment(logkv::SegmentId(id))) == Ok(name)
            && let Ok(salt) = u32::from_str_radix(salt, 16)
            && let Some(Ok(header_len)) = headers.split('+').nth(1).map(str::parse)
        {
            contexts.insert(Context { salt, header_len });
        }
    }
    contexts.retain(|context| (RECORD_HEADER_LEN..=4096).contains(&context.header_len));
    contexts
}

/// Every key and value that some record in the image's segments holds under a right checksum, wherever it stands.
#[must_use]
pub fn ever_written(image: &Image) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
    let mut written = BTreeSet::new();
    for (name, bytes) in image {
        let StoreFile::Segment(_) = name else { continue };
        for context in contexts(image, *name, bytes) {
            for at in (0..bytes.len()).step_by(8) {
                let Some((key, value, len)) = context.frame(&bytes[at..]) else { continue };
                let record = &bytes[at..at + len];
                let crc = u64::from(context.crc(at, &record[BODY_AT..]));
                // Nothing has an empty key, whatever a checksum says.
                if record_field(record, "rcrc") == crc && !key.is_empty() {
                    written.insert((record[key].to_vec(), record[value].to_vec()));
                }
            }
        }
    }
    written
}

/// Where the records of the segment that `bytes` are start, going by their lengths, checked or not.
#[must_use]
pub fn record_starts(bytes: &[u8]) -> Vec<usize> {
    let context = Context { salt: 0, header_len: RECORD_HEADER_LEN };
    let next = |&at: &usize| context.frame(bytes.get(at..)?).map(|(_, _, len)| at + len);
    let starts = std::iter::successors(Some(SEGMENT_HEADER_LEN), next);
    starts.take_while(|at| at + RECORD_HEADER_LEN <= bytes.len()).collect()
}

/// Puts a right checksum under MANIFEST's lines.
pub fn manifest(bytes: &mut Vec<u8>) {
    let body_len = match bytes.strip_suffix(b"\n").unwrap_or(bytes).rsplit(|&byte| byte == b'\n').next() {
        Some(last) if last.starts_with(b"crc ") => {
            bytes.len() - last.len() - usize::from(bytes.ends_with(b"\n"))
        }
        _ => bytes.len(),
    };
    bytes.truncate(body_len);
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    let crc = crc32c::crc32c(bytes);
    bytes.extend_from_slice(format!("crc {crc:08x}\n").as_bytes());
}

/// Puts the right checksum into a segment's header, as long as it says it is.
pub fn segment_header(bytes: &mut [u8]) {
    let Some(header) = bytes.get(..SEGMENT_HEADER_LEN) else { return };
    let len = number(&header[place(SEGMENT_FIELDS, "header_len")]) as usize;
    let crc_at = place(SEGMENT_FIELDS, "crc");
    let behind = bytes.get(SEGMENT_HEADER_LEN..len).unwrap_or_default();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..crc_at.start]), behind);
    bytes[crc_at].copy_from_slice(&crc.to_le_bytes());
}

/// Puts right checksums into all records of a segment, one behind the other, as far as their lengths lead. A record that
/// would end behind the segment gets a right checksum of its header; the next one is the next that has one already.
pub fn records(bytes: &mut [u8], context: Context, from: usize) {
    let mut at = from;
    while let Some(header) = bytes.get(at..at + context.header_len) {
        let hcrc = context.crc(at, &header[BODY_AT..]);
        let frame = context.frame(&bytes[at..]);
        bytes[at..at + 4].copy_from_slice(&hcrc.to_le_bytes());
        if let Some((_, _, len)) = frame {
            let rcrc = context.crc(at, &bytes[at + BODY_AT..at + len]);
            bytes[at + 4..at + BODY_AT].copy_from_slice(&rcrc.to_le_bytes());
            at += len;
        } else {
            let is_intact = |at: usize| {
                let header = bytes.get(at..at + context.header_len);
                header.is_some_and(|header| {
                    record_field(header, "hcrc") == u64::from(context.crc(at, &header[BODY_AT..]))
                })
            };
            let next = (at + 8..bytes.len()).step_by(8).find(|&at| is_intact(at));
            at = next.unwrap_or(bytes.len());
        }
    }
}

/// Puts the right checksums into all segments' records.
pub fn all_records(image: &mut Image) {
    let contexts: Vec<_> = image
        .iter()
        .map(|(name, bytes)| match name {
            StoreFile::Segment(_) => contexts(image, *name, bytes).into_iter().next(),
            _ => None,
        })
        .collect();
    for ((_, bytes), context) in image.iter_mut().zip(contexts) {
        if let Some(context) = context {
            records(bytes, context, SEGMENT_HEADER_LEN);
        }
    }
}

/// Puts the right checksum at the end of a hint.
pub fn hint(bytes: &mut [u8]) {
    let Some(end) = bytes.len().checked_sub(8) else { return };
    let crc = u64::from(crc32c::crc32c(&bytes[..end]));
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

/// Puts the right checksums into KEYDIR's head and shards, and the right count of keys.
pub fn keydir(bytes: &mut [u8]) {
    const SHARD_COUNT: usize = 1024;
    let shard_row_len = len(KEYDIR_SHARD_FIELDS);
    let Some(header) = bytes.get(..len(KEYDIR_FIELDS)) else { return };
    let header_field = |name| number(&header[place(KEYDIR_FIELDS, name)]) as usize;
    let segments_len = header_field("segment_count") * len(KEYDIR_SEGMENT_FIELDS);
    let shards_at = header_field("header_len") + segments_len;
    let crc_at = shards_at + SHARD_COUNT * shard_row_len;
    if crc_at + 8 > bytes.len() {
        return;
    }
    let mut key_count: u64 = 0;
    for row_at in (shards_at..crc_at).step_by(shard_row_len) {
        let row = &bytes[row_at..row_at + shard_row_len];
        let row_field = |name| number(&row[place(KEYDIR_SHARD_FIELDS, name)]);
        let slots_at = row_field("slots_at") as usize;
        let slots_len = row_field("slot_count") as usize * 8;
        key_count += row_field("count");
        if let Some(slots) = slots_at.checked_add(slots_len).and_then(|end| bytes.get(slots_at..end)) {
            let crc = crc32c::crc32c(slots).to_le_bytes();
            let crc_place = place(KEYDIR_SHARD_FIELDS, "crc");
            bytes[row_at + crc_place.start..row_at + crc_place.end].copy_from_slice(&crc);
        }
    }
    bytes[place(KEYDIR_FIELDS, "key_count")].copy_from_slice(&key_count.to_le_bytes());
    let crc = u64::from(crc32c::crc32c(&bytes[..crc_at]));
    bytes[crc_at..crc_at + 8].copy_from_slice(&crc.to_le_bytes());
}
