//! `get` and `exists`: read keys.

use std::io::{self, Write};

use logkv::{At, Entry};

use super::point::{AT, gone, past, point_asked_for};
use super::words::{HEX, arguments, may_replace};
use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes, YES};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::nearest::nearest;
use crate::shell::lang::words::{Word, quote, shown};
use crate::shell::run::absence::{absent, explain_absence};
use crate::shell::run::folder::draft::NewMode;
use crate::shell::run::folder::target::Target;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::view::contains;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::units;

pub const GET: Command = Command {
    name: "get",
    aliases: &[],
    group: Group::Data,
    signature: "KEY… [--at SEQ|TIME] [-o|--output FILE [-y|--yes]] [--hex]",
    summary: "Prints the value of a key",
    help: "Prints the value of each key. A missing key prints (nil) in mode table, a note on \
           standard error in mode plain, and null in mode json. A one-shot get of a missing key \
           exits with 1.\n\n\
           Mode plain prints the bytes and a newline, mode raw only the bytes. Mode json has \
           expires_ms if the key expires.",
    examples: &[
        Example { line: "get user:1", does: "prints the value" },
        Example { line: "get user:1 --at 120", does: "prints the value after record 120" },
        Example {
            line: "get photo -o photo.jpg",
            does: "writes the value to a file, and asks before it replaces one",
        },
        Example { line: "get --hex 00ff", does: "prints the value of the two-byte key 00 ff" },
    ],
    flags: &[
        AT,
        Flag {
            name: "output",
            short: Some('o'),
            takes: Takes::File,
            doc: "Writes the value to this file; - is standard output",
        },
        YES,
        HEX,
    ],
    args: &[ArgKind::Key],
    arity: Arity::at_least(1),
    needs: Needs::Reading,
    run: Run::Keys { run: run_get, plain: |session, keys| get(session, keys) },
};

pub const EXISTS: Command = Command {
    name: "exists",
    aliases: &[],
    group: Group::Data,
    signature: "KEY… [--hex]",
    summary: "Prints whether a key exists",
    help: "Prints yes or no for each key, or 1 or 0 in mode plain. A one-shot exists of a \
           missing key exits with 1.",
    examples: &[Example { line: "exists user:1", does: "prints yes or no" }],
    flags: &[HEX],
    args: &[ArgKind::Key],
    arity: Arity::at_least(1),
    needs: Needs::Reading,
    run: Run::Itself(run_exists),
};

fn run_get(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let keys = arguments(invocation)?;
    let at = point_asked_for(session, invocation)?;
    if let Some(file) = invocation.value("output") {
        return get_into_file(session, &keys, file, at);
    }
    match at {
        Some(at) => get_at(session, &keys, at),
        None => get(session, &keys),
    }
}

/// Prints the value of each key, from the open batch if it has one.
fn get(session: &mut Session, keys: &[impl AsRef<[u8]>]) -> Result<Outcome, Failure> {
    /// The maximum number of values held at once. Without mapped segments, each takes memory.
    const AT_ONCE: usize = 64;
    let mut worst = Outcome::Done;
    if session.has_batch() || session.out.mode == Mode::Json {
        for key in keys {
            let result = get_with_details(session, key.as_ref());
            worst = worst.max(unless_damaged(session, result)?);
        }
        return Ok(worst);
    }
    let store = session.store()?;
    for keys in keys.chunks(AT_ONCE) {
        for (key, found) in keys.iter().zip(store.get_many(keys)?) {
            let result = match found {
                Ok(Some(value)) => Ok(print_value(&mut session.out, key.as_ref(), &value, None)?),
                Ok(None) => missing(session, key.as_ref(), NIL),
                Err(error) => Err(Failure::of_key(&error, key.as_ref())),
            };
            worst = worst.max(unless_damaged(session, result)?);
        }
    }
    Ok(worst)
}

/// Prints the value of each key at the point `at`.
fn get_at(session: &mut Session, keys: &[Vec<u8>], at: At) -> Result<Outcome, Failure> {
    let past = past(session, at)?;
    let mut worst = Outcome::Done;
    for key in keys {
        let result = match past.get(key) {
            Ok(Some(entry)) => Ok(print_entry(&mut session.out, key, &entry)?),
            Ok(None) => not_there(session, key, NIL),
            Err(error) => Err(gone(error, key)),
        };
        worst = worst.max(unless_damaged(session, result)?);
    }
    Ok(worst)
}

/// Reports an unreadable value, so that the remaining keys follow. Returns other failures.
pub fn unless_damaged(session: &mut Session, result: Result<Outcome, Failure>) -> Result<Outcome, Failure> {
    result.or_else(|failure| match failure.is_of_one_record {
        true => {
            session.fail_in_part(&failure);
            Ok(Outcome::Done)
        }
        false => Err(failure),
    })
}

/// Prints the value of one key from the open batch or the store, with details in JSON.
fn get_with_details(session: &mut Session, key: &[u8]) -> Result<Outcome, Failure> {
    match session.change_of(key) {
        Some(Some((value, expires_ms))) => {
            let details = ValueDetails { written: None, expires_ms };
            Ok(print_value(&mut session.out, key, &value, Some(details))?)
        }
        Some(None) => missing(session, key, NIL),
        None => match session.store()?.get_entry(key).map_err(|error| Failure::of_key(&error, key))? {
            Some(entry) => Ok(print_entry(&mut session.out, key, &entry)?),
            None => missing(session, key, NIL),
        },
    }
}

