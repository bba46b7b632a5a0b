//! `help`.

use std::io::Write;

use crate::shell::command::{
    self, ArgKind, Arity, Command, Example, Flag, Group, Invocation, Needs, Outcome, Takes,
};
use crate::shell::failure::Failure;
use crate::shell::grid::wrap;
use crate::shell::json::Object;
use crate::shell::output::Mode;
use crate::shell::parse;
use crate::shell::session::Session;
use crate::shell::style::hue;

pub const HELP: Command = Command {
    name: "help",
    aliases: &["?"],
    group: Group::Shell,
    signature: "[COMMAND]",
    summary: "The commands, or all about one",
    help: "Lists the commands, or explains one: its arguments, flags and examples.",
    examples: &[
        Example { line: "help", does: "lists the commands" },
        Example { line: "help put", does: "explains put" },
    ],
    flags: &[],
    args: &[ArgKind::Command],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: run_help,
};

fn run_help(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let named = invocation.args.first();
    let named = named.map(|word| command::find(&word.bytes).ok_or_else(|| parse::unknown_command(word)));
    let named = named.transpose()?;
    if session.out.mode == Mode::Json {
        let commands = named.map_or(command::all(), std::slice::from_ref);
        for command in commands {
            let mut object = Object::new(&mut session.out);
            object.field("command", command.name)?.field("aliases", command.aliases.to_vec())?;
            object.field("group", command.group.name())?.field("usage", command.usage())?;
            object.field("summary", command.summary)?.field("help", command.help)?.end()?;
        }
        return Ok(Outcome::Done);
    }
    let text = named.map_or_else(|| overview(session), |command| explain(session, command));
    session.out.write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

fn overview(session: &Session) -> String {
    let look = session.out.look;
    let width = command::all().iter().map(|command| command.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for group in Group::ALL {
        text.push_str(&format!("{}\n", look.paint(group.name(), hue::HEAD)));
        for command in command::all().iter().filter(|command| command.group == group) {
            let name = look.paint(format!("{:width$}", command.name), hue::GOOD);
            let aliases = match command.aliases {
                [] => String::new(),
                aliases => look.paint(format!(" ({})", aliases.join(", ")), hue::DIM),
            };
            text.push_str(&format!("  {name}  {}{aliases}\n", command.summary));
        }
    }
    text.push_str("help COMMAND explains one. Each takes --json.\n");
    text
}

/// Longer lines are hard to read, however wide the terminal is.
const HELP_WIDTH: usize = 80;

fn explain(session: &Session, command: &Command) -> String {
    let look = session.out.look;
    let mut text = format!("{} {}\n", look.paint(command.name, hue::GOOD), command.signature);
    if !command.aliases.is_empty() {
        text.push_str(&format!("also: {}\n", command.aliases.join(", ")));
    }
    let help = wrap(command.help, look.width.min(HELP_WIDTH));
    text.push_str(&format!("\n{}.\n{help}\n", command.summary));
    if !command.flags.is_empty() {
        text.push_str(&format!("\n{}\n", look.paint("Flags", hue::HEAD)));
        let names: Vec<_> = command.flags.iter().map(flag_name).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0).min(28);
        for (flag, name) in command.flags.iter().zip(&names) {
            text.push_str(&format!("  {name:width$}  {}\n", flag.doc));
        }
    }
    text.push_str(&format!("\n{}\n", look.paint("Examples", hue::HEAD)));
    for example in command.examples {
        text.push_str(&format!("  {}\n", example.line));
        text.push_str(&format!("      {}\n", look.paint(example.does, hue::DIM)));
    }
    text
}

fn flag_name(flag: &Flag) -> String {
    let short = flag.short.map_or_else(String::new, |short| format!("-{short}, "));
    let value = match flag.takes {
        Takes::Nothing => String::new(),
        takes => takes.placeholder().map_or_else(String::new, |value| format!(" {value}")),
    };
    format!("{short}--{}{value}", flag.name)
}
