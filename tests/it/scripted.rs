//! The real program at work on a script, and what must be there when its work was cut off.
//!
//! The program reads a script from a pipe and answers each line; a test reads the answers and ends it. A store's log is a
//! sequence, so what is found afterwards must be exactly what some number of the script's steps leave behind, in their
//! order, and that number must not be below the number of steps that were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use rustix::io::ioctl_fionread;

use logkv::Store;

use crate::common::{Random, program};

pub(crate) type Contents = BTreeMap<String, String>;

/// A stretch of a script that takes effect as a whole or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) lines: String,
    /// Each key, and what it becomes.
    changes: Vec<(String, Option<String>)>,
    /// Whether all steps before it are durable once it was answered.
    pub(crate) is_sync: bool,
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
            0 => Self::upkeep(if number.is_multiple_of(200) { "compact --all" } else { "sync" }),
            10 if number % 100 == 10 => Self::upkeep("rotate"),
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
                let (key, value) = change(true);
                Self::change(&key, value.as_deref())
            }
        }
    }

    /// A step that makes `key` become `value`.
    pub(crate) fn change(key: &str, value: Option<&str>) -> Self {
        let change = (key.to_owned(), value.map(str::to_owned));
        Self { lines: line(&change), changes: vec![change], is_sync: false }
    }

    /// A step that changes no key. Sealing makes durable what it seals; a compaction promises nothing of what is not
    /// sealed.
    pub(crate) fn upkeep(command: &str) -> Self {
        let is_sync = !command.starts_with("compact");
        Self { lines: format!("{command}\n"), changes: Vec::new(), is_sync }
    }

    /// The answers that the program gives to it: one a line.
    fn answer_count(&self) -> usize {
        self.lines.lines().count()
    }
}

/// Steps without end, and without two that write the same.
pub(crate) struct Steps {
    pub(crate) random: Random,
    next: u64,
}

impl Steps {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, next: 0 }
    }

    pub(crate) fn take(&mut self, count: u64) -> Vec<Step> {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        numbers.map(|number| Step::random(&mut self.random, number)).collect()
    }
}

/// Whether an answer says that its line was carried out, and not why it failed.
pub(crate) fn is_good(answer: &str) -> bool {
    let good = ["{\"ok\":true", "{\"deleted\":", "{\"sealed\":", "{\"segments_before\":"];
    let is_good = good.iter().any(|start| answer.starts_with(start));
    assert!(is_good || answer.starts_with("{\"error\":"), "an unknown answer: {answer}");
    is_good
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
pub(crate) struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Where it says what went wrong.
    errors: PathBuf,
    steps: Vec<Step>,
    /// Lines sent, and lines answered.
    sent: usize,
    answered: usize,
}

/// What came of a script that was cut off.
pub(crate) struct CutOff {
    pub(crate) steps: Vec<Step>,
    /// How many of the steps were acknowledged.
    pub(crate) acknowledged: usize,
    /// How many were before the end had begun: a sync that is under way when a file system is shut down may be told to have
    /// been done, and was not.
    pub(crate) before_end: usize,
    /// What the program said went wrong.
    pub(crate) errors: String,
}

impl Running {
    /// Starts it on `store`; what goes wrong is noted in `dir`.
    pub(crate) fn start(dir: &Path, store: &Path, policy: &str) -> Self {
        let errors = dir.join("errors");
        let mut child = program(dir)
            .args(["--json", "--bail", "--quiet", "--segment-size", "64KiB", "--sync", policy])
            .arg(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a file can be made"))
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdin, stdout, errors, steps: Vec::new(), sent: 0, answered: 0 }
    }

