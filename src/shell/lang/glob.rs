//! Key patterns over bytes, with the syntax of Redis.
//!
//! `*` matches any bytes, `?` one byte, `[abc]` and `[a-z]` one byte of a set, `[^a]` and `[!a]`
//! one byte outside a set, and `\x` the byte x. `[z-a]` equals `[a-z]`. Unlike Redis, an unclosed
//! or empty set is an error: it is most likely a typing error.

use std::ops::Range;

use super::failure::Failure;
use super::words::{Style, Word};

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte.
    One,
    /// Any number of bytes.
    Many,
    /// A byte inside one of the ranges, or outside all of them if `negated`.
    Set { ranges: Vec<(u8, u8)>, negated: bool },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::One => true,
            Self::Many => false,
            Self::Set { ranges, negated } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)) != *negated
            }
        }
    }
}

/// An invalid set and its range in the pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BadSet {
    Open(Range<usize>),
    Empty(Range<usize>),
}

impl Glob {
    /// Parses `word`.
    pub fn of(word: &Word) -> Result<Self, Failure> {
        Self::parse(&word.bytes).map_err(|bad| {
            let (message, at) = match bad {
                BadSet::Open(at) => ("the pattern has a [ that is not closed", at),
                BadSet::Empty(at) => ("the pattern has an empty set", at),
            };
            // In a quoted word, offsets in the line differ from those in the pattern.
            let span = match word.style {
                Style::Bare => word.span.start + at.start..(word.span.start + at.end).min(word.span.end),
                Style::Double | Style::Single => word.span.clone(),
            };
            Failure::usage(message).at(span).hint(r"\[ and \] match the brackets themselves")
        })
    }

