//! What the Tab key offers.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustyline::completion::Candidate;

use super::spot::{Role, Spot};
use crate::shell::command::{self, ArgKind, Flag, Group, Takes};
use crate::shell::style::Look;
use crate::shell::words::{self, Style};

/// Where live keys and segments come from.
pub trait Source {
    /// Live keys that start with `prefix`, the first of them in key order, and how many more there are.
    fn keys(&self, prefix: &[u8]) -> (Vec<Vec<u8>>, More);
    /// The numbers of the segments, each with whether it is sealed.
    fn segments(&self) -> Vec<(u64, bool)>;
}

/// How many candidates are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// This many.
    Exactly(usize),
    /// More than this: all were too many to count while a person waits.
    Above(usize),
}

/// One thing that a word can become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    shown: String,
    inserted: String,
}

impl Candidate for Choice {
    fn display(&self) -> &str {
        &self.shown
    }

    fn replacement(&self) -> &str {
        &self.inserted
    }
}

impl Choice {
    /// A word that is whole: a blank follows.
    fn word(text: &str) -> Self {
        Self { shown: text.to_owned(), inserted: format!("{text} ") }
    }
}

/// What the word at the end of `line` can become, and where in the line that word starts.
pub fn complete(line: &str, source: &dyn Source, look: &Look) -> (usize, Vec<Choice>) {
    let spot = Spot::at_end(line);
    let choices = match spot.role {
        Role::Command => commands(&spot.bytes),
        Role::Flag => flags(&spot),
        Role::FlagValue(flag) => match flag.takes {
            Takes::Key | Takes::Glob => keys(&spot, source, look.ellipsis()),
            Takes::File => files(&spot, |_| true),
            Takes::Directory => files(&spot, |is_folder| is_folder),
            Takes::Enum(allowed) => one_of(&spot.bytes, allowed),
            Takes::Nothing | Takes::Number | Takes::Cursor | Takes::Duration | Takes::Time => Vec::new(),
        },
        Role::Argument(_, Some(kind)) => match kind {
            ArgKind::Key | ArgKind::Glob => keys(&spot, source, look.ellipsis()),
            ArgKind::Segment | ArgKind::Sealed => {
                let segments = source.segments().into_iter();
                let offered = segments.filter(|&(_, is_sealed)| is_sealed || kind == ArgKind::Segment);
                let numbers: Vec<_> = offered.map(|(id, _)| id.to_string()).collect();
                one_of(&spot.bytes, numbers.iter().map(String::as_str))
            }
            ArgKind::File => files(&spot, |_| true),
            ArgKind::Command => commands(&spot.bytes),
            ArgKind::Enum(allowed) => one_of(&spot.bytes, allowed),
            ArgKind::Value | ArgKind::Number | ArgKind::Duration => Vec::new(),
        },
        // Where no argument can stand, a flag can.
        Role::Argument(_, None) => flags(&spot),
        Role::Unknown => Vec::new(),
    };
    (spot.span.start, choices)
}

/// Commands, each by the first of its names that fits.
fn commands(typed: &[u8]) -> Vec<Choice> {
    let (lead, typed) = match typed {
        [lead @ (b'.' | b'\\'), rest @ ..] => (Some(char::from(*lead)), rest),
        _ => (None, typed),
    };
    let fits = |name: &&str| {
        name.as_bytes().get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
    };
    let offered = command::all().iter().filter(|command| lead.is_none() || command.group == Group::Shell);
    offered
        .filter_map(|command| command.names().find(fits))
        .map(|name| Choice::word(&lead.into_iter().chain(name.chars()).collect::<String>()))
        .collect()
}

