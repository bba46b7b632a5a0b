//! Which columns a screen has room for, in which form, and how wide.

use super::column::{Align, Column, Squeeze};

/// The blanks between two columns.
pub const GAP: usize = 2;

/// Where a column stands on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The column's index.
    pub column: usize,
    /// Which form of its cells is shown: 0 is the longest.
    pub form: usize,
    /// Its width.
    pub width: usize,
    /// Whether a wider cell moves those behind it, in its row alone.
    pub grows: bool,
}

/// The columns that fit `room`, when the forms of their cells are `widths` wide.
///
/// Columns take shorter forms, or leave, until the others fit with text cut to its least width. Then the
/// widest columns are narrowed: first those that may be cut.
pub fn fit(columns: &[Column], widths: &[Vec<usize>], room: usize) -> Vec<Placed> {
    let forms = forms(columns, widths, room);
    let shown = (0..columns.len()).filter_map(|column| {
        let width = *widths[column].get(forms[column])?;
        // A number that is cut would be another.
        let grows = columns[column].squeeze == Squeeze::Keeps && columns[column].align == Align::Right;
        (width > 0).then_some(Placed { column, form: forms[column], width, grows })
    });
    let mut shown: Vec<_> = shown.collect();
    if let Some(last) = shown.last_mut() {
        // Nothing stands behind the last cell.
        last.grows = columns[last.column].squeeze == Squeeze::Keeps;
    }
    narrow(columns, shown, room)
}

/// The columns of the screen that a line takes.
pub fn width(placed: &[Placed]) -> usize {
    placed.iter().map(|placed| placed.width).sum::<usize>() + gaps(placed.len())
}

fn gaps(count: usize) -> usize {
    GAP * count.saturating_sub(1)
}

/// The form of each column; one beyond its last form means that the column is left out.
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

fn narrow(columns: &[Column], mut placed: Vec<Placed>, room: usize) -> Vec<Placed> {
    const NARROWEST: usize = 4;
    while width(&placed) > room {
        let wide = placed.iter_mut().rev().filter(|placed| placed.width > NARROWEST);
        let keeps = |placed: &Placed| columns[placed.column].squeeze == Squeeze::Keeps;
        // Of several the first, which is a key: a value has more to tell.
        let Some(widest) = wide.max_by_key(|placed| (!keeps(placed), placed.width)) else { break };
        widest.width -= 1;
        widest.grows = false;
    }
    placed
}
