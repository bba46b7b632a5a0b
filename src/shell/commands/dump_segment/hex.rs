//! Fields as rows of a hex dump: the bytes, the same bytes as text, the name and the meaning.

use std::io::{self, Write};
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use super::dump_item::DumpRecord;
use super::fields::ByteField;
use super::paint::{fit, glyphs, hue, padding, verdict};
use super::request::ValueDisplay;
use super::text::RecordState;
use crate::shell::term::fit::hang;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// The panes of the hex view. A narrow screen has fewer bytes per row, and a narrower one no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Panes {
    row_len: u64,
    has_text: bool,
    /// The width of an offset from the start of the record or header, such as `+0a`.
    inner_width: usize,
}

const fn wide(row_len: u64, has_text: bool) -> Panes {
    Panes { row_len, has_text, inner_width: "+00".len() }
}

/// The panes from wide to narrow, each with the screen width that leaves room for the label.
const PANES: [(usize, Panes); 3] = [(112, wide(16, true)), (72, wide(8, true)), (60, wide(8, false))];
const NARROWEST: Panes = wide(4, false);

const MARGIN: usize = 1;
const NAME_WIDTH: usize = 7;
/// The least room for a meaning.
const ROOM_LEAST: usize = 3;

/// The maximum number of rows of a field. The last row of a longer field says how much is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimit(usize);

/// Shows every row.
pub const ALL_ROWS: RowLimit = RowLimit(usize::MAX);

impl RowLimit {
    /// Shows enough to recognise a field.
    pub const PREVIEW: Self = Self(4);
    /// Shows the name and the meaning.
    pub const NONE: Self = Self(1);
}

/// Writes a record byte by byte.
pub fn write_record(
    out: &mut dyn Write,
    record: &DumpRecord<'_>,
    values: ValueDisplay,
    look: &Look,
) -> io::Result<()> {
    let dot = glyphs(look).dot;
    let title = format!("record {} {dot} {} {dot} {} B", record.index, record.details.place(), record.len);
    let (last, hue) = match record.fate.map(RecordState::of) {
        Some(state) => (state.long(), state.hue()),
        None => (record.kind.to_string(), hue::HEAD),
    };
    writeln!(out, "{} {dot} {}", look.paint(title, hue::HEAD), look.paint(last, hue))?;
    let of = record.at..record.at + record.len;
    record.details.fields().iter().try_for_each(|field| {
        let rows = match values {
            ValueDisplay::Full => ALL_ROWS,
            ValueDisplay::None if field.name == "value" => RowLimit::NONE,
            ValueDisplay::None | ValueDisplay::Preview => RowLimit::PREVIEW,
        };
        write(out, field, &of, rows, look)
    })
}

/// Writes one field: its rows, and beside them its name, its meaning and its check. `of` is the
/// range of the record or header in the file.
pub fn write(
    out: &mut dyn Write,
    field: &ByteField<'_>,
    of: &Range<u64>,
    limit: RowLimit,
    look: &Look,
) -> io::Result<()> {
    let panes = panes(look, of.end.saturating_sub(of.start));
    let mut label = label(field, look, panes).into_iter();
    let rows = HexRows { field, base: of.start, panes };
    let count = rows.count();
    let shown = if count > limit.0 { limit.0.saturating_sub(1) } else { count };
    for row in 0..shown {
        let line = format!("{}{}", rows.render(row, look), label.next().unwrap_or_default());
        writeln!(out, "{}", line.trim_end())?;
    }
    if shown < count {
        let note =
            format!("{} {} more: --values full", glyphs(look).cut, units::bytes(rows.len_from(shown) as u64));
        let pad = panes.label_at().saturating_sub(MARGIN + note.width());
        let beside = label.next().unwrap_or_default();
        let line = format!("{:MARGIN$}{}{:pad$}{beside}", "", look.paint(&note, hue::DIM), "");
        writeln!(out, "{}", line.trim_end())?;
    }
    for line in label {
        writeln!(out, "{:indent$}{line}", "", indent = panes.label_at())?;
    }
    Ok(())
}

