//! The records of another store's data files.

use std::io;

use super::reading::unread;
use super::{At, Spot, Taken};
use crate::shell::commands::transfer::files::{DataFile, Files};
use crate::shell::commands::transfer::rows::Row;
use crate::shell::commands::transfer::walk::{Found, Walk, record_len_max};
use crate::shell::lang::failure::Failure;
use crate::shell::term::interrupt::Interrupt;

/// The records of another store's files.
pub struct Records {
    files: Files,
    /// How many of the files were begun.
    begun: usize,
    walk: Option<Walk>,
    /// The bytes of the files before this one.
    done_len: u64,
    total_len: u64,
    record_len_max: u64,
    interrupt: Interrupt,
    at: u64,
}

impl Records {
    /// The records of `files`, each of which can be opened; their values have at most `value_len_max` bytes.
    pub fn open(files: Files, value_len_max: u64, interrupt: Interrupt) -> Result<Self, Failure> {
        let record_len_max = record_len_max(value_len_max);
        let (begun, walk, done_len, total_len, at) = (0, None, 0, 0, 0);
        let mut records = Self { files, begun, walk, done_len, total_len, record_len_max, interrupt, at };
        for file in &records.files.files {
            records.total_len += records.walk(file)?.len();
        }
        Ok(records)
    }

    fn walk(&self, file: &DataFile) -> Result<Walk, Failure> {
        let walk = file
            .open()
            .and_then(|file| Walk::of(file, self.files.format, self.record_len_max, &self.interrupt));
        walk.map_err(|error| Failure::file("read", &file.path, &error))
    }

    /// Opens the file after the present one; `false` when there is none.
    fn open_next(&mut self) -> Result<bool, Failure> {
        self.done_len += self.walk.take().map_or(0, |walk| walk.len());
        let Some(file) = self.files.files.get(self.begun) else { return Ok(false) };
        self.walk = Some(self.walk(file)?);
        self.begun += 1;
        Ok(true)
    }

    fn name(&self) -> &str {
        &self.files.files.get(self.begun.saturating_sub(1)).expect("a file was begun").name
    }

    /// The next record; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Taken<'_>>, Failure> {
        while self.walk.as_ref().is_none_or(|walk| walk.at() >= walk.len()) {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        let name = self.files.files.get(self.begun - 1).map(|file| file.name.as_str()).unwrap_or_default();
        let Some(walk) = &mut self.walk else { return Ok(None) };
        self.at = walk.at();
        let found = walk.next();
        let failed = |error: io::Error| unread(name, &error);
        Ok(found.map_err(failed)?.map(|found| match found {
            Found::Record { record, .. } if record.tombstone.is_some() => Taken::Row(Row::delete(record.key)),
            Found::Record { record, .. } => Taken::Row(Row::put(record.key, record.value)),
            Found::Bad(bad) => Taken::Rejected(bad.to_string()),
        }))
    }

    /// The place of the last record.
    pub fn spot(&self) -> Spot {
        Spot { file: self.name().into(), at: At::Offset(self.at) }
    }

    /// How many bytes were read, and of how many.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let at = self.walk.as_ref().map_or(0, Walk::at);
        (self.done_len + at, Some(self.total_len))
    }
}
