//! TSV: key, tab, value, with the escapes of PostgreSQL's COPY: `\t \n \r \\`, and `\xHH` for
//! anything invisible. A third field is the expiry, in milliseconds since 1970.

use std::borrow::Cow;
use std::io::{self, Write};

use logkv::Visible;

use super::row::ImportRow;
use super::table::TextField;
use crate::shell::lang::words::is_digits;

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    write_field(out, key)?;
    out.write_all(b"\t")?;
    write_field(out, value)?;
    if let Some(expires_ms) = expires_ms {
        write!(out, "\t{expires_ms}")?;
    }
    out.write_all(b"\n")
}

fn write_field(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| c == '\\' || !Visible::is(c)) {
            let (plain, from) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let (escaped, after) = from.split_at(c.len_utf8());
            write_escape(out, escaped.as_bytes())?;
            rest = after;
        }
        out.write_all(rest.as_bytes())?;
        write_escape(out, chunk.invalid())?;
    }
    Ok(())
}

fn write_escape(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| match byte {
        b'\t' => out.write_all(br"\t"),
        b'\n' => out.write_all(br"\n"),
        b'\r' => out.write_all(br"\r"),
        b'\\' => out.write_all(br"\\"),
        byte => write!(out, r"\x{byte:02x}"),
    })
}

pub fn read(line: &[u8]) -> Result<ImportRow<'_>, String> {
    let mut fields = line.split(|&byte| byte == b'\t');
    let (Some(key), Some(value)) = (fields.next(), fields.next()) else {
        return Err("it has no tab between a key and a value".to_owned());
    };
    let expires_ms = fields.next().map(expiry).transpose()?;
    match fields.count() {
        0 => Ok(ImportRow::put(field(key)?, field(value)?).until(expires_ms)),
        more => {
            Err(format!("it has {} fields instead of two or three; write a tab in a field as \\t", more + 3))
        }
    }
}

/// Returns the fields of a line, without a meaning.
pub fn fields(line: &[u8]) -> Result<Vec<TextField<'_>>, String> {
    let fields = line.split(|&byte| byte == b'\t');
    fields.map(|text| if text == NO_VALUE { Ok(None) } else { field(text).map(Some) }).collect()
}

/// PostgreSQL's mark for null.
const NO_VALUE: &[u8] = br"\N";

/// Parses the expiry field.
fn expiry(text: &[u8]) -> Result<u64, String> {
    let number = str::from_utf8(text).ok().filter(|text| is_digits(text));
    number.and_then(|text| text.parse().ok()).ok_or_else(|| {
        "its third field, the expiry, is not a whole number of milliseconds; write a tab in a field as \\t"
            .to_owned()
    })
}

/// Decodes a field. Borrows it if it has no escape.
fn field(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if text == NO_VALUE {
        return Err(r"\N stands for no value".to_owned());
    }
    let Some(first) = text.iter().position(|&byte| byte == b'\\') else { return Ok(text.into()) };
    let (plain, mut rest) = text.split_at(first);
    let mut bytes = plain.to_vec();
    while let [b'\\', after @ ..] = rest {
        let (byte, len) = escape(after)?;
        bytes.push(byte);
        let after = after.get(len..).unwrap_or_default();
        let plain = after.iter().position(|&byte| byte == b'\\').unwrap_or(after.len());
        let (plain, next) = after.split_at(plain);
        bytes.extend_from_slice(plain);
        rest = next;
    }
    Ok(bytes.into())
}

/// Decodes the escape after a backslash. Returns the byte and the length of the escape.
fn escape(after: &[u8]) -> Result<(u8, usize), String> {
    let byte = match after {
        [b't', ..] => b'\t',
        [b'n', ..] => b'\n',
        [b'r', ..] => b'\r',
        [b'b', ..] => 0x08,
        [b'f', ..] => 0x0c,
        [b'v', ..] => 0x0b,
        [b'\\', ..] => b'\\',
        [b'x', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let byte = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low);
            let byte = byte.and_then(|byte| u8::try_from(byte).ok());
            return byte.map(|byte| (byte, 3)).ok_or_else(|| r"\x needs two hexadecimal digits".to_owned());
        }
        [b'x', ..] => return Err(r"\x needs two hexadecimal digits".to_owned()),
        [] => return Err(r"it ends in a backslash; write a backslash as \\".to_owned()),
        _ => return Err(r"unknown escape; known are \t \n \r \b \f \v \\ \xHH".to_owned()),
    };
    Ok((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_invisible_bytes_are_escaped() {
        let mut out = Vec::new();
        write(&mut out, b"a\tb\\", "\n\rcafé\u{9b}\u{7f}".as_bytes(), None)
            .expect("a Vec accepts every write");
        write(&mut out, b"\xff", b"", Some(7)).expect("a Vec accepts every write");
        let text = String::from_utf8(out).expect("TSV is text");
        assert_eq!(text, "a\\tb\\\\\t\\n\\rcafé\\xc2\\x9b\\x7f\n\\xff\t\t7\n");
    }

    #[test]
    fn the_escapes_of_postgresql_are_decoded() {
        assert_eq!(
            read(br"k	\b\f\n\r\t\v\\\x7fz"),
            Ok(ImportRow::put(&b"k"[..], &b"\x08\x0c\n\r\t\x0b\\\x7fz"[..]))
        );
        assert_eq!(read(b"\t"), Ok(ImportRow::put(&b""[..], &b""[..])));
        assert_eq!(read(b"k\tv\t7"), Ok(ImportRow::put(&b"k"[..], &b"v"[..]).until(Some(7))));
    }

    #[test]
    fn an_invalid_row_is_rejected_with_a_reason() {
        for (line, why) in [
            ("k", "it has no tab between a key and a value"),
            ("k\tv\t7\tx", r"it has 4 fields instead of two or three; write a tab in a field as \t"),
            (
                "k\tv\t+7",
                "its third field, the expiry, is not a whole number of milliseconds; write a tab in a field \
                 as \\t",
            ),
            ("k\t\\N", r"\N stands for no value"),
            ("k\t\\", r"it ends in a backslash; write a backslash as \\"),
            ("k\\q\tv", r"unknown escape; known are \t \n \r \b \f \v \\ \xHH"),
            ("k\t\\x4", r"\x needs two hexadecimal digits"),
            ("k\t\\xzz", r"\x needs two hexadecimal digits"),
        ] {
            assert_eq!(read(line.as_bytes()), Err(why.to_owned()), "{line}");
        }
    }
}
