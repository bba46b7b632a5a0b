//! The commands about the shell itself.

use std::io::{self, IsTerminal, Write};

use super::words::{create, stdin};
use crate::shell::lang::command::{self, ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, named, visible};
use crate::shell::run::script;
use crate::shell::run::session::{Command, Invocation, Run, Session, Timer};
use crate::shell::term::input::Input;
use crate::shell::term::output::Mode;
use crate::shell::term::style::{ColorChoice, is_dumb};

const SWITCH: &[&str] = &["on", "off"];

pub const MODE: Command = Command {
    name: "mode",
    aliases: &[],
    group: Group::Shell,
    signature: "[table|plain|json|raw]",
    summary: "The form of results",
    help: "table is for people, plain for programs (a result a line, fields between tabs), json is one \
           object a line, raw gives keys and values byte by byte. In mode json a failure is also an \
           object among the results: error, kind (usage, failed, rejected, unopened, damaged, \
           interrupted), code, and in a script line, and file unless that is the standard input or -c.",
    examples: &[
        Example { line: "mode json", does: "prints objects from here on" },
        Example { line: "mode", does: "prints the mode" },
    ],
    flags: &[],
    args: &[ArgKind::Enum(Mode::NAMES)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        if let Some(word) =
            invocation.args.first().filter(|word| session.settings.ack && word.bytes == b"table")
        {
            let failure = Failure::usage("mode table is for people: with --ack it is plain, raw or json");
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
    summary: "Whether to tell how long a command took",
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
            |session| &mut session.settings.timer,
            Timer::name,
        )
    }),
};

pub const ECHO: Command = Command {
    name: "echo",
    aliases: &[],
    group: Group::Shell,
    signature: "[on|off]",
    summary: "Whether a script's lines are shown before they run",
    help: "With on, each line of a script is printed before its result. Without an argument it prints \
           the current setting.",
    examples: &[Example { line: "echo on", does: "shows each line from here on" }],
    flags: &[],
    args: &[ArgKind::Enum(SWITCH)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        setting(session, invocation, "echo", switch, |session| &mut session.settings.echo, switch_name)
    }),
};

