//! How bytes are printed: so that they can be typed back, and never drive a terminal.

use std::fmt::Write as _;

use logkv::Visible;

/// `bytes` as a word that can be typed back: bare where that is safe, else in `"…"`.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    match str::from_utf8(bytes) {
        Ok(bare) if is_bare(bare) => text.push_str(bare),
        _ => {
            text.push('"');
            escape_into(&mut text, bytes);
            text.push('"');
        }
    }
    text
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

fn escape_into(text: &mut String, bytes: &[u8]) {
    let show = |text: &mut String, bytes: &[u8]| {
        write!(text, "{}", Visible(bytes)).expect("a String takes all that is written to it");
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str(r"\n"),
                '\r' => text.push_str(r"\r"),
                '\t' => text.push_str(r"\t"),
                _ if Visible::is(c) => text.push(c),
                _ => show(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        show(text, chunk.invalid());
    }
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
