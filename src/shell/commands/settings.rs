//! `mode`, `timer`, `echo`, `bail` and `color`: the settings of the shell.

use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session, Timer};
use crate::shell::term::output::Mode;
use crate::shell::term::style::ColorChoice;

const SWITCH: &[&str] = &["on", "off"];

pub const MODE: Command = Command {
    name: "mode",
    aliases: &[],
    group: Group::Shell,
    signature: "[table|plain|json|raw]",
    summary: "Sets the format of results",
    help: "table is for the terminal. plain is for programs: one result a line, with tabs between fields. \
           json prints one object a line. raw prints the bytes of keys and values unescaped. In mode \
           json a failure is also an object among the results: error, kind (usage, failed, rejected, \
           unopened, damaged, interrupted), code, and in a script line, and file unless that is standard \
           input or -c.",
    examples: &[
        Example { line: "mode json", does: "prints results as JSON from now on" },
        Example { line: "mode", does: "prints the mode" },
    ],
    flags: &[],
    args: &[ArgKind::Enum(Mode::NAMES)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        if let Some(word) =
            invocation.args.first().filter(|word| session.settings().ack && word.bytes == b"table")
        {
            let failure = Failure::usage("with --ack the mode is plain, raw or json, not table");
            return Err(failure.at(word.span.clone()));
        }
        setting(session, invocation, "mode", Mode::parse, |session| &mut session.out.mode, Mode::name)
    }),
};

pub const TIMER: Command = Command {
    name: "timer",
    aliases: &[],
    group: Group::Shell,
    signature: "[on|off|auto]",
    summary: "Sets whether the shell prints the time of commands",
    help: "on prints the time after each command, auto after commands that took half a second or more. \
           Without an argument it prints the current setting.",
    examples: &[Example { line: "timer on", does: "prints how long each command took" }],
    flags: &[],
    args: &[ArgKind::Enum(Timer::NAMES)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        setting(
            session,
            invocation,
            "timer",
            Timer::parse,
            |session| &mut session.settings_mut().timer,
            Timer::name,
        )
    }),
};

pub const ECHO: Command = Command {
    name: "echo",
    aliases: &[],
    group: Group::Shell,
    signature: "[on|off]",
    summary: "Sets whether scripts print their lines",
    help: "With on, each line of a script is printed before its result. Without an argument it prints \
           the current setting.",
    examples: &[Example { line: "echo on", does: "prints each line from now on" }],
    flags: &[],
    args: &[ArgKind::Enum(SWITCH)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        setting(session, invocation, "echo", switch, |session| &mut session.settings_mut().echo, switch_name)
    }),
};

pub const BAIL: Command = Command {
    name: "bail",
    aliases: &[],
    group: Group::Shell,
    signature: "[on|off]",
    summary: "Sets whether a script ends at an error",
    help: "With on, a script ends at the next error or damage. With off, the default, it goes on. Without \
           an argument it prints the current setting.",
    examples: &[Example { line: "bail on", does: "ends the script at the next error" }],
    flags: &[],
    args: &[ArgKind::Enum(SWITCH)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        session.forgive_failures();
        setting(session, invocation, "bail", switch, |session| &mut session.settings_mut().bail, switch_name)
    }),
};

pub const COLOR: Command = Command {
    name: "color",
    aliases: &[],
    group: Group::Shell,
    signature: "[auto|always|never]",
    summary: "Sets the use of colours",
    help: "auto uses colours on a terminal, unless NO_COLOR is set or TERM is dumb. Without an argument \
           it prints the current setting.",
    examples: &[Example { line: "color never", does: "turns colours off" }],
    flags: &[],
    args: &[ArgKind::Enum(ColorChoice::NAMES)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(run_color),
};

fn switch(name: &str) -> Option<bool> {
    SWITCH.iter().position(|known| *known == name).map(|at| at == 0)
}

fn switch_name(on: bool) -> &'static str {
    SWITCH[usize::from(!on)]
}

/// Sets the setting to the argument, or prints it without an argument.
fn setting<T: Copy>(
    session: &mut Session,
    invocation: &Invocation,
    name: &str,
    parse: fn(&str) -> Option<T>,
    field: fn(&mut Session) -> &mut T,
    show: fn(T) -> &'static str,
) -> Result<Outcome, Failure> {
    // The parser accepts only the names in the row.
    let chosen = invocation.args.first().and_then(|word| str::from_utf8(&word.bytes).ok()).and_then(parse);
    match chosen {
        Some(chosen) => *field(session) = chosen,
        None => {
            let value = show(*field(session));
            session.out.answer().say(|_| value).field(name, value).end()?;
        }
    }
    Ok(Outcome::Done)
}

fn run_color(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let outcome = setting(
        session,
        invocation,
        "color",
        ColorChoice::parse,
        |session| &mut session.settings_mut().color,
        ColorChoice::name,
    )?;
    session.follow_color();
    Ok(outcome)
}
