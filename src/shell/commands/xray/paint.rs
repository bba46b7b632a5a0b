//! Hues, glyphs and widths: how the X-ray views look.
//!
//! One hue a field, the same in the list and in the hex view. No hue carries anything that the text beside it
//! does not say too: without colour nothing is lost.

use unicode_width::UnicodeWidthStr;

use crate::shell::term::fit::clip;
use crate::shell::term::style::Look;

/// The hue of each field of a record, and of each state it can be in.
pub mod hue {
    use owo_colors::AnsiColors;

    use crate::shell::term::style::Hue;
    pub use crate::shell::term::style::hue::{BAD, DIM, GOOD as LIVE, HEAD, KEY, PLAIN, VALUE};

    /// A place in the file.
    pub const OFFSET: Hue = Hue::of(AnsiColors::Blue);
    /// A checksum.
    pub const CHECKSUM: Hue = Hue::of(AnsiColors::Magenta);
    /// A record's number.
    pub const SEQ: Hue = Hue::of(AnsiColors::BrightBlue);
    /// A time.
    pub const TIME: Hue = Hue::of(AnsiColors::BrightCyan);
    /// How far the log was durable.
    pub const LAG: Hue = Hue::of(AnsiColors::BrightMagenta);
    /// A length in bytes.
    pub const LEN: Hue = Hue::of(AnsiColors::BrightYellow);
    /// What a record does.
    pub const KIND: Hue = Hue::of(AnsiColors::BrightGreen);
    /// How its value is stored.
    pub const FLAG: Hue = Hue::of(AnsiColors::BrightRed);
    /// A delete that still counts.
    pub const TOMBSTONE: Hue = Hue::of(AnsiColors::Yellow);
}

/// The characters that have a twin in ASCII.
#[derive(Debug)]
pub struct Glyphs {
    /// A checksum that is right.
    pub right: &'static str,
    /// A checksum that is wrong.
    pub wrong: &'static str,
    /// Between the parts of a line of facts.
    pub dot: &'static str,
    /// Between what is and what comes of it.
    pub dash: &'static str,
    /// Where text was cut off.
    pub cut: &'static str,
    /// In place of something that is not there.
    pub none: &'static str,
    /// Bytes of live records, on the map.
    pub live: char,
    /// Bytes of dead records, on the map.
    pub dead: char,
    /// Bytes of tombstones, on the map.
    pub tombstone: char,
    /// The segment's header, on the map.
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

/// The characters to draw with.
pub fn glyphs(look: &Look) -> &'static Glyphs {
    if look.ascii { &ASCII } else { &UNICODE }
}

/// The verdict on a checksum, as a glyph.
pub fn verdict(look: &Look, is_right: bool) -> String {
    let (text, style) =
        if is_right { (glyphs(look).right, hue::LIVE) } else { (glyphs(look).wrong, hue::BAD) };
    look.paint(text, style)
}

/// `text`, cut so that it takes at most `width` columns, with a mark where it was cut.
pub fn fit(look: &Look, text: &str, width: usize) -> String {
    clip(text, width, glyphs(look).cut)
}

/// The blanks that are missing to make `text` `width` columns wide.
pub fn padding(text: &str, width: usize) -> std::iter::RepeatN<char> {
    std::iter::repeat_n(' ', width.saturating_sub(text.width()))
}
