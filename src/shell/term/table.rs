//! Tables that fit the screen: drawn whole, when all rows are known.
//!
//! For few rows; [`super::grid`] draws those without a bound. Every text that comes here is quoted or our own: a
//! terminal's escape sequences would be drawn as they are.

use std::io::{self, Write};

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Row, TableStyle,
};
use owo_colors::AnsiColors;
use unicode_width::UnicodeWidthStr;

use super::grid::hang;
use super::style::{Hue, Look, hue};

/// Where a cell's text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right: for numbers.
    Right,
}

/// What becomes of a column where the screen is too narrow for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeeze {
    /// It keeps its width.
    Keeps,
    /// Its cells are cut off: for text of any length.
    Cuts,
    /// Its cells go on in the next line: for text that is read whole.
    Wraps,
    /// It is left out; first the column with the highest number.
    Leaves(u8),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// Where its cells' text stands.
    pub align: Align,
    /// How its cells look.
    pub hue: Hue,
    /// What becomes of it on a narrow screen.
    pub squeeze: Squeeze,
}

impl Column {
    /// A column of text that keeps its width.
    pub const fn text(name: &'static str, hue: Hue) -> Self {
        Self { name, align: Align::Left, hue, squeeze: Squeeze::Keeps }
    }

    /// A column of numbers that keeps its width.
    pub const fn number(name: &'static str, hue: Hue) -> Self {
        Self { align: Align::Right, ..Self::text(name, hue) }
    }

    /// The same, with another fate on a narrow screen.
    pub const fn squeezed(self, squeeze: Squeeze) -> Self {
        Self { squeeze, ..self }
    }
}

/// A table that is being filled.
#[derive(Debug)]
pub struct Table<'a> {
    columns: &'a [Column],
    look: Look,
    has_head: bool,
    rows: Vec<Vec<String>>,
}

/// The blanks between two columns.
pub const GAP: &str = "  ";

impl<'a> Table<'a> {
    /// A table without rows.
    pub fn new(columns: &'a [Column], look: Look) -> Self {
        Self { columns, look, has_head: true, rows: Vec::new() }
    }

    /// The same, without headings: where the first column says what the second is.
    pub fn headless(self) -> Self {
        Self { has_head: false, ..self }
    }

    /// Adds a row, whose cells hold no control bytes.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes the table; without rows nothing at all.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        for (index, line) in self.draw().lines().enumerate() {
            let line = line.trim_end();
            let is_rule = self.has_head && index == 1;
            let line = if is_rule { self.look.paint(line, hue::DIM) } else { line.to_owned() };
            writeln!(out, "{line}")?;
        }
        let mut hidden = self.hidden();
        hidden.sort_unstable();
        let names: Vec<_> = hidden.iter().map(|&index| self.columns[index].name).collect();
        write_left_out(out, "", &names, &self.look)
    }

    fn draw(&self) -> comfy_table::Table {
        // Whether to use colours was decided by the look; the library below would ask the environment again.
        crossterm::style::force_color_output(true);
        let mut table = comfy_table::Table::new();
        table.force_no_tty().style_text_only();
        if self.look.color {
            table.enforce_styling();
        }
        let rule = self.look.rule();
        table
            .load_style(TableStyle::new().header_separator(LineStyle::none().fill(rule)))
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_truncation_indicator(self.look.ellipsis())
            .set_width(u16::try_from(self.look.width).unwrap_or(u16::MAX));
        if self.has_head {
            table.set_header(self.columns.iter().map(|column| cell(column.name, hue::HEAD)));
        }
        let wraps = self.columns.iter().any(|column| column.squeeze == Squeeze::Wraps);
        for cells in &self.rows {
            let mut row: Row =
                cells.iter().zip(self.columns).map(|(text, column)| cell(text, column.hue)).into();
            if !wraps {
                row.max_height(1);
            }
            table.add_row(row);
        }
        self.arrange(&mut table);
        table
    }

    /// Tells each column how to behave on a screen of this width.
    fn arrange(&self, table: &mut comfy_table::Table) {
        /// No cell holds it: a cell is cut where the room ends, and not at the blank before.
        const NEVER: char = '\0';
        let hidden = self.hidden();
        let last = (0..self.columns.len()).rev().find(|index| !hidden.contains(index));
        for (index, (column, drawn)) in self.columns.iter().zip(table.column_iter_mut()).enumerate() {
            let gap = if Some(index) == last { 0 } else { GAP.len() as u16 };
            drawn.set_padding((0, gap)).set_cell_alignment(match column.align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
            if hidden.contains(&index) {
                drawn.set_constraint(ColumnConstraint::Hidden);
                continue;
            }
            match column.squeeze {
                Squeeze::Keeps | Squeeze::Leaves(_) => {
                    drawn.set_constraint(ColumnConstraint::ContentWidth);
                }
                Squeeze::Cuts => {
                    drawn.set_delimiter(NEVER);
                }
                Squeeze::Wraps => {}
            }
        }
    }

    fn hidden(&self) -> Vec<usize> {
        let widths: Vec<_> = (0..self.columns.len()).map(|index| self.width(index)).collect();
        hidden(self.columns, &widths, self.look.width)
    }

    /// The columns that the widest cell of column `index` takes.
    fn width(&self, index: usize) -> usize {
        let head = if self.has_head { self.columns[index].name.width() } else { 0 };
        self.rows.iter().map(|cells| cells[index].width()).fold(head, usize::max)
    }
}

