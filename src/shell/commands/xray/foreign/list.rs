//! A line a record, for people, and a record byte by byte.

use std::io::{self, Write};

use super::{Item, Sums, kind, time};
use crate::shell::commands::foreign::{Format, Record};
use crate::shell::commands::transfer::walk::Bad;
use crate::shell::commands::xray::fields::{Check, Field};
use crate::shell::commands::xray::hex::{self, RowLimit};
use crate::shell::commands::xray::list::{checksum_cell, crc_width};
use crate::shell::commands::xray::paint::{glyphs, hue};
use crate::shell::commands::xray::request::{Request, Values};
use crate::shell::lang::words::quote;
use crate::shell::term::columns::{Cell, Column, Span, Table};
use crate::shell::term::fit::hang;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// Of a long key or value no more is quoted than a column can show.
const PREVIEW_LEN: usize = 256;

/// The file for people: a line an item, or each byte by byte.
pub struct List {
    format: Format,
    values: Values,
    look: Look,
    table: Table,
}

impl List {
    /// The list of a file that adds up to `sums`.
    pub fn new(format: Format, sums: &Sums, values: Values, hex: bool, look: Look) -> Self {
        let columns = columns(format, sums, values, &look);
        let headings = columns.iter().map(|column| column.name().into());
        let table = Table::new(&columns, look).indented().cutting_with(glyphs(&look).cut);
        let table = match hex {
            true => table.headless().measuring(1),
            false => table.headed(headings.collect()).measuring(Request::PAGE_LEN),
        };
        Self { format, values, look, table }
    }

    /// Writes the line that says which file this is.
    pub fn write_header(&self, out: &mut impl Write, name: &str, sums: &Sums) -> io::Result<()> {
        let checksums = if self.format.has_checksums() { "" } else { "no checksums" };
        let facts = [name, &units::bytes(sums.len), self.format.name(), checksums];
        let facts = facts.into_iter().filter(|fact| !fact.is_empty()).collect::<Vec<_>>();
        let text = facts.join(&format!(" {} ", glyphs(&self.look).dot));
        let text = hang(self.look.width, "", 2, text.split(' '));
        writeln!(out, "{}", self.look.paint(text, hue::HEAD))
    }

    /// Writes one item.
    pub fn write(&mut self, out: &mut impl Write, item: &Item<'_>) -> io::Result<()> {
        let (index, at, record) = match item {
            Item::Record { index, at, record } => (index, at, record),
            Item::Bad(bad) => return self.write_bad(out, bad),
        };
        let mut cells: Vec<Cell> = vec![
            index.to_string().into(),
            format!("{at:#08x}").into(),
            record.len.to_string().into(),
            kind(record).into(),
            time(record).into(),
            preview(record.key).into(),
        ];
        if self.values == Values::Preview {
            let value_hue = if record.tombstone.is_some() { hue::TOMBSTONE } else { hue::VALUE };
            cells.push(Cell::from(shown_value(record)).hue(value_hue));
        }
        if let Some(checksum) = record.checksum {
            cells.push(checksum_cell(checksum.stored, checksum.stored == checksum.computed, &self.look));
        }
        self.table.row(out, cells)?;
        if self.values == Values::Full && record.tombstone.is_none() {
            let value = self.look.paint(quote(record.value), hue::VALUE);
            self.table.text(out, format!("     {value}"))?;
        }
        Ok(())
    }

    fn write_bad(&mut self, out: &mut impl Write, bad: &Bad) -> io::Result<()> {
        let cells = vec![format!("{:#08x}", bad.at).into(), bad.len.to_string().into()];
        let word = if bad.is_torn() { "torn" } else { "BAD " }.to_owned();
        self.table.span(out, Span { mark: "!", cells, word, text: bad.to_string(), hue: hue::BAD })
    }

    /// Writes one item byte by byte.
    pub fn write_hex(&mut self, out: &mut impl Write, item: &Item<'_>) -> io::Result<()> {
        let (index, at, record) = match item {
            Item::Record { index, at, record } => (index, at, record),
            Item::Bad(bad) => return self.write_bad(out, bad),
        };
        let dot = glyphs(&self.look).dot;
        let what = format!("record {index} {dot} {at:#08x} {dot} {} B {dot} {}", record.len, kind(record));
        writeln!(out, "{}", self.look.paint(what, hue::HEAD))?;
        let header = self.format.header(record);
        let of = *at..*at + record.len as u64;
        for field in fields(self.format, *at, &header, record) {
            let rows = match self.values {
                Values::Full => hex::ALL_ROWS,
                Values::None if field.name == "value" => RowLimit::NONE,
                Values::None | Values::Preview => RowLimit::PREVIEW,
            };
            hex::write(out, &field, &of, rows, &self.look)?;
        }
        Ok(())
    }

    /// Writes how to go on, and what the file adds up to.
    pub fn end(
        self,
        out: &mut impl Write,
        sums: &Sums,
        shown: usize,
        continuation: Option<String>,
    ) -> io::Result<()> {
        self.table.end(out)?;
        if shown == 0 {
            writeln!(out, "  {}", self.look.paint("no record matches", hue::DIM))?;
        }
        if let Some(line) = continuation {
            let shown = format!("  {} {shown} shown; to go on:", glyphs(&self.look).cut);
            writeln!(out, "{} {line}", self.look.paint(shown, hue::DIM))?;
        }
        let mut facts = vec![
            units::count(sums.records, "record"),
            units::count(sums.records - sums.deletes, "put"),
            units::count(sums.deletes, "delete"),
        ];
        if sums.bad > 0 {
            facts.push(format!("{} damaged ({})", units::thousands(sums.bad), units::bytes(sums.bad_len)));
        }
        if sums.torn_len > 0 {
            facts.push(format!("torn tail {}", units::bytes(sums.torn_len)));
        }
        writeln!(out, "  {}", facts.join(&format!(" {} ", glyphs(&self.look).dot)))
    }
}

