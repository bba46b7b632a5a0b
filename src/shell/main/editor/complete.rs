//! The completions of the Tab key.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustyline::completion::longest_common_prefix;
use unicode_width::UnicodeWidthStr;

use super::insertion::{common_of, goes_on, quoted};
use super::list::{Choice, More, Screen, fit};
use super::spot::{Role, Spot};
use crate::shell::commands::TABLE;
use crate::shell::lang::command::{self, ArgKind, Flag, Group, Takes};
use crate::shell::lang::words::Word;
use crate::shell::run::segments;
use crate::shell::run::session::Command;
use crate::shell::term::style::Look;

/// The source of keys and segments.
pub trait KeySource {
    /// Returns the live keys that start with `prefix`.
    fn keys(&self, prefix: &[u8]) -> FoundKeys;
    /// Returns the numbers of the segments, each with whether it is sealed.
    fn segments(&self) -> Vec<(u64, bool)>;
}

/// The keys of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundKeys {
    /// The first keys, in order.
    pub listed: Vec<Vec<u8>>,
    /// The last key, listed or not.
    pub last: Vec<u8>,
    /// The number of keys that are not listed.
    pub more: More,
}

/// Returns the completions of the word at the end of `line`, and the start of that word. The list
/// fits the screen, so the line editor need not ask before it shows the list.
pub fn complete(line: &str, source: &dyn KeySource, look: &Look, screen: Screen) -> (usize, Vec<Choice>) {
    let spot = Spot::at_end(line);
    let typed = &line[spot.span.clone()];
    let (choices, more) = match spot.role {
        Role::Command => all_of(commands(&spot.bytes)),
        Role::Flag => all_of(flags(&spot)),
        Role::FlagValue(flag) => match flag.takes {
            Takes::Key | Takes::Glob => keys(&spot, typed, source),
            Takes::File => files(&spot, typed, |_| true),
            Takes::Directory => files(&spot, typed, |is_folder| is_folder),
            Takes::Enum(allowed) => all_of(one_of(&spot.bytes, allowed)),
            Takes::Nothing | Takes::Number | Takes::Cursor | Takes::Duration | Takes::Time | Takes::Field => {
                all_of(Vec::new())
            }
        },
        Role::Argument(_, Some(kind)) => match kind {
            ArgKind::Key | ArgKind::Glob => keys(&spot, typed, source),
            ArgKind::Segment | ArgKind::Sealed => {
                let segments = source.segments().into_iter();
                let offered = segments.filter(|&(_, is_sealed)| is_sealed || kind == ArgKind::Segment);
                let given = given_segments(&spot);
                let new = offered.filter(|(id, _)| !given.contains(id));
                let numbers: Vec<_> = new.map(|(id, _)| id.to_string()).collect();
                all_of(one_of(&spot.bytes, numbers.iter().map(String::as_str)))
            }
            ArgKind::File => files(&spot, typed, |_| true),
            ArgKind::Topic(others) => all_of([commands(&spot.bytes), one_of(&spot.bytes, others)].concat()),
            ArgKind::Enum(allowed) => all_of(one_of(&spot.bytes, allowed)),
            ArgKind::Value | ArgKind::Number | ArgKind::Point | ArgKind::Duration => all_of(Vec::new()),
        },
        // A flag can stand after the last argument.
        Role::Argument(_, None) => all_of(flags(&spot)),
        Role::Unknown => all_of(Vec::new()),
    };
    // Commands, flags and numbers have no escapes.
    let may_be_escaped = matches!(
        spot.role,
        Role::FlagValue(Flag { takes: Takes::Key | Takes::Glob | Takes::File | Takes::Directory, .. })
            | Role::Argument(_, Some(ArgKind::Key | ArgKind::Glob | ArgKind::File))
    );
    let (choices, more) =
        if spot.escape.is_empty() || may_be_escaped { (choices, more) } else { all_of(Vec::new()) };
    let start = spot.span.start;
    let common = longest_common_prefix(&choices).unwrap_or_default();
    let width = screen.prompt_width + line[..start].width() + common.width().max(typed.width());
    let wrapped = width / screen.size.0.max(1);
    (start, fit(choices, more, look, screen.size, wrapped))
}

fn all_of(choices: Vec<Choice>) -> (Vec<Choice>, More) {
    (choices, More::Exactly(0))
}

/// Returns the commands, each with its first name that starts with `typed`.
fn commands(typed: &[u8]) -> Vec<Choice> {
    let (lead, typed) = match typed {
        [lead @ (b'.' | b'\\'), rest @ ..] => (Some(char::from(*lead)), rest),
        _ => (None, typed),
    };
    let fits = |name: &&str| {
        name.as_bytes().get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
    };
    let offered = TABLE.iter().filter(|command| lead.is_none() || command.group == Group::Shell);
    offered
        .filter_map(|command| command.names().find(fits))
        .map(|name| Choice::word(&lead.into_iter().chain(name.chars()).collect::<String>()))
        .collect()
}

