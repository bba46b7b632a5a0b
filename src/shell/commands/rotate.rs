//! `rotate`: seals the active segment.

use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};

pub const ROTATE: Command = Command {
    name: "rotate",
    aliases: &[],
    group: Group::Maintain,
    signature: "",
    summary: "Seals the active segment",
    help: "The next write starts a new segment. An empty segment stays active and is not sealed. \
           Mode plain prints the id of the sealed segment; mode json has it as sealed, or null.",
    examples: &[Example { line: "rotate", does: "seals the active segment and prints its id" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Itself(run_rotate),
};

fn run_rotate(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let sealed = session.store()?.rotate()?;
    let mut answer = session.out.answer();
    answer.say(|_| match sealed {
        Some(id) => format!("sealed segment {id}"),
        None => "the active segment is empty and stays active".to_owned(),
    });
    match sealed {
        Some(id) => answer.field("sealed", id.0),
        None => answer.json("sealed", FieldValue::Nothing),
    };
    answer.end()?;
    Ok(Outcome::Done)
}
