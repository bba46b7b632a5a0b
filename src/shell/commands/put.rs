//! `put` and `del`: write and delete keys.

use std::io;

use logkv::{Batch, Clock, Expiry, SystemClock};

use super::keys;
use super::words::{HEX, PREFIX, arguments, bytes_of, keys_asked, moment_of, stdin, ttl_of, unread_stdin};
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes, YES};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::glob::Glob;
use crate::shell::lang::words::plain::Plain;
use crate::shell::lang::words::{Style, Word, shown};
use crate::shell::run::session::{Command, CommandRequest, Invocation, Run, Session};
use crate::shell::run::view::Rows;
use crate::shell::run::write::mutation::Mutation;
use crate::shell::run::write::reply::print_matching_deleted;
use crate::shell::term::input::Input;
use crate::shell::term::units;

pub const PUT: Command = Command {
    name: "put",
    aliases: &["set"],
    group: Group::Data,
    signature: "KEY VALUE… | KEY - | KEY --file FILE [--ttl DURATION|--until TIME] [--nx|--xx] [--hex]",
    summary: "Sets keys to values",
    help: "Sets each key to the value after it. Several pairs are written all or none.\n\n\
           The value may come from a file, or from standard input (-) unless that holds the commands. \
           It is stored unchanged.\n\n\
           With --ttl the keys expire after a duration (90s, 1h30m, or a number of seconds). With \
           --until they expire at a time: a date (in UTC unless it has an offset) or milliseconds since \
           1970. A time in the past expires them at once. Without either flag they never expire, and an \
           earlier expiry is removed.\n\n\
           If --nx or --xx prevents the write, a note on standard error says so, and a one-shot put \
           exits with 1.\n\n\
           Mode plain prints nothing. Mode json prints ok, seq, segment and offset, or queued in a batch.",
    examples: &[
        Example { line: "put user:1 alice", does: "sets one key" },
        Example { line: "put a 1 b 2", does: "sets two keys, both or none" },
        Example { line: "put bin \"\\x00\\xff\"", does: "sets a value of two bytes" },
        Example { line: "put photo --file photo.jpg", does: "reads the value from a file" },
        Example { line: "put lock me --nx", does: "sets the key only if it does not exist" },
        Example { line: "put session:7 alice --ttl 10m", does: "sets a key that expires after ten minutes" },
        Example { line: "put offer half --until 2030-01-31", does: "sets a key that expires on that day" },
    ],
    flags: &[
        Flag {
            name: "file",
            short: None,
            takes: Takes::File,
            doc: "Reads the value from this file; - is standard input",
        },
        Flag { name: "ttl", short: None, takes: Takes::Duration, doc: "The keys expire after this time" },
        Flag { name: "until", short: None, takes: Takes::Time, doc: "The keys expire at this time" },
        Flag {
            name: "nx",
            short: None,
            takes: Takes::Nothing,
            doc: "Sets the key only if it does not exist",
        },
        Flag { name: "xx", short: None, takes: Takes::Nothing, doc: "Sets the key only if it exists" },
        HEX,
    ],
    args: &[ArgKind::Key, ArgKind::Value],
    arity: Arity::at_least(1),
    needs: Needs::NewStore,
    run: Run::Write { read: read_put, plain: Some(Plain::Pairs) },
};

pub const DEL: Command = Command {
    name: "del",
    aliases: &["delete", "rm"],
    group: Group::Data,
    signature: "KEY… | --glob PATTERN | --prefix KEY | --all [-y|--yes] [--hex]",
    summary: "Deletes keys",
    help: "Deletes all of the keys or none, and prints how many existed.\n\n\
           With a pattern, a prefix or --all it asks first, and needs -y without a terminal. Mode plain \
           prints only the number.\n\n\
           --all deletes every key in one step, whatever their number. After a crash either all keys \
           exist or none. The space is free at once, and get --at and diff no longer see the deleted \
           records.",
    examples: &[
        Example { line: "del user:1 user:2", does: "deletes two keys" },
        Example { line: "del --glob 'tmp:*'", does: "deletes the keys that start with tmp:" },
        Example { line: "del --all", does: "deletes every key" },
    ],
    flags: &[
        Flag {
            name: "glob",
            short: None,
            takes: Takes::Glob,
            doc: "Deletes the keys that match this pattern",
        },
        PREFIX,
        Flag { name: "all", short: None, takes: Takes::Nothing, doc: "Deletes every key" },
        YES,
        HEX,
    ],
    args: &[ArgKind::Key],
    arity: Arity::at_least(0),
    needs: Needs::Store,
    run: Run::Write { read: read_del, plain: Some(Plain::Keys) },
};

