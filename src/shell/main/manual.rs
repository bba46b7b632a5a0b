//! The manual page.

use std::io::{self, Write};

use crate::shell::commands::TABLE;
use crate::shell::lang::command::{self, Group};
use crate::shell::run::session::Command;

/// The forms of a call.
const SYNOPSIS: &str = "\
logkv [OPTIONS] DIR
logkv [OPTIONS] DIR COMMAND [ARGUMENTS]
logkv [OPTIONS] DIR -c LINE [-c LINE]
logkv [OPTIONS] DIR -f FILE
logkv help [COMMAND]";

/// Files outside the store that the program reads or writes.
const FILES: [(&str, &str); 3] = [
    ("DIR/logkv.toml", "The engine's options for this store; config --init writes one."),
    ("$XDG_CONFIG_HOME/logkv/init", "Commands that the shell starts with; by default in ~/.config."),
    ("$XDG_STATE_HOME/logkv/history", "The lines typed at the prompt; by default in ~/.local/state."),
];

/// Writes the page of the program in `definition`. `notes` has the examples, paragraphs and exit
/// codes.
pub fn write(definition: clap::Command, notes: &str, out: &mut dyn Write) -> io::Result<()> {
    let man = clap_mangen::Man::new(definition);
    man.render_title(out)?;
    man.render_name_section(out)?;
    writeln!(out, ".SH SYNOPSIS\n.nf\n{}\n.fi", roff(SYNOPSIS))?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    let common =
        command::COMMON.each_ref().map(|flag| format!("\\fB{}\\fR", roff(&format!("--{}", flag.name))));
    writeln!(out, "Each takes {}.", common.join(" and "))?;
    for group in Group::ALL {
        writeln!(out, ".SS {}", group.name())?;
        let commands = TABLE.iter().filter(|command| command.group == group);
        commands.into_iter().try_for_each(|command| write_command(command, out))?;
    }
    writeln!(out, ".SH FILES")?;
    for (path, what) in FILES {
        writeln!(out, ".TP\n{}\n{}", roff(path), roff(what))?;
    }
    write_notes(notes, out)?;
    man.render_version_section(out)
}

fn write_command(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<_> = command.names().map(|name| format!("\\fB{}\\fR", roff(name))).collect();
    writeln!(out, ".TP\n{} {}", names.join(", "), roff(command.signature))?;
    let help = roff(command.help).replace("\n\n", "\n.sp\n");
    writeln!(out, "{}.\n.br\n{help}", roff(command.summary))?;
    for flag in command.flags {
        writeln!(out, ".br\n\\fB{}\\fR: {}.", roff(&flag.usage()), roff(flag.doc))?;
    }
    Ok(())
}

fn write_notes(notes: &str, out: &mut dyn Write) -> io::Result<()> {
    for paragraph in notes.split("\n\n") {
        match paragraph.split_once(':') {
            Some(("Examples", examples)) => {
                writeln!(out, ".SH EXAMPLES\n.nf\n{}\n.fi", roff(examples.trim_start_matches('\n')))?;
            }
            Some(("Exit codes", codes)) => writeln!(out, ".SH EXIT STATUS\n{}", roff(codes.trim_start()))?,
            _ => writeln!(out, ".PP\n{}", roff(paragraph))?,
        }
    }
    Ok(())
}

/// Escapes `text` so that roff shows it literally.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_flag_and_the_exit_codes() {
        let mut page = Vec::new();
        let notes = "Examples:\n  logkv ./data\n\nOn.\n\nExit codes: 0 done";
        write(clap::Command::new("logkv").version("1"), notes, &mut page)
            .expect("a vector accepts every write");
        let page = String::from_utf8(page).expect("the page is UTF-8");
        for command in TABLE {
            assert!(page.contains(&format!("\\fB{}\\fR", roff(command.name))), "{}", command.name);
            for flag in command.flags {
                assert!(page.contains(&format!("\\fB{}\\fR: ", roff(&flag.usage()))), "{}", flag.name);
            }
        }
        assert!(page.contains(".SH EXAMPLES\n.nf\n  logkv ./data\n.fi\n.PP\nOn.\n.SH EXIT STATUS\n0 done\n"));
    }
}
