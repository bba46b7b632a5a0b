//! Prints bytes as words that can be typed back and hold no control characters.

use std::fmt::{self, Write as _};
use std::path::Path;

use logkv::Visible;

/// Returns `bytes` as a word that can be typed back: bare if that is safe, else in `"…"`.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    write!(text, "{}", Quoted(bytes)).expect("a write to a String never fails");
    text
}

/// Prints like [`quote`], without an allocation. Values may be large.
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

/// Returns `bytes` as text for a terminal: control bytes, invisible characters and invalid UTF-8 as
/// `\xHH`.
///
/// For messages and paths, which the user reads and does not type back.
pub fn visible(bytes: &[u8]) -> String {
    Visible(bytes).to_string()
}

/// Returns the path as [`visible`] text.
pub fn visible_path(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

/// Returns a word or key for a message: as [`quote`] prints it, or the start of a long one and
/// `...`.
pub fn shown(bytes: &[u8]) -> String {
    cut(bytes, WORD_LEN_MAX, quote)
}

/// Returns a file name for a message: as [`visible`] prints it, or the start of a long one and
/// `...`.
pub fn named(bytes: &[u8]) -> String {
    cut(bytes, NAME_LEN_MAX, visible)
}

/// The maximum length of a word in a message, in characters without `...`.
const WORD_LEN_MAX: usize = 60;

/// The maximum length of a file name in a message.
const NAME_LEN_MAX: usize = 255;

/// Prints `bytes`, cut to `len_max` characters and `...`. Examines only the start of long bytes.
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

/// Returns whether `text` reads back unchanged without quotes. A flag, a comment or a dotted
/// command does not.
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
    fn safe_text_prints_bare() {
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
    fn a_message_cuts_long_words_and_names() {
        assert_eq!(shown(b"a b"), "\"a b\"");
        assert_eq!(shown(&[b'x'; 60]), "x".repeat(60));
        assert_eq!(shown(&[b'x'; 61]), "x".repeat(60) + "...");
        assert_eq!(shown("ä".repeat(1 << 20).as_bytes()), "ä".repeat(60) + "...");
        assert_eq!(shown(&[0xff; 1000]), format!("\"{}\"...", r"\xff".repeat(14)));
        assert_eq!(shown(&[0x80; 1000]), "...", "no character starts within the limit");
        assert_eq!(named(&[b'x'; 255]), "x".repeat(255));
        assert_eq!(named(&[b'x'; 1000]), "x".repeat(255) + "...");
    }

    #[test]
    fn ambiguous_text_prints_in_quotes() {
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
