//! Messages on standard error: failures with caret and hint, and notes.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::rc::Rc;

use logkv::fs::StoreFile;
use logkv::{FoundDamage, OpenReport, TornTail};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::failure::Failure;
use super::words::visible;
use crate::shell::term::fit::{clip, hang};
use crate::shell::term::style::{Look, hue};
use crate::shell::term::units::{bytes, count};

/// The start of a hint with the usage of a command.
pub const USAGE_HINT: &str = "usage: ";

/// The origin of a line, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinePlace {
    /// The prompt or the command line.
    Nowhere,
    /// A script.
    Line {
        /// The script's name, or `-` for standard input.
        file: Rc<str>,
        /// The line number, from 1.
        number: u64,
    },
}

/// Writes `failure`, with a caret under the faulty part of `line`.
pub fn write_failure(failure: &Failure, line: &[u8], place: &LinePlace, look: &Look) {
    let mut text = String::new();
    if let LinePlace::Line { file, number } = place {
        text.push_str(&format!("{}:{number}: ", visible(file.as_bytes())));
    }
    let width = line_width(look);
    let label = text.width() + "error:".len();
    text.push_str(&look.paint("error:", hue::BAD));
    text.push_str(&format!(" {}\n", broken(&failure.message, label + 1, width)));
    if let Some(span) = &failure.span
        && !line.is_empty()
    {
        let (shown, caret) = caret(line, span, look);
        text.push_str(&format!("  {shown}\n  {}\n", look.paint(caret, hue::BAD)));
    }
    if let Some(hint) = &failure.hint {
        // Another hint may quote a key with this character, which must stay unchanged.
        let is_usage = hint.starts_with(USAGE_HINT);
        let hint = if is_usage { hint.replace('…', look.ellipsis()) } else { hint.clone() };
        let hint = broken(&hint, "hint: ".len(), width);
        text.push_str(&format!("{} {hint}\n", look.paint("hint:", hue::HEAD)));
    }
    to_stderr(&text);
}

/// Writes a note, or a warning in colour.
pub fn write_note(text: &str, look: &Look) {
    const WARNING: &str = "warning:";
    if let Some(rest) = text.strip_prefix(WARNING) {
        let rest = broken(rest.trim_start(), WARNING.len() + 1, line_width(look));
        return to_stderr(&format!("{} {rest}\n", look.paint(WARNING, hue::WARNING)));
    }
    to_stderr(&format!("{}\n", look.paint(broken(text, 0, line_width(look)), hue::DIM)));
}

/// Returns the width of the terminal. Without one, a message stays on one line, for programs.
fn line_width(look: &Look) -> usize {
    if io::stderr().is_terminal() { look.width } else { usize::MAX }
}

/// Breaks `text`, which starts at column `start`, between words.
fn broken(text: &str, start: usize, width: usize) -> String {
    const WIDTH_LEAST: usize = 20;
    let width = width.saturating_sub(start).max(WIDTH_LEAST);
    let lines = hang(width, "", 0, visible(text.as_bytes()).split(' '));
    lines.replace('\n', &format!("\n{:start$}", ""))
}

