//! Rows that take a line each.

use super::reading::Reading;
use super::{BeforeWait, Taken, TextRows};
use crate::shell::commands::transfer::rows::table::Header;
use crate::shell::commands::transfer::rows::{Row, Table, jsonl, tsv};
use crate::shell::lang::failure::Failure;

/// What each line of a text is.
pub enum Lines {
    /// A JSON object: of an export, or of a table.
    Json(Option<Table>),
    /// Key, tab, value.
    Tsv,
    /// Fields with tabs between them, below this header.
    Table(Header),
}

impl Lines {
    /// Fields with tabs between them, below a first line that names the columns.
    pub fn with_header(
        reading: &mut Reading,
        table: &Table,
        before_wait: BeforeWait<'_>,
    ) -> Result<Self, Failure> {
        reading.header(before_wait)?;
        let names = tsv::fields(reading.input.line()).map_err(|why| reading.broken(&why))?;
        let header = Header::new(&names, Some(table));
        Ok(Self::Table(header.map_err(|unclear| reading.without_columns(&unclear))?))
    }

    fn read<'a>(&self, line: &'a [u8]) -> Result<Row<'a>, String> {
        match self {
            Self::Json(table) => jsonl::read(line, 0, table.as_ref()),
            Self::Tsv => tsv::read(line),
            Self::Table(header) => header.row(&tsv::fields(line)?),
        }
    }

    /// Whether a line has nothing on it. One of blanks alone may be a row with a tab.
    fn is_blank(&self, line: &[u8]) -> bool {
        match self {
            Self::Tsv | Self::Table(_) => line.is_empty(),
            Self::Json(_) => line.iter().all(u8::is_ascii_whitespace),
        }
    }
}

impl TextRows for Lines {
    fn next<'a>(
        &'a mut self,
        reading: &'a mut Reading,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<Taken<'a>>, Failure> {
        match reading.next_line(before_wait, |line| self.is_blank(line))? {
            None => return Ok(None),
            Some(Err(why)) => return Ok(Some(Taken::Rejected(why))),
            Some(Ok(())) => {}
        }
        let row = self.read(reading.input.line());
        Ok(Some(row.map_or_else(Taken::Rejected, Taken::Row)))
    }
}
