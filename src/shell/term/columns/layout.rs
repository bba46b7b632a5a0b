//! The choice of columns, their forms and their widths for a screen.

use super::column::{Align, Column, Squeeze};

/// The blanks between two columns.
pub const GAP: usize = 2;

/// A visible column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedColumn {
    /// The index of the column.
    pub column: usize,
    /// The form of its cells. 0 is the longest.
    pub form: usize,
    pub width: usize,
    /// Whether a wider cell pushes the cells after it to the right, in its row only.
    pub grows: bool,
}

/// Returns the columns that fit into `room`. `widths` has the widths of each column's forms.
///
/// Columns take shorter forms or are left out until the others fit, with text at its least width.
/// Then the widest columns are narrowed, starting with those that can be cut.
pub fn fit(columns: &[Column], widths: &[Vec<usize>], room: usize) -> Vec<PlacedColumn> {
    let forms = forms(columns, widths, room);
    let shown = (0..columns.len()).filter_map(|column| {
        let width = *widths[column].get(forms[column])?;
        // A cut number would read as another number.
        let grows = columns[column].squeeze == Squeeze::Keeps && columns[column].align == Align::Right;
        (width > 0).then_some(PlacedColumn { column, form: forms[column], width, grows })
    });
    let mut shown: Vec<_> = shown.collect();
    if let Some(last) = shown.last_mut() {
        // No cell follows the last one, so it can be any width.
        last.grows = columns[last.column].squeeze == Squeeze::Keeps;
    }
    narrow(columns, shown, room)
}

/// Returns the width of a line.
pub fn width(placed: &[PlacedColumn]) -> usize {
    placed.iter().map(|placed| placed.width).sum::<usize>() + gaps(placed.len())
}

fn gaps(count: usize) -> usize {
    GAP * count.saturating_sub(1)
}

/// Returns the form of each column. An index after its last form means that the column is left out.
fn forms(columns: &[Column], widths: &[Vec<usize>], room: usize) -> Vec<usize> {
    let mut forms = vec![0; columns.len()];
    loop {
        let shown = |column: &usize| widths[*column].get(forms[*column]).is_some_and(|width| *width > 0);
        let shown: Vec<_> = (0..columns.len()).filter(shown).collect();
        let least = |&column: &usize| match columns[column].squeeze {
            Squeeze::Keeps => widths[column][forms[column]],
            Squeeze::Cuts | Squeeze::Wraps => widths[column][forms[column]].min(columns[column].least),
        };
        if shown.iter().map(least).sum::<usize>() + gaps(shown.len()) <= room {
            return forms;
        }
        let rank =
            |column: usize| Some((columns[column].ranks.get(forms[column]).copied().flatten()?, column));
        let Some((_, next)) = shown.into_iter().filter_map(rank).max() else { return forms };
        forms[next] += 1;
    }
}

fn narrow(columns: &[Column], mut placed: Vec<PlacedColumn>, room: usize) -> Vec<PlacedColumn> {
    const NARROWEST: usize = 4;
    while width(&placed) > room {
        let wide = placed.iter_mut().rev().filter(|placed| placed.width > NARROWEST);
        let keeps = |placed: &PlacedColumn| columns[placed.column].squeeze == Squeeze::Keeps;
        // Of equally wide columns the first keeps its width: it is a key.
        let Some(widest) = wide.max_by_key(|placed| (!keeps(placed), placed.width)) else { break };
        widest.width -= 1;
        widest.grows = false;
    }
    placed
}
