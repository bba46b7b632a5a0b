//! The interpretation of arguments: keys, values, times and files.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::shell::lang::command::{Flag, Takes};
use crate::shell::lang::failure::{Failure, plain_words};
use crate::shell::lang::glob::Glob;
use crate::shell::lang::times::{self, TtlError};
use crate::shell::lang::words::{Word, is_digits, named, shown};
use crate::shell::run::folder::{Folder, TargetPath, is_of_store};
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::input::Input;

/// The flag for hexadecimal arguments.
pub const HEX: Flag = Flag {
    name: "hex",
    short: None,
    takes: Takes::Nothing,
    doc: "Reads arguments as hexadecimal: 00ff is two bytes",
};

/// The flag that selects keys by their prefix.
pub const PREFIX: Flag = Flag {
    name: "prefix",
    short: None,
    takes: Takes::Key,
    doc: "Selects the keys that start with these bytes; * has no special meaning",
};

/// Returns the pattern of `pattern` or `--prefix`, or `None` without either.
pub fn keys_asked(invocation: &Invocation, pattern: Option<&Word>) -> Result<Option<Glob>, Failure> {
    match (pattern, invocation.value(PREFIX.name)) {
        (Some(_), Some(prefix)) => {
            let message = format!("{} takes either a PATTERN or --prefix KEY", invocation.command.name);
            Err(Failure::usage(message).at(prefix.span.clone()))
        }
        (Some(pattern), None) => Glob::of(pattern).map(Some),
        (None, Some(prefix)) => Ok(Some(Glob::starting_with(&bytes_of(prefix, invocation)?))),
        (None, None) => Ok(None),
    }
}

/// Returns the bytes of all arguments.
pub fn arguments(invocation: &Invocation) -> Result<Vec<Vec<u8>>, Failure> {
    invocation.args.iter().map(|word| bytes_of(word, invocation)).collect()
}

/// Returns the bytes of an argument, decoded with `--hex`.
pub fn bytes_of(word: &Word, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
    if !invocation.has("hex") {
        return Ok(word.bytes.clone());
    }
    let digits: Option<Vec<u8>> = word
        .bytes
        .iter()
        .map(|&byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(Failure::usage(format!(
            "--hex takes two hexadecimal digits a byte, not {}",
            shown(&word.bytes)
        ))
        .at(word.span.clone())),
    }
}

/// Parses the time to live `word` of the flag or command `what`. Returns `None` for `never`.
pub fn ttl_of(word: &Word, what: &str) -> Result<Option<Duration>, Failure> {
    times::time_to_live(&word.bytes).map_err(|error| {
        let given = shown(&word.bytes);
        let text = match error {
            TtlError::Malformed => {
                format!("{what} takes a duration such as 90s or 1h30m, seconds, or never, not {given}")
            }
            TtlError::TooLong => logkv::Error::ExpiryTooLate.to_string(),
        };
        Failure::usage(text).at(word.span.clone())
    })
}

/// Parses milliseconds since 1970, or a time as in [`times::moment`]. Returns `None` for `never`.
pub fn moment_of(word: &Word, what: &str, now_ms: u64) -> Result<Option<u64>, Failure> {
    let text = str::from_utf8(&word.bytes).unwrap_or_default();
    if text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let is_number = is_digits(text);
    let ms = if is_number { text.parse().ok() } else { times::moment(text, now_ms) };
    ms.map(Some).ok_or_else(|| {
        let given = shown(&word.bytes);
        let year = text.trim_start_matches('+').split('-').next().unwrap_or_default();
        let text = if is_number {
            logkv::Error::ExpiryTooLate.to_string()
        } else if year.len() > 4 && is_digits(year) {
            format!(
                "{what} takes dates up to the year 9999, and later times in milliseconds since 1970, \
                 not {given}"
            )
        } else {
            format!(
                "{what} takes 2030-01-31, 2030-01-31T12:00Z, tomorrow, 'in 10m', never, or milliseconds \
                 since 1970, not {given}"
            )
        };
        Failure::usage(text).at(word.span.clone())
    })
}

/// Opens standard input for the argument `word`. Fails with `hint` if it holds the commands.
pub fn stdin(session: &Session, word: &Word, hint: &str) -> Result<Input, Failure> {
    if session.reads_stdin() {
        let message = "- is standard input, which holds the commands";
        return Err(Failure::command(message).at(word.span.clone()).hint(hint));
    }
    Input::stdin().map_err(|error| unread_stdin(&error))
}

/// Creates a failure from an error in reading standard input.
pub fn unread_stdin(error: &io::Error) -> Failure {
    Failure::command(format!("cannot read standard input: {}", plain_words(error)))
}

/// Returns the path of the directory or archive `word`.
pub fn place_of(word: &Word) -> Result<&Path, Failure> {
    if word.bytes.is_empty() {
        return Err(Failure::usage("the name of the directory is empty").at(word.span.clone()));
    }
    Ok(word.path())
}

/// Creates a file for results. Refuses a file of the store, which this would truncate.
pub fn create(session: &Session, word: &Word) -> Result<File, Failure> {
    refuse_own_file(session, word)?;
    let path = word.path();
    let create = || match Folder::place(path)? {
        TargetPath::File(folder, name) => folder.rewrite(&name),
        TargetPath::Special(special) => special.open(session.interrupt()),
    };
    create().map_err(|error| Failure::file("write", path, &error).at(word.span.clone()))
}

/// Returns whether the file `word` may be written. Asks before it replaces an existing file.
pub fn may_replace(session: &mut Session, word: &Word) -> Result<bool, Failure> {
    refuse_own_file(session, word)?;
    // An unwritable path needs no question: the write itself reports it.
    let is_there = match Folder::place(word.path()) {
        Ok(TargetPath::File(folder, name)) => folder.stat(&name).is_ok_and(|stat| stat.is_some()),
        Ok(TargetPath::Special(_)) | Err(_) => false,
    };
    if !is_there {
        return Ok(true);
    }
    session
        .confirm(&format!("replace {}", named(&word.bytes)))
        .map_err(|failure| failure.at(word.span.clone()))
}

/// Fails if `word` names a file of the store.
pub fn refuse_own_file(session: &Session, word: &Word) -> Result<(), Failure> {
    if is_of_store(session.dir(), word.path()) {
        let message = format!("{} is a file of the store, and cannot be replaced", named(&word.bytes));
        let failure = Failure::command(message).at(word.span.clone());
        return Err(failure.hint("choose a path outside of the store's directory"));
    }
    Ok(())
}
