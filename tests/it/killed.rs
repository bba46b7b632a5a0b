//! `kill -9` of the real program, at any moment, under every policy.
//!
//! The program runs a script from a pipe and answers each line; the test reads the answers and kills it. A store's log
//! is a sequence, so what is found afterwards must be exactly what some number of the script's steps leave behind, in
//! their order, and that number must not be below the number of steps that were acknowledged.
//!
//! `LOGKV_KILLS` is the number of kills a policy, `LOGKV_SEED` repeats a script (the moment of a kill cannot be repeated).

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use logkv::{Batch, Store};

use crate::common::{Random, copy_of, killed, open, program, quick, scratch, segment_path};

type Contents = BTreeMap<String, String>;

fn kills() -> u64 {
    std::env::var("LOGKV_KILLS").map_or(20, |text| text.parse().expect("LOGKV_KILLS is a number"))
}

/// A stretch of a script that takes effect as a whole or not at all.
struct Step {
    lines: String,
    /// Each key, and what it becomes.
    changes: Vec<(String, Option<String>)>,
    is_sync: bool,
}

impl Step {
    /// Some step, whose values are told from those of all others by `number`.
    fn random(random: &mut Random, number: u64) -> Self {
        let mut change = |may_delete: bool| {
            let key = format!("key{}", random.below(300));
            let len = match random.below(100) {
                // More than a write to the file does in one piece, so that a kill can tear it.
                0 => 200_000,
                1..10 => 1000,
                _ => random.below(60),
            };
            let value = format!("{number}:{}", "v".repeat(len as usize));
            (key, (!may_delete || random.below(4) > 0).then_some(value))
        };
        match number % 20 {
            0 => Self { lines: "sync\n".to_owned(), changes: Vec::new(), is_sync: true },
            1 | 2 => {
                let changes: Vec<_> = (0..5).map(|_| change(true)).collect();
                let lines = changes.iter().map(line).collect::<String>();
                Self { lines: format!("begin\n{lines}commit\n"), changes, is_sync: false }
            }
            3 => {
                let changes: Vec<_> = (0..3).map(|_| change(false)).collect();
                let lines = changes.iter().map(line).collect::<String>();
                let pairs = lines.replace("\nput ", " ");
                Self { lines: pairs, changes, is_sync: false }
            }
            _ => {
                let change = change(true);
                Self { lines: line(&change), changes: vec![change], is_sync: false }
            }
        }
    }

    /// The answers that the program gives to it: one a line.
    fn answer_count(&self) -> usize {
        self.lines.lines().count()
    }
}

/// The command that makes a change.
fn line((key, value): &(String, Option<String>)) -> String {
    match value {
        Some(value) => format!("put {key} {value}\n"),
        None => format!("del {key}\n"),
    }
}

fn change(contents: &mut Contents, (key, value): &(String, Option<String>)) {
    match value {
        Some(value) => contents.insert(key.clone(), value.clone()),
        None => contents.remove(key),
    };
}

/// The program at work on a script.
struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    steps: Vec<Step>,
    /// Lines sent, and lines answered.
    sent: usize,
    answered: usize,
}

impl Running {
    fn start(dir: &Path, policy: &str) -> Self {
        let mut child = program(dir)
            .args(["--json", "--bail", "--quiet", "--segment-size", "64KiB", "--sync", policy, "store"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdin, stdout, steps: Vec::new(), sent: 0, answered: 0 }
    }

    /// Sends steps. The program is left behind by so few that no pipe fills up.
    fn send(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.stdin.write_all(step.lines.as_bytes()).expect("the program reads");
            self.sent += step.answer_count();
            self.steps.push(step);
        }
    }

    /// Reads answers until no more than `ahead` are missing.
    fn listen(&mut self, ahead: usize) {
        while self.sent - self.answered > ahead {
            assert!(self.hear(), "the program ended before it was killed");
        }
    }

    /// Reads one answer. `false`: there are no more.
    fn hear(&mut self) -> bool {
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("text");
        let is_whole = answer.ends_with('\n');
        if is_whole {
            let is_good = answer.starts_with("{\"ok\":true") || answer.starts_with("{\"deleted\":");
            assert!(is_good, "{answer}");
            self.answered += 1;
        }
        is_whole
    }

    /// Kills it in the middle of `last`, hears what it had said, and tells the steps and how many of them were
    /// acknowledged.
    fn kill(mut self, after: Duration, last: Vec<Step>) -> (Vec<Step>, usize) {
        let lines: String = last.iter().map(|step| step.lines.as_str()).collect();
        self.steps.extend(last);
        std::thread::scope(|scope| {
            // The kill closes the pipe at the other end.
            scope.spawn(|| drop(self.stdin.write_all(lines.as_bytes())));
            // No wait for something to happen: where the kill falls is what is tried.
            std::thread::sleep(after);
            self.child.kill().expect("it is there");
        });
        self.child.wait().expect("it ends");
        while self.hear() {}
        let mut answers = self.answered;
        let acknowledged = self.steps.iter().take_while(|step| {
            let is_whole = step.answer_count() <= answers;
            answers = answers.saturating_sub(step.answer_count());
            is_whole
        });
        let acknowledged = acknowledged.count();
        (self.steps, acknowledged)
    }
}

/// What the store holds.
fn contents(store: &Store) -> Contents {
    let entries = store.scan(..).expect("a scan");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("only text was written");
    let pair = |entry: logkv::Entry| (text(&entry.meta.key), text(&entry.value));
    entries.map(|entry| pair(entry.expect("every record is whole"))).collect()
}

