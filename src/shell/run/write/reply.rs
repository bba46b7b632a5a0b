//! What is said of a write: once it is acknowledged, or that it waits for `commit`.

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

/// How many keys `batch` changes: a key may stand in it several times.
pub fn distinct(batch: &Batch) -> usize {
    batch.iter().map(|op| op.key()).collect::<HashSet<_>>().len()
}

impl Reply {
    /// Says what came of a write that is acknowledged. `commit` is `None` when nothing had to be written.
    pub fn tell(&self, session: &mut Session, commit: Option<Commit>) -> Result<Outcome, Failure> {
        let (out, fate) = (&mut session.out, Fate::Done(commit));
        match (self, commit) {
            (Self::Put { keys }, _) => ok(out, None, *keys, fate)?,
            (Self::PutIf { if_absent, .. }, Some(_)) => {
                ok(out, None, 1, fate)?;
                return if *if_absent { unless_uncertain(session) } else { Ok(Outcome::Done) };
            }
            (Self::Delete { named }, _) => {
                let deleted = commit.map_or(0, |commit| commit.deleted);
                deletions(out, deleted, *named, fate)?;
                return if deleted < *named { unless_uncertain(session) } else { Ok(Outcome::Done) };
            }
            (Self::Expire { key }, Some(_)) | (Self::Persist { key, is_there: true }, _) => {
                ok(out, Some(key), 1, fate)?;
            }
            (Self::Sum { key, sum, was_there }, _) => {
                summed(out, key, *sum, fate)?;
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

/// What became of a write.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is acknowledged; nothing had to be written where there is no commit.
    Done(Option<Commit>),
    /// It waits for `commit`.
    Queued,
}

impl Fate {
    /// What follows the answer for people.
    fn suffix(self) -> &'static str {
        match self {
            Self::Done(_) => "",
            Self::Queued => ", with commit",
        }
    }

    /// Adds what an object says of a write: the number and the place of its record, null where none had to be
    /// written.
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

/// Prints the result of a write of `keys` keys; in JSON it names the key if there is only one.
fn ok(out: &mut Output, key: Option<&[u8]>, keys: usize, fate: Fate) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|_| match keys {
        1 => format!("OK{}", fate.suffix()),
        // A value of several words without quotes is several pairs.
        _ => format!("OK, {}{}", units::count(keys as u64, "key"), fate.suffix()),
    });
    if let Some(key) = key {
        answer.json("key", key);
    }
    fate.add(answer.json("ok", true));
    answer.end()?;
    Ok(())
}

fn summed(out: &mut Output, key: &[u8], sum: i64, fate: Fate) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|_| format!("{sum}{}", fate.suffix())).json("key", key).json("ok", true).field("sum", sum);
    fate.add(&mut answer);
    answer.end()?;
    Ok(())
}

/// Says how many keys were deleted, or are to be with `commit` where a batch is open.
pub fn tell_deletions(session: &mut Session, deleted: usize, named: usize) -> io::Result<()> {
    let fate = if session.has_batch() { Fate::Queued } else { Fate::Done(None) };
    deletions(&mut session.out, deleted, named, fate)
}

/// Says how many of the keys of a pattern were deleted; `none` if there were none.
pub fn tell_matching_deleted(
    session: &mut Session,
    deleted: usize,
    named: usize,
    none: &str,
) -> io::Result<()> {
    if named == 0 && session.out.is_table() {
        return session.out.say(|_| none);
    }
    tell_deletions(session, deleted, named)
}

fn deletions(out: &mut Output, deleted: usize, named: usize, fate: Fate) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|_| {
        let [deleted, named] = [deleted, named].map(|count| units::thousands(count as u64));
        format!("deleted {deleted} of {named}{}", fate.suffix())
    });
    answer.field("deleted", deleted);
    if matches!(fate, Fate::Queued) {
        answer.json("queued", true);
    }
    answer.end()?;
    Ok(())
}

/// Says that a condition was not met: a result, not an error.
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

/// Says that it is done: `text` to people, and in JSON `ok` and what `fields` add.
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

/// Says that a write of so many keys waits for `commit`; in JSON of which key, where it is of one.
pub fn queued(out: &mut Output, key: Option<&[u8]>, keys: usize) -> io::Result<()> {
    ok(out, key, keys, Fate::Queued)
}

/// Says what a key's number will be with `commit`.
pub fn sum_queued(out: &mut Output, key: &[u8], sum: i64) -> io::Result<()> {
    summed(out, key, sum, Fate::Queued)
}