fn print_entry(out: &mut Output, key: &[u8], entry: &Entry) -> io::Result<Outcome> {
    let Entry { meta, value } = entry;
    let details = ValueDetails { written: Some((meta.seq.0, meta.time_ms)), expires_ms: meta.expires_ms };
    print_value(out, key, value, Some(details))
}

/// Details of a value in JSON.
#[derive(Default)]
struct ValueDetails {
    /// The sequence number and time of the record. A value of the open batch has none.
    written: Option<(u64, u64)>,
    expires_ms: Option<u64>,
}

fn print_value(
    out: &mut Output,
    key: &[u8],
    value: &[u8],
    details: Option<ValueDetails>,
) -> io::Result<Outcome> {
    if out.alone(value)? {
        return Ok(Outcome::Done);
    }
    let ValueDetails { written, expires_ms } = details.unwrap_or_default();
    let mut answer = out.answer();
    answer.json("key", key).json("value", value);
    answer.json("seq", written.map(|(seq, _)| seq)).json("time_ms", written.map(|(_, time_ms)| time_ms));
    if let Some(expires_ms) = expires_ms {
        answer.json("expires_ms", expires_ms);
    }
    answer.end()?;
    Ok(Outcome::Done)
}

/// The text for a missing value in table mode.
pub const NIL: &str = "(nil)";

/// Reports a missing key, as `nil` in table mode, with the reason or a similar key.
pub fn missing(session: &mut Session, key: &[u8], nil: &str) -> Result<Outcome, Failure> {
    let outcome = not_there(session, key, nil)?;
    if !explain_absence(session, key)?
        && session.out.is_table()
        && let Some(near) = near_key(session, key)?
    {
        session.flush();
        session.note(&format!("hint: did you mean {near}?"));
    }
    Ok(outcome)
}

/// Reports a missing key, as `nil` in table mode.
pub fn not_there(session: &mut Session, key: &[u8], nil: &str) -> Result<Outcome, Failure> {
    let mut answer = session.out.answer();
    if !answer.say(|_| nil).json("key", key).json("value", FieldValue::Nothing).end()? {
        session.flush();
        session.note(&format!("not found: {}", shown(key)));
    }
    absent(session)
}

/// Returns a similar key. Searches the first keys that share the first half of `key`.
fn near_key(session: &Session, key: &[u8]) -> Result<Option<String>, Failure> {
    const KEYS_SEEN_MAX: usize = 1000;
    let store = session.store()?;
    let Ok(text) = str::from_utf8(key) else {
        return Ok(None);
    };
    let start = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    // Damage to another key is not a failure of this command.
    let Ok(keys) = store.keys_with_prefix(&key[..start]) else {
        return Ok(None);
    };
    let is_deleted = |key: &[u8]| session.change_of(key) == Some(None);
    let keys = keys.take(KEYS_SEEN_MAX).flatten().filter(|entry| !is_deleted(&entry.key));
    let keys: Vec<_> = keys.map(|entry| String::from_utf8(entry.key.to_vec()).unwrap_or_default()).collect();
    Ok(nearest(text, keys.iter().map(String::as_str)).map(|near| quote(near.as_bytes())))
}

fn get_into_file(
    session: &mut Session,
    keys: &[Vec<u8>],
    file: &Word,
    at: Option<At>,
) -> Result<Outcome, Failure> {
    let [key] = keys else {
        return Err(Failure::usage("--output takes one key").at(file.span.clone()));
    };
    let pending = session.change_of(key);
    let value = match (pending, at) {
        (Some(change), _) => change.map(|(value, _)| value),
        (None, Some(at)) => {
            past(session, at)?.get(key).map_err(|error| gone(error, key))?.map(|entry| entry.value)
        }
        (None, None) => session.store()?.get(key).map_err(|error| Failure::of_key(&error, key))?,
    };
    let is_dash = file.is_dash();
    let Some(value) = value else {
        if is_dash {
            // The reader would take other output for the value.
            session.note(&format!("not found: {}", shown(key)));
            return absent(session);
        }
        return missing(session, key, NIL);
    };
    if is_dash {
        if session.out.is_terminal && session.out.mode != Mode::Raw {
            let failure = Failure::usage("-o - writes raw bytes; on a terminal it needs mode raw");
            return Err(failure.at(file.span.clone()));
        }
        session.out.write_all(&value)?;
        return Ok(Outcome::Done);
    }
    if !may_replace(session, file)? {
        session.note("nothing was written");
        return Ok(Outcome::Done);
    }
    let write = || {
        let mut target = Target::create(file.path(), NewMode::Umask, session.interrupt())?;
        target.write_all(&value)?;
        target.finish()
    };
    write().map_err(|error| Failure::file("write", file.path(), &error).at(file.span.clone()))?;
    let len = value.len() as u64;
    let mut answer = session.out.answer();
    answer.say(|_| format!("wrote {}", units::bytes(len))).json("key", &**key).json("bytes", len).end()?;
    Ok(Outcome::Done)
}

fn run_exists(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let mut worst = Outcome::Done;
    for key in &arguments(invocation)? {
        let result = print_exists(session, key);
        worst = worst.max(unless_damaged(session, result)?);
    }
    Ok(worst)
}

fn print_exists(session: &mut Session, key: &[u8]) -> Result<Outcome, Failure> {
    let exists = contains(session, key)?;
    let mut answer = session.out.answer();
    answer.say(|_| if exists { "yes" } else { "no" }).json("key", key).field("exists", exists).end()?;
    if exists {
        return Ok(Outcome::Done);
    }
    let outcome = absent(session)?;
    explain_absence(session, key)?;
    Ok(outcome)
}
