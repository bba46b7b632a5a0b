//! Hints for lines that mean something else in another shell or database.

use std::borrow::Cow;

use super::config;
use crate::shell::lang::command::{self, ArgKind, Command, Group, Invocation};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::report::USAGE_HINT;
use crate::shell::lang::words::{self, Style, Word, is_digits, quote};

/// Returns whether `command` sets keys to values.
fn puts<R>(command: &Command<R>) -> bool {
    command.args == [ArgKind::Key, ArgKind::Value]
}

/// Returns a hint if `invocation`, typed as `line`, stored an option as a key.
pub fn option_hint<R>(
    table: &'static [Command<R>],
    invocation: &Invocation<R>,
    line: &[u8],
) -> Option<String> {
    set_option(table, invocation, line).or_else(|| set_until(invocation))
}

/// Returns `failure`, with a hint about an odd word instead of the usage.
pub fn advised<'a, R>(table: &'static [Command<R>], failure: &'a Failure, line: &[u8]) -> Cow<'a, Failure> {
    let has_advice = failure.hint.as_ref().is_some_and(|hint| !hint.starts_with(USAGE_HINT));
    if failure.kind != Kind::Usage || has_advice {
        return Cow::Borrowed(failure);
    }
    odd_word(table, line).map_or(Cow::Borrowed(failure), |hint| Cow::Owned(failure.clone().hint(hint)))
}

/// Returns a hint about the first word of `line` that is an operator in another shell: `>`, `|`, a
/// `;` at the end. Words in quotes or after two dashes are exempt.
pub fn odd_word<R>(table: &'static [Command<R>], line: &[u8]) -> Option<String> {
    let words = words::split(line).ok()?;
    let is_put = |name: &Word| command::find(table, &name.bytes).is_some_and(puts);
    let is_odd_put = words.len() == 4 && words.first().is_some_and(is_put);
    let is_bare = |word: &&Word| word.style == Style::Bare;
    let bare = words.iter().take_while(|word| word.bytes != b"--").filter(is_bare).skip(1);
    for word in bare {
        let is_last = word.span.end == line.trim_ascii_end().len();
        let text = match word.bytes.as_slice() {
            b">" | b">>" => {
                "> is a word like any other here: output FILE sends results into a file, get KEY -o FILE \
                 a value, and export FILE keys and values"
            }
            b"<" | b"<<" => {
                "< is a word like any other here: read FILE runs its lines, put KEY --file FILE takes a \
                 value from it, and import FILE rows"
            }
            b"|" | b"||" => {
                "| is a word like any other here: logkv DIR COMMAND pipes its result to another program \
                 from your own shell"
            }
            b"&" | b"&&" | b";" => "a line is one command here",
            // `set a 1 NX`.
            [b'n' | b'N', b'x' | b'X'] if is_last && is_odd_put => "--nx sets a key only if it is not there",
            [b'x' | b'X', b'x' | b'X'] if is_last && is_odd_put => "--xx sets a key only if it is there",
            [.., b';'] if is_last => {
                let word = quote(&word.bytes);
                return Some(format!("the ; is part of {word} here: a command ends with its line"));
            }
            _ => continue,
        };
        return Some(text.to_owned());
    }
    None
}

/// Returns a hint for `set mode json`, which stored a key named as an option.
fn set_option<R>(table: &'static [Command<R>], invocation: &Invocation<R>, line: &[u8]) -> Option<String> {
    let typed = line.get(invocation.name.clone())?;
    let [name, value] = invocation.args.as_slice() else { return None };
    let is_alias = !typed.eq_ignore_ascii_case(invocation.command.name.as_bytes());
    if !puts(invocation.command) || !is_alias || !invocation.flags.is_empty() {
        return None;
    }
    let is_setting =
        |command: &Command<R>| command.group == Group::Shell && matches!(command.args, [ArgKind::Enum(_)]);
    let value = quote(&value.bytes);
    if let Some(command) = command::find(table, &name.bytes).filter(|command| is_setting(command)) {
        let name = command.name;
        return Some(format!("this set a key called {name}; {name} {value}, without set, sets the option"));
    }
    let row = config::ROWS.iter().find(|row| name.bytes.eq_ignore_ascii_case(row.name.as_bytes()))?;
    let name = row.name;
    let env_name = row.env_name();
    Some(format!(
        "this set a key called {name}; the option is --{name} {value} before DIR, {env_name}, or {name} \
         in logkv.toml"
    ))
}