/// The columns that have to leave for the others to fit `room`, when their cells are `widths` wide.
pub fn hidden(columns: &[Column], widths: &[usize], room: usize) -> Vec<usize> {
    /// Text that is narrower than this says too little.
    const TEXT_WIDTH_LEAST: usize = 12;
    let least = |index: usize| match columns[index].squeeze {
        Squeeze::Keeps | Squeeze::Leaves(_) => widths[index],
        Squeeze::Cuts | Squeeze::Wraps => widths[index].min(TEXT_WIDTH_LEAST),
    };
    let mut leaving: Vec<_> = (0..columns.len())
        .filter_map(|index| match columns[index].squeeze {
            Squeeze::Leaves(rank) => Some((rank, index)),
            _ => None,
        })
        .collect();
    leaving.sort_unstable();
    let mut width = (0..columns.len()).map(least).sum::<usize>() + GAP.len() * (columns.len() - 1);
    let mut hidden = Vec::new();
    while width > room
        && let Some((_, index)) = leaving.pop()
    {
        width -= widths[index] + GAP.len();
        hidden.push(index);
    }
    hidden
}

/// Says which columns are left out, and how to see them, behind a `margin` of blanks.
pub fn write_left_out(
    out: &mut (impl Write + ?Sized),
    margin: &str,
    names: &[&str],
    look: &Look,
) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let them = if names.len() == 1 { "it" } else { "them" };
    let text = format!("no room for {}: a wider terminal or --json shows {them}", names.join(", "));
    let lines = hang(look.width, margin, margin.len(), text.split(' '));
    lines.lines().try_for_each(|line| writeln!(out, "{}", look.paint(line, hue::DIM)))
}

fn cell(text: &str, hue: Hue) -> Cell {
    let mut cell = Cell::new(text);
    if let Some(color) = hue.color {
        cell = cell.fg(in_crossterm(color));
    }
    if hue.bold {
        cell = cell.add_attribute(Attribute::Bold);
    }
    if hue.dim {
        cell = cell.add_attribute(Attribute::Dim);
    }
    cell
}

