//! How bytes are printed: so that they can be typed back, and never drive a terminal.

/// `bytes` as a word that can be typed back: bare where that is safe, else in `"…"`.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    if is_bare(bytes) {
        escape_into(&mut text, bytes, false);
    } else {
        text.push('"');
        escape_into(&mut text, bytes, true);
        text.push('"');
    }
    text
}

/// `text` fit for a terminal: control bytes, invisible characters and what is not UTF-8 as `\xHH`, all else as it is.
///
/// For messages and paths, which are read and not typed back.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    escape_into(&mut text, bytes, false);
    text
}

/// Whether `bytes` are read back as they are, without quotes, and never as a flag, a comment or a dotted command.
fn is_bare(bytes: &[u8]) -> bool {
    !matches!(bytes.first(), None | Some(b'#' | b'-' | b'.'))
        && str::from_utf8(bytes).is_ok_and(|text| {
            text.chars().all(|c| !matches!(c, '"' | '\'' | '\\') && !c.is_whitespace() && is_visible(c))
        })
}

fn escape_into(text: &mut String, bytes: &[u8], in_quotes: bool) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' if in_quotes => text.extend(['\\', c]),
                '\n' if in_quotes => text.push_str(r"\n"),
                '\r' if in_quotes => text.push_str(r"\r"),
                '\t' if in_quotes => text.push_str(r"\t"),
                _ if is_visible(c) => text.push(c),
                _ => push_hex(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        push_hex(text, chunk.invalid());
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        text.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Whether a character is seen and leaves those around it alone.
///
/// Control characters would drive the terminal; bidirectional controls would show text in another order than it
/// has; characters without any width would make two different keys look the same.
pub fn is_visible(c: char) -> bool {
    !matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel separator.
        | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{180e}'
        // Zero-width spaces and joiners, directional marks, line and paragraph separators, embeddings, isolates.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        // Byte order mark, interlinear annotation, tags.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
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

    #[test]
    fn a_message_keeps_its_blanks_and_loses_its_control_bytes() {
        assert_eq!(visible(b"cannot open /a b/\x1b[2J\xff"), r"cannot open /a b/\x1b[2J\xff");
    }
}
