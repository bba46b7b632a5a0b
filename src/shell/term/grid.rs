//! Columns: aligned by what a terminal shows, never wider than it, and streamed.
//!
//! The first rows decide the widths; later ones are cut to them. So a table of any length takes no memory, and
//! its first row is there at once.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::{Hue, Look, hue};
use super::table::{Align, Column, GAP, Squeeze, hidden, write_left_out};

/// A table on its way out.
#[derive(Debug)]
pub struct Grid<'a> {
    columns: &'a [Column],
    look: Look,
    widths: Vec<usize>,
    /// What the widths come to at least, where there are more rows than are measured.
    expected: Vec<usize>,
    /// The columns that are shown, once the widths are fixed.
    shown: Vec<usize>,
    waiting: Vec<Vec<String>>,
    head_written: bool,
}

/// Rows that are looked at before widths are fixed: a screenful and more.
const ROWS_MEASURED: usize = 200;

impl<'a> Grid<'a> {
    /// A table without rows.
    pub fn new(columns: &'a [Column], look: Look) -> Self {
        let widths = columns.iter().map(|column| column.name.width()).collect();
        Self {
            columns,
            look,
            widths,
            expected: Vec::new(),
            shown: Vec::new(),
            waiting: Vec::new(),
            head_written: false,
        }
    }

    /// The same, with room for cells as wide as `cells` where there are more rows than are measured: what grows from row to row
    /// is not cut.
    pub fn expecting(self, cells: &[String]) -> Self {
        Self { expected: cells.iter().map(|cell| cell.width()).collect(), ..self }
    }

    /// Adds a row, whose cells hold no control bytes.
    pub fn row(&mut self, out: &mut impl Write, cells: Vec<String>) -> io::Result<()> {
        if self.head_written {
            return self.write_row(out, &cells);
        }
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.width().max(*width);
        }
        self.waiting.push(cells);
        if self.waiting.len() < ROWS_MEASURED { Ok(()) } else { self.flush(out) }
    }

    /// Writes the rows so far, where more may follow.
    pub fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        for (width, &expected) in self.widths.iter_mut().zip(&self.expected) {
            *width = expected.max(*width);
        }
        self.write_waiting(out)
    }

    /// Writes what is left, and which columns there was no room for.
    pub fn end(mut self, out: &mut impl Write) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.write_waiting(out)?;
        }
        let is_left_out =
            |index: &usize| self.head_written && self.widths[*index] > 0 && !self.shown.contains(index);
        let left_out = (0..self.columns.len()).filter(is_left_out).map(|index| self.columns[index].name);
        write_left_out(out, "", &left_out.collect::<Vec<_>>(), &self.look)
    }

    fn write_waiting(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.head_written = true;
        self.fit();
        let head: Vec<_> = self.columns.iter().map(|column| column.name.to_owned()).collect();
        self.write_cells(out, &head, |_| hue::HEAD)?;
        let width = self.width();
        let rule = self.look.rule().to_string().repeat(width);
        self.widen_last();
        writeln!(out, "{}", self.look.paint(rule, hue::DIM))?;
        for cells in std::mem::take(&mut self.waiting) {
            self.write_row(out, &cells)?;
        }
        Ok(())
    }

    /// Leaves out the columns that may leave, then narrows the widest of those that may be cut, and of the others, until the
    /// line fits.
    fn fit(&mut self) {
        const NARROWEST: usize = 4;
        let hidden = hidden(self.columns, &self.widths, self.look.width);
        let is_shown = |index: &usize| self.widths[*index] > 0 && !hidden.contains(index);
        self.shown = (0..self.columns.len()).filter(is_shown).collect();
        while self.width() > self.look.width {
            let is_wide = |index: &usize| self.widths[*index] > NARROWEST;
            let keeps = |index: usize| self.columns[index].squeeze != Squeeze::Cuts;
            let wide = self.shown.iter().copied().filter(is_wide);
            let Some(widest) = wide.max_by_key(|&index| (!keeps(index), self.widths[index])) else { break };
            self.widths[widest] -= 1;
        }
    }

    /// Gives text at the end of a line the rest of the screen: nothing stands behind it.
    fn widen_last(&mut self) {
        let rest = self.look.width.saturating_sub(self.width());
        if let Some(&last) = self.shown.last()
            && (self.columns[last].align, self.columns[last].squeeze) == (Align::Left, Squeeze::Cuts)
        {
            self.widths[last] += rest;
        }
    }

    /// The columns of the screen that a line takes.
    fn width(&self) -> usize {
        let gaps = GAP.len() * self.shown.len().saturating_sub(1);
        self.shown.iter().map(|&index| self.widths[index]).sum::<usize>() + gaps
    }

    fn write_row(&self, out: &mut impl Write, cells: &[String]) -> io::Result<()> {
        self.write_cells(out, cells, |column| column.hue)
    }

    fn write_cells(
        &self,
        out: &mut impl Write,
        cells: &[String],
        hue: impl Fn(&Column) -> Hue,
    ) -> io::Result<()> {
        let mut line = String::new();
        for &index in &self.shown {
            let (column, width) = (&self.columns[index], self.widths[index]);
            let text = clip(&cells[index], width, self.look.ellipsis());
            let padding = " ".repeat(width - text.width().min(width));
            let is_last = Some(&index) == self.shown.last();
            let text = self.look.paint(text, hue(column));
            match column.align {
                Align::Right => line.extend([padding.as_str(), &text]),
                // No blanks at the end of a line: they would be copied with it.
                Align::Left if is_last => line.push_str(&text),
                Align::Left => line.extend([text.as_str(), &padding]),
            }
            if !is_last {
                line.push_str(GAP);
            }
        }
        line.push('\n');
        out.write_all(line.as_bytes())
    }
}

