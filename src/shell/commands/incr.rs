//! `incr`: adds to a number.

use super::words::{HEX, bytes_of};
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, shown};
use crate::shell::run::session::{Command, CommandRequest, Invocation, Run, Session};
use crate::shell::run::write::mutation::Mutation;

pub const INCR: Command = Command {
    name: "incr",
    aliases: &[],
    group: Group::Data,
    signature: "KEY [BY] [--hex]",
    summary: "Adds to a number",
    help: "Adds 1, or BY, to the number in the key's value, and prints the sum. BY may be negative. A \
           missing key counts as 0. The key keeps its expiry. Mode json prints one object: key, ok, sum, \
           and the seq, segment and offset of the new record.",
    examples: &[
        Example { line: "incr hits", does: "adds 1" },
        Example { line: "incr stock:7 -3", does: "subtracts 3" },
    ],
    flags: &[HEX],
    args: &[ArgKind::Key, ArgKind::Number],
    arity: Arity::between(1, 2),
    needs: Needs::Store,
    run: Run::Write { read: read_incr, plain: None },
};

fn read_incr(_: &mut Session, invocation: &Invocation) -> Result<CommandRequest, Failure> {
    // --hex applies to the key only.
    let key = bytes_of(&invocation.args[0], invocation)?;
    let by = invocation.args.get(1).map_or(Ok(1), addend)?;
    Ok(CommandRequest::Write(Mutation::Incr { key, by }))
}

fn addend(word: &Word) -> Result<i64, Failure> {
    let number = str::from_utf8(&word.bytes).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let given = shown(&word.bytes);
        Failure::usage(format!("incr takes a 64-bit whole number, not {given}")).at(word.span.clone())
    })
}
