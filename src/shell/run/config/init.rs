//! The options file that `config --init` writes.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use logkv::Visible;
use logkv::fs::{Access, Directory, File, FileSystem, OsFileSystem, PathKind, StoreFile};

use super::rows::ROWS;
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::words::visible;

/// The width of a comment.
const WIDTH: usize = 78;

/// Writes a file with all options commented out into the data directory `dir`, and creates the
/// directory if it is missing. Fails if the file exists. The file is durable on return.
pub fn init(dir: &Path, is_trusted: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure { kind: Kind::Open, ..Failure::file("open", dir, &error) };
    if OsFileSystem.kind(dir).map_err(failed)? == PathKind::Missing {
        OsFileSystem
            .create_directory(dir, is_trusted)
            .map_err(|error| Failure { kind: Kind::Open, ..Failure::file("create", dir, &error) })?;
    }
    let directory = match is_trusted {
        true => OsFileSystem.open_trusted_directory(dir),
        false => OsFileSystem.open_directory(dir),
    };
    let directory = directory.map_err(failed)?;
    let distrust = directory.distrust().map_err(failed)?;
    check(dir, &*directory, distrust.filter(|_| !is_trusted))?;
    let path = dir.join(StoreFile::Config.to_string());
    write(&directory).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::command(format!("{} exists already, and was not changed", Visible::path(&path)))
        }
        _ => Failure::file("write", &path, &error),
    })
}

/// Checks that the directory is a store, or empty so that it can become one.
fn check(dir: &Path, directory: &dyn Directory, distrust: Option<String>) -> Result<(), Failure> {
    let refused = |reason: String| {
        let message = format!("{} {reason}", Visible::path(dir));
        Failure { kind: Kind::Open, ..Failure::command(message) }
    };
    if let Some(reason) = distrust {
        return Err(refused(reason).hint("--trust opens it anyway"));
    }
    let names = directory.names().map_err(|error| Failure::file("read", dir, &error))?;
    let is_ours = |name: &std::ffi::OsString| name == "lost+found" || StoreFile::parse(name).is_some();
    let is_store = names.iter().any(|name| StoreFile::parse(name) == Some(StoreFile::Manifest));
    match names.iter().find(|name| !is_ours(name)) {
        Some(stranger) if !is_store => {
            let stranger = visible(stranger.as_encoded_bytes());
            Err(refused(format!("is not a logkv store: it holds other files ({stranger})")))
        }
        _ => Ok(()),
    }
}

fn write(directory: &Arc<dyn Directory>) -> io::Result<()> {
    let file = directory.open(StoreFile::Config, Access::Create)?;
    let written =
        write_all(&*file, text().as_bytes()).and_then(|()| file.sync()).and_then(|()| directory.sync());
    if written.is_err() {
        // A partial file would prevent the next attempt.
        let _ = directory.remove(StoreFile::Config);
    }
    written
}

fn write_all(file: &dyn File, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        match file.write_at(&bytes[at..], at as u64)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            len => at += len,
        }
    }
    Ok(())
}

/// Returns the text of the file: each allowed option with its purpose, its values and its default.
fn text() -> String {
    let mut text = comment(
        "The options of this store. To set one, remove the # before its name. A flag, or LOGKV_… in the \
         environment, wins over this file.",
    );
    for row in ROWS.iter().filter(|row| row.from_dir) {
        let value = toml::Value::String(row.default());
        let doc = comment(&format!("{}.", row.doc));
        let allowed = comment(&format!("Takes {}.", row.allowed));
        let _ = write!(text, "\n{doc}{allowed}#{} = {value}\n", row.name);
    }
    let others: Vec<_> = ROWS.iter().filter(|row| !row.from_dir).map(|row| row.name).collect();
    text + "\n"
        + &comment(&format!("Set by a flag, the environment or --config FILE alone: {}.", others.join(", ")))
}

fn comment(sentence: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in sentence.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::shell::run::config::resolve::{OptionInputs, resolve};

    #[test]
    fn every_option_in_the_file_has_its_default_and_is_accepted() {
        let is_prose = |line: &&str| line.starts_with("# ") || line.is_empty();
        let text = text();
        let set: Vec<_> = text.lines().filter(|line| !is_prose(line)).map(|line| &line[1..]).collect();
        assert_eq!(set.len(), ROWS.iter().filter(|row| row.from_dir).count());
        let table = set.join("\n").parse().expect("the file is TOML");
        let file = Some((PathBuf::from("logkv.toml"), table));
        let inputs = OptionInputs { flag: &|_| None, env: &|_| None, file, file_is_in_dir: true };
        let config = resolve(&inputs).expect("all values are accepted");
        for (row, setting) in ROWS.iter().zip(config.settings) {
            assert_eq!(setting.value, row.default(), "{}", row.name);
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
