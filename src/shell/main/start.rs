//! The start of the program: from arguments to a session, and from failures to the exit code.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use logkv::Options;
use logkv::fs::{exit_on_bus_error, raise_open_files_limit};

use super::args::{self, Args, is_missing_command};
use super::editor;
use crate::shell::commands::TABLE;
use crate::shell::commands::words::unread_stdin;
use crate::shell::lang::command::{self, Needs};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::parse;
use crate::shell::lang::report::LinePlace;
use crate::shell::lang::words::{Style, Word, quote, visible};
use crate::shell::run::config::{self, Config, DirFile, OptionInputs};
use crate::shell::run::session::{Invocation, Origin, Session, Settings, Timer};
use crate::shell::run::{logging, script};
use crate::shell::term::fit::clip;
use crate::shell::term::input::Input;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::json::Object;
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::style::{Look, is_ascii_locale, terminal_width};
use crate::shell::term::tally::CORRUPT;

/// The exit code of a call with invalid arguments.
const USAGE: u8 = 2;

/// Runs the program, and returns its exit code.
pub fn main() -> ExitCode {
    // Both are optional: the store works with fewer descriptors, and without a message for SIGBUS.
    let _ = raise_open_files_limit();
    let _ = exit_on_bus_error(
        CORRUPT.into(),
        "hint: --read-with pread maps nothing; verify says what is damaged\n",
    );
    let code = match Args::parse(std::env::args_os()) {
        Ok(args) => run(args),
        Err(error) => print_usage(&error, args::asks_json(std::env::args_os())),
    };
    ExitCode::from(code)
}

/// Prints help or the version on the standard output, or an error on the standard error. An error
/// is also written as an object if `is_json`.
fn print_usage(error: &clap::Error, is_json: bool) -> u8 {
    let text = error.render().to_string();
    // clap repeats arguments in the text without escapes.
    let lines: Vec<_> = text.lines().map(|line| visible(line.as_bytes())).collect();
    let text = lines.join("\n") + "\n";
    let written = if error.use_stderr() {
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let object = if is_json { write_usage(message) } else { Ok(()) };
        io::stderr().write_all(text.as_bytes()).and(object)
    } else {
        io::stdout().write_all(text.as_bytes())
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 1,
        _ if error.use_stderr() => USAGE,
        _ => 0,
    }
}

fn write_usage(message: &str) -> io::Result<()> {
    let mut out = io::stdout();
    let mut object = Object::new(&mut out);
    object.field("error", message)?.field("kind", Kind::Usage.name())?.field("code", USAGE)?.end()
}

fn run(mut args: Args) -> u8 {
    if args.takes_no_dir() {
        return without_dir(&args);
    }
    match args.print_documents(&mut io::stdout()) {
        Ok(false) => {}
        Ok(true) => return 0,
        Err(error) => return u8::from(error.kind() != io::ErrorKind::BrokenPipe),
    }
    if args.config.as_deref() == Some(Path::new("-")) {
        let message = "--config takes a file, not the standard input";
        return print_usage(&args::usage_error(message), args.is_json());
    }
    let Some(dir) = args.take_dir(std::env::var_os(config::DIR_ENV_NAME)) else {
        return print_usage(&args::usage_error("a directory is missing: logkv DIR"), args.is_json());
    };
    if dir.as_os_str().is_empty() {
        return print_usage(&args::usage_error("the name of the directory is empty"), args.is_json());
    }
    if dir.as_os_str() == "-" {
        let message = "DIR is a directory, not the standard input; ./- is a directory called -";
        return print_usage(&args::usage_error(message), args.is_json());
    }
    if args.ack && args.mode() == Some(Mode::Table) {
        let message = "--ack is for programs, and mode table for people: take plain, raw or json";
        return print_usage(&args::usage_error(message), false);
    }
    let mut session = session(&args, dir);
    let configured = refuse_command_name(&args, &session)
        .and_then(|()| check_environment())
        .and_then(|()| configure(&args, session.dir()));
    let started = configured.and_then(|config| {
        logging::install(&config.log);
        if let Some(why) = config.unread.as_ref().filter(|_| !args.quiet && looks_at_files(&args)) {
            session.note(&format!("note: {why}; its options are ignored"));
        }
        session.set_config(config);
        session.heed(Interrupt::install().map_err(Failure::no_watch)?);
        start(&mut session, &args)
    });
    if let Err(failure) = started {
        if failure.kind == Kind::Usage {
            // The call is wrong, not a line of a script.
            session.set_origin(Origin::OneShot);
        }
        session.fail(&failure, b"", &LinePlace::Nowhere);
        session.acknowledge_start();
    }
    session.close();
    session.exit_code()
}

