//! Files of options, of which that in the data directory may have been put there by anyone.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::shell::failure::{Failure, Kind, plain_words};
use crate::shell::units;
use crate::shell::words::visible;

/// The name of the file of options in a data directory.
const FILE_NAME: &str = "logkv.toml";

/// The options that the file `path` holds.
pub fn read_file(path: &Path) -> Result<(PathBuf, toml::Table), Failure> {
    let file = File::open(path)
        .map_err(|error| Failure { kind: Kind::Usage, ..Failure::file("open", path, &error) })?;
    parse_file(path, file)
}

/// The options that the data directory `dir` holds about itself, if it does.
pub fn read_dir_file(dir: &Path) -> Result<Option<(PathBuf, toml::Table)>, Failure> {
    use rustix::fs::{Mode, OFlags};
    let path = dir.join(FILE_NAME);
    // A symlink could make an error message show a line of a file that only the reader may read, and opening a
    // FIFO without NONBLOCK would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(fd) => {
            let file = File::from(fd);
            if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                return Err(not_a_file(&path));
            }
            parse_file(&path, file).map(Some)
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(rustix::io::Errno::LOOP) => Err(not_a_file(&path)),
        // Why the directory cannot be read is told by opening it.
        Err(rustix::io::Errno::ACCESS) => Ok(None),
        Err(error) => Err(Failure::file("open", &path, &io::Error::from(error))),
    }
}

fn not_a_file(path: &Path) -> Failure {
    Failure::usage(format!("{} is not a regular file", visible(path.as_os_str().as_encoded_bytes())))
}

fn parse_file(path: &Path, file: File) -> Result<(PathBuf, toml::Table), Failure> {
    const LEN_MAX: u64 = 64 << 10;
    let name = visible(path.as_os_str().as_encoded_bytes());
    let mut text = String::new();
    let len = file
        .take(LEN_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {}", plain_words(&error))))?;
    if len as u64 > LEN_MAX {
        return Err(Failure::usage(format!("{name} is larger than {}", units::bytes(LEN_MAX))));
    }
    let table = text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Failure::usage(format!("{name}:{line}: {}", error.message()))
    })?;
    Ok((path.to_owned(), table))
}
