//! The names of a store's files: the only place that builds one, with its inverse beside it.

use std::ffi::OsStr;
use std::fmt;

use crate::engine::location::SegmentId;

/// A file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreFile {
    /// `LOCK`: what the writer locks; holds its process id.
    Lock,
    /// `MANIFEST`: which segments are the log.
    Manifest,
    /// `MANIFEST.new`: the next MANIFEST, before it is renamed.
    ManifestNew,
    /// `logkv.toml`: options.
    Config,
    /// `000001.seg`: a segment.
    Segment(SegmentId),
}

const SEGMENT_SUFFIX: &str = ".seg";
/// Digits an id is padded to; a longer one is written in full.
const ID_DIGITS: usize = 6;

impl fmt::Display for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("LOCK"),
            Self::Manifest => f.write_str("MANIFEST"),
            Self::ManifestNew => f.write_str("MANIFEST.new"),
            Self::Config => f.write_str("logkv.toml"),
            Self::Segment(id) => write!(f, "{:0ID_DIGITS$}{SEGMENT_SUFFIX}", id.0),
        }
    }
}

impl StoreFile {
    /// The file that has this name; `None` for a name that no store gives.
    #[must_use]
    pub fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let file = match name {
            "LOCK" => Self::Lock,
            "MANIFEST" => Self::Manifest,
            "MANIFEST.new" => Self::ManifestNew,
            "logkv.toml" => Self::Config,
            _ => Self::Segment(SegmentId(name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?)),
        };
        // `1.seg` and `+00001.seg` are numbers too, but not names of ours.
        (file.to_string() == name).then_some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_parsed_back() {
        let ids = [0, 1, 999_999, 1_000_000, u64::MAX].map(|id| StoreFile::Segment(SegmentId(id)));
        let fixed = [StoreFile::Lock, StoreFile::Manifest, StoreFile::ManifestNew, StoreFile::Config];
        for file in fixed.into_iter().chain(ids) {
            assert_eq!(StoreFile::parse(OsStr::new(&file.to_string())), Some(file));
        }
    }

    #[test]
    fn names_that_only_look_like_ours_are_not() {
        for name in
            ["1.seg", "+00001.seg", "0000001.seg", "000001.SEG", "manifest", "lock", "000001.seg.bak", ""]
        {
            assert_eq!(StoreFile::parse(OsStr::new(name)), None, "{name}");
        }
    }
}
