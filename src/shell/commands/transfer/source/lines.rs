//! Rows of one line each.

use super::item::{BeforeWait, ImportItem};
use super::text::{TextReader, TextRows};
use crate::shell::commands::transfer::rows::table::TableHeader;
use crate::shell::commands::transfer::rows::{ImportRow, TableFields, jsonl, tsv};
use crate::shell::lang::failure::Failure;

/// The content of each line.
pub enum LineRows {
    /// A JSON object: an exported row, or a row of a table.
    Json(Option<TableFields>),
    /// A key, a tab and a value.
    Tsv,
    /// Tab-separated fields below this header.
    Table(TableHeader),
}

impl LineRows {
    /// Reads the header of a table of tab-separated fields.
    pub fn with_header(
        reader: &mut TextReader,
        table: &TableFields,
        before_wait: BeforeWait<'_>,
    ) -> Result<Self, Failure> {
        reader.header(before_wait)?;
        let names = tsv::fields(reader.input.line()).map_err(|why| reader.broken(&why))?;
        let header = TableHeader::new(&names, Some(table));
        Ok(Self::Table(header.map_err(|problem| reader.header_failure(&problem))?))
    }

    fn read<'a>(&self, line: &'a [u8]) -> Result<ImportRow<'a>, String> {
        match self {
            Self::Json(table) => jsonl::read(line, 0, table.as_ref()),
            Self::Tsv => tsv::read(line),
            Self::Table(header) => header.row(&tsv::fields(line)?),
        }
    }

    /// Returns whether a line is blank. In TSV, a line of blanks may be a row.
    fn is_blank(&self, line: &[u8]) -> bool {
        match self {
            Self::Tsv | Self::Table(_) => line.is_empty(),
            Self::Json(_) => line.iter().all(u8::is_ascii_whitespace),
        }
    }
}

impl TextRows for LineRows {
    fn next<'a>(
        &'a mut self,
        reader: &'a mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<ImportItem<'a>>, Failure> {
        match reader.next_line(before_wait, |line| self.is_blank(line))? {
            None => return Ok(None),
            Some(Err(why)) => return Ok(Some(ImportItem::Rejected(why))),
            Some(Ok(())) => {}
        }
        let row = self.read(reader.input.line());
        Ok(Some(row.map_or_else(ImportItem::Rejected, ImportItem::Row)))
    }
}
