//! The X-ray for programs: an object an item, with every field, and one for the segment.

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use logkv::inspect::{Inspection, Item, Kind, RecordItem};
use logkv::{Damage, Location};

use super::request::{Request, Values};
use super::text::{self, State};
use crate::shell::term::json::Object;

/// Writes one item.
pub fn write(out: &mut impl Write, item: &Item, request: &Request) -> io::Result<()> {
    let mut object = Object::new(out);
    match item {
        Item::Record(record) => write_record(&mut object, record, request)?,
        Item::Damaged { at, len, damage, next } => {
            write_damage(&mut object, "damaged", (*at, *len), damage)?;
            object.field("next", *next)?;
        }
        Item::Torn { at, len, damage, records, behind } => {
            write_damage(&mut object, "torn", (*at, *len), damage)?;
            object.field("records", *records)?.field("intact_behind", *behind)?;
        }
    }
    object.end()
}

/// Writes what the segment is and adds up to, what compaction would free, and where the items go on that were not
/// shown.
pub fn write_summary(
    out: &mut impl Write,
    inspection: &Inspection,
    would_free: Option<u64>,
    next: Option<u64>,
) -> io::Result<()> {
    let totals = &inspection.totals;
    let header = inspection.header.as_ref();
    let mut object = Object::new(out);
    object.field("type", "summary")?;
    object.field("segment", inspection.id.0)?;
    object.field("role", text::role(inspection.role))?;
    object.field("len", inspection.len)?;
    object.field("format", header.ok().map(|header| format!("{}.{}", header.major, header.minor)))?;
    object.field("base_seq", header.ok().map(|header| header.base_seq.0))?;
    object.field("created_ms", header.ok().map(|header| header.created_ms))?;
    object.field("header_damage", header.err().map(ToString::to_string))?;
    for (name, number) in [
        ("records", totals.record_count),
        ("live", totals.live_count),
        ("live_bytes", totals.live_len),
        ("dead", totals.dead_count),
        ("dead_bytes", totals.dead_len),
        ("tombstones", totals.tombstone_count),
        ("tombstone_bytes", totals.tombstone_len),
        ("expired", totals.expired_count),
        ("expired_bytes", totals.expired_len),
        ("damaged", totals.damaged_count),
        ("damaged_bytes", totals.damaged_len),
        ("torn_bytes", totals.torn_len),
        ("raw_bytes", totals.raw_len),
        ("stored_bytes", totals.stored_len),
    ] {
        object.field(name, number)?;
    }
    object.field("compact_frees_bytes", would_free)?;
    object.field("next", next)?;
    object.end()
}

fn write_record<W: Write>(
    object: &mut Object<'_, W>,
    record: &RecordItem,
    request: &Request,
) -> io::Result<()> {
    object.field("type", "record")?;
    object.field("index", record.index)?;
    object.field("segment", record.location.segment.0)?;
    object.field("offset", record.location.offset)?;
    object.field("len", record.len)?;
    object.field("kind", text::kind(record.kind).to_lowercase())?;
    object.bytes("key", &record.key)?;
    if record.kind == Kind::Put && request.values != Values::None {
        object.bytes("value", &record.value)?;
    }
    object.field("seq", record.seq.0)?;
    object.field("time_ms", record.time_ms)?;
    object.field("expires_ms", record.expires_ms)?;
    object.field("lag", record.lag)?;
    object.field("flags", record.flags)?;
    object.field("more", record.more)?;
    object.field("codec", record.codec)?;
    if record.is_compressed() {
        object.field("raw_bytes", record.value.len())?;
        object.field("stored_bytes", record.stored.len())?;
    }
    object.field("hcrc", checksum(record.stored_hcrc))?;
    object.field("rcrc", checksum(record.stored_rcrc))?;
    object.field("rcrc_computed", checksum(record.computed_rcrc))?;
    object.field("crc_ok", text::is_sound(record))?;
    let state = State::of(record);
    object.field("state", state.name())?;
    object.field("why", state.why)?;
    object.field("other", state.other.map(place))?;
    object.field("damage", record.damage.as_ref().map(ToString::to_string))?;
    if request.hex {
        object.field("bytes_b64", BASE64_STANDARD.encode(&record.bytes))?;
    }
    Ok(())
}

fn write_damage<W: Write>(
    object: &mut Object<'_, W>,
    kind: &str,
    (at, len): (u64, u64),
    damage: &Damage,
) -> io::Result<()> {
    let (stored, computed) = text::checksums(damage).unzip();
    object.field("type", kind)?;
    object.field("offset", at)?;
    object.field("len", len)?;
    object.field("damage", damage.to_string())?;
    object.field("stored", stored.map(checksum))?;
    object.field("computed", computed.map(checksum))?;
    Ok(())
}

fn checksum(crc: u32) -> String {
    format!("{crc:08x}")
}

fn place(location: Location) -> Value {
    json!({"segment": location.segment.0, "offset": location.offset})
}
