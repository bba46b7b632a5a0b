//! The records of another store's data files, as a source of an import.

use std::io;

use super::item::{FilePosition, ImportItem, RowPlace};
use super::text::unread;
use crate::shell::commands::transfer::data_files::{DataFile, DataFiles};
use crate::shell::commands::transfer::rows::ImportRow;
use crate::shell::commands::transfer::scanner::{FileScanner, Scanned, record_len_max};
use crate::shell::lang::failure::Failure;
use crate::shell::term::interrupt::Interrupt;

/// The records of another store's data files.
pub struct ForeignRecords {
    files: DataFiles,
    /// The number of files opened.
    begun: usize,
    scanner: Option<FileScanner>,
    /// The length of the files before the current one.
    done_len: u64,
    total_len: u64,
    record_len_max: u64,
    interrupt: Interrupt,
    at: u64,
}

impl ForeignRecords {
    /// Opens each file once to check it. Values have at most `value_len_max` bytes.
    pub fn open(files: DataFiles, value_len_max: u64, interrupt: Interrupt) -> Result<Self, Failure> {
        let record_len_max = record_len_max(value_len_max);
        let begun = 0;
        let scanner = None;
        let done_len = 0;
        let total_len = 0;
        let at = 0;
        let mut records = Self { files, begun, scanner, done_len, total_len, record_len_max, interrupt, at };
        for file in &records.files.files {
            records.total_len += records.scanner(file)?.len();
        }
        Ok(records)
    }

    fn scanner(&self, file: &DataFile) -> Result<FileScanner, Failure> {
        let scanner = file
            .open()
            .and_then(|file| FileScanner::of(file, self.files.format, self.record_len_max, &self.interrupt));
        scanner.map_err(|error| Failure::file("read", &file.path, &error))
    }

    /// Opens the next file. Returns `false` after the last.
    fn open_next(&mut self) -> Result<bool, Failure> {
        self.done_len += self.scanner.take().map_or(0, |scanner| scanner.len());
        let Some(file) = self.files.files.get(self.begun) else { return Ok(false) };
        self.scanner = Some(self.scanner(file)?);
        self.begun += 1;
        Ok(true)
    }

    fn name(&self) -> &str {
        &self.files.files.get(self.begun.saturating_sub(1)).expect("a file was opened").name
    }

    /// Returns the next record, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<ImportItem<'_>>, Failure> {
        while self.scanner.as_ref().is_none_or(|scanner| scanner.at() >= scanner.len()) {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        let name = self.files.files.get(self.begun - 1).map(|file| file.name.as_str()).unwrap_or_default();
        let Some(scanner) = &mut self.scanner else { return Ok(None) };
        self.at = scanner.at();
        let found = scanner.next();
        let failed = |error: io::Error| unread(name, &error);
        Ok(found.map_err(failed)?.map(|found| match found {
            Scanned::Record { record, .. } if record.tombstone.is_some() => {
                ImportItem::Row(ImportRow::delete(record.key))
            }
            Scanned::Record { record, .. } => ImportItem::Row(ImportRow::put(record.key, record.value)),
            Scanned::Bad(bad) => ImportItem::Rejected(bad.to_string()),
        }))
    }

    /// Returns the place of the last record.
    pub fn place(&self) -> RowPlace {
        RowPlace { file: self.name().into(), at: FilePosition::Offset(self.at) }
    }

    /// Returns the number of bytes read, and of all bytes.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let at = self.scanner.as_ref().map_or(0, FileScanner::at);
        (self.done_len + at, Some(self.total_len))
    }
}
