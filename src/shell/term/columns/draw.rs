//! Draws the lines of a row. comfy-table aligns, cuts and wraps the cells; their widths are decided before.
//!
//! comfy-table draws without colours: it would ask the environment whether to use them, and a cell
//! that is cut would lose its escape sequences. The text of a cell is painted once it is drawn.

use comfy_table::{CellAlignment, ColumnConstraint, ContentLineStyle, LineStyle, Row, TableStyle, Width};

use super::column::{Align, Cell, Column, Squeeze};
use super::layout::GAP;
use crate::shell::term::style::{Look, hue};

/// The character between two drawn cells. Cells are quoted or our own text, so none holds it.
const SEAM: char = '\u{1f}';

/// A cell and the room it has.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub cell: &'a Cell,
    pub column: &'a Column,
    pub width: usize,
    /// Whether a wider cell moves those behind it, in its row alone.
    pub grows: bool,
}

/// How rows are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    pub look: Look,
    /// The blanks before each line.
    pub margin: usize,
    /// What stands where a cell is cut off.
    pub ellipsis: &'static str,
}

impl Pen {
    /// The lines of a row.
    pub fn row(&self, parts: &[Part<'_>]) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.add_row(row(parts));
        self.arrange(&mut table, parts);
        table.lines().map(|line| self.paint(&line, parts)).collect()
    }

    /// The lines of the headings, and a rule below them.
    pub fn head(&self, parts: &[Part<'_>], is_ruled: bool) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.set_header(row(parts));
        self.arrange(&mut table, parts);
        if is_ruled {
            let rule = self.look.rule();
            table.style_mut().header_separator = LineStyle::none().fill(rule).junction(rule);
        }
        let mut lines: Vec<_> = table.lines().collect();
        let rule = if is_ruled { lines.pop() } else { None };
        let headings = lines.iter().map(|line| self.paint(line, parts));
        headings.chain(rule.map(|rule| self.look.paint(rule, hue::DIM))).collect()
    }

    /// Gives each column of `table` its width.
    fn arrange(&self, table: &mut comfy_table::Table, parts: &[Part<'_>]) {
        const SEAMS: ContentLineStyle = ContentLineStyle::none().junction(SEAM);
        table.load_style(TableStyle::new().header_lines(SEAMS).content_lines(SEAMS));
        table.set_truncation_indicator(self.ellipsis);
        for (index, (part, drawn)) in parts.iter().zip(table.column_iter_mut()).enumerate() {
            let before = if index == 0 { self.margin } else { 0 };
            // The seam is one of the blanks of the gap.
            let after = if index + 1 == parts.len() { 0 } else { GAP - 1 };
            let width = Width::Fixed(columns(before + part.width + after));
            drawn.set_padding((columns(before), columns(after))).set_constraint(match part.grows {
                true => ColumnConstraint::LowerBoundary(width),
                false => ColumnConstraint::Absolute(width),
            });
            if part.column.squeeze != Squeeze::Wraps {
                // A cell is cut where the room ends, and not at the blank before.
                drawn.set_delimiter(SEAM);
            }
            drawn.set_cell_alignment(match part.column.align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
    }

    /// Paints the text of each cell of a drawn line.
    fn paint(&self, line: &str, parts: &[Part<'_>]) -> String {
        if !self.look.color {
            return line.replace(SEAM, " ");
        }
        let painted = line.split(SEAM).zip(parts).map(|(drawn, part)| {
            let text = drawn.trim_matches(' ');
            match &part.cell.painted {
                _ if text.is_empty() => drawn.to_owned(),
                Some(painted) if text == part.cell.text => drawn.replacen(text, painted, 1),
                _ => {
                    let hue = part.cell.hue.unwrap_or(part.column.hue);
                    drawn.replacen(text, &self.look.paint(text, hue), 1)
                }
            }
        });
        painted.collect::<Vec<_>>().join(" ")
    }
}

fn row(parts: &[Part<'_>]) -> Row {
    let mut row = Row::from(parts.iter().map(|part| part.cell.text.as_str()));
    if parts.iter().all(|part| part.column.squeeze != Squeeze::Wraps) {
        row.max_height(1);
    }
    row
}

/// A number of the terminal's columns, as comfy-table takes it.
fn columns(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
