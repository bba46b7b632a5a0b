//! The commands of an imported script: conditional writes and batches.

use logkv::{Batch, Op};

use crate::shell::commands::transfer::rows::ImportRow;
use crate::shell::commands::transfer::writer::{ImportCounts, Writer, add_rows};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::run::session::{CommandRequest, Invocation, Run, Session};
use crate::shell::run::write::mutation::{Mutation, Reply};
use crate::shell::term::output::{Mode, Output};

/// Runs a command without output.
fn silently(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let silent = Output::new(Box::new(std::io::sink()), Mode::Table, session.out.look, false);
    let out = std::mem::replace(&mut session.out, silent);
    let result = session.perform(invocation);
    session.out = out;
    result
}

/// Adds the rows of a line, all or none, to the open batch or to the store. Returns a reason if
/// they are rejected.
pub fn add(
    session: &mut Session,
    writer: &mut Writer,
    rows: &[ImportRow<'_>],
) -> Result<Option<String>, Failure> {
    let added = match session.batch_mut() {
        None => writer.add(rows),
        Some(transaction) => {
            let mut batch = Batch::new();
            add_rows(&mut batch, rows);
            transaction.apply(&batch)
        }
    };
    rejected(added.map_err(Failure::from))
}

/// Separates the failure of a line, as a reason, from a failure that ends the import.
fn rejected(written: Result<(), Failure>) -> Result<Option<String>, Failure> {
    match written {
        Err(failure)
            if matches!(failure.kind, Kind::Command | Kind::Usage | Kind::Corruption)
                && !failure.is_of_store =>
        {
            Ok(Some(failure.message))
        }
        written => written.map(|()| None),
    }
}

/// Runs another writing command. Returns a reason if it is rejected.
pub fn call(
    session: &mut Session,
    writer: &mut Writer,
    invocation: &Invocation,
) -> Result<Option<String>, Failure> {
    let asked = match invocation.command.run {
        Run::Write { read, .. } if !session.has_batch() => Some(read(session, invocation)),
        _ => None,
    };
    let called = match asked {
        Some(Ok(CommandRequest::Write(write))) => submit(session, writer, &write, invocation),
        Some(Err(failure)) => Err(failure),
        Some(Ok(CommandRequest::Itself(_))) | None => at_once(session, writer, invocation),
    };
    rejected(called)
}

fn submit(
    session: &mut Session,
    writer: &mut Writer,
    write: &Mutation,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let (pending, reply) = write.submit(session)?;
    let puts = |puts| ImportCounts { puts, ..ImportCounts::default() };
    // The counts of the write, and of the case that nothing had to be written.
    let (counts, otherwise) = match (write, reply) {
        (Mutation::Put(batch) | Mutation::Delete(batch), _) => (changes(batch), None),
        (Mutation::Incr { .. }, _) => (puts(1), None),
        // A key that never expires does not change.
        (_, Reply::Persist { is_there: true, .. }) => (puts(1), Some(ImportCounts::default())),
        (Mutation::PutIf { .. } | Mutation::Expire { .. }, _) => {
            (puts(1), Some(ImportCounts { not_set: 1, ..ImportCounts::default() }))
        }
    };
    let len = invocation.args.iter().map(|word| word.bytes.len()).sum();
    Ok(writer.wait_for(pending, counts, otherwise, len)?)
}

/// Runs a command that is not pipelined: `del` with flags, and the commands of a batch.
fn at_once(session: &mut Session, writer: &mut Writer, invocation: &Invocation) -> Result<(), Failure> {
    // The command must see the writes before it.
    writer.drain()?;
    let store = session.store()?;
    let commits = matches!(invocation.command.run, Run::Batch { commits: true, .. });
    let committed = session.overlay().filter(|_| commits);
    let committed = committed.map(|overlay| changes(&overlay.to_batch()));
    let len = store.len();
    let was_in_batch = session.has_batch();
    let ran = silently(session, invocation);
    if ran.is_err() && commits {
        // Otherwise an open batch would swallow the rest of the script.
        session.take_batch();
    }
    if ran? == Outcome::Absent {
        writer.add_counts(ImportCounts { not_set: 1, ..ImportCounts::default() });
    }
    writer.add_counts(match committed {
        Some(counts) => counts,
        None if was_in_batch => ImportCounts::default(),
        None => ImportCounts { deletes: len.saturating_sub(store.len()), ..ImportCounts::default() },
    });
    Ok(())
}

/// Counts the puts and deletes of a batch.
fn changes(batch: &Batch) -> ImportCounts {
    let puts = batch.iter().filter(|op| matches!(op, Op::Put { .. })).count() as u64;
    ImportCounts { puts, deletes: batch.len() as u64 - puts, ..ImportCounts::default() }
}
