//! The arguments of the program.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};

use super::completions;
use super::manual;
use crate::shell::commands::TABLE;
use crate::shell::lang::command::{self, Needs};
use crate::shell::run::config;
use crate::shell::term::output::Mode;
use crate::shell::term::style::ColorChoice;

const EXAMPLES: &str = "\
Examples:
  logkv ./data                         a shell on the store in ./data
  logkv ./data put user:1 alice        one command
  logkv ./data get user:1
  logkv --json ./data stats            for programs
  logkv ./data -c 'put a 1' -c stats   several lines
  logkv ./data < script                a script: one command per line
  logkv -r ./data keys 'user:*'        next to a writer, read-only

`logkv help` lists the commands, `logkv help COMMAND` explains one.
Engine options can also be set in the environment (LOGKV_SYNC=never) or in
logkv.toml in DIR; a flag wins.

Exit codes: 0 done; 1 a command failed; 2 the arguments are invalid; 3 the
store cannot be opened; 4 data is damaged; ended by a signal 130 (Ctrl-C), 143
(SIGTERM) or 129 (SIGHUP), with the store closed.";

/// A key-value store in a directory, and a shell that shows every byte of its log.
#[derive(Debug, Parser)]
#[command(name = "logkv", version, max_term_width = 80, after_help = EXAMPLES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
// The last of repeated flags counts, so that a flag overrides an alias in the user's shell.
#[command(args_override_self = true)]
pub struct Args {
    /// The directory of the store, LOGKV_DIR by default
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<OsString>,
    /// One command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<OsString>,
    /// Runs this line; can be repeated
    #[arg(short = 'c', value_name = "LINE", conflicts_with_all = ["command", "file"])]
    pub lines: Vec<OsString>,
    /// Runs this script; - is the standard input
    #[arg(short = 'f', value_name = "FILE", conflicts_with = "command",
          value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Opens next to a writer, and writes nothing
    #[arg(short, long)]
    pub read_only: bool,
    /// Never creates a store
    #[arg(long)]
    pub no_create: bool,
    /// The form of results; table on a terminal, plain elsewhere
    #[arg(short, long, value_name = "MODE", value_parser = Mode::NAMES.to_vec(), overrides_with = "json")]
    mode: Option<String>,
    /// Short for --mode json
    #[arg(long, overrides_with = "mode")]
    json: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub color: ColorChoice,
    /// Ends a script at its first error
    #[arg(long)]
    pub bail: bool,
    /// Ends the answer to each line of a script with OK or ERR, or in mode json with an object
    #[arg(long, conflicts_with = "command")]
    pub ack: bool,
    /// Prints each line of a script before running it
    #[arg(short, long)]
    pub echo: bool,
    /// Omits notes about the store
    #[arg(short, long)]
    pub quiet: bool,
    /// Prints the time of each command
    #[arg(long)]
    pub timer: bool,
    /// The width of lines in columns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(20..))]
    pub width: Option<u16>,
    /// Draws tables and bars in ASCII, the default if the locale is not UTF-8;
    /// =false uses box characters
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    pub ascii: Option<bool>,
    /// Answers yes to all questions
    #[arg(short, long)]
    pub yes: bool,
    /// Skips the init file, which has commands that the shell runs first:
    /// $XDG_CONFIG_HOME/logkv/init, or ~/.config/logkv/init by default
    #[arg(long)]
    pub no_init: bool,
    /// Prints long results without a pager
    #[arg(long)]
    pub no_pager: bool,
    /// Reads options from this file instead of logkv.toml in DIR
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Prints completions for a shell
    #[arg(long, value_name = "SHELL", value_enum)]
    completions: Option<clap_complete::Shell>,
    /// Prints the manual page
    #[arg(long)]
    man: bool,
    /// Prints this help
    #[arg(short, long, action = ArgAction::HelpShort)]
    help: Option<bool>,
    /// Prints the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// The values of the flags for options.
    #[arg(skip)]
    matches: ArgMatches,
}

impl Args {
    /// Parses the arguments of the process.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let words: Vec<_> = words.into_iter().collect();
        let matches = match definition().try_get_matches_from(&words) {
            // `--help` after a command asks for the help of that command.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                let definition = definition().mut_arg("help", |arg| arg.action(ArgAction::SetTrue));
                definition.try_get_matches_from(&words).map_err(|_| error)?
            }
            parsed => parsed?,
        };
        let mut args = Self::from_arg_matches(&matches)?;
        args.matches = matches;
        Ok(args)
    }

    /// Returns the mode, if a flag gives one.
    pub fn mode(&self) -> Option<Mode> {
        if self.json { Some(Mode::Json) } else { self.mode.as_deref().and_then(Mode::parse) }
    }

    /// Returns whether results are in JSON.
    pub fn is_json(&self) -> bool {
        self.mode() == Some(Mode::Json)
    }

    /// Returns the value of the flag for the option `name`.
    pub fn engine_flag(&self, name: &str) -> Option<OsString> {
        self.matches.get_one::<OsString>(name).cloned()
    }

    /// Moves the first word to the command if DIR is missing and the command needs none: `logkv
    /// help get`, `logkv get --help`.
    pub fn takes_no_dir(&mut self) -> bool {
        let Some(first) = self.dir.as_ref().filter(|first| is_missing_command(first)) else { return false };
        let needs = command::find(TABLE, first.as_encoded_bytes()).map(|command| command.needs);
        if !(self.help == Some(true) || matches!(needs, Some(Needs::Program)))
            || !self.lines.is_empty()
            || self.file.is_some()
        {
            return false;
        }
        self.command.splice(..0, self.dir.take());
        if self.help.take() == Some(true) {
            self.command.truncate(1);
            self.command.insert(0, command::HELP.name.into());
        }
        true
    }

    /// Returns the directory of the store. If `default`, from LOGKV_DIR, gives one, the first
    /// argument may be the command.
    pub fn take_dir(&mut self, default: Option<OsString>) -> Option<PathBuf> {
        let default = default.filter(|dir| !dir.is_empty());
        let dir = match (self.dir.take(), default) {
            (Some(first), Some(default)) if is_command(&first) => {
                self.command.insert(0, first);
                default
            }
            (Some(dir), _) | (None, Some(dir)) => dir,
            (None, None) => return None,
        };
        Some(dir.into())
    }

    /// Prints the completions, the manual page or the help of the program, if requested. Returns
    /// whether it printed anything.
    pub fn print_documents(&self, out: &mut dyn Write) -> io::Result<bool> {
        if let Some(shell) = self.completions {
            completions::write(shell, &definition(), "command", out)?;
        }
        if self.man {
            manual::write(definition(), EXAMPLES, out)?;
        }
        let is_asked = self.help == Some(true);
        if is_asked {
            write!(out, "{}", definition().render_help())?;
        }
        Ok(self.completions.is_some() || self.man || is_asked)
    }
}

