//! Hues, glyphs and widths of the `dump-segment` views.
//!
//! A field has the same hue in the list and in the hex view. The text beside a hue says the same,
//! so output without colour loses nothing.

use unicode_width::UnicodeWidthStr;

use crate::shell::term::fit::clip;
use crate::shell::term::style::Look;

/// The hue of each field of a record and of each state.
pub mod hue {
    use owo_colors::AnsiColors;

    use crate::shell::term::style::Hue;
    pub use crate::shell::term::style::hue::{BAD, DIM, GOOD as LIVE, HEAD, KEY, PLAIN, VALUE};

    /// An offset in the file.
    pub const OFFSET: Hue = Hue::of(AnsiColors::Blue);
    pub const CHECKSUM: Hue = Hue::of(AnsiColors::Magenta);
    /// A sequence number or a segment.
    pub const SEQ: Hue = Hue::of(AnsiColors::BrightBlue);
    pub const TIME: Hue = Hue::of(AnsiColors::BrightCyan);
    /// The durability lag of a record.
    pub const LAG: Hue = Hue::of(AnsiColors::BrightMagenta);
    pub const LEN: Hue = Hue::of(AnsiColors::BrightYellow);
    /// The kind of a record.
    pub const KIND: Hue = Hue::of(AnsiColors::BrightGreen);
    /// The storage flags of a record.
    pub const FLAG: Hue = Hue::of(AnsiColors::BrightRed);
    /// A tombstone that still hides something, or could.
    pub const TOMBSTONE: Hue = Hue::of(AnsiColors::Yellow);
}

/// Characters with an ASCII alternative.
#[derive(Debug)]
pub struct Glyphs {
    pub right: &'static str,
    pub wrong: &'static str,
    /// The separator of facts in a line.
    pub dot: &'static str,
    /// The separator of damage and its consequence.
    pub dash: &'static str,
    /// The mark where text is cut.
    pub cut: &'static str,
    /// The mark in place of a missing value.
    pub none: &'static str,
    /// Bytes of live records on the map.
    pub live: char,
    /// Bytes of dead records on the map.
    pub dead: char,
    /// Bytes of tombstones on the map.
    pub tombstone: char,
    /// The segment header on the map.
    pub header: char,
}

const UNICODE: Glyphs = Glyphs {
    right: "✓",
    wrong: "✗",
    dot: "·",
    dash: "—",
    cut: "…",
    none: "–",
    live: '█',
    dead: '░',
    tombstone: '▒',
    header: '·',
};

const ASCII: Glyphs = Glyphs {
    right: "ok",
    wrong: "BAD",
    dot: "|",
    dash: "-",
    cut: "~",
    none: "-",
    live: '#',
    dead: '.',
    tombstone: '-',
    header: '=',
};

/// Returns the characters for this screen.
pub fn glyphs(look: &Look) -> &'static Glyphs {
    if look.ascii { &ASCII } else { &UNICODE }
}

/// Returns the verdict on a checksum as a glyph.
pub fn verdict(look: &Look, is_right: bool) -> String {
    let (text, style) =
        if is_right { (glyphs(look).right, hue::LIVE) } else { (glyphs(look).wrong, hue::BAD) };
    look.paint(text, style)
}

/// Cuts `text` to at most `width` columns, and marks the cut.
pub fn fit(look: &Look, text: &str, width: usize) -> String {
    clip(text, width, glyphs(look).cut)
}

/// Returns the blanks that pad `text` to `width` columns.
pub fn padding(text: &str, width: usize) -> std::iter::RepeatN<char> {
    std::iter::repeat_n(' ', width.saturating_sub(text.width()))
}