/// The columns of a list, the first to leave with the highest rank.
fn columns(format: Format, sums: &Sums, values: Values, look: &Look) -> Vec<Column> {
    let index_width = sums.records.saturating_sub(1).to_string().len();
    let mut columns = vec![
        Column::number("#", hue::DIM).leaves(1).wide(index_width),
        Column::text("offset", hue::OFFSET).wide(format!("{:#08x}", sums.len).len()),
        Column::number("size", hue::LEN).leaves(3).wide("size".len()),
        Column::text("kind", hue::KIND),
        Column::text("time (UTC)", hue::TIME).leaves(4),
        Column::text("key", hue::KEY).cut().within(8, 48),
    ];
    if values == Values::Preview {
        // A tombstone is no text to be cut.
        columns.push(
            Column::text("value", hue::VALUE).cut().within("tombstone2: of file 1".len(), 48).leaves(2),
        );
    }
    if format.has_checksums() {
        columns.push(Column::text("crc", hue::CHECKSUM).shortens(5, None).wide(crc_width(look)));
    }
    columns
}

/// The start of a key or a value, quoted.
fn preview(bytes: &[u8]) -> String {
    quote(&bytes[..bytes.len().min(PREVIEW_LEN)])
}

/// What the value's column says.
fn shown_value(record: &Record<'_>) -> String {
    record.tombstone.map_or_else(|| preview(record.value), |tombstone| tombstone.to_string())
}

/// The fields of a record at `at`, in file order.
fn fields<'a>(format: Format, at: u64, header: &'a [u8], record: &Record<'a>) -> Vec<Field<'a>> {
    let mut fields = Vec::new();
    let (mut rest, mut field_at) = (header, at);
    for &(name, len) in format.header_fields() {
        let (bytes, after) = rest.split_at(len);
        let (meaning, hue) = match name {
            "crc" => (String::new(), hue::CHECKSUM),
            "tstamp" | "timestamp" => (time(record), hue::TIME),
            "ksz" | "key_size" => (units::bytes(record.key.len() as u64), hue::LEN),
            _ => (units::bytes(record.value.len() as u64), hue::LEN),
        };
        fields.push(Field { name, hue, at: field_at, bytes, meaning, check: None });
        (rest, field_at) = (after, field_at + len as u64);
    }
    if let (Some(checksum), Some(field)) = (record.checksum, fields.first_mut()) {
        field.meaning = format!("{:08x}", checksum.stored);
        let (from, to) = (at + size_of::<u32>() as u64, at + record.len as u64);
        let note = format!("covers {from:#08x}..{to:#08x}");
        field.check = Some(Check { is_right: checksum.stored == checksum.computed, note });
    }
    let value_at = field_at + record.key.len() as u64;
    for (name, hue, at, bytes, meaning) in [
        ("key", hue::KEY, field_at, record.key, preview(record.key)),
        ("value", hue::VALUE, value_at, record.value, shown_value(record)),
    ] {
        if !bytes.is_empty() {
            fields.push(Field { name, hue, at, bytes, meaning, check: None });
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::shell::commands::foreign::Start;

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for format in Format::ALL {
            let written =
                format.write(1_700_000_000, &b"a long key ".repeat(9), &b"and a long value ".repeat(9));
            let Start::Record(record) = format.read(&written) else { panic!("a whole record") };
            for width in 48..160 {
                let look = Look { color: false, ascii: false, width };
                let sums = Sums { len: 1 << 20, records: 8, ..Sums::default() };
                let mut list = List::new(format, &sums, Values::Preview, false, look);
                let item = Item::Record { index: 7, at: 99, record };
                let mut out = Vec::new();
                list.write(&mut out, &item).expect("memory takes it");
                list.write_hex(&mut out, &item).expect("memory takes it");
                list.end(&mut out, &sums, 1, None).expect("memory takes it");
                let text = String::from_utf8(out).expect("it is text");
                let wide: Vec<_> = text.lines().filter(|line| line.width() > width).collect();
                assert!(wide.is_empty(), "{width}: {wide:#?}");
            }
        }
    }

    #[test]
    fn the_fields_of_a_record_are_all_its_bytes() {
        for format in Format::ALL {
            let written = format.write(7, b"key", b"value");
            let Start::Record(record) = format.read(&written) else { panic!("a whole record") };
            let header = format.header(&record);
            let fields = fields(format, 100, &header, &record);
            let bytes: Vec<u8> = fields.iter().flat_map(|field| field.bytes.to_vec()).collect();
            assert_eq!(bytes, written);
            let ends: Vec<_> = fields.iter().map(|field| field.at + field.bytes.len() as u64).collect();
            let starts: Vec<_> = fields.iter().map(|field| field.at).collect();
            assert_eq!((starts[0], &ends[..ends.len() - 1]), (100, &starts[1..]));
        }
    }
}
