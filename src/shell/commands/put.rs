//! `put` and `del`.

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
use crate::shell::run::write::reply::tell_matching_deleted;
use crate::shell::term::input::Input;
use crate::shell::term::units;

pub const PUT: Command = Command {
    name: "put",
    aliases: &["set"],
    group: Group::Data,
    signature: "KEY VALUE… | KEY - | KEY --file FILE [--ttl DURATION|--until TIME] [--nx|--xx] [--hex]",
    summary: "Sets keys to values",
    help: "Sets each key to the value after it. Several pairs are written all or none.\n\n\
           The value may come from a file, or from the standard input (-) unless the commands come from \
           there. It is taken byte by byte.\n\n\
           With --ttl the keys expire after a duration (90s, 1h30m, or a number of seconds). With \
           --until they expire at a time: a date (UTC, unless it says otherwise) or milliseconds since \
           1970; at once if that is past. Without either they never expire, even if they had an expiry \
           before.\n\n\
           If --nx or --xx keeps a key from being set, a note on the standard error says so, and a \
           one-shot put exits with 1.\n\n\
           Mode plain prints nothing; mode json ok, seq, segment and offset, and in a batch queued.",
    examples: &[
        Example { line: "put user:1 alice", does: "sets one key" },
        Example { line: "put a 1 b 2", does: "sets two keys, both or none" },
        Example { line: "put bin \"\\x00\\xff\"", does: "any byte can be written" },
        Example { line: "put photo --file photo.jpg", does: "takes the value from a file" },
        Example { line: "put lock me --nx", does: "sets the key only if it is not there" },
        Example { line: "put session:7 alice --ttl 10m", does: "the key is gone after ten minutes" },
        Example { line: "put offer half --until 2030-01-31", does: "the key is gone from that day on" },
    ],
    flags: &[
        Flag {
            name: "file",
            short: None,
            takes: Takes::File,
            doc: "Takes the value from this file; - is the standard input",
        },
        Flag { name: "ttl", short: None, takes: Takes::Duration, doc: "The keys are gone after so long" },
        Flag { name: "until", short: None, takes: Takes::Time, doc: "The keys are gone from this time on" },
        Flag { name: "nx", short: None, takes: Takes::Nothing, doc: "Sets the key only if it is not there" },
        Flag { name: "xx", short: None, takes: Takes::Nothing, doc: "Sets the key only if it is there" },
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
    summary: "Removes keys",
    help: "Removes the keys, all or none, and prints how many existed.\n\n\
           With a pattern, a prefix or --all, it asks first; where nobody can be asked it needs -y. \
           Mode plain prints the number alone.\n\n\
           --all empties the store in one step, however much it holds. A crash leaves either everything \
           or nothing. The space is free at once, and get --at and diff no longer see what was deleted.",
    examples: &[
        Example { line: "del user:1 user:2", does: "removes two keys" },
        Example { line: "del --glob 'tmp:*'", does: "removes all keys that start with tmp:" },
        Example { line: "del --all", does: "empties the store" },
    ],
    flags: &[
        Flag {
            name: "glob",
            short: None,
            takes: Takes::Glob,
            doc: "Removes the keys that match this pattern",
        },
        PREFIX,
        Flag { name: "all", short: None, takes: Takes::Nothing, doc: "Removes every key" },
        YES,
        HEX,
    ],
    args: &[ArgKind::Key],
    arity: Arity::at_least(0),
    needs: Needs::Store,
    run: Run::Write { read: read_del, plain: Some(Plain::Keys) },
};

fn read_put(session: &mut Session, invocation: &Invocation) -> Result<CommandRequest, Failure> {
    // Bad words first: no input is read for them.
    let expiry = match (invocation.value("ttl"), invocation.value("until")) {
        (None, None) => None,
        (Some(ttl), None) => ttl_of(ttl, "--ttl")?.map(Expiry::In),
        (None, Some(until)) => {
            // The store is opened when the words are known to be right.
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

/// A key, and the value that it is to have.
type Pair = (Vec<u8>, Vec<u8>);

/// The KEY VALUE pairs of a `put`, wherever the value comes from.
fn pairs(session: &Session, invocation: &Invocation) -> Result<Vec<Pair>, Failure> {
    session.check_writes()?;
    let args = &invocation.args;
    let usage = |message: &str| {
        Failure::usage(message).at(invocation.name.clone()).hint(format!("usage: {}", PUT.usage()))
    };
    if let Some(file) = invocation.value("file") {
        let [key] = args.as_slice() else {
            return Err(usage("--file takes one KEY, whose value is in the file"));
        };
        let value = value_from(session, file, "logkv DIR put KEY - reads it")?;
        return Ok(vec![(bytes_of(key, invocation)?, value)]);
    }
    if !args.len().is_multiple_of(2) {
        let failure = usage("put takes pairs: a VALUE after each KEY; one with blanks goes in quotes");
        return Err(match invocation.value("ttl") {
            Some(ttl) if ttl.style == Style::Bare => {
                failure.hint("so does a time of several words: --ttl '1h 30m'")
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

/// The value that is in the file that `word` names, or is the standard input; `hint` helps where that is not free.
fn value_from(session: &Session, word: &Word, hint: &str) -> Result<Vec<u8>, Failure> {
    if word.is_dash() {
        let input = stdin(session, word, hint)?;
        return read_value(session, Ok(input), |error| unread_stdin(&error));
    }
    let path = word.path();
    let failed = |error: io::Error| Failure::file("read", path, &error).at(word.span.clone());
    read_value(session, Input::path(path), failed)
}

/// A value that is all of `input`. Of one that is too long no more is read than shows that it is.
fn read_value(
    session: &Session,
    input: io::Result<Input>,
    failed: impl FnOnce(io::Error) -> Failure,
) -> Result<Vec<u8>, Failure> {
    match input.and_then(|input| input.rest(session.config().options.value_len_max, session.interrupt())) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => {
            let limit = units::thousands(session.config().options.value_len_max);
            let failure =
                Failure::command(format!("a value has at most {limit} bytes here; this one has more"));
            Err(failure.hint("--value-limit allows longer ones"))
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

/// Deletes the keys of a pattern or with a prefix.
fn delete_asked(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let pattern = invocation.value("glob");
    let Some(glob) = keys_asked(invocation, pattern)? else { return Err(misused_del(invocation)) };
    let (what, none) = match pattern.map(|pattern| shown(&pattern.bytes)) {
        Some(pattern) => (format!("matching {pattern}"), format!("no keys match {pattern}")),
        None => {
            let prefix = shown(&glob.literal_prefix());
            (format!("with {prefix} at their start"), format!("no keys start with {prefix}"))
        }
    };
    delete_matching(session, glob, &what, &none)
}

fn misused_del(invocation: &Invocation) -> Failure {
    let failure = Failure::usage("del takes either KEYs, --glob PATTERN, --prefix KEY or --all");
    failure.at(invocation.name.clone()).hint(format!("usage: {}", DEL.usage()))
}

/// Empties the store in one step; in a batch that is begun, key by key.
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
    tell_matching_deleted(session, deleted, deleted, "no keys")?;
    Ok(Outcome::Done)
}

/// Deletes the keys of `glob`, which a question calls keys `what`. Without any, the answer is `none`.
fn delete_matching(session: &mut Session, glob: Glob, what: &str, none: &str) -> Result<Outcome, Failure> {
    // What is counted, asked about and deleted is of one moment.
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

/// Deletes the keys of `rows`, a batch at a time: none of them is held longer than that.
fn delete_rows(session: &mut Session, mut rows: Rows, none: &str) -> Result<Outcome, Failure> {
    let mut damage = None;
    let (mut deleted, mut named) = (0, 0);
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
    tell_matching_deleted(session, deleted, named, none)?;
    damage.map_or(Ok(Outcome::Done), Err)
}

/// The next keys of `rows`, as many as go into one batch.
fn next_keys(rows: &mut Rows, damage: &mut Option<Failure>) -> Result<Vec<Vec<u8>>, Failure> {
    /// Enough to share an fsync, few enough to stop soon after Ctrl-C.
    const BATCH_COUNT: usize = 4096;
    let mut keys = Vec::new();
    while keys.len() < BATCH_COUNT
        && let Some(row) = rows.next_sound(damage)?
    {
        keys.push(row.key.to_vec());
    }
    Ok(keys)
}
