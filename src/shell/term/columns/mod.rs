//! Columns: aligned by what a terminal shows, never wider than it, and streamed.
//!
//! The first rows decide the widths. Later rows are cut to them, so a table of any length takes no memory.
//! Every text that comes here is quoted or our own: a terminal's escape sequences would be drawn as they are.

mod column;
mod layout;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use self::column::{Align, Squeeze};
pub use self::column::{Cell, Column};
pub use self::layout::GAP;
use self::layout::Placed;
use super::fit::{clip, hang};
use super::style::{Hue, Look, hue};

/// What stands above the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Their names, and a rule.
    Ruled,
    /// Their names, standing back.
    Bare,
    /// Nothing: the first column says what the second is.
    Nothing,
}

/// A line that waits for the widths to be fixed.
#[derive(Debug)]
enum Waiting {
    Row(Vec<Cell>),
    Span(Span),
    Text(String),
}

/// A row whose first columns are as in the others, and the rest of it is one text.
#[derive(Debug)]
pub struct Span {
    /// What stands in the first column, which is not left out of this row.
    pub mark: &'static str,
    /// The cells of the next columns.
    pub cells: Vec<Cell>,
    /// How the text begins, and what its next lines hang below.
    pub word: String,
    /// The rest of the text.
    pub text: String,
    /// The hue of the whole row.
    pub hue: Hue,
}