fn read_put(session: &mut Session, invocation: &Invocation) -> Result<CommandRequest, Failure> {
    // Usage errors come before any input is read.
    let expiry = match (invocation.value("ttl"), invocation.value("until")) {
        (None, None) => None,
        (Some(ttl), None) => ttl_of(ttl, "--ttl")?.map(Expiry::In),
        (None, Some(until)) => {
            // A missing store is created only after the arguments are checked.
            let now_ms = session.store().map_or_else(|_| SystemClock.now_ms(), |store| store.now_ms());
            moment_of(until, "--until", now_ms)?.map(Expiry::At)
        }
        (Some(_), Some(until)) => {
            let failure = Failure::usage("put takes either --ttl DURATION or --until TIME");
            return Err(failure.at(until.span.clone()));
        }
    };
    let pairs = pairs(session, invocation)?;
    let if_absent = match (invocation.has("nx"), invocation.has("xx")) {
        (false, false) => return Ok(CommandRequest::Write(Mutation::Put(batch_of(&pairs, expiry)))),
        (true, true) => return Err(misused_condition(invocation)),
        (if_absent, _) => if_absent,
    };
    match <[Pair; 1]>::try_from(pairs) {
        Ok([(key, value)]) => Ok(CommandRequest::Write(Mutation::PutIf { key, value, expiry, if_absent })),
        Err(_) => Err(misused_condition(invocation)),
    }
}

fn batch_of(pairs: &[Pair], expiry: Option<Expiry>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        match expiry {
            Some(expiry) => batch.put_expiring(key, value, expiry),
            None => batch.put(key, value),
        };
    }
    batch
}

