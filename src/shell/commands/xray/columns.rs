//! The columns of the list: which are shown, and how wide, on a screen of this width.

use unicode_width::UnicodeWidthStr;

use logkv::Location;
use logkv::inspect::{Inspection, Item, Kind, RecordItem};

use super::paint::{fit, glyphs, hue, verdict};
use super::request::Values;
use super::text::{Moment, State, preview};
use crate::shell::lang::words;
use crate::shell::term::style::{Hue, Look};
use crate::shell::term::units;

/// How much of a record's time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Full,
    Millis,
    Seconds,
    Hidden,
}

/// Which columns are shown, and how wide. A column that is hidden has no width.
#[derive(Clone, Debug)]
pub struct Columns {
    pub(super) look: Look,
    pub(super) values: Values,
    /// Whether there are values to show beside their keys.
    has_values: bool,
    /// The day that the heading names, where all records measured are of one.
    pub(super) day: Option<String>,
    pub(super) index: usize,
    pub(super) offset: usize,
    pub(super) size: usize,
    pub(super) kind: usize,
    pub(super) clock: Clock,
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) has_crc: bool,
    pub(super) is_brief: bool,
    pub(super) state: usize,
}

const GAP: usize = 2;
const KIND_LEN: usize = "PUT".len() + 1;
const CRC_LEN: usize = "279979a0".len();
/// Narrower than this a key or a value is not worth its column.
const KEY_MIN: usize = 8;
const VALUE_MIN: usize = 12;
/// A record with a longer key or value is cut, so that it does not push the others apart.
const KEY_MAX: usize = 32;
const VALUE_MAX: usize = 48;

/// What is given up where the screen is too narrow, what is missed least first.
const CUTS: [fn(&mut Columns); 8] = [
    |columns| columns.has_crc = false,
    |columns| columns.clock = Clock::Seconds,
    |columns| columns.clock = Clock::Hidden,
    |columns| columns.is_brief = true,
    |columns| columns.size = 0,
    |columns| columns.value = 0,
    |columns| columns.kind = 0,
    |columns| columns.index = 0,
];

impl Columns {
    /// Columns wide enough for `items`, as far as the screen allows.
    pub fn measure(inspection: &Inspection, items: &[Item], values: Values, look: Look) -> Self {
        let records = || items.iter().filter_map(record);
        let day = one_day(records());
        let widest = |text: &dyn Fn(&RecordItem) -> String, heading: &str, max: usize| {
            let widest = records().map(|record| text(record).width()).max().unwrap_or(0);
            widest.clamp(heading.len(), max.max(heading.len()))
        };
        let has_values = values == Values::Preview && records().any(|record| record.kind == Kind::Put);
        let place = Location { segment: inspection.id, offset: inspection.len };
        let mut columns = Self {
            look,
            values,
            has_values,
            clock: if day.is_some() { Clock::Millis } else { Clock::Full },
            day,
            index: widest(&|record| record.index.to_string(), "#", usize::MAX),
            offset: place.to_string().len() - format!("{}:", inspection.id).len(),
            size: items
                .iter()
                .map(|item| units::thousands(len(item)).len())
                .max()
                .unwrap_or(0)
                .max("size".len()),
            kind: KIND_LEN,
            key: widest(&|record| words::quote(&record.key), "key", KEY_MAX),
            value: if has_values { widest(&|record| preview(record), "value", VALUE_MAX) } else { 0 },
            has_crc: true,
            is_brief: false,
            state: 0,
        };
        let states = |columns: &Self| widest(&|record| columns.state_of(record), "state", usize::MAX);
        columns.state = states(&columns);
        for cut in CUTS {
            if columns.shrink() {
                break;
            }
            cut(&mut columns);
            columns.state = states(&columns);
        }
        columns.shrink();
        columns
    }

    /// Shares what the other columns leave between keys and values; says whether that was enough.
    fn shrink(&mut self) -> bool {
        let fixed = self.fixed_width();
        let (key, value) = (self.key, self.value);
        let gap = if value > 0 { GAP } else { 0 };
        let Some(room) = self.look.width.checked_sub(fixed + gap) else { return false };
        if room < key.min(KEY_MIN) + value.min(VALUE_MIN) {
            return false;
        }
        // A short one leaves its half to the other.
        self.key = key.min((room / 2).max(room.saturating_sub(value)));
        self.value = value.min(room - self.key);
        true
    }

    /// The width of all but keys and values, with the gaps around them.
    fn fixed_width(&self) -> usize {
        let columns =
            [self.index, self.offset, self.size, self.kind, self.clock_width(), self.crc_width(), self.state];
        let shown = columns.iter().filter(|width| **width > 0);
        shown.map(|width| width + GAP).sum::<usize>() + GAP
    }

    pub(super) fn clock_width(&self) -> usize {
        match self.clock {
            Clock::Full => "2026-11-22 05:56:40.812".len(),
            Clock::Millis => self.heading_of_time().len().max("05:56:40.812".len()),
            Clock::Seconds => "05:56:40".len(),
            Clock::Hidden => 0,
        }
    }

