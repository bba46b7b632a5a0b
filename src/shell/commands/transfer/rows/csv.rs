//! CSV: comma-separated fields below a header, in quotes if they contain a comma, a quote or a line
//! break.
//!
//! CSV has no escapes. Bytes that are not text, and invisible characters, would not survive an
//! editor or a spreadsheet, so they are in base64 in the columns `key_b64` and `value_b64`. These
//! columns and `expires_ms` exist only if a row needs them.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use logkv::Visible;

use super::table::TextField;

/// The columns of an export besides `key` and `value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CsvColumns {
    key_b64: bool,
    value_b64: bool,
    expires_ms: bool,
}

impl CsvColumns {
    /// Adds the columns that a row needs. Returns whether all columns are present.
    pub fn add(&mut self, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> bool {
        self.key_b64 |= !is_plain(key);
        self.value_b64 = self.value_b64 || !is_plain(value);
        self.expires_ms |= expires_ms.is_some();
        self.key_b64 && self.value_b64 && self.expires_ms
    }

    /// Writes the header.
    pub fn write_header(self, out: &mut impl Write) -> io::Result<()> {
        let expires_ms = if self.expires_ms { ",expires_ms" } else { "" };
        let key_b64 = if self.key_b64 { ",key_b64" } else { "" };
        let value_b64 = if self.value_b64 { ",value_b64" } else { "" };
        writeln!(out, "key,value{expires_ms}{key_b64}{value_b64}")
    }

    /// Writes a row whose columns were added.
    pub fn write(
        self,
        out: &mut impl Write,
        key: &[u8],
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> io::Result<()> {
        let key_is_plain = !self.key_b64 || is_plain(key);
        let value_is_plain = !self.value_b64 || is_plain(value);
        write_field(out, if key_is_plain { key } else { b"" })?;
        out.write_all(b",")?;
        write_field(out, if value_is_plain { value } else { b"" })?;
        match expires_ms {
            Some(expires_ms) => write!(out, ",{expires_ms}")?,
            None if self.expires_ms => out.write_all(b",")?,
            None => {}
        }
        for (is_there, is_plain, bytes) in
            [(self.key_b64, key_is_plain, key), (self.value_b64, value_is_plain, value)]
        {
            if is_there {
                out.write_all(b",")?;
            }
            if !is_plain {
                out.write_all(BASE64_STANDARD.encode(bytes).as_bytes())?;
            }
        }
        out.write_all(b"\n")
    }
}

/// Returns whether `bytes` are visible text, with carriage returns only before line feeds.
fn is_plain(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let is_seen = |c| Visible::is(c) || matches!(c, '\n' | '\t');
    text.char_indices().all(|(at, c)| is_seen(c) || c == '\r' && bytes.get(at + 1) == Some(&b'\n'))
}

fn write_field(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        return out.write_all(bytes);
    }
    out.write_all(b"\"")?;
    for piece in bytes.split_inclusive(|&byte| byte == b'"') {
        out.write_all(piece)?;
        if piece.ends_with(b"\"") {
            out.write_all(b"\"")?;
        }
    }
    out.write_all(b"\"")
}

/// A splitter of bytes that arrive in pieces into records. It holds one record.
#[derive(Debug)]
pub struct CsvRecords {
    reader: Reader,
    bytes: Vec<u8>,
    len: usize,
    ends: Vec<usize>,
    count: usize,
}

impl Default for CsvRecords {
    fn default() -> Self {
        Self::with_delimiter(b',')
    }
}

impl CsvRecords {
    /// Creates a splitter for fields that are separated by `delimiter`.
    pub fn with_delimiter(delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, bytes: vec![0; 1024], len: 0, ends: vec![0; 16], count: 0 }
    }

    /// Returns the delimiter of the current record, a header, if it is not a comma. Spreadsheets in
    /// many countries write semicolons.
    pub fn other_delimiter(&self) -> Option<u8> {
        let fields = self.fields();
        let [Some(only)] = fields.as_slice() else { return None };
        b";\t".iter().copied().find(|delimiter| only.contains(delimiter))
    }

