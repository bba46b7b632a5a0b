//! The results of commands in each output mode, and the acknowledgement of a line.
//!
//! A command names each field once, with the modes that print it, unless JSON and plain lines have
//! it in different places. Only this module knows how a field looks in a table, in plain lines and
//! in JSON.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use super::words::{Quoted, visible};
use crate::shell::term::columns::{Cell, Column, Table};
use crate::shell::term::json::Object;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::style::Look;

/// The value of a field.
#[derive(Clone, Debug)]
pub enum FieldValue<'a> {
    /// No value: null in JSON, empty in plain lines.
    Nothing,
    /// A boolean: 1 or 0 in plain lines.
    Flag(bool),
    /// An unsigned number.
    Number(u64),
    /// A signed number.
    Signed(i64),
    /// Text without control characters.
    Text(Cow<'a, str>),
    /// A key or a value: a string or base64 in JSON, quoted in plain lines.
    Bytes(&'a [u8]),
    /// As `Bytes`, but unquoted in mode raw.
    Raw(&'a [u8]),
    /// A list or an object.
    Json(serde_json::Value),
}

impl From<bool> for FieldValue<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for FieldValue<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for FieldValue<'_> {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<i64> for FieldValue<'_> {
    fn from(number: i64) -> Self {
        Self::Signed(number)
    }
}

impl<'a> From<&'a str> for FieldValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for FieldValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a [u8]> for FieldValue<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<serde_json::Value> for FieldValue<'_> {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value)
    }
}

impl<T: Into<serde_json::Value>> From<Vec<T>> for FieldValue<'_> {
    fn from(values: Vec<T>) -> Self {
        Self::Json(values.into())
    }
}

impl<'a, T: Into<FieldValue<'a>>> From<Option<T>> for FieldValue<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// The layout of fields in plain mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainLayout {
    /// One line, with tabs between the fields.
    Line,
    /// One line a field: the prefix, the name, a tab and the value.
    Lines(&'static str),
}

/// A result, or one row of a longer result, that is being written.
#[derive(Debug)]
pub struct Answer<'a> {
    object: Object<'a, Output>,
    mode: Mode,
    layout: PlainLayout,
    /// The table that takes the cells as a row.
    table: Option<&'a mut Table>,
    columns: Vec<Column>,
    cells: Vec<Cell>,
    /// Whether anything was written in this mode.
    is_written: bool,
    result: io::Result<()>,
}

impl Output {
    /// Starts a result whose fields are one plain line.
    pub fn answer(&mut self) -> Answer<'_> {
        Answer::new(self, PlainLayout::Line, None)
    }

    /// Starts a result with a plain line for each field.
    pub fn figures(&mut self) -> Answer<'_> {
        Answer::new(self, PlainLayout::Lines(""), None)
    }

    /// Starts a result with a plain line for each field. `prefix` precedes each name.
    pub fn figures_with(&mut self, prefix: &'static str) -> Answer<'_> {
        Answer::new(self, PlainLayout::Lines(prefix), None)
    }

    /// Starts a result that is one row of `table` in table mode, and one line in plain mode.
    pub fn row<'a>(&'a mut self, table: &'a mut Table) -> Answer<'a> {
        Answer::new(self, PlainLayout::Line, Some(table))
    }

    /// Starts a result with a plain line for each field. In table mode each title and its amount
    /// are a row of `table`.
    pub fn figures_in<'a>(&'a mut self, table: &'a mut Table) -> Answer<'a> {
        Answer::new(self, PlainLayout::Lines(""), Some(table))
    }

    /// Writes a value on its own: quoted in a table and on a terminal, else as raw bytes. Mode raw
    /// adds no line break. Returns `false` in JSON, where the caller writes an object.
    pub fn alone(&mut self, value: &[u8]) -> io::Result<bool> {
        match self.mode {
            Mode::Json => return Ok(false),
            Mode::Raw => self.write_all(value)?,
            Mode::Plain if !self.is_terminal => {
                self.write_all(value)?;
                self.write_all(b"\n")?;
            }
            // Control bytes never reach a terminal.
            Mode::Plain | Mode::Table => writeln!(self, "{}", Quoted(value))?,
        }
        Ok(true)
    }

    /// Writes an object with `fields` for each item in JSON. Returns `false` in the other modes, in
    /// which the caller writes text.
    pub fn objects<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        fields: impl Fn(&mut Answer<'_>, T),
    ) -> io::Result<bool> {
        if self.mode != Mode::Json {
            return Ok(false);
        }
        for item in items {
            let mut answer = self.answer();
            fields(&mut answer, item);
            answer.end()?;
        }
        Ok(true)
    }

    /// Writes `text` in table mode only.
    pub fn say<T: Display>(&mut self, text: impl FnOnce(Look) -> T) -> io::Result<()> {
        if self.is_table() { writeln!(self, "{}", text(self.look)) } else { Ok(()) }
    }
}

impl<'a> Answer<'a> {
    fn new(out: &'a mut Output, layout: PlainLayout, table: Option<&'a mut Table>) -> Self {
        Self {
            mode: out.mode,
            object: Object::new(out),
            layout,
            table,
            columns: Vec::new(),
            cells: Vec::new(),
            is_written: false,
            result: Ok(()),
        }
    }

