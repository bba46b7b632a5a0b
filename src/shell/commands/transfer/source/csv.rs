//! The rows of a table in CSV, below its header.

use logkv::Grouped;

use super::reading::Reading;
use super::{BeforeWait, Source, Spot, Taken};
use crate::shell::commands::transfer::rows::Table;
use crate::shell::commands::transfer::rows::csv::Records;
use crate::shell::commands::transfer::rows::table::Header;
use crate::shell::lang::failure::Failure;

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
        let row = Row { len: 0, is_header: true };
        let Some(len) = advance(&mut reading, &mut records, row, before_wait)? else {
            return Err(reading.broken("it is empty; a table's first line names its columns"));
        };
        if let Some(delimiter) = records.other_delimiter() {
            records = Records::with_delimiter(delimiter);
            records.push(reading.input.held(len));
            records.push(b"\n");
        }
        let header = Header::new(&records.fields(), table);
        let header = header.map_err(|unclear| reading.without_columns(&unclear))?;
        Ok(Self { reading, records, header, len })
    }
}

/// A record to go on behind.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Its bytes.
    len: usize,
    /// Whether the next one is the first.
    is_header: bool,
}

/// Goes on behind the present record to the next one: its length, or `None` at the end.
fn advance(
    reading: &mut Reading,
    records: &mut Records,
    Row { len, is_header }: Row,
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

impl Source for Csv {
    fn next(&mut self, before_wait: BeforeWait<'_>) -> Result<Option<Taken<'_>>, Failure> {
        let row = Row { len: self.len, is_header: false };
        match advance(&mut self.reading, &mut self.records, row, before_wait)? {
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

    fn spot(&self) -> Spot {
        self.reading.spot()
    }

    fn line(&self) -> &[u8] {
        self.reading.input.held(self.len).trim_ascii_end()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.reading.progress()
    }
}
