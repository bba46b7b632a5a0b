//! The rows that an import does not take: each is told with its place and why, and kept in a file where one is named.

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

/// The rows that did not go in. None of them is held.
#[derive(Debug)]
pub struct Rejects {
    count: u64,
    /// How many more are told; `None`: all.
    left: Option<u64>,
    /// How many were not, and nobody knows of them yet.
    untold: u64,
    file: Option<RejectsFile>,
}

/// The file that keeps all of them.
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

    /// Its name in messages.
    fn name(&self) -> String {
        if self.word.is_dash() { "the standard output".to_owned() } else { visible(&self.word.bytes) }
    }
}

impl Rejects {
    const TOLD_MAX: u64 = 20;

    /// None so far. A person, and who has them kept in `file`, is told the first of them.
    pub fn new(session: &Session, file: Option<&Word>) -> Result<Self, Failure> {
        let file = file.map(|word| keep(session, word)).transpose()?;
        Ok(Self::telling(!io::stderr().is_terminal() && file.is_none(), file))
    }

    fn telling(all: bool, file: Option<RejectsFile>) -> Self {
        Self { count: 0, left: (!all).then_some(Self::TOLD_MAX), untold: 0, file }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether their lines are kept in a file.
    pub fn are_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Whether they are printed on the standard output, and nothing else is to go there.
    pub fn are_printed(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.word.is_dash())
    }

    /// Takes note of one: where it stands, the bytes of its line, and what is wrong with it. Tells it, unless that would be too
    /// many.
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
        if self.is_told() {
            match self.are_printed() {
                true => session.note(&told(place, why)),
                false => session.reject(&told(place, why), |object| fields(object, place, why)),
            }
        }
        Ok(())
    }

    /// Counts one more; whether it is to be told.
    fn is_told(&mut self) -> bool {
        self.count += 1;
        let is_told = self.left != Some(0);
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.untold += u64::from(!is_told);
        is_told
    }

    /// Says how many were not told, at the end of a file, or where an import is broken off.
    pub fn tell_rest(&mut self, session: &Session, is_broken_off: bool) {
        let more = std::mem::take(&mut self.untold);
        if more > 0 {
            let where_all = match &self.file {
                Some(_) if is_broken_off => String::new(),
                Some(file) => format!("; {} has them all", file.name()),
                None => "; --rejects FILE keeps them all".to_owned(),
            };
            let cut = session.err_look.ellipsis();
            session.note(&format!("{cut} and {} more{where_all}", units::thousands(more)));
        }
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), Failure> {
        let Some(RejectsFile { target, word }) = self.file else { return Ok(()) };
        target.finish().map(drop).map_err(RejectsFile::failed(&word))
    }

    /// `failure`, which ended the import, with what that means for the file.
    pub fn given_up(self, failure: Failure) -> Failure {
        let Some(name) = self.file.as_ref().map(RejectsFile::name) else { return failure };
        // What went in stays, and so does what is known of what did not.
        let what = match self.finish() {
            Ok(()) => format!("{name} has the rows that were rejected until then"),
            Err(_) => format!("nothing was written to {name}"),
        };
        Failure { message: format!("{}; {what}", failure.message), ..failure }
    }
}

/// Writes one of them into the file that keeps them. A row over several lines is its third field over as many, as cut sees them.
fn write_row(out: &mut impl Write, place: &RowPlace, row: &[u8], why: &str) -> io::Result<()> {
    write!(out, "{place}\t{why}")?;
    for (at, line) in row.split(|&byte| byte == b'\n').enumerate() {
        out.write_all(if at == 0 { b"\t" } else { b"\n\t\t" })?;
        out.write_all(line)?;
    }
    out.write_all(b"\n")
}

fn told(place: &RowPlace, why: &str) -> String {
    format!("{place}: rejected: {why}")
}

/// One of them, for programs.
fn fields<W: Write>(object: &mut Object<'_, W>, place: &RowPlace, why: &str) -> io::Result<()> {
    object.field("file", &*place.file)?;
    match place.at {
        FilePosition::Line { number, column: 1 } => object.field("row", number)?,
        FilePosition::Line { number, column } => object.field("row", number)?.field("column", column)?,
        FilePosition::Offset(offset) => object.field("offset", offset)?,
    };
    object.field("why", why).map(drop)
}

/// Fails if the file that is to keep them is one of those that are read.
pub fn refuse_source<'a>(word: &Word, mut sources: impl Iterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    if !word.is_dash() && sources.any(|source| is_same(source, word.path())) {
        let name = visible(&word.bytes);
        let failure = Failure::command(format!("{name} is what is imported, and would be overwritten"));
        return Err(failure.at(word.span.clone()).hint("--rejects takes any other name"));
    }
    Ok(())
}

/// Begins the file that keeps them.
fn keep(session: &Session, word: &Word) -> Result<RejectsFile, Failure> {
    if word.is_dash() {
        if io::stdout().is_terminal() {
            let failure = Failure::command("--rejects - does not write raw rows to a terminal");
            return Err(failure
                .at(word.span.clone())
                .hint("without it a terminal shows the first ones, escaped"));
        }
        let target = Target::stdout().map_err(Failure::from)?;
        return Ok(RejectsFile { target, word: word.clone() });
    }
    let target = Target::create(word.path(), NewMode::OfDirectory, &session.interrupt);
    let target = target.map_err(RejectsFile::failed(word))?;
    Ok(RejectsFile { target, word: word.clone() })
}

/// Whether two paths lead to one regular file.
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
    fn every_row_is_told_or_no_more_than_a_person_is_shown() {
        for (all, expected) in [(true, 1000), (false, Rejects::TOLD_MAX)] {
            let mut rejects = Rejects::telling(all, None);
            let told = (0..1000).filter(|_| rejects.is_told()).count() as u64;
            assert_eq!((rejects.count(), told, rejects.untold), (1000, expected, 1000 - expected));
        }
    }
}
