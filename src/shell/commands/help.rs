//! `help`: lists the commands, and explains a command or the options.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use crate::shell::lang::answer::Answer;
use crate::shell::lang::command::{self, ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::parse;
use crate::shell::run::config;
use crate::shell::run::session::{Command, Invocation, Origin, Run, Session};
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::fit::{hang, wrap};
use crate::shell::term::output::Output;
use crate::shell::term::style::{Look, hue};

pub const HELP: Command = Command {
    name: "help",
    aliases: &["?"],
    group: Group::Shell,
    signature: "[COMMAND|options]",
    summary: "Lists the commands, or explains one",
    help: "An explanation has the arguments, flags and examples of a command. COMMAND --help and \
           COMMAND -h print it too, and so does logkv help COMMAND without a directory. help options lists \
           the options of the engine, with their values, effects and defaults.",
    examples: &[
        Example { line: "help", does: "lists the commands" },
        Example { line: "help put", does: "explains put" },
        Example { line: "help options", does: "lists the options of the engine" },
    ],
    flags: &[],
    args: &[ArgKind::Topic(&[OPTIONS])],
    arity: Arity::between(0, 1),
    needs: Needs::Program,
    run: Run::Itself(run_help),
};

/// The topic of the engine's options.
const OPTIONS: &str = "options";

fn run_help(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let named = invocation.args.first();
    if named.is_some_and(|word| word.bytes == OPTIONS.as_bytes()) {
        write_options(&mut session.out)?;
        return Ok(Outcome::Done);
    }
    let named = named.map(|word| {
        command::find(session.commands(), &word.bytes)
            .ok_or_else(|| parse::unknown_command(session.commands(), word))
    });
    let named = named.transpose()?;
    let commands = named.map_or(session.commands(), std::slice::from_ref);
    if session.out.objects(commands, command_fields)? {
        return Ok(Outcome::Done);
    }
    match named {
        Some(command) => write_about(&mut session.out, command)?,
        None => {
            let commands = session.commands();
            write_overview(&mut session.out, commands)?;
            if session.origin() == Origin::OneShot {
                writeln!(session.out, "logkv DIR COMMAND runs one. logkv --help lists the options.")?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn command_fields(answer: &mut Answer<'_>, command: &Command) {
    answer.json("command", command.name).json("aliases", command.aliases.to_vec());
    answer.json("group", command.group.name()).json("usage", command.usage());
    answer.json("summary", command.summary).json("help", command.help);
}

const OVERVIEW_COLUMNS: &[Column] =
    &[Column::text("names", hue::GOOD), Column::text("summary", hue::PLAIN).wrapped()];

fn write_overview(out: &mut Output, commands: &'static [Command]) -> io::Result<()> {
    let names = |command: &Command| format!("  {}", command.names().collect::<Vec<_>>().join(", "));
    let width = commands.iter().map(|command| names(command).len()).max().unwrap_or(0);
    for group in Group::ALL {
        writeln!(out, "{}", out.look.paint(group.name(), hue::HEAD))?;
        let mut table = Table::new(OVERVIEW_COLUMNS, out.look).headless();
        for command in commands.iter().filter(|command| command.group == group) {
            // All groups have the same column width.
            table.row(out, [format!("{:width$}", names(command)), command.summary.to_owned()])?;
        }
        table.end(out)?;
    }
    writeln!(
        out,
        "{}",
        wrap(
            "help COMMAND or COMMAND --help explains a command, help options the engine's options. Each \
             accepts --json.",
            out.look.width
        )
    )
}

/// Longer lines are hard to read, even on a wide terminal.
const HELP_WIDTH: usize = 80;

const FLAG_COLUMNS: &[Column] =
    &[Column::text("flag", hue::PLAIN), Column::text("doc", hue::PLAIN).wrapped()];

/// Returns the look of help texts on `out`.
fn look_on(out: &Output) -> Look {
    Look { width: out.look.width.min(HELP_WIDTH), ..out.look }
}

fn write_options(out: &mut Output) -> io::Result<()> {
    let is_written = out.objects(config::ROWS, |answer, row| {
        answer.json("option", row.name).json("usage", row.usage()).json("takes", row.allowed);
        answer.json("default", row.default()).json("environment", row.env_name()).json("help", row.doc);
    })?;
    if is_written {
        return Ok(());
    }
    let look = look_on(out);
    writeln!(out, "{}", look.paint("Engine options", hue::HEAD))?;
    for row in config::ROWS {
        let text = format!("{}. Takes {}. [default: {}]", row.doc, row.allowed, row.default());
        writeln!(out, "  {}\n{}", look.paint(row.usage(), hue::GOOD), below(&text, &look))?;
    }
    let text = "config lists the present values; help config names the places that can set an option.";
    writeln!(out, "\n{}", wrap(text, look.width))
}

fn write_about(out: &mut Output, command: &Command) -> io::Result<()> {
    let look = look_on(out);
    let usage = usage_lines(&look.spell(&command.usage()), look.width);
    let arguments = usage.strip_prefix(command.name).unwrap_or_default();
    writeln!(out, "{}{arguments}", look.paint(command.name, hue::GOOD))?;
    if !command.aliases.is_empty() {
        writeln!(out, "also: {}", command.aliases.join(", "))?;
    }
    writeln!(out, "\n{}", wrap(&format!("{}.", command.summary), look.width))?;
    let paragraphs = command.help.split("\n\n").map(|text| wrap(&look.spell(text), look.width));
    writeln!(out, "{}", paragraphs.collect::<Vec<_>>().join("\n\n"))?;
    if !command.flags.is_empty() {
        writeln!(out, "\n{}", look.paint("Flags", hue::HEAD))?;
        write_flags(out, command, &look)?;
    }
    writeln!(out, "\n{}", look.paint("Examples", hue::HEAD))?;
    for example in command.examples {
        // A line that may be copied stays whole.
        writeln!(out, "  {}\n{}", example.line, look.paint(below(example.does, &look), hue::DIM))?;
    }
    Ok(())
}

/// Writes the flags, each beside its text, or above it on a narrow terminal.
fn write_flags(out: &mut Output, command: &Command, look: &Look) -> io::Result<()> {
    const DOC_WIDTH_LEAST: usize = 24;
    let usages = command.flags.iter().map(|flag| format!("  {}", flag.usage()));
    let widest = usages.clone().map(|usage| usage.width()).max().unwrap_or(0);
    if look.width < widest + DOC_WIDTH_LEAST {
        return usages
            .zip(command.flags)
            .try_for_each(|(usage, flag)| writeln!(out, "{usage}\n{}", below(flag.doc, look)));
    }
    let mut table = Table::new(FLAG_COLUMNS, *look).headless();
    for (usage, flag) in usages.zip(command.flags) {
        table.row(out, [usage, flag.doc.to_owned()])?;
    }
    table.end(out)
}

/// Indents `text` for the lines below a heading.
fn below(text: &str, look: &Look) -> String {
    const INDENT: usize = 6;
    hang(look.width, &" ".repeat(INDENT), INDENT, text.split_whitespace())
}

/// Breaks `usage` into lines of `width` columns. Breaks inside brackets, or before the value of a
/// flag, only if that part is wider than a line.
fn usage_lines(usage: &str, width: usize) -> String {
    const INDENT: usize = 4;
    let mut parts: Vec<String> = Vec::new();
    let mut depth = 0;
    for word in usage.split(' ') {
        match parts.last_mut() {
            Some(last)
                if (depth > 0 || is_flag(last) && !word.starts_with(['|', '[', '-']))
                    && last.width() + 1 + word.width() <= width.saturating_sub(INDENT) =>
            {
                *last = format!("{last} {word}");
            }
            _ => parts.push(word.to_owned()),
        }
        depth += word.matches('[').count();
        depth = depth.saturating_sub(word.matches(']').count());
    }
    hang(width, "", INDENT, parts.iter().map(String::as_str))
}

/// Returns whether this part of a usage is a flag without its value.
fn is_flag(part: &str) -> bool {
    part.starts_with("--") && !part.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::commands::TABLE;

    #[test]
    fn a_usage_breaks_between_flags() {
        let usage = "scan [A|B] [--from KEY [--to KEY]] | --glob PATTERN [-y]";
        assert_eq!(usage_lines(usage, 80), usage);
        assert_eq!(
            usage_lines(usage, 30),
            "scan [A|B]\n    [--from KEY [--to KEY]] |\n    --glob PATTERN [-y]"
        );
        assert_eq!(
            usage_lines(usage, 20),
            "scan [A|B]\n    [--from KEY\n    [--to KEY]] |\n    --glob PATTERN\n    [-y]"
        );
    }

    #[test]
    fn help_texts_have_short_paragraphs_and_field_names_last() {
        const LINES_MAX: usize = 7;
        for command in TABLE {
            let paragraphs: Vec<_> = command.help.split("\n\n").collect();
            for (index, text) in paragraphs.iter().enumerate() {
                let lines = wrap(text, HELP_WIDTH).lines().count();
                assert!(lines <= LINES_MAX, "help {} has a paragraph of {lines} lines: {text}", command.name);
                let names_fields = text.contains("mode json one object") || text.contains("Mode plain has");
                let is_last = index + 1 == paragraphs.len();
                assert!(is_last || !names_fields, "help {} continues after {text}", command.name);
            }
        }
    }
}