/// Returns the flags that were not given yet. Flags of all commands are offered only after a dash.
fn flags(spot: &Spot) -> Vec<Choice> {
    let Some(command) = spot.before.command else { return Vec::new() };
    let is_new = |flag: &&Flag| !spot.before.flags.contains(flag);
    let is_wanted = |flag: &&Flag| !spot.bytes.is_empty() || !command::COMMON.contains(flag);
    let offered = command.all_flags().filter(is_new).filter(is_wanted);
    let named = offered.map(|flag| (flag, format!("--{}", flag.name)));
    named
        .filter(|(_, name)| name.as_bytes().starts_with(&spot.bytes))
        .map(|(flag, name)| Choice {
            shown: [Some(name.clone()), flag.takes.placeholder()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
            inserted: format!("{name} "),
        })
        .collect()
}

fn one_of<'a>(typed: &[u8], allowed: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> Vec<Choice> {
    let allowed = allowed.into_iter().filter(|word| word.as_ref().as_bytes().starts_with(typed));
    allowed.map(|word| Choice::word(word.as_ref())).collect()
}

/// Returns the segments named earlier in the line, which are not offered again.
fn given_segments(spot: &Spot) -> Vec<u64> {
    let name = spot.before.command.map_or("", |command: &Command| command.name);
    let number = |word: &Word| segments::parse(word, name).ok().map(|id| id.0);
    spot.before.args.iter().filter_map(number).collect()
}

fn keys(spot: &Spot, typed: &str, source: &dyn KeySource) -> (Vec<Choice>, More) {
    let FoundKeys { listed, last, more } =
        if spot.escape.is_empty() { source.keys(&spot.bytes) } else { keys_of_escape(spot, source) };
    let Some(first) = listed.first() else { return all_of(Vec::new()) };
    // All keys between two keys in order share their common prefix.
    let common = common_of(first, &last);
    (quoted(spot, typed, listed.into_iter().map(|key| (key, true)).collect(), &common), more)
}

/// Returns the keys whose next byte can complete the unfinished escape.
fn keys_of_escape(spot: &Spot, source: &dyn KeySource) -> FoundKeys {
    let mut all = FoundKeys::default();
    for byte in 0..=u8::MAX {
        if !goes_on(spot, &[&spot.bytes[..], &[byte]].concat()) {
            continue;
        }
        let mut found = source.keys(&[&spot.bytes[..], &[byte]].concat());
        found.listed.retain(|key| goes_on(spot, key));
        if found.listed.is_empty() {
            continue;
        }
        let is_cut = all.listed.len() + found.listed.len() > CHOICES_MAX || found.more != More::Exactly(0);
        all.listed.append(&mut found.listed);
        all.last = found.last;
        if is_cut {
            all.listed.truncate(CHOICES_MAX);
            return FoundKeys { last: spot.bytes.clone(), more: More::Many, ..all };
        }
    }
    all
}

/// Returns the files and directories whose path starts with the typed text, if `offered` accepts
/// them. A directory ends with a slash and no blank, so that the user can continue.
fn files(spot: &Spot, typed: &str, offered: impl Fn(bool) -> bool) -> (Vec<Choice>, More) {
    let bytes = &spot.bytes;
    let (folder, name) = bytes.split_at(bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1));
    let place =
        if folder.is_empty() { Path::new(".") } else { Path::new(std::ffi::OsStr::from_bytes(folder)) };
    let Ok(entries) = std::fs::read_dir(place) else { return all_of(Vec::new()) };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.path().is_dir(), entry.file_name().into_vec()))
        .filter(|&(is_folder, _)| offered(is_folder))
        .filter(|(_, file)| file.starts_with(name) && (name.starts_with(b".") || !file.starts_with(b".")))
        .filter(|(_, file)| spot.escape.is_empty() || goes_on(spot, &[folder, file].concat()))
        .map(|(is_folder, file)| {
            let end: &[u8] = if is_folder { b"/" } else { b"" };
            ([folder, &file, end].concat(), !is_folder)
        })
        .collect();
    paths.sort();
    let (Some((first, _)), Some((last, _))) = (paths.first(), paths.last()) else {
        return all_of(Vec::new());
    };
    let common = common_of(first, last);
    let more = paths.len().saturating_sub(CHOICES_MAX);
    paths.truncate(CHOICES_MAX);
    (quoted(spot, typed, paths, &common), More::Exactly(more))
}