/// Runs a command that needs no directory.
fn without_dir(args: &Args) -> u8 {
    let mut session = session(args, PathBuf::new());
    one_shot(&mut session, args);
    session.close();
    session.exit_code()
}

/// Fails if the directory has the name of a command and does not exist: the user forgot DIR.
fn refuse_command_name(args: &Args, session: &Session) -> Result<(), Failure> {
    /// Enough to recognise the command.
    const LINE_WIDTH_MAX: usize = 60;
    let dir = session.dir().as_os_str();
    if !is_missing_command(dir) {
        return Ok(());
    }
    let words: Vec<_> = std::iter::once(dir.to_owned()).chain(args.command.iter().cloned()).collect();
    let line = String::from_utf8_lossy(&as_line(&words).0).into_owned();
    let line = clip(&line, LINE_WIDTH_MAX, session.err_look().ellipsis());
    let name = visible(dir.as_bytes());
    let failure = Failure::usage(format!("DIR is missing: logkv DIR {line}"));
    Err(failure.hint(format!("./{name} is a directory of that name; logkv help {name} explains the command")))
}

/// Runs the command, the script or the REPL.
fn start(session: &mut Session, args: &Args) -> Result<(), Failure> {
    if session.origin() == Origin::OneShot {
        one_shot(session, args);
        session.forget_batch(None);
        return Ok(());
    }
    let inputs = match (&args.file, args.lines.as_slice()) {
        (Some(path), _) if path.as_os_str() != "-" => {
            Some((vec![script_file(path)?], path.to_string_lossy()))
        }
        (None, lines @ [_, ..]) => {
            let lines = lines.iter().map(|line| Input::text(line.clone().into_vec()));
            Some((lines.collect(), "-c".into()))
        }
        _ => {
            session.set_reads_stdin();
            let is_script = !session.is_interactive();
            let stdin = is_script.then(|| Input::stdin().map_err(|error| unread_stdin(&error)));
            stdin.transpose()?.map(|input| (vec![input], "-".into()))
        }
    };
    session.open(opening(session, args, true))?;
    match inputs {
        Some((inputs, name)) => {
            script::run(session, inputs, &name);
            session.forget_batch(None);
        }
        None => editor::run(session, !args.no_init)?,
    }
    Ok(())
}

fn one_shot(session: &mut Session, args: &Args) {
    let (line, words) = as_line(&args.command);
    let result = parse::parse(session.commands(), words).and_then(|invocation| {
        let Some(invocation) = invocation else {
            return Err(Failure::usage("the command is empty"));
        };
        prepare(session, args, &invocation)?;
        Ok(invocation)
    });
    match result {
        Ok(invocation) => {
            session.call(&invocation, &line, &LinePlace::Nowhere);
        }
        Err(failure) => session.in_json(parse::asks_json(&line), |session| {
            session.fail(&failure, &line, &LinePlace::Nowhere);
        }),
    }
}

/// Opens the store as the command needs it.
fn prepare(session: &mut Session, args: &Args, invocation: &Invocation) -> Result<(), Failure> {
    match invocation.command.needs {
        Needs::Program | Needs::Nothing | Needs::Directory => Ok(()),
        Needs::Reading => session.open_to_read(opening(session, args, false)),
        Needs::StoreUnless { flag } if invocation.has(flag) => {
            session.open_to_read(opening(session, args, false))
        }
        Needs::Store | Needs::StoreUnless { .. } => session.open(opening(session, args, false)),
        // A read-only open creates no store. The command fails before it reads its input.
        Needs::NewStore if args.read_only => session.open(opening(session, args, false)),
        Needs::NewStore => {
            session.open_later(opening(session, args, true));
            Ok(())
        }
        Needs::Files { unless } if unless(&invocation.args) => Ok(()),
        // Read-only: an open for writing would remove the torn tail that the user wants to see.
        Needs::Files { .. } => {
            match session.open(session.config().options.clone().read_only(true).create(false)) {
                Err(failure) if failure.is_about_contents => {
                    session.note(&format!(
                        "note: the store does not open ({}); reading the file alone",
                        failure.message
                    ));
                    Ok(())
                }
                opened => opened,
            }
        }
    }
}

/// Returns the options to open the store with.
fn opening(session: &Session, args: &Args, create: bool) -> Options {
    let create = create && session.settings().makes_files;
    session.config().options.clone().read_only(args.read_only).create(create)
}

