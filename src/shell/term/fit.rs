//! Text that is fitted to the screen: cut off, or broken into lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The start of `text` that fits `width` columns; `ellipsis` says that there was more.
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

/// `text` in lines of at most `width` columns, broken at blanks.
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

/// `words` after `first`, in lines of at most `width` columns, each but the first indented by `indent`.
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
    fn text_is_broken_at_blanks_and_a_word_is_never_torn() {
        assert_eq!(wrap("ab cd\nef  gh", 5), "ab cd\nef gh");
        assert_eq!(wrap("abcdefgh i", 5), "abcdefgh\ni");
        assert_eq!(wrap("", 5), "");
    }

    #[test]
    fn a_text_hangs_below_what_it_begins_with() {
        let text = hang(20, "  ! ", 4, "bytes that are no valid record".split(' '));
        assert_eq!(text, "  ! bytes that are\n    no valid record");
        assert_eq!(hang(20, "", 2, "two  blanks stay".split(' ')), "two  blanks stay");
    }
}
