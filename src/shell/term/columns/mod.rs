//! Tables: aligned, never wider than the screen, and streamed.
//!
//! The first rows decide the widths. Later rows are cut to these widths, so that a table of any
//! length needs little memory. All text must be escaped by the caller: escape sequences of a
//! terminal would pass through.

mod column;
mod draw;
mod layout;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use self::column::{Align, Squeeze};
pub use self::column::{Cell, Column};
use self::draw::{Pen, PlacedCell};
pub use self::layout::GAP;
use self::layout::PlacedColumn;
use super::fit::hang;
use super::style::{Hue, Look, hue};

/// The headings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Names and a rule below.
    Ruled,
    /// Names in a dim hue.
    Bare,
    /// None: the first column names the second.
    Nothing,
}

/// A line that waits until the widths are decided.
#[derive(Debug)]
enum Waiting {
    Row(Vec<Cell>),
    Span(Span),
    Text(String),
}

/// A row whose first cells are in columns, followed by free text.
#[derive(Debug)]
pub struct Span {
    /// The first cells. The very first is shown even if its column is left out.
    pub cells: Vec<Cell>,
    /// The first word of the text. Later lines are indented below it.
    pub word: Cell,
    /// The rest of the text.
    pub text: String,
    /// The hue of the row.
    pub hue: Hue,
}

/// A table that is being written.
#[derive(Debug)]
pub struct Table {
    pen: Pen,
    columns: Vec<Column>,
    head: Head,
    /// The headings, or nothing if they are the names of the columns.
    headings: Vec<Cell>,
    measured_max: usize,
    waiting: Vec<Waiting>,
    row_count: usize,
    /// The visible columns, after the widths are decided.
    placed: Option<Vec<PlacedColumn>>,
    /// The names of the columns that do not fit.
    left_out: Vec<&'static str>,
}

impl Table {
    /// Returns a table without rows.
    pub fn new(columns: &[Column], look: Look) -> Self {
        /// More rows than a screen has.
        const ROWS_MEASURED: usize = 200;
        Self {
            pen: Pen { look, margin: 0, ellipsis: look.ellipsis() },
            columns: columns.to_vec(),
            head: Head::Ruled,
            headings: Vec::new(),
            measured_max: ROWS_MEASURED,
            waiting: Vec::new(),
            row_count: 0,
            placed: None,
            left_out: Vec::new(),
        }
    }

    /// Omits the headings.
    pub fn headless(self) -> Self {
        Self { head: Head::Nothing, ..self }
    }

    /// Decides the widths after `count` rows.
    pub fn measuring(self, count: usize) -> Self {
        Self { measured_max: count, ..self }
    }

    /// Sets headings other than the names of the columns, without a rule.
    pub fn headed(self, headings: Vec<Cell>) -> Self {
        Self { head: Head::Bare, headings, ..self }
    }

    /// Indents all lines.
    pub fn indented(self) -> Self {
        Self { pen: Pen { margin: GAP, ..self.pen }, ..self }
    }

    /// Marks cut cells with `ellipsis`.
    pub fn cutting_with(self, ellipsis: &'static str) -> Self {
        Self { pen: Pen { ellipsis, ..self.pen }, ..self }
    }

    /// Adds a row.
    pub fn row<C: Into<Cell>>(
        &mut self,
        out: &mut (impl Write + ?Sized),
        cells: impl IntoIterator<Item = C>,
    ) -> io::Result<()> {
        self.add(out, Waiting::Row(cells.into_iter().map(Into::into).collect()))
    }

    /// Adds a row with its columns. The table takes the columns of its first row.
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

    /// Adds a row that ends in free text.
    pub fn span(&mut self, out: &mut (impl Write + ?Sized), span: Span) -> io::Result<()> {
        self.add(out, Waiting::Span(span))
    }

    /// Adds lines of text below the last row.
    pub fn text(&mut self, out: &mut (impl Write + ?Sized), text: String) -> io::Result<()> {
        self.add(out, Waiting::Text(text))
    }

