//! Lines of `put`, as the shell takes them: the words are split and printed as everywhere in it.

use std::borrow::Cow;
use std::io::{self, Write};

use logkv::Expiry;

use super::super::units::{self, TtlError};
use super::super::words::{Lexeme, Lexer, Quoted, Style};
use super::Row;

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    writeln!(out, "put {} {}", Quoted(key), Quoted(value))
}

/// The pairs of a `put`, with the time that `--ttl` gives them from now on, or the keys of a `del`; a line that starts with `#` has
/// none.
pub fn read(line: &[u8]) -> Result<Vec<Row<'_>>, String> {
    if line.starts_with(b"#") {
        return Ok(Vec::new());
    }
    let mut words = Lexer::new(line);
    let name = words.next().map(checked).transpose()?.unwrap_or_default().to_ascii_lowercase();
    let (words, expiry) = told_apart(words)?;
    match name.as_slice() {
        b"put" | b"set" | b"del" | b"delete" | b"rm" if words.is_empty() => {
            Err("a key is missing".to_owned())
        }
        b"put" | b"set" if words.len().is_multiple_of(2) => Ok(pairs(words, expiry)),
        b"put" | b"set" => Err("put takes pairs: a value after each key".to_owned()),
        b"del" | b"delete" | b"rm" if expiry.is_none() => Ok(words.into_iter().map(Row::delete).collect()),
        b"del" | b"delete" | b"rm" => Err(flagged()),
        _ => Err("it is neither a put nor a del; read FILE runs other commands".to_owned()),
    }
}

/// Keys and values.
type Words<'a> = Vec<Cow<'a, [u8]>>;

/// The words without `--ttl` and what follows it, and what that says.
fn told_apart<'a>(mut words: Lexer<'a>) -> Result<(Words<'a>, Option<Expiry>), String> {
    const TTL: &[u8] = b"--ttl";
    let (mut plain, mut expiry) = (Words::new(), None);
    while let Some(word) = words.next() {
        let inline = word.bytes.strip_prefix(TTL).filter(|_| word.style == Style::Bare);
        let text = match inline {
            None => {
                plain.push(checked(word)?);
                continue;
            }
            Some(b"") => words.next().map(checked).transpose()?.unwrap_or_default(),
            Some([b'=', text @ ..]) => text.to_vec().into(),
            Some(_) => return Err(flagged()),
        };
        let ttl = units::time_to_live(&text).map_err(|error| match error {
            TtlError::Malformed => "--ttl takes a time such as 90s or 1h30m, or seconds".to_owned(),
            TtlError::TooLong => logkv::Error::ExpiryTooLate.to_string(),
        });
        expiry = Some(Expiry::In(ttl?));
    }
    Ok((plain, expiry))
}

fn pairs(words: Words<'_>, expiry: Option<Expiry>) -> Vec<Row<'_>> {
    let mut words = words.into_iter();
    let mut rows = Vec::new();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        rows.push(Row { expiry, ..Row::put(key, value) });
    }
    rows
}

/// The bytes of a word that is well formed, and neither a flag nor a dash.
fn checked(word: Lexeme<'_>) -> Result<Cow<'_, [u8]>, String> {
    if let Some(error) = &word.error {
        return Err(error.to_string());
    }
    if word.style == Style::Bare
        && word.bytes.starts_with(b"-")
        && !word.bytes.get(1).is_some_and(u8::is_ascii_digit)
    {
        return Err(flagged());
    }
    Ok(word.bytes)
}

fn flagged() -> String {
    "it has a flag that import does not know; read FILE runs such lines".to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn puts_and_dels_are_read_and_comments_are_passed_over() {
        let row = |key: &'static str, value: &'static str| Row::put(key.as_bytes(), value.as_bytes());
        assert_eq!(read(b"put a 1 'b c' -5"), Ok(vec![row("a", "1"), row("b c", "-5")]));
        assert_eq!(read(b"SET a \"\\n\""), Ok(vec![row("a", "\n")]));
        assert_eq!(read(b"del a b"), Ok(vec![Row::delete(&b"a"[..]), Row::delete(&b"b"[..])]));
        assert_eq!(read(b"# put a 1"), Ok(vec![]));
    }

    #[test]
    fn a_time_to_live_counts_from_the_import_and_is_that_of_all_pairs() {
        let row = |key: &'static str, secs| Row {
            expiry: Some(Expiry::In(Duration::from_secs(secs))),
            ..Row::put(key.as_bytes(), &b"1"[..])
        };
        assert_eq!(read(b"put a 1 b 1 --ttl 1h30m"), Ok(vec![row("a", 5400), row("b", 5400)]));
        assert_eq!(read(b"put --ttl 90 a 1"), Ok(vec![row("a", 90)]));
        assert_eq!(read(b"put a 1 --ttl=90s"), Ok(vec![row("a", 90)]));
        assert_eq!(read(b"put a '--ttl'"), Ok(vec![Row::put(&b"a"[..], &b"--ttl"[..])]));
    }

    #[test]
    fn what_is_no_row_says_why() {
        const FLAGGED: &str = "it has a flag that import does not know; read FILE runs such lines";
        for (line, why) in [
            ("put a", "put takes pairs: a value after each key"),
            ("put", "a key is missing"),
            ("put a 1 --nx", FLAGGED),
            ("put a 1 --ttls 1h", FLAGGED),
            ("del a --ttl 1h", FLAGGED),
            ("put a -", FLAGGED),
            ("put a 1 --ttl", "--ttl takes a time such as 90s or 1h30m, or seconds"),
            ("put a 1 --ttl 0", "--ttl takes a time such as 90s or 1h30m, or seconds"),
            ("put a 1 --ttl=soon", "--ttl takes a time such as 90s or 1h30m, or seconds"),
            (
                "put a 1 --ttl 99999999999d",
                "a key expires at most 9007199254740991 ms after 1970, or never; this expiry is later",
            ),
            ("put 'a 1", "the quote ' is not closed"),
            ("get a", "it is neither a put nor a del; read FILE runs other commands"),
        ] {
            assert_eq!(read(line.as_bytes()), Err(why.to_owned()), "{line}");
        }
    }
}
