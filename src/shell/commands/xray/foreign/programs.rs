//! A line or an object an item, for programs.
//!
//! The fields of a line are `index offset len kind time_s key value crc why`, with tabs between them; of bytes that are no
//! record the index is `!`, and fields that there are none of are empty.

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::{Dump, Item, Sums, kind};
use crate::shell::commands::transfer::walk::{Bad, Why};
use crate::shell::commands::xray::request::Values;
use crate::shell::lang::words::quote;
use crate::shell::term::json::Object;
use crate::shell::term::output::Output;

/// Writes one item as a line.
pub fn write_plain(out: &mut Output, item: &Item<'_>, values: Values) -> io::Result<()> {
    let (index, at, record) = match item {
        Item::Record { index, at, record } => (index, at, record),
        Item::Bad(bad) => {
            return writeln!(out, "!\t{}\t{}\t{}\t\t\t\tbad\t{bad}", bad.at, bad.len, word(bad));
        }
    };
    let value = match (record.tombstone, values) {
        (None, Values::Preview | Values::Full) => quote(record.value),
        (Some(_), _) | (None, Values::None) => String::new(),
    };
    let (key, kind) = (quote(record.key), kind(record).to_lowercase());
    let crc = if record.checksum.is_some() { "ok" } else { "none" };
    let why = record.tombstone.map(|tombstone| tombstone.to_string()).unwrap_or_default();
    writeln!(out, "{index}\t{at}\t{}\t{kind}\t{}\t{key}\t{value}\t{crc}\t{why}", record.len, record.time_s)
}

/// Writes one item as an object.
pub fn write_json(out: &mut Output, dump: &Dump, item: &Item<'_>) -> io::Result<()> {
    let mut object = Object::new(out);
    match item {
        Item::Record { index, at, record } => {
            object.field("type", "record")?.field("index", *index)?;
            object.field("format", dump.format.name())?.field("file", dump.name.as_str())?;
            object.field("offset", *at)?.field("len", record.len)?;
            object.field("kind", kind(record).to_lowercase())?.bytes("key", record.key)?;
            if record.tombstone.is_none() && dump.request.values != Values::None {
                object.bytes("value", record.value)?;
            }
            object.field("time_s", record.time_s)?;
            object.field("tombstone", record.tombstone.map(|tombstone| tombstone.to_string()))?;
            object.field("crc", record.checksum.map(|checksum| format!("{:08x}", checksum.stored)))?;
            object.field("crc_ok", record.checksum.map(|_| record.is_sound()))?;
            if dump.request.hex {
                let bytes = [&dump.format.header(record), record.key, record.value].concat();
                object.field("bytes_b64", BASE64_STANDARD.encode(bytes))?;
            }
        }
        Item::Bad(bad) => {
            object.field("type", word(bad))?.field("offset", bad.at)?.field("len", bad.len)?;
            object.field("damage", bad.to_string())?;
            let checksums = match bad.why {
                Why::Checksum { stored, computed } => Some((stored, computed)),
                Why::Torn(_) | Why::TooLong(_) | Why::Zeros => None,
            };
            let (stored, computed) = checksums.unzip();
            object.field("stored", stored.map(|crc| format!("{crc:08x}")))?;
            object.field("computed", computed.map(|crc| format!("{crc:08x}")))?;
        }
    }
    object.end()
}

/// Writes what the file adds up to, and where the items go on that were not shown.
pub fn write_summary(out: &mut Output, dump: &Dump, sums: &Sums, next: Option<u64>) -> io::Result<()> {
    let mut object = Object::new(out);
    object.field("type", "summary")?.field("format", dump.format.name())?;
    object.field("file", dump.name.as_str())?.field("len", sums.len)?;
    object.field("records", sums.records)?.field("puts", sums.records - sums.deletes)?;
    object.field("deletes", sums.deletes)?.field("damaged", sums.bad)?;
    object.field("damaged_bytes", sums.bad_len)?.field("torn_bytes", sums.torn_len)?;
    object.field("next", next)?.end()
}

fn word(bad: &Bad) -> &'static str {
    if bad.is_torn() { "torn" } else { "damaged" }
}
