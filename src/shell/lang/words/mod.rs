//! The lexer: splits lines into words, and prints bytes as words.
//!
//! The parser, the line editor and the carets of error messages all use it.
//!
//! - Blanks separate words: space, tab, and the line breaks of a continued line.
//! - `"…"` accepts the escapes `\n \r \t \b \a \\ \" \xHH`. Others are errors.
//! - `'…'` is literal, except for `\'`.
//! - A quote opens only at the start of a word: `it's` is a bare word. The closing quote ends the
//!   word.
//! - A bare backslash is an ordinary byte.
//!
//! [`split`] reads the output of [`quote`] back as the same bytes.

#[cfg(any(test, fuzzing))]
pub mod any_line;
pub mod plain;
mod quote;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use self::quote::{Quoted, named, quote, shown, visible, visible_path};

/// The quotes of a word. Only a bare word can be a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Bare,
    /// `"…"`, with escapes.
    Double,
    /// `'…'`, literal.
    Single,
}

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The bytes, without quotes and escapes.
    pub bytes: Vec<u8>,
    /// The span in the line, with the quotes.
    pub span: Range<usize>,
    /// The quotes.
    pub style: Style,
}

impl Word {
    /// Returns the word as a path.
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.bytes))
    }

    /// Returns whether it is a bare dash, which stands for standard input or output.
    pub fn is_dash(&self) -> bool {
        self.style == Style::Bare && self.bytes == b"-"
    }
}

/// A lexical error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordError {
    /// The kind.
    pub kind: WordErrorKind,
    /// The span of the line that the caret marks.
    pub span: Range<usize>,
}

/// The kind of a lexical error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordErrorKind {
    /// An unknown escape in `"…"`.
    BadEscape,
    /// `\x` without two hexadecimal digits.
    BadHex,
    /// No blank after a closing quote.
    AfterQuote,
    /// This quote is not closed.
    Open(char),
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WordErrorKind::BadEscape => {
                f.write_str(r#"unknown escape; the escapes are \n \r \t \b \a \\ \" \xHH"#)
            }
            WordErrorKind::BadHex => f.write_str(r"\x needs two hexadecimal digits, as in \x7f"),
            WordErrorKind::AfterQuote => f.write_str("a blank is missing after the closing quote"),
            WordErrorKind::Open(quote) => write!(f, "the quote {quote} is not closed"),
        }
    }
}

/// Splits a line into words.
pub fn split(line: &[u8]) -> Result<Vec<Word>, WordError> {
    Lexer::new(line).map(Lexeme::into_word).collect()
}

/// Splits an unfinished line into words, and returns all errors as well.
///
/// A bad escape stands for its own bytes, and an open quote ends at the end of the line.
pub fn split_leniently(line: &[u8]) -> (Vec<Word>, Vec<WordError>) {
    let mut errors = Vec::new();
    let words = Lexer::new(line)
        .map(|mut lexeme| {
            errors.extend(lexeme.error.take());
            Word { bytes: lexeme.bytes.into_owned(), span: lexeme.span, style: lexeme.style }
        })
        .collect();
    (words, errors)
}

/// Returns the quote that is open at the end of the line, and its offset. Ignores other errors.
pub fn open_quote(line: &[u8]) -> Option<(char, usize)> {
    Lexer::new(line).filter_map(|lexeme| lexeme.error).find_map(|error| match error.kind {
        WordErrorKind::Open(quote) => Some((quote, error.span.start)),
        _ => None,
    })
}

/// A word from the lexer. Its bytes are borrowed from the line unless it has escapes.
#[derive(Debug)]
pub struct Lexeme<'a> {
    /// The bytes, without quotes and escapes.
    pub bytes: Cow<'a, [u8]>,
    /// The span in the line, with the quotes.
    pub span: Range<usize>,
    /// The quotes.
    pub style: Style,
    /// Its error: the open quote if it has one, else the first error.
    pub error: Option<WordError>,
}

impl Lexeme<'_> {
    fn into_word(self) -> Result<Word, WordError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(Word { bytes: self.bytes.into_owned(), span: self.span, style: self.style }),
        }
    }
}

