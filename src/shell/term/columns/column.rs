//! What a column is told of its width and its hue, and what its cells say.

use crate::shell::term::style::Hue;

/// Where a cell's text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right: for numbers.
    Right,
}

/// How a column becomes narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeeze {
    /// It keeps its width.
    Keeps,
    /// Its cells are cut off: for text of any length.
    Cuts,
    /// Its cells go on in the next line: for text that is read whole.
    Wraps,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(super) name: &'static str,
    pub(super) align: Align,
    pub(super) hue: Hue,
    pub(super) squeeze: Squeeze,
    /// The width below which its text says too little.
    pub(super) least: usize,
    /// The width that its widest cell gets at most.
    pub(super) most: usize,
    /// The width that it has at least, in its longest form.
    pub(super) floor: usize,
    /// The same, where more rows may follow than are measured.
    pub(super) expected: usize,
    /// When it gives way: the column with the highest rank is the first. A rank for each shorter form of
    /// its cells, and one for leaving.
    pub(super) ranks: [Option<u8>; 2],
}

impl Column {
    /// A column of text that keeps its width.
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

    /// A column of numbers that keeps its width.
    pub const fn number(name: &'static str, hue: Hue) -> Self {
        Self { align: Align::Right, ..Self::text(name, hue) }
    }

    /// Its heading, and what it is called where there is no room for it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The same, with cells that are cut off.
    pub const fn cut(self) -> Self {
        Self { squeeze: Squeeze::Cuts, ..self }
    }

    /// The same, at least `least` columns wide before others leave, and at most `most`.
    pub const fn within(self, least: usize, most: usize) -> Self {
        Self { least, most, ..self }
    }

    /// The same, with cells that go on in the next line.
    pub const fn wrapped(self) -> Self {
        Self { squeeze: Squeeze::Wraps, ..self }
    }

    /// The same, that is left out where there is no room: first the column with the highest rank.
    pub const fn leaves(self, rank: u8) -> Self {
        Self { ranks: [Some(rank), None], ..self }
    }

    /// The same, with cells that take their shorter form at the first rank, and leave at the second.
    pub const fn shortens(self, shorter: u8, leaves: Option<u8>) -> Self {
        Self { ranks: [Some(shorter), leaves], ..self }
    }

    /// The same, with room for cells that are `width` wide.
    pub const fn wide(self, width: usize) -> Self {
        Self { floor: width, ..self }
    }

    /// The same, with room for cells that are `width` wide where more rows may follow than are measured.
    pub const fn expecting(self, width: usize) -> Self {
        Self { expected: width, ..self }
    }
}

/// What stands in a column of a row.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub(super) text: String,
    /// Its hue, where it has another than its column.
    pub(super) hue: Option<Hue>,
    /// Its text with colours, where it has several.
    pub(super) painted: Option<String>,
    /// What it says where the column shortens.
    pub(super) shorter: Option<Box<Self>>,
}

impl Cell {
    /// The same, in another hue than its column.
    pub fn hue(self, hue: Hue) -> Self {
        Self { hue: Some(hue), shorter: self.shorter.map(|shorter| Box::new(shorter.hue(hue))), ..self }
    }

    /// A cell that says `text`, of which `painted` is the same with colours.
    pub fn painted(text: String, painted: String) -> Self {
        Self { text, painted: Some(painted), ..Self::default() }
    }

    /// The same, that says `shorter` where its column shortens.
    pub fn or(self, shorter: impl Into<Self>) -> Self {
        Self { shorter: Some(Box::new(shorter.into())), ..self }
    }

    /// The `form`th form of it, or its shortest one.
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
