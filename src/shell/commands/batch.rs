//! `begin`, `commit` and `rollback`: the batch of the shell.

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
    summary: "Starts a batch, which commit writes",
    help: "From now on, put, del, incr, expire and persist change only the batch, until commit writes it \
           as a whole. In this shell get, exists, ttl, keys, scan and count see the batch; other readers \
           do not. A time to live starts at its put, not at commit.\n\n\
           If a line of the batch fails in a script, commit writes nothing. A second begin is such a \
           failure. At the prompt, a failed line leaves the batch unchanged.",
    examples: &[Example { line: "begin", does: "starts a batch" }],
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
    summary: "Writes the batch, all or nothing",
    help: "After a crash either the whole batch is in the store, or nothing of it. In a script commit \
           writes nothing if a line since begin has failed. Mode plain prints nothing; mode json one \
           object: ok, changes (their number), and the seq of the last record.",
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
    summary: "Discards the batch",
    help: "Nothing of the batch is written. Mode plain prints nothing; mode json one object: ok, and \
           changes (their number).",
    examples: &[Example { line: "rollback", does: "discards the batch" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Batch { run: rollback, commits: false },
};

fn begin(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    if session.has_batch() {
        return Err(
            Failure::command("a batch is already open").hint("commit writes it, rollback discards it")
        );
    }
    session.check_writes()?;
    session.begin_batch()?;
    done(session, "OK", |_| {})
}

fn commit(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let transaction = session.open_batch()?;
    if transaction.has_failed {
        session.take_batch();
        return Err(Failure::command("nothing was written: a line of the batch failed"));
    }
    let batch = transaction.overlay.to_batch();
    let count = transaction.overlay.len();
    // If the write fails, the batch stays open for another commit or a rollback.
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
    let text = format!("discarded {}", units::count(count as u64, "change"));
    done(session, &text, |answer| {
        answer.json("changes", count);
    })
}