    pub(super) fn crc_width(&self) -> usize {
        let glyphs = glyphs(&self.look);
        let verdict = glyphs.right.width().max(glyphs.wrong.width());
        if self.has_crc { CRC_LEN + 1 + verdict } else { verdict.max("crc".len()) }
    }

    fn heading_of_time(&self) -> String {
        match (&self.day, self.clock) {
            (Some(day), Clock::Millis) => format!("{day} UTC"),
            (_, Clock::Seconds) => "UTC".to_owned(),
            _ => "time (UTC)".to_owned(),
        }
    }

    pub(super) fn time_of(&self, record: &RecordItem) -> String {
        let moment = Moment::of(record.time_ms);
        match self.clock {
            Clock::Millis if self.day.as_ref() == Some(&moment.day) => moment.clock,
            Clock::Full | Clock::Millis => moment.full(),
            Clock::Seconds => moment.seconds().to_owned(),
            Clock::Hidden => String::new(),
        }
    }

    pub(super) fn state_of(&self, record: &RecordItem) -> String {
        let state = State::of(record);
        if self.is_brief { state.short(&self.look) } else { state.long() }
    }

    /// The columns that there is no room for.
    pub fn left_out(&self) -> Vec<&'static str> {
        let columns = [
            ("#", self.index == 0),
            ("size", self.size == 0),
            ("kind", self.kind == 0),
            ("time", self.clock == Clock::Hidden),
            ("value", self.value == 0 && self.has_values),
        ];
        columns.into_iter().filter(|(_, is_left_out)| *is_left_out).map(|(name, _)| name).collect()
    }

    /// The line above the records.
    pub fn heading(&self) -> String {
        let mut line = Line::new(self.look);
        line.right("#", self.index, hue::DIM);
        line.left("offset", self.offset, hue::DIM);
        line.right("size", self.size, hue::DIM);
        line.left("kind", self.kind, hue::DIM);
        line.left(&self.heading_of_time(), self.clock_width(), hue::DIM);
        line.left("key", self.key, hue::DIM);
        line.left("value", self.value, hue::DIM);
        line.left("crc", self.crc_width(), hue::DIM);
        line.end("state", hue::DIM)
    }
}

fn record(item: &Item) -> Option<&RecordItem> {
    match item {
        Item::Record(record) => Some(record),
        Item::Damaged { .. } | Item::Torn { .. } => None,
    }
}

fn len(item: &Item) -> u64 {
    match item {
        Item::Record(record) => record.len,
        Item::Damaged { len, .. } | Item::Torn { len, .. } => *len,
    }
}

/// The day that all `records` are of, if there is one.
fn one_day<'a>(mut records: impl Iterator<Item = &'a RecordItem>) -> Option<String> {
    let day = Moment::of(records.next()?.time_ms).day;
    records.all(|record| Moment::of(record.time_ms).day == day).then_some(day)
}

/// Puts the cells of a line together. A cell without a width is a column that is hidden.
pub struct Line {
    look: Look,
    text: String,
    /// Blanks between what was written and the next cell.
    owed: usize,
}

impl Line {
    pub fn new(look: Look) -> Self {
        Self { look, text: String::new(), owed: GAP }
    }

    /// Adds `text` at the left of a cell, cut to its width.
    pub fn left(&mut self, text: &str, width: usize, hue: Hue) {
        if width > 0 {
            let text = fit(&self.look, text, width);
            self.push(&text, 0, width.saturating_sub(text.width()), hue);
        }
    }

    /// Adds `text` at the right of a cell; a number that is too long takes more.
    pub fn right(&mut self, text: &str, width: usize, hue: Hue) {
        if width > 0 {
            self.push(text, width.saturating_sub(text.width()), 0, hue);
        }
    }

    /// Adds a checksum and its verdict, or the verdict alone.
    pub fn checksum(&mut self, stored: Option<u32>, is_right: bool, width: usize) {
        let number = stored.map(|stored| format!("{stored:08x} ")).unwrap_or_default();
        let glyph = if is_right { glyphs(&self.look).right } else { glyphs(&self.look).wrong };
        let text = format!("{}{}", self.look.paint(&number, hue::CHECKSUM), verdict(&self.look, is_right));
        self.text.extend(std::iter::repeat_n(' ', self.owed));
        self.text.push_str(&text);
        self.owed = GAP + width.saturating_sub(number.len() + glyph.width());
    }

    /// Adds the last cell, which takes the columns it needs, and gives the line.
    pub fn end(mut self, text: &str, hue: Hue) -> String {
        self.push(text, 0, 0, hue);
        self.text
    }

    fn push(&mut self, text: &str, before: usize, after: usize, hue: Hue) {
        self.text.extend(std::iter::repeat_n(' ', self.owed + before));
        self.text.push_str(&self.look.paint(text, hue));
        self.owed = GAP + after;
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
        let columns = Columns::measure(&inspection, &items, Values::Preview, look);
        let mut out = Vec::new();
        for item in &items {
            columns.write(&mut out, &inspection, item).expect("a vector takes everything");
        }
        let lines = String::from_utf8(out).expect("the list is text");
        std::iter::once(columns.heading()).chain(lines.lines().map(str::to_owned)).collect()
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
