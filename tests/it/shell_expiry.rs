//! Expiring keys and increments in the shell.

use crate::transcript::Transcript;

const MODES: [&str; 3] = ["table", "plain", "json"];

#[test]
fn expiries_are_set_shown_and_removed_in_every_mode() {
    for mode in MODES {
        let mut transcript = Transcript::new();
        for command in [
            "put a 1 b 2 --ttl 100d",
            "put c 3 --ttl 8640000 --nx",
            "put c 4 --ttl 100d --nx",
            "put d 4 --ttl 100d --xx",
            "put c 5 --xx",
            "put gone 1 --ttl 1ms",
            "put e 6",
            "get a b gone",
            "ttl a b c gone",
            "exists gone",
            "expire c 100d",
            "expire gone 100d",
            "ttl c",
            "keys --long",
            "scan --long --limit 1",
            "expire e --at 2100-01-01",
            "get c e",
            "persist c",
            "persist c",
            "persist gone",
            "ttl c",
            "put a 1",
            "ttl a",
            "ttl --hex 62",
            "stats",
        ] {
            transcript.run(&format!("-m {mode} --width 80 d {command}"));
        }
        transcript.compare(&format!("shell-expiry-{mode}"));
    }
}

#[test]
fn an_increment_keeps_the_expiry() {
    let mut transcript = Transcript::new();
    transcript.run("d incr n").run("d put n 9223372036854775800 --ttl 100d");
    for mode in MODES {
        transcript.run(&format!("-m {mode} d incr n")).run(&format!("-m {mode} d incr n -5"));
    }
    transcript.run("d ttl n").run("d incr n 100").run("d put text seven").run("d incr text");
    transcript.run("d get n text").run("d incr --hex 6d 7").run("d get m");
    transcript.compare("shell-incr");
}

#[test]
fn a_batch_holds_expiries_and_sums_and_shows_them_before_the_commit() {
    let script = b"put old 1 --ttl 100d\nput n 5\nbegin\nput a 1 --ttl 100d\nput b 2 --ttl 1d\nincr n\nincr \
        n 10\nincr new -1\nexpire n 100d\npersist old\npersist new\nexpire b 100d\nput t x\nttl a b n old\n\
        exists b\nget a n old\nkeys --long\ncommit\nttl a b n old\nget a b n new old t\nbegin\nincr n\n\
        expire t 1h\nrollback\nget n\nttl t\nbegin\nput half 1\nincr t\nincr a text\nincr '' 1\ncommit\n\
        exists half\nbegin\nput whole 1\ncommit\nexists whole\n";
    for mode in MODES {
        let mut transcript = Transcript::new();
        transcript.run_with(&format!("-m {mode} --width 80 d"), script);
        transcript.compare(&format!("shell-expiry-batch-{mode}"));
    }
}

#[test]
fn an_invalid_time_is_refused_with_a_caret() {
    let mut transcript = Transcript::new();
    transcript.run("d put k 1");
    for line in [
        "d put k 1 --ttl",
        "d put k 1 --ttl soon",
        "d put k 1 --ttl 0",
        "d put k 1 --ttl -5",
        "d put k 1 --ttl 99999999999999999999",
        "d put k 1 --ttl 10us",
        "d put k 1 --ttl 9007199254741",
        "d put k 1 --ttl 99999999999d",
        "d put k 1 --ttl 9007199254740992ms",
        "d put k 1 --ttl 9005000000000000ms",
        "d put k 1 --ttl 9007199254740",
        "d expire k 9007199254740",
        "d expire k --at 9007199254740992",
        "d expire k",
        "d expire k 10m --at 2100-01-01",
        "d expire k never",
        "d expire k --at noon",
        "d expire k --at 99999-01-01",
        "d expire k --at 99999999999999999999",
        "d expire k --at 1795342834",
        "d expire k --at 2020-02-02T02:02:02Z",
        "d expire k 10m 20m",
        "d persist",
        "d ttl",
        "d incr k 1.5",
        "d incr k 9223372036854775808",
        "d incr k 1 2",
        "-r d incr k",
        "-r d expire k 10m",
        "-r d persist k",
        "-r d ttl k",
        "nowhere incr k",
        "d get k",
        "d ttl k",
    ] {
        transcript.run(line);
    }
    // In a script, the error has a caret.
    transcript.run_with(
        "d",
        b"put k 1 --ttl soon\nexpire k --at noon\nincr k 1.5\nexpire k 0\n\
        begin\nput l 1\nput k 1 --ttl 9007199254740\ncommit\nexists l\n",
    );
    transcript.compare("shell-expiry-refusals");
}

#[test]
fn human_times_are_accepted_and_never_means_no_expiry() {
    let transcript = Transcript::new();
    let run = |line: &str| transcript.answer(&[&["d"], &*line.split(' ').collect::<Vec<_>>()].concat());
    assert_eq!(run("put k v").0, Some(0));
    for (command, left_s) in [
        ("expire k --at 9999-12-31", 2_000_000_000..),
        ("expire k --at 9999-12-31T23:59:59Z", 2_000_000_000..),
        ("expire k 1.5h", 5_000..),
        ("expire k 1h30m", 5_000..),
        ("expire k --at tomorrow", 0..),
        ("put k v --ttl 2h", 7_000..),
        ("put k v --until 2100-01-01", 2_000_000_000..),
    ] {
        assert!(run(command).0 == Some(0), "{command}");
        let left: u64 = run("ttl k").1.trim().parse().expect("seconds");
        assert!(left_s.contains(&left), "{command}: {left}");
    }
    let in_two_days = transcript.command(&["d", "expire", "k", "--at", "in 2 days"]).status().expect("runs");
    assert!(in_two_days.success());
    for command in ["expire k never", "expire k --at never", "put k v --ttl never", "put k v --until NEVER"] {
        assert_eq!(run("expire k 1h").0, Some(0));
        assert_eq!(run(command).0, Some(0), "{command}");
        assert_eq!(run("ttl k").1, "-1\n", "{command}");
    }
    // Also in a batch.
    let lines = ["-c", "expire k 1h", "-c", "begin", "-c", "expire k never", "-c", "commit", "-c", "ttl k"];
    assert!(transcript.answer(&[&["d"], &lines[..]].concat()).1.ends_with("-1\n"));
    for extreme in
        ["-1", "0", "18446744073709551615", "18446744073709551616", "10000-01-01", "99999999999999999y"]
    {
        for command in ["expire k", "expire k --at", "put k v --ttl", "put k v --until"] {
            if (command, extreme) == ("put k v --until", "0") {
                // A value that has already expired, as in an export.
                continue;
            }
            let (code, _) = run(&format!("{command} {extreme}"));
            assert!(matches!(code, Some(1 | 2)), "{command} {extreme}: {code:?}");
        }
    }
}
