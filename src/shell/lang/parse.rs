//! The parser: turns the words of a line into a call of a command.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::command::{self, ArgKind, Command, Flag, GivenFlag, Invocation, Takes};
use super::failure::Failure;
use super::habits;
use super::nearest::nearest;
use super::words::{self, Lexer, Style, Word, named, shown};
use crate::shell::lang::times;

/// Parses `line`. Returns `None` for a line without words.
pub fn parse_line<R>(table: &'static [Command<R>], line: &[u8]) -> Result<Option<Invocation<R>>, Failure> {
    parse(table, words::split(line)?)
}

/// Parses `words`. Returns `None` without words.
pub fn parse<R>(table: &'static [Command<R>], words: Vec<Word>) -> Result<Option<Invocation<R>>, Failure> {
    let mut words = words.into_iter().peekable();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    let command = command::find(table, &name.bytes).ok_or_else(|| unknown_command(table, &name))?;
    let mut invocation =
        Invocation { command, name: name.span, args: Vec::new(), flags: Vec::new(), json: false };
    let mut flags_ended = false;
    while let Some(mut word) = words.next() {
        match flag_text(Some(command), &word) {
            Some("--") if !flags_ended => flags_ended = true,
            Some(text) if !flags_ended => {
                let given = flag(command, text, &word, &mut words)?;
                match *given.flag {
                    command::HELP => return Ok(Some(help_about(table, invocation, words))),
                    command::JSON => invocation.json = true,
                    _ => invocation.flags.push(given),
                }
            }
            _ => {
                if flags_ended {
                    // After `--` a dash is literal, as in quotes.
                    word.style = Style::Single;
                }
                let word = match command.arg_kind(invocation.args.len()) {
                    Some(ArgKind::Point) => whole_time(word, &mut words, is_moment),
                    Some(ArgKind::Duration) => whole_time(word, &mut words, is_duration),
                    _ => word,
                };
                invocation.args.push(word);
            }
        }
    }
    check_args(&invocation)?;
    Ok(Some(invocation))
}

/// Returns the call of `help` for `asked --help`, followed by the words `rest`.
fn help_about<R>(
    table: &'static [Command<R>],
    asked: Invocation<R>,
    mut rest: Peekable<IntoIter<Word>>,
) -> Invocation<R> {
    let command = command::find(table, command::HELP.name.as_bytes()).expect("the table has a row for help");
    let json = asked.json || rest.any(|word| flag_text(Some(command), &word) == Some("--json"));
    let name = asked.command.name.as_bytes().to_vec();
    let about = Word { bytes: name, span: asked.name.clone(), style: Style::Bare };
    Invocation { command, name: asked.name, args: vec![about], flags: Vec::new(), json }
}

/// Returns whether `line`, which does not parse, has the flag `--json`.
pub fn asks_json(line: &[u8]) -> bool {
    let mut words = Lexer::new(line).filter(|word| word.style == Style::Bare).map(|word| word.bytes);
    words.any(|word| word.strip_prefix(b"--") == Some(command::JSON.name.as_bytes()))
}

/// Returns the text of `word` if it has the form of a flag. Quoted words and a lone dash are not
/// flags. Neither are negative numbers, unless `command` has a flag with that digit.
pub fn flag_text<'w, R>(command: Option<&Command<R>>, word: &'w Word) -> Option<&'w str> {
    let is_flag = match word.bytes.as_slice() {
        [b'-', b'-', ..] => true,
        [b'-', digit @ b'0'..=b'9'] => {
            command.is_some_and(|command| command.short_flag(char::from(*digit)).is_some())
        }
        [b'-', second, ..] => second.is_ascii_alphabetic(),
        _ => false,
    };
    (is_flag && word.style == Style::Bare).then(|| str::from_utf8(&word.bytes).ok()).flatten()
}

