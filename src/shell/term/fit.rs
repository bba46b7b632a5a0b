//! Text cut or wrapped to the width of the screen.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the start of `text` that fits `width` columns. `ellipsis` marks the cut.
pub fn clip(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > room
    });
    let kept = end.map_or(text, |(at, _)| &text[..at]);
    format!("{kept}{ellipsis}")
}

/// Returns `text` wrapped at blanks into lines of at most `width` columns.
pub fn wrap(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len() + 1);
    let mut used = 0;
    for word in text.split_whitespace() {
        let fits = used + 1 + word.width() <= width;
        if used > 0 {
            wrapped.push(if fits { ' ' } else { '\n' });
        }
        used = if used > 0 && fits { used + 1 + word.width() } else { word.width() };
        wrapped.push_str(word);
    }
    wrapped
}

/// Returns `words` after `first`, wrapped to `width` columns. Each line after the first is indented
/// by `indent` columns.
pub fn hang<'a>(
    width: usize,
    first: &str,
    indent: usize,
    words: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut text = first.to_owned();
    let mut column = first.width();
    let mut gap = 0;
    for word in words {
        if gap > 0 && column + gap + word.width() > width {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent + word.width();
        } else {
            text.extend(std::iter::repeat_n(' ', gap));
            column += gap + word.width();
        }
        text.push_str(word);
        gap = 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_at_blanks_and_never_within_a_word() {
        assert_eq!(wrap("ab cd\nef  gh", 5), "ab cd\nef gh");
        assert_eq!(wrap("abcdefgh i", 5), "abcdefgh\ni");
        assert_eq!(wrap("", 5), "");
    }

    #[test]
    fn later_lines_are_indented() {
        let text = hang(20, "  ! ", 4, "bytes that are no valid record".split(' '));
        assert_eq!(text, "  ! bytes that are\n    no valid record");
        assert_eq!(hang(20, "", 2, "two  blanks stay".split(' ')), "two  blanks stay");
    }
}