/// The same colour of the terminal's sixteen, where the dark one of each pair has the plain name elsewhere.
fn in_crossterm(color: AnsiColors) -> Color {
    match color {
        AnsiColors::Black => Color::Black,
        AnsiColors::Red => Color::DarkRed,
        AnsiColors::Green => Color::DarkGreen,
        AnsiColors::Yellow => Color::DarkYellow,
        AnsiColors::Blue => Color::DarkBlue,
        AnsiColors::Magenta => Color::DarkMagenta,
        AnsiColors::Cyan => Color::DarkCyan,
        AnsiColors::White => Color::Grey,
        AnsiColors::BrightBlack => Color::DarkGrey,
        AnsiColors::BrightRed => Color::Red,
        AnsiColors::BrightGreen => Color::Green,
        AnsiColors::BrightYellow => Color::Yellow,
        AnsiColors::BrightBlue => Color::Blue,
        AnsiColors::BrightMagenta => Color::Magenta,
        AnsiColors::BrightCyan => Color::Cyan,
        AnsiColors::BrightWhite => Color::White,
        AnsiColors::Default => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::text("key", hue::KEY).squeezed(Squeeze::Cuts),
        Column::number("len", hue::PLAIN),
        Column::number("seq", hue::DIM).squeezed(Squeeze::Leaves(2)),
        Column::number("age", hue::DIM).squeezed(Squeeze::Leaves(1)),
        Column::text("value", hue::VALUE).squeezed(Squeeze::Cuts),
    ];
    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    fn drawn(rows: &[[&str; 5]], look: Look) -> String {
        let mut table = Table::new(COLUMNS, look);
        for row in rows {
            table.row(row.map(str::to_owned).to_vec());
        }
        let mut out = Vec::new();
        table.write(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("cells are text")
    }

    #[test]
    fn columns_are_aligned_by_what_is_shown_and_no_line_ends_in_blanks() {
        let rows = [["a", "5", "1", "2", "x"], ["日本", "1,000", "2", "3", "yy zz"]];
        let text = "key     len  seq  age  value\n\
                    ────────────────────────────\n\
                    a         5    1    2  x\n\
                    日本  1,000    2    3  yy zz\n";
        assert_eq!(drawn(&rows, LOOK), text);
        let ascii = drawn(&rows, Look { ascii: true, ..LOOK });
        assert_eq!(ascii.lines().nth(1), Some("-".repeat(28).as_str()));
        assert_eq!(drawn(&[], LOOK), "");
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_a_cell_is_cut_where_the_room_ends() {
        let long = "two words and more of them, ".repeat(20);
        for width in 40..100 {
            let text = drawn(&[[&long, "5", "100", "200", &"日本".repeat(99)]], Look { width, ..LOOK });
            let row = text.lines().nth(2).expect("there is a row");
            let left_out = text.lines().skip(3).collect::<Vec<_>>().join(" ");
            assert!(left_out.is_empty() || left_out.starts_with("no room for "), "{text}");
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
            assert!(row.width() + 3 > width && row.ends_with('…'), "{text}");
        }
    }

    #[test]
    fn columns_leave_one_by_one_as_the_screen_gets_narrow() {
        let rows = [["a long enough key", "5", "1,000,000", "2,000,000", "and a long value"]];
        let heads = [80, 50, 40].map(|width| {
            let text = drawn(&rows, Look { width, ..LOOK });
            let head = text.lines().next().expect("there is a head");
            head.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        assert_eq!(heads, ["key len seq age value", "key len age value", "key len value"]);
        let text = drawn(&rows, Look { width: 40, ..LOOK });
        let said = text.lines().skip(3).collect::<Vec<_>>().join(" ");
        assert_eq!(said, "no room for seq, age: a wider terminal or --json shows them");
    }

    #[test]
    fn a_cell_that_wraps_is_there_to_the_last_word() {
        let columns = [Column::text("name", hue::PLAIN), Column::text("is", hue::PLAIN)];
        let columns = columns.map(|column| Column { squeeze: Squeeze::Wraps, ..column });
        let mut table = Table::new(&columns, Look { width: 30, ..LOOK }).headless();
        table.row(vec!["a".to_owned(), "one two three four five six seven eight".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).expect("memory takes it");
        assert_eq!(out, b"a  one two three four five six\n   seven eight\n");
    }

    #[test]
    fn colours_change_no_column() {
        let rows = [["a", "5", "1", "2", "x"], ["bbb", "1,000", "2", "3", "yy"]];
        let colored = drawn(&rows, Look { color: true, ..LOOK });
        assert!(colored.contains("\u{1b}[38;5;6ma\u{1b}[39m"), "{colored:?}");
        let mut bare = String::new();
        let mut in_escape = false;
        for c in colored.chars() {
            in_escape |= c == '\u{1b}';
            if !in_escape {
                bare.push(c);
            }
            in_escape &= c != 'm';
        }
        let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&bare), lines(&drawn(&rows, LOOK)));
    }
}
