//! Segments, as a person names them.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use logkv::fs::StoreFile;
use logkv::{Location, SegmentId};

use super::command;
use super::failure::Failure;
use super::grid::hang;
use super::output::{Mode, Output};
use super::style::hue;
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

/// Says where the log is known to be damaged, and what to do about it, to a person.
pub fn write_damage(out: &mut Output, damage: &[Location]) -> io::Result<()> {
    if damage.is_empty() || out.mode != Mode::Table {
        return Ok(());
    }
    let mut ids: Vec<_> = damage.iter().map(|at| at.segment).collect();
    ids.dedup();
    let (places, look) = (units::count(damage.len() as u64, "damaged range"), out.look);
    let text =
        format!("{places} in {}: verify says what is wrong, repair keeps all that is intact", names(&ids));
    for line in hang(look.width, "", 0, text.split(' ')).lines() {
        writeln!(out, "{}", look.paint(line, hue::BAD))?;
    }
    Ok(())
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