    fn parse(text: &[u8]) -> Result<Self, BadSet> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let [first, after @ ..] = rest {
            let at = text.len() - rest.len();
            rest = after;
            tokens.push(match first {
                b'*' if tokens.last() == Some(&Token::Many) => continue,
                b'*' => Token::Many,
                b'?' => Token::One,
                b'[' => match set(&mut rest) {
                    None => return Err(BadSet::Open(at..text.len())),
                    Some((ranges, _)) if ranges.is_empty() => {
                        return Err(BadSet::Empty(at..text.len() - rest.len()));
                    }
                    Some((ranges, negated)) => Token::Set { ranges, negated },
                },
                b'\\' => Token::Byte(escaped(&mut rest)),
                &byte => Token::Byte(byte),
            });
        }
        Ok(Self { tokens })
    }

    /// Returns the pattern followed by `*`, or `None` if it already has a `*`.
    pub fn lengthened(&self) -> Option<Self> {
        let is_open = self.tokens.contains(&Token::Many);
        let tokens = self.tokens.iter().cloned().chain([Token::Many]);
        (!is_open).then(|| Self { tokens: tokens.collect() })
    }

    /// Returns a pattern for all keys that start with `prefix`.
    pub fn starting_with(prefix: &[u8]) -> Self {
        let literal = prefix.iter().map(|&byte| Token::Byte(byte));
        Self { tokens: literal.chain([Token::Many]).collect() }
    }

    /// Returns the bytes that every matching key starts with.
    pub fn literal_prefix(&self) -> Vec<u8> {
        self.tokens
            .iter()
            .map_while(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
            .collect()
    }

    /// Returns whether only one key can match.
    pub fn is_literal(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Byte(_)))
    }

    /// Returns whether `key` matches.
    ///
    /// Takes at most `key.len() * pattern.len()` steps. On a mismatch only the last `*` takes one
    /// more byte: another choice for an earlier `*` cannot help.
    pub fn matches(&self, key: &[u8]) -> bool {
        let mut at = 0;
        let mut token = 0;
        let mut retry = None;
        loop {
            match (self.tokens.get(token), key.get(at)) {
                (Some(Token::Many), _) => {
                    retry = Some((at, token));
                    token += 1;
                }
                (Some(wanted), Some(&byte)) if wanted.takes(byte) => {
                    at += 1;
                    token += 1;
                }
                (None, None) => return true,
                _ => match retry {
                    Some((from, many)) if from < key.len() => {
                        retry = Some((from + 1, many));
                        (at, token) = (from + 1, many + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// Reads the byte after a backslash. At the end of the pattern, returns the backslash itself.
fn escaped(rest: &mut &[u8]) -> u8 {
    match rest {
        [byte, after @ ..] => {
            let byte = *byte;
            *rest = after;
            byte
        }
        [] => b'\\',
    }
}

/// Reads a set after its `[`. Returns its ranges and whether it is negated, or `None` if it is not
/// closed.
fn set(rest: &mut &[u8]) -> Option<(Vec<(u8, u8)>, bool)> {
    let negated = matches!(rest.first(), Some(b'^' | b'!'));
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    while let [first, after @ ..] = *rest {
        *rest = after;
        let low = match first {
            b']' => return Some((ranges, negated)),
            b'\\' => escaped(rest),
            &byte => byte,
        };
        let high = match *rest {
            [b'-', b'\\', byte, after @ ..] => {
                *rest = after;
                *byte
            }
            [b'-', byte, after @ ..] if *byte != b']' => {
                *rest = after;
                *byte
            }
            _ => low,
        };
        ranges.push((low.min(high), low.max(high)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(pattern: &str) -> Glob {
        Glob::parse(pattern.as_bytes()).expect("the pattern is valid")
    }

    fn matches(pattern: &str, key: &str) -> bool {
        glob(pattern).matches(key.as_bytes())
    }

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, key) in [
            ("", ""),
            ("*", ""),
            ("*", "abc"),
            ("1F9*", "1F980"),
            ("h?llo", "hello"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            (r"a\*b", "a*b"),
            (r"[\]]", "]"),
            (r"[a\-z]", "-"),
            ("[a-]", "-"),
            ("[!a]", "b"),
            ("[a!]", "!"),
            (r"[\!a]", "!"),
            ("[^!]", "^"),
            ("]", "]"),
            (r"a\", r"a\"),
            ("*a*b*", "xaxbx"),
            ("**?", "ab"),
        ] {
            assert!(matches(pattern, key), "{pattern} should match {key}");
        }
        for (pattern, key) in [
            ("", "a"),
            ("?", ""),
            ("h?llo", "hllo"),
            ("h[ae]llo", "hillo"),
            ("h[^e]llo", "hello"),
            (r"a\*b", "axb"),
            ("[!a]", "a"),
            ("[!a-c]x", "bx"),
            ("[^!]", "!"),
            ("a*b", "acbd"),
            (r"[a\-z]", "b"),
        ] {
            assert!(!matches(pattern, key), "{pattern} should not match {key}");
        }
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_wildcard() {
        for (pattern, prefix) in
            [("1F9*", "1F9"), ("*", ""), (r"a\*b?", "a*b"), ("user:[12]", "user:"), ("abc", "abc")]
        {
            assert_eq!(glob(pattern).literal_prefix(), prefix.as_bytes());
        }
    }

    #[test]
    fn the_caret_marks_an_unclosed_or_empty_set() {
        let open = "the pattern has a [ that is not closed";
        let empty = "the pattern has an empty set";
        for (line, message, span) in [
            ("keys a[bc", open, 6..9),
            ("keys [", open, 5..6),
            (r"keys [a\]", open, 5..9),
            ("keys [^", open, 5..7),
            ("keys a[]b", empty, 6..8),
            ("keys [^]", empty, 5..8),
            ("keys [!]x", empty, 5..8),
            ("keys 'a b[c'", open, 5..12),
        ] {
            let words = crate::shell::lang::words::split(line.as_bytes()).expect("the line is well formed");
            let failure = Glob::of(&words[1]).expect_err("the pattern is invalid");
            assert_eq!((failure.message.as_str(), failure.span), (message, Some(span)), "{line}");
        }
    }

    #[test]
    fn a_pattern_with_a_star_is_not_lengthened() {
        assert_eq!(glob("user").lengthened(), Some(glob("user*")));
        assert_eq!(glob("us[ae]r?").lengthened(), Some(glob("us[ae]r?*")));
        assert_eq!(glob("*user").lengthened(), None);
    }

    #[test]
    fn many_stars_over_a_long_key_take_polynomial_time() {
        let pattern = format!("{}b", "a*".repeat(1000));
        assert!(!matches(&pattern, &"a".repeat(10_000)));
    }

    /// Matches by the recursive definition. Takes exponential time.
    fn matches_recursively(tokens: &[Token], key: &[u8]) -> bool {
        match (tokens, key) {
            ([], []) => true,
            ([Token::Many, rest @ ..], _) => {
                matches_recursively(rest, key) || (!key.is_empty() && matches_recursively(tokens, &key[1..]))
            }
            ([token, rest @ ..], [byte, after @ ..]) => {
                token.takes(*byte) && matches_recursively(rest, after)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn every_pattern_matches_as_the_recursive_definition(
            pattern in r"[ab*?\[\]^!\\-]{0,10}", key in "[ab-]{0,8}"
        ) {
            let Ok(glob) = Glob::parse(pattern.as_bytes()) else { return Ok(()) };
            prop_assert_eq!(glob.matches(key.as_bytes()), matches_recursively(&glob.tokens, key.as_bytes()));
            if glob.matches(key.as_bytes()) {
                prop_assert!(key.as_bytes().starts_with(&glob.literal_prefix()));
            }
        }
    }
}