/// An iterator over the words of a line. It allocates only for words with escapes.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Creates a lexer for `line`.
    pub fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    fn bare(&mut self) -> Lexeme<'a> {
        let start = self.at;
        let len = self.line[start..].iter().position(|&byte| is_blank(byte));
        self.at = len.map_or(self.line.len(), |len| start + len);
        Lexeme {
            bytes: Cow::Borrowed(&self.line[start..self.at]),
            span: start..self.at,
            style: Style::Bare,
            error: None,
        }
    }

    fn quoted(&mut self, quote: u8, style: Style) -> Lexeme<'a> {
        let start = self.at;
        let mut bytes = Cow::Borrowed(&self.line[start + 1..start + 1]);
        let mut error = None;
        let mut at = start + 1;
        loop {
            let rest = &self.line[at..];
            let plain = rest.iter().position(|&b| b == quote || b == b'\\').unwrap_or(rest.len());
            extend(&mut bytes, &rest[..plain]);
            at += plain;
            match self.line.get(at) {
                None => {
                    let kind = WordErrorKind::Open(char::from(quote));
                    error = Some(WordError { kind, span: start..at });
                    break;
                }
                Some(&byte) if byte == quote => {
                    at += 1;
                    if self.line.get(at).is_some_and(|&next| !is_blank(next)) {
                        let span = at..at + 1;
                        error.get_or_insert(WordError { kind: WordErrorKind::AfterQuote, span });
                    }
                    break;
                }
                Some(_) => {
                    let (byte, len, kind) = escape(&self.line[at..], style);
                    match byte {
                        Some(byte) => bytes.to_mut().push(byte),
                        None => extend(&mut bytes, &self.line[at..at + len]),
                    }
                    if let Some(kind) = kind {
                        error.get_or_insert(WordError { kind, span: at..at + len });
                    }
                    at += len;
                }
            }
        }
        self.at = at;
        Lexeme { bytes, span: start..at, style, error }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Lexeme<'a>;

    fn next(&mut self) -> Option<Lexeme<'a>> {
        self.at += self.line[self.at..].iter().position(|&byte| !is_blank(byte))?;
        Some(match self.line[self.at] {
            quote @ b'"' => self.quoted(quote, Style::Double),
            quote @ b'\'' => self.quoted(quote, Style::Single),
            _ => self.bare(),
        })
    }
}

/// Appends `more`. Empty `bytes` borrow it instead of copying.
fn extend<'a>(bytes: &mut Cow<'a, [u8]>, more: &'a [u8]) {
    if more.is_empty() {
        return;
    }
    if bytes.is_empty() {
        *bytes = Cow::Borrowed(more);
    } else {
        bytes.to_mut().extend_from_slice(more);
    }
}

/// Decodes the escape at the start of `rest`. Returns its byte (`None` if it stands for its own
/// bytes), its length and its error.
fn escape(rest: &[u8], style: Style) -> (Option<u8>, usize, Option<WordErrorKind>) {
    let next = rest.get(1).copied();
    if style == Style::Single {
        return if next == Some(b'\'') { (next, 2, None) } else { (None, 1, None) };
    }
    let byte = match next {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'b') => 0x08,
        Some(b'a') => 0x07,
        Some(byte @ (b'\\' | b'"')) => byte,
        Some(b'x') => return hex_escape(rest),
        // The line ends here, so the error is the open quote.
        None => return (None, 1, None),
        // The caret covers the whole character.
        Some(_) => return (None, 1 + char_len(&rest[1..]), Some(WordErrorKind::BadEscape)),
    };
    (Some(byte), 2, None)
}

fn hex_escape(rest: &[u8]) -> (Option<u8>, usize, Option<WordErrorKind>) {
    let digit = |at: usize| rest.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    match (digit(2), digit(3)) {
        (Some(high), Some(low)) => (u8::try_from(high << 4 | low).ok(), 4, None),
        (Some(_), None) => (None, 3, Some(WordErrorKind::BadHex)),
        (None, _) => (None, 2, Some(WordErrorKind::BadHex)),
    }
}

