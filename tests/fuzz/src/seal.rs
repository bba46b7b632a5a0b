//! Corrects checksums after edits, so that inputs reach the code behind the checks. Also an
//! independent reader of records, which finds every value ever written.

use std::collections::BTreeSet;
use std::ops::Range;

use logkv::fs::StoreFile;
use logkv::layout::{
    Field, KEYDIR_FIELDS, KEYDIR_SEGMENT_FIELDS, KEYDIR_SHARD_FIELDS, RECORD_FIELDS, SEGMENT_FIELDS,
};

use super::memory::{Image, file};

/// The length of a segment's header in this version.
pub const SEGMENT_HEADER_LEN: usize = 64;
/// The length of a record's header in this version.
const RECORD_HEADER_LEN: usize = 32;
/// The offset in a record at which its checksums start to cover it.
const BODY_AT: usize = 8;
const EXPIRY_FLAG: u64 = 1;

/// Returns the range of the field `name`.
fn range_of(fields: &[Field], name: &str) -> Range<usize> {
    let field = fields.iter().find(|field| field.name == name);
    let field = field.unwrap_or_else(|| panic!("no field {name}"));
    field.at..field.at + field.len
}

/// Returns the total length of `fields`.
fn len(fields: &[Field]) -> usize {
    fields.iter().map(|field| field.len).sum()
}

/// Decodes the first eight bytes of `bytes`, or all if fewer, as a little-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn record_field(record: &[u8], name: &str) -> u64 {
    number(&record[range_of(RECORD_FIELDS, name)])
}

/// The salt and header length of a segment's records. MANIFEST and the segment header have both,
/// and agree unless edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Context {
    salt: u32,
    header_len: usize,
}

impl Context {
    fn crc(self, at: usize, bytes: &[u8]) -> u32 {
        let prefix = [&self.salt.to_le_bytes()[..], &(at as u64).to_le_bytes()].concat();
        crc32c::crc32c_append(crc32c::crc32c(&prefix), bytes)
    }

    /// Returns the key range, the value range and the length of the record at the start of `bytes`,
    /// or `None` if it does not fit.
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

/// Returns the contexts that MANIFEST and the header give for segment `name`.
fn contexts(image: &Image, name: StoreFile, bytes: &[u8]) -> BTreeSet<Context> {
    let mut contexts = BTreeSet::new();
    if let Some(header) = bytes.get(..SEGMENT_HEADER_LEN) {
        let salt = number(&header[range_of(SEGMENT_FIELDS, "salt")]) as u32;
        let header_len = number(&header[range_of(SEGMENT_FIELDS, "record_header_len")]) as usize;
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

/// Returns every key and value in a record with a correct checksum, at any offset of any segment.
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
                // An empty key is invalid, even under a correct checksum.
                if record_field(record, "rcrc") == crc && !key.is_empty() {
                    written.insert((record[key].to_vec(), record[value].to_vec()));
                }
            }
        }
    }
    written
}

/// Returns the offsets of the records in a segment's `bytes`, by their lengths alone.
#[must_use]
pub fn record_starts(bytes: &[u8]) -> Vec<usize> {
    let context = Context { salt: 0, header_len: RECORD_HEADER_LEN };
    let next = |&at: &usize| context.frame(bytes.get(at..)?).map(|(_, _, len)| at + len);
    let starts = std::iter::successors(Some(SEGMENT_HEADER_LEN), next);
    starts.take_while(|at| at + RECORD_HEADER_LEN <= bytes.len()).collect()
}

/// Corrects the checksum of MANIFEST.
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

/// Corrects the checksum of a segment header of any stated length.
pub fn segment_header(bytes: &mut [u8]) {
    let Some(header) = bytes.get(..SEGMENT_HEADER_LEN) else { return };
    let len = number(&header[range_of(SEGMENT_FIELDS, "header_len")]) as usize;
    let crc_at = range_of(SEGMENT_FIELDS, "crc");
    let behind = bytes.get(SEGMENT_HEADER_LEN..len).unwrap_or_default();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..crc_at.start]), behind);
    bytes[crc_at].copy_from_slice(&crc.to_le_bytes());
}

/// Corrects the checksums of a segment's records, following their lengths. For a record that does
/// not fit, only the header's checksum is corrected, and the next record is the next one with a
/// correct header.
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

/// Corrects the checksums of the records in all segments.
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

/// Corrects the checksum of a hint.
pub fn hint(bytes: &mut [u8]) {
    let Some(end) = bytes.len().checked_sub(8) else { return };
    let crc = u64::from(crc32c::crc32c(&bytes[..end]));
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

/// Corrects the checksums of KEYDIR's head and shards, and its count of keys.
pub fn keydir(bytes: &mut [u8]) {
    const SHARD_COUNT: usize = 1024;
    let shard_row_len = len(KEYDIR_SHARD_FIELDS);
    let Some(header) = bytes.get(..len(KEYDIR_FIELDS)) else { return };
    let header_field = |name| number(&header[range_of(KEYDIR_FIELDS, name)]) as usize;
    let segments_len = header_field("segment_count") * len(KEYDIR_SEGMENT_FIELDS);
    let shards_at = header_field("header_len") + segments_len;
    let crc_at = shards_at + SHARD_COUNT * shard_row_len;
    if crc_at + 8 > bytes.len() {
        return;
    }
    let mut key_count: u64 = 0;
    for row_at in (shards_at..crc_at).step_by(shard_row_len) {
        let row = &bytes[row_at..row_at + shard_row_len];
        let row_field = |name| number(&row[range_of(KEYDIR_SHARD_FIELDS, name)]);
        let slots_at = row_field("slots_at") as usize;
        let slots_len = row_field("slot_count") as usize * 8;
        key_count += row_field("count");
        if let Some(slots) = slots_at.checked_add(slots_len).and_then(|end| bytes.get(slots_at..end)) {
            let crc = crc32c::crc32c(slots).to_le_bytes();
            let crc_range = range_of(KEYDIR_SHARD_FIELDS, "crc");
            bytes[row_at + crc_range.start..row_at + crc_range.end].copy_from_slice(&crc);
        }
    }
    bytes[range_of(KEYDIR_FIELDS, "key_count")].copy_from_slice(&key_count.to_le_bytes());
    let crc = u64::from(crc32c::crc32c(&bytes[..crc_at]));
    bytes[crc_at..crc_at + 8].copy_from_slice(&crc.to_le_bytes());
}