fn flag<R>(
    command: &'static Command<R>,
    text: &str,
    word: &Word,
    words: &mut Peekable<IntoIter<Word>>,
) -> Result<GivenFlag, Failure> {
    let (name, inline) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let flag = find_flag(command, name).ok_or_else(|| unknown_flag(command, name, word))?;
    let value = match (flag.takes, inline) {
        (Takes::Nothing, None) => None,
        (Takes::Nothing, Some(_)) => {
            return Err(Failure::usage(format!("--{} takes no value", flag.name)).at(word.span.clone()));
        }
        (_, Some(value)) => {
            let start = word.span.end - value.len().min(word.span.len());
            Some(Word { bytes: value.into(), span: start..word.span.end, style: Style::Bare })
        }
        (takes, None) => {
            let value = words.next().ok_or_else(|| {
                let value = takes.placeholder().unwrap_or_default();
                Failure::usage(format!("--{} needs a value {value}", flag.name)).at(word.span.clone())
            })?;
            let is_time = matches!(takes, Takes::Time | Takes::Cursor);
            let is_point = |text: &str| is_moment(text) || is_duration(text);
            Some(if is_time { whole_time(value, words, is_point) } else { value })
        }
    };
    if let (Takes::Enum(allowed), Some(value)) = (flag.takes, &value) {
        one_of(value, allowed, &format!("--{}", flag.name))?;
    }
    Ok(GivenFlag { flag, value })
}

fn is_moment(text: &str) -> bool {
    times::moment(text, 0).is_some()
}

/// Returns whether `text` is one duration, such as `1h 30m`. `10m 20m` are two.
fn is_duration(text: &str) -> bool {
    times::duration(text).is_some() && text.parse::<jiff::Span>().is_ok()
}

/// Joins `first` with the bare words after it that belong to the same time, as in `10m ago` and
/// `2030-01-31 12:00`.
fn whole_time(first: Word, words: &mut Peekable<IntoIter<Word>>, is_time: fn(&str) -> bool) -> Word {
    /// Enough for `2 days 3 hours ago`.
    const MORE_MAX: usize = 4;
    if first.style != Style::Bare || words.peek().is_none_or(|next| next.style != Style::Bare) {
        return first;
    }
    let more: Vec<Word> = words.clone().take(MORE_MAX).take_while(|word| word.style == Style::Bare).collect();
    let joined = |count: usize| {
        let texts = std::iter::once(&first).chain(&more[..count]).map(|word| word.bytes.as_slice());
        texts.collect::<Vec<_>>().join(&b' ')
    };
    let is_whole = |count: &usize| str::from_utf8(&joined(*count)).is_ok_and(is_time);
    let Some(count) = (1..=more.len()).rev().find(is_whole) else { return first };
    words.nth(count - 1);
    Word { bytes: joined(count), span: first.span.start..more[count - 1].span.end, style: Style::Bare }
}

fn find_flag<R>(command: &Command<R>, name: &str) -> Option<&'static Flag> {
    match name.strip_prefix("--") {
        Some(name) => command.flag(name),
        None => {
            let mut letters = name.chars().skip(1);
            letters.next().filter(|_| letters.next().is_none()).and_then(|letter| command.short_flag(letter))
        }
    }
}

/// Returns the element of `allowed` that equals `word`.
pub fn one_of(word: &Word, allowed: &'static [&'static str], what: &str) -> Result<&'static str, Failure> {
    allowed.iter().copied().find(|name| word.bytes == name.as_bytes()).ok_or_else(|| {
        let allowed = allowed.join(", ");
        Failure::usage(format!("{what} takes one of {allowed}, not {}", shown(&word.bytes)))
            .at(word.span.clone())
    })
}

fn check_args<R>(invocation: &Invocation<R>) -> Result<(), Failure> {
    let Invocation { command, args, .. } = invocation;
    let usage = || format!("usage: {}", command.usage());
    if args.len() < command.arity.min {
        let few = if args.is_empty() { "an argument" } else { "another argument" };
        let message = format!("{} needs {few}", command.name);
        return Err(Failure::usage(message).at(invocation.name.clone()).hint(usage()));
    }
    if let Some(word) = command.arity.max.and_then(|max| args.get(max)) {
        let message = format!("{} takes no argument {}", command.name, shown(&word.bytes));
        return Err(Failure::usage(message).at(word.span.clone()).hint(usage()));
    }
    for (index, word) in args.iter().enumerate() {
        if let Some(command::ArgKind::Enum(allowed)) = command.arg_kind(index) {
            one_of(word, allowed, command.name)?;
        }
    }
    Ok(())
}

