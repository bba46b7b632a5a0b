//! Segments, as a person names them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use logkv::SegmentId;
use logkv::fs::StoreFile;

use super::command;
use super::failure::Failure;
use super::units;
use super::words::Word;

/// The segment that a word names: `3`, `000003`, or its file `000003.seg`. `command` is what it was given to.
pub fn parse(word: &Word, command: &str) -> Result<SegmentId, Failure> {
    match StoreFile::parse(OsStr::from_bytes(&word.bytes)) {
        Some(StoreFile::Segment(id)) => Ok(id),
        _ => command::number(word, command).map(SegmentId),
    }
}

/// `failure` to find a segment, with those that are there.
pub fn with_known(failure: Failure, dir: &Path) -> Failure {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut ids: Vec<_> = names
        .filter_map(|name| match StoreFile::parse(&name) {
            Some(StoreFile::Segment(id)) => Some(id.0),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    match ids.as_slice() {
        [] => failure,
        [id] => failure.hint(format!("there is only segment {id}")),
        ids => failure.hint(format!("there are segments {}", units::ranges(ids))),
    }
}

/// `segment 3`, `segments 3 to 5, 9`; no segment is `nothing`.
pub fn names(ids: &[SegmentId]) -> String {
    let numbers: Vec<_> = ids.iter().map(|id| id.0).collect();
    match numbers.as_slice() {
        [] => "nothing".to_owned(),
        [id] => format!("segment {id}"),
        ids => format!("segments {}", units::ranges(ids)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_named_by_their_numbers_and_neighbours_as_one() {
        let named = |ids: &[u64]| names(&ids.iter().copied().map(SegmentId).collect::<Vec<_>>());
        assert_eq!(named(&[]), "nothing");
        assert_eq!(named(&[7]), "segment 7");
        assert_eq!(named(&[9, 2, 3]), "segments 9, 2 to 3");
    }
}