fn to_stderr(text: &str) {
    // A closed standard error cannot be reported anywhere.
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Returns the part of `line` around `span` that fits the width, and a line of carets below it.
fn caret(line: &[u8], span: &Range<usize>, look: &Look) -> (String, String) {
    const INDENT: usize = 2;
    const CARETS_MAX: usize = 40;
    const CHAR_LEN_MAX: usize = 4;
    let ellipsis = look.ellipsis();
    let room = look.width.saturating_sub(INDENT + 1).max(CARETS_MAX / 2);
    let start = span.start.min(line.len());
    let end = span.end.clamp(start, line.len());
    // A line may be very long. Only the part that may fit is examined.
    let near = room.saturating_mul(CHAR_LEN_MAX) + 1;
    let before = &line[start.saturating_sub(near)..start];
    let [under, after] = [start..end, end..line.len()]
        .map(|part| &line[part.start..part.end.min(part.start.saturating_add(near))]);
    let [before, under, after] = [before, under, after].map(visible);
    let under = clip(&under, CARETS_MAX.min(room / 2), ellipsis);
    let before = clip_start(&before, (room - under.width()) * 2 / 3, ellipsis);
    let after = clip(&after, room - under.width() - before.width(), ellipsis);
    let carets = "^".repeat(under.width().max(1));
    (format!("{before}{under}{after}"), format!("{}{carets}", " ".repeat(before.width())))
}

fn clip_start(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = ellipsis.width();
    let kept = text.char_indices().rev().take_while(|(_, c)| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    let start = kept.last().map_or(text.len(), |(at, _)| at);
    format!("{ellipsis}{}", &text[start..])
}

/// Describes a torn tail that a reader ignores.
fn torn_end(torn: &TornTail) -> String {
    let len = bytes(torn.len);
    let at = torn.at;
    let intact = count(torn.intact_count, "intact record");
    match torn.intact_count {
        0 => format!(
            "note: the last writer was interrupted: an unfinished write of {len} at {at} is ignored (damage \
             in the last synced writes looks the same)"
        ),
        _ => format!(
            "warning: the last writer was interrupted, or the last synced writes are damaged: {len} at {at} \
             are ignored, with {intact} after the first damage; opening for writing cuts them off, and \
             repair keeps them"
        ),
    }
}

/// Describes how opening for writing recovered the end of the log.
fn unclean_end(report: &OpenReport) -> String {
    let read = count(report.end_count, "record");
    let was = if report.end_count == 1 { "was" } else { "were" };
    let (kind, cut) = match &report.torn {
        None => ("note", "nothing was cut off".to_owned()),
        Some(TornTail { at, len, intact_count: 0 }) if report.outgrown => {
            let was = if *len == 1 { "was" } else { "were" };
            ("note", format!("{} at {at} {was} cut off", bytes(*len)))
        }
        Some(TornTail { at, len, intact_count: 0 }) => {
            let len = bytes(*len);
            let cut = format!(
                "an unfinished write of {len} at {at} was cut off (damage in the last synced writes looks \
                 the same)"
            );
            ("note", cut)
        }
        Some(TornTail { at, len, intact_count }) => {
            let len = bytes(*len);
            let intact = count(*intact_count, "intact record");
            let cut = format!(
                "{len} at {at} were cut off, with {intact} after the first damage: a write was interrupted, \
                 or the last synced writes were damaged"
            );
            ("warning", cut)
        }
    };
    let mut text = if report.outgrown {
        format!(
            "{kind}: the last segment is longer than when the store was closed: {read} {was} read after \
             that end, and {cut}"
        )
    } else {
        format!(
            "{kind}: the last writer did not close the store: {read} {was} read from the end of the log, \
             and {cut}"
        )
    };
    if !report.skipped.is_empty() {
        let next = report.skipped.end;
        text += &format!(
            "; the next record is number {next}, because lost writes may have used the numbers before it"
        );
    }
    text
}

/// Returns a note for each finding of `report` that the user should know.
pub fn opening(report: &OpenReport, read_only: bool) -> Vec<String> {
    let mut notes = Vec::new();
    match &report.torn {
        // While another process writes, an unclosed log is normal.
        Some(torn) if read_only => notes.push(torn_end(torn)),
        _ if report.unclean && !read_only => notes.push(unclean_end(report)),
        _ => {}
    }
    notes.extend(report.damage.iter().map(damaged));
    if !report.orphans_removed.is_empty() {
        let names = names(&report.orphans_removed);
        notes.push(format!("note: orphan files of interrupted work were deleted: {names}"));
    }
    if !report.strangers.is_empty() {
        let names = names(&report.strangers);
        notes.push(format!(
            "warning: the directory has segments of another store, which were not touched: {names}"
        ));
    }
    notes
}

/// Describes damage in the log.
pub fn damaged(found: &FoundDamage) -> String {
    let FoundDamage { at, len, damage } = found;
    let segment = at.segment;
    format!("warning: {} at {at} are damaged: {damage}; dump-segment {segment} shows them", bytes(*len))
}

fn names(segments: &[logkv::SegmentId]) -> String {
    segments.iter().map(|id| StoreFile::Segment(*id).to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    fn caret(line: &[u8], span: &Range<usize>, width: usize) -> (String, String) {
        super::caret(line, span, &Look { width, ..LOOK })
    }

    #[test]
    fn an_ascii_look_cuts_a_line_with_dots() {
        let line = [b"a".repeat(500).as_slice(), b" HERE ", b"b".repeat(500).as_slice()].concat();
        let (shown, carets) = super::caret(&line, &(501..505), &Look { ascii: true, width: 60, ..LOOK });
        assert!(shown.is_ascii() && shown.starts_with("...") && shown.ends_with("..."), "{shown}");
        assert_eq!(shown.find("HERE"), carets.find('^'));
    }

    #[test]
    fn the_caret_is_below_the_span_after_wide_and_escaped_characters() {
        assert_eq!(caret(b"put a b", &(4..5), 80), ("put a b".into(), "    ^".into()));
        assert_eq!(caret("put 日 b".as_bytes(), &(8..9), 80), ("put 日 b".into(), "       ^".into()));
        assert_eq!(caret(b"put \x1b b", &(6..7), 80), (r"put \x1b b".into(), "         ^".into()));
    }

    #[test]
    fn a_long_line_is_cut_to_the_width_around_the_span() {
        let line = [b"a".repeat(500).as_slice(), b" HERE ", b"b".repeat(500).as_slice()].concat();
        let (shown, carets) = caret(&line, &(501..505), 60);
        assert!(shown.width() <= 57, "{shown}");
        let column = carets.find('^').expect("the line has a caret");
        let under: String = shown.chars().skip(column).take(4).collect();
        assert_eq!((under.as_str(), carets.trim()), ("HERE", "^^^^"));
        assert!(caret(&line, &(0..1006), 60).0.width() <= 57);
    }
}
