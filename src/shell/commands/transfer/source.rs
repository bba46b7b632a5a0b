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
pub trait Source {
    /// What comes next; `None` at the end. Calls `before_wait` before it waits for somebody to write more.
    fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<Taken<'_>>, Failure>;

    /// The place of what came last.
    fn spot(&self) -> Spot;

    /// The bytes of the row that came last; none where no row did, or more than is read.
    fn line(&self) -> &[u8];

    /// How many bytes were read, and of how many, where that is known.
    fn progress(&self) -> (u64, Option<u64>);
}

/// What reads the rows of a text: of our own formats, a script of these `commands` too, or of a table as it is found. A
/// header is read at once.
pub fn of_text(
    commands: &'static [Command],
    mut reading: Reading,
    format: Format,
    table: Option<Table>,
    before_wait: BeforeWait<'_>,
) -> Result<Box<dyn Source>, Failure> {
    reading.begin(format, before_wait)?;
    Ok(match format {
        Format::Jsonl | Format::Json if json::is_document(&mut reading, before_wait)? => {
            Box::new(json::Document::new(reading, table))
        }
        Format::Jsonl | Format::Json => Box::new(lines::Lines::new(reading, lines::Parser::Json(table))),
        Format::Csv => Box::new(csv::Csv::new(reading, table.as_ref(), before_wait)?),
        Format::Tsv => match table {
            Some(table) => Box::new(lines::Lines::with_header(reading, &table, before_wait)?),
            None => Box::new(lines::Lines::new(reading, lines::Parser::Tsv)),
        },
        Format::Script => Box::new(script::Script::new(commands, reading)),
        Format::Resp => unreachable!("resp is refused before anything is opened"),
    })
}
