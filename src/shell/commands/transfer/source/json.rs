//! The rows of a JSON document: objects in an array or in sequence, over any number of lines.
//!
//! Only one row is in memory. This module finds the ends of rows, and [`jsonl`] parses them. An
//! invalid row is rejected, and the others follow. If a bracket or string does not end properly,
//! the start of the next row is unknown, and the import of the document ends.

use logkv::Grouped;

use super::item::{BeforeWait, ImportItem};
use super::text::{TextReader, TextRows};
use crate::shell::commands::transfer::rows::{TableFields, jsonl};
use crate::shell::lang::failure::Failure;

/// A JSON document.
pub struct JsonRows {
    table: Option<TableFields>,
    /// The line where the open array starts.
    array: Option<u64>,
    /// The next expected token.
    expects: Expects,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// A row, or the end of the array.
    First,
    /// A row after a comma.
    Row,
    /// A comma, or the end of the array.
    Comma,
}

/// Returns whether rows are not lines: the text starts with an array, or with an object that
/// continues on the next line.
pub fn is_document(reader: &mut TextReader, before_wait: BeforeWait<'_>) -> Result<bool, Failure> {
    /// More white space than any document starts with.
    const LOOK_LEN: usize = 64 << 10;
    loop {
        let is_at_end = reader.input.is_at_end();
        let text = reader.input.unread();
        let start = text.trim_ascii_start();
        let is_cut = text.len() < LOOK_LEN && !is_at_end;
        match start.split_first() {
            Some((b'[', _)) => return Ok(true),
            Some((b'{', rest)) => {
                let line_end = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
                match line_end.and_then(|at| rest.get(at)) {
                    Some(byte) => return Ok(*byte == b'\n'),
                    None if !is_cut => return Ok(false),
                    None => {}
                }
            }
            Some(_) => return Ok(false),
            None if !is_cut => return Ok(false),
            None => {}
        }
        reader.fill(before_wait)?;
    }
}

impl JsonRows {
    /// Creates the reader of a document.
    pub fn new(table: Option<TableFields>) -> Self {
        Self { table, array: None, expects: Expects::First }
    }

    /// Reads the next row. Returns whether one exists.
    fn advance(&mut self, reader: &mut TextReader, before_wait: BeforeWait<'_>) -> Result<bool, Failure> {
        reader.pass_row();
        while let Some(byte) = peek(reader, before_wait)? {
            match (byte, self.array, self.expects) {
                (b'[', None, _) => {
                    self.array = Some(reader.number);
                    self.expects = Expects::First;
                }
                (b']', Some(_), Expects::First | Expects::Comma) => self.array = None,
                (b']', Some(_), Expects::Row) => {
                    return Err(reader.broken("the array ends after a comma, where a row should be"));
                }
                (b',', Some(_), Expects::Comma) => self.expects = Expects::Row,
                (b',' | b']' | b'}', ..) => {
                    let stray = char::from(byte);
                    return Err(reader.broken(&format!("{stray} is where a row should start")));
                }
                (_, Some(_), Expects::Comma) => {
                    return Err(reader.broken("a comma is missing before this row"));
                }
                (..) => {
                    let len = row_len(reader, before_wait)?;
                    reader.hold_row(len);
                    self.expects = Expects::Comma;
                    return Ok(true);
                }
            }
            reader.take(1);
        }
        match self.array {
            None => Ok(false),
            Some(line) => {
                Err(reader
                    .broken(&format!("it is cut off: the array that opens on line {line} does not end")))
            }
        }
    }
}

/// Returns the next byte that is not white space, or `None` at the end.
fn peek(reader: &mut TextReader, before_wait: BeforeWait<'_>) -> Result<Option<u8>, Failure> {
    loop {
        let held = reader.input.unread();
        let blank_len = held.len() - held.trim_ascii_start().len();
        let byte = held.get(blank_len).copied();
        reader.take(blank_len);
        if byte.is_some() || reader.input.is_at_end() {
            return Ok(byte);
        }
        reader.fill(before_wait)?;
    }
}

