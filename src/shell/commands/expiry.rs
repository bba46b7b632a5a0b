//! `ttl`, `expire` and `persist`: the expiry of a key.

use logkv::Expiry;

use super::get::{NIL, unless_damaged};
use super::words::{HEX, arguments, bytes_of, moment_of, ttl_of};
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::shown;
use crate::shell::run::absence::{absent, explain_absence};
use crate::shell::run::session::{Command, CommandRequest, Invocation, Run, Session};
use crate::shell::run::view::seen;
use crate::shell::run::write::mutation::Mutation;
use crate::shell::term::units;

pub const TTL: Command = Command {
    name: "ttl",
    aliases: &[],
    group: Group::Data,
    signature: "KEY… [--hex]",
    summary: "Prints the time to live of a key",
    help: "Prints the time until each key expires, or no expiry. Mode plain has seconds, rounded up, \
           and -1 for no expiry; mode json ttl_ms and expires_ms. A missing key prints (nil) in mode \
           table and a note on standard error in mode plain. A one-shot ttl of a missing key exits with \
           1.",
    examples: &[Example { line: "ttl session:7", does: "prints a time such as 9m 58s" }],
    flags: &[HEX],
    args: &[ArgKind::Key],
    arity: Arity::at_least(1),
    needs: Needs::Reading,
    run: Run::Itself(run_ttl),
};

pub const EXPIRE: Command = Command {
    name: "expire",
    aliases: &[],
    group: Group::Data,
    signature: "KEY DURATION | KEY --at TIME [--hex]",
    summary: "Sets the expiry of a key",
    help: "The key expires after a duration (90s, 1h30m, or a number of seconds). With --at it expires \
           at a time: a date with or without a time of day (in UTC unless it has an offset), tomorrow, \
           'in 2 days', or milliseconds since 1970. never removes the expiry, as persist does. The new \
           expiry replaces the old one, and the value is written again. If the key does not exist, \
           nothing is written, and a one-shot expire exits with 1.\n\n\
           Mode plain prints nothing; mode json one object: key, ok, and the seq, segment and offset of \
           the new record.",
    examples: &[
        Example { line: "expire session:7 1h30m", does: "the key expires in an hour and a half" },
        Example { line: "expire session:7 90", does: "the key expires in 90 seconds" },
        Example { line: "expire offer --at 2030-01-31T12:00Z", does: "the key expires at that time" },
    ],
    flags: &[Flag { name: "at", short: None, takes: Takes::Time, doc: "The key expires at this time" }, HEX],
    args: &[ArgKind::Key, ArgKind::Duration],
    arity: Arity::between(1, 2),
    needs: Needs::Store,
    run: Run::Write { read: read_expire, plain: None },
};

pub const PERSIST: Command = Command {
    name: "persist",
    aliases: &[],
    group: Group::Data,
    signature: "KEY [--hex]",
    summary: "Removes the expiry of a key",
    help: "The key stays until it is deleted. If it had an expiry, its value is written again. If the \
           key does not exist, nothing is written, and a one-shot persist exits with 1.\n\n\
           Mode plain prints nothing; mode json has the fields of expire. seq, segment and offset are \
           null if nothing was written.",
    examples: &[Example { line: "persist session:7", does: "the key never expires" }],
    flags: &[HEX],
    args: &[ArgKind::Key],
    arity: Arity::exactly(1),
    needs: Needs::Store,
    run: Run::Write { read: read_persist, plain: None },
};

fn run_ttl(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let mut worst = Outcome::Done;
    for key in &arguments(invocation)? {
        let result = seen(session, key, |_, expires_ms| expires_ms).and_then(|seen| match seen {
            Some(expires_ms) => print_ttl(session, key, expires_ms),
            None => report_missing(session, key),
        });
        worst = worst.max(unless_damaged(session, result)?);
    }
    Ok(worst)
}

/// Prints the time to live of an existing key.
fn print_ttl(session: &mut Session, key: &[u8], expires_ms: Option<u64>) -> Result<Outcome, Failure> {
    /// Stands for no expiry, as in Redis.
    const NEVER: i64 = -1;
    let now_ms = session.store()?.now_ms();
    let left_ms = expires_ms.map(|expires_ms| expires_ms.saturating_sub(now_ms));
    let mut answer = session.out.answer();
    answer.say(|_| left_ms.map_or_else(|| "no expiry".to_owned(), units::duration));
    answer.plain("ttl_s", left_ms.map_or(NEVER, |left_ms| left_ms.div_ceil(1000).cast_signed()));
    answer
        .json("key", key)
        .json("exists", true)
        .json("ttl_ms", left_ms)
        .json("expires_ms", expires_ms)
        .end()?;
    Ok(Outcome::Done)
}

fn report_missing(session: &mut Session, key: &[u8]) -> Result<Outcome, Failure> {
    if !session.out.answer().say(|_| NIL).json("key", key).json("exists", false).end()? {
        session.flush();
        session.note(&format!("not found: {}", shown(key)));
    }
    let outcome = absent(session)?;
    explain_absence(session, key)?;
    Ok(outcome)
}

fn read_expire(session: &mut Session, invocation: &Invocation) -> Result<CommandRequest, Failure> {
    let key = bytes_of(&invocation.args[0], invocation)?;
    let expiry = expiry(session, invocation)?;
    Ok(CommandRequest::Write(Mutation::Expire { key, expiry }))
}

/// Returns the expiry that `expire` sets, or `None` for never.
fn expiry(session: &Session, invocation: &Invocation) -> Result<Option<Expiry>, Failure> {
    match (invocation.args.get(1), invocation.value("at")) {
        (Some(word), None) => Ok(ttl_of(word, "expire")?.map(Expiry::In)),
        (None, Some(word)) => {
            let now_ms = session.store()?.now_ms();
            let Some(at_ms) = moment_of(word, "--at", now_ms)? else { return Ok(None) };
            // Most likely the user typed seconds instead of milliseconds.
            if at_ms <= now_ms {
                let message = format!("{} is in the past", units::time(at_ms));
                return Err(Failure::usage(message).at(word.span.clone()).hint("del deletes a key"));
            }
            Ok(Some(Expiry::At(at_ms)))
        }
        _ => {
            let failure = Failure::usage("expire takes either a DURATION or --at TIME");
            Err(failure.at(invocation.name.clone()).hint(format!("usage: {}", EXPIRE.usage())))
        }
    }
}

fn read_persist(_: &mut Session, invocation: &Invocation) -> Result<CommandRequest, Failure> {
    let key = bytes_of(&invocation.args[0], invocation)?;
    Ok(CommandRequest::Write(Mutation::Expire { key, expiry: None }))
}
