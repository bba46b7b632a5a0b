//! One line an item for programs: fields with tabs between them, and nothing else.
//!
//! `index offset len kind seq time_ms key value crc state other`; keys and values are printed so that they can be
//! typed back, and so hold no tab. Of damaged and torn bytes the index is `!`, the kind `damaged` or `torn`, and
//! the state what is wrong; fields that there are none of are empty.

use std::io::{self, Write};

use logkv::inspect::{Item, Kind, RecordItem};

use super::request::Values;
use super::text::{self, State, preview};
use crate::shell::lang::words;

/// Writes one item.
pub fn write(out: &mut dyn Write, item: &Item, values: Values) -> io::Result<()> {
    match item {
        Item::Record(record) => write_record(out, record, values),
        Item::Damaged { at, len, damage, .. } => {
            writeln!(out, "!\t{at}\t{len}\tdamaged\t\t\t\t\tbad\t{damage}\t")
        }
        Item::Torn { at, len, damage, .. } => writeln!(out, "!\t{at}\t{len}\ttorn\t\t\t\t\tbad\t{damage}\t"),
    }
}

fn write_record(out: &mut dyn Write, record: &RecordItem, values: Values) -> io::Result<()> {
    let value = match (record.kind, values) {
        (Kind::Delete | Kind::Other(_), _) | (_, Values::None) => String::new(),
        (Kind::Put, Values::Preview) => preview(record),
        (Kind::Put, Values::Full) => words::quote(&record.value),
    };
    let state = State::of(record);
    writeln!(
        out,
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{value}\t{}\t{}\t{}",
        record.index,
        record.location.offset,
        record.len,
        text::kind(record.kind).to_lowercase(),
        record.seq,
        record.time_ms,
        words::quote(&record.key),
        if text::is_sound(record) { "ok" } else { "bad" },
        format!("{} {}", state.name(), state.why).trim_end(),
        state.other.map(|place| place.to_string()).unwrap_or_default(),
    )
}