/// The flags that were not given yet.
fn flags(spot: &Spot) -> Vec<Choice> {
    let Some(command) = spot.before.command else { return Vec::new() };
    let is_new = |flag: &&Flag| !spot.before.flags.contains(flag);
    let named = command.flags.iter().filter(is_new).map(|flag| (flag, format!("--{}", flag.name)));
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

fn keys(spot: &Spot, source: &dyn Source, ellipsis: &str) -> Vec<Choice> {
    let (keys, more) = source.keys(&spot.bytes);
    let mut choices = quoted(spot, keys.into_iter().map(|key| (key, true)).collect());
    let note = match more {
        More::Exactly(0) => None,
        More::Exactly(count) => Some(format!("{ellipsis} {count} more")),
        More::Above(count) => Some(format!("{ellipsis} more than {count} more")),
    };
    if let (Some(shown), Some(first)) = (note, choices.first()) {
        // It stands for the first key, so that it changes nothing about what all have in common.
        let inserted = first.inserted.clone();
        choices.push(Choice { shown, inserted });
    }
    choices
}

/// The files, or directories, whose path starts with what was typed, as far as they are `offered`; of a directory a slash is
/// added and no blank, to go on typing.
fn files(spot: &Spot, offered: impl Fn(bool) -> bool) -> Vec<Choice> {
    let typed = &spot.bytes;
    let (folder, name) = typed.split_at(typed.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1));
    let place =
        if folder.is_empty() { Path::new(".") } else { Path::new(std::ffi::OsStr::from_bytes(folder)) };
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.path().is_dir(), entry.file_name().into_vec()))
        .filter(|&(is_folder, _)| offered(is_folder))
        .filter(|(_, file)| file.starts_with(name) && (name.starts_with(b".") || !file.starts_with(b".")))
        .map(|(is_folder, file)| {
            let end: &[u8] = if is_folder { b"/" } else { b"" };
            ([folder, &file, end].concat(), !is_folder)
        })
        .collect();
    paths.sort();
    paths.truncate(CHOICES_MAX);
    quoted(spot, paths)
}

/// How many candidates are listed.
pub const CHOICES_MAX: usize = 200;