/// The start of `text` that fits `width` columns; `ellipsis` says that there was more.
pub fn clip(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > room
    });
    let kept = end.map_or(text, |(at, _)| &text[..at]);
    format!("{kept}{ellipsis}")
}

/// `text` in lines of at most `width` columns, broken at blanks.
pub fn wrap(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len() + 1);
    let mut used = 0;
    for word in text.split_whitespace() {
        let fits = used + 1 + word.width() <= width;
        if used > 0 {
            wrapped.push(if fits { ' ' } else { '\n' });
        }
        used = if used > 0 && fits { used + 1 + word.width() } else { word.width() };
        wrapped.push_str(word);
    }
    wrapped
}

/// `words` after `first`, in lines of at most `width` columns, each but the first indented by `indent`.
pub fn hang<'a>(
    width: usize,
    first: &str,
    indent: usize,
    words: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut text = first.to_owned();
    let mut column = first.width();
    let mut gap = 0;
    for word in words {
        if gap > 0 && column + gap + word.width() > width {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent + word.width();
        } else {
            text.extend(std::iter::repeat_n(' ', gap));
            column += gap + word.width();
        }
        text.push_str(word);
        gap = 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::text("key", hue::PLAIN),
        Column::number("len", hue::PLAIN),
        Column::text("value", hue::PLAIN),
    ];

    fn drawn(rows: &[[&str; 3]], width: usize) -> String {
        let mut out = Vec::new();
        let mut grid = Grid::new(COLUMNS, Look { color: false, ascii: false, width });
        for row in rows {
            grid.row(&mut out, row.map(str::to_owned).to_vec()).expect("memory takes it");
        }
        grid.end(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("cells are text")
    }

    #[test]
    fn columns_are_aligned_by_what_is_shown() {
        assert_eq!(
            drawn(&[["a", "5", "x"], ["日本", "1,000", "y"]], 80),
            "key     len  value\n──────────────────\na         5  x\n日本  1,000  y\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "v".repeat(500);
        for width in [20, 40, 80] {
            let text =
                drawn(&[[&long, "5", &long], ["k", "5", "日本日本日本日本日本日本日本日本日本日本"]], width);
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
        }
    }

    #[test]
    fn a_column_that_may_leave_does_so_before_another_is_cut() {
        let columns = [
            Column::text("key", hue::PLAIN).squeezed(Squeeze::Cuts),
            Column::number("seq", hue::PLAIN).squeezed(Squeeze::Leaves(2)),
            Column::number("offset", hue::PLAIN).squeezed(Squeeze::Leaves(1)),
        ];
        let mut out = Vec::new();
        let mut grid = Grid::new(&columns, Look { color: false, ascii: false, width: 22 });
        let cells = ["a long enough key", "1,000,000", "0x000040"].map(str::to_owned);
        grid.row(&mut out, cells.to_vec()).expect("memory takes it");
        grid.end(&mut out).expect("memory takes it");
        let rule = "─".repeat(22);
        let note = "no room for seq: a\nwider terminal or\n--json shows it";
        let text = format!("key             offset\n{rule}\na long enou…  0x000040\n{note}\n");
        assert_eq!(String::from_utf8_lossy(&out), text);
    }

    #[test]
    fn rows_after_the_measured_ones_are_cut_to_the_widths_of_those() {
        let long = "v".repeat(50);
        let mut rows = vec![["k", "1", "v"]; ROWS_MEASURED];
        rows.push(["k", "1", &long]);
        let text = drawn(&rows, 80);
        assert_eq!(text.lines().last(), Some("k      1  vvvv…"));
        assert_eq!(text.lines().count(), ROWS_MEASURED + 3);
    }

    #[test]
    fn text_at_the_end_of_a_line_has_the_rest_of_the_screen_and_a_column_of_nothing_none() {
        let columns = [
            Column::text("", hue::PLAIN),
            Column::number("n", hue::PLAIN),
            Column::text("value", hue::PLAIN).squeezed(Squeeze::Cuts),
        ];
        let mut out = Vec::new();
        let mut grid = Grid::new(&columns, Look { color: false, ascii: false, width: 20 });
        grid.row(&mut out, ["", "1", "v"].map(str::to_owned).to_vec()).expect("memory takes it");
        grid.flush(&mut out).expect("memory takes it");
        grid.row(&mut out, ["", "2", "a longer value that is cut"].map(str::to_owned).to_vec())
            .expect("memory takes it");
        grid.end(&mut out).expect("memory takes it");
        let text = String::from_utf8(out).expect("cells are text");
        assert_eq!(text, "n  value\n────────\n1  v\n2  a longer value t…\n");
    }

    #[test]
    fn a_column_for_which_wide_cells_are_expected_is_not_cut_later_and_is_no_wider_without_them() {
        let look = Look { color: false, ascii: false, width: 80 };
        let wide = ["", "1,000,000", ""].map(str::to_owned);
        for (count, last) in [(1, "k      1  v"), (ROWS_MEASURED, "k            1  v")] {
            let mut out = Vec::new();
            let mut grid = Grid::new(COLUMNS, look).expecting(&wide);
            for _ in 0..count {
                grid.row(&mut out, ["k", "1", "v"].map(str::to_owned).to_vec()).expect("memory takes it");
            }
            grid.end(&mut out).expect("memory takes it");
            let text = String::from_utf8(out).expect("cells are text");
            assert_eq!(text.lines().last(), Some(last));
        }
    }

    #[test]
    fn text_that_may_be_cut_makes_room_for_what_is_read_whole() {
        let columns = [
            Column::text("time", hue::PLAIN),
            Column::text("value", hue::PLAIN).squeezed(Squeeze::Cuts),
            Column::text("state", hue::PLAIN),
        ];
        let mut out = Vec::new();
        let mut grid = Grid::new(&columns, Look { color: false, ascii: false, width: 32 });
        let cells = ["2026-01-01 00:00:00", "a long value", "LIVE"].map(str::to_owned);
        grid.row(&mut out, cells.to_vec()).expect("memory takes it");
        grid.end(&mut out).expect("memory takes it");
        let text = String::from_utf8(out).expect("cells are text");
        assert_eq!(text.lines().last(), Some("2026-01-01 00:00:00  a l…  LIVE"));
    }

    #[test]
    fn text_is_broken_at_blanks_and_a_word_is_never_torn() {
        assert_eq!(wrap("ab cd\nef  gh", 5), "ab cd\nef gh");
        assert_eq!(wrap("abcdefgh i", 5), "abcdefgh\ni");
        assert_eq!(wrap("", 5), "");
    }

    #[test]
    fn a_text_hangs_below_what_it_begins_with() {
        let text = hang(20, "  ! ", 4, "bytes that are no valid record".split(' '));
        assert_eq!(text, "  ! bytes that are\n    no valid record");
        assert_eq!(hang(20, "", 2, "two  blanks stay".split(' ')), "two  blanks stay");
    }

    #[test]
    fn a_table_without_rows_has_no_heading() {
        assert_eq!(drawn(&[], 80), "");
    }
}
