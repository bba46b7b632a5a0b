//! Patterns of keys, as redis-cli has them, over bytes.
//!
//! `*` any bytes, `?` one byte, `[abc]` `[a-z]` `[^a]` one byte of a set, `\x` the byte x itself.

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
    /// A byte that is in one of the ranges, or in none of them.
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

impl Glob {
    /// The pattern that `text` is. Every text is one: a `[` that is never closed reaches to the end, as in Redis.
    pub fn new(text: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let [first, after @ ..] = rest {
            rest = after;
            tokens.push(match first {
                b'*' if tokens.last() == Some(&Token::Many) => continue,
                b'*' => Token::Many,
                b'?' => Token::One,
                b'[' => set(&mut rest),
                b'\\' => Token::Byte(escaped(&mut rest)),
                &byte => Token::Byte(byte),
            });
        }
        Self { tokens }
    }

    /// The pattern of all keys that start with `prefix`.
    pub fn starting_with(prefix: &[u8]) -> Self {
        let literal = prefix.iter().map(|&byte| Token::Byte(byte));
        Self { tokens: literal.chain([Token::Many]).collect() }
    }

    /// The bytes that every key of the pattern starts with.
    pub fn literal_prefix(&self) -> Vec<u8> {
        self.tokens
            .iter()
            .map_while(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
            .collect()
    }

    /// Whether only one key can match: the prefix.
    pub fn is_literal(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Byte(_)))
    }

    /// Whether `key` is one of the pattern's.
    ///
    /// Takes at most `key.len() * pattern.len()` steps: when a later part fails, only the last `*` takes one byte
    /// more, since an earlier one could not do better.
    pub fn matches(&self, key: &[u8]) -> bool {
        let (mut at, mut token) = (0, 0);
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

/// The byte after a backslash; at the end of the pattern, the backslash.
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

/// The set whose `[` was just read.
fn set(rest: &mut &[u8]) -> Token {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    while let [first, after @ ..] = *rest {
        *rest = after;
        let low = match first {
            b']' => break,
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
    Token::Set { ranges, negated }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, key: &str) -> bool {
        Glob::new(pattern.as_bytes()).matches(key.as_bytes())
    }

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
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
            ("[abc", "c"),
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
            ("[]", "]"),
            ("a*b", "acbd"),
            (r"[a\-z]", "b"),
        ] {
            assert!(!matches(pattern, key), "{pattern} should not match {key}");
        }
    }

    #[test]
    fn the_prefix_ends_at_the_first_byte_that_is_not_fixed() {
        for (pattern, prefix) in
            [("1F9*", "1F9"), ("*", ""), (r"a\*b?", "a*b"), ("user:[12]", "user:"), ("abc", "abc")]
        {
            assert_eq!(Glob::new(pattern.as_bytes()).literal_prefix(), prefix.as_bytes());
        }
    }

    #[test]
    fn many_stars_over_a_long_key_take_no_time() {
        let pattern = format!("{}b", "a*".repeat(1000));
        assert!(!matches(&pattern, &"a".repeat(10_000)));
    }

    /// The obvious definition, which takes exponential time.
    fn plainly(tokens: &[Token], key: &[u8]) -> bool {
        match (tokens, key) {
            ([], []) => true,
            ([Token::Many, rest @ ..], _) => {
                plainly(rest, key) || (!key.is_empty() && plainly(tokens, &key[1..]))
            }
            ([token, rest @ ..], [byte, after @ ..]) => token.takes(*byte) && plainly(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn every_pattern_gives_what_the_plain_definition_gives(
            pattern in r"[ab*?\[\]^\\-]{0,10}", key in "[ab-]{0,8}"
        ) {
            let glob = Glob::new(pattern.as_bytes());
            prop_assert_eq!(glob.matches(key.as_bytes()), plainly(&glob.tokens, key.as_bytes()));
            if glob.matches(key.as_bytes()) {
                prop_assert!(key.as_bytes().starts_with(&glob.literal_prefix()));
            }
        }
    }
}
