//! Where an import's rows come from: the text of a table or a script, or the data files of another store.

mod csv;
mod json;
mod lines;
mod reading;
mod records;
mod script;

use std::fmt;
use std::rc::Rc;

pub use self::reading::Reading;
pub use self::records::Records;
use crate::shell::commands::transfer::rows::{Format, Row, Table};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation};

/// What was found next.
#[derive(Debug)]
pub enum Taken<'a> {
    /// A row.
    Row(Row<'a>),
    /// The rows of a line of a script.
    Rows(Vec<Row<'static>>),
    /// Another line of a script that writes.
    Call(Box<Invocation>),
    /// Something that is none, and why.
    Rejected(String),
}

/// Where something stands in what is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file, as messages call it.
    pub file: Rc<str>,
    /// Where in it.
    pub at: At,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
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

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.at {
            At::Line { number, column: 1 } => write!(f, "{file}:{number}"),
            At::Line { number, column } => write!(f, "{file}:{number}:{column}"),
            At::Offset(offset) => write!(f, "{file}:{offset:#08x}"),
        }
    }
}

/// What is done before a source waits for somebody to write more.
pub type BeforeWait<'a> = &'a mut dyn FnMut() -> Result<(), Failure>;

/// What an import reads.
pub enum ImportSource {
    /// A text, and the parser of its rows.
    Text(Reading, Box<dyn TextRows>),
    /// The data files of another store.
    Records(Records),
}

/// Finds the rows of a text.
pub trait TextRows {
    /// Goes on to the next row of `reading`, as [`ImportSource::next`] does.
    fn next<'a>(
        &'a mut self,
        reading: &'a mut Reading,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<Taken<'a>>, Failure>;
}

impl ImportSource {
    /// What comes next; `None` at the end. Calls `before_wait` before it waits for more input.
    pub fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<Taken<'_>>, Failure> {
        match self {
            Self::Text(reading, rows) => rows.next(reading, before_wait),
            Self::Records(records) => records.next(),
        }
    }

    /// The place of what came last.
    pub fn spot(&self) -> Spot {
        match self {
            Self::Text(reading, _) => reading.spot(),
            Self::Records(records) => records.spot(),
        }
    }

    /// The bytes of the row that came last; empty if there is none, if it is too long, or if it is no text.
    pub fn line(&self) -> &[u8] {
        match self {
            Self::Text(reading, _) => reading.row(),
            Self::Records(_) => &[],
        }
    }

    /// How many bytes were read, and of how many, where that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Self::Text(reading, _) => reading.progress(),
            Self::Records(records) => records.progress(),
        }
    }
}

/// The source that reads a text: in our own formats, a script of these `commands` too, or a table as it is found.
/// Reads the header.
pub fn of_text(
    commands: &'static [Command],
    mut reading: Reading,
    format: Format,
    table: Option<Table>,
    before_wait: BeforeWait<'_>,
) -> Result<ImportSource, Failure> {
    reading.begin(format, before_wait)?;
    let rows: Box<dyn TextRows> = match format {
        Format::Jsonl | Format::Json if json::is_document(&mut reading, before_wait)? => {
            Box::new(json::Document::new(table))
        }
        Format::Jsonl | Format::Json => Box::new(lines::Lines::Json(table)),
        Format::Csv => Box::new(csv::Csv::new(&mut reading, table.as_ref(), before_wait)?),
        Format::Tsv => Box::new(match table {
            Some(table) => lines::Lines::with_header(&mut reading, &table, before_wait)?,
            None => lines::Lines::Tsv,
        }),
        Format::Script => Box::new(script::Script::new(commands)),
        Format::Resp => unreachable!("resp is refused before anything is opened"),
    };
    Ok(ImportSource::Text(reading, rows))
}
