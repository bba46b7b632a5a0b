//! One line an item for programs: fields with tabs between them, and nothing else.
//!
//! `index offset len kind seq time_ms key value crc state other` for a segment; `index offset len kind time_s key value
//! crc tombstone` for a file of another store. Keys and values are printed so that they can be typed back, and so hold
//! no tab. Of damaged and torn bytes the index is `!`, the kind `damaged` or `torn`, and the state what is wrong. A
//! field without content is empty.

use std::io::{self, Write};

use super::request::Values;
use super::shown::{Shape, Shown, ShownRecord};
use super::text::{State, preview};
use crate::shell::lang::words::quote;

/// Writes one item of a file of this shape.
pub fn write(out: &mut impl Write, item: &Shown<'_>, shape: &Shape, values: Values) -> io::Result<()> {
    let fields = match item {
        Shown::Record(record) => record_fields(record, shape, values),
        Shown::Bad(bad) => {
            let mut fields =
                vec!["!".to_owned(), bad.at.to_string(), bad.len.to_string(), bad.kind().to_owned()];
            let empty_count = if shape.has_fates { 4 } else { 3 };
            fields.extend(std::iter::repeat_n(String::new(), empty_count));
            fields.extend(["bad".to_owned(), bad.damage.clone()]);
            fields.extend(shape.has_fates.then(String::new));
            fields
        }
    };
    writeln!(out, "{}", fields.join("\t"))
}

fn record_fields(record: &ShownRecord<'_>, shape: &Shape, values: Values) -> Vec<String> {
    let value = record.value.map(|value| match values {
        Values::None => String::new(),
        Values::Preview => preview(value),
        Values::Full => quote(value),
    });
    let checksum = match record.checksum {
        Some((_, true)) => "ok",
        Some((_, false)) => "bad",
        None => "none",
    };
    let mut fields = vec![record.index.to_string(), record.at.to_string(), record.len.to_string()];
    fields.push(record.kind.to_lowercase());
    fields.extend(record.seq.map(|seq| seq.to_string()));
    fields.push((record.time_ms / shape.tick_ms).to_string());
    fields.extend([quote(record.key), value.unwrap_or_default(), checksum.to_owned()]);
    match record.fate.map(State::of) {
        Some(state) => {
            fields.push(format!("{} {}", state.name(), state.why).trim_end().to_owned());
            fields.push(state.other.map(|place| place.to_string()).unwrap_or_default());
        }
        None => fields.push(record.tombstone.clone().unwrap_or_default()),
    }
    fields
}
