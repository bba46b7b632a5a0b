//! Lines of `put`, as the shell takes them: the words are split and printed as everywhere in it.

use std::borrow::Cow;
use std::io::{self, Write};

use logkv::Expiry;

use super::row::Row;
use crate::shell::lang::words::{Lexeme, Lexer, Quoted, Style, is_digits};

/// The flag of `put` that says when the key expires.
const UNTIL: &[u8] = b"--until";

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    write!(out, "put {} {}", Quoted(key), Quoted(value))?;
    match expires_ms {
        // A later time is none that a key can have: an earlier version of this program wrote any.
        Some(expires_ms) => writeln!(out, " --until {}", expires_ms.min(Expiry::AT_MS_MAX)),
        None => writeln!(out),
    }
}

/// The pairs of a `put` that has no flag but a time in milliseconds after `--until`, or the keys of a `del`; a line that starts
/// with `#` has none. `None`: it is something else, or wrong.
pub fn read(line: &[u8]) -> Option<Vec<Row<'_>>> {
    if line.starts_with(b"#") {
        return Some(Vec::new());
    }
    let mut lexer = Lexer::new(line);
    let name = plain(lexer.next()?)?.to_ascii_lowercase();
    let (mut words, mut expires_ms) = (Vec::new(), None);
    while let Some(word) = lexer.next() {
        if word.style == Style::Bare && *word.bytes == *UNTIL {
            let digits = plain(lexer.next()?)?;
            let digits = str::from_utf8(&digits).ok().filter(|text| is_digits(text))?;
            expires_ms = Some(digits.parse().ok()?);
        } else {
            words.push(plain(word)?);
        }
    }
    match name.as_slice() {
        _ if words.is_empty() => None,
        b"put" | b"set" if words.len().is_multiple_of(2) => Some(pairs(words, expires_ms)),
        b"del" | b"delete" | b"rm" if expires_ms.is_none() => {
            Some(words.into_iter().map(Row::delete).collect())
        }
        _ => None,
    }
}

fn pairs(words: Vec<Cow<'_, [u8]>>, expires_ms: Option<u64>) -> Vec<Row<'_>> {
    let mut words = words.into_iter();
    let mut rows = Vec::new();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        rows.push(Row::put(key, value).until(expires_ms));
    }
    rows
}

/// The bytes of a word that is well formed, and neither a flag nor a dash.
fn plain(word: Lexeme<'_>) -> Option<Cow<'_, [u8]>> {
    let is_flag = word.style == Style::Bare
        && word.bytes.starts_with(b"-")
        && !word.bytes.get(1).is_some_and(u8::is_ascii_digit);
    (word.error.is_none() && !is_flag).then_some(word.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_and_dels_are_read_and_comments_are_passed_over() {
        let row = |key: &'static str, value: &'static str| Row::put(key.as_bytes(), value.as_bytes());
        assert_eq!(read(b"put a 1 'b c' -5"), Some(vec![row("a", "1"), row("b c", "-5")]));
        assert_eq!(read(b"SET a \"\\n\""), Some(vec![row("a", "\n")]));
        assert_eq!(read(b"del a b"), Some(vec![Row::delete(&b"a"[..]), Row::delete(&b"b"[..])]));
        assert_eq!(read(b"# put a 1"), Some(vec![]));
    }

    #[test]
    fn when_a_key_expires_is_read_as_it_is_written() {
        let mut out = Vec::new();
        write(&mut out, b"a b", b"1", Some(7)).expect("memory takes it");
        assert_eq!(out, b"put \"a b\" 1 --until 7\n");
        let row = Row::put(&b"a b"[..], &b"1"[..]).until(Some(7));
        assert_eq!(read(out.trim_ascii_end()), Some(vec![row]));
        assert_eq!(read(b"put a '--until'"), Some(vec![Row::put(&b"a"[..], &b"--until"[..])]));
    }

    #[test]
    fn all_else_is_left_to_the_parser() {
        for line in [
            "put a",
            "put",
            "put a 1 --nx",
            "put a 1 --ttl 1h",
            "del a --until 7",
            "put a -",
            "put a 1 --until",
            "put a 1 --until 2030-01-31",
            "put 'a 1",
            "get a",
            "",
            "put a \"\\q\"",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