/// Returns a hint for `set a 1 EX 10`, which stored an expiry as a key.
fn set_until<R>(invocation: &Invocation<R>) -> Option<String> {
    let [_, _, option, time] = invocation.args.as_slice() else { return None };
    let flag = match option.bytes.to_ascii_lowercase().as_slice() {
        b"ex" | b"px" => "--ttl 10s sets its time to live",
        b"exat" | b"pxat" => "--until 2030-01-31T12:00Z sets when it expires",
        _ => return None,
    };
    str::from_utf8(&time.bytes).is_ok_and(is_digits).then(|| {
        format!("this set a second key, {}, and the first does not expire: {flag}", quote(&option.bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::commands::TABLE;
    use crate::shell::lang::parse::parse_line;

    #[test]
    fn an_operator_of_another_shell_gets_a_hint_unless_it_is_quoted() {
        for (line, start) in [
            ("get a > f", "> is"),
            ("keys >> f", "> is"),
            ("keys | head", "| is"),
            ("read < f", "< is"),
            ("count ; count", "a line is"),
            ("put a 1;", "the ; is part of 1; here"),
            ("put a 1;  ", "the ; is part of 1; here"),
            ("get a -o f;", "the ; is part of f; here"),
            ("set a 1 NX", "--nx sets"),
            ("put a 1 xx", "--xx sets"),
        ] {
            assert!(odd_word(TABLE, line.as_bytes()).is_some_and(|text| text.starts_with(start)), "{line}");
        }
        for line in [
            "get '>'",
            "put a \"1;\"",
            "put a -- >",
            "put -- a 1;",
            "put a; b",
            "get a>b",
            "count;",
            "> a",
            "get a b nx",
            "get 'a",
        ] {
            assert_eq!(odd_word(TABLE, line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn an_expiry_stored_as_a_key_gets_a_hint() {
        let text = |line: &str| {
            let invocation =
                parse_line(TABLE, line.as_bytes()).expect("the line parses").expect("the line has words");
            set_until(&invocation)
        };
        let ttl = "this set a second key, EX, and the first does not expire: --ttl 10s sets its time to live";
        assert_eq!(text("set a 1 EX 10").as_deref(), Some(ttl));
        assert!(text("put a 1 pxat 1893456000000").is_some_and(|hint| hint.contains("--until ")));
        for line in ["put a 1 b 2", "put a 1 ex wife", "put ex 10", "get a 1 ex"] {
            assert_eq!(text(line), None, "{line}");
        }
    }

    #[test]
    fn an_option_stored_as_a_key_gets_a_hint() {
        let text = |line: &str| {
            let invocation =
                parse_line(TABLE, line.as_bytes()).expect("the line parses").expect("the line has words");
            set_option(TABLE, &invocation, line.as_bytes())
        };
        assert_eq!(
            text("set mode json").as_deref(),
            Some("this set a key called mode; mode json, without set, sets the option")
        );
        let sync = "this set a key called sync; the option is --sync never before DIR, LOGKV_SYNC, or \
                    sync in logkv.toml";
        assert_eq!(text("SET Sync never").as_deref(), Some(sync));
        for line in
            ["put mode json", "set user:1 alice", "set mode json b 2", "set stats 1", "set mode json --nx"]
        {
            assert_eq!(text(line), None, "{line}");
        }
    }
}
