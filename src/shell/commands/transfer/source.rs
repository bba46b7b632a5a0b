//! The sources of an import: tables and scripts in text, and data files of another store.

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

/// A source of rows.
pub enum ImportSource {
    /// A text, and the parser of its rows.
    Text(TextReader, Box<dyn TextRows>),
    /// Data files of another store.
    Records(ForeignRecords),
}

impl ImportSource {
    /// Returns the next item, or `None` at the end. Calls `before_wait` before it waits for input.
    pub fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<ImportItem<'_>>, Failure> {
        match self {
            Self::Text(reader, rows) => rows.next(reader, before_wait),
            Self::Records(records) => records.next(),
        }
    }

    /// Returns the place of the last item.
    pub fn place(&self) -> RowPlace {
        match self {
            Self::Text(reader, _) => reader.place(),
            Self::Records(records) => records.place(),
        }
    }

    /// Returns the bytes of the last row, or no bytes if the row is too long or not text.
    pub fn line(&self) -> &[u8] {
        match self {
            Self::Text(reader, _) => reader.row(),
            Self::Records(_) => &[],
        }
    }

    /// Returns the number of bytes read, and of all bytes if it is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Self::Text(reader, _) => reader.progress(),
            Self::Records(records) => records.progress(),
        }
    }
}

/// Creates the source of a text: rows of a format, a table, or a script of `commands`. Reads the
/// header of a table.
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
        RowFormat::Resp => unreachable!("resp is refused when the import is planned"),
    };
    Ok(ImportSource::Text(reader, rows))
}
