//! How bytes are printed: so that they can be typed back, and never drive a terminal.

use std::fmt::{self, Write as _};

use logkv::Visible;

/// `bytes` as a word that can be typed back: bare where that is safe, else in `"…"`.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    write!(text, "{}", Quoted(bytes)).expect("a String takes all that is written to it");
    text
}

/// What [`quote`] gives, written as it is made: for values, which may be large.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(self.0) {
            Ok(bare) if is_bare(bare) => f.write_str(bare),
            _ => {
                f.write_char('"')?;
                write_escaped(f, self.0)?;
                f.write_char('"')
            }
        }
    }
}

/// `bytes` fit for a terminal: control bytes, invisible characters and what is not UTF-8 as `\xHH`, all else as it is.
///
/// For messages and paths, which are read and not typed back.
pub fn visible(bytes: &[u8]) -> String {
    Visible(bytes).to_string()
}

/// Whether `text` is read back as it is, without quotes, and never as a flag, a comment or a dotted command.
fn is_bare(text: &str) -> bool {
    let is_plain = |c: char| !matches!(c, '"' | '\'' | '\\') && !c.is_whitespace() && Visible::is(c);
    !text.is_empty() && !text.starts_with(['#', '-', '.']) && text.chars().all(is_plain)
}

fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let is_plain = |c: char| !matches!(c, '"' | '\\') && Visible::is(c);
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| !is_plain(c)) {
            f.write_str(&rest[..at])?;
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str(r"\\")?,
                '\n' => f.write_str(r"\n")?,
                '\r' => f.write_str(r"\r")?,
                '\t' => f.write_str(r"\t")?,
                _ => write!(f, "{}", Visible(c.encode_utf8(&mut [0; 4]).as_bytes()))?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)?;
        write!(f, "{}", Visible(chunk.invalid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_quotes_prints_bare() {
        for text in [
            "a",
            "user:1",
            "1F980",
            "käse",
            "日本",
            "a-b",
            "a#b",
            "👩‍🚀".split('\u{200d}').next().unwrap_or(""),
        ] {
            assert_eq!(quote(text.as_bytes()), text);
        }
    }

    #[test]
    fn what_could_be_read_as_something_else_prints_in_quotes() {
        for (bytes, text) in [
            (&b""[..], r#""""#),
            (b"a b", r#""a b""#),
            (b"it's", r#""it's""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"#a", r##""#a""##),
            (b"-a", r#""-a""#),
            (b".a", r#"".a""#),
            (b"\x1b[31m\n\t\x00\x7f", r#""\x1b[31m\n\t\x00\x7f""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            (
                "\u{9b}\u{202e}\u{200b}\u{feff}".as_bytes(),
                r#""\xc2\x9b\xe2\x80\xae\xe2\x80\x8b\xef\xbb\xbf""#,
            ),
            ("a\u{a0}b".as_bytes(), "\"a\u{a0}b\""),
        ] {
            assert_eq!(quote(bytes), text);
        }
    }
}