/// Creates the failure for an unknown command, with a suggestion.
pub fn unknown_command<R>(table: &'static [Command<R>], name: &Word) -> Failure {
    let typed = String::from_utf8_lossy(&name.bytes);
    let hint = habits::instead(&typed).unwrap_or_else(|| {
        let known = table.iter().flat_map(Command::names);
        match nearest(typed.trim_start_matches(['.', '\\']).trim_end_matches(';'), known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "help lists the commands".to_owned(),
        }
    });
    Failure::usage(format!("unknown command {}", shown(&name.bytes))).at(name.span.clone()).hint(hint)
}

fn unknown_flag<R>(command: &Command<R>, name: &str, word: &Word) -> Failure {
    let known = command.all_flags().map(|flag| flag.name);
    let hint = match nearest(name.trim_start_matches('-'), known) {
        Some(meant) => format!("did you mean --{meant}?"),
        None => "quote a key or value that starts with a dash, or put -- before it".to_owned(),
    };
    Failure::usage(format!("{} has no flag {}", command.name, named(name.as_bytes())))
        .at(word.span.clone())
        .hint(hint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::quote;
    use super::*;
    use crate::shell::commands::TABLE;
    use crate::shell::run::session::Invocation;

    fn parsed(line: &str) -> Invocation {
        parse_line(TABLE, line.as_bytes()).expect("the line parses").expect("the line has words")
    }

    fn failure(line: &str) -> Failure {
        parse_line(TABLE, line.as_bytes()).expect_err("the line does not parse")
    }

    fn args(line: &str) -> Vec<String> {
        parsed(line).args.iter().map(|word| quote(&word.bytes)).collect()
    }

    #[test]
    fn flags_are_accepted_anywhere_before_two_dashes() {
        let invocation = parsed("get a --output f b");
        assert_eq!(invocation.value("output").map(|word| word.bytes.as_slice()), Some(&b"f"[..]));
        assert_eq!(invocation.args.len(), 2);
        assert!(parsed("get a -o f").has("output"));
        assert_eq!(parsed("keys --limit=0x10").number("limit").expect("the value is a number"), Some(16));
        assert_eq!(args("get a -- --hex -o"), ["a", "\"--hex\"", "\"-o\""]);
    }

    #[test]
    fn quoted_words_numbers_and_a_lone_dash_are_no_flags() {
        assert_eq!(args("put a -5"), ["a", "\"-5\""]);
        assert_eq!(args("put a -0"), ["a", "\"-0\""]);
        assert!(parsed("keys -0").has("null") && parsed("keys -- -0").flags.is_empty());
        assert_eq!(args("put a '--nx'"), ["a", "\"--nx\""]);
        assert_eq!(args("put a -"), ["a", "\"-\""]);
        assert_eq!(parsed("put a -- -").args[1].style, Style::Single);
    }

    #[test]
    fn every_command_accepts_json() {
        assert!(parsed("stats --json").json);
        assert!(!parsed("stats").json);
        assert!(parsed("get a --json").flags.is_empty());
    }

    #[test]
    fn every_command_accepts_help_wherever_it_accepts_a_flag() {
        for line in ["get --help", "GET -h", "put a -h 1", "get a -h --bogus", "put --help", "set -h a"] {
            let invocation = parsed(line);
            assert_eq!(invocation.command.name, "help", "{line}");
            let about = if line.to_lowercase().starts_with("get") { "get" } else { "put" };
            assert_eq!(args(line), [about], "{line}");
        }
        assert!(parsed("get --json --help").json && parsed("get --help --json").json);
        for line in ["get -- --help", "get '-h'", "get \"--help\"", "keys --from -h"] {
            assert_ne!(parsed(line).command.name, "help", "{line}");
        }
        assert_eq!(failure("frob --help").message, "unknown command frob");
    }

    #[test]
    fn names_match_in_any_case_and_shell_commands_with_a_leading_dot() {
        assert_eq!(parsed("GET a").command.name, "get");
        assert_eq!(parsed(".mode json").command.name, "mode");
        assert_eq!(parsed("\\q").command.name, "quit");
        assert_eq!(failure(".get a").message, "unknown command \".get\"");
        assert!(parse_line(TABLE, b"  ").expect("a blank line is no error").is_none());
    }

    #[test]
    fn a_usage_failure_marks_the_word_and_suggests_another() {
        let cases = [
            ("gett a", "unknown command gett", 0..4, Some("did you mean get?")),
            ("get a --hxe", "get has no flag --hxe", 6..11, Some("did you mean --hex?")),
            ("get a --jsn", "get has no flag --jsn", 6..11, Some("did you mean --json?")),
            ("keys --limit", "--limit needs a value N", 5..12, None),
            ("keys --limit --all", "--limit takes a number, not \"--all\"", 13..18, None),
            ("keys --all=1", "--all takes no value", 5..12, None),
            ("mode xml", "mode takes one of table, plain, json, raw, not xml", 5..8, None),
            ("count a b", "count takes no argument b", 8..9, Some("usage: count [PATTERN|--prefix KEY]")),
            ("exists", "exists needs an argument", 0..6, Some("usage: exists KEY… [--hex]")),
        ];
        for (line, message, span, hint) in cases {
            let failure = match parse_line(TABLE, line.as_bytes()) {
                Err(failure) => failure,
                Ok(invocation) => {
                    let invocation = invocation.expect("the line has words");
                    invocation.number("limit").expect_err("the value is no number")
                }
            };
            assert_eq!((failure.message.as_str(), failure.span), (message, Some(span)), "{line}");
            assert_eq!(failure.hint.as_deref(), hint, "{line}");
        }
    }

    /// Generates lines of a command name, flags, quoted and bare keys, and arbitrary bytes.
    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        let names: Vec<_> = TABLE.iter().flat_map(Command::names).collect();
        let flags: Vec<_> = TABLE.iter().flat_map(|command| command.flags).collect();
        let word = prop_oneof![
            4 => prop::sample::select(flags).prop_map(|flag| format!("--{}", flag.name).into_bytes()),
            4 => any::<Vec<u8>>().prop_map(|bytes| quote(&bytes).into_bytes()),
            2 => r"-{0,2}[a-z0-9=]{0,6}".prop_map(String::into_bytes),
            1 => any::<Vec<u8>>(),
        ];
        let words = prop::collection::vec(word, 0..6);
        (prop::sample::select(names), words).prop_map(|(name, words)| {
            words.into_iter().fold(name.as_bytes().to_vec(), |line, word| [line, word].join(&b' '))
        })
    }

    /// Prints a call as a line with long flags, and with the arguments last.
    fn printed(invocation: &Invocation) -> String {
        let flags = invocation.flags.iter().map(|given| match &given.value {
            Some(value) => format!("--{} {}", given.flag.name, quote(&value.bytes)),
            None => format!("--{}", given.flag.name),
        });
        let json = invocation.json.then(|| "--json".to_owned());
        let args = invocation.args.iter().map(|word| quote(&word.bytes));
        let words = [invocation.command.name.to_owned()].into_iter().chain(flags).chain(json);
        words.chain(["--".to_owned()]).chain(args).collect::<Vec<_>>().join(" ")
    }

    proptest! {
        #[test]
        fn a_printed_call_parses_to_the_same_call_and_a_failure_marks_part_of_the_line(line in any_line()) {
            match parse_line(TABLE, &line) {
                Ok(Some(call)) => {
                    let again = parsed(&printed(&call));
                    prop_assert_eq!(printed(&again), printed(&call));
                    prop_assert_eq!(again.args.len(), call.args.len());
                    prop_assert_eq!(again.flags.len(), call.flags.len());
                }
                Ok(None) => prop_assert!(false, "the line starts with a command"),
                Err(failure) => {
                    prop_assert!(failure.span.is_some_and(|span| span.end <= line.len()));
                    prop_assert!(failure.message.chars().all(logkv::Visible::is));
                }
            }
        }
    }
}
