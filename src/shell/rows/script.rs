//! Lines of `put`, as the shell takes them: the words are split and printed as everywhere in it.

use std::io::{self, Write};

use super::super::words::{Lexeme, Lexer, Style, quote};
use super::Row;

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    writeln!(out, "put {} {}", quote(key), quote(value))
}

/// The pairs of a `put`, or the keys of a `del`; a line that starts with `#` has none.
pub fn read(line: &[u8]) -> Result<Vec<Row<'_>>, String> {
    if line.starts_with(b"#") {
        return Ok(Vec::new());
    }
    let mut words = Lexer::new(line).map(checked);
    let name = words.next().transpose()?.map(|word| word.bytes.to_ascii_lowercase()).unwrap_or_default();
    let words = words.collect::<Result<Vec<_>, _>>()?;
    if words.is_empty() {
        return Err("a key is missing".to_owned());
    }
    match name.as_slice() {
        b"put" | b"set" if words.len().is_multiple_of(2) => Ok(pairs(words)),
        b"put" | b"set" => Err("put takes pairs: a value after each key".to_owned()),
        b"del" | b"delete" | b"rm" => Ok(words.into_iter().map(|key| Row::delete(key.bytes)).collect()),
        _ => Err("it is neither a put nor a del; read FILE runs other commands".to_owned()),
    }
}

fn pairs(words: Vec<Lexeme<'_>>) -> Vec<Row<'_>> {
    let mut words = words.into_iter().map(|word| word.bytes);
    let mut rows = Vec::new();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        rows.push(Row::put(key, value));
    }
    rows
}

/// A word that is well formed, and neither a flag nor a dash.
fn checked(word: Lexeme<'_>) -> Result<Lexeme<'_>, String> {
    if let Some(error) = &word.error {
        return Err(error.to_string());
    }
    if word.style == Style::Bare
        && word.bytes.starts_with(b"-")
        && !word.bytes.get(1).is_some_and(u8::is_ascii_digit)
    {
        return Err("it has a flag; read FILE runs such lines".to_owned());
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
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
    fn what_is_no_row_says_why() {
        for (line, why) in [
            ("put a", "put takes pairs: a value after each key"),
            ("put", "a key is missing"),
            ("put a 1 --nx", "it has a flag; read FILE runs such lines"),
            ("put a -", "it has a flag; read FILE runs such lines"),
            ("put 'a 1", "the quote ' is not closed"),
            ("get a", "it is neither a put nor a del; read FILE runs other commands"),
        ] {
            assert_eq!(read(line.as_bytes()), Err(why.to_owned()), "{line}");
        }
    }
}
