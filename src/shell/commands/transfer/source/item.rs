//! The items of a source, and their places.

use std::fmt;
use std::rc::Rc;

use crate::shell::commands::transfer::rows::ImportRow;
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::Invocation;

/// An item of a source.
#[derive(Debug)]
pub enum ImportItem<'a> {
    Row(ImportRow<'a>),
    /// The rows of one line of a script.
    Rows(Vec<ImportRow<'static>>),
    /// Another writing command of a script.
    Call(Box<Invocation>),
    /// An item that cannot be imported, with the reason.
    Rejected(String),
}

/// The place of an item in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// The name of the file in messages.
    pub file: Rc<str>,
    /// The position in the file.
    pub at: FilePosition,
}

/// A position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilePosition {
    /// A position in a text.
    Line {
        /// The line, from 1.
        number: u64,
        /// The byte of the line, from 1.
        column: u64,
    },
    /// A byte offset.
    Offset(u64),
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.at {
            FilePosition::Line { number, column: 1 } => write!(f, "{file}:{number}"),
            FilePosition::Line { number, column } => write!(f, "{file}:{number}:{column}"),
            FilePosition::Offset(offset) => write!(f, "{file}:{offset:#08x}"),
        }
    }
}

/// A function that a source calls before it waits for more input.
pub type BeforeWait<'a> = &'a mut dyn FnMut() -> Result<(), Failure>;
