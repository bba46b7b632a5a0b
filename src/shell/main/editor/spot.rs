//! The word at the cursor, for completions, hints and colours.

use std::ops::Range;

use crate::shell::commands::TABLE;
use crate::shell::lang::command::{self, ArgKind, Flag, Takes};
use crate::shell::lang::parse::flag_text;
use crate::shell::lang::words::{self, Style, Word};
use crate::shell::run::session::Command;

/// The role of a word in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The name of a command.
    Command,
    /// A flag, or `--`.
    Flag,
    /// The value of this flag.
    FlagValue(&'static Flag),
    /// The argument with this index.
    Argument(usize, Option<ArgKind>),
    /// A word after the name of an unknown command.
    Unknown,
}

/// Finds the roles of the words of a line, in order.
#[derive(Debug, Default)]
pub struct Roles {
    /// The command, if its name was seen and is known.
    pub command: Option<&'static Command>,
    /// The flags so far.
    pub flags: Vec<&'static Flag>,
    /// The arguments so far.
    pub args: Vec<Word>,
    has_name: bool,
    flags_ended: bool,
    /// The flag whose value comes next.
    awaited: Option<&'static Flag>,
}

impl Roles {
    /// Returns the role of the next word.
    pub fn next(&mut self, word: &Word) -> Role {
        if !self.has_name {
            self.has_name = true;
            self.command = command::find(TABLE, &word.bytes);
            return Role::Command;
        }
        if let Some(flag) = self.awaited.take() {
            return Role::FlagValue(flag);
        }
        match flag_text(self.command, word) {
            Some(text) if !self.flags_ended => {
                self.flag(text);
                Role::Flag
            }
            _ => {
                let index = self.args.len();
                self.args.push(word.clone());
                self.command.map_or(Role::Unknown, |command| Role::Argument(index, command.arg_kind(index)))
            }
        }
    }

    fn flag(&mut self, text: &str) {
        let (name, has_value) = text.split_once('=').map_or((text, false), |(name, _)| (name, true));
        self.flags_ended |= name == "--";
        let found = self.command.and_then(|command| match name.strip_prefix("--") {
            Some(name) => command.flag(name),
            None => name.chars().nth(1).and_then(|letter| command.short_flag(letter)),
        });
        if let Some(flag) = found {
            self.flags.push(flag);
            self.awaited = (flag.takes != Takes::Nothing && !has_value).then_some(flag);
        }
    }
}

/// The word at the end of a line.
#[derive(Debug)]
pub struct Spot {
    /// The roles of the words before it.
    pub before: Roles,
    /// Its role.
    pub role: Role,
    /// The bytes it stands for, without an unfinished escape.
    pub bytes: Vec<u8>,
    /// Its position in the line.
    pub span: Range<usize>,
    /// Its quotes.
    pub style: Style,
    /// The unfinished escape at its end, as typed.
    pub escape: String,
    /// Whether it ends in an open quote without an unfinished escape, so that more text can follow.
    pub is_open: bool,
}

impl Spot {
    /// Returns the word at the end of `line`. It is empty after a blank.
    pub fn at_end(line: &str) -> Self {
        let (finished, escape) = line.split_at(finished(line).len());
        let (mut all, _) = words::split_leniently(finished.as_bytes());
        let is_open = words::open_quote(line.as_bytes()).is_some();
        let ends_in_word = is_open || all.last().is_some_and(|word| word.span.end == line.len());
        let last = if ends_in_word { all.pop() } else { None };
        let word =
            last.unwrap_or(Word { bytes: Vec::new(), span: line.len()..line.len(), style: Style::Bare });
        let mut before = Roles::default();
        for word in &all {
            before.next(word);
        }
        let role = role_of_last(&before, &word);
        Self {
            before,
            role,
            bytes: word.bytes,
            span: word.span.start..line.len(),
            style: word.style,
            escape: escape.to_owned(),
            is_open: is_open && escape.is_empty(),
        }
    }
}

/// Returns the role of `word` after the words in `before`. A single dash may become a flag.
fn role_of_last(before: &Roles, word: &Word) -> Role {
    if !before.has_name {
        return Role::Command;
    }
    if let Some(flag) = before.awaited {
        return Role::FlagValue(flag);
    }
    if !before.flags_ended && (word.is_dash() || flag_text(before.command, word).is_some()) {
        return Role::Flag;
    }
    let index = before.args.len();
    let kind = before.command.map(|command| command.arg_kind(index));
    kind.map_or(Role::Unknown, |kind| Role::Argument(index, kind))
}

/// Returns `line` without an unfinished escape at its end (`"a\`, `"a\x`, `"a\x1`, `'a\`), which
/// would stand for other bytes when complete.
fn finished(line: &str) -> &[u8] {
    let bytes = line.as_bytes();
    match words::open_quote(bytes) {
        Some(('"', _)) => {}
        // In single quotes only the quote has an escape.
        Some(_) => return bytes.strip_suffix(b"\\").unwrap_or(bytes),
        None => return bytes,
    }
    let Some(at) = bytes.iter().rposition(|&byte| byte == b'\\') else { return bytes };
    let is_begun = matches!(&bytes[at..], [_] | [_, b'x'] | [_, b'x', _]);
    // Two backslashes are a complete escape.
    let count = bytes[..=at].iter().rev().take_while(|&&byte| byte == b'\\').count();
    if is_begun && count % 2 == 1 { &bytes[..at] } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_has_the_role_of_its_position() {
        assert_eq!(Spot::at_end("").role, Role::Command);
        assert_eq!(Spot::at_end("ge").role, Role::Command);
        assert_eq!(Spot::at_end("get ").role, Role::Argument(0, Some(ArgKind::Key)));
        assert_eq!(Spot::at_end("put a 1 b ").role, Role::Argument(3, Some(ArgKind::Value)));
        assert_eq!(Spot::at_end("keys --").role, Role::Flag);
        assert_eq!(Spot::at_end("keys -").role, Role::Flag);
        assert_eq!(Spot::at_end("nonsense a").role, Role::Unknown);
        assert!(matches!(Spot::at_end("keys --from ").role, Role::FlagValue(flag) if flag.name == "from"));
        assert_eq!(Spot::at_end("get -- -").role, Role::Argument(0, Some(ArgKind::Key)));
    }

    #[test]
    fn the_last_word_reaches_to_the_end_even_within_a_quote() {
        let spot = Spot::at_end(r#"get "user 1"#);
        assert_eq!((spot.bytes.as_slice(), spot.span, spot.style), (&b"user 1"[..], 4..11, Style::Double));
        let spot = Spot::at_end("get  ");
        assert_eq!((spot.bytes.as_slice(), spot.span), (&b""[..], 5..5));
    }

    #[test]
    fn an_unfinished_escape_is_left_out() {
        for line in [r#"get "a\"#, r#"get "a\x"#, r#"get "a\x1"#] {
            assert_eq!(Spot::at_end(line).bytes, b"a", "{line}");
            assert_eq!(Spot::at_end(line).escape, line[6..], "{line}");
        }
        assert_eq!(Spot::at_end(r"get 'a\").bytes, b"a");
        assert_eq!(Spot::at_end(r"get 'a\'").bytes, b"a'");
        assert_eq!(Spot::at_end(r#"get "a\x41"#).bytes, b"aA");
        assert_eq!(Spot::at_end(r#"get "a\\"#).bytes, b"a\\");
    }
}
