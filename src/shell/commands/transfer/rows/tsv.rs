//! Key, tab, value, with the escapes of PostgreSQL's COPY: `\t \n \r \\`, and `\xHH` for whatever would not be seen. Where the key
//! expires, a third field says when, in milliseconds since 1970.

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
        more => Err(format!("it has {} fields, and not two or three; a tab in one is \\t", more + 3)),
    }
}

/// The fields of a line, whatever they are.
pub fn fields(line: &[u8]) -> Result<Vec<TextField<'_>>, String> {
    let fields = line.split(|&byte| byte == b'\t');
    fields.map(|text| if text == NO_VALUE { Ok(None) } else { field(text).map(Some) }).collect()
}

/// How PostgreSQL writes that there is no value.
const NO_VALUE: &[u8] = br"\N";

/// The number that says when a key expires.
fn expiry(text: &[u8]) -> Result<u64, String> {
    let number = str::from_utf8(text).ok().filter(|text| is_digits(text));
    number.and_then(|text| text.parse().ok()).ok_or_else(|| {
        "its third field, when the key expires, is not a whole number of milliseconds; a tab in a field is \\t"
            .to_owned()
    })
}

/// The bytes of a field, which are those of the line where there is no escape.
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

/// What stands behind a backslash means, and how many bytes of it do.
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
            return byte.map(|byte| (byte, 3)).ok_or_else(|| r"\x wants two hexadecimal digits".to_owned());
        }
        [b'x', ..] => return Err(r"\x wants two hexadecimal digits".to_owned()),
        [] => return Err(r"it ends in a backslash; one of its own is \\".to_owned()),
        _ => return Err(r"unknown escape; known are \t \n \r \b \f \v \\ \xHH".to_owned()),
    };
    Ok((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_or_not_be_seen_is_escaped() {
        let mut out = Vec::new();
        write(&mut out, b"a\tb\\", "\n\rcafé\u{9b}\u{7f}".as_bytes(), None).expect("memory takes it");
        write(&mut out, b"\xff", b"", Some(7)).expect("memory takes it");
        let text = String::from_utf8(out).expect("it is text");
        assert_eq!(text, "a\\tb\\\\\t\\n\\rcafé\\xc2\\x9b\\x7f\n\\xff\t\t7\n");
    }

    #[test]
    fn the_escapes_of_postgresql_are_read() {
        assert_eq!(
            read(br"k	\b\f\n\r\t\v\\\x7fz"),
            Ok(ImportRow::put(&b"k"[..], &b"\x08\x0c\n\r\t\x0b\\\x7fz"[..]))
        );
        assert_eq!(read(b"\t"), Ok(ImportRow::put(&b""[..], &b""[..])));
        assert_eq!(read(b"k\tv\t7"), Ok(ImportRow::put(&b"k"[..], &b"v"[..]).until(Some(7))));
    }

    #[test]
    fn what_is_no_row_says_why() {
        for (line, why) in [
            ("k", "it has no tab between a key and a value"),
            ("k\tv\t7\tx", r"it has 4 fields, and not two or three; a tab in one is \t"),
            (
                "k\tv\t+7",
                r"its third field, when the key expires, is not a whole number of milliseconds; a tab in a field is \t",
            ),
            ("k\t\\N", r"\N stands for no value"),
            ("k\t\\", r"it ends in a backslash; one of its own is \\"),
            ("k\\q\tv", r"unknown escape; known are \t \n \r \b \f \v \\ \xHH"),
            ("k\t\\x4", r"\x wants two hexadecimal digits"),
            ("k\t\\xzz", r"\x wants two hexadecimal digits"),
        ] {
            assert_eq!(read(line.as_bytes()), Err(why.to_owned()), "{line}");
        }
    }
}
