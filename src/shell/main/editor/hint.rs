//! The hint after the cursor: the arguments and flags that a command still accepts.

use rustyline::hint::Hint;

use super::spot::{Role, Roles, Spot};
use crate::shell::commands::TABLE;
use crate::shell::lang::command::{self, ArgKind};
use crate::shell::run::session::Command;
use crate::shell::term::fit::clip;
use crate::shell::term::style::Look;

/// A hint that cannot be inserted. rustyline would insert a `String` at the right arrow key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(String);

impl Hint for Signature {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

/// Returns the hint for `line`, cut to `room` columns, because a hint that wraps would move the
/// line.
pub fn hint(line: &str, room: usize, look: &Look) -> Option<Signature> {
    let spot = Spot::at_end(line);
    let command = match spot.role {
        Role::Command => command::find(TABLE, &spot.bytes)?,
        _ => spot.before.command?,
    };
    let ellipsis = look.ellipsis();
    let is_typing = !spot.span.is_empty();
    let rest = match spot.role {
        Role::FlagValue(_) if is_typing => remaining(command, &spot.before, 0, ellipsis),
        Role::FlagValue(flag) => {
            let rest = remaining(command, &spot.before, 0, ellipsis);
            [flag.takes.placeholder(), Some(rest)].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        Role::Argument(..) if is_typing => remaining(command, &spot.before, 1, ellipsis),
        _ => remaining(command, &spot.before, 0, ellipsis),
    };
    let blank = if is_typing { " " } else { "" };
    let text = clip(&format!("{blank}{rest}"), room, ellipsis);
    (!rest.is_empty() && text != ellipsis).then_some(Signature(text))
}

/// Returns the arguments and flags of `command` that are not in `given`, without the next `extra`
/// arguments.
fn remaining(command: &Command, given: &Roles, extra: usize, ellipsis: &str) -> String {
    let arguments = arguments(command, given.args.len() + extra, ellipsis);
    let flags = command.flags.iter().filter(|flag| !given.flags.contains(flag));
    let flags = flags.map(|flag| match flag.takes.placeholder() {
        Some(value) => format!("[--{} {value}]", flag.name),
        None => format!("[--{}]", flag.name),
    });
    (!arguments.is_empty()).then_some(arguments).into_iter().chain(flags).collect::<Vec<_>>().join(" ")
}

/// Returns the placeholders of the arguments from index `from`. Optional ones are in brackets.
fn arguments(command: &Command, from: usize, ellipsis: &str) -> String {
    let round = command.args.len();
    if round == 0 || command.arity.max.is_some_and(|max| from >= max) {
        return String::new();
    }
    // Repeating arguments show the rest of the current round, or the next round.
    let at = if command.arity.max.is_none() { from % round } else { from };
    let names = command.args.get(at..).unwrap_or_default().iter().map(|kind| placeholder(*kind));
    match command.arity.max {
        None => {
            let names = names.collect::<Vec<_>>().join(" ");
            if from >= round && at == 0 {
                format!("[{names}{ellipsis}]")
            } else {
                format!("{names}{ellipsis}")
            }
        }
        Some(_) => {
            let bracket = |(index, name): (usize, String)| {
                if at + index < command.arity.min { name } else { format!("[{name}]") }
            };
            names.enumerate().map(bracket).collect::<Vec<_>>().join(" ")
        }
    }
}

fn placeholder(kind: ArgKind) -> String {
    match kind {
        ArgKind::Key => "KEY".to_owned(),
        ArgKind::Value => "VALUE".to_owned(),
        ArgKind::Glob => "PATTERN".to_owned(),
        ArgKind::Segment | ArgKind::Sealed => "SEG".to_owned(),
        ArgKind::File => "FILE".to_owned(),
        ArgKind::Topic(others) => format!("COMMAND|{}", others.join("|")),
        ArgKind::Number => "N".to_owned(),
        ArgKind::Point => "SEQ|TIME".to_owned(),
        ArgKind::Duration => "DURATION".to_owned(),
        ArgKind::Enum(allowed) => allowed.join("|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    fn hinted(line: &str) -> String {
        hint(line, 200, &LOOK).map(|hint| hint.0).unwrap_or_default()
    }

    #[test]
    fn a_hint_shrinks_as_arguments_are_typed() {
        assert!(hinted("put").starts_with(" KEY VALUE…"));
        assert!(hinted("put ").starts_with("KEY VALUE…"));
        assert!(hinted("put a").starts_with(" VALUE…"));
        assert!(hinted("put a ").starts_with("VALUE…"));
        assert!(hinted("put a 1").starts_with(" [KEY VALUE…]"));
        assert_eq!(hinted("diff "), "SEQ|TIME");
        assert_eq!(hinted("mode json"), "");
        assert_eq!(hinted("nonsense "), "");
        assert_eq!(hinted(""), "");
    }

    #[test]
    fn a_given_flag_is_not_hinted_but_its_value_is() {
        assert!(hinted("put a 1 ").contains("[--nx]"));
        assert!(!hinted("put a 1 --nx ").contains("[--nx]"));
        assert!(hinted("put a --file ").starts_with("FILE"));
    }

    #[test]
    fn a_hint_is_cut_to_its_room_and_never_inserted() {
        let hint = hint("put ", 8, &LOOK).expect("put has arguments");
        assert_eq!(hint.display(), "KEY VAL…");
        assert_eq!(hint.completion(), None);
        assert_eq!(super::hint("put ", 1, &LOOK), None);
    }
}
