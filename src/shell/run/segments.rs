//! Segments in commands and messages.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use logkv::fs::StoreFile;
use logkv::{Error, Location, SegmentId};

use super::session::Session;
use crate::shell::lang::command;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::Word;
use crate::shell::term::fit::hang;
use crate::shell::term::output::Output;
use crate::shell::term::style::hue;
use crate::shell::term::units;

/// Parses `3`, `000003`, or the file name `000003.seg`, an argument of `command`.
pub fn parse(word: &Word, command: &str) -> Result<SegmentId, Failure> {
    match StoreFile::parse(OsStr::from_bytes(&word.bytes)) {
        Some(StoreFile::Segment(id)) => Ok(id),
        _ => command::number(word, command).map(SegmentId),
    }
}

/// Returns the failure for a missing segment. It names the segments that replaced it in this
/// session, and those that exist.
pub fn missing(id: SegmentId, session: &mut Session) -> Failure {
    session.update_compactions();
    let failure = Failure::from(Error::NoSuchSegment { segment: id });
    let message = match session.compactions().successors(id).as_deref() {
        None => failure.message.clone(),
        Some([]) => format!("{}: it was compacted away, and none of its records was needed", failure.message),
        Some(into) => format!("{}: it was compacted into {}", failure.message, numbers(into)),
    };
    let failure = Failure { message, ..failure };
    let names =
        std::fs::read_dir(session.dir()).into_iter().flatten().flatten().map(|entry| entry.file_name());
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

/// Points `failure` at the argument that names `segment`, if one does.
pub fn point_at(args: &[Word], segment: SegmentId, failure: Failure) -> Failure {
    match args.iter().find(|word| parse(word, "").is_ok_and(|id| id == segment)) {
        Some(word) => failure.at(word.span.clone()),
        None => failure,
    }
}

/// Returns `3`, `3 to 5, 9`.
pub fn numbers(ids: &[SegmentId]) -> String {
    units::ranges(&ids.iter().map(|id| id.0).collect::<Vec<_>>())
}

/// Returns `3,4,5`, for programs.
pub fn listed(ids: &[SegmentId]) -> String {
    ids.iter().map(SegmentId::to_string).collect::<Vec<_>>().join(",")
}

/// Returns `segment 3`, `segments 3 to 5, 9`.
pub fn names(ids: &[SegmentId]) -> String {
    match ids {
        [id] => format!("segment {id}"),
        ids => format!("segments {}", numbers(ids)),
    }
}

/// Returns the end of a sentence about `count` compacted segments: ` into 4`, or `: nothing of it
/// was needed`.
pub fn made_of(count: usize, into: Option<&str>) -> String {
    match into {
        Some(into) => format!(" into {into}"),
        None if count == 1 => ": nothing of it was needed".to_owned(),
        None => ": nothing of them was needed".to_owned(),
    }
}

/// Prints the number of damaged ranges and the commands that help.
pub fn write_damage(out: &mut Output, damage: &[Location]) -> io::Result<()> {
    if damage.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<_> = damage.iter().map(|at| at.segment).collect();
    ids.dedup();
    let places = units::count(damage.len() as u64, "damaged range");
    let text = format!("{places} in {}: verify lists the damage, repair saves what is intact", names(&ids));
    out.say(|look| look.paint_lines(&hang(look.width, "", 0, text.split(' ')), hue::BAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_segments_are_named_as_a_range() {
        let named = |ids: &[u64]| names(&ids.iter().copied().map(SegmentId).collect::<Vec<_>>());
        assert_eq!(named(&[7]), "segment 7");
        assert_eq!(named(&[9, 2, 3]), "segments 9, 2 to 3");
    }
}