/// The maximum number of listed completions.
pub const CHOICES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::lang::words;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    struct Keys(&'static [&'static str]);

    impl KeySource for Keys {
        fn keys(&self, prefix: &[u8]) -> FoundKeys {
            let all = self.0.iter().map(|key| key.as_bytes()).filter(|key| key.starts_with(prefix));
            let mut listed: Vec<_> = all.map(<[u8]>::to_vec).collect();
            let more = More::Exactly(listed.len().saturating_sub(CHOICES_MAX));
            let last = listed.last().cloned().unwrap_or_default();
            listed.truncate(CHOICES_MAX);
            FoundKeys { listed, last, more }
        }

        fn segments(&self) -> Vec<(u64, bool)> {
            vec![(1, true), (2, true), (10, false)]
        }
    }

    const SCREEN: Screen = Screen { size: (80, 50), prompt_width: 10 };

    fn offered(line: &str, keys: &'static [&'static str]) -> (usize, Vec<String>) {
        let (start, choices) = complete(line, &Keys(keys), &LOOK, SCREEN);
        (start, choices.into_iter().map(|choice| choice.inserted).collect())
    }

    #[test]
    fn commands_are_offered_by_all_their_names_and_in_any_case() {
        assert_eq!(offered("ge", &[]), (0, vec!["get ".to_owned()]));
        assert_eq!(offered("help opt", &[]), (5, vec!["options ".to_owned()]));
        assert_eq!(offered("DUMP", &[]), (0, vec!["dump-segment ".to_owned()]));
        assert_eq!(offered("dbs", &[]), (0, vec!["dbsize ".to_owned()]));
        assert_eq!(offered(".mod", &[]), (0, vec![".mode ".to_owned()]));
        assert!(offered(".ge", &[]).1.is_empty());
        let (_, all) = offered("", &[]);
        assert_eq!(all.len(), TABLE.len());
    }

    #[test]
    fn flags_their_values_and_segments_are_offered() {
        assert_eq!(offered("dump-segment --hex", &[]), (13, vec!["--hex ".to_owned()]));
        assert_eq!(offered("get --he", &[]), (4, vec!["--hex ".to_owned(), "--help ".to_owned()]));
        assert!(!offered("dump-segment 1 --hex --", &[]).1.contains(&"--hex ".to_owned()));
        assert_eq!(offered("dump-segment 1 --only t", &[]), (22, vec!["tomb ".to_owned()]));
        assert_eq!(offered("dump-segment 1", &[]), (13, vec!["1 ".to_owned(), "10 ".to_owned()]));
    }

    #[test]
    fn after_the_last_argument_flags_are_offered() {
        let flags = ["--to ", "--in-place ", "--yes "].map(str::to_owned);
        assert_eq!(offered("repair ", &[]), (7, flags.to_vec()));
        assert!(offered("repair x", &[]).1.is_empty());
    }

    #[test]
    fn compact_offers_no_active_segment_and_no_segment_is_offered_twice() {
        assert_eq!(offered("compact 1", &[]), (8, vec!["1 ".to_owned()]));
        assert_eq!(offered("compact 000001.seg ", &[]), (19, vec!["2 ".to_owned()]));
        assert_eq!(offered("verify 1 2 ", &[]), (11, vec!["10 ".to_owned()]));
        assert_eq!(offered("verify 1", &[]), (7, vec!["1 ".to_owned(), "10 ".to_owned()]));
    }

    #[test]
    fn a_key_is_offered_with_quotes_and_escapes_where_needed() {
        assert_eq!(offered("get us", &["user:1", "other"]), (4, vec!["user:1 ".to_owned()]));
        assert_eq!(offered("get a", &["a\u{1b}[2J"]), (4, vec![r#""a\x1b[2J" "#.to_owned()]));
        assert_eq!(offered(r#"get "a "#, &["a b", "ac"]), (4, vec![r#""a b" "#.to_owned()]));
        assert_eq!(offered(r#"get 'a "#, &["a b", "ac"]), (4, vec!["'a b' ".to_owned()]));
        assert_eq!(offered("get 'i", &["it's"]), (4, vec![r"'it\'s' ".to_owned()]));
        assert_eq!(
            offered("get 'a", &["a\\b"]),
            (4, vec![r#""a\\b" "#.to_owned()]),
            "single quotes cannot hold it"
        );
    }

    /// Returns the text inserted if several keys are offered.
    fn common(line: &str, keys: &'static [&'static str]) -> String {
        let (_, texts) = offered(line, keys);
        assert!(texts.len() > 1, "{texts:?}");
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        texts[0].clone()
    }

    #[test]
    fn what_all_keys_have_in_common_is_inserted_in_the_quotes_that_they_need() {
        assert_eq!(common("get k", &["key1", "key2"]), "key");
        assert_eq!(common("get key", &["key", "key2"]), "key");
        assert_eq!(common("get a", &["a b", "ac"]), "a", "no quote that ac does not need");
        assert_eq!(common("get ", &["a b", "key:1"]), "");
        assert_eq!(common("get ", &["a b", "b c"]), "");
        assert_eq!(common("get k", &["key 1", "key:1"]), "key");
        assert_eq!(common("get a", &["a b1", "a b2"]), r#""a b"#);
        assert_eq!(common(r#"get "a"#, &["a b", "a c"]), r#""a "#);
        assert_eq!(common("get 'a", &["a b1", "a b2"]), "'a b");
        assert_eq!(common("get a", &["a\u{1}", "a\u{2}"]), r#""a"#, "an escape is not cut");
        assert_eq!(common("get ", &["日a", "旦a"]), "", "a character is not cut");
        // A word typed with needless escapes is continued as typed.
        assert_eq!(common(r#"get "\x61"#, &["ab1", "ab2"]), r#""\x61b"#);
        assert_eq!(common(r#"get "a""#, &["ab1", "ab2"]), r#""ab"#);
    }

    #[test]
    fn an_unfinished_escape_offers_only_keys_that_complete_it() {
        let keys = &["a", "a\u{1}", "a\u{12}", "a\u{13}", "a\\b", "a\n", "日"];
        let shown = |line| {
            let choices = complete(line, &Keys(keys), &LOOK, SCREEN).1;
            choices.into_iter().map(|choice| choice.shown).collect::<Vec<_>>()
        };
        assert_eq!(shown(r#"get "a\x"#), [r#""a\x01""#, r#""a\x12""#, r#""a\x13""#]);
        assert_eq!(shown(r#"get "a\x1"#), [r#""a\x12""#, r#""a\x13""#]);
        assert_eq!(shown(r#"get "a\"#).len(), 5);
        assert!(shown(r#"get "\x"#).is_empty());
        assert!(shown(r#"get --at "\x"#).is_empty() && shown(r#""\"#).is_empty());
        assert_eq!(common(r#"get "a\x1"#, keys), r#""a\x1"#, "the typed text stays");
        assert_eq!(offered(r#"get "a\x0"#, keys).1, [r#""a\x01" "#]);
        assert_eq!(offered(r"get 'it\", &["it", "it's"]).1, [r"'it\'s' "]);
        assert!(offered(r"get 'it\", &["it"]).1.is_empty());
    }

    #[test]
    fn an_offered_word_parses_to_its_key() {
        for key in ["user:1", "a b", "quo\"te", "back\\slash", "\u{1}\u{7f}", "-flag", "#x", "日本"] {
            for typed in ["", "\"", "'"] {
                let spot = Spot::at_end(&format!("get {typed}"));
                let [text] = &quoted(&spot, typed, vec![(key.into(), true)], key.as_bytes())[..] else {
                    panic!("one key is offered")
                };
                let read = words::split(text.inserted.as_bytes()).expect("an offered word parses");
                assert_eq!(read[0].bytes, key.as_bytes());
            }
        }
    }

    #[test]
    fn the_common_prefix_of_more_keys_than_are_listed_is_inserted() {
        let keys: Vec<_> = (0..1205).map(|n| &*format!("key:{n:04}").leak()).collect();
        let (_, choices) = complete("get k", &Keys(keys.leak()), &LOOK, SCREEN);
        assert_eq!(choices.len(), CHOICES_MAX + 1);
        assert_eq!(choices[CHOICES_MAX].shown, "… 1,005 more");
        assert!(choices.iter().all(|choice| choice.inserted == "key:"), "{choices:?}");
    }

    #[test]
    fn a_directory_is_offered_with_an_open_end() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        std::fs::create_dir(dir.path().join("sub dir")).expect("a directory can be created");
        std::fs::write(dir.path().join("script"), b"").expect("a file can be created");
        let line = format!("read {}/s", dir.path().display());
        let texts = complete(&line, &Keys(&[]), &LOOK, SCREEN).1;
        let base = dir.path().display();
        let shown: Vec<_> = texts.iter().map(|choice| choice.shown.clone()).collect();
        assert_eq!(shown, [format!("{base}/script"), format!("\"{base}/sub dir/\"")]);
        assert_eq!(texts[0].inserted, format!("{base}/s"));
        let line = format!("repair --to {base}/s");
        let texts = complete(&line, &Keys(&[]), &LOOK, SCREEN).1;
        let inserted: Vec<_> = texts.iter().map(|choice| choice.inserted.as_str()).collect();
        assert_eq!(inserted, [format!("\"{base}/sub dir/")], "only directories are offered");
    }
}