    /// Sends steps. The program is left behind by so few that no pipe fills up.
    pub(crate) fn send(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.stdin.write_all(step.lines.as_bytes()).expect("the program reads");
            self.sent += step.answer_count();
            self.steps.push(step);
        }
    }

    /// Sends some of `steps`, in some pieces, and hears most answers.
    pub(crate) fn work(&mut self, steps: &mut Steps) {
        // No piece: it is cut off while it opens the store.
        for _ in 0..steps.random.below(10) {
            let count = steps.random.below(40);
            self.send(steps.take(count));
            self.listen(steps.random.below(20) as usize);
        }
    }

    /// Hears all answers, and waits for so long that everything is durable under an interval of milliseconds; how many
    /// steps that are.
    pub(crate) fn settle(&mut self) -> usize {
        self.listen(0);
        // A hundred times what the policy promises, for a machine that is busy with other things.
        std::thread::sleep(Duration::from_secs(1));
        self.steps.len()
    }

    /// Reads answers until no more than `ahead` are missing.
    pub(crate) fn listen(&mut self, ahead: usize) {
        while self.sent - self.answered > ahead {
            let answer_len = self.hear();
            let errors = || fs::read_to_string(&self.errors).expect("text");
            assert!(answer_len > 0, "the program ended before it was made to: {}", errors());
        }
    }

    /// Reads one answer: its length, or 0 when there are no more.
    fn hear(&mut self) -> usize {
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("text");
        let is_whole = answer.ends_with('\n');
        if is_whole && is_good(&answer) {
            self.answered += 1;
        }
        if is_whole { answer.len() } else { 0 }
    }

    /// Has `end` done to it in the middle of `last`, kills it, and hears what it had said.
    pub(crate) fn cut_off(mut self, after: Duration, last: Vec<Step>, end: impl FnOnce()) -> CutOff {
        let lines: String = last.iter().map(|step| step.lines.as_str()).collect();
        self.steps.extend(last);
        let mut said = 0;
        std::thread::scope(|scope| {
            // The kill closes the pipe at the other end.
            scope.spawn(|| drop(self.stdin.write_all(lines.as_bytes())));
            // No wait for something to happen: where the end falls is what is tried.
            std::thread::sleep(after);
            let waiting = ioctl_fionread(self.stdout.get_ref()).expect("a pipe");
            said = self.stdout.buffer().len() + waiting as usize;
            end();
            self.child.kill().expect("it is there");
        });
        self.child.wait().expect("it ends");
        let mut answered_before = self.answered;
        loop {
            match self.hear() {
                0 => break,
                len if len <= said => (said, answered_before) = (said - len, self.answered),
                _ => said = 0,
            }
        }
        let errors = fs::read_to_string(&self.errors).expect("text");
        let before_end = CutOff::new(self.steps.clone(), answered_before, String::new()).acknowledged;
        CutOff { before_end, ..CutOff::new(self.steps, self.answered, errors) }
    }
}

impl CutOff {
    /// What came of `steps` when the program gave so many answers, and told of `errors`.
    pub(crate) fn new(steps: Vec<Step>, mut answers: usize, errors: String) -> Self {
        assert!(!errors.contains("panicked"), "{errors}");
        let acknowledged = steps.iter().take_while(|step| {
            let is_whole = step.answer_count() <= answers;
            answers = answers.saturating_sub(step.answer_count());
            is_whole
        });
        let acknowledged = acknowledged.count();
        Self { steps, acknowledged, before_end: acknowledged, errors }
    }

    /// How many of the steps a later one that syncs made durable.
    pub(crate) fn synced(&self) -> usize {
        self.steps[..self.before_end].iter().rposition(|step| step.is_sync).map_or(0, |at| at + 1)
    }

    /// How many of the steps were taken, at least `least`: so many that they make `found` of what was there `before`,
    /// exactly.
    pub(crate) fn taken(&self, before: &Contents, least: usize, found: &Contents) -> Option<usize> {
        let mut expected = before.clone();
        for count in 0..=self.steps.len() {
            if count >= least && expected == *found {
                return Some(count);
            }
            let changes = self.steps.get(count).map_or(&[][..], |step| &step.changes);
            changes.iter().for_each(|of_key| change(&mut expected, of_key));
        }
        None
    }

    /// After how many of the steps it would look most like `found`, and what differs then.
    pub(crate) fn nearest(&self, before: &Contents, found: &Contents) -> String {
        let differing = |expected: &Contents| -> Vec<String> {
            let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            keys.into_iter().filter(|key| expected.get(*key) != found.get(*key)).cloned().collect()
        };
        let mut expected = before.clone();
        let mut states = vec![(0, differing(&expected))];
        for (count, step) in (1..).zip(&self.steps) {
            step.changes.iter().for_each(|of_key| change(&mut expected, of_key));
            states.push((count, differing(&expected)));
        }
        let (count, keys) = states.into_iter().min_by_key(|(_, keys)| keys.len()).expect("no step is one");
        format!("after {count} of them other values of {keys:?} were expected")
    }
}

/// What the store holds, as text.
pub(crate) fn texts(store: &Store) -> Contents {
    let entries = store.scan(..).expect("a scan");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("only text was written");
    let pair = |entry: logkv::Entry| (text(&entry.meta.key), text(&entry.value));
    entries.map(|entry| pair(entry.expect("every record is whole"))).collect()
}
