//! Completions for the user's shell: options, and after DIR the commands with their flags and
//! words.

use std::io::{self, Write};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgGroup, ValueHint};
use clap_complete::Shell;

use crate::shell::commands::TABLE;
use crate::shell::lang::command::{ArgKind, Flag, Takes};
use crate::shell::run::session::Command;

/// Writes completions for `shell`. In `definition`, the argument `rest` holds a command of the
/// table and its words.
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
    for (of_first_word, of_second) in after_dir(shell) {
        script = script.replace(of_first_word, of_second);
    }
    out.write_all(script.as_bytes())
}

/// Returns the program with its commands as subcommands. The parser does not use them, because the
/// words after DIR have rules of their own.
fn whole(definition: &clap::Command, rest: &'static str) -> clap::Command {
    let args = definition.get_arguments().filter(|arg| arg.get_id() != rest).cloned();
    clap::Command::new(definition.get_name().to_owned())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(args)
        // Other arguments declare a conflict with it.
        .group(ArgGroup::new(rest))
        .subcommands(TABLE.iter().map(subcommand))
}

/// Returns the replacements in the script for `shell`. The script takes the first word as the
/// command, but here the first word is DIR.
fn after_dir(shell: Shell) -> &'static [(&'static str, &'static str)] {
    match shell {
        Shell::Fish => &[("set -q argv[1]", "set -q argv[2]"), ("echo $argv[1]", "echo $argv[2]")],
        Shell::Elvish => &[("for word $words[1..-1] {", "for word [(drop 2 $words[..-1])] {")],
        Shell::PowerShell => &[("for ($i = 1;", "for ($i = 2;")],
        // The other scripts skip the first word already.
        _ => &[],
    }
}

/// Returns a command of the table in the form of clap.
fn subcommand(command: &Command) -> clap::Command {
    // Scripts match names as patterns, and `?` would match any directory of one letter.
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

/// Returns the arguments of a command. Without a limit, only the first, which can be repeated.
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
    fn every_script_has_every_command_and_flag() {
        for &shell in Shell::value_variants() {
            let mut script = Vec::new();
            write(shell, &definition(), "rest", &mut script).expect("a vector accepts every write");
            let script = String::from_utf8(script).expect("the script is UTF-8");
            for command in TABLE {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
                for flag in command.all_flags() {
                    // Some scripts write the dashes separately.
                    assert!(script.contains(flag.name), "{shell}: {} --{}", command.name, flag.name);
                }
            }
        }
    }

    #[test]
    fn each_replaced_text_stands_in_its_script_exactly_once() {
        for &shell in Shell::value_variants() {
            let mut made = Vec::new();
            clap_complete::generate(shell, &mut whole(&definition(), "rest"), "logkv", &mut made);
            let made = String::from_utf8(made).expect("the script is UTF-8");
            for (of_first_word, of_second) in after_dir(shell) {
                assert_eq!(made.matches(of_first_word).count(), 1, "{shell}: {of_first_word}");
                assert!(!made.contains(of_second), "{shell}: {of_second}");
            }
        }
    }
}