fn is_command(word: &OsStr) -> bool {
    command::find(TABLE, word.as_encoded_bytes()).is_some()
}

/// Returns whether `dir` is the name of a command and not a file in the current directory: the user
/// forgot DIR.
pub fn is_missing_command(dir: &OsStr) -> bool {
    let is_missing = || {
        let found = Path::new(dir).symlink_metadata();
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    is_command(dir) && is_missing()
}

/// Returns the definition of all arguments: those above, and a flag for each option.
fn definition() -> clap::Command {
    // Then -1 is reported as a bad value of its flag, not as an unknown flag.
    let is_valued = |arg: &Arg| !arg.is_positional() && arg.get_action().takes_values();
    let command =
        Args::command().mut_args(|arg| if is_valued(&arg) { arg.allow_negative_numbers(true) } else { arg });
    config::ROWS.iter().fold(command, |command, row| {
        let arg = Arg::new(row.name)
            .long(row.name)
            .value_name(row.value_name)
            .help(format!("{} [default: {}]", row.doc, row.default()))
            .help_heading("Engine options")
            .value_parser(clap::value_parser!(OsString));
        let arg = if row.is_switch {
            arg.num_args(0..=1).require_equals(true).default_missing_value("yes")
        } else {
            arg.allow_hyphen_values(true)
        };
        command.arg(arg)
    })
}

/// Returns a usage error about arguments that clap accepts.
pub fn usage_error(message: &str) -> clap::Error {
    definition().error(ErrorKind::MissingRequiredArgument, message)
}

/// Returns whether arguments that do not parse ask for JSON.
pub fn asks_json(words: impl IntoIterator<Item = OsString>) -> bool {
    let matches = definition().ignore_errors(true).try_get_matches_from(words);
    matches.and_then(|matches| Args::from_arg_matches(&matches)).is_ok_and(|args| args.is_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::parse(std::iter::once("logkv").chain(words.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_definition_passes_the_checks_of_clap() {
        definition().debug_assert();
    }

    #[test]
    fn words_after_the_command_belong_to_it() {
        let mut args = parse(&["-r", "d", "--sync", "never", "--trust", "get", "-o", "f", "--", "-k"])
            .expect("the arguments are valid");
        assert!(args.read_only);
        assert_eq!(args.engine_flag("sync"), Some("never".into()));
        assert_eq!(args.engine_flag("trust"), Some("yes".into()));
        assert_eq!(args.engine_flag("segment-size"), None);
        assert_eq!(args.take_dir(None), Some("d".into()));
        assert_eq!(args.command, ["get", "-o", "f", "--", "-k"]);
    }

    #[test]
    fn with_a_directory_in_the_environment_the_first_argument_may_be_the_command() {
        let mut args = parse(&["get", "k"]).expect("the arguments are valid");
        assert_eq!(args.take_dir(Some("e".into())), Some("e".into()));
        assert_eq!(args.command, ["get", "k"]);
        let mut args = parse(&["d", "get", "k"]).expect("the arguments are valid");
        assert_eq!(args.take_dir(Some("e".into())), Some("d".into()));
        assert_eq!(args.command, ["get", "k"]);
        assert_eq!(parse(&[]).expect("the arguments are valid").take_dir(Some("".into())), None);
    }

    #[test]
    fn options_can_follow_the_directory() {
        let args = parse(&["d", "-c", "put a 1", "-c", "get a", "--json"]).expect("the arguments are valid");
        assert_eq!(args.lines, ["put a 1", "get a"]);
        assert_eq!(args.mode(), Some(Mode::Json));
        for (words, mode) in [
            (&["-m", "table", "-m", "plain", "d"][..], Mode::Plain),
            (&["-m", "plain", "--json", "d"], Mode::Json),
            (&["--json", "-m", "raw", "d"], Mode::Raw),
        ] {
            assert_eq!(parse(words).expect("the arguments are valid").mode(), Some(mode));
        }
        assert!(parse(&["d", "-c", "get a", "get", "b"]).is_err());
        assert!(parse(&["d", "--frobnicate"]).is_err());
    }

    #[test]
    fn help_fits_eighty_columns_and_ends_with_examples() {
        let help = definition().render_help().to_string();
        for line in help.lines() {
            assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
        }
        assert!(help.trim_end().ends_with(EXAMPLES));
    }
}
