//! Colours of the line being typed.

use std::ops::Range;

use super::spot::{Role, Roles};
use crate::shell::lang::command::{ArgKind, Takes};
use crate::shell::lang::words::{self, Style as Quotes, Word};
use crate::shell::term::style::{Hue, Look, hue};

/// Longer lines are not coloured: the whole line is painted again for each key.
pub const LEN_MAX: usize = 1024;

/// Returns `line` with colours. `pending` has the earlier lines of the command.
pub fn highlight(pending: &str, line: &str, look: &Look) -> String {
    let whole = format!("{pending}{line}");
    let mut painted = String::with_capacity(line.len() * 2);
    let mut at = pending.len();
    for (span, style) in styles(&whole) {
        let span = span.start.max(at)..span.end.max(at);
        painted.push_str(&whole[at..span.start]);
        if !span.is_empty() {
            painted.push_str(&look.paint(&whole[span.clone()], style));
        }
        at = span.end;
    }
    painted.push_str(&whole[at..]);
    painted
}

/// Returns the coloured spans of `line`, in order and without overlaps.
fn styles(line: &str) -> Vec<(Range<usize>, Hue)> {
    let (words, errors) = words::split_leniently(line.as_bytes());
    let mut roles = Roles::default();
    let mut styles = Vec::new();
    let mut errors =
        errors.into_iter().filter(|error| !matches!(error.kind, words::WordErrorKind::Open(_))).peekable();
    for word in words {
        let role = roles.next(&word);
        let style = style(role, &word, roles.command.is_some());
        let mut at = word.span.start;
        while let Some(error) =
            errors.next_if(|error| error.span.start < word.span.end || error.span.start == at)
        {
            let span = whole_chars(line, error.span);
            styles.extend(style.map(|style| (at..span.start.max(at), style)));
            at = span.end;
            styles.push((span, hue::BAD));
        }
        styles.extend(style.filter(|_| at < word.span.end).map(|style| (at..word.span.end, style)));
    }
    styles
}

fn style(role: Role, word: &Word, is_known: bool) -> Option<Hue> {
    let is_quoted = word.style != Quotes::Bare;
    match role {
        Role::Command => Some(if is_known { hue::GOOD } else { hue::BAD }),
        Role::Argument(_, Some(ArgKind::Key | ArgKind::Glob)) => Some(hue::KEY),
        Role::FlagValue(flag) if matches!(flag.takes, Takes::Key | Takes::Glob) => Some(hue::KEY),
        _ if is_quoted => Some(hue::VALUE),
        _ => None,
    }
}

/// Returns `span`, extended to whole characters. The span of an error may end within one.
fn whole_chars(line: &str, span: Range<usize>) -> Range<usize> {
    let mut end = span.end.min(line.len());
    while !line.is_char_boundary(end) {
        end += 1;
    }
    span.start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOOK: Look = Look { color: true, ascii: false, width: 80 };

    /// Returns the coloured parts of `line` with their hues.
    fn colours(line: &str) -> Vec<(&str, Hue)> {
        styles(line).into_iter().map(|(span, hue)| (&line[span], hue)).collect()
    }

    #[test]
    fn commands_keys_and_strings_have_colours() {
        assert_eq!(
            colours(r#"put k "a b""#),
            [("put", hue::GOOD), ("k", hue::KEY), (r#""a b""#, hue::VALUE)]
        );
        assert_eq!(colours("nonsense x"), [("nonsense", hue::BAD)]);
    }

    #[test]
    fn a_bad_escape_is_red_inside_its_string() {
        assert_eq!(
            colours(r#"put k "a\qb""#)[2..],
            [(r#""a"#, hue::VALUE), (r"\q", hue::BAD), (r#"b""#, hue::VALUE)]
        );
    }

    #[test]
    fn a_continued_line_is_coloured_with_its_context() {
        let text = highlight("put k \"a\n", "b\"", &LOOK);
        assert_eq!(text, LOOK.paint("b\"", hue::VALUE));
    }

    proptest! {
        #[test]
        fn colours_change_no_character(line in r#"[a-z "'\\é日\-x0-9]{0,40}"#) {
            let bare = Look { color: false, ..LOOK };
            prop_assert_eq!(highlight("", &line, &bare), line.as_str());
            let painted = highlight("", &line, &LOOK);
            prop_assert!(painted.len() >= line.len());
        }
    }
}
