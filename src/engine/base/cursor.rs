//! A position in the log from which a feed continues.

use std::fmt;
use std::str::FromStr;

use super::ids::{Lineage, Seqno};

/// Separates the number from the lineage.
const SEPARATOR: char = '@';

/// A position in the log: the next number, and its [`Lineage`].
///
/// [`Changes::cursor`](crate::Changes::cursor) and [`Snapshot::cursor`](crate::Snapshot::cursor)
/// return one, and [`Store::changes`](crate::Store::changes) takes one. After a restore or a repair
/// the same number may name another record. The feed then fails instead of skipping records. A
/// cursor made from a bare [`Seqno`] has no lineage: only its number is checked, against the end of
/// the log.
///
/// Its text is `SEQ@LINEAGE` or `SEQ`, and can be parsed again.
///
/// ```
/// use logkv::{Cursor, Seqno};
/// let cursor: Cursor = "101@6b1f0c5e8d7a4b32".parse()?;
/// assert_eq!(cursor.seq, Seqno(101));
/// assert_eq!(cursor.to_string(), "101@6b1f0c5e8d7a4b32");
/// assert_eq!("101".parse(), Ok(Cursor::from(Seqno(101))));
/// # Ok::<(), logkv::CursorError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The lowest number that has not been seen yet.
    pub seq: Seqno,
    /// The lineage of the number; `None` if unknown.
    pub lineage: Option<Lineage>,
}

impl From<Seqno> for Cursor {
    fn from(seq: Seqno) -> Self {
        Self { seq, lineage: None }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lineage {
            Some(lineage) => write!(f, "{}{SEPARATOR}{lineage}", self.seq),
            None => self.seq.fmt(f),
        }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (seq, lineage) = match text.split_once(SEPARATOR) {
            Some((seq, lineage)) => (seq, Some(lineage)),
            None => (text, None),
        };
        // `parse` alone accepts a sign.
        let is_number = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| is_number).ok_or(CursorError::Number)?;
        let lineage = lineage.map(|hex| {
            let is_hex = hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            u64::from_str_radix(hex, 16).ok().filter(|_| is_hex).map(Lineage).ok_or(CursorError::Lineage)
        });
        Ok(Self { seq: Seqno(seq), lineage: lineage.transpose()? })
    }
}

/// Why a text is not a [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The text does not begin with a number.
    #[error("a cursor begins with a record's number, 0 to 2^64-1")]
    Number,
    /// The text after the `@` is not a lineage.
    #[error("a cursor's lineage, after its @, has 16 hexadecimal digits")]
    Lineage,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_invalid_cursor_is_refused_with_its_reason() {
        for (text, wrong) in [
            ("", CursorError::Number),
            ("@6b1f0c5e8d7a4b32", CursorError::Number),
            ("+7", CursorError::Number),
            ("-7", CursorError::Number),
            (" 7", CursorError::Number),
            ("0x7", CursorError::Number),
            ("18446744073709551616", CursorError::Number),
            ("7@", CursorError::Lineage),
            ("7@6b1f0c5e8d7a4b3", CursorError::Lineage),
            ("7@6b1f0c5e8d7a4b321", CursorError::Lineage),
            ("7@+b1f0c5e8d7a4b32", CursorError::Lineage),
            ("7@6b1f0c5e8d7a4b32 ", CursorError::Lineage),
            ("7@6b1f0c5e@d7a4b32", CursorError::Lineage),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(wrong), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_cursor_parses_to_itself(seq: u64, lineage: Option<u64>) {
            let cursor = Cursor { seq: Seqno(seq), lineage: lineage.map(Lineage) };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn a_text_is_refused_or_parses_to_what_it_prints(text in "[0-9a-fA-F@ +x-]{0,24}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
    }
}
