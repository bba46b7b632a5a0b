//! The rows of a table in CSV, below its header.

use logkv::Grouped;

use super::reading::Reading;
use super::{BeforeWait, Taken, TextRows};
use crate::shell::commands::transfer::rows::Table;
use crate::shell::commands::transfer::rows::csv::Records;
use crate::shell::commands::transfer::rows::table::Header;
use crate::shell::lang::failure::Failure;

/// A table.
pub struct Csv {
    records: Records,
    header: Header,
}

impl Csv {
    /// The table that `reading` is, whose header is read.
    pub fn new(
        reading: &mut Reading,
        table: Option<&Table>,
        before_wait: BeforeWait<'_>,
    ) -> Result<Self, Failure> {
        let mut records = Records::default();
        let Some(len) = advance(reading, &mut records, true, before_wait)? else {
            return Err(reading.broken("it is empty; a table's first line names its columns"));
        };
        reading.hold_row(len);
        if let Some(delimiter) = records.other_delimiter() {
            records = Records::with_delimiter(delimiter);
            records.push(reading.input.held(len));
            records.push(b"\n");
        }
        let header = Header::new(&records.fields(), table);
        let header = header.map_err(|unclear| reading.without_columns(&unclear))?;
        Ok(Self { records, header })
    }
}

/// Goes on to the next record, and returns its length; `None` at the end.
fn advance(
    reading: &mut Reading,
    records: &mut Records,
    is_header: bool,
    before_wait: BeforeWait<'_>,
) -> Result<Option<usize>, Failure> {
    records.forget();
    reading.pass_row();
    // Blank lines before a record are passed over, and what is left of a line break.
    while let Some(b'\n' | b'\r') = reading.input.unread().first() {
        reading.take(1);
    }
    let mut at = 0;
    loop {
        let held = reading.input.unread();
        if let Some(more) = held.get(at..).filter(|more| !more.is_empty()) {
            let (taken, is_whole) = records.push(more);
            at += taken;
            if is_whole {
                return Ok(Some(at));
            }
        } else if reading.input.is_at_end() {
            // The last record may have no line break.
            return match (at, records.push(b"\n").1) {
                (0, _) => Ok(None),
                (at, true) => Ok(Some(at)),
                (_, false) => Err(reading.broken("the quote that opens in this row is never closed")),
            };
        } else {
            if is_header {
                reading.check_header(reading.input.unread_len())?;
            }
            check_row(reading, records)?;
            reading.fill(before_wait)?;
            while let (0, Some(b'\n' | b'\r')) = (at, reading.input.unread().first()) {
                reading.take(1);
            }
        }
    }
}

/// Fails if what was read of the present record is more than one has, as it stands or in its fields.
fn check_row(reading: &Reading, records: &Records) -> Result<(), Failure> {
    // In base64 four bytes stand for three.
    let fields_len_max =
        reading.pair_len_max.saturating_add(reading.pair_len_max / 3).saturating_add(1 << 20);
    let found = [(reading.input.unread_len(), reading.len_max), (records.len() as u64, fields_len_max)];
    match found.into_iter().find(|(len, len_max)| len > len_max) {
        None => Ok(()),
        Some((_, len_max)) => {
            let len_max = Grouped(len_max);
            let why = format!("this row is longer than {len_max} bytes; perhaps a quote in it is not closed");
            Err(reading.broken(&why))
        }
    }
}

impl TextRows for Csv {
    fn next<'a>(
        &'a mut self,
        reading: &'a mut Reading,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<Taken<'a>>, Failure> {
        let Some(len) = advance(reading, &mut self.records, false, before_wait)? else { return Ok(None) };
        reading.hold_row(len);
        let row = self.header.row(&self.records.fields());
        Ok(Some(row.map_or_else(Taken::Rejected, Taken::Row)))
    }
}
