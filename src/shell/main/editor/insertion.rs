//! Quoting of completed words.

use super::list::{Choice, common_len};
use super::spot::Spot;
use crate::shell::lang::words::{self, Style};

/// Returns the choices that replace `typed` with `words`, each paired with whether it is complete.
/// A single word is inserted as it is, and of several words their `common` prefix. A quote is
/// opened only if all words need it: otherwise the user could not continue with the other words.
pub fn quoted(spot: &Spot, typed: &str, words: Vec<(Vec<u8>, bool)>, common: &[u8]) -> Vec<Choice> {
    let shown: Vec<_> = words.iter().map(|(bytes, _)| words::quote(bytes)).collect();
    let needs_quotes = |text: &String| text.starts_with('"');
    let is_literal = |bytes: &[u8]| !bytes.contains(&b'\\') && words::visible(bytes).as_bytes() == bytes;
    let style = match spot.style {
        Style::Bare if !common.is_empty() && shown.iter().all(needs_quotes) => Style::Double,
        Style::Single if !words.iter().all(|(bytes, _)| is_literal(bytes)) => Style::Double,
        style => style,
    };
    let inserted = match words.as_slice() {
        [(bytes, true)] => format!("{}{} ", opened(bytes, style), mark(style)),
        [(bytes, false)] => opened(bytes, style),
        _ if common == spot.bytes && (style == spot.style || !spot.escape.is_empty()) => typed.to_owned(),
        _ => {
            let text = opened(common, style);
            // A word typed with needless escapes stays unless the new text is longer.
            let goes_on = spot.is_open && text.len() <= typed.len() && common.len() > spot.bytes.len();
            if goes_on { format!("{typed}{}", escaped(&common[spot.bytes.len()..], style)) } else { text }
        }
    };
    shown.into_iter().map(|shown| Choice { shown, inserted: inserted.clone() }).collect()
}

/// Returns the common prefix of `first` and `last`, at a character boundary.
pub fn common_of(first: &[u8], last: &[u8]) -> Vec<u8> {
    let mut len = common_len(first, last);
    if let Ok(text) = str::from_utf8(first) {
        while !text.is_char_boundary(len) {
            len -= 1;
        }
    }
    first[..len].to_vec()
}

/// Returns whether `bytes`, which start with the typed bytes, can continue the unfinished escape.
pub fn goes_on(spot: &Spot, bytes: &[u8]) -> bool {
    escaped(&bytes[spot.bytes.len()..], spot.style).starts_with(&spot.escape)
}

/// Returns `bytes` in `style`, with the quote still open.
fn opened(bytes: &[u8], style: Style) -> String {
    format!("{}{}", mark(style), escaped(bytes, style))
}

/// Returns `bytes` as written between quotes of `style`.
fn escaped(bytes: &[u8], style: Style) -> String {
    if style == Style::Single {
        return words::visible(bytes).replace('\'', "\\'");
    }
    let text = words::quote(bytes);
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text).to_owned()
}

fn mark(style: Style) -> &'static str {
    match style {
        Style::Bare => "",
        Style::Double => "\"",
        Style::Single => "'",
    }
}
