//! A fast path for `put` and `del` lines of plain words, which skips the parser.

use std::borrow::Cow;

use logkv::{Batch, Expiry, Op};

use super::{Lexeme, Lexer, Style, is_digits};

/// The meaning of the words of a plain line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Keys and values to put, with an optional [`UNTIL`] and a time in milliseconds.
    Pairs,
    /// Keys to delete.
    Keys,
}

/// The flag that sets the expiry of the pairs.
const UNTIL: &[u8] = b"--until";

/// Adds the operations of the words after a command's name to the empty `batch`. Returns `None` if
/// the words need the parser.
pub fn read(words: Lexer<'_>, plain: Plain, batch: &mut Batch) -> Option<()> {
    match plain {
        Plain::Pairs => read_pairs(words, batch)?,
        Plain::Keys => {
            for word in words {
                batch.delete(bytes(word)?);
            }
        }
    }
    (!batch.is_empty()).then_some(())
}

fn read_pairs(mut words: Lexer<'_>, batch: &mut Batch) -> Option<()> {
    let mut key = None;
    let mut until = None;
    while let Some(word) = words.next() {
        if word.style == Style::Bare && *word.bytes == *UNTIL {
            until = Some(milliseconds(words.next()?)?);
            continue;
        }
        let bytes = bytes(word)?;
        match key.take() {
            None => key = Some(bytes),
            Some(key) => {
                batch.put(key, bytes);
            }
        }
    }
    if let Some(until) = until {
        let pairs = std::mem::take(batch);
        for op in pairs.iter() {
            if let Op::Put { key, value, .. } = op {
                batch.put_expiring(key, value, Expiry::At(until));
            }
        }
    }
    key.is_none().then_some(())
}

fn milliseconds(word: Lexeme<'_>) -> Option<u64> {
    let digits = bytes(word)?;
    str::from_utf8(&digits).ok().filter(|text| is_digits(text))?.parse().ok()
}

/// Returns the bytes of a word that is well formed, and neither a flag nor a dash.
pub fn bytes(word: Lexeme<'_>) -> Option<Cow<'_, [u8]>> {
    let is_flag = word.style == Style::Bare
        && word.bytes.starts_with(b"-")
        && !word.bytes.get(1).is_some_and(u8::is_ascii_digit);
    (word.error.is_none() && !is_flag).then_some(word.bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shell::commands::TABLE;
    use crate::shell::lang::parse::parse_line;

    fn taken(plain: Plain, line: &str) -> Option<Batch> {
        let mut batch = Batch::new();
        read(Lexer::new(line.as_bytes()), plain, &mut batch).map(|()| batch)
    }

    #[test]
    fn plain_pairs_and_keys_skip_the_parser() {
        let mut batch = Batch::new();
        batch.put("a", "1").put("b c", "2\n").put("d", "-5");
        assert_eq!(taken(Plain::Pairs, "a 1 'b c' \"2\\n\" d -5"), Some(batch.clone()));
        assert_eq!(taken(Plain::Pairs, "a 1 'b c' \"2\\n\" d '-5'"), Some(batch));
        let mut batch = Batch::new();
        batch.delete("a").delete("b");
        assert_eq!(taken(Plain::Keys, "a b"), Some(batch));
        let mut batch = Batch::new();
        batch.put_expiring("a", "--until", Expiry::At(7));
        assert_eq!(taken(Plain::Pairs, "a --until 7 '--until'"), Some(batch));
    }

    #[test]
    fn other_lines_need_the_parser() {
        for line in [
            "",
            "a",
            "a 1 b",
            "--nx a 1",
            "a -",
            "a \"\\q\"",
            "a 'open",
            "-- a 1",
            "a 1 --ttl 1h",
            "a 1 --until",
            "a 1 --until 2030-01-31",
        ] {
            assert_eq!(taken(Plain::Pairs, line), None, "{line}");
        }
        for line in ["", "a --until 7", "--all", "a \"\\q\""] {
            assert_eq!(taken(Plain::Keys, line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_line_gives_the_same_batch_as_the_parser(
            is_put in any::<bool>(),
            line in r#"([-a-c"'\\x0=]{0,4} {0,2}){0,6}"#,
        ) {
            let (plain, name) = if is_put { (Plain::Pairs, "put") } else { (Plain::Keys, "del") };
            if let Some(batch) = taken(plain, &line) {
                let call = parse_line(TABLE, format!("{name} {line}").as_bytes()).expect("the line parses");
                let call = call.expect("the line has words");
                let words = batch.iter().flat_map(|op| match op {
                    Op::Put { key, value, .. } => vec![key, value],
                    Op::Delete { key } => vec![key],
                });
                prop_assert!(words.eq(call.args.iter().map(|word| word.bytes.as_slice())));
                prop_assert!(call.flags.is_empty() && !call.json);
            }
        }
    }
}
