//! Lines that continue in the next one, and commands that print the next page.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use logkv::Batch;

use crate::common::{open, piped, quick, scratch, segment_path, value};
use crate::person::Person;
use crate::shell_transfer::foreign::bitcask_record;
use crate::transcript::command;

/// Runs the program in `dir` with `input`.
fn run(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = piped(&mut command(dir, args));
    let mut stdin = child.stdin.take().expect("is piped");
    std::thread::scope(|scope| {
        // The program may exit before it has read everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().expect("the program ends")
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A script, the keys after it, and the lines of its errors.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [u64]);

const SCRIPTS: [Case; 17] = [
    ("put a 'one\ntwo'\nput b 2\n", &[("a", "one\ntwo"), ("b", "2")], &[]),
    ("put a \"one\ntwo\nthree\" b 'x\ny'\n", &[("a", "one\ntwo\nthree"), ("b", "x\ny")], &[]),
    // A quote can contain lines that look like a comment, a command, or an end, and empty lines.
    (
        "put a '\n# no comment\nquit\n\n.exit\n'\n# a 'comment\nput b 2\n",
        &[("a", "\n# no comment\nquit\n\n.exit\n"), ("b", "2")],
        &[],
    ),
    ("put a \"\n# it's\n\" b 2\n", &[("a", "\n# it's\n"), ("b", "2")], &[]),
    // Neither the other quote nor an escaped one closes it.
    ("put a 'say \"\nhi\" it\\'s\nso'\nput b 2\n", &[("a", "say \"\nhi\" it's\nso"), ("b", "2")], &[]),
    ("put a \"x\\\"\ny\"\nput b 2\n", &[("a", "x\"\ny"), ("b", "2")], &[]),
    // At the end of the script, with and without a line break.
    ("put a 'one\ntwo'", &[("a", "one\ntwo")], &[]),
    ("put a 1\nput b 2", &[("a", "1"), ("b", "2")], &[]),
    ("put a 1\nput b 'open\nput c 3\n", &[("a", "1")], &[2]),
    ("put a 1\n\nput b\n2 'x' 'open\nput c 3", &[("a", "1")], &[3, 4]),
    ("put a 1\nput b 'closed\nhere' 'open\nnever", &[("a", "1")], &[3]),
    // Line numbers include quotes, comments and blank lines.
    (
        "put a 'one\ntwo\nthree'\nfrob\n# no\n\nput b \"1\n2\"\nfrob\n",
        &[("a", "one\ntwo\nthree"), ("b", "1\n2")],
        &[4, 9],
    ),
    // A line break of another system ends a line, and stays unchanged in a quote.
    ("put a 1\r\nput b 'x\r\ny'\r\nput c 3\r\n", &[("a", "1"), ("b", "x\r\ny"), ("c", "3")], &[]),
    ("put a '1\r\n2'\r\nfrob\r\n", &[("a", "1\r\n2")], &[3]),
    // A byte order mark is skipped in the first line, and kept in all others.
    ("\u{feff}put a 'one\n\u{feff}two'\n", &[("a", "one\n\u{feff}two")], &[]),
    ("put a 1\n\u{feff}put b 2\n\u{feff}# no comment\nput c 3\n", &[("a", "1"), ("c", "3")], &[2, 3]),
    ("\u{feff}# a comment\nput a 'x\n' b \"y\n\"\n", &[("a", "x\n"), ("b", "y\n")], &[]),
];

#[test]
fn multi_line_quotes_keep_their_text_and_errors_have_line_numbers_in_every_kind_of_script() {
    for (script, keys, lines) in SCRIPTS {
        let dir = scratch();
        fs::write(dir.path().join("script"), script).expect("a script");
        let ways: [(&str, &[&str], &[u8]); 4] = [
            ("-", &["by-stdin"], script.as_bytes()),
            ("script", &["by-file", "-f", "script"], b""),
            ("script", &["by-read", "-c", "read script"], b""),
            ("script", &["echoed", "-e", "-f", "script"], b""),
        ];
        for (name, args, input) in ways {
            let args: Vec<_> =
                if args[0] == "echoed" { vec!["-e", "echoed", "-f", "script"] } else { args.to_vec() };
            let output = run(dir.path(), &args, input);
            let what = format!("{script:?} by {args:?}: {}{}", said(&output), errors_of(&output));
            let store = open(&dir.path().join(args.iter().find(|arg| arg.len() > 2).expect("a directory")));
            assert_eq!(store.len(), keys.len() as u64, "{what}");
            for (key, expected) in keys {
                assert_eq!(value(&store, key).as_deref(), Some(*expected), "{what}");
            }
            let errors = errors_of(&output);
            let named: Vec<_> = errors
                .lines()
                .filter_map(|line| line.split_once("error: ").map(|(place, _)| place))
                .filter_map(|place| place.trim_end().trim_end_matches(':').rsplit_once(':'))
                .filter_map(|(_, number)| number.parse::<u64>().ok())
                .collect();
            assert_eq!(named, lines, "{what}, of {name}");
        }
    }
}

#[test]
fn lines_around_the_read_length_are_read_whole_wherever_a_quote_or_line_ends() {
    const READ_LEN: usize = 256 << 10;
    for over in -6_isize..=6 {
        let dir = scratch();
        // The read ends at the line break after the first line, at the quote of the second, or at a
        // break in the quote.
        for (name, first, second) in [
            ("line", "put a ", "\nput b 2\nput c 3"),
            ("quote", "put a 1 b '", "2'\nput c 3\n"),
            ("break", "put a 'x\n", "' b 2\nput c 3\n"),
            ("comment", "put a 1 b 2\n#", "\nput c 3\n"),
        ] {
            let len = (READ_LEN as isize + over) as usize - first.len();
            let script = [first, &"v".repeat(len), second].concat();
            let script = if name == "quote" { script.replacen("v2'", "v'", 1) } else { script };
            let output = run(dir.path(), &[name], script.as_bytes());
            assert!(output.status.success(), "{name}, {over}: {}", errors_of(&output));
            let store = open(&dir.path().join(name));
            assert_eq!(store.len(), 3, "{name}, {over}");
            let long = [value(&store, "a"), value(&store, "b")].map(|value| value.expect("exists").len());
            let expected = match name {
                "line" => [len, 1],
                "quote" => [1, len],
                "break" => [len + 2, 1],
                _ => [1, 1],
            };
            assert_eq!(long, expected, "{name}, {over}");
        }
    }
}

#[test]
fn a_user_at_the_prompt_continues_in_the_next_line_until_each_quote_is_closed() {
    let dir = scratch();
    let mut person = Person::at(dir.path(), &["d"], &[]);
    person.sees_at_end("logkv d>").enters("put a 'one").sees_at_end("   '..>").enters("# two");
    person.sees_at_end("   '..>").enters("it\\'s \"").sees_at_end("   '..>").enters("' b \"x");
    person.sees_at_end("   \"..>").enters("y\"").sees("OK").sees_at_end("logkv d>").enters("quit");
    assert_eq!(person.sees_it_end(), Some(0));
    let store = open(&dir.path().join("d"));
    assert_eq!(value(&store, "a").as_deref(), Some("one\n# two\nit's \"\n"));
    assert_eq!(value(&store, "b").as_deref(), Some("x\ny"));
}

/// The rows of `dump-segment` (number, place, length, kind and state, since other cells may be
/// truncated), and the command for the next page.
fn page(output: &str) -> (Vec<String>, Option<String>) {
    let row = |line: &str| {
        let cells: Vec<_> = line.split_whitespace().collect();
        let is_row = cells.iter().take(2).any(|cell| cell.starts_with("0x"));
        let state = line.split_once('✓').map_or("", |(_, state)| state).trim();
        is_row.then(|| format!("{} {state}", cells[..4].join(" ")))
    };
    let rows = output.lines().filter(|line| !line.contains("to continue: ")).filter_map(row).collect();
    let next = output
        .lines()
        .find_map(|line| line.split_once("to continue: ").map(|(_, next)| next.trim().to_owned()));
    (rows, next)
}

/// Runs `first` and then each command for the next page. Returns all rows.
fn followed(dir: &Path, first: &str, page_len: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut line = Some(first.to_owned());
    let mut pages = 0;
    while let Some(command) = line {
        let output = run(dir, &["-m", "table", "--width", "400", "d"], format!("{command}\n").as_bytes());
        assert!(errors_of(&output).is_empty(), "{command}: {}", errors_of(&output));
        let (rows, next) = page(&said(&output));
        assert!(rows.len() == page_len || next.is_none() && rows.len() <= page_len, "{command}: {rows:?}");
        all.extend(rows);
        for flag in ["--limit", "--only", "--values", "--key"] {
            let is_kept = next.as_ref().is_none_or(|next| next.contains(flag));
            assert!(is_kept || !first.contains(flag), "{first} continues with {next:?}");
        }
        line = next;
        pages += 1;
        assert!(pages < 100, "{first} has too many pages");
    }
    all
}

/// Writes records in every state, with keys that need quotes.
fn with_records(dir: &Path) {
    let store = open(dir);
    for n in 0..8 {
        for key in [format!("user {n}"), format!("it's \"{n}\""), format!("-{n}"), format!("tab\t{n}")] {
            store.put(&key, format!("value of {n}")).expect("a put");
            if n % 3 == 0 {
                store.put(&key, "replaced").expect("a put");
            }
            if n % 4 == 0 {
                store.delete(&key).expect("a delete");
            }
        }
    }
    store.close().expect("closes");
}

#[test]
fn the_next_page_command_shows_the_remaining_rows_with_the_same_flags_and_none_twice() {
    let dir = scratch();
    with_records(&dir.path().join("d"));
    let filters = [
        "",
        "--key \"user *\"",
        "--key \"it's \\\"*\"",
        "--key '-*'",
        "--key \"tab\\t?\"",
        "--only live",
        "--only dead --values none",
        "--only tomb --key \"user *\"",
        "--only live --key \"it's *\" --values full",
    ];
    for filter in filters {
        let (whole, none) = page(&said(&run(
            dir.path(),
            &["-m", "table", "--width", "400", "d"],
            format!("dump-segment 1 {filter}\n").as_bytes(),
        )));
        assert!(none.is_none() && !whole.is_empty(), "{filter}");
        let count = whole.len();
        let limits = [3, count.saturating_sub(1).max(1), count];
        for limit in limits {
            let shown = followed(dir.path(), &format!("dump-segment 1 {filter} --limit {limit}"), limit);
            assert_eq!(shown, whole, "{filter} --limit {limit}");
        }
    }
    let tail = followed(dir.path(), "dump-segment 1 --tail 7 --limit 3", 3);
    let whole = page(&said(&run(dir.path(), &["-m", "table", "--width", "400", "d"], b"dump-segment 1\n"))).0;
    assert_eq!(tail, whole[whole.len() - 7..]);
}

#[test]
fn the_next_page_command_quotes_the_file_name_of_another_store() {
    let dir = scratch();
    open(&dir.path().join("d")).close().expect("closes");
    for name in ["plain", "with blanks", "it's", "a\"b", "-dash", "#hash"] {
        fs::create_dir(dir.path().join(name)).expect("a directory");
        let records: Vec<_> = (0..11_u32)
            .flat_map(|n| bitcask_record(1_769_839_000 + n, format!("key {n}").as_bytes(), b"value"))
            .collect();
        fs::write(dir.path().join(name).join("1.bitcask.data"), records).expect("a file");
        let quoted = format!("\"{}/1.bitcask.data\"", name.replace('"', "\\\""));
        for filter in ["", "--key \"key ?\"", "--values none"] {
            let whole = said(&run(
                dir.path(),
                &["-m", "table", "--width", "400", "d"],
                format!("dump-segment {quoted} {filter}\n").as_bytes(),
            ));
            let (whole, _) = page(&whole);
            assert!(whole.len() >= 10, "{name}: {whole:?}");
            for limit in [3, whole.len() - 1, whole.len()] {
                let shown =
                    followed(dir.path(), &format!("dump-segment {quoted} {filter} --limit {limit}"), limit);
                assert_eq!(shown, whole, "{name} {filter} --limit {limit}");
            }
        }
    }
}

#[test]
fn a_page_on_a_terminal_ends_with_a_next_page_command_only_if_there_is_more() {
    for count in [39, 40, 41, 80, 81] {
        let dir = scratch();
        let store = open(&dir.path().join("d"));
        for n in 0..count {
            store.put(format!("key {n:02}"), "value").expect("a put");
        }
        store.close().expect("closes");
        let mut line = Some("dump-segment 1".to_owned());
        let mut pages = Vec::new();
        while let Some(command) = line {
            let mut person = Person::at_terminal(dir.path(), &["--color", "never", "d"], &[], (60, 120));
            person.sees_at_end("logkv d>");
            person.enters(&command).sees(&format!("{count} records")).sees_at_end("logkv d>");
            let (rows, next) = page(&person.screen());
            pages.push(rows.len());
            line = next;
        }
        let expected = match count {
            0..=40 => vec![count],
            41..=80 => vec![40, count - 40],
            _ => vec![40, 40, count - 80],
        };
        assert_eq!(pages, expected, "{count} records");
    }
}

#[test]
fn a_page_of_keys_announces_more_only_if_there_is_more_and_continues_after_its_last_key() {
    for count in [0, 1, 39, 40, 41, 80] {
        let dir = scratch();
        let store = open(&dir.path().join("d"));
        for n in 0..count {
            store.put(format!("key {n:02}"), "value").expect("a put");
        }
        store.close().expect("closes");
        // As of the last record, if any.
        let past = if count > 0 { format!("keys --at {count}") } else { "keys".to_owned() };
        let commands =
            ["keys", "scan", "keys --reverse", "scan 'key *'", "keys --from 'key 00'", "keys --long", &past];
        for command in commands {
            let output = run(dir.path(), &["-m", "table", "--width", "200", "d", "-c", command], b"");
            let shown = said(&output);
            let rows = shown.matches("\"key ").count();
            assert_eq!(rows, count.min(40), "{command}, {count}: {shown}");
            assert_eq!(shown.contains("--all shows all"), count > 40, "{command}, {count}: {shown}");
            for (flag, expected) in
                [("--all", count), ("--limit 40", count.min(40)), ("--limit 41", count.min(41))]
            {
                let output = run(
                    dir.path(),
                    &["-m", "table", "--width", "200", "d", "-c", &format!("{command} {flag}")],
                    b"",
                );
                let shown = said(&output);
                assert_eq!(shown.matches("\"key ").count(), expected, "{command} {flag}, {count}");
                assert!(!shown.contains("--all shows all"), "{command} {flag}");
            }
        }
    }
    // The next page starts at the key after the last one shown.
    let dir = scratch();
    let store = open(&dir.path().join("d"));
    let keys: Vec<Vec<u8>> =
        (0..90_u8).map(|n| [&[n / 9], &b" \"it's\"\\\n-\xff\0"[..(n % 9) as usize]].concat()).collect();
    keys.iter().for_each(|key| assert!(store.put(key, "1").is_ok()));
    store.close().expect("closes");
    let whole = said(&run(dir.path(), &["-m", "plain", "d", "keys"], b""));
    let whole: Vec<_> = whole.lines().collect();
    let mut found = vec![whole[0].to_owned()];
    while found.len() < whole.len() {
        let last = found.pop().expect("one");
        let line = format!("keys --from {last} --limit 7\n");
        let output = run(dir.path(), &["-m", "plain", "d"], line.as_bytes());
        assert!(output.status.success(), "{line}: {}", errors_of(&output));
        found.extend(said(&output).lines().map(str::to_owned));
    }
    assert_eq!(found, whole);
}

#[test]
fn a_tail_continues_after_the_last_number_shown() {
    let dir = scratch();
    with_records(&dir.path().join("d"));
    let lines = |args: &[&str]| {
        let output = run(dir.path(), &[&["-m", "plain", "d", "tail"], args].concat(), b"");
        assert!(output.status.success(), "{}", errors_of(&output));
        said(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = lines(&["--from", "1"]);
    assert!(whole.len() > 40);
    for limit in [1, 10, 40, whole.len()] {
        let mut found: Vec<String> = Vec::new();
        while found.len() < whole.len() {
            let last = found
                .last()
                .map_or(0, |line| line.split('\t').next().expect("a number").parse().expect("a number"));
            let (from, limit) = ((last + 1_u64).to_string(), limit.to_string());
            let next = lines(&["--from", &from, "-n", &limit]);
            assert!(!next.is_empty());
            found.extend(next);
        }
        assert_eq!(found, whole, "{limit} at a time");
    }
    assert_eq!(lines(&["-n", "7"]), whole[whole.len() - 7..]);
    assert_eq!(lines(&[]), whole[whole.len() - 10..]);
}

#[test]
fn deletes_by_pattern_of_more_keys_than_a_batch_leave_none() {
    for count in [4095, 4096, 4097, 8192, 8193] {
        let dir = scratch();
        let store = logkv::Store::open_with(dir.path().join("d"), quick()).expect("opens");
        let mut batch = Batch::new();
        for n in 0..count {
            batch.put(format!("tmp:{n:05}"), "1");
        }
        batch.put("kept", "1");
        store.write(&batch).expect("a batch");
        store.close().expect("closes");
        let output = run(dir.path(), &["-m", "plain", "d", "-c", "del -y --glob 'tmp:*'", "-c", "keys"], b"");
        assert_eq!(said(&output).lines().map(str::trim).collect::<Vec<_>>(), [&count.to_string(), "kept"]);
        assert!(segment_path(&dir.path().join("d"), 1).exists());
    }
}