/// Returns the panes for a record of `len` bytes.
fn panes(look: &Look, len: u64) -> Panes {
    let panes = PANES.iter().find(|(width, _)| look.width >= *width).map_or(NARROWEST, |(_, panes)| *panes);
    let inner_width = format!("+{:02x}", len.saturating_sub(1)).len();
    Panes { inner_width, ..panes }
}

impl Panes {
    /// Returns the column of the label.
    fn label_at(self) -> usize {
        let bytes = self.row_len as usize;
        let text = if self.has_text { bytes + 1 } else { 0 };
        MARGIN + "0x000000".len() + 1 + self.inner_width + 2 + bytes * 3 + text
    }
}

/// A field as rows of the dump.
struct HexRows<'a> {
    field: &'a ByteField<'a>,
    base: u64,
    panes: Panes,
}

impl HexRows<'_> {
    fn first(&self) -> u64 {
        self.field.at / self.panes.row_len * self.panes.row_len
    }

    fn count(&self) -> usize {
        let end = self.field.at + self.field.bytes.len() as u64;
        (end - self.first()).div_ceil(self.panes.row_len) as usize
    }

    /// Returns the bytes of row `row`, and the column of the first one.
    fn bytes(&self, row: usize) -> (&[u8], usize) {
        let start = self.first() + row as u64 * self.panes.row_len;
        let from = start.saturating_sub(self.field.at) as usize;
        let to = (start + self.panes.row_len - self.field.at) as usize;
        let bytes = &self.field.bytes[from..to.min(self.field.bytes.len())];
        (bytes, self.field.at.saturating_sub(start) as usize)
    }

    /// Returns the number of bytes from row `row` to the end.
    fn len_from(&self, row: usize) -> usize {
        let start = self.first() + row as u64 * self.panes.row_len;
        self.field.bytes.len() - start.saturating_sub(self.field.at) as usize
    }

    fn render(&self, row: usize, look: &Look) -> String {
        let (bytes, column) = self.bytes(row);
        let start = self.first() + row as u64 * self.panes.row_len;
        // The offset of the first byte shown, in the file and in the record.
        let inner = format!("+{:02x}", start.max(self.field.at).saturating_sub(self.base));
        let offset = format!("{start:#08x} {inner:0$}", self.panes.inner_width);
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let mut line =
            format!("{:MARGIN$}{}  {:at$}", "", look.paint(&offset, hue::DIM), "", at = column * 3);
        line.push_str(&look.paint(&hex, self.field.hue));
        line.extend(padding(&hex, self.panes.row_len as usize * 3 - column * 3));
        if self.panes.has_text {
            let text: String = bytes.iter().map(|&byte| printable(byte)).collect();
            line.extend(std::iter::repeat_n(' ', column));
            line.push_str(&look.paint(&text, self.field.hue));
            line.extend(padding(&text, self.panes.row_len as usize + 1 - column));
        }
        line
    }
}

/// Returns the byte as a character, or a dot, so that a row keeps its columns.
fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
}

