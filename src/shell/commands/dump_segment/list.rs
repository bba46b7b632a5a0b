//! The list of `dump-segment`: one line per record.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::dump_item::{BadBytes, DumpItem, DumpRecord, FileShape};
use super::paint::{glyphs, hue, verdict};
use super::request::{DumpRequest, ValueDisplay};
use super::text::{RecordState, checksum, preview};
use crate::shell::lang::words;
use crate::shell::term::columns::{Cell, Column, Span, Table};
use crate::shell::term::fit::hang;
use crate::shell::term::moment::Moment;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// A list with one line per item, in columns that fit the screen.
#[derive(Debug)]
pub struct List {
    table: Table,
    look: Look,
    values: ValueDisplay,
    shape: FileShape,
}

impl List {
    /// Creates the list for a file of this shape.
    pub fn new(shape: FileShape, values: ValueDisplay, look: Look) -> Self {
        let columns = columns(&shape, values, &look);
        let time = shape.day.as_ref().map_or_else(|| "time (UTC)".to_owned(), |day| format!("{day} UTC"));
        let headings = columns.iter().map(|column| match column.name() {
            "time" => Cell::from(&*time).or("UTC"),
            name => name.into(),
        });
        let table = Table::new(&columns, look).headed(headings.collect());
        let table = table.indented().cutting_with(glyphs(&look).cut);
        Self { table: table.measuring(DumpRequest::PAGE_LEN), look, values, shape }
    }

    /// Creates a list of bytes that are not records, between other output.
    pub fn of_bad_bytes(shape: FileShape, look: Look) -> Self {
        let columns = columns(&shape, ValueDisplay::None, &look);
        let table = Table::new(&columns, look).headless().indented().measuring(1);
        Self { table, look, values: ValueDisplay::None, shape }
    }

    /// Writes one item.
    pub fn write(&mut self, out: &mut dyn Write, item: &DumpItem<'_>) -> io::Result<()> {
        match item {
            DumpItem::Record(record) => self.write_record(out, record),
            DumpItem::Bad(bad) => self.write_bad(out, bad),
        }
    }

    /// Writes the remaining rows, and the names of the columns that did not fit.
    pub fn end(self, out: &mut dyn Write) -> io::Result<()> {
        self.table.end(out)
    }

    fn write_record(&mut self, out: &mut dyn Write, record: &DumpRecord<'_>) -> io::Result<()> {
        let look = self.look;
        let mut cells: Vec<Cell> = vec![
            record.index.to_string().into(),
            format!("{:#08x}", record.at).into(),
            units::thousands(record.len).into(),
            (*record.kind).into(),
            self.time(record),
            preview(record.key).into(),
        ];
        if has_values(&self.shape, self.values) {
            cells.push(match (record.value, &record.tombstone) {
                (Some(value), _) => preview(value).into(),
                (None, Some(tombstone)) => Cell::from(&**tombstone).hue(hue::TOMBSTONE),
                (None, None) => Cell::from(glyphs(&look).none).hue(hue::DIM),
            });
        }
        cells.extend(record.checksum.map(|(stored, is_right)| checksum_cell(stored, is_right, &look)));
        cells.extend(record.fate.map(|fate| {
            let state = RecordState::of(fate);
            Cell::from(state.long()).or(state.short(&look)).hue(state.hue())
        }));
        self.table.row(out, cells)?;
        if let Some(value) = record.value.filter(|_| self.values == ValueDisplay::Full) {
            let value = look.paint(words::quote(value), hue::VALUE);
            self.table.text(out, format!("     {value}"))?;
        }
        let Some(damage) = &record.damage else { return Ok(()) };
        let text = hang(look.width, "     ! ", 7, damage.split(' '));
        text.lines().try_for_each(|line| self.table.text(out, look.paint(line, hue::BAD)))
    }

    fn time(&self, record: &DumpRecord<'_>) -> Cell {
        let moment = Moment::of(record.time_ms);
        let full = match &self.shape.day {
            Some(day) if *day == moment.day => moment.clock.clone(),
            _ if self.shape.tick_ms > 1 => moment.seconds_full(),
            _ => moment.full(),
        };
        Cell::from(full).or(moment.seconds())
    }

    fn write_bad(&mut self, out: &mut dyn Write, bad: &BadBytes) -> io::Result<()> {
        let cells = vec!["!".into(), format!("{:#08x}", bad.at).into(), units::thousands(bad.len).into()];
        // The column before already names the subject.
        let damage = bad.damage.strip_prefix("it ").unwrap_or(&bad.damage);
        let text = match &bad.outcome {
            Some(outcome) if bad.is_torn => format!("{damage} {} {outcome}", glyphs(&self.look).dash),
            Some(outcome) => format!("{damage}; {outcome}"),
            None => damage.to_owned(),
        };
        let word = if bad.is_torn { "torn" } else { "BAD " }.into();
        self.table.span(out, Span { cells, word, text, hue: hue::BAD })
    }
}