/// How many of `steps` were taken, at least `least`: so many that they make `found` of what was there `before`, exactly.
fn steps_taken(before: &Contents, steps: &[Step], least: usize, found: &Contents) -> Option<usize> {
    let mut expected = before.clone();
    for count in 0..=steps.len() {
        if count >= least && expected == *found {
            return Some(count);
        }
        let changes = steps.get(count).map_or(&[][..], |step| &step.changes);
        changes.iter().for_each(|of_key| change(&mut expected, of_key));
    }
    None
}

/// Kills a program that writes, over and over on one store, and looks at what is left each time.
fn kill_writers(policy: &str) {
    let mut random = Random::announced();
    let dir = scratch();
    let path = dir.path().join("store");
    let mut before = Contents::new();
    let (mut numbers, mut torn_count) = (0_u64.., 0);
    let mut steps = |random: &mut Random, count: u64| -> Vec<Step> {
        numbers.by_ref().take(count as usize).map(|number| Step::random(random, number)).collect()
    };
    for round in 0..kills() {
        let mut running = Running::start(dir.path(), policy);
        // None of them: it is killed while it opens the store.
        for _ in 0..random.below(10) {
            let count = random.below(40);
            running.send(steps(&mut random, count));
            running.listen(random.below(20) as usize);
        }
        let (after, last) = (Duration::from_micros(random.below(15_000)), steps(&mut random, 200));
        let (steps, acknowledged) = running.kill(after, last);
        let least = if policy.starts_with("buffered") {
            steps[..acknowledged].iter().rposition(|step| step.is_sync).map_or(0, |at| at + 1)
        } else {
            acknowledged
        };
        // Every other time the next program finds the store as the kill left it; a reader repairs nothing.
        let store = Store::open_with(&path, quick().read_only(round % 2 == 0));
        let store = match store {
            Err(logkv::Error::Missing { .. }) if least == 0 && before.is_empty() => continue,
            opened => opened.expect("the store opens after a kill"),
        };
        assert_eq!(store.open_report().damage, [], "round {round}");
        torn_count += u32::from(store.open_report().torn.is_some());
        let found = contents(&store);
        let Some(taken) = steps_taken(&before, &steps, least, &found) else {
            panic!(
                "round {round}: none of the first {least} to {} steps leave what is in {}",
                steps.len(),
                dir.keep().display()
            );
        };
        println!(
            "{policy}, round {round}: {} steps, {acknowledged} acknowledged, {taken} there",
            steps.len()
        );
        before = found;
    }
    println!("{policy}: {torn_count} torn tails");
    let store = open(&path);
    assert_eq!(contents(&store), before);
    store.put("after all kills", "it writes on").expect("a put");
    store.close().expect("closes");
    assert_eq!(contents(&open(&path)).len(), before.len() + 1);
}

#[test]
fn kill_9_loses_no_acknowledged_write_under_always() {
    kill_writers("always");
}

#[test]
fn kill_9_loses_no_acknowledged_write_under_an_interval() {
    kill_writers("5ms");
}

#[test]
fn kill_9_loses_no_acknowledged_write_under_never() {
    kill_writers("never");
}

#[test]
fn kill_9_loses_nothing_that_was_synced_under_buffered_and_leaves_no_hole() {
    kill_writers("buffered:16KiB");
}

#[test]
fn kill_9_during_an_open_loses_nothing_and_the_next_open_does_what_was_left_undone() {
    let mut random = Random::announced();
    let dir = scratch();
    let store = open(dir.path());
    for thousand in 0..30 {
        let mut batch = Batch::new();
        for n in 0..1000 {
            batch.put(format!("key{n}"), format!("{thousand}:{}", "v".repeat(100)));
        }
        store.write(&batch).expect("a batch");
    }
    let expected = contents(&store);
    let dir = killed(store, dir.path());
    // Everything that a recovery has to do: a long log to read, a torn end to cut off, a file to remove.
    let mut active = OpenOptions::new().append(true).open(segment_path(dir.path(), 1)).expect("the segment");
    active.write_all(&[0xa5; 1000]).expect("a torn end");
    std::fs::write(segment_path(dir.path(), 99), "").expect("a file of a rotation that was never finished");
    let start = |dir: &Path| {
        program(dir).args(["--quiet", ".", "put", "by", "the program"]).spawn().expect("it starts")
    };

    let started = Instant::now();
    let copy = copy_of(dir.path());
    assert!(start(copy.path()).wait().expect("it ends").success());
    let longest = started.elapsed().as_micros() as u64;

    for _ in 0..kills().div_ceil(4) {
        let copy = copy_of(dir.path());
        for _ in 0..4 {
            let mut child = start(copy.path());
            std::thread::sleep(Duration::from_micros(random.below(longest)));
            child.kill().expect("it is there");
            child.wait().expect("it ends");
        }
        let store = open(copy.path());
        let mut found = contents(&store);
        // The program may have come so far as to write.
        found.remove("by");
        assert!(found == expected, "{} keys are there, of {}", found.len(), expected.len());
        store.put("new", "it writes on").expect("a put");
        store.close().expect("closes");
        assert_eq!(open(copy.path()).get("new").expect("reads").expect("is there"), b"it writes on");
        assert!(!segment_path(copy.path(), 99).exists(), "the leftover is gone");
    }
}
