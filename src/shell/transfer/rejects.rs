//! The rows that an import does not take: each is told with its place and why, and kept in a file where one is named.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::shell::failure::Failure;
use crate::shell::folder::{NewMode, Target};
use crate::shell::session::Session;
use crate::shell::units;
use crate::shell::words::{Word, visible};

/// The rows that did not go in, of which none is held but the first few that a person is shown.
#[derive(Debug)]
pub struct Rejects {
    count: u64,
    /// The first ones, which are told at the end; `None`: all are told as they come.
    first: Option<Vec<String>>,
    file: Option<File>,
}

/// The file that keeps all of them.
#[derive(Debug)]
struct File {
    target: Target,
    word: Word,
}

impl File {
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
    const TOLD_MAX: usize = 20;

    /// None so far. A person, and who has them kept in `file`, is told the first of them.
    pub fn new(session: &Session, file: Option<&Word>) -> Result<Self, Failure> {
        let file = file.map(|word| keep(session, word)).transpose()?;
        Ok(Self::telling(!io::stderr().is_terminal() && file.is_none(), file))
    }

    fn telling(all: bool, file: Option<File>) -> Self {
        Self { count: 0, first: (!all).then(Vec::new), file }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether they are printed on the standard output, and nothing else is to go there.
    pub fn are_printed(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.word.is_dash())
    }

    /// Takes note of one: where it stands, the bytes of its line, and what is wrong with it. Tells it, if that is not left
    /// for later.
    pub fn add(&mut self, place: &str, line: &[u8], why: &str, session: &mut Session) -> Result<(), Failure> {
        self.add_telling(place, line, why, |told| session.reject(told))
    }

    fn add_telling(
        &mut self,
        place: &str,
        line: &[u8],
        why: &str,
        tell: impl FnOnce(&str),
    ) -> Result<(), Failure> {
        self.count += 1;
        if let Some(File { target, word }) = &mut self.file {
            let line = [place.as_bytes(), b"\t", why.as_bytes(), b"\t", line, b"\n"].concat();
            target.write_all(&line).map_err(File::failed(word))?;
        }
        let told = || format!("{place}: rejected: {why}");
        match &mut self.first {
            None => tell(&told()),
            Some(first) if first.len() < Self::TOLD_MAX => first.push(told()),
            Some(_) => {}
        }
        Ok(())
    }

    /// Tells those that were not told as they came, at the end of an import, or when it was broken off.
    pub fn tell(&self, session: &mut Session, is_broken_off: bool) {
        let Some(first) = &self.first else { return };
        match self.are_printed() {
            true => first.iter().for_each(|told| session.note(told)),
            false => first.iter().for_each(|told| session.reject(told)),
        }
        let more = self.count - first.len() as u64;
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
        let Some(File { target, word }) = self.file else { return Ok(()) };
        target.finish().map(drop).map_err(File::failed(&word))
    }

    /// `failure`, which ended the import, with what that means for the file.
    pub fn given_up(self, failure: Failure) -> Failure {
        let Some(name) = self.file.as_ref().map(File::name) else { return failure };
        // What went in stays, and so does what is known of what did not.
        let what = match self.finish() {
            Ok(()) => format!("{name} has the rows that were rejected until then"),
            Err(_) => format!("nothing was written to {name}"),
        };
        Failure { message: format!("{}; {what}", failure.message), ..failure }
    }
}

/// Fails if the file that is to keep them is one of those that are read.
pub fn refuse_source<'a>(word: &Word, mut sources: impl Iterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    if !word.is_dash() && sources.any(|source| is_same(source, word.path())) {
        let failure = Failure::command("this is what is imported, and would be overwritten");
        return Err(failure.at(word.span.clone()));
    }
    Ok(())
}

/// Begins the file that keeps them.
fn keep(session: &Session, word: &Word) -> Result<File, Failure> {
    if word.is_dash() {
        if io::stdout().is_terminal() {
            let failure = Failure::command("rows as they were are nothing for a terminal");
            return Err(failure.at(word.span.clone()).hint("a terminal shows the first of them by itself"));
        }
        let target = Target::stdout().map_err(Failure::from)?;
        return Ok(File { target, word: word.clone() });
    }
    let target = Target::create(word.path(), NewMode::OfDirectory, &session.interrupt);
    let target = target.map_err(File::failed(word))?;
    Ok(File { target, word: word.clone() })
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
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_row_is_told_as_it_comes_or_held_with_no_more_than_a_person_is_shown() {
        for (all, told, held) in [(true, 1000, None), (false, 0, Some(Rejects::TOLD_MAX))] {
            let (mut rejects, seen) = (Rejects::telling(all, None), Cell::new(0));
            for _ in 0..1000 {
                let added = rejects.add_telling("-:7", b"row", "why", |_| seen.set(seen.get() + 1));
                added.expect("there is no file to write to");
            }
            assert_eq!((rejects.count(), seen.get()), (1000, told));
            assert_eq!(rejects.first.map(|first| first.len()), held);
        }
    }
}
