//! The properties of a column, and its cells.

use crate::shell::term::style::Hue;

/// The alignment of the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// To the left.
    Left,
    /// To the right, for numbers.
    Right,
}

/// The way in which a column gets narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeeze {
    /// It keeps its width.
    Keeps,
    /// Its cells are cut, for text of any length.
    Cuts,
    /// Its cells wrap, for text that must be read whole.
    Wraps,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(super) name: &'static str,
    pub(super) align: Align,
    pub(super) hue: Hue,
    pub(super) squeeze: Squeeze,
    /// The width down to which the column is narrowed before another column is left out.
    pub(super) least: usize,
    /// The greatest width that its cells can claim.
    pub(super) most: usize,
    /// The least width of its longest form.
    pub(super) floor: usize,
    /// The least width if more rows may follow than are measured.
    pub(super) expected: usize,
    /// The order in which columns give way, highest rank first. The first rank is for the shorter
    /// form of the cells if they have one, the next for leaving the column out.
    pub(super) ranks: [Option<u8>; 2],
}

impl Column {
    /// Returns a column of text with a fixed width.
    pub const fn text(name: &'static str, hue: Hue) -> Self {
        const TEXT_WIDTH_LEAST: usize = 12;
        Self {
            name,
            align: Align::Left,
            hue,
            squeeze: Squeeze::Keeps,
            least: TEXT_WIDTH_LEAST,
            most: usize::MAX,
            floor: 0,
            expected: 0,
            ranks: [None; 2],
        }
    }

    /// Returns a column of numbers with a fixed width.
    pub const fn number(name: &'static str, hue: Hue) -> Self {
        Self { align: Align::Right, ..Self::text(name, hue) }
    }

    /// Returns the heading, which also names the column if it is left out.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Lets the cells be cut.
    pub const fn cut(self) -> Self {
        Self { squeeze: Squeeze::Cuts, ..self }
    }

    /// Sets the least width before other columns are left out, and the greatest width.
    pub const fn within(self, least: usize, most: usize) -> Self {
        Self { least, most, ..self }
    }

    /// Lets the cells wrap.
    pub const fn wrapped(self) -> Self {
        Self { squeeze: Squeeze::Wraps, ..self }
    }

    /// Lets the column be left out. The column with the highest rank goes first.
    pub const fn leaves(self, rank: u8) -> Self {
        Self { ranks: [Some(rank), None], ..self }
    }

    /// Lets the cells take their shorter form at the rank `shorter`, and the column be left out at
    /// the rank `leaves`.
    pub const fn shortens(self, shorter: u8, leaves: Option<u8>) -> Self {
        Self { ranks: [Some(shorter), leaves], ..self }
    }

    /// Reserves `width` columns.
    pub const fn wide(self, width: usize) -> Self {
        Self { floor: width, ..self }
    }

    /// Reserves `width` columns if more rows may follow than are measured.
    pub const fn expecting(self, width: usize) -> Self {
        Self { expected: width, ..self }
    }
}

/// The cell of a column in one row.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub(super) text: String,
    /// The hue, if it differs from the column's.
    pub(super) hue: Option<Hue>,
    /// The text in several colours.
    pub(super) painted: Option<String>,
    /// The shorter form of the cell.
    pub(super) shorter: Option<Box<Self>>,
}

impl Cell {
    /// Sets the hue of the cell.
    pub fn hue(self, hue: Hue) -> Self {
        Self { hue: Some(hue), shorter: self.shorter.map(|shorter| Box::new(shorter.hue(hue))), ..self }
    }

    /// Returns a cell with `text`, and the same text with colours in `painted`.
    pub fn painted(text: String, painted: String) -> Self {
        Self { text, painted: Some(painted), ..Self::default() }
    }

    /// Adds a shorter form.
    pub fn or(self, shorter: impl Into<Self>) -> Self {
        Self { shorter: Some(Box::new(shorter.into())), ..self }
    }

    /// Returns the form with index `form`, or the shortest one.
    pub(super) fn form(&self, form: usize) -> &Self {
        match &self.shorter {
            Some(shorter) if form > 0 => shorter.form(form - 1),
            _ => self,
        }
    }

    pub(super) fn form_count(&self) -> usize {
        1 + self.shorter.as_ref().map_or(0, |shorter| shorter.form_count())
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}
