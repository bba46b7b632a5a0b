//! `incr`.

use logkv::{Error, Expiry, Pending};

use super::get::{contains, seen};
use super::reply::{Reply, sum_queued, unless_uncertain, waited};
use super::words::{HEX, bytes_of, check_key};
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, shown};
use crate::shell::run::session::{Command, Invocation, Run, Session};

pub const INCR: Command = Command {
    name: "incr",
    aliases: &[],
    group: Group::Data,
    signature: "KEY [BY] [--hex]",
    summary: "Adds to a number",
    help: "Adds 1, or BY, to the number that is the key's value, and prints the sum. BY may be \
           negative. A missing key counts as 0. The key keeps its expiry. Mode json has one object: \
           key, ok, sum, and the seq, segment and offset of what was written.",
    examples: &[
        Example { line: "incr hits", does: "adds 1" },
        Example { line: "incr stock:7 -3", does: "takes 3 away" },
    ],
    flags: &[HEX],
    args: &[ArgKind::Key, ArgKind::Number],
    arity: Arity::between(1, 2),
    needs: Needs::Store,
    run: Run::Itself(run_incr),
};

fn run_incr(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if session.transaction.is_some() {
        let (key, by) = asked(invocation)?;
        let (sum, was_there) = incr_queued(session, &key, by)?;
        sum_queued(&mut session.out, &key, sum)?;
        return if was_there { Ok(Outcome::Done) } else { unless_uncertain(session) };
    }
    let submitted = submit(session, invocation);
    waited(session, submitted)
}

/// Submits what an `incr` outside a batch writes.
pub fn submit(session: &mut Session, invocation: &Invocation) -> Result<(Pending, Reply), Failure> {
    let (key, by) = asked(invocation)?;
    let store = session.store()?;
    let is_sound = store.open_report().damage.is_empty();
    if !is_sound {
        // The key may be on its way.
        session.drain();
    }
    let was_there = is_sound || contains(session, &key)?;
    let (sum, pending) = store.submit_incr(&key, by).map_err(|error| told(&key, error))?;
    Ok((pending, Reply::Sum { key, sum, was_there }))
}

/// The key, and what is added.
fn asked(invocation: &Invocation) -> Result<(Vec<u8>, i64), Failure> {
    // With --hex the key is hexadecimal; a number is one anyway.
    let key = bytes_of(&invocation.args[0], invocation)?;
    Ok((key, invocation.args.get(1).map_or(Ok(1), addend)?))
}

/// Has `commit` set the key to the sum, which is right by then: nobody else writes to the store. The sum, and whether the key
/// is there.
fn incr_queued(session: &mut Session, key: &[u8], by: i64) -> Result<(i64, bool), Failure> {
    check_key(key)?;
    let number = |value: &[u8]| str::from_utf8(value).ok()?.parse().ok();
    let found = seen(session, key, |value, expires_ms| (number(value), expires_ms))?;
    let was_there = found.is_some();
    let (number, expires_ms) = found.unwrap_or((Some(0), None));
    let number: i64 = number.ok_or_else(|| told(key, Error::NotANumber))?;
    let sum = number.checked_add(by).ok_or_else(|| told(key, Error::NumberOverflow { number, by }))?;
    if let Some(transaction) = &mut session.transaction {
        transaction.put(key, sum.to_string().as_bytes(), expires_ms.map(Expiry::At))?;
    }
    Ok((sum, was_there))
}

fn addend(word: &Word) -> Result<i64, Failure> {
    let number = str::from_utf8(&word.bytes).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let given = shown(&word.bytes);
        Failure::usage(format!("incr adds a whole number of 64 bits, not {given}")).at(word.span.clone())
    })
}

/// What went wrong with the value of `key`.
fn told(key: &[u8], error: Error) -> Failure {
    match error {
        Error::NotANumber | Error::NumberOverflow { .. } => {
            Failure::command(format!("cannot add to {}: {error}", shown(key)))
        }
        error => Failure::of_key(&error, key),
    }
}
