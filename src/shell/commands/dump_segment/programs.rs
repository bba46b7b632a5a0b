//! The forms of `dump-segment` for programs: tab-separated lines and JSON objects.
//!
//! A line has `index offset len kind seq time_ms key value crc state other` for a segment, and
//! `index offset len kind time_s key value crc tombstone` for a file of another store. Keys and
//! values are quoted, so they contain no tab. For damaged or torn bytes the index is `!`, the kind
//! is `damaged` or `torn`, and the damage is in place of the state or the tombstone. A field
//! without content is empty.

use std::io;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::dump_item::{BadBytes, DumpItem, DumpRecord, FileShape, JsonField};
use super::request::{DumpRequest, ValueDisplay};
use super::text::{RecordState, checksum, preview};
use crate::shell::lang::answer::{Answer, FieldValue};
use crate::shell::lang::words::quote;
use crate::shell::term::output::Output;

/// Writes one item of a file of this shape.
pub fn write(
    out: &mut Output,
    item: &DumpItem<'_>,
    shape: &FileShape,
    request: &DumpRequest,
) -> io::Result<()> {
    let mut answer = out.answer();
    match item {
        DumpItem::Record(record) => add_record(&mut answer, record, shape, request),
        DumpItem::Bad(bad) => add_bad(&mut answer, bad, shape),
    }
    answer.end()?;
    Ok(())
}

fn add_record(answer: &mut Answer<'_>, record: &DumpRecord<'_>, shape: &FileShape, request: &DumpRequest) {
    answer.json("type", "record").field("index", record.index);
    record.details.add_file(answer);
    answer.field("offset", record.at).field("len", record.len).field("kind", record.kind.to_lowercase());
    if let Some(seq) = record.seq {
        answer.plain("seq", seq.0);
    }
    answer.plain("time", record.time_ms / shape.tick_ms).field("key", record.key);
    let value = record.value.filter(|_| request.values != ValueDisplay::None);
    if let Some(value) = value {
        answer.json("value", value);
    }
    answer.plain("value", value.map(|value| plain_value(value, request.values)));
    answer.plain(
        "crc",
        match record.checksum {
            Some((_, true)) => "ok",
            Some((_, false)) => "bad",
            None => "none",
        },
    );
    record.details.add_fields(answer);
    match record.fate.map(RecordState::of) {
        Some(state) => {
            answer.plain("state", format!("{} {}", state.name(), state.why).trim_end());
            answer.plain("other", state.other.map(|location| location.to_string()));
        }
        None => {
            answer.plain("tombstone", record.tombstone.clone());
        }
    }
    if request.hex {
        answer.json("bytes_b64", BASE64_STANDARD.encode(record.details.bytes()));
    }
}

fn plain_value(value: &[u8], values: ValueDisplay) -> String {
    if values == ValueDisplay::Full { quote(value) } else { preview(value) }
}

fn add_bad(answer: &mut Answer<'_>, bad: &BadBytes, shape: &FileShape) {
    answer.json("type", bad.kind()).plain("index", "!").field("offset", bad.at).field("len", bad.len);
    answer.plain("kind", bad.kind());
    let empty_count = if shape.has_fates { 4 } else { 3 };
    for _ in 0..empty_count {
        answer.plain("", FieldValue::Nothing);
    }
    answer.plain("crc", "bad").field("damage", &*bad.damage);
    if shape.has_fates {
        answer.plain("other", FieldValue::Nothing);
    }
    let (stored, computed) = bad.checksums.unzip();
    answer.json("stored", stored.map(checksum)).json("computed", computed.map(checksum));
    add_json(answer, bad.json_fields.clone());
}

/// Writes the totals of the file, and the offset of the first item that was not shown.
pub fn write_summary(out: &mut Output, fields: Vec<JsonField>, next: Option<u64>) -> io::Result<()> {
    let mut answer = out.answer();
    answer.json("type", "summary");
    add_json(&mut answer, fields);
    answer.json("next", next).end()?;
    Ok(())
}

fn add_json(answer: &mut Answer<'_>, fields: Vec<JsonField>) {
    for (name, value) in fields {
        answer.json(name, value);
    }
}
