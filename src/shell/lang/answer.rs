//! What commands answer, in each mode, and the acknowledgement that ends the answer to a line.
//!
//! This is the one place that knows how a result looks for people, in plain lines and in JSON. A command names
//! each field once, with the modes that have it, and what people read instead.

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
    /// Nothing: null in JSON, and empty in plain lines.
    Nothing,
    /// Whether something is so: 1 or 0 in plain lines.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A number that may be negative.
    Signed(i64),
    /// Text that holds no control characters and no tabs.
    Text(Cow<'a, str>),
    /// A key or a value: in JSON a string or base64, in plain lines quoted.
    Bytes(&'a [u8]),
    /// The same, and in mode raw as it is.
    Raw(&'a [u8]),
    /// What only JSON can say.
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

/// How fields stand in plain lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainLayout {
    /// All in one line, with tabs between them.
    Line,
    /// Each in a line of its own, behind its name, which follows this prefix.
    Lines(&'static str),
}

/// One result, or one row of a longer one, on its way out.
#[derive(Debug)]
pub struct Answer<'a> {
    object: Object<'a, Output>,
    mode: Mode,
    layout: PlainLayout,
    /// The table that it is a row of.
    table: Option<&'a mut Table>,
    columns: Vec<Column>,
    cells: Vec<Cell>,
    /// Whether this mode has any of it.
    is_told: bool,
    result: io::Result<()>,
}

impl Output {
    /// A result whose fields are one plain line.
    pub fn answer(&mut self) -> Answer<'_> {
        Answer::new(self, PlainLayout::Line, None)
    }

    /// A result whose fields are a plain line each, behind their names.
    pub fn figures(&mut self) -> Answer<'_> {
        Answer::new(self, PlainLayout::Lines(""), None)
    }

    /// The same, with `prefix` before each name.
    pub fn figures_with(&mut self, prefix: &'static str) -> Answer<'_> {
        Answer::new(self, PlainLayout::Lines(prefix), None)
    }

    /// A result that is a row of `table` for people, and one plain line.
    pub fn row<'a>(&'a mut self, table: &'a mut Table) -> Answer<'a> {
        Answer::new(self, PlainLayout::Line, Some(table))
    }

    /// A result whose fields are a plain line each, and rows of titles and amounts in `table`.
    pub fn figures_in<'a>(&'a mut self, table: &'a mut Table) -> Answer<'a> {
        Answer::new(self, PlainLayout::Lines(""), Some(table))
    }

    /// Writes a value that stands alone: in a pipe its bytes as they are, in mode raw without a line break.
    /// JSON has it in an object: `false` says that nothing is written.
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

    /// Writes an object with `fields` for each of `items` in JSON. Returns `false` in the other modes, which show the
    /// items as text.
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

    /// Says something to people, and nothing to programs.
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
            is_told: false,
            result: Ok(()),
        }
    }

    /// Adds a field for programs.
    pub fn field<'v>(&mut self, name: &str, value: impl Into<FieldValue<'v>>) -> &mut Self {
        match self.mode {
            Mode::Table => self,
            Mode::Json => self.json(name, value),
            Mode::Plain | Mode::Raw => self.plain(name, value),
        }
    }

    /// Adds a field that only JSON has.
    pub fn json<'v>(&mut self, name: &str, value: impl Into<FieldValue<'v>>) -> &mut Self {
        if self.mode == Mode::Json && self.result.is_ok() {
            self.result = write_json(&mut self.object, name, value.into());
        }
        self
    }

    /// Adds a field that only plain lines have. The name is written where each field has a line.
    pub fn plain<'v>(&mut self, name: &str, value: impl Into<FieldValue<'v>>) -> &mut Self {
        if matches!(self.mode, Mode::Plain | Mode::Raw) && self.result.is_ok() {
            self.result = self.write_plain(name, value.into());
        }
        self
    }

    /// Says something to people.
    pub fn say<T: Display>(&mut self, text: impl FnOnce(Look) -> T) -> &mut Self {
        if self.mode == Mode::Table && self.result.is_ok() {
            self.is_told = true;
            self.result = self.object.out().say(text);
        }
        self
    }

    /// Draws lines of its own for people.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Output) -> io::Result<()>) -> &mut Self {
        if self.mode == Mode::Table && self.result.is_ok() {
            self.is_told = true;
            self.result = draw(self.object.out());
        }
        self
    }

    /// Adds a row of a title and an amount to the table.
    pub fn titled(&mut self, title: &str, amount: impl FnOnce() -> String) -> &mut Self {
        if let (Mode::Table, Some(table)) = (self.mode, self.table.as_deref_mut()) {
            self.is_told = true;
            self.result = table.row(self.object.out(), [title.to_owned(), amount()]);
        }
        self
    }

    /// Adds a cell to the row of a table.
    pub fn cell<C: Into<Cell>>(&mut self, column: Column, text: impl FnOnce(Look) -> C) -> &mut Self {
        if self.mode == Mode::Table {
            self.columns.push(column);
            self.cells.push(text(self.object.out().look).into());
        }
        self
    }

    /// Ends it, and says whether this mode has any of it.
    pub fn end(&mut self) -> io::Result<bool> {
        std::mem::replace(&mut self.result, Ok(()))?;
        match self.mode {
            Mode::Json => {
                self.object.end()?;
                return Ok(true);
            }
            Mode::Plain | Mode::Raw => {
                if self.is_told && self.layout == PlainLayout::Line {
                    self.object.out().write_all(b"\n")?;
                }
            }
            Mode::Table => {
                if let Some(table) = self.table.as_deref_mut().filter(|_| !self.cells.is_empty()) {
                    self.is_told = true;
                    table.row_in(self.object.out(), &self.columns, std::mem::take(&mut self.cells))?;
                }
            }
        }
        Ok(self.is_told)
    }

    fn write_plain(&mut self, name: &str, value: FieldValue<'_>) -> io::Result<()> {
        let out = self.object.out();
        match self.layout {
            PlainLayout::Line if self.is_told => out.write_all(b"\t")?,
            PlainLayout::Line => {}
            PlainLayout::Lines(prefix) => write!(out, "{prefix}{name}\t")?,
        }
        self.is_told = true;
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

/// Ends the answer to line `number`; `refused` is the exit code and the message of its failure.
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
