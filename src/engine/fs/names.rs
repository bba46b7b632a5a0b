//! The names of a store's files. No other code builds or parses one.

use std::ffi::OsStr;
use std::fmt;

use crate::engine::base::ids::SegmentId;

/// A file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreFile {
    /// `LOCK`: the file that the writer locks. Holds its process ID.
    Lock,
    /// `MANIFEST`: the list of segments.
    Manifest,
    /// `MANIFEST.new`: the next MANIFEST, before it is renamed.
    ManifestNew,
    /// `logkv.toml`: the options.
    Config,
    /// `KEYDIR`: the keydir at one point of the log. It can be rebuilt, and deleted at any time.
    Keydir,
    /// `KEYDIR.new`: the next KEYDIR, before it is renamed.
    KeydirNew,
    /// `UNFINISHED`: a staged file of a backup, or the mark of an unfinished directory.
    Unfinished,
    /// `000001.seg`: a segment.
    Segment(SegmentId),
    /// `000001.hint`: the hint of a segment. It can be rebuilt, and deleted at any time.
    Hint(SegmentId),
}

const SEGMENT_SUFFIX: &str = ".seg";
const HINT_SUFFIX: &str = ".hint";
/// The minimum number of digits of an ID.
const ID_DIGITS: usize = 6;

impl fmt::Display for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("LOCK"),
            Self::Manifest => f.write_str("MANIFEST"),
            Self::ManifestNew => f.write_str("MANIFEST.new"),
            Self::Config => f.write_str("logkv.toml"),
            Self::Keydir => f.write_str("KEYDIR"),
            Self::KeydirNew => f.write_str("KEYDIR.new"),
            Self::Unfinished => f.write_str("UNFINISHED"),
            Self::Segment(id) => write!(f, "{:0ID_DIGITS$}{SEGMENT_SUFFIX}", id.0),
            Self::Hint(id) => write!(f, "{:0ID_DIGITS$}{HINT_SUFFIX}", id.0),
        }
    }
}

impl StoreFile {
    /// Returns the file with this name, or `None` if no store has such a file.
    #[must_use]
    pub fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let file = match name {
            "LOCK" => Self::Lock,
            "MANIFEST" => Self::Manifest,
            "MANIFEST.new" => Self::ManifestNew,
            "logkv.toml" => Self::Config,
            "KEYDIR" => Self::Keydir,
            "KEYDIR.new" => Self::KeydirNew,
            "UNFINISHED" => Self::Unfinished,
            _ => numbered(name, SEGMENT_SUFFIX)
                .map(Self::Segment)
                .or_else(|| numbered(name, HINT_SUFFIX).map(Self::Hint))?,
        };
        // `1.seg` and `+00001.seg` parse as numbers, but are not names of a store's files.
        (file.to_string() == name).then_some(file)
    }
}

/// Returns whether a new file system has this name at its root.
pub(crate) fn is_of_file_system(name: &OsStr) -> bool {
    name == "lost+found"
}

/// Parses the number before `suffix`.
fn numbered(name: &str, suffix: &str) -> Option<SegmentId> {
    name.strip_suffix(suffix)?.parse().ok().map(SegmentId).filter(|id| *id < SegmentId::END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_file() {
        let ids = [0, 1, 999_999, 1_000_000, SegmentId::END.0 - 1].map(SegmentId);
        let numbered = ids.into_iter().flat_map(|id| [StoreFile::Segment(id), StoreFile::Hint(id)]);
        let fixed = [
            StoreFile::Lock,
            StoreFile::Manifest,
            StoreFile::ManifestNew,
            StoreFile::Config,
            StoreFile::Keydir,
            StoreFile::KeydirNew,
            StoreFile::Unfinished,
        ];
        for file in fixed.into_iter().chain(numbered) {
            assert_eq!(StoreFile::parse(OsStr::new(&file.to_string())), Some(file));
        }
    }

    #[test]
    fn a_similar_name_is_not_the_name_of_a_file() {
        let strangers = "1.seg +00001.seg 0000001.seg 000001.SEG manifest lock 000001.seg.bak .seg \
                         1.hint +00001.hint 0000001.hint 000001.HINT 000001.hint.new .hint 000001 \
                         keydir KEYDIR.bak KEYDIR.new.new";
        for name in strangers.split(' ').chain([""]) {
            assert_eq!(StoreFile::parse(OsStr::new(name)), None, "{name}");
        }
    }
}
