//! The list of completions, fitted to the screen.

use rustyline::completion::{Candidate, longest_common_prefix};
use unicode_width::UnicodeWidthStr;

use crate::shell::term::fit::clip;
use crate::shell::term::style::Look;
use crate::shell::term::units;

/// The screen of the line editor.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// The columns and rows.
    pub size: (usize, usize),
    /// The width of the prompt.
    pub prompt_width: usize,
}

/// The number of completions that are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Exactly this many.
    Exactly(usize),
    /// Too many to count while the user waits.
    Many,
}

impl Default for More {
    fn default() -> Self {
        Self::Exactly(0)
    }
}

impl More {
    fn and(self, others: usize) -> Self {
        match self {
            Self::Exactly(count) => Self::Exactly(count + others),
            Self::Many => Self::Many,
        }
    }
}

/// A completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The text in the list.
    pub shown: String,
    /// The text that replaces the word.
    pub inserted: String,
}

impl Candidate for Choice {
    fn display(&self) -> &str {
        &self.shown
    }

    fn replacement(&self) -> &str {
        &self.inserted
    }
}

impl Choice {
    /// Returns a complete word, followed by a blank.
    pub fn word(text: &str) -> Self {
        Self { shown: text.to_owned(), inserted: format!("{text} ") }
    }
}

/// Returns as many `choices` as fit on the screen with the typed line, then the number of those
/// left out. Choices that differ only beyond the cut are also cut at their common start.
///
/// `wrapped` is the number of rows that the line takes after the first. The line editor clears as
/// many rows above the line when it redraws it, and these are the last rows of the list.
pub fn fit(
    mut choices: Vec<Choice>,
    more: More,
    look: &Look,
    (columns, rows): (usize, usize),
    wrapped: usize,
) -> Vec<Choice> {
    /// The columns between two choices.
    const GAP: usize = 2;
    if choices.len() < 2 {
        return choices;
    }
    let room = columns.saturating_sub(GAP).max(1);
    let common = longest_common_prefix(&choices).unwrap_or_default().to_owned();
    cut(&mut choices, room, look);
    // One row for the line above the list, one for the line below.
    let rows = rows.saturating_sub(2 + 2 * wrapped).max(1);
    let capacity = |widest: usize| if wrapped > 0 { rows } else { rows * (columns / (widest + GAP)).max(1) };
    let widest = choices.iter().map(|choice| choice.shown.width()).max().unwrap_or(0);
    let choice = |shown| Choice { shown, inserted: common.clone() };
    if more != More::Exactly(0) || choices.len() > capacity(widest) {
        let widest = note(more.and(choices.len()), look).width().max(widest).min(room);
        let kept = choices.len().min(capacity(widest).saturating_sub(1).max(1));
        let more = more.and(choices.len() - kept);
        choices.truncate(kept);
        // The entry inserts the common prefix, so that it does not change the common prefix of all.
        choices.push(choice(clip(&note(more, look), room, look.ellipsis())));
    }
    if wrapped > 0 {
        choices[0].shown = format!("{:room$}", choices[0].shown);
        choices.extend(std::iter::repeat_n(choice(String::new()), wrapped));
    }
    choices
}

/// Cuts choices wider than `room`: their common start first, then their end.
fn cut(choices: &mut [Choice], room: usize, look: &Look) {
    if choices.iter().all(|choice| choice.shown.width() <= room) {
        return;
    }
    let shown: Vec<_> = choices.iter().map(|choice| choice.shown.clone()).collect();
    let start = common_start(&shown, room);
    for choice in choices {
        let text = &choice.shown[start..];
        let text = if start > 0 { format!("{}{text}", look.ellipsis()) } else { text.to_owned() };
        choice.shown = clip(&text, room, look.ellipsis());
    }
}

fn note(more: More, look: &Look) -> String {
    let count = match more {
        More::Exactly(count) => units::thousands(count as u64),
        More::Many => "many".to_owned(),
    };
    format!("{} {count} more", look.ellipsis())
}

/// Returns the length of the common start of `texts`, less a part that is kept so that the user
/// recognises it.
fn common_start(texts: &[String], room: usize) -> usize {
    let Some((first, last)) = texts.iter().min().zip(texts.iter().max()) else { return 0 };
    let mut start = common_len(first.as_bytes(), last.as_bytes()).saturating_sub(room / 4);
    while !first.is_char_boundary(start) {
        start -= 1;
    }
    start
}

/// Returns the length of the common prefix.
pub fn common_len(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    fn choices(texts: impl IntoIterator<Item = String>) -> Vec<Choice> {
        texts.into_iter().map(|text| Choice::word(&text)).collect()
    }

    #[test]
    fn a_cut_list_shows_the_number_left_out_and_inserts_the_common_prefix() {
        let all = || choices((0..1205).map(|n| format!("key:{n:04}")));
        let listed = fit(all(), More::Exactly(0), &LOOK, (80, 24), 0);
        assert_eq!(listed.len(), 22 * 5);
        assert_eq!(listed[109].shown, "… 1,096 more");
        assert_eq!(listed[109].inserted, "key:");
        let ascii = Look { ascii: true, ..LOOK };
        assert_eq!(fit(all(), More::Exactly(95), &ascii, (80, 24), 0)[109].shown, "... 1,191 more");
        assert_eq!(note(More::Many, &LOOK), "… many more");
    }

    #[test]
    fn a_list_and_the_typed_line_fit_on_the_screen() {
        for (columns, rows) in [(80, 24), (60, 24), (120, 40), (20, 5), (1, 1)] {
            for wrapped in [0, 1, 2] {
                for count in [1, 2, 30, 150, 300] {
                    let all = choices((0..count).map(|n| format!("key:{}{n:04}", "x".repeat(n % 40))));
                    let listed = fit(all, More::Exactly(0), &LOOK, (columns, rows), wrapped);
                    // The layout of the line editor.
                    let widest = listed.iter().map(|choice| choice.shown.width()).max().unwrap_or(0);
                    let rows_taken = listed.len().div_ceil(columns / (widest + 2).min(columns));
                    let least = 2 + wrapped;
                    assert!(rows_taken <= rows.saturating_sub(2).max(least), "{columns} {rows} {count}");
                }
            }
        }
    }

    #[test]
    fn choices_wider_than_the_screen_are_cut_to_where_they_differ() {
        let all = choices(["a", "b"].map(|end| format!("{}{end}{}", "x".repeat(100), "y".repeat(100))));
        let listed = fit(all, More::Exactly(0), &LOOK, (80, 24), 1);
        let shown: Vec<_> = listed.iter().map(|choice| choice.shown.as_str()).collect();
        let of = |end| format!("…{}{end}{}…", "x".repeat(19), "y".repeat(56));
        // The redrawn line takes two rows, and clears one.
        assert_eq!(shown, [of("a"), of("b"), String::new()]);
        assert_eq!(longest_common_prefix(&listed), Some("x".repeat(100).as_str()));
    }
}