/// Returns the lines beside the rows: the name, the meaning and the check, wrapped.
fn label(field: &ByteField<'_>, look: &Look, panes: Panes) -> Vec<String> {
    let name_width = field.name.width().max(NAME_WIDTH);
    let room = look.width.saturating_sub(panes.label_at() + name_width + 1).max(ROOM_LEAST);
    let mut first = look.paint(field.name, field.hue);
    first.extend(padding(field.name, name_width + 1));
    let mark = if field.check.is_some() { 1 + glyphs(look).wrong.width() } else { 0 };
    // The start of a key or value is enough. Other meanings are shown whole.
    let is_cut = matches!(field.name, "key" | "value");
    let meaning = if is_cut { fit(look, &field.meaning, room - mark) } else { field.meaning.clone() };
    let fits = meaning.width() + mark <= room;
    if fits {
        first.push_str(&meaning);
    }
    if let Some(check) = &field.check {
        first.push_str(if fits { " " } else { "" });
        first.push_str(&verdict(look, check.is_right));
    }
    // The note is below the name: a range does not fit beside it on 80 columns.
    let below = |text: &str| hang(room + name_width - 1, "", 0, text.split(' '));
    let mut lines = vec![first];
    if !fits {
        lines.extend(below(&meaning).lines().map(|line| format!("  {line}")));
    }
    if let Some(check) = &field.check {
        let note = below(&check.note);
        lines.extend(note.lines().map(|line| format!("  {}", look.paint(line, hue::DIM))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::fields::FieldCheck;
    use super::*;

    fn lines(field: &ByteField<'_>, limit: usize, width: usize) -> Vec<String> {
        let look = Look { width, color: false, ascii: false };
        let mut out = Vec::new();
        let of = field.at.min(0x40)..field.at + field.bytes.len() as u64;
        write(&mut out, field, &of, RowLimit(limit), &look).expect("a Vec accepts every write");
        String::from_utf8(out).expect("the view is text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for width in 40..140 {
            for at in [0, 5] {
                let long = "a long story about what these bytes mean".to_owned();
                let check =
                    FieldCheck { is_right: false, note: "its bytes give a8e8d9af; covers more".to_owned() };
                let field =
                    ByteField { meaning: long, check: Some(check), ..field(at, b"alice and more of her") };
                let wide: Vec<_> =
                    lines(&field, 4, width).into_iter().filter(|line| line.width() > width).collect();
                assert!(wide.is_empty(), "{width}: {wide:#?}");
            }
        }
    }

    fn field(at: u64, bytes: &[u8]) -> ByteField<'_> {
        ByteField { name: "value", hue: hue::VALUE, at, bytes, meaning: "alice".to_owned(), check: None }
    }

    #[test]
    fn bytes_stand_in_the_columns_of_their_addresses() {
        assert_eq!(
            lines(&field(0x44, b"alice"), 9, 80),
            [
                " 0x000040 +04              61 6c 69 63     alic value   alice",
                " 0x000048 +08  65                      e",
            ]
        );
    }

    #[test]
    fn a_wide_screen_has_sixteen_bytes_a_row_and_a_narrow_one_no_text_pane() {
        let wide = lines(&field(0x40, &[b'x'; 16]), 9, 120);
        assert_eq!(wide.len(), 1);
        assert!(wide[0].contains("xxxxxxxxxxxxxxxx value"));
        assert_eq!(
            lines(&field(0x40, b"alice"), 9, 60),
            [" 0x000040 +00  61 6c 69 63 65          value   alice"]
        );
        assert_eq!(lines(&field(0x40, b"alic"), 9, 40), [" 0x000040 +00  61 6c 69 63 value   alice"]);
    }

    #[test]
    fn a_long_field_says_how_much_is_left_out() {
        let lines = lines(&field(0x40, &[b'x'; 100]), 3, 80);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], " … 84 B more: --values full");
    }

    #[test]
    fn the_offset_column_is_as_wide_as_the_longest_offset() {
        let shown = lines(&field(0x40, &[b'x'; 300]), 99, 80);
        assert!(shown[0].starts_with(" 0x000040 +00   78 78"), "{}", shown[0]);
        assert!(shown[37].starts_with(" 0x000168 +128  78 78"), "{}", shown[37]);
    }

    #[test]
    fn a_meaning_other_than_a_key_or_value_is_not_cut() {
        let time = ByteField {
            name: "time_ms",
            meaning: "2026-01-31 05:56:41.620".to_owned(),
            ..field(0x40, b"abcdef")
        };
        assert_eq!(
            lines(&time, 9, 60),
            [
                " 0x000040 +00  61 62 63 64 65 66       time_ms",
                "                                         2026-01-31",
                "                                         05:56:41.620",
            ]
        );
        assert_eq!(lines(&time, 9, 80).len(), 1);
    }

    #[test]
    fn a_checksum_is_shown_with_its_verdict_and_its_range() {
        let check = FieldCheck {
            is_right: false,
            note: "its bytes give 00000001; covers 0x000048..0x000060".to_owned(),
        };
        let field = ByteField { check: Some(check), ..field(0x40, b"abcd") };
        assert_eq!(
            lines(&field, 9, 80),
            [
                " 0x000040 +00  61 62 63 64             abcd     value   alice ✗",
                "                                                  its bytes give 00000001;",
                "                                                  covers 0x000048..0x000060",
            ]
        );
    }
}