/// Returns the length of the character at the start of `bytes`, or 1 for invalid UTF-8.
fn char_len(bytes: &[u8]) -> usize {
    bytes.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()).map_or(1, char::len_utf8)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Returns whether `text` is one or more decimal digits.
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        split(line.as_bytes()).expect("the line is well formed").into_iter().map(|word| word.bytes).collect()
    }

    fn error(line: &str) -> WordError {
        split(line.as_bytes()).expect_err("the line is not well formed")
    }

    #[test]
    fn blanks_separate_words_outside_quotes() {
        assert_eq!(words("  put \t user:1  \"Alice Cooper\"  "), [&b"put"[..], b"user:1", b"Alice Cooper"]);
        assert_eq!(words("''  \"\""), [b"", b""]);
        assert!(words(" \t ").is_empty());
    }

    #[test]
    fn double_quotes_decode_escapes_and_single_quotes_only_an_escaped_quote() {
        assert_eq!(words(r#""\n\r\t\b\a\\\"\x00\xfF""#), [b"\n\r\t\x08\x07\\\"\x00\xff"]);
        assert_eq!(words(r#"'\n\x00\\ "' 'it\'s'"#), [&br#"\n\x00\\ ""#[..], b"it's"]);
    }

    #[test]
    fn a_backslash_or_quote_inside_a_bare_word_is_literal() {
        assert_eq!(words(r#"a\nb it's 5" $x;#"#), [&br"a\nb"[..], b"it's", b"5\"", b"$x;#"]);
    }

    #[test]
    fn an_error_has_the_span_of_the_wrong_bytes() {
        assert_eq!(error(r#"put "a\qb""#), WordError { kind: WordErrorKind::BadEscape, span: 6..8 });
        assert_eq!(error(r#"put "\é""#), WordError { kind: WordErrorKind::BadEscape, span: 5..8 });
        assert_eq!(error(r#"put "\xg0""#), WordError { kind: WordErrorKind::BadHex, span: 5..7 });
        assert_eq!(error(r#"put "\x0""#), WordError { kind: WordErrorKind::BadHex, span: 5..8 });
        assert_eq!(error(r#"put "a"b"#), WordError { kind: WordErrorKind::AfterQuote, span: 7..8 });
        assert_eq!(error(r#"put 'a b"#), WordError { kind: WordErrorKind::Open('\''), span: 4..8 });
        assert_eq!(error(r#"put "a\"#), WordError { kind: WordErrorKind::Open('"'), span: 4..7 });
    }

    #[test]
    fn an_unfinished_line_gives_all_words_and_all_errors() {
        let (words, errors) = split_leniently(br#"put "a\qb" 'open en"#);
        let bytes: Vec<_> = words.iter().map(|word| word.bytes.as_slice()).collect();
        assert_eq!(bytes, [&b"put"[..], br"a\qb", b"open en"]);
        let kinds: Vec<_> = errors.iter().map(|error| error.kind).collect();
        assert_eq!(kinds, [WordErrorKind::BadEscape, WordErrorKind::Open('\'')]);
        assert_eq!(open_quote(br#"put "a\qb" 'open en"#), Some(('\'', 11)));
        assert_eq!(open_quote(br#"put "a\qb" it's"#), None);
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            r#"[ \\"'#.x0-9a\n-]*"#.prop_map(String::into_bytes)
        ]
    }

    proptest! {
        #[test]
        fn every_line_satisfies_the_lexer_properties(line in any_bytes()) {
            any_line::holds(&line);
        }
    }

    #[test]
    fn every_line_of_the_fuzz_corpus_satisfies_the_lexer_properties() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/words");
        let lines = std::fs::read_dir(dir)
            .expect("the corpus exists")
            .map(|entry| entry.expect("the entry is readable").path());
        let count =
            lines.map(|path| any_line::holds(&std::fs::read(path).expect("the file is readable"))).count();
        assert!(count > 0);
    }
}