/// A table on its way out.
#[derive(Debug)]
pub struct Table {
    look: Look,
    columns: Vec<Column>,
    head: Head,
    /// The headings; the names of the columns if there are none.
    headings: Vec<Cell>,
    margin: usize,
    /// What stands where a cell is cut off.
    ellipsis: &'static str,
    measured_max: usize,
    waiting: Vec<Waiting>,
    row_count: usize,
    /// The columns that are shown, once the widths are fixed.
    placed: Option<Vec<Placed>>,
    /// The names of those that there is no room for.
    left_out: Vec<&'static str>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column], look: Look) -> Self {
        /// A screenful and more.
        const ROWS_MEASURED: usize = 200;
        Self {
            look,
            columns: columns.to_vec(),
            head: Head::Ruled,
            headings: Vec::new(),
            margin: 0,
            ellipsis: look.ellipsis(),
            measured_max: ROWS_MEASURED,
            waiting: Vec::new(),
            row_count: 0,
            placed: None,
            left_out: Vec::new(),
        }
    }

    /// The same, without headings.
    pub fn headless(self) -> Self {
        Self { head: Head::Nothing, ..self }
    }

    /// The same, whose first `count` rows decide the widths.
    pub fn measuring(self, count: usize) -> Self {
        Self { measured_max: count, ..self }
    }

    /// The same, with these headings in place of the columns' names, and without a rule.
    pub fn headed(self, headings: Vec<Cell>) -> Self {
        Self { head: Head::Bare, headings, ..self }
    }

    /// The same, behind a margin.
    pub fn indented(self) -> Self {
        Self { margin: GAP, ..self }
    }

    /// The same, with `ellipsis` where a cell is cut off.
    pub fn cutting_with(self, ellipsis: &'static str) -> Self {
        Self { ellipsis, ..self }
    }

    /// Adds a row.
    pub fn row<C: Into<Cell>>(
        &mut self,
        out: &mut (impl Write + ?Sized),
        cells: impl IntoIterator<Item = C>,
    ) -> io::Result<()> {
        self.add(out, Waiting::Row(cells.into_iter().map(Into::into).collect()))
    }

    /// Adds a row that brings its columns: those of the first row are the table's.
    pub fn row_in(
        &mut self,
        out: &mut (impl Write + ?Sized),
        columns: &[Column],
        cells: Vec<Cell>,
    ) -> io::Result<()> {
        if self.columns.is_empty() {
            self.columns = columns.to_vec();
        }
        self.add(out, Waiting::Row(cells))
    }

    /// Adds a row whose first columns are as in the others, and the rest of it is one text.
    pub fn span(&mut self, out: &mut (impl Write + ?Sized), span: Span) -> io::Result<()> {
        self.add(out, Waiting::Span(span))
    }

    /// Adds lines below the last row.
    pub fn text(&mut self, out: &mut (impl Write + ?Sized), text: String) -> io::Result<()> {
        self.add(out, Waiting::Text(text))
    }

    /// Writes the rows so far, where more may follow.
    pub fn flush(&mut self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.write_waiting(out, true) }
    }

    /// Writes what is left, and which columns there was no room for.
    pub fn end(mut self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.write_waiting(out, false)?;
        }
        let them = match self.left_out.as_slice() {
            [] => return Ok(()),
            [_] => "it",
            _ => "them",
        };
        let names = self.left_out.join(", ");
        let text = format!("no room for {names}: a wider terminal or --json shows {them}");
        let text = hang(self.look.width, &" ".repeat(self.margin), self.margin, text.split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", self.look.paint(line, hue::DIM)))
    }

    fn add(&mut self, out: &mut (impl Write + ?Sized), line: Waiting) -> io::Result<()> {
        if self.placed.is_some() {
            return self.write(out, &line);
        }
        self.row_count += usize::from(!matches!(line, Waiting::Text(_)));
        self.waiting.push(line);
        if self.row_count < self.measured_max { Ok(()) } else { self.flush(out) }
    }

    fn write_waiting(&mut self, out: &mut (impl Write + ?Sized), goes_on: bool) -> io::Result<()> {
        if self.placed.is_none() {
            if self.headings.is_empty() && self.head != Head::Nothing {
                self.headings = self.columns.iter().map(|column| column.name.into()).collect();
            }
            let (widths, room) = (self.widths(goes_on), self.look.width.saturating_sub(self.margin));
            let placed = layout::fit(&self.columns, &widths, room);
            let is_left_out =
                |index: &usize| widths[*index][0] > 0 && placed.iter().all(|placed| placed.column != *index);
            let left_out = (0..self.columns.len()).filter(is_left_out);
            self.left_out = left_out.map(|index| self.columns[index].name).collect();
            self.placed = Some(placed);
            self.write_head(out)?;
        }
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().try_for_each(|line| self.write(out, line))
    }

    /// The width of each form of each column's cells.
    fn widths(&self, goes_on: bool) -> Vec<Vec<usize>> {
        let cells = |index: usize| {
            self.waiting.iter().filter_map(move |line| match line {
                Waiting::Row(cells) => cells.get(index),
                Waiting::Span(span) => span.cells.get(index.checked_sub(1)?),
                Waiting::Text(_) => None,
            })
        };
        let widths_of = |(index, column): (usize, &Column)| {
            let heading = self.headings.get(index);
            let form_count = cells(index).chain(heading).map(Cell::form_count).max().unwrap_or(1);
            let width_of = |form: usize| {
                let width = |cell: &Cell| cell.form(form).text.width();
                let widest = cells(index).map(width).max().unwrap_or(0).min(column.most);
                let floor = if form == 0 { column.floor } else { 0 };
                let expected = if goes_on { column.expected } else { 0 };
                widest.max(heading.map_or(0, width)).max(floor).max(expected)
            };
            (0..form_count).map(width_of).collect()
        };
        self.columns.iter().enumerate().map(widths_of).collect()
    }

    fn write_head(&mut self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let hue = if self.head == Head::Ruled { hue::HEAD } else { hue::DIM };
        if self.head != Head::Nothing {
            let headings: Vec<_> = self.headings.iter().map(|cell| cell.clone().hue(hue)).collect();
            self.write_cells(out, &headings)?;
        }
        let placed = self.placed.as_mut().expect("the widths are fixed before the head is written");
        let width = layout::width(placed);
        // Nothing stands behind text at the end of a line: it gets the rest of the screen.
        if let Some(last) = placed.last_mut()
            && self.columns[last.column].squeeze == Squeeze::Cuts
            && self.columns[last.column].align == Align::Left
        {
            last.width += self.look.width.saturating_sub(self.margin + width);
        }
        if self.head == Head::Ruled {
            writeln!(out, "{}", self.look.paint(self.look.rule().to_string().repeat(width), hue::DIM))?;
        }
        Ok(())
    }

    fn write(&self, out: &mut (impl Write + ?Sized), line: &Waiting) -> io::Result<()> {
        match line {
            Waiting::Row(cells) => self.write_cells(out, cells),
            Waiting::Span(span) => self.write_span(out, span),
            Waiting::Text(text) => writeln!(out, "{text}"),
        }
    }

    fn write_cells(&self, out: &mut (impl Write + ?Sized), cells: &[Cell]) -> io::Result<()> {
        let mut line = Line::new(self.margin);
        let mut at = self.margin;
        for (index, placed) in self.placed().iter().enumerate() {
            let Some(cell) = cells.get(placed.column) else { break };
            let (cell, column) = (cell.form(placed.form), &self.columns[placed.column]);
            let is_last = index + 1 == self.placed().len();
            let text = self.fitted(&cell.text, column, placed, is_last);
            let hue = cell.hue.unwrap_or(column.hue);
            let shown = match &cell.painted {
                Some(painted) => painted.clone(),
                None => {
                    let lines = text.split('\n').map(|line| self.look.paint(line, hue));
                    lines.collect::<Vec<_>>().join(&format!("\n{:at$}", ""))
                }
            };
            line.push(&shown, text.width(), column.align, placed.width);
            at += placed.width + GAP;
        }
        writeln!(out, "{}", line.text)
    }

    /// `text` as its column has room for it; in several lines where it is wrapped.
    fn fitted(&self, text: &str, column: &Column, placed: &Placed, is_last: bool) -> String {
        let is_cut = match column.squeeze {
            Squeeze::Wraps => return hang(placed.width, "", 0, text.split(' ')),
            Squeeze::Cuts => true,
            // A number that is cut would be another, and nothing stands behind the last cell.
            Squeeze::Keeps => placed.is_narrowed || (column.align == Align::Left && !is_last),
        };
        if is_cut { clip(text, placed.width, self.ellipsis) } else { text.to_owned() }
    }

    fn write_span(&self, out: &mut (impl Write + ?Sized), span: &Span) -> io::Result<()> {
        let mut line = Line::new(self.margin);
        if self.placed().first().is_none_or(|placed| placed.column > 0) {
            line.push(span.mark, span.mark.width(), Align::Left, 0);
        }
        for placed in self.placed() {
            let text = match placed.column.checked_sub(1) {
                None => span.mark,
                Some(index) if index < span.cells.len() => &span.cells[index].form(placed.form).text,
                Some(_) => break,
            };
            line.push(text, text.width(), self.columns[placed.column].align, placed.width);
        }
        line.push(&span.word, span.word.width(), Align::Left, 0);
        let first = format!("{}{:GAP$}", line.text, "");
        let indent = first.width().min(self.look.width / 2);
        let text = hang(self.look.width, &first, indent, span.text.split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", self.look.paint(line, span.hue)))
    }

    fn placed(&self) -> &[Placed] {
        self.placed.as_deref().unwrap_or_default()
    }
}

/// A line that is put together. No blanks stand at its end: they would be copied with it.
struct Line {
    text: String,
    /// Blanks that come before the next text.
    owed: usize,
}

impl Line {
    fn new(margin: usize) -> Self {
        Self { text: String::new(), owed: margin }
    }

    /// Adds `shown`, which takes `width` columns, to a column of `room`.
    fn push(&mut self, shown: &str, width: usize, align: Align, room: usize) {
        let rest = room.saturating_sub(width);
        if width == 0 {
            self.owed += rest + GAP;
            return;
        }
        let (before, after) = if align == Align::Right { (rest, 0) } else { (0, rest) };
        self.text.extend(std::iter::repeat_n(' ', self.owed + before));
        self.text.push_str(shown);
        self.owed = after + GAP;
    }
}
