//! JSON, one object per line. Fields are written in order, without a copy.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use logkv::Visible;

/// The number of bytes of a value that are escaped at a time, so that a large value is not held
/// twice. A multiple of 3: pieces in base64 need no padding between them.
const PIECE_LEN: usize = 48 << 10;

/// Returns bytes as a field: a string under `name` if they are UTF-8, else base64 under `name_b64`.
pub fn bytes(name: &str, bytes: &[u8]) -> (String, serde_json::Value) {
    let (text, suffix) = text_and_suffix(bytes);
    let value = text.map_or_else(|| BASE64_STANDARD.encode(bytes), str::to_owned);
    (format!("{name}{suffix}"), value.into())
}

/// Returns the text of `bytes` if they are UTF-8, and the suffix of the field's name.
fn text_and_suffix(bytes: &[u8]) -> (Option<&str>, &'static str) {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(text), ""),
        Err(_) => (None, "_b64"),
    }
}

/// An object that is being written.
#[derive(Debug)]
pub struct Object<'a, W: Write> {
    out: &'a mut W,
    is_empty: bool,
}

impl<'a, W: Write> Object<'a, W> {
    /// Starts an object on `out`.
    pub fn new(out: &'a mut W) -> Self {
        Self { out, is_empty: true }
    }

    /// Returns the underlying writer.
    pub fn out(&mut self) -> &mut W {
        self.out
    }

    /// Writes a field.
    pub fn field(&mut self, name: &str, value: impl Into<serde_json::Value>) -> io::Result<&mut Self> {
        self.name(name, "")?;
        self.write(&value.into().to_string())?;
        Ok(self)
    }

    /// Writes bytes: a string under `name` if they are UTF-8, else base64 under `name_b64`.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<&mut Self> {
        let (text, suffix) = text_and_suffix(bytes);
        self.name(name, suffix)?;
        self.out.write_all(b"\"")?;
        match text {
            Some(text) => {
                let mut rest = text;
                while !rest.is_empty() {
                    let len = (1..=rest.len().min(PIECE_LEN)).rev().find(|&len| rest.is_char_boundary(len));
                    let (piece, after) = rest.split_at(len.unwrap_or(rest.len()));
                    let quoted = serde_json::to_string(piece)?;
                    self.write(&quoted[1..quoted.len() - 1])?;
                    rest = after;
                }
            }
            None => {
                for piece in bytes.chunks(PIECE_LEN) {
                    self.out.write_all(BASE64_STANDARD.encode(piece).as_bytes())?;
                }
            }
        }
        self.out.write_all(b"\"")?;
        Ok(self)
    }

    /// Writes optional bytes; `None` becomes null.
    pub fn bytes_if_any(&mut self, name: &str, bytes: Option<&[u8]>) -> io::Result<&mut Self> {
        match bytes {
            Some(bytes) => self.bytes(name, bytes),
            None => self.field(name, None::<u64>),
        }
    }

    /// Ends the object and the line.
    pub fn end(&mut self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"{}\n" } else { b"}\n" })
    }

    /// Ends the object, but not the line.
    pub fn close(&mut self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"{}" } else { b"}" })
    }

    /// Writes a value. Escapes every character that could control a terminal or be invisible as
    /// `\uXXXX`. JSON itself requires that only for characters below U+0020, not for DEL or C1
    /// controls such as U+009B.
    fn write(&mut self, json: &str) -> io::Result<()> {
        let mut rest = json;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| !Visible::is(c)) {
            self.out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(self.out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        self.out.write_all(rest.as_bytes())
    }

    fn name(&mut self, name: &str, suffix: &str) -> io::Result<()> {
        let before = if self.is_empty { '{' } else { ',' };
        self.is_empty = false;
        write!(self.out, "{before}\"{name}{suffix}\":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_bytes_other_than_utf_8_are_in_base64() {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        object.bytes("key", b"a\"\n").expect("a vector accepts every write");
        object.bytes("value", b"\xff\x00").expect("a vector accepts every write");
        object
            .field("seq", 7)
            .and_then(|object| object.field("at", None::<u64>))
            .expect("a vector accepts every write");
        object.end().expect("a vector accepts every write");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "{\"key\":\"a\\\"\\n\",\"value_b64\":\"/wA=\",\"seq\":7,\"at\":null}\n"
        );
    }

    #[test]
    fn a_string_is_escaped_for_terminals_and_parses_to_the_same_text() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\u{e0001}é日";
        let mut out = Vec::new();
        Object::new(&mut out)
            .bytes("key", text.as_bytes())
            .and_then(Object::end)
            .expect("a vector accepts every write");
        let line = String::from_utf8(out).expect("JSON is UTF-8");
        assert_eq!(line, "{\"key\":\"a\\u009b31m\\u007f\\u202e\\udb40\\udc01é日\"}\n");
        let read: serde_json::Value = serde_json::from_str(&line).expect("the line is JSON");
        assert_eq!(read["key"], text);
    }
}
