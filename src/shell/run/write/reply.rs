//! The printed results of writes.

use std::collections::HashSet;
use std::io;

use logkv::{Batch, Commit};

use super::mutation::Reply;

use crate::shell::lang::answer::Answer;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::shown;
use crate::shell::run::absence::{absent, explain_absence, unless_uncertain};
use crate::shell::run::session::Session;
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// Returns the number of distinct keys in `batch`.
pub fn distinct(batch: &Batch) -> usize {
    batch.iter().map(|op| op.key()).collect::<HashSet<_>>().len()
}

impl Reply {
    /// Prints the result of an acknowledged write. `commit` is `None` if no record was needed.
    pub fn print(&self, session: &mut Session, commit: Option<Commit>) -> Result<Outcome, Failure> {
        let out = &mut session.out;
        let state = WriteState::Done(commit);
        match (self, commit) {
            (Self::Put { keys }, _) => ok(out, None, *keys, state)?,
            (Self::PutIf { if_absent, .. }, Some(_)) => {
                ok(out, None, 1, state)?;
                return if *if_absent { unless_uncertain(session) } else { Ok(Outcome::Done) };
            }
            (Self::Delete { named }, _) => {
                let deleted = commit.map_or(0, |commit| commit.deleted);
                deletions(out, deleted, *named, state)?;
                return if deleted < *named { unless_uncertain(session) } else { Ok(Outcome::Done) };
            }
            (Self::Expire { key }, Some(_)) | (Self::Persist { key, is_there: true }, _) => {
                ok(out, Some(key), 1, state)?;
            }
            (Self::Sum { key, sum, was_there }, _) => {
                summed(out, key, *sum, state)?;
                return if *was_there { Ok(Outcome::Done) } else { unless_uncertain(session) };
            }
            (Self::PutIf { key, if_absent }, None) => return not_set(session, key, *if_absent),
            (Self::Expire { key }, None) | (Self::Persist { key, is_there: false }, _) => {
                return not_set(session, key, false);
            }
        }
        Ok(Outcome::Done)
    }
}

/// The state of a write.
#[derive(Clone, Copy, Debug)]
enum WriteState {
    /// Acknowledged. `None` if no record was needed.
    Done(Option<Commit>),
    /// Queued for `commit`.
    Queued,
}

impl WriteState {
    /// Returns the end of the sentence for people.
    fn suffix(self) -> &'static str {
        match self {
            Self::Done(_) => "",
            Self::Queued => ", with commit",
        }
    }

    /// Adds the JSON fields of the state: the sequence number and the location of the record, or
    /// null without one.
    fn add(self, answer: &mut Answer<'_>) {
        match self {
            Self::Done(commit) => {
                answer.json("seq", commit.map(|commit| commit.last.0));
                answer.json("segment", commit.map(|commit| commit.location.segment.0));
                answer.json("offset", commit.map(|commit| commit.location.offset));
            }
            Self::Queued => {
                answer.json("queued", true);
            }
        }
    }
}

/// Prints that `keys` keys were set. JSON names the key if `key` is given.
fn ok(out: &mut Output, key: Option<&[u8]>, keys: usize, state: WriteState) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|_| match keys {
        1 => format!("OK{}", state.suffix()),
        // Words without quotes make several pairs, so the number shows a mistake.
        _ => format!("OK, {}{}", units::count(keys as u64, "key"), state.suffix()),
    });
    if let Some(key) = key {
        answer.json("key", key);
    }
    state.add(answer.json("ok", true));
    answer.end()?;
    Ok(())
}

fn summed(out: &mut Output, key: &[u8], sum: i64, state: WriteState) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|_| format!("{sum}{}", state.suffix())).json("key", key).json("ok", true).field("sum", sum);
    state.add(&mut answer);
    answer.end()?;
    Ok(())
}

/// Prints the number of deleted keys, or of those that `commit` will delete.
pub fn print_deletions(session: &mut Session, deleted: usize, named: usize) -> io::Result<()> {
    let state = if session.has_batch() { WriteState::Queued } else { WriteState::Done(None) };
    deletions(&mut session.out, deleted, named, state)
}

/// Prints the number of deleted keys of a pattern, or `none` if no key matched.
pub fn print_matching_deleted(
    session: &mut Session,
    deleted: usize,
    named: usize,
    none: &str,
) -> io::Result<()> {
    if named == 0 && session.out.is_table() {
        return session.out.say(|_| none);
    }
    print_deletions(session, deleted, named)
}

fn deletions(out: &mut Output, deleted: usize, named: usize, state: WriteState) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|_| {
        let [deleted, named] = [deleted, named].map(|count| units::thousands(count as u64));
        format!("deleted {deleted} of {named}{}", state.suffix())
    });
    answer.field("deleted", deleted);
    if matches!(state, WriteState::Queued) {
        answer.json("queued", true);
    }
    answer.end()?;
    Ok(())
}

/// Prints that a condition was not met. That is a result, not an error.
pub fn not_set(session: &mut Session, key: &[u8], if_absent: bool) -> Result<Outcome, Failure> {
    let why = if if_absent { "exists" } else { "does not exist" };
    let text = format!("not set: {} {why}", shown(key));
    if !session.out.answer().say(|_| &text).json("key", key).json("ok", false).end()? {
        session.flush();
        session.note(&text);
    }
    if if_absent {
        return Ok(Outcome::Absent);
    }
    let outcome = absent(session)?;
    explain_absence(session, key)?;
    Ok(outcome)
}

/// Prints `text` for people, and `ok` with the fields of `fields` in JSON.
pub fn done(
    session: &mut Session,
    text: &str,
    fields: impl FnOnce(&mut Answer<'_>),
) -> Result<Outcome, Failure> {
    let mut answer = session.out.answer();
    fields(answer.say(|_| text).json("ok", true));
    answer.end()?;
    Ok(Outcome::Done)
}

/// Prints that a write of `keys` keys is queued for `commit`.
pub fn queued(out: &mut Output, key: Option<&[u8]>, keys: usize) -> io::Result<()> {
    ok(out, key, keys, WriteState::Queued)
}

/// Prints the value that a key will have after `commit`.
pub fn sum_queued(out: &mut Output, key: &[u8], sum: i64) -> io::Result<()> {
    summed(out, key, sum, WriteState::Queued)
}
