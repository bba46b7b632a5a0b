//! Escaping of text for terminals.

use std::fmt::{self, Write as _};
use std::path::Path;

/// Bytes escaped for a terminal. Control characters, invisible characters and invalid UTF-8 show as
/// `\xHH`; everything else is unchanged. Errors show paths and bytes from disk in this form.
///
/// ```
/// assert_eq!(logkv::Visible(b"caf\xc3\xa9 \x1b[2J\xff").to_string(), r"café \x1b[2J\xff");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a [u8]);

impl<'a> Visible<'a> {
    /// Returns the escaped form of a path.
    #[must_use]
    pub fn path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_encoded_bytes())
    }

    /// Returns whether a character is visible and does not affect its neighbours.
    ///
    /// Control characters would control the terminal. Bidirectional controls would reorder the
    /// text. Zero-width characters would make two different keys look the same.
    #[must_use]
    pub fn is(c: char) -> bool {
        !matches!(c,
            '\0'..='\x1f' | '\x7f'..='\u{9f}'
            // Soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel separator.
            | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{180e}'
            // Zero-width spaces and joiners, directional marks and controls, line and paragraph
            // separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Byte order mark, interlinear annotation, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    }
}

/// A number with a comma between each group of three digits.
///
/// ```
/// assert_eq!(logkv::Grouped(1_234_567).to_string(), "1,234,567");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
        f.write_str(first)?;
        let mut groups = rest.as_bytes().chunks(3).map(|group| str::from_utf8(group).unwrap_or_default());
        groups.try_for_each(|group| write!(f, ",{group}"))
    }
}

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        };
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if Self::is(c) {
                    f.write_char(c)?;
                } else {
                    hex(f, c.encode_utf8(&mut [0; 4]).as_bytes())?;
                }
            }
            hex(f, chunk.invalid())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_spaces_and_its_control_bytes_are_escaped() {
        let shown = Visible(b"cannot open /a b/\x1b[2J\xff").to_string();
        assert_eq!(shown, r"cannot open /a b/\x1b[2J\xff");
    }

    #[test]
    fn every_character_and_every_byte_shows_as_visible_characters() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = Visible(c.encode_utf8(&mut [0; 4]).as_bytes()).to_string();
            assert!(shown.chars().all(Visible::is), "{c:?}");
            assert!(!c.is_control() || shown.starts_with("\\x"), "{c:?}");
        }
        for byte in 0x80..=0xff {
            assert_eq!(Visible(&[byte]).to_string(), format!("\\x{byte:02x}"));
        }
    }
}