/// Returns the columns. The column with the highest rank leaves first.
fn columns(shape: &FileShape, values: ValueDisplay, look: &Look) -> Vec<Column> {
    let time_width = match &shape.day {
        Some(_) => "05:56:40.812".len(),
        None if shape.tick_ms > 1 => "2026-11-22 05:56:40".len(),
        None => "2026-11-22 05:56:40.812".len(),
    };
    let mut columns = vec![
        Column::number("#", hue::DIM).leaves(1).wide("#".len()),
        Column::text("offset", hue::OFFSET).wide(format!("{:#08x}", shape.len).len()),
        Column::number("size", hue::LEN).leaves(4).wide("size".len()),
        Column::text("kind", hue::KIND).leaves(2),
        Column::text("time", hue::TIME).shortens(7, Some(6)).wide(time_width),
        // A long key or value is cut, so that it does not push the other columns apart.
        Column::text("key", hue::KEY).cut().within(8, 32),
    ];
    if has_values(shape, values) {
        // A tombstone of another store is not cut: its end names a file.
        let least = if shape.has_fates { 12 } else { "tombstone2: of file 1".len() };
        columns.push(Column::text("value", hue::VALUE).cut().within(least, 48).leaves(3));
    }
    if shape.has_checksums {
        columns.push(Column::text("crc", hue::CHECKSUM).shortens(8, None).wide(crc_width(look)));
    }
    if shape.has_fates {
        columns.push(Column::text("state", hue::PLAIN).shortens(5, None));
    }
    columns
}

fn has_values(shape: &FileShape, values: ValueDisplay) -> bool {
    shape.has_values && values == ValueDisplay::Preview
}

/// Returns the width of a checksum with its verdict.
fn crc_width(look: &Look) -> usize {
    let glyphs = glyphs(look);
    "279979a0 ".len() + glyphs.right.width().max(glyphs.wrong.width())
}

/// Returns a cell with a checksum and its verdict, or with the verdict alone.
fn checksum_cell(stored: u32, is_right: bool, look: &Look) -> Cell {
    let glyph = if is_right { glyphs(look).right } else { glyphs(look).wrong };
    let number = checksum(stored) + " ";
    let verdict = verdict(look, is_right);
    let painted = look.paint(&number, hue::CHECKSUM) + &verdict;
    Cell::painted(number + glyph, painted).or(Cell::painted(glyph.to_owned(), verdict))
}

#[cfg(test)]
mod tests {
    use super::super::own;
    use super::super::tests::{all_items, store_with_history};
    use super::*;

    /// Returns the list of a segment with a record of each fate, for a screen of this width.
    fn list(width: usize) -> Vec<String> {
        let (_dir, inspection) = store_with_history();
        let items = all_items(&inspection);
        let look = Look { width, color: false, ascii: false };
        let mut list = List::new(own::shape(&inspection, &items), ValueDisplay::Preview, look);
        let mut out = Vec::new();
        for item in &items {
            list.write(&mut out, &own::dump_item(item, inspection.role)).expect("a Vec accepts every write");
        }
        list.end(&mut out).expect("a Vec accepts every write");
        let lines = String::from_utf8(out).expect("the list is text");
        lines.lines().map(str::to_owned).collect()
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for width in [48, 64, 80, 100, 132, 200] {
            for line in list(width) {
                assert!(line.width() <= width, "{width} columns: {line}");
            }
        }
    }

    #[test]
    fn a_narrow_screen_still_names_the_record_that_killed_another() {
        let lines = list(48);
        assert!(lines[1].ends_with("dead  repl… 1:0x0000a0"), "{}", lines[1]);
        assert!(lines[2].ends_with("dead  dele… 1:0x0000d8"), "{}", lines[2]);
        assert!(lines[3].ends_with("LIVE"), "{}", lines[3]);
        assert!(lines[4].ends_with("tomb  hides 1:0x000070"), "{}", lines[4]);
    }

    #[test]
    fn a_wide_screen_shows_checksum_time_and_state() {
        let lines = list(132);
        assert!(lines[0].ends_with("crc         state"), "{}", lines[0]);
        assert!(lines[0].contains(" UTC  key"), "{}", lines[0]);
        assert!(lines[1].ends_with("✓  dead  replaced by 1:0x0000a0"), "{}", lines[1]);
    }
}