    /// Adds a field in all modes except table.
    pub fn field<'v>(&mut self, name: &str, value: impl Into<FieldValue<'v>>) -> &mut Self {
        match self.mode {
            Mode::Table => self,
            Mode::Json => self.json(name, value),
            Mode::Plain | Mode::Raw => self.plain(name, value),
        }
    }

    /// Adds a field with one value in JSON, and another one in modes plain and raw.
    pub fn field_as<'j, 'p>(
        &mut self,
        name: &str,
        json: impl Into<FieldValue<'j>>,
        plain: impl Into<FieldValue<'p>>,
    ) -> &mut Self {
        self.json(name, json).plain(name, plain)
    }

    /// Adds a field in JSON only.
    pub fn json<'v>(&mut self, name: &str, value: impl Into<FieldValue<'v>>) -> &mut Self {
        if self.mode == Mode::Json && self.result.is_ok() {
            self.result = write_json(&mut self.object, name, value.into());
        }
        self
    }

    /// Adds a field in modes plain and raw only. The name is written if each field has its own
    /// line.
    pub fn plain<'v>(&mut self, name: &str, value: impl Into<FieldValue<'v>>) -> &mut Self {
        if matches!(self.mode, Mode::Plain | Mode::Raw) && self.result.is_ok() {
            self.result = self.write_plain(name, value.into());
        }
        self
    }

    /// Writes `text` in table mode only.
    pub fn say<T: Display>(&mut self, text: impl FnOnce(Look) -> T) -> &mut Self {
        if self.mode == Mode::Table && self.result.is_ok() {
            self.is_written = true;
            self.result = self.object.out().say(text);
        }
        self
    }

    /// Calls `draw` in table mode only.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Output) -> io::Result<()>) -> &mut Self {
        if self.mode == Mode::Table && self.result.is_ok() {
            self.is_written = true;
            self.result = draw(self.object.out());
        }
        self
    }

    /// Adds a row with a title and an amount to the table.
    pub fn titled(&mut self, title: &str, amount: impl FnOnce() -> String) -> &mut Self {
        if let (Mode::Table, Ok(()), Some(table)) = (self.mode, &self.result, self.table.as_deref_mut()) {
            self.is_written = true;
            self.result = table.row(self.object.out(), [title.to_owned(), amount()]);
        }
        self
    }

    /// Adds a cell to the table's row.
    pub fn cell<C: Into<Cell>>(&mut self, column: Column, text: impl FnOnce(Look) -> C) -> &mut Self {
        if self.mode == Mode::Table {
            self.columns.push(column);
            self.cells.push(text(self.object.out().look).into());
        }
        self
    }

    /// Ends the result. Returns whether anything was written in this mode.
    pub fn end(&mut self) -> io::Result<bool> {
        std::mem::replace(&mut self.result, Ok(()))?;
        match self.mode {
            Mode::Json => {
                self.object.end()?;
                return Ok(true);
            }
            Mode::Plain | Mode::Raw => {
                if self.is_written && self.layout == PlainLayout::Line {
                    self.object.out().write_all(b"\n")?;
                }
            }
            Mode::Table => {
                if let Some(table) = self.table.as_deref_mut().filter(|_| !self.cells.is_empty()) {
                    self.is_written = true;
                    table.row_in(self.object.out(), &self.columns, std::mem::take(&mut self.cells))?;
                }
            }
        }
        Ok(self.is_written)
    }

    fn write_plain(&mut self, name: &str, value: FieldValue<'_>) -> io::Result<()> {
        let out = self.object.out();
        match self.layout {
            PlainLayout::Line if self.is_written => out.write_all(b"\t")?,
            PlainLayout::Line => {}
            PlainLayout::Lines(prefix) => write!(out, "{prefix}{name}\t")?,
        }
        self.is_written = true;
        match value {
            FieldValue::Nothing => {}
            FieldValue::Flag(flag) => write!(out, "{}", u8::from(flag))?,
            FieldValue::Number(number) => write!(out, "{number}")?,
            FieldValue::Signed(number) => write!(out, "{number}")?,
            FieldValue::Text(text) => out.write_all(text.as_bytes())?,
            FieldValue::Raw(bytes) if self.mode == Mode::Raw => out.write_all(bytes)?,
            FieldValue::Bytes(bytes) | FieldValue::Raw(bytes) => write!(out, "{}", Quoted(bytes))?,
            FieldValue::Json(json) => write!(out, "{json}")?,
        }
        if self.layout == PlainLayout::Line { Ok(()) } else { out.write_all(b"\n") }
    }
}

fn write_json(object: &mut Object<'_, Output>, name: &str, value: FieldValue<'_>) -> io::Result<()> {
    match value {
        FieldValue::Nothing => object.field(name, None::<u64>)?,
        FieldValue::Flag(flag) => object.field(name, flag)?,
        FieldValue::Number(number) => object.field(name, number)?,
        FieldValue::Signed(number) => object.field(name, number)?,
        FieldValue::Text(text) => object.bytes(name, text.as_bytes())?,
        FieldValue::Bytes(bytes) | FieldValue::Raw(bytes) => object.bytes(name, bytes)?,
        FieldValue::Json(json) => object.field(name, json)?,
    };
    Ok(())
}

/// Writes the acknowledgement of line `number`. `refused` holds the exit code and message of its
/// failure.
pub fn write_acknowledgement(
    out: &mut impl Write,
    is_json: bool,
    number: u64,
    refused: Option<(u8, &str)>,
) -> io::Result<()> {
    match refused {
        _ if is_json => {
            let mut object = Object::new(out);
            object.field("ack", number)?.field("ok", refused.is_none())?;
            if let Some((code, message)) = refused {
                object.field("code", code)?.field("error", message)?;
            }
            object.end()
        }
        None => out.write_all(b"OK\n"),
        Some((code, message)) => writeln!(out, "ERR {code} {}", visible(message.as_bytes())),
    }
}
