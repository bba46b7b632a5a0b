//! The commands, and the table of their rows. Each file holds one command or a few related ones.

mod backup;
mod batch;
mod clear;
pub mod compact;
mod config;
mod diff;
pub mod dump_segment;
mod expiry;
pub mod foreign;
pub mod get;
mod help;
mod history;
mod incr;
mod keys;
mod output;
mod point;
pub mod put;
mod quit;
mod read;
mod repair;
mod restore;
mod rotate;
mod segments;
mod settings;
mod stats;
mod sync;
pub mod tail;
pub mod transfer;
pub mod verify;
mod version;
mod versions;
pub mod words;

use crate::shell::run::session::Command;

/// All commands, in the order of `help`.
pub static TABLE: &[Command] = &[
    get::GET,
    put::PUT,
    put::DEL,
    get::EXISTS,
    incr::INCR,
    expiry::TTL,
    expiry::EXPIRE,
    expiry::PERSIST,
    keys::KEYS,
    keys::SCAN,
    keys::COUNT,
    batch::BEGIN,
    batch::COMMIT,
    batch::ROLLBACK,
    stats::STATS,
    segments::SEGMENTS,
    dump_segment::DUMP_SEGMENT,
    versions::VERSIONS,
    diff::DIFF,
    tail::TAIL,
    verify::VERIFY,
    compact::COMPACT,
    sync::SYNC,
    rotate::ROTATE,
    backup::BACKUP,
    restore::RESTORE,
    transfer::import::IMPORT,
    transfer::export::EXPORT,
    repair::REPAIR,
    config::CONFIG,
    help::HELP,
    settings::MODE,
    settings::TIMER,
    settings::ECHO,
    settings::BAIL,
    settings::COLOR,
    read::READ,
    output::OUTPUT,
    history::HISTORY,
    clear::CLEAR,
    version::VERSION,
    quit::QUIT,
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::TABLE;
    use crate::shell::lang::command::{self, Group};
    use crate::shell::lang::parse;

    #[test]
    fn every_name_and_alias_is_listed_once() {
        let mut seen = HashSet::new();
        for command in TABLE {
            for name in command.names() {
                assert!(seen.insert(name), "{name} is listed twice");
                assert_eq!(
                    command::find(TABLE, name.to_uppercase().as_bytes()).map(|c| c.name),
                    Some(command.name)
                );
            }
        }
    }

    #[test]
    fn only_shell_commands_accept_a_leading_dot_or_backslash() {
        for command in TABLE {
            for lead in [".", "\\"] {
                let found = command::find(TABLE, format!("{lead}{}", command.name).as_bytes());
                assert_eq!(found.is_some(), command.group == Group::Shell, "{lead}{}", command.name);
            }
        }
    }

    #[test]
    fn every_command_and_flag_has_help() {
        for command in TABLE {
            assert!(!command.summary.is_empty() && !command.help.is_empty(), "{}", command.name);
            assert!(!command.summary.ends_with('.'), "{}", command.name);
            assert!(!command.examples.is_empty(), "{}", command.name);
            for flag in command.flags {
                assert!(!flag.doc.is_empty(), "{} --{}", command.name, flag.name);
                assert!(
                    command.signature.contains(&format!("--{}", flag.name)),
                    "{} --{}",
                    command.name,
                    flag.name
                );
            }
        }
    }

    #[test]
    fn every_example_parses() {
        for command in TABLE {
            for example in command.examples {
                let parsed = parse::parse_line(TABLE, example.line.as_bytes())
                    .expect("the example parses")
                    .expect("the example is not blank");
                assert_eq!(parsed.command.name, command.name, "{}", example.line);
            }
        }
    }
}
