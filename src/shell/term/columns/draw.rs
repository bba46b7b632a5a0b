//! The lines of a row. comfy-table aligns, cuts and wraps the cells to the widths that `layout`
//! has chosen.
//!
//! comfy-table draws without colours: with them it would read the environment, and a cut cell would
//! lose its escape sequences. The text of a cell is painted after it is drawn.

use comfy_table::{CellAlignment, ColumnConstraint, ContentLineStyle, LineStyle, Row, TableStyle, Width};

use super::column::{Align, Cell, Column, Squeeze};
use super::layout::GAP;
use crate::shell::term::style::{Look, hue};

/// Separates drawn cells. No cell contains it: cells are escaped data or our own text.
const SEAM: char = '\u{1f}';

/// A cell with its column and width.
#[derive(Clone, Copy, Debug)]
pub struct PlacedCell<'a> {
    pub cell: &'a Cell,
    pub column: &'a Column,
    pub width: usize,
    /// Whether a wider cell pushes the cells after it to the right, in its row only.
    pub grows: bool,
}

/// The settings for drawing rows.
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    pub look: Look,
    /// The blanks before each line.
    pub margin: usize,
    /// Marks a cut cell.
    pub ellipsis: &'static str,
}

impl Pen {
    /// Returns the lines of a row.
    pub fn row(&self, parts: &[PlacedCell<'_>]) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.add_row(row(parts));
        self.arrange(&mut table, parts);
        table.lines().map(|line| self.paint(&line, parts)).collect()
    }

    /// Returns the lines of the headings, and of a rule below them if `is_ruled`.
    pub fn head(&self, parts: &[PlacedCell<'_>], is_ruled: bool) -> Vec<String> {
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

    /// Sets the width and the alignment of each column of `table`.
    fn arrange(&self, table: &mut comfy_table::Table, parts: &[PlacedCell<'_>]) {
        const SEAMS: ContentLineStyle = ContentLineStyle::none().junction(SEAM);
        table.load_style(TableStyle::new().header_lines(SEAMS).content_lines(SEAMS));
        table.set_truncation_indicator(self.ellipsis);
        for (index, (part, drawn)) in parts.iter().zip(table.column_iter_mut()).enumerate() {
            let before = if index == 0 { self.margin } else { 0 };
            // The separator takes one column of the gap.
            let after = if index + 1 == parts.len() { 0 } else { GAP - 1 };
            let width = Width::Fixed(columns(before + part.width + after));
            drawn.set_padding((columns(before), columns(after))).set_constraint(match part.grows {
                true => ColumnConstraint::LowerBoundary(width),
                false => ColumnConstraint::Absolute(width),
            });
            if part.column.squeeze != Squeeze::Wraps {
                // Cuts a cell exactly at its width, not at the blank before.
                drawn.set_delimiter(SEAM);
            }
            drawn.set_cell_alignment(match part.column.align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
    }

    /// Paints the text of each cell of a drawn line.
    fn paint(&self, line: &str, parts: &[PlacedCell<'_>]) -> String {
        if !self.look.color {
            return line.replace(SEAM, " ");
        }
        const ESCAPES_LEN: usize = 16;
        let mut painted = String::with_capacity(line.len() + parts.len() * ESCAPES_LEN);
        for (index, (drawn, part)) in line.split(SEAM).zip(parts).enumerate() {
            if index > 0 {
                painted.push(' ');
            }
            let rest = drawn.trim_start_matches(' ');
            let text = rest.trim_end_matches(' ');
            painted.push_str(&drawn[..drawn.len() - rest.len()]);
            match &part.cell.painted {
                _ if text.is_empty() => {}
                Some(whole) if text == part.cell.text => painted.push_str(whole),
                _ => {
                    let hue = part.cell.hue.unwrap_or(part.column.hue);
                    self.look.paint_into(&mut painted, text, hue);
                }
            }
            painted.push_str(&rest[text.len()..]);
        }
        painted
    }
}

fn row(parts: &[PlacedCell<'_>]) -> Row {
    let mut row = Row::from(parts.iter().map(|part| part.cell.text.as_str()));
    if parts.iter().all(|part| part.column.squeeze != Squeeze::Wraps) {
        row.max_height(1);
    }
    row
}

/// Returns a width in the type of comfy-table.
fn columns(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
