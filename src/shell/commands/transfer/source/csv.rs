//! The rows of a CSV table below its header.

use logkv::Grouped;

use super::item::{BeforeWait, ImportItem};
use super::text::{TextReader, TextRows};
use crate::shell::commands::transfer::rows::TableFields;
use crate::shell::commands::transfer::rows::csv::CsvRecords;
use crate::shell::commands::transfer::rows::table::TableHeader;
use crate::shell::lang::failure::Failure;

/// A CSV table.
pub struct CsvRows {
    records: CsvRecords,
    header: TableHeader,
}

impl CsvRows {
    /// Reads the header of a table.
    pub fn new(
        reader: &mut TextReader,
        table: Option<&TableFields>,
        before_wait: BeforeWait<'_>,
    ) -> Result<Self, Failure> {
        let mut records = CsvRecords::default();
        let Some(len) = advance(reader, &mut records, true, before_wait)? else {
            return Err(reader.broken("it is empty; a table's first line names its columns"));
        };
        reader.hold_row(len);
        if let Some(delimiter) = records.other_delimiter() {
            records = CsvRecords::with_delimiter(delimiter);
            records.push(reader.input.held(len));
            records.push(b"\n");
        }
        let header = TableHeader::new(&records.fields(), table);
        let header = header.map_err(|problem| reader.header_failure(&problem))?;
        Ok(Self { records, header })
    }
}

/// Reads the next record, and returns its length, or `None` at the end.
fn advance(
    reader: &mut TextReader,
    records: &mut CsvRecords,
    is_header: bool,
    before_wait: BeforeWait<'_>,
) -> Result<Option<usize>, Failure> {
    records.forget();
    reader.pass_row();
    // Skips blank lines, and the rest of a line break.
    while let Some(b'\n' | b'\r') = reader.input.unread().first() {
        reader.take(1);
    }
    let mut at = 0;
    loop {
        let held = reader.input.unread();
        if let Some(more) = held.get(at..).filter(|more| !more.is_empty()) {
            let (taken, is_whole) = records.push(more);
            at += taken;
            if is_whole {
                return Ok(Some(at));
            }
        } else if reader.input.is_at_end() {
            // The last record may have no line break.
            return match (at, records.push(b"\n").1) {
                (0, _) => Ok(None),
                (at, true) => Ok(Some(at)),
                (_, false) => Err(reader.broken("the quote that opens in this row is never closed")),
            };
        } else {
            if is_header {
                reader.check_header(reader.input.unread_len())?;
            }
            check_row(reader, records)?;
            reader.fill(before_wait)?;
            while let (0, Some(b'\n' | b'\r')) = (at, reader.input.unread().first()) {
                reader.take(1);
            }
        }
    }
}

/// Fails if the current record is over the limit, raw or in its fields.
fn check_row(reader: &TextReader, records: &CsvRecords) -> Result<(), Failure> {
    // In base64 four bytes stand for three.
    let fields_len_max = reader.pair_len_max.saturating_add(reader.pair_len_max / 3).saturating_add(1 << 20);
    let found = [(reader.input.unread_len(), reader.len_max), (records.len() as u64, fields_len_max)];
    match found.into_iter().find(|(len, len_max)| len > len_max) {
        None => Ok(()),
        Some((_, len_max)) => {
            let len_max = Grouped(len_max);
            let why = format!("this row is longer than {len_max} bytes; perhaps a quote in it is not closed");
            Err(reader.broken(&why))
        }
    }
}

impl TextRows for CsvRows {
    fn next<'a>(
        &'a mut self,
        reader: &'a mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<ImportItem<'a>>, Failure> {
        let Some(len) = advance(reader, &mut self.records, false, before_wait)? else { return Ok(None) };
        reader.hold_row(len);
        let row = self.header.row(&self.records.fields());
        Ok(Some(row.map_or_else(ImportItem::Rejected, ImportItem::Row)))
    }
}
