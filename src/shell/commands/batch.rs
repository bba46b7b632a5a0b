//! `begin`, `commit`, `rollback`.

use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::write::reply::done;
use crate::shell::term::units;

pub const BEGIN: Command = Command {
    name: "begin",
    aliases: &[],
    group: Group::Data,
    signature: "",
    summary: "Collects puts and dels until commit",
    help: "From here on, what put, del, incr, expire and persist do waits for commit, which writes it all \
           or not at all. Meanwhile get, exists, ttl, keys, scan and count see it; nobody else does. \
           A time to live counts from its put, not from commit.\n\n\
           In a script a line that fails spoils the batch, and a second begin is one: commit then writes nothing. \
           At the prompt the batch stays as it was before that line.",
    examples: &[Example { line: "begin", does: "opens a batch" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Batch { run: begin, commits: false },
};

pub const COMMIT: Command = Command {
    name: "commit",
    aliases: &[],
    group: Group::Data,
    signature: "",
    summary: "Writes what was collected since begin, all or nothing",
    help: "Writes the batch as one: after a crash either all of it is there, or nothing. In a script it writes nothing \
           when a line since begin has failed. Mode plain prints nothing; mode json has ok, how many changes there were, \
           and the seq of the last record.",
    examples: &[Example { line: "commit", does: "writes the batch" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Batch { run: commit, commits: true },
};

pub const ROLLBACK: Command = Command {
    name: "rollback",
    aliases: &[],
    group: Group::Data,
    signature: "",
    summary: "Forgets what was collected since begin",
    help: "Discards the batch: none of it was written. Mode plain prints nothing; mode json has ok, and \
           how many changes were discarded.",
    examples: &[Example { line: "rollback", does: "forgets the batch" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Batch { run: rollback, commits: false },
};

fn begin(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    if session.has_batch() {
        return Err(Failure::command("a batch is open already").hint("commit writes it, rollback forgets it"));
    }
    session.check_writes()?;
    session.begin_batch()?;
    done(session, "OK", |_| {})
}

fn commit(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let transaction = session.open_batch()?;
    if transaction.has_failed {
        session.take_batch();
        return Err(Failure::command("nothing was written: a line of this batch has failed"));
    }
    let (batch, count) = (transaction.overlay.to_batch(), transaction.overlay.len());
    // A batch that cannot be written stays open, to be written again or forgotten.
    let commit = session.store()?.write(&batch)?;
    session.take_batch();
    let text = format!("committed {}", units::count(count as u64, "change"));
    done(session, &text, |answer| {
        answer.json("changes", count).json("seq", commit.map(|commit| commit.last.0));
    })
}

fn rollback(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let transaction = session.open_batch()?;
    let count = transaction.overlay.len();
    session.take_batch();
    let text = format!("forgot {}", units::count(count as u64, "change"));
    done(session, &text, |answer| {
        answer.json("changes", count);
    })
}