/// Returns the length of the row at the current position.
fn row_len(reader: &mut TextReader, before_wait: BeforeWait<'_>) -> Result<usize, Failure> {
    let mut scan = ValueScan::default();
    loop {
        match scan.resume(reader.input.unread()) {
            Ok(Some(len)) => return Ok(len),
            Ok(None) if reader.input.is_at_end() && scan.is_scalar() => return Ok(scan.at),
            Ok(None) if reader.input.is_at_end() => {
                return Err(reader.broken("it is cut off: the row that starts here does not end"));
            }
            Ok(None) if reader.input.unread_len() > reader.len_max => {
                let len_max = reader.len_max;
                return Err(reader
                    .broken(&format!("the row that starts here is longer than {} bytes", Grouped(len_max))));
            }
            Ok(None) => reader.fill(before_wait)?,
            Err(why) => {
                reader.take(scan.at);
                return Err(reader.broken(why));
            }
        }
    }
}

/// A search for the end of a JSON value.
#[derive(Debug, Default)]
struct ValueScan {
    /// The number of bytes searched.
    at: usize,
    /// The open brackets.
    open: Vec<u8>,
    is_in_string: bool,
}

impl ValueScan {
    /// Returns whether the value has no brackets and no quotes, so that it may end with the text.
    fn is_scalar(&self) -> bool {
        self.open.is_empty() && !self.is_in_string
    }

    /// Continues in `text`, which starts with the value. Returns the length of the value, or `None`
    /// if `text` ends before it. Fails with a reason at the current position.
    fn resume(&mut self, text: &[u8]) -> Result<Option<usize>, &'static str> {
        while let Some(&byte) = text.get(self.at) {
            if self.is_in_string {
                if !self.pass_string(text)? {
                    return Ok(None);
                }
                if self.open.is_empty() {
                    return Ok(Some(self.at));
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.open.push(byte),
                b'}' | b']' => match (self.open.pop(), byte) {
                    (Some(b'{'), b'}') | (Some(b'['), b']') => {
                        if self.open.is_empty() {
                            return Ok(Some(self.at + 1));
                        }
                    }
                    (None, _) => return Ok(Some(self.at)),
                    _ => return Err("a bracket here does not match the one that it closes"),
                },
                b',' | b' ' | b'\t' | b'\n' | b'\r' if self.open.is_empty() => return Ok(Some(self.at)),
                _ => {}
            }
            self.at += 1;
        }
        Ok(None)
    }

    /// Moves past the end of a string. Returns `false` if `text` ends before it.
    fn pass_string(&mut self, text: &[u8]) -> Result<bool, &'static str> {
        while let Some(len) = memchr::memchr3(b'"', b'\\', b'\n', &text[self.at..]) {
            self.at += len;
            match text[self.at] {
                b'"' => {
                    self.at += 1;
                    self.is_in_string = false;
                    return Ok(true);
                }
                b'\n' => return Err("a string that opens on this line does not end on it"),
                _ if self.at + 1 == text.len() => return Ok(false),
                _ => self.at += 2,
            }
        }
        self.at = text.len();
        Ok(false)
    }
}

impl TextRows for JsonRows {
    fn next<'a>(
        &'a mut self,
        reader: &'a mut TextReader,
        before_wait: BeforeWait<'_>,
    ) -> Result<Option<ImportItem<'a>>, Failure> {
        if !self.advance(reader, before_wait)? {
            return Ok(None);
        }
        let before = usize::try_from(reader.column - 1).unwrap_or(usize::MAX);
        let row = jsonl::read(reader.row(), before, self.table.as_ref());
        Ok(Some(row.map_or_else(ImportItem::Rejected, ImportItem::Row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_value_is_found_wherever_the_text_is_cut() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let nested = r#"{"a":[1,{"b":"]}\\\""}],"c":"\\"}"#;
        for value in [nested, r#""x\"y""#, "[]", "7", "1e999", "nonsense", &deep] {
            for end in [",", "]", "\n", " "] {
                let text = format!("{value}{end} more");
                let step = (text.len() / 50).max(1);
                for cut in (0..text.len()).step_by(step) {
                    let mut scan = ValueScan::default();
                    let first = scan.resume(&text.as_bytes()[..cut]);
                    let found = match first {
                        Ok(None) => scan.resume(text.as_bytes()),
                        found => found,
                    };
                    assert_eq!(found, Ok(Some(value.len())), "{value:.40} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_does_not_end_properly_is_located() {
        for (text, at) in [(r#"{"a":[1}"#, 7), ("{\"a\":\"b\n\"}", 7)] {
            let mut scan = ValueScan::default();
            assert!(scan.resume(text.as_bytes()).is_err());
            assert_eq!(scan.at, at, "{text}");
        }
    }
}
