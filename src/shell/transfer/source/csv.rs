//! The rows of a table in CSV, below its header.

use super::reading::Reading;
use super::{BeforeWait, Source, Taken};
use crate::shell::failure::Failure;
use crate::shell::rows::Table;
use crate::shell::rows::csv::Records;
use crate::shell::rows::table::Header;

/// A table.
pub struct Csv {
    reading: Reading,
    records: Records,
    header: Header,
    /// The bytes of the present record, among those that are held.
    len: usize,
}

impl Csv {
    /// The table that `reading` is, whose header is read.
    pub fn new(
        mut reading: Reading,
        table: Option<&Table>,
        before_wait: BeforeWait<'_>,
    ) -> Result<Self, Failure> {
        let mut records = Records::default();
        let Some(len) = advance(&mut reading, &mut records, 0, before_wait)? else {
            return Err(reading.broken("it is empty; a table's first line names its columns"));
        };
        if let Some(delimiter) = records.other_delimiter() {
            records = Records::with_delimiter(delimiter);
            records.push(reading.input.held(len));
            records.push(b"\n");
        }
        let header = Header::new(&records.fields(), table).map_err(|why| {
            let failure = reading.broken(&why);
            if table.is_some() { failure } else { failure.hint("--key COLUMN says which one is the key") }
        })?;
        Ok(Self { reading, records, header, len })
    }
}

/// Goes on behind the present record, of `len` bytes, to the next one: its length, or `None` at the end.
fn advance(
    reading: &mut Reading,
    records: &mut Records,
    len: usize,
    before_wait: BeforeWait<'_>,
) -> Result<Option<usize>, Failure> {
    records.forget();
    reading.take(len);
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
            if reading.input.unread_len() > reading.len_max {
                let len_max = reading.len_max;
                let why =
                    format!("this row is longer than {len_max} bytes; perhaps a quote in it is not closed");
                return Err(reading.broken(&why));
            }
            reading.fill(before_wait)?;
            while let (0, Some(b'\n' | b'\r')) = (at, reading.input.unread().first()) {
                reading.take(1);
            }
        }
    }
}

impl Source for Csv {
    fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<Taken<'_>>, Failure> {
        match advance(&mut self.reading, &mut self.records, self.len, before_wait)? {
            None => {
                self.len = 0;
                Ok(None)
            }
            Some(len) => {
                self.len = len;
                let row = self.header.row(&self.records.fields());
                Ok(Some(row.map_or_else(Taken::Rejected, Taken::Row)))
            }
        }
    }

    fn place(&self) -> String {
        self.reading.place()
    }

    fn line(&self) -> &[u8] {
        self.reading.input.held(self.len).trim_ascii_end()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.reading.progress()
    }
}