/// Returns the arguments as a line, in which errors are marked, and as its words. The user's shell
/// has split the words and removed their quotes.
fn as_line(args: &[OsString]) -> (Vec<u8>, Vec<Word>) {
    let mut line = Vec::new();
    let mut words = Vec::new();
    for arg in args {
        if !line.is_empty() {
            line.push(b' ');
        }
        let start = line.len();
        let text =
            if arg.as_bytes().starts_with(b"-") { visible(arg.as_bytes()) } else { quote(arg.as_bytes()) };
        line.extend_from_slice(text.as_bytes());
        words.push(Word { bytes: arg.as_bytes().to_vec(), span: start..line.len(), style: Style::Bare });
    }
    (line, words)
}

fn script_file(path: &Path) -> Result<Input, Failure> {
    Input::path(path).map_err(|error| Failure::file("read", path, &error))
}

/// Returns the options from flags, the environment and files.
fn configure(args: &Args, dir: &Path) -> Result<Config, Failure> {
    let flag = |name: &str| args.engine_flag(name);
    let env = |name: &str| std::env::var_os(name);
    let inputs = OptionInputs { flag: &flag, env: &env, file: None, file_is_in_dir: args.config.is_none() };
    let resolve = |file| config::resolve(&OptionInputs { file: Some(file), ..inputs.clone() });
    if let Some(path) = &args.config {
        return resolve(config::read_file(path)?);
    }
    let config = config::resolve(&inputs)?;
    let looks_at_files = looks_at_files(args);
    let read = match config::read_dir_file(dir, config.options.trust) {
        // The command examines the files, so it must run even if the options file is bad.
        Err(failure) if looks_at_files => DirFile::Distrusted(failure.message),
        read => read?,
    };
    match read {
        DirFile::Read(path, table) => match resolve((path, table)) {
            Err(failure) if looks_at_files => Ok(Config { unread: Some(failure.message), ..config }),
            resolved => resolved,
        },
        DirFile::Distrusted(why) => Ok(Config { unread: Some(why), ..config }),
        DirFile::None => Ok(config),
    }
}

/// Returns whether the command examines files without opening the store.
fn looks_at_files(args: &Args) -> bool {
    let command = args.command.first().and_then(|name| command::find(TABLE, name.as_bytes()));
    command.is_some_and(|command| matches!(command.needs, Needs::Directory))
}

/// Fails if an environment variable has the prefix of the program but an unknown name. Empty
/// variables count as unset.
fn check_environment() -> Result<(), Failure> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    config::check_environment(set.map(|(name, _)| name.to_string_lossy().into_owned()))
}

fn session(args: &Args, dir: PathBuf) -> Session {
    let origin = origin(args);
    let is_terminal = io::stdout().is_terminal();
    let mode = args.mode().unwrap_or(if is_terminal && !args.ack { Mode::Table } else { Mode::Plain });
    let look = |is_terminal| Look {
        color: args.color.decide(is_terminal),
        ascii: args.ascii.unwrap_or_else(is_ascii_locale),
        width: args.width.map_or_else(terminal_width, usize::from),
    };
    let settings = Settings {
        timer: match (args.timer, origin) {
            (true, _) => Timer::On,
            (false, Origin::Person) => Timer::Auto,
            (false, _) => Timer::Off,
        },
        echo: args.echo,
        bail: args.bail,
        ack: args.ack,
        quiet: args.quiet,
        makes_files: !args.read_only && !args.no_create,
        yes: args.yes,
        color: args.color,
        pager: !args.no_pager,
        width: args.width.map(usize::from),
    };
    let out = Output::new(Box::new(io::stdout()), mode, look(is_terminal), is_terminal);
    Session::new(TABLE, dir, out, look(io::stderr().is_terminal()), settings, origin)
}

/// Returns the origin of the commands. They are typed only if input and output are terminals.
fn origin(args: &Args) -> Origin {
    if !args.command.is_empty() {
        Origin::OneShot
    } else if args.file.is_some() || !args.lines.is_empty() || args.ack {
        Origin::Script
    } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
        Origin::Person
    } else {
        Origin::Script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_bytes_and_are_shown_with_quotes() {
        let args = [OsString::from("put"), OsString::from("a b"), OsString::from_vec(b"\xff\n".to_vec())];
        let (line, words) = as_line(&args);
        assert_eq!(line, br#"put "a b" "\xff\n""#);
        assert_eq!(words[2].bytes, b"\xff\n");
        assert_eq!(words[1].span, 4..9);
    }
}
