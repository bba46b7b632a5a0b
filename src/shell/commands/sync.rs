//! `sync`: makes all writes durable.

use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::write::reply::done;

pub const SYNC: Command = Command {
    name: "sync",
    aliases: &[],
    group: Group::Maintain,
    signature: "",
    summary: "Makes all writes durable",
    help: "Returns after every acknowledged write is durable: it survives a power cut. Mode plain prints \
           nothing, mode json ok.",
    examples: &[Example { line: "sync", does: "waits for the disk" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Itself(run_sync),
};

fn run_sync(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    session.store()?.sync()?;
    done(session, "OK", |_| {})
}
