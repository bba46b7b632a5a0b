//! What the words of a call stand for.

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

/// The flag that makes arguments hexadecimal.
pub const HEX: Flag = Flag {
    name: "hex",
    short: None,
    takes: Takes::Nothing,
    doc: "Arguments are hexadecimal: 00ff is two bytes",
};

/// The flag for keys that start alike.
pub const PREFIX: Flag = Flag {
    name: "prefix",
    short: None,
    takes: Takes::Key,
    doc: "The keys that start with these bytes; a * in them is a plain *",
};

/// The keys that `pattern` or `--prefix` selects; all keys if there is neither.
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

/// The bytes of all arguments.
pub fn arguments(invocation: &Invocation) -> Result<Vec<Vec<u8>>, Failure> {
    invocation.args.iter().map(|word| bytes_of(word, invocation)).collect()
}

/// The bytes that an argument stands for.
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
        _ => Err(Failure::usage(format!("--hex takes two digits a byte, not {}", shown(&word.bytes)))
            .at(word.span.clone())),
    }
}

/// The time to live that `what` was given; `None` for never.
pub fn ttl_of(word: &Word, what: &str) -> Result<Option<Duration>, Failure> {
    times::time_to_live(&word.bytes).map_err(|error| {
        let given = shown(&word.bytes);
        let text = match error {
            TtlError::Malformed => {
                format!("{what} takes a time such as 90s or 1h30m, seconds, or never, not {given}")
            }
            TtlError::TooLong => logkv::Error::ExpiryTooLate.to_string(),
        };
        Failure::usage(text).at(word.span.clone())
    })
}

/// A moment, in milliseconds since 1970: given so, or as [`times::moment`] reads it. `None` for never.
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
            format!("{what} takes dates up to the year 9999, and later times in milliseconds since 1970, not {given}")
        } else {
            format!(
                "{what} takes 2030-01-31, 2030-01-31T12:00Z, tomorrow, 'in 10m', never, or milliseconds \
                 since 1970, not {given}"
            )
        };
        Failure::usage(text).at(word.span.clone())
    })
}

/// The standard input, for `word`; fails with `hint` if the commands come from there.
pub fn stdin(session: &Session, word: &Word, hint: &str) -> Result<Input, Failure> {
    if session.reads_stdin() {
        let message = "- is the standard input, and the commands come from there";
        return Err(Failure::command(message).at(word.span.clone()).hint(hint));
    }
    Input::stdin().map_err(|error| unread_stdin(&error))
}

/// That the standard input cannot be read.
pub fn unread_stdin(error: &io::Error) -> Failure {
    Failure::command(format!("cannot read the standard input: {}", plain_words(error)))
}

/// The directory or archive that `word` names.
pub fn place_of(word: &Word) -> Result<&Path, Failure> {
    if word.bytes.is_empty() {
        return Err(Failure::usage("the name of the directory is empty").at(word.span.clone()));
    }
    Ok(word.path())
}

/// Makes the file that results are to go into. A file of the store itself is refused: it would be emptied under the
/// engine's hands.
pub fn create(session: &Session, word: &Word) -> Result<File, Failure> {
    refuse_own_file(session, word)?;
    let path = word.path();
    let create = || match Folder::place(path)? {
        TargetPath::File(folder, name) => folder.rewrite(&name),
        TargetPath::Special(special) => special.open(session.interrupt()),
    };
    create().map_err(|error| Failure::file("write", path, &error).at(word.span.clone()))
}

/// Whether the file `word` may be written: where there is one, a person says whether to replace it, or `-y` does.
pub fn may_replace(session: &mut Session, word: &Word) -> Result<bool, Failure> {
    refuse_own_file(session, word)?;
    // No question about a path that cannot be written at all: the attempt reports it.
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

/// Fails when `word` names a file of the store itself.
pub fn refuse_own_file(session: &Session, word: &Word) -> Result<(), Failure> {
    if is_of_store(session.dir(), word.path()) {
        let message = format!("{} is a file of the store itself, and is not written to", named(&word.bytes));
        let failure = Failure::command(message).at(word.span.clone());
        return Err(failure.hint("outside of the store's directory any name is free"));
    }
    Ok(())
}
