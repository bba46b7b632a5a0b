//! How bytes are printed: so that they can be typed back, and never drive a terminal.

use std::fmt::{self, Write as _};
use std::path::Path;

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

/// The path as [`visible`] prints it.
pub fn visible_path(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

/// A word or a key as a message names it: as [`quote`] prints it, but only the start of a long one, with `...` behind it.
pub fn shown(bytes: &[u8]) -> String {
    cut(bytes, WORD_LEN_MAX, quote)
}

/// A name as a message has it: as [`visible`] prints it, but only the start of a long one, with `...` behind it. Paths get more
/// room than words.
pub fn named(bytes: &[u8]) -> String {
    cut(bytes, NAME_LEN_MAX, visible)
}

/// The most characters that a word takes in a message, but for what says that it is cut.
const WORD_LEN_MAX: usize = 60;

/// The same of a name: what a file's name takes.
const NAME_LEN_MAX: usize = 255;

/// `bytes` as `print` has them, or their start if that is longer than `len_max` characters. Of bytes without end little is looked
/// at.
fn cut(bytes: &[u8], len_max: usize, print: fn(&[u8]) -> String) -> String {
    const CHAR_LEN_MAX: usize = 4;
    let fits = |text: &String| text.chars().count() <= len_max;
    if bytes.len() <= len_max * CHAR_LEN_MAX {
        let whole = print(bytes);
        if fits(&whole) {
            return whole;
        }
    }
    let is_start = |at: usize| bytes.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let ends = (0..=len_max * CHAR_LEN_MAX).rev().filter(|&end| end < bytes.len() && is_start(end));
    let mut starts = ends.map(|end| print(&bytes[..end]));
    starts.find(fits).unwrap_or_default() + "..."
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
    fn what_is_long_is_cut_where_a_message_names_it() {
        assert_eq!(shown(b"a b"), "\"a b\"");
        assert_eq!(shown(&[b'x'; 60]), "x".repeat(60));
        assert_eq!(shown(&[b'x'; 61]), "x".repeat(60) + "...");
        assert_eq!(shown("ä".repeat(1 << 20).as_bytes()), "ä".repeat(60) + "...");
        assert_eq!(shown(&[0xff; 1000]), format!("\"{}\"...", r"\xff".repeat(14)));
        assert_eq!(shown(&[0x80; 1000]), "...", "no character starts there");
        assert_eq!(named(&[b'x'; 255]), "x".repeat(255));
        assert_eq!(named(&[b'x'; 1000]), "x".repeat(255) + "...");
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