    /// Writes the rows that wait. More rows may follow.
    pub fn flush(&mut self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.write_waiting(out, true) }
    }

    /// Writes the rows that wait, and the names of the columns that did not fit.
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
        let Pen { look, margin, .. } = self.pen;
        let text = hang(look.width, &" ".repeat(margin), margin, text.split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", look.paint(line, hue::DIM)))
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
            let widths = self.widths(goes_on);
            let room = self.pen.look.width.saturating_sub(self.pen.margin);
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

    /// Returns the width of each form of each column.
    fn widths(&self, goes_on: bool) -> Vec<Vec<usize>> {
        let cells = |index: usize| {
            self.waiting.iter().filter_map(move |line| match line {
                Waiting::Row(cells) => cells.get(index),
                Waiting::Span(span) => span.cells.get(index),
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
        if self.head != Head::Nothing {
            let is_ruled = self.head == Head::Ruled;
            let hue = if is_ruled { hue::HEAD } else { hue::DIM };
            let headings: Vec<_> = self.headings.iter().map(|cell| cell.clone().hue(hue)).collect();
            write_lines(out, self.pen.head(&self.parts(&headings), is_ruled))?;
        }
        let placed = self.placed.as_mut().expect("the widths are decided before the head is written");
        let width = layout::width(placed);
        // Text in the last column gets the rest of the line.
        if let Some(last) = placed.last_mut()
            && self.columns[last.column].squeeze == Squeeze::Cuts
            && self.columns[last.column].align == Align::Left
        {
            last.width += self.pen.look.width.saturating_sub(self.pen.margin + width);
        }
        Ok(())
    }

    fn write(&self, out: &mut (impl Write + ?Sized), line: &Waiting) -> io::Result<()> {
        match line {
            Waiting::Row(cells) => write_lines(out, self.pen.row(&self.parts(cells))),
            Waiting::Span(span) => self.write_span(out, span),
            Waiting::Text(text) => writeln!(out, "{text}"),
        }
    }

    fn write_span(&self, out: &mut (impl Write + ?Sized), span: &Span) -> io::Result<()> {
        const WHOLE: &Column = &Column::text("", hue::PLAIN);
        let whole = |cell| PlacedCell { cell, column: WHOLE, width: 0, grows: true };
        let mut parts = self.parts(&span.cells);
        if self.placed().first().is_none_or(|placed| placed.column > 0) {
            parts.insert(0, whole(&span.cells[0]));
        }
        parts.push(whole(&span.word));
        let look = self.pen.look;
        let pen = Pen { look: Look { color: false, ..look }, ..self.pen };
        let first = format!("{}{:GAP$}", pen.row(&parts).concat(), "");
        let indent = first.width().min(look.width / 2);
        let text = hang(look.width, &first, indent, span.text.split(' '));
        text.lines().try_for_each(|line| writeln!(out, "{}", look.paint(line, span.hue)))
    }

    /// Returns the cells of the visible columns.
    fn parts<'a>(&'a self, cells: &'a [Cell]) -> Vec<PlacedCell<'a>> {
        let part = |placed: &PlacedColumn| {
            let cell = cells.get(placed.column)?.form(placed.form);
            let column = &self.columns[placed.column];
            Some(PlacedCell { cell, column, width: placed.width, grows: placed.grows })
        };
        self.placed().iter().map_while(part).collect()
    }

    fn placed(&self) -> &[PlacedColumn] {
        self.placed.as_deref().unwrap_or_default()
    }
}

/// Writes `lines` without trailing blanks, which a user would copy with the text.
fn write_lines(out: &mut (impl Write + ?Sized), lines: impl IntoIterator<Item = String>) -> io::Result<()> {
    lines.into_iter().try_for_each(|line| writeln!(out, "{}", line.trim_end_matches(' ')))
}
