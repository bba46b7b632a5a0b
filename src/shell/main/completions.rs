//! What the user's own shell offers behind `logkv`: options, and behind DIR the commands, their flags and words.

use std::io::{self, Write};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgGroup, ValueHint};
use clap_complete::Shell;

use crate::shell::commands::TABLE;
use crate::shell::lang::command::{ArgKind, Flag, Takes};
use crate::shell::run::session::Command;

/// Writes the completions for `shell` of a program with the arguments of `definition`, of which `rest` is a command of the
/// table and what follows it.
pub fn write(
    shell: Shell,
    definition: &clap::Command,
    rest: &'static str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name = definition.get_name();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole(definition, rest), name, &mut script);
    let mut script = String::from_utf8(script).map_err(io::Error::other)?;
    for (of_first_word, of_second) in behind_dir(shell) {
        script = script.replace(of_first_word, of_second);
    }
    out.write_all(script.as_bytes())
}

/// The program as one whose commands are known: it is parsed otherwise, as what follows DIR has rules of its own.
fn whole(definition: &clap::Command, rest: &'static str) -> clap::Command {
    let args = definition.get_arguments().filter(|arg| arg.get_id() != rest).cloned();
    clap::Command::new(definition.get_name().to_owned())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(args)
        // Others say that they stand in conflict with it.
        .group(ArgGroup::new(rest))
        .subcommands(TABLE.iter().map(subcommand))
}

/// Where a script for `shell` takes the first word for the command, and the same for the second: the first is DIR.
fn behind_dir(shell: Shell) -> &'static [(&'static str, &'static str)] {
    match shell {
        Shell::Fish => &[("set -q argv[1]", "set -q argv[2]"), ("echo $argv[1]", "echo $argv[2]")],
        Shell::Elvish => &[("for word $words[1..-1] {", "for word [(drop 2 $words[..-1])] {")],
        Shell::PowerShell => &[("for ($i = 1;", "for ($i = 2;")],
        // These know that a word comes before.
        _ => &[],
    }
}

/// A command of the table as the generators know commands.
fn subcommand(command: &Command) -> clap::Command {
    // Scripts match names as patterns: `?` would be any directory of one letter.
    let aliases = command.aliases.iter().filter(|alias| alias.chars().all(|c| c.is_ascii_alphanumeric()));
    clap::Command::new(command.name)
        .about(command.summary)
        .visible_aliases(aliases.copied())
        .disable_help_flag(true)
        .args(command.all_flags().map(flag))
        .args(arguments(command))
}

fn flag(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.doc);
    let arg = flag.short.into_iter().fold(arg, Arg::short);
    match flag.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::Enum(words) => arg.value_parser(PossibleValuesParser::new(words)),
        Takes::File => arg.value_hint(ValueHint::FilePath),
        Takes::Directory => arg.value_hint(ValueHint::DirPath),
        Takes::Number
        | Takes::Cursor
        | Takes::Duration
        | Takes::Time
        | Takes::Key
        | Takes::Glob
        | Takes::Field => arg.value_hint(ValueHint::Other),
    }
}

/// The arguments of a command; of those without a limit the first, which may be repeated.
fn arguments(command: &Command) -> impl Iterator<Item = Arg> {
    let max = command.arity.max;
    (0..max.unwrap_or(1)).filter_map(move |index| {
        let arg = Arg::new(format!("argument {index}"));
        let arg = if max.is_none() { arg.num_args(0..) } else { arg };
        command.arg_kind(index).map(|kind| argument(arg, kind))
    })
}

fn argument(arg: Arg, kind: ArgKind) -> Arg {
    match kind {
        ArgKind::Enum(words) => arg.value_parser(PossibleValuesParser::new(words)),
        ArgKind::Topic(others) => {
            let commands = TABLE.iter().map(|command| command.name);
            arg.value_parser(PossibleValuesParser::new(commands.chain(others.iter().copied())))
        }
        ArgKind::File => arg.value_hint(ValueHint::FilePath),
        ArgKind::Key
        | ArgKind::Value
        | ArgKind::Glob
        | ArgKind::Segment
        | ArgKind::Sealed
        | ArgKind::Number
        | ArgKind::Point
        | ArgKind::Duration => arg.value_hint(ValueHint::Other),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn definition() -> clap::Command {
        let rest = Arg::new("rest").num_args(0..);
        let line = Arg::new("line").short('c').conflicts_with("rest");
        clap::Command::new("logkv").args([Arg::new("dir"), rest, line])
    }

    #[test]
    fn a_script_for_any_shell_has_every_command_and_every_flag() {
        for &shell in Shell::value_variants() {
            let mut script = Vec::new();
            write(shell, &definition(), "rest", &mut script).expect("memory takes it");
            let script = String::from_utf8(script).expect("a script is text");
            for command in TABLE {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
                for flag in command.all_flags() {
                    // Some have the dashes apart.
                    assert!(script.contains(flag.name), "{shell}: {} --{}", command.name, flag.name);
                }
            }
        }
    }

    #[test]
    fn what_takes_the_first_word_for_the_command_stands_in_the_scripts_once_and_is_changed() {
        for &shell in Shell::value_variants() {
            let mut made = Vec::new();
            clap_complete::generate(shell, &mut whole(&definition(), "rest"), "logkv", &mut made);
            let made = String::from_utf8(made).expect("a script is text");
            for (of_first_word, of_second) in behind_dir(shell) {
                assert_eq!(made.matches(of_first_word).count(), 1, "{shell}: {of_first_word}");
                assert!(!made.contains(of_second), "{shell}: {of_second}");
            }
        }
    }
}
