//! A line a record, for people, and a record byte by byte.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::{Item, Sums, kind, time};
use crate::shell::commands::foreign::{Format, Record};
use crate::shell::commands::transfer::walk::Bad;
use crate::shell::commands::xray::columns::Line;
use crate::shell::commands::xray::fields::{Check, Field};
use crate::shell::commands::xray::hex::{self, RowLimit};
use crate::shell::commands::xray::paint::{glyphs, hue};
use crate::shell::commands::xray::request::Values;
use crate::shell::lang::words::quote;
use crate::shell::term::grid::hang;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// Narrower than this a key is not worth its column, nor a value, which may be a tombstone; and none gets more than the most.
const KEY_LEAST: usize = 8;
const VALUE_LEAST: usize = "tombstone2: of file 1".len();
const WIDTH_MAX: usize = 48;
/// Of a long key or value no more is quoted than a column can show.
const PREVIEW_LEN: usize = 256;
const TIME_LEN: usize = "2026-11-22 05:56:40".len();

/// Which columns are shown, and how wide. A column that is hidden has no width.
pub struct Columns {
    format: Format,
    values: Values,
    look: Look,
    index: usize,
    offset: usize,
    size: usize,
    time: usize,
    key: usize,
    value: usize,
    has_crc: bool,
}

/// What is given up where the screen is too narrow, what is missed least first.
const CUTS: [fn(&mut Columns); 5] = [
    |columns| columns.has_crc = false,
    |columns| columns.time = 0,
    |columns| columns.size = 0,
    |columns| columns.value = 0,
    |columns| columns.index = 0,
];

impl Columns {
    pub fn new(format: Format, values: Values, look: Look) -> Self {
        let has_crc = format.has_checksums();
        Self { format, values, look, index: 1, offset: 8, size: 4, time: TIME_LEN, key: 3, value: 0, has_crc }
    }

    /// Makes room for `item`.
    pub fn measure(&mut self, item: &Item<'_>) {
        let Item::Record { index, record, .. } = item else { return };
        self.index = self.index.max(index.to_string().len());
        self.size = self.size.max(record.len.to_string().len());
        self.key = self.key.max(preview(record.key).width());
        if self.values == Values::Preview {
            self.value = self.value.max(shown_value(record).width()).max("value".len());
        }
    }

    /// Makes all fit the screen, of a file of `len` bytes.
    pub fn fit(&mut self, len: u64) {
        self.offset = format!("{len:#08x}").len();
        for cut in CUTS {
            if self.share() {
                return;
            }
            cut(self);
        }
        self.share();
    }

    /// Shares what the other columns leave between keys and values; says whether that was enough.
    fn share(&mut self) -> bool {
        let shown = [self.index, self.offset, self.size, "kind".len(), self.time, self.crc_width()];
        let fixed: usize = shown.iter().filter(|width| **width > 0).map(|width| width + 2).sum();
        let gaps = if self.value > 0 { 4 } else { 2 };
        let (key, value) = (self.key.min(WIDTH_MAX), self.value.min(WIDTH_MAX));
        let Some(room) = self.look.width.checked_sub(fixed + gaps) else { return false };
        if room < key.min(KEY_LEAST) + value.min(VALUE_LEAST) {
            return false;
        }
        // A short one leaves its half to the other.
        self.key = key.min((room / 2).max(room.saturating_sub(value)));
        self.value = value.min(room - self.key);
        true
    }

    fn crc_width(&self) -> usize {
        let verdict = glyphs(&self.look).right.width().max(glyphs(&self.look).wrong.width());
        match (self.format.has_checksums(), self.has_crc) {
            (false, _) => 0,
            (true, true) => "279979a0 ".len() + verdict,
            (true, false) => verdict.max("crc".len()),
        }
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

    /// Writes the line above the records.
    pub fn write_heading(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = Line::new(self.look);
        line.right("#", self.index, hue::DIM);
        line.left("offset", self.offset, hue::DIM);
        line.right("size", self.size, hue::DIM);
        line.left("kind", "kind".len(), hue::DIM);
        line.left("time (UTC)", self.time, hue::DIM);
        line.left("key", self.key, hue::DIM);
        line.left("value", self.value, hue::DIM);
        let crc = if self.format.has_checksums() { "crc" } else { "" };
        writeln!(out, "{}", line.end(crc, hue::DIM).trim_end())
    }

    /// Writes one item.
    pub fn write(&self, out: &mut impl Write, item: &Item<'_>) -> io::Result<()> {
        let (index, at, record) = match item {
            Item::Record { index, at, record } => (index, at, record),
            Item::Bad(bad) => return self.write_bad(out, bad),
        };
        let mut line = Line::new(self.look);
        line.right(&index.to_string(), self.index, hue::DIM);
        line.left(&format!("{at:#08x}"), self.offset, hue::OFFSET);
        line.right(&record.len.to_string(), self.size, hue::LEN);
        line.left(kind(record), "kind".len(), hue::KIND);
        line.left(&time(record), self.time, hue::TIME);
        line.left(&preview(record.key), self.key, hue::KEY);
        let value_hue = if record.tombstone.is_some() { hue::TOMBSTONE } else { hue::VALUE };
        line.left(&shown_value(record), self.value, value_hue);
        if let Some(checksum) = record.checksum {
            let is_right = checksum.stored == checksum.computed;
            line.checksum(self.has_crc.then_some(checksum.stored), is_right, self.crc_width());
        }
        writeln!(out, "{}", line.end("", hue::PLAIN).trim_end())?;
        if self.values == Values::Full && record.tombstone.is_none() {
            writeln!(out, "     {}", self.look.paint(quote(record.value), hue::VALUE))?;
        }
        Ok(())
    }

    fn write_bad(&self, out: &mut impl Write, bad: &Bad) -> io::Result<()> {
        let mut line = Line::new(Look { color: false, ..self.look });
        line.right("!", self.index.max(1), hue::PLAIN);
        line.left(&format!("{:#08x}", bad.at), self.offset, hue::PLAIN);
        line.right(&bad.len.to_string(), self.size, hue::PLAIN);
        let word = if bad.is_torn() { "torn" } else { "BAD " };
        let first = format!("{}  ", line.end(word, hue::PLAIN));
        let indent = first.width().min(self.look.width / 2);
        let text = hang(self.look.width, &first, indent, bad.to_string().split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", self.look.paint(line, hue::BAD)))
    }

    /// Writes one item byte by byte.
    pub fn write_hex(&self, out: &mut impl Write, item: &Item<'_>) -> io::Result<()> {
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

    /// The columns that there is no room for.
    pub fn left_out(&self) -> Vec<&'static str> {
        let columns = [
            ("#", self.index == 0),
            ("size", self.size == 0),
            ("time (UTC)", self.time == 0),
            ("value", self.value == 0 && self.values == Values::Preview),
        ];
        columns.into_iter().filter(|(_, is_left_out)| *is_left_out).map(|(name, _)| name).collect()
    }

    /// Writes how to go on, and what the file adds up to.
    pub fn write_end(
        &self,
        out: &mut impl Write,
        sums: &Sums,
        shown: usize,
        continuation: Option<String>,
    ) -> io::Result<()> {
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
                let mut columns = Columns::new(format, Values::Preview, look);
                let item = Item::Record { index: 7, at: 99, record };
                columns.measure(&item);
                columns.fit(1 << 20);
                let mut out = Vec::new();
                columns.write_heading(&mut out).expect("memory takes it");
                columns.write(&mut out, &item).expect("memory takes it");
                columns.write_hex(&mut out, &item).expect("memory takes it");
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