/// `words`, each with whether it is whole, as they can be typed. Where one needs quotes, or a quote is open already,
/// all are written in quotes: what they have in common would be nothing otherwise.
fn quoted(spot: &Spot, words: Vec<(Vec<u8>, bool)>) -> Vec<Choice> {
    let written: Vec<_> = words.iter().map(|(bytes, _)| words::quote(bytes)).collect();
    let needs_quotes = spot.style != Style::Bare || written.iter().any(|text| text.starts_with('"'));
    let choice = |(shown, (_, is_whole)): (String, (Vec<u8>, bool))| {
        let bare = if shown.starts_with('"') { &shown[1..shown.len() - 1] } else { &shown };
        let inserted = match (needs_quotes, is_whole) {
            (true, true) => format!("\"{bare}\" "),
            (true, false) => format!("\"{bare}"),
            (false, true) => format!("{bare} "),
            (false, false) => bare.to_owned(),
        };
        Choice { inserted, shown }
    };
    written.into_iter().zip(words).map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    struct Keys(&'static [&'static str]);

    impl Source for Keys {
        fn keys(&self, prefix: &[u8]) -> (Vec<Vec<u8>>, More) {
            let all = self.0.iter().map(|key| key.as_bytes()).filter(|key| key.starts_with(prefix));
            let mut keys: Vec<_> = all.map(<[u8]>::to_vec).collect();
            let more = keys.len().saturating_sub(CHOICES_MAX);
            keys.truncate(CHOICES_MAX);
            (keys, More::Exactly(more))
        }

        fn segments(&self) -> Vec<(u64, bool)> {
            vec![(1, true), (2, true), (10, false)]
        }
    }

    fn offered(line: &str, keys: &'static [&'static str]) -> (usize, Vec<String>) {
        let (start, choices) = complete(line, &Keys(keys), &LOOK);
        (start, choices.into_iter().map(|choice| choice.inserted).collect())
    }

    #[test]
    fn commands_are_offered_by_any_of_their_names_and_in_any_case() {
        assert_eq!(offered("ge", &[]), (0, vec!["get ".to_owned()]));
        assert_eq!(offered("DUMP", &[]), (0, vec!["dump-segment ".to_owned()]));
        assert_eq!(offered("dbs", &[]), (0, vec!["dbsize ".to_owned()]));
        assert_eq!(offered(".mod", &[]), (0, vec![".mode ".to_owned()]));
        assert!(offered(".ge", &[]).1.is_empty());
        let (_, all) = offered("", &[]);
        assert_eq!(all.len(), command::all().len());
    }

    #[test]
    fn flags_their_values_and_segments_are_offered() {
        assert_eq!(offered("dump-segment --he", &[]), (13, vec!["--hex ".to_owned()]));
        assert!(!offered("dump-segment 1 --hex --", &[]).1.contains(&"--hex ".to_owned()));
        assert_eq!(offered("dump-segment 1 --only t", &[]), (22, vec!["tomb ".to_owned()]));
        assert_eq!(offered("dump-segment 1", &[]), (13, vec!["1 ".to_owned(), "10 ".to_owned()]));
    }

    #[test]
    fn where_no_argument_can_stand_flags_are_offered() {
        assert_eq!(offered("repair ", &[]), (7, vec!["--to ".to_owned(), "--in-place ".to_owned()]));
        assert!(offered("repair x", &[]).1.is_empty());
    }

    #[test]
    fn a_segment_that_is_written_to_is_not_offered_to_be_compacted() {
        assert_eq!(offered("compact 1", &[]), (8, vec!["1 ".to_owned()]));
        assert_eq!(offered("verify 1", &[]), (7, vec!["1 ".to_owned(), "10 ".to_owned()]));
    }

    #[test]
    fn a_key_is_offered_as_it_can_be_typed() {
        assert_eq!(offered("get us", &["user:1", "other"]), (4, vec!["user:1 ".to_owned()]));
        assert_eq!(offered("get a", &["a\u{1b}[2J"]), (4, vec![r#""a\x1b[2J" "#.to_owned()]));
        let all = offered("get a", &["a b", "ac"]).1;
        assert_eq!(all, [r#""a b" "#, r#""ac" "#]);
        assert_eq!(offered(r#"get "a "#, &["a b", "ac"]), (4, vec![r#""a b" "#.to_owned()]));
    }

    #[test]
    fn what_is_offered_is_read_back_as_the_key() {
        for key in ["user:1", "a b", "quo\"te", "back\\slash", "\u{1}\u{7f}", "-flag", "#x", "日本"] {
            let [text] = &quoted(&Spot::at_end("get "), vec![(key.into(), true)])[..] else {
                panic!("one is offered")
            };
            let read = words::split(text.inserted.as_bytes()).expect("what is offered is well formed");
            assert_eq!(read[0].bytes, key.as_bytes());
        }
    }

    #[test]
    fn a_list_that_is_cut_says_how_many_keys_are_missing() {
        let names: Vec<&'static str> = (0..205).map(|n| &*format!("key{n:03}").leak()).collect();
        let names = names.leak();
        let (_, choices) = complete("get k", &Keys(names), &LOOK);
        assert_eq!(choices.len(), CHOICES_MAX + 1);
        assert_eq!(choices[CHOICES_MAX].shown, "… 5 more");
        assert_eq!(choices[CHOICES_MAX].inserted, choices[0].inserted);
        let (_, choices) = complete("get k", &Keys(names), &Look { ascii: true, ..LOOK });
        assert_eq!(choices[CHOICES_MAX].shown, "... 5 more");
    }

    #[test]
    fn a_directory_is_offered_open_for_more() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        std::fs::create_dir(dir.path().join("sub dir")).expect("a directory can be made");
        std::fs::write(dir.path().join("script"), b"").expect("a file can be made");
        let line = format!("read {}/s", dir.path().display());
        let texts = complete(&line, &Keys(&[]), &LOOK).1;
        let base = dir.path().display();
        let inserted: Vec<_> = texts.iter().map(|choice| choice.inserted.as_str()).collect();
        assert_eq!(inserted, [format!("\"{base}/script\" "), format!("\"{base}/sub dir/")]);
        let line = format!("repair --to {base}/s");
        let texts = complete(&line, &Keys(&[]), &LOOK).1;
        let inserted: Vec<_> = texts.iter().map(|choice| choice.inserted.as_str()).collect();
        assert_eq!(inserted, [format!("\"{base}/sub dir/")], "a file is no directory");
    }
}
