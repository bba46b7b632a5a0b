//! One line a record, in columns that fit the screen.

use std::io::{self, Write};

use logkv::inspect::{Inspection, Item, Kind, RecordItem, Role};
use logkv::{Damage, Location};
use unicode_width::UnicodeWidthStr;

use super::paint::{glyphs, hue, verdict};
use super::request::{Request, Values};
use super::text::{self, State, preview};
use crate::shell::lang::words;
use crate::shell::term::columns::{Cell, Column, Span, Table};
use crate::shell::term::fit::hang;
use crate::shell::term::moment::Moment;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// A line an item, in columns that fit the screen.
#[derive(Debug)]
pub struct List {
    table: Table,
    look: Look,
    values: Values,
    has_values: bool,
    /// The day that the heading names, where all records measured are of one.
    day: Option<String>,
}

impl List {
    /// A list that begins with `items`, which decide the widths.
    pub fn new(inspection: &Inspection, items: &[Item], values: Values, look: Look) -> Self {
        let records = || items.iter().filter_map(record);
        let has_values = values == Values::Preview && records().any(|record| record.kind == Kind::Put);
        let day = one_day(records());
        let time = day.as_ref().map_or_else(|| "time (UTC)".to_owned(), |day| format!("{day} UTC"));
        let columns = columns(inspection, has_values, day.is_some(), &look);
        let headings = columns.iter().map(|column| match column.name() {
            "time" => Cell::from(&*time).or("UTC"),
            name => name.into(),
        });
        let table = Table::new(&columns, look).headed(headings.collect());
        let table = table.indented().cutting_with(glyphs(&look).cut);
        Self { table: table.measuring(Request::PAGE_LEN), look, values, has_values, day }
    }

    /// A list of what is no record, between other output.
    pub fn of_damage(inspection: &Inspection, look: Look) -> Self {
        let table = Table::new(&columns(inspection, false, true, &look), look).headless().indented();
        Self { table: table.measuring(1), look, values: Values::None, has_values: false, day: None }
    }

    /// Writes one item: a record's line, or what is known about bytes that are none.
    pub fn write(&mut self, out: &mut dyn Write, inspection: &Inspection, item: &Item) -> io::Result<()> {
        match item {
            Item::Record(record) => self.write_record(out, record),
            Item::Damaged { at, len, damage, next } => {
                let then = match next {
                    Some(next) => format!("valid records follow at {next:#08x}"),
                    None => "no valid record follows".to_owned(),
                };
                self.write_bad(out, (*at, *len), "BAD", format!("{}; {then}", told(damage)))
            }
            Item::Torn { at, len, damage, records, behind } => {
                let end = torn_end(inspection.role, *records, *behind);
                let dash = glyphs(&self.look).dash;
                self.write_bad(out, (*at, *len), "torn", format!("{} {dash} {end}", told(damage)))
            }
        }
    }

    /// Writes what is left, and which columns there was no room for.
    pub fn end(self, out: &mut dyn Write) -> io::Result<()> {
        self.table.end(out)
    }

    fn write_record(&mut self, out: &mut dyn Write, record: &RecordItem) -> io::Result<()> {
        let look = self.look;
        let state = State::of(record);
        let mut cells: Vec<Cell> = vec![
            record.index.to_string().into(),
            format!("{:#08x}", record.location.offset).into(),
            units::thousands(record.len).into(),
            text::kind(record.kind).into(),
            self.time(record),
            words::quote(&record.key).into(),
        ];
        if self.has_values {
            cells.push(match record.kind {
                Kind::Delete => Cell::from(glyphs(&look).none).hue(hue::DIM),
                _ => preview(record).into(),
            });
        }
        cells.push(checksum_cell(record.stored_rcrc, text::is_sound(record), &look));
        cells.push(Cell::from(state.long()).or(state.short(&look)).hue(state.hue()));
        self.table.row(out, cells)?;
        if self.values == Values::Full && record.kind == Kind::Put {
            let value = look.paint(words::quote(&record.value), hue::VALUE);
            self.table.text(out, format!("     {value}"))?;
        }
        let Some(damage) = &record.damage else { return Ok(()) };
        let text = hang(look.width, "     ! ", 7, broken(record, damage).split(' '));
        text.lines().try_for_each(|line| self.table.text(out, look.paint(line, hue::BAD)))
    }

    fn time(&self, record: &RecordItem) -> Cell {
        let moment = Moment::of(record.time_ms);
        let full = if self.day.as_ref() == Some(&moment.day) { moment.clock.clone() } else { moment.full() };
        Cell::from(full).or(moment.seconds())
    }

    fn write_bad(
        &mut self,
        out: &mut dyn Write,
        (at, len): (u64, u64),
        word: &str,
        text: String,
    ) -> io::Result<()> {
        let cells = vec![format!("{at:#08x}").into(), units::thousands(len).into()];
        self.table.span(out, Span { mark: "!", cells, word: format!("{word:<4}"), text, hue: hue::BAD })
    }
}

