//! The lines of a script that an import runs: writes that go by what is there, and batches.

use logkv::{Batch, Op};

use crate::shell::commands::check_key;
use crate::shell::commands::reply::{Reply, submit_of};
use crate::shell::commands::transfer::rows::Row;
use crate::shell::commands::transfer::writer::{Sum, Writer};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::run::session::{Invocation, Origin, Run, Session};
use crate::shell::term::output::{Mode, Output};

/// Runs `import` as a script runs: nobody is asked, and no value comes from where the script does.
pub fn as_script<T>(session: &mut Session, is_stdin: bool, import: impl FnOnce(&mut Session) -> T) -> T {
    let origin = std::mem::replace(&mut session.origin, Origin::Script);
    let reads_stdin = session.reads_stdin;
    session.reads_stdin |= is_stdin;
    let result = import(session);
    session.reads_stdin = reads_stdin;
    session.origin = origin;
    result
}

/// Runs a command that prints nothing.
fn silently(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let silent = Output::new(Box::new(std::io::sink()), Mode::Table, session.out.look, false);
    let out = std::mem::replace(&mut session.out, silent);
    let Run::Itself(run) = invocation.command.run;
    let result = run(session, invocation);
    session.out = out;
    result
}

/// Adds the rows of a line, all or none, to the batch that is open, or to what is written. `Some`: why they cannot be taken.
pub fn add(session: &mut Session, writer: &mut Writer, rows: &[Row<'_>]) -> Result<Option<String>, Failure> {
    let added = match &mut session.transaction {
        None => writer.add(rows),
        Some(transaction) => match rows.iter().try_for_each(|row| check_key(&row.key)) {
            Err(failure) => return rejected(Err(failure)),
            Ok(()) => rows.iter().try_for_each(|row| match &row.value {
                Some(value) => transaction.put(&row.key, value, row.expiry),
                None => {
                    transaction.overlay.delete(&row.key);
                    Ok(())
                }
            }),
        },
    };
    rejected(added.map_err(Failure::from))
}

/// Tells why a line is rejected from why the import ends with it.
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

/// Runs another line that writes. `Some`: why it cannot be taken.
pub fn call(
    session: &mut Session,
    writer: &mut Writer,
    invocation: &Invocation,
) -> Result<Option<String>, Failure> {
    let called = match submit_of(invocation.command) {
        Some(submit) if session.transaction.is_none() => match submit(session, invocation) {
            Ok((pending, reply)) => {
                let len = invocation.args.iter().map(|word| word.bytes.len()).sum();
                let (sum, otherwise) = count(&reply, invocation);
                Ok(writer.wait_for(pending, sum, otherwise, len)?)
            }
            Err(failure) => Err(failure),
        },
        _ => at_once(session, writer, invocation),
    };
    rejected(called)
}

/// What a write comes to; and to what where nothing had to be written, if that depends on what is there.
fn count(reply: &Reply, invocation: &Invocation) -> (Sum, Option<Sum>) {
    let puts = |puts| Sum { puts, ..Sum::default() };
    match reply {
        Reply::Put { .. } => (puts(invocation.args.len().div_ceil(2) as u64), None),
        Reply::Sum { .. } => (puts(1), None),
        // A key that never expires stays as it is.
        Reply::Persist { is_there: true, .. } => (puts(1), Some(Sum::default())),
        _ => (puts(1), Some(Sum { not_set: 1, ..Sum::default() })),
    }
}

/// Runs what is not waited for later: a `del` with flags, and all that is about a batch.
fn at_once(session: &mut Session, writer: &mut Writer, invocation: &Invocation) -> Result<(), Failure> {
    // It sees what came before it.
    writer.drain()?;
    let (command, store) = (invocation.command, session.store()?);
    let committed = session.overlay().filter(|_| command.name == "commit");
    let committed = committed.map(|overlay| changes(&overlay.to_batch()));
    let (len, was_in_batch) = (store.len(), session.transaction.is_some());
    let ran = silently(session, invocation);
    if ran.is_err() && command.name == "commit" {
        // Else nothing that follows would be written.
        session.transaction = None;
    }
    if ran? == Outcome::Absent {
        writer.count(Sum { not_set: 1, ..Sum::default() });
    }
    writer.count(match committed {
        Some(sum) => sum,
        None if was_in_batch => Sum::default(),
        None => Sum { deletes: len.saturating_sub(store.len()), ..Sum::default() },
    });
    Ok(())
}

/// What a batch sets and removes.
fn changes(batch: &Batch) -> Sum {
    let puts = batch.iter().filter(|op| matches!(op, Op::Put { .. })).count() as u64;
    Sum { puts, deletes: batch.len() as u64 - puts, ..Sum::default() }
}