    /// Reads from `input`, which must not be empty. Returns the number of bytes taken, and whether
    /// a record is complete.
    pub fn push(&mut self, input: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let (result, read, written, ended) = self.reader.read_record(
                &input[taken..],
                &mut self.bytes[self.len..],
                &mut self.ends[self.count..],
            );
            taken += read;
            self.len += written;
            self.count += ended;
            match result {
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return (taken, true),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return (taken, false),
            }
        }
    }

    /// Returns the fields of the complete record.
    pub fn fields(&self) -> Vec<TextField<'_>> {
        let mut start = 0;
        let ends = self.ends[..self.count].iter();
        ends.map(|&end| Some(Cow::Borrowed(&self.bytes[std::mem::replace(&mut start, end)..end]))).collect()
    }

    /// Returns the number of bytes in the fields so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Drops the current record.
    pub fn forget(&mut self) {
        (self.len, self.count) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::TableHeader;
    use super::super::{ImportRow, TableFields};
    use super::*;

    /// Returns the records of `text`, given in pieces of `len` bytes.
    fn records(text: &[u8], len: usize) -> Vec<Vec<Vec<u8>>> {
        let mut records = CsvRecords::default();
        let mut found = Vec::new();
        for mut piece in text.chunks(len) {
            while !piece.is_empty() {
                let (taken, is_whole) = records.push(piece);
                piece = &piece[taken..];
                if is_whole {
                    found.push(records.fields().into_iter().flatten().map(Cow::into_owned).collect());
                    records.forget();
                }
            }
        }
        found
    }

    #[test]
    fn quoted_fields_are_read_wherever_a_piece_ends() {
        let text = b"key,value\r\n\"a,b\",\"c \"\"d\"\"\r\ne\"\n\n=1+1,+x\n\"\",\n";
        let expected: Vec<Vec<&[u8]>> =
            vec![vec![b"key", b"value"], vec![b"a,b", b"c \"d\"\r\ne"], vec![b"=1+1", b"+x"], vec![b"", b""]];
        for len in 1..text.len() {
            assert_eq!(records(text, len), expected, "{len}");
        }
    }

    #[test]
    fn a_column_exists_if_a_row_needs_it() {
        let rows: [(&[u8], &[u8], Option<u64>); 3] =
            [(b"a", b"1", None), (b"\xff", b"x", None), (b"b", b"\x1b[2J", Some(7))];
        let written = |count: usize| {
            let mut columns = CsvColumns::default();
            let mut out = Vec::new();
            let rows = &rows[..count];
            let is_full =
                rows.iter().fold(false, |_, (key, value, expires)| columns.add(key, value, *expires));
            columns.write_header(&mut out).expect("a Vec accepts every write");
            for (key, value, expires) in rows {
                columns.write(&mut out, key, value, *expires).expect("a Vec accepts every write");
            }
            (is_full, String::from_utf8(out).expect("CSV is text"))
        };
        assert_eq!(written(1), (false, "key,value\na,1\n".to_owned()));
        assert_eq!(written(2), (false, "key,value,key_b64\na,1,\n,x,/w==\n".to_owned()));
        let all = "key,value,expires_ms,key_b64,value_b64\na,1,,,\n,x,,/w==,\nb,,7,,G1sySg==\n";
        assert_eq!(written(3), (true, all.to_owned()));
    }

    #[test]
    fn the_header_maps_fields_to_key_and_value() {
        let of = |header: &[u8], table: Option<&TableFields>| {
            let mut records = CsvRecords::default();
            assert!(records.push(header).1);
            TableHeader::new(&records.fields(), table)
        };
        let row = |header: &TableHeader, line: &[u8]| {
            let mut records = CsvRecords::default();
            assert!(records.push(line).1);
            let row = header.row(&records.fields());
            row.map(|row| {
                (row.key.into_owned(), row.value.expect("the row is a put").into_owned(), row.expiry)
            })
        };
        let header = of(b"expires_ms,value, key ,other\n", None).expect("the header is valid");
        let expected = ImportRow::put(&b"k"[..], &b"v"[..]).until(Some(7));
        assert_eq!(row(&header, b"7.0,v,k,x\n"), Ok((b"k".to_vec(), b"v".to_vec(), expected.expiry)));
        assert_eq!(row(&header, b"7,v,k\n"), Err("it has 3 of the header's 4 fields".to_owned()));
        assert_eq!(row(&header, b"7,v,k,x,y\n"), Err("it has 5 fields, and the header has 4".to_owned()));
        assert_eq!(
            row(&header, b"soon,v,k,\n"),
            Err("expires_ms is not a whole number of milliseconds".to_owned())
        );
        let header = of(b"key,value,value_b64\n", None).expect("the header is valid");
        assert_eq!(row(&header, b"k,v,dg==\n"), Err("it has both value and value_b64".to_owned()));
        let why = |header: &[u8], table: Option<&TableFields>| {
            of(header, table).expect_err("the header has a problem").why
        };
        assert_eq!(why(b"id,a b\n", None), "it has no column key; its columns are id, \"a b\"");
        assert_eq!(why(b"key,value, key\n", None), "it has more than one column key");
        assert_eq!(why(b"key,value,value_b64,value_b64\n", None), "it has more than one column value_b64");
        assert!(of(b"key,value,other,other\n", None).is_ok(), "what is passed over may be there twice");
        let many = [&b"x,".repeat(29)[..], b"x\n"].concat();
        assert!(why(&many, None).ends_with("x, x and 10 more"));
        let table = TableFields { key: "id".into(), value: None };
        let header = of(b"id,\"the \"\"name\"\"\"\n", Some(&table)).expect("the header is valid");
        let json = br#"{"id":"7","the \"name\"":"x,y"}"#;
        assert_eq!(row(&header, b"7,\"x,y\"\n"), Ok((b"7".to_vec(), json.to_vec(), None)));
        let twice = "it has more than one column name, and a JSON object needs distinct names";
        assert_eq!(why(b"id,name,name\n", Some(&table)), twice);
        let latin = "its column \"caf\\xe9\" is not UTF-8, which a JSON name must be";
        assert_eq!(why(b"id,caf\xe9\n", Some(&table)), latin);
        let table = TableFields { key: b"caf\xe9".into(), value: Some("id".into()) };
        let header = of(b"id,caf\xe9,x,x\n", Some(&table)).expect("the used names are distinct");
        assert_eq!(row(&header, b"v,k,1,2\n"), Ok((b"k".to_vec(), b"v".to_vec(), None)));
        let table = TableFields { key: "id".into(), value: Some("nowhere".into()) };
        assert_eq!(why(b"id,name\n", Some(&table)), "it has no column nowhere; its columns are id, name");
        let table = TableFields { key: "".into(), value: None };
        assert_eq!(why(b"id,name\n", Some(&table)), "it has no column \"\"; its columns are id, name");
    }
}