/// The columns of a list, the first to leave with the highest rank.
fn columns(inspection: &Inspection, has_values: bool, is_one_day: bool, look: &Look) -> Vec<Column> {
    let end = Location { segment: inspection.id, offset: inspection.len };
    let offset_width = end.to_string().len() - format!("{}:", inspection.id).len();
    let time_width = if is_one_day { "05:56:40.812".len() } else { "2026-11-22 05:56:40.812".len() };
    let mut columns = vec![
        Column::number("#", hue::DIM).leaves(1).wide("#".len()),
        Column::text("offset", hue::OFFSET).wide(offset_width),
        Column::number("size", hue::LEN).leaves(4).wide("size".len()),
        Column::text("kind", hue::KIND).leaves(2),
        Column::text("time", hue::TIME).shortens(7, Some(6)).wide(time_width),
        // A longer key or value is cut, so that it does not push the others apart.
        Column::text("key", hue::KEY).cut().within(8, 32),
    ];
    if has_values {
        columns.push(Column::text("value", hue::VALUE).cut().within(12, 48).leaves(3));
    }
    columns.push(Column::text("crc", hue::CHECKSUM).shortens(8, None).wide(crc_width(look)));
    columns.push(Column::text("state", hue::PLAIN).shortens(5, None));
    columns
}

/// The columns that a checksum and its verdict take.
pub fn crc_width(look: &Look) -> usize {
    let glyphs = glyphs(look);
    "279979a0 ".len() + glyphs.right.width().max(glyphs.wrong.width())
}

/// A checksum and its verdict, or the verdict alone.
pub fn checksum_cell(stored: u32, is_right: bool, look: &Look) -> Cell {
    let glyph = if is_right { glyphs(look).right } else { glyphs(look).wrong };
    let (number, verdict) = (format!("{stored:08x} "), verdict(look, is_right));
    let painted = look.paint(&number, hue::CHECKSUM) + &verdict;
    Cell::painted(number + glyph, painted).or(Cell::painted(glyph.to_owned(), verdict))
}

fn record(item: &Item) -> Option<&RecordItem> {
    match item {
        Item::Record(record) => Some(record),
        Item::Damaged { .. } | Item::Torn { .. } => None,
    }
}

/// The day that all `records` are of, if there is one.
fn one_day<'a>(mut records: impl Iterator<Item = &'a RecordItem>) -> Option<String> {
    let day = Moment::of(records.next()?.time_ms).day;
    records.all(|record| Moment::of(record.time_ms).day == day).then_some(day)
}

/// What is wrong, with the word that the column before it has said already left out.
fn told(damage: &Damage) -> String {
    let text = damage.to_string();
    text.strip_prefix("it ").map(str::to_owned).unwrap_or(text)
}

/// What is wrong inside a record whose header is right, and where the next record is all the same.
fn broken(record: &RecordItem, damage: &Damage) -> String {
    let next = record.location.offset + record.len;
    format!("{damage}; its header is right, so the next record is known to start at {next:#08x}")
}

/// What becomes of a torn tail.
fn torn_end(role: Role, records: u64, behind: u64) -> String {
    let what = match role {
        Role::Active => "the next open for writing truncates here",
        Role::Sealed | Role::Orphan | Role::Unknown => "nothing follows",
    };
    let batch = format!("{} of a batch that has no end", units::count(records, "whole record"));
    let intact = format!("{} behind it, which repair keeps", units::count(behind, "intact record"));
    match (records, behind) {
        (0, 0) => what.to_owned(),
        (_, 0) => format!("{what}, with {batch}"),
        (0, _) => format!("{what}, with {intact}"),
        (_, _) => format!("{what}, with {batch} and {intact}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_items, store_with_history};
    use super::*;

    /// The list of a segment with a record of each fate, on a screen of this width.
    fn list(width: usize) -> Vec<String> {
        let (_dir, inspection) = store_with_history();
        let items = all_items(&inspection);
        let look = Look { width, color: false, ascii: false };
        let mut list = List::new(&inspection, &items, Values::Preview, look);
        let mut out = Vec::new();
        for item in &items {
            list.write(&mut out, &inspection, item).expect("a vector takes everything");
        }
        list.end(&mut out).expect("a vector takes everything");
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
    fn a_narrow_screen_still_says_which_record_killed_which() {
        let lines = list(48);
        assert!(lines[1].ends_with("dead  repl… 1:0x0000a0"), "{}", lines[1]);
        assert!(lines[2].ends_with("dead  dele… 1:0x0000d8"), "{}", lines[2]);
        assert!(lines[3].ends_with("LIVE"), "{}", lines[3]);
        assert!(lines[4].ends_with("tomb  hides 1:0x000070"), "{}", lines[4]);
    }

    #[test]
    fn a_wide_screen_has_the_checksum_the_time_and_the_words() {
        let lines = list(132);
        assert!(lines[0].ends_with("crc         state"), "{}", lines[0]);
        assert!(lines[0].contains(" UTC  key"), "{}", lines[0]);
        assert!(lines[1].ends_with("✓  dead  replaced by 1:0x0000a0"), "{}", lines[1]);
    }
}