pub const BAIL: Command = Command {
    name: "bail",
    aliases: &[],
    group: Group::Shell,
    signature: "[on|off]",
    summary: "Whether a script ends at its first error",
    help: "With on, a script ends at the next error or damage met; with off, the default, it goes on. Without an \
           argument it prints the current setting.",
    examples: &[Example { line: "bail on", does: "ends the script at the next error" }],
    flags: &[],
    args: &[ArgKind::Enum(SWITCH)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(|session, invocation| {
        session.failures_forgiven = session.failures;
        setting(session, invocation, "bail", switch, |session| &mut session.settings.bail, switch_name)
    }),
};

pub const COLOR: Command = Command {
    name: "color",
    aliases: &[],
    group: Group::Shell,
    signature: "[auto|always|never]",
    summary: "When to use colours",
    help: "auto uses colours on a terminal, unless NO_COLOR is set or TERM is dumb. Without an argument \
           it prints the current setting.",
    examples: &[Example { line: "color never", does: "does without colours" }],
    flags: &[],
    args: &[ArgKind::Enum(ColorChoice::NAMES)],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(run_color),
};

pub const READ: Command = Command {
    name: "read",
    aliases: &[],
    group: Group::Shell,
    signature: "FILE|-",
    summary: "Runs the lines of a file",
    help: "Runs a script: one command a line, where ; > and | are plain bytes. Blank lines and lines \
           that start with # are skipped. A script may read another. - is the standard input, unless \
           the commands come from there.",
    examples: &[Example { line: "read setup.logkv", does: "runs the file" }],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::NewStore,
    run: Run::Itself(run_read),
};

pub const OUTPUT: Command = Command {
    name: "output",
    aliases: &[],
    group: Group::Shell,
    signature: "[FILE|-]",
    summary: "Sends results into a file, or back",
    help: "Results go into the file from here on, and in mode json failures too. The file is created \
           anew. output alone, or output -, sends them to the standard output again. If the file cannot \
           be written any more, that is a failure, and results go to the standard output again: some \
           results are lost, but no writes.",
    examples: &[
        Example { line: "output keys.txt", does: "sends results into keys.txt" },
        Example { line: "output", does: "sends them to the standard output again" },
    ],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(run_output),
};

pub const HISTORY: Command = Command {
    name: "history",
    aliases: &[],
    group: Group::Shell,
    signature: "[N]",
    summary: "The lines typed so far",
    help: "Prints the lines typed at the prompt, oldest first, or the last N of them. They are kept in \
           $XDG_STATE_HOME/logkv/history, which is ~/.local/state/logkv/history by default. A script and a one-shot \
           command have none.",
    examples: &[Example { line: "history 10", does: "prints the last ten lines" }],
    flags: &[],
    args: &[ArgKind::Number],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(run_history),
};

pub const CLEAR: Command = Command {
    name: "clear",
    aliases: &[],
    group: Group::Shell,
    signature: "",
    summary: "Clears the terminal",
    help: "Clears the terminal; elsewhere, and where TERM is dumb, it does nothing.",
    examples: &[Example { line: "clear", does: "clears the terminal" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Nothing,
    run: Run::Itself(run_clear),
};

pub const VERSION: Command = Command {
    name: "version",
    aliases: &[],
    group: Group::Shell,
    signature: "",
    summary: "The version of logkv",
    help: "Prints the version of logkv.",
    examples: &[Example { line: "version", does: "prints the version" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Program,
    run: Run::Itself(run_version),
};

pub const QUIT: Command = Command {
    name: "quit",
    aliases: &["exit", "q"],
    group: Group::Shell,
    signature: "",
    summary: "Leaves the shell",
    help: "Closes the store and leaves. A batch that was not committed is forgotten.",
    examples: &[Example { line: "quit", does: "leaves" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Nothing,
    run: Run::Itself(|_, _| Ok(Outcome::Quit)),
};

fn switch(name: &str) -> Option<bool> {
    SWITCH.iter().position(|known| *known == name).map(|at| at == 0)
}

fn switch_name(on: bool) -> &'static str {
    SWITCH[usize::from(!on)]
}

/// Sets what is set to its argument; without one, prints what it is.
fn setting<T: Copy>(
    session: &mut Session,
    invocation: &Invocation,
    name: &str,
    parse: fn(&str) -> Option<T>,
    place: fn(&mut Session) -> &mut T,
    show: fn(T) -> &'static str,
) -> Result<Outcome, Failure> {
    // The parser of lines has let through only the names that the row lists.
    let chosen = invocation.args.first().and_then(|word| str::from_utf8(&word.bytes).ok()).and_then(parse);
    match chosen {
        Some(chosen) => *place(session) = chosen,
        None => {
            let value = show(*place(session));
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
        |session| &mut session.settings.color,
        ColorChoice::name,
    )?;
    session.out.look.color = session.settings.color.decide(session.out.is_terminal);
    session.err_look.color = session.settings.color.decide(io::stderr().is_terminal());
    Ok(outcome)
}

fn run_read(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    /// Scripts that may be open at once; more are a script that reads itself.
    const DEPTH_MAX: usize = 16;
    let word = &invocation.args[0];
    if session.depth == DEPTH_MAX {
        let failure = Failure::command(format!("scripts read each other more than {DEPTH_MAX} deep"));
        return Err(failure.at(word.span.clone()));
    }
    let input = open_script(session, word)?;
    session.make_store()?;
    let read_stdin = session.reads_stdin;
    session.reads_stdin |= word.is_dash();
    session.depth += 1;
    let outcome = script::run(session, vec![input], &word.path().to_string_lossy());
    session.depth -= 1;
    session.reads_stdin = read_stdin;
    Ok(outcome)
}

fn open_script(session: &Session, word: &Word) -> Result<Input, Failure> {
    if word.is_dash() {
        return stdin(session, word, "logkv DIR read - runs it");
    }
    Input::path(word.path()).map_err(|error| Failure::file("read", word.path(), &error).at(word.span.clone()))
}

fn run_output(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let file = invocation.args.first().filter(|word| !word.is_dash());
    let file = match file {
        Some(word) => Some((create(session, word)?, named(&word.bytes))),
        None => None,
    };
    // What does not reach the file before is told, and holds up nothing.
    session.flush();
    session.send_results(file);
    Ok(Outcome::Done)
}

fn run_history(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let count = match invocation.args.first() {
        Some(word) => usize::try_from(command::number(word, "history")?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let skipped = session.history.len().saturating_sub(count);
    for line in &session.history[skipped..] {
        let shown = visible(line.as_bytes());
        let mut answer = session.out.answer();
        answer.say(|_| &shown).plain("line", &*shown).json("line", line.as_str()).end()?;
    }
    if skipped == session.history.len() {
        session.out.say(|_| "no lines")?;
    }
    Ok(Outcome::Done)
}

fn run_clear(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    if session.out.is_terminal && !is_dumb() {
        session.out.write_all(b"\x1b[H\x1b[2J\x1b[3J")?;
    }
    Ok(Outcome::Done)
}

fn run_version(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let named = format!("logkv {version}");
    session.out.answer().say(|_| &named).plain("version", &*named).json("version", version).end()?;
    Ok(Outcome::Done)
}
