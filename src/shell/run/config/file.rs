//! Options files. Another user may have placed the one in the data directory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use logkv::Visible;
use logkv::fs::{self, Access, FileSystem, OsFileSystem, PathKind, StoreFile};

use crate::shell::lang::failure::{Failure, Kind, plain_words};
use crate::shell::lang::words::visible;
use crate::shell::term::units;

/// Returns the options in the file `path`.
pub fn read_file(path: &Path) -> Result<(PathBuf, toml::Table), Failure> {
    let file = File::open(path)
        .map_err(|error| Failure { kind: Kind::Usage, ..Failure::file("open", path, &error) })?;
    parse_file(path, file)
}

/// The options file of the data directory.
#[derive(Debug)]
pub enum DirFile {
    /// The directory has none.
    None,
    /// The file was not read, for this reason.
    Distrusted(String),
    /// The options in the file.
    Read(PathBuf, toml::Table),
}

/// Reads the options file of the data directory `dir`. If another user owns the directory or can
/// write to it, the file is read only if `is_trusted`.
pub fn read_dir_file(dir: &Path, is_trusted: bool) -> Result<DirFile, Failure> {
    let path = dir.join(StoreFile::Config.to_string());
    // Opening the store later reports why the directory cannot be opened.
    let Ok(PathKind::Directory) = OsFileSystem.kind(dir) else { return Ok(DirFile::None) };
    let opened = match is_trusted {
        true => OsFileSystem.open_trusted_directory(dir),
        false => OsFileSystem.open_directory(dir),
    };
    let Ok(directory) = opened else { return Ok(DirFile::None) };
    let distrust = directory.distrust().map_err(|error| Failure::file("open", dir, &error))?;
    // Links are not followed: otherwise an error message could show a line of a file that only this
    // user may read.
    let file = match directory.open(StoreFile::Config, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DirFile::None),
        opened => opened,
    };
    if let Some(reason) = distrust.filter(|_| !is_trusted) {
        let [path, dir] = [path.as_path(), dir].map(Visible::path);
        return Ok(DirFile::Distrusted(format!("{path} was not read: {dir} {reason}")));
    }
    let file = file.map_err(|error| Failure { kind: Kind::Open, ..Failure::file("open", &path, &error) })?;
    parse_file(&path, Bytes { file: &*file, at: 0 }).map(|(path, table)| DirFile::Read(path, table))
}

/// A file of the data directory, read from its start.
struct Bytes<'a> {
    file: &'a dyn fs::File,
    at: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

fn parse_file(path: &Path, file: impl Read) -> Result<(PathBuf, toml::Table), Failure> {
    const LEN_MAX: u64 = 64 << 10;
    let name = visible(path.as_os_str().as_encoded_bytes());
    let mut text = String::new();
    let len = file.take(LEN_MAX + 1).read_to_string(&mut text).map_err(|error| {
        let failure = Failure::usage(format!("cannot read {name}: {}", plain_words(&error)));
        // Text that is not UTF-8 is a mistake of the user. Other errors are errors of the disk.
        let kind = if error.kind() == io::ErrorKind::InvalidData { Kind::Usage } else { Kind::Open };
        Failure { kind, ..failure }
    })?;
    if len as u64 > LEN_MAX {
        return Err(Failure::usage(format!("{name} is larger than {}", units::bytes(LEN_MAX))));
    }
    let table = text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let failure = Failure::usage(format!("{name}:{line}: {}", error.message()));
        failure.hint("a line is NAME = VALUE, with text in quotes: sync = \"never\"")
    })?;
    Ok((path.to_owned(), table))
}