fn misused_condition(invocation: &Invocation) -> Failure {
    let failure = Failure::usage("--nx and --xx take one KEY VALUE pair, and exclude each other");
    failure.at(invocation.name.clone())
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// Returns the KEY VALUE pairs of a `put`, with values from arguments, a file or standard input.
fn pairs(session: &Session, invocation: &Invocation) -> Result<Vec<Pair>, Failure> {
    session.check_writes()?;
    let args = &invocation.args;
    let usage = |message: &str| {
        Failure::usage(message).at(invocation.name.clone()).hint(format!("usage: {}", PUT.usage()))
    };
    if let Some(file) = invocation.value("file") {
        let [key] = args.as_slice() else {
            return Err(usage("--file takes one KEY and no VALUE"));
        };
        let value = value_from(session, file, "logkv DIR put KEY - reads it")?;
        return Ok(vec![(bytes_of(key, invocation)?, value)]);
    }
    if !args.len().is_multiple_of(2) {
        let failure = usage("put takes pairs of KEY and VALUE; quote a value with blanks");
        return Err(match invocation.value("ttl") {
            Some(ttl) if ttl.style == Style::Bare => {
                failure.hint("quote a time with blanks, too: --ttl '1h 30m'")
            }
            _ => failure,
        });
    }
    match args.as_slice() {
        [key, dash] if dash.is_dash() => {
            let value = value_from(session, dash, "use --file FILE, or quote the dash")?;
            Ok(vec![(bytes_of(key, invocation)?, value)])
        }
        _ => {
            let bytes = arguments(invocation)?;
            Ok(bytes.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
    }
}

/// Reads a value from the file `word`, or from standard input. `hint` is for a standard input that
/// holds the commands.
fn value_from(session: &Session, word: &Word, hint: &str) -> Result<Vec<u8>, Failure> {
    if word.is_dash() {
        let input = stdin(session, word, hint)?;
        return read_value(session, Ok(input), |error| unread_stdin(&error));
    }
    let path = word.path();
    let failed = |error: io::Error| Failure::file("read", path, &error).at(word.span.clone());
    read_value(session, Input::path(path), failed)
}

/// Reads all of `input` as a value. Stops at the length limit.
fn read_value(
    session: &Session,
    input: io::Result<Input>,
    failed: impl FnOnce(io::Error) -> Failure,
) -> Result<Vec<u8>, Failure> {
    match input.and_then(|input| input.rest(session.config().options.value_len_max, session.interrupt())) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => {
            let limit = units::thousands(session.config().options.value_len_max);
            let failure = Failure::command(format!("the value is longer than the limit of {limit} bytes"));
            Err(failure.hint("--value-limit raises it"))
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::interrupted()),
        Err(error) => Err(failed(error)),
    }
}

fn read_del(session: &mut Session, invocation: &Invocation) -> Result<CommandRequest, Failure> {
    session.check_writes()?;
    let named = arguments(invocation)?;
    let is_matching = keys_asked(invocation, invocation.value("glob"))?.is_some();
    match (is_matching, invocation.has("all"), named.is_empty()) {
        (false, false, false) => {
            let mut batch = Batch::new();
            for key in &named {
                batch.delete(key);
            }
            Ok(CommandRequest::Write(Mutation::Delete(batch)))
        }
        (true, false, true) => Ok(CommandRequest::Itself(delete_asked)),
        (false, true, true) => Ok(CommandRequest::Itself(delete_all)),
        _ => Err(misused_del(invocation)),
    }
}

/// Deletes the keys that match a pattern or start with a prefix.
fn delete_asked(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let pattern = invocation.value("glob");
    let Some(glob) = keys_asked(invocation, pattern)? else { return Err(misused_del(invocation)) };
    let (what, none) = match pattern.map(|pattern| shown(&pattern.bytes)) {
        Some(pattern) => (format!("matching {pattern}"), format!("no keys match {pattern}")),
        None => {
            let prefix = shown(&glob.literal_prefix());
            (format!("starting with {prefix}"), format!("no keys start with {prefix}"))
        }
    };
    delete_matching(session, glob, &what, &none)
}

fn misused_del(invocation: &Invocation) -> Failure {
    let failure = Failure::usage("del takes either KEYs, --glob PATTERN, --prefix KEY or --all");
    failure.at(invocation.name.clone()).hint(format!("usage: {}", DEL.usage()))
}

/// Deletes all keys in one step, or key by key in an open batch.
fn delete_all(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    if session.has_batch() {
        return delete_matching(session, Glob::starting_with(b""), "in the store", "no keys");
    }
    let store = session.store()?;
    let count = store.len();
    let question = format!("delete all {}", units::count(count, "key"));
    if count > 0 && !session.confirm(&question)? {
        session.note("nothing was deleted");
        return Ok(Outcome::Done);
    }
    let deleted = usize::try_from(store.clear()?).unwrap_or(usize::MAX);
    print_matching_deleted(session, deleted, deleted, "no keys")?;
    Ok(Outcome::Done)
}

/// Deletes the keys that match `glob`. `what` describes them in the question, and `none` is the
/// result without a match.
fn delete_matching(session: &mut Session, glob: Glob, what: &str, none: &str) -> Result<Outcome, Failure> {
    // The question counts the same keys that are deleted.
    let snapshot = session.store()?.snapshot()?;
    let walk = keys::matching(glob);
    let rows = |session: &Session| walk.rows(&snapshot, session.overlay(), session.interrupt());
    if !session.settings().yes {
        let count = keys::count(&mut rows(session)?, &mut None)?;
        let question = format!("delete {} {what}", units::count(count, "key"));
        if count > 0 && !session.confirm(&question)? {
            session.note("nothing was deleted");
            return Ok(Outcome::Done);
        }
    }
    delete_rows(session, rows(session)?, none)
}

/// Deletes the keys of `rows` in batches, so that memory does not grow with their number.
fn delete_rows(session: &mut Session, mut rows: Rows, none: &str) -> Result<Outcome, Failure> {
    let mut damage = None;
    let mut deleted = 0;
    let mut named = 0;
    loop {
        let keys = next_keys(&mut rows, &mut damage).map_err(|failure| match failure.kind {
            Kind::Interrupted => Failure::interrupted_after(deleted as u64),
            _ => failure,
        })?;
        if keys.is_empty() {
            break;
        }
        named += keys.len();
        if let Some(transaction) = session.batch_mut() {
            keys.iter().for_each(|key| transaction.overlay.delete(key));
            deleted += keys.len();
            continue;
        }
        let mut batch = Batch::new();
        for key in &keys {
            batch.delete(key);
        }
        deleted += session.store()?.write(&batch)?.map_or(0, |commit| commit.deleted);
    }
    print_matching_deleted(session, deleted, named, none)?;
    damage.map_or(Ok(Outcome::Done), Err)
}

/// Returns the keys of the next batch.
fn next_keys(rows: &mut Rows, damage: &mut Option<Failure>) -> Result<Vec<Vec<u8>>, Failure> {
    /// Large enough to share an fsync, small enough to stop soon after Ctrl-C.
    const BATCH_COUNT: usize = 4096;
    let mut keys = Vec::new();
    while keys.len() < BATCH_COUNT
        && let Some(row) = rows.next_sound(damage)?
    {
        keys.push(row.key.to_vec());
    }
    Ok(keys)
}
