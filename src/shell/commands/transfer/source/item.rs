//! What a source hands to the import, and where it stands.

use std::fmt;
use std::rc::Rc;

use crate::shell::commands::transfer::rows::ImportRow;
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::Invocation;

/// What was found next.
#[derive(Debug)]
pub enum ImportItem<'a> {
    /// A row.
    Row(ImportRow<'a>),
    /// The rows of a line of a script.
    Rows(Vec<ImportRow<'static>>),
    /// Another line of a script that writes.
    Call(Box<Invocation>),
    /// Something that is none, and why.
    Rejected(String),
}

/// Where something stands in what is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// The file, as messages call it.
    pub file: Rc<str>,
    /// Where in it.
    pub at: FilePosition,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilePosition {
    /// In a text, both from 1.
    Line {
        /// The line.
        number: u64,
        /// The byte of that line.
        column: u64,
    },
    /// Behind so many bytes.
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

/// What is done before a source waits for somebody to write more.
pub type BeforeWait<'a> = &'a mut dyn FnMut() -> Result<(), Failure>;
