//! Where an import's rows come from: the text of a table or a script, or the data files of another store.

mod csv;
mod item;
mod json;
mod lines;
mod records;
mod script;
mod text;

pub use self::item::{BeforeWait, FilePosition, ImportItem, RowPlace};
pub use self::records::ForeignRecords;
pub use self::text::TextReader;
use self::text::TextRows;
use crate::shell::commands::transfer::rows::{RowFormat, TableFields};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::Command;

/// What an import reads.
pub enum ImportSource {
    /// A text, and the parser of its rows.
    Text(TextReader, Box<dyn TextRows>),
    /// The data files of another store.
    Records(ForeignRecords),
}

impl ImportSource {
    /// What comes next; `None` at the end. Calls `before_wait` before it waits for more input.
    pub fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<ImportItem<'_>>, Failure> {
        match self {
            Self::Text(reader, rows) => rows.next(reader, before_wait),
            Self::Records(records) => records.next(),
        }
    }

    /// The place of what came last.
    pub fn place(&self) -> RowPlace {
        match self {
            Self::Text(reader, _) => reader.place(),
            Self::Records(records) => records.place(),
        }
    }

    /// The bytes of the row that came last; empty if there is none, if it is too long, or if it is no text.
    pub fn line(&self) -> &[u8] {
        match self {
            Self::Text(reader, _) => reader.row(),
            Self::Records(_) => &[],
        }
    }

    /// How many bytes were read, and of how many, where that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Self::Text(reader, _) => reader.progress(),
            Self::Records(records) => records.progress(),
        }
    }
}

/// The source that reads a text: in our own formats, a script of these `commands` too, or a table as it is found.
/// Reads the header.
pub fn of_text(
    commands: &'static [Command],
    mut reader: TextReader,
    format: RowFormat,
    table: Option<TableFields>,
    before_wait: BeforeWait<'_>,
) -> Result<ImportSource, Failure> {
    reader.begin(format, before_wait)?;
    let rows: Box<dyn TextRows> = match format {
        RowFormat::Jsonl | RowFormat::Json if json::is_document(&mut reader, before_wait)? => {
            Box::new(json::JsonRows::new(table))
        }
        RowFormat::Jsonl | RowFormat::Json => Box::new(lines::LineRows::Json(table)),
        RowFormat::Csv => Box::new(csv::CsvRows::new(&mut reader, table.as_ref(), before_wait)?),
        RowFormat::Tsv => Box::new(match table {
            Some(table) => lines::LineRows::with_header(&mut reader, &table, before_wait)?,
            None => lines::LineRows::Tsv,
        }),
        RowFormat::Script => Box::new(script::ScriptRows::new(commands)),
        RowFormat::Resp => unreachable!("resp is refused before anything is opened"),
    };
    Ok(ImportSource::Text(reader, rows))
}
