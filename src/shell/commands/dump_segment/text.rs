//! Words and numbers shared by the views of `dump-segment`.

use std::borrow::Cow;

use logkv::Location;
use logkv::inspect::{Fate, Kind, RecordItem, Role};

use super::paint::{fit, hue};
use crate::shell::lang::words;
use crate::shell::term::style::{Hue, Look};

/// Returns `PUT`, `DEL`, or the number of a kind that this version skips.
pub fn kind(kind: Kind) -> Cow<'static, str> {
    match kind {
        Kind::Put => "PUT".into(),
        Kind::Delete => "DEL".into(),
        Kind::Other(number) => format!("x{number:02x}").into(),
    }
}

/// Returns the role of a segment's file as one word.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Sealed => "sealed",
        Role::Orphan => "orphan",
        Role::Unknown => "unlisted",
    }
}

/// The state of a record: a word, a reason, and the record that is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordState {
    /// `LIVE`, `dead`, `tomb`, `expired`, `BAD` or `skip`.
    pub word: &'static str,
    /// The reason in a few words, before the other record.
    pub why: &'static str,
    /// The record that killed this one, or that this one hides.
    pub other: Option<Location>,
}

impl RecordState {
    /// Returns the state of a record of this fate.
    pub fn of(fate: Fate) -> Self {
        let state = |word, why, other| Self { word, why, other };
        match fate {
            Fate::Live => state("LIVE", "", None),
            Fate::ReplacedBy(by) => state("dead", "replaced by", Some(by)),
            Fate::DeletedBy(by) => state("dead", "deleted by", Some(by)),
            Fate::Tombstone { hides: Some(put) } => state("tomb", "hides", Some(put)),
            Fate::Tombstone { hides: None } => state("tomb", "hides nothing that is left", None),
            Fate::TombstoneReplacedBy(by) => state("dead", "delete replaced by", Some(by)),
            Fate::Expired => state("expired", "", None),
            Fate::Damaged => state("BAD", "damaged", None),
            Fate::Skipped => state("skip", "of a newer version", None),
        }
    }

    /// Returns the word for programs.
    pub fn name(&self) -> String {
        self.word.to_lowercase()
    }

    /// Returns the full text, such as `dead  replaced by 3:0x00003a`.
    pub fn long(&self) -> String {
        self.with(self.why)
    }

    /// Returns the text with the words cut, such as `dead  repl… 3:0x00003a`. The location
    /// is never cut.
    pub fn short(&self, look: &Look) -> String {
        const WORDS_WIDTH: usize = "hides".len();
        match self.other {
            Some(_) => self.with(&fit(look, self.why, WORDS_WIDTH)),
            None => self.with(&fit(look, self.why, WORDS_WIDTH + 1 + "1:0x000040".len())),
        }
    }

    pub fn hue(&self) -> Hue {
        match self.word {
            "LIVE" => hue::LIVE,
            "tomb" => hue::TOMBSTONE,
            "BAD" => hue::BAD,
            _ => hue::DIM,
        }
    }

    fn with(&self, why: &str) -> String {
        let other = self.other.map(|place| place.to_string()).unwrap_or_default();
        let reason = [why, &other].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        if reason.is_empty() { self.word.to_owned() } else { format!("{:<4}  {reason}", self.word) }
    }
}

/// Formats a checksum in hexadecimal.
pub fn checksum(crc: u32) -> String {
    format!("{crc:08x}")
}

/// Quotes the start of a key or value. No column shows more, and quoting a large value is slow.
pub fn preview(bytes: &[u8]) -> String {
    const LEN_MAX: usize = 256;
    words::quote(&bytes[..bytes.len().min(LEN_MAX)])
}

/// Returns whether the checksum of the whole record is right.
pub fn is_sound(record: &RecordItem) -> bool {
    record.stored_rcrc == record.computed_rcrc
}

#[cfg(test)]
mod tests {
    use super::*;
    use logkv::SegmentId;

    #[test]
    fn a_state_names_the_record_that_explains_it() {
        let by = Location { segment: SegmentId(3), offset: 0x3a };
        assert_eq!(RecordState::of(Fate::ReplacedBy(by)).long(), "dead  replaced by 3:0x00003a");
        let look = Look { color: false, ascii: false, width: 80 };
        let short = |fate| RecordState::of(fate).short(&look);
        assert_eq!(short(Fate::ReplacedBy(by)), "dead  repl… 3:0x00003a");
        assert_eq!(short(Fate::DeletedBy(by)), "dead  dele… 3:0x00003a");
        assert_eq!(short(Fate::Tombstone { hides: Some(by) }), "tomb  hides 3:0x00003a");
        assert_eq!(short(Fate::Tombstone { hides: None }), "tomb  hides nothing t…");
        assert_eq!((short(Fate::Live), short(Fate::Expired)), ("LIVE".to_owned(), "expired".to_owned()));
        assert_eq!(RecordState::of(Fate::Tombstone { hides: Some(by) }).long(), "tomb  hides 3:0x00003a");
        assert_eq!(
            RecordState::of(Fate::Tombstone { hides: None }).long(),
            "tomb  hides nothing that is left"
        );
        assert_eq!(RecordState::of(Fate::Live).long(), "LIVE");
    }
}
