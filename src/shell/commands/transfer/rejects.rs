//! The rows that an import rejects. Each is reported, and written to a file if the user names one.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::shell::commands::transfer::source::{FilePosition, RowPlace};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, visible};
use crate::shell::run::folder::draft::NewMode;
use crate::shell::run::folder::target::Target;
use crate::shell::run::session::Session;
use crate::shell::term::json::Object;
use crate::shell::term::units;

/// The rejected rows. None of them stays in memory.
#[derive(Debug)]
pub struct Rejects {
    count: u64,
    /// The number of further rows to report. `None` reports all.
    left: Option<u64>,
    /// The number of rows that were not reported, since the last note about them.
    unreported: u64,
    file: Option<RejectsFile>,
}

/// The file that keeps the rejected rows.
#[derive(Debug)]
struct RejectsFile {
    target: Target,
    word: Word,
}

impl RejectsFile {
    fn failed(word: &Word) -> impl Fn(io::Error) -> Failure {
        |error| match word.is_dash() {
            true => error.into(),
            false => Failure::file("write", word.path(), &error).at(word.span.clone()),
        }
    }

    /// Returns the name in messages.
    fn name(&self) -> String {
        if self.word.is_dash() { "the standard output".to_owned() } else { visible(&self.word.bytes) }
    }
}

impl Rejects {
    const REPORTED_MAX: u64 = 20;

    /// Starts without rejected rows. On a terminal, or with a file, only the first ones are
    /// reported.
    pub fn new(session: &Session, file: Option<&Word>) -> Result<Self, Failure> {
        let file = file.map(|word| keep(session, word)).transpose()?;
        Ok(Self::reporting(!io::stderr().is_terminal() && file.is_none(), file))
    }

    fn reporting(all: bool, file: Option<RejectsFile>) -> Self {
        Self { count: 0, left: (!all).then_some(Self::REPORTED_MAX), unreported: 0, file }
    }

    /// Returns the number of rejected rows.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns whether the rows are kept in a file.
    pub fn are_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Returns whether the rows go to the standard output, which then takes nothing else.
    pub fn are_printed(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.word.is_dash())
    }

    /// Adds a row with its place, its line and the reason. Reports it, up to the limit.
    pub fn add(
        &mut self,
        place: &RowPlace,
        line: &[u8],
        why: &str,
        session: &mut Session,
    ) -> Result<(), Failure> {
        if let Some(RejectsFile { target, word }) = &mut self.file {
            write_row(target, place, line, why).map_err(RejectsFile::failed(word))?;
        }
        if self.count_row() {
            match self.are_printed() {
                true => session.note(&message(place, why)),
                false => session.reject(&message(place, why), |object| fields(object, place, why)),
            }
        }
        Ok(())
    }

    /// Counts a row. Returns whether to report it.
    fn count_row(&mut self) -> bool {
        self.count += 1;
        let is_reported = self.left != Some(0);
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.unreported += u64::from(!is_reported);
        is_reported
    }

    /// Notes how many rows were not reported, at the end of an input or when an import breaks off.
    pub fn note_rest(&mut self, session: &Session, is_broken_off: bool) {
        let more = std::mem::take(&mut self.unreported);
        if more > 0 {
            let where_all = match &self.file {
                Some(_) if is_broken_off => String::new(),
                Some(file) => format!("; {} has them all", file.name()),
                None => "; --rejects FILE keeps them all".to_owned(),
            };
            let cut = session.err_look().ellipsis();
            session.note(&format!("{cut} and {} more{where_all}", units::thousands(more)));
        }
    }

    /// Renames the file to its final name.
    pub fn finish(self) -> Result<(), Failure> {
        let Some(RejectsFile { target, word }) = self.file else { return Ok(()) };
        target.finish().map(drop).map_err(RejectsFile::failed(&word))
    }

    /// Adds the state of the file to `failure`, which ended the import.
    pub fn given_up(self, failure: Failure) -> Failure {
        let Some(name) = self.file.as_ref().map(RejectsFile::name) else { return failure };
        // The rows before the failure stay imported, and the rejected ones stay in the file.
        let what = match self.finish() {
            Ok(()) => format!("{name} has the rows rejected so far"),
            Err(_) => format!("nothing was written to {name}"),
        };
        Failure { message: format!("{}; {what}", failure.message), ..failure }
    }
}

/// Writes a row to the file. The third field of a row with several lines continues on further
/// lines, as `cut` expects.
fn write_row(out: &mut impl Write, place: &RowPlace, row: &[u8], why: &str) -> io::Result<()> {
    write!(out, "{place}\t{why}")?;
    for (at, line) in row.split(|&byte| byte == b'\n').enumerate() {
        out.write_all(if at == 0 { b"\t" } else { b"\n\t\t" })?;
        out.write_all(line)?;
    }
    out.write_all(b"\n")
}

fn message(place: &RowPlace, why: &str) -> String {
    format!("{place}: rejected: {why}")
}

/// Adds the fields of a row to JSON.
fn fields<W: Write>(object: &mut Object<'_, W>, place: &RowPlace, why: &str) -> io::Result<()> {
    object.field("file", &*place.file)?;
    match place.at {
        FilePosition::Line { number, column: 1 } => object.field("row", number)?,
        FilePosition::Line { number, column } => object.field("row", number)?.field("column", column)?,
        FilePosition::Offset(offset) => object.field("offset", offset)?,
    };
    object.field("why", why).map(drop)
}

/// Fails if the file for rejected rows is one of the inputs.
pub fn refuse_source<'a>(word: &Word, mut sources: impl Iterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    if !word.is_dash() && sources.any(|source| is_same(source, word.path())) {
        let name = visible(&word.bytes);
        let failure = Failure::command(format!("{name} is an input of the import, and would be overwritten"));
        return Err(failure.at(word.span.clone()).hint("name another file for --rejects"));
    }
    Ok(())
}

/// Creates the file for rejected rows.
fn keep(session: &Session, word: &Word) -> Result<RejectsFile, Failure> {
    if word.is_dash() {
        if io::stdout().is_terminal() {
            let failure = Failure::command("--rejects - does not write raw rows to a terminal");
            return Err(failure
                .at(word.span.clone())
                .hint("without --rejects a terminal shows the first rejected rows, escaped"));
        }
        let target = Target::stdout().map_err(Failure::from)?;
        return Ok(RejectsFile { target, word: word.clone() });
    }
    let target = Target::create(word.path(), NewMode::OfDirectory, session.interrupt());
    let target = target.map_err(RejectsFile::failed(word))?;
    Ok(RejectsFile { target, word: word.clone() })
}

/// Returns whether two paths lead to the same regular file.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_reported_or_only_the_first_ones() {
        for (all, expected) in [(true, 1000), (false, Rejects::REPORTED_MAX)] {
            let mut rejects = Rejects::reporting(all, None);
            let reported = (0..1000).filter(|_| rejects.count_row()).count() as u64;
            assert_eq!((rejects.count(), reported, rejects.unreported), (1000, expected, 1000 - expected));
        }
    }
}
