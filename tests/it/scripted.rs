//! The real program runs a script that is cut off, and the test checks what is left.
//!
//! The program reads a script from a pipe and answers each line. A test reads the answers and ends
//! the program. The store must then hold the result of the first steps of the script, for some
//! number of steps. That number must not be below the number of steps that are guaranteed.

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

/// Lines of a script that take effect as a whole or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) lines: String,
    /// The changed keys, each with its new value.
    changes: Vec<(String, Option<String>)>,
    /// Whether the answer guarantees that all earlier steps are durable.
    pub(crate) is_sync: bool,
}

impl Step {
    /// A random step. `number` makes its values unique.
    fn random(random: &mut Random, number: u64) -> Self {
        let mut change = |may_delete: bool| {
            let key = format!("key{}", random.below(300));
            let len = match random.below(100) {
                // Longer than one write call, so that a kill can tear it.
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

    /// A step that sets `key` to `value`.
    pub(crate) fn change(key: &str, value: Option<&str>) -> Self {
        let change = (key.to_owned(), value.map(str::to_owned));
        Self { lines: line(&change), changes: vec![change], is_sync: false }
    }

    /// A step that changes no key. A seal makes the sealed records durable. A compaction guarantees
    /// nothing for the active segment.
    pub(crate) fn upkeep(command: &str) -> Self {
        let is_sync = !command.starts_with("compact");
        Self { lines: format!("{command}\n"), changes: Vec::new(), is_sync }
    }

    /// The number of answers, one in each line.
    fn answer_count(&self) -> usize {
        self.lines.lines().count()
    }
}

/// An endless sequence of distinct steps.
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

/// Whether the answer is a success.
pub(crate) fn is_good(answer: &str) -> bool {
    let good = ["{\"ok\":true", "{\"deleted\":", "{\"sealed\":", "{\"segments_before\":"];
    let is_good = good.iter().any(|start| answer.starts_with(start));
    assert!(is_good || answer.starts_with("{\"error\":"), "unknown answer {answer}");
    is_good
}

/// The command for a change.
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

/// The running program.
pub(crate) struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The file of its standard error.
    errors: PathBuf,
    steps: Vec<Step>,
    /// The numbers of lines sent and answered.
    sent: usize,
    answered: usize,
}

/// The result of a script that was cut off.
pub(crate) struct CutOff {
    pub(crate) steps: Vec<Step>,
    /// The number of acknowledged steps.
    pub(crate) acknowledged: usize,
    /// The number of steps acknowledged before the end began. A sync that runs during the shutdown
    /// of a file system may be acknowledged without effect.
    pub(crate) before_end: usize,
    /// The standard error of the program.
    pub(crate) errors: String,
}

impl Running {
    /// Starts the program on `store`. Its standard error goes to a file in `dir`.
    pub(crate) fn start(dir: &Path, store: &Path, policy: &str) -> Self {
        let errors = dir.join("errors");
        let mut child = program(dir)
            .args(["--json", "--bail", "--quiet", "--segment-size", "64KiB", "--sync", policy])
            .arg(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("creates a file"))
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take().expect("is piped");
        let stdout = BufReader::new(child.stdout.take().expect("is piped"));
        Self { child, stdin, stdout, errors, steps: Vec::new(), sent: 0, answered: 0 }
    }

    /// Sends steps, but never more than the pipes hold.
    pub(crate) fn send(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.stdin.write_all(step.lines.as_bytes()).expect("the program reads");
            self.sent += step.answer_count();
            self.steps.push(step);
        }
    }

    /// Sends random steps in several pieces, and reads most answers.
    pub(crate) fn work(&mut self, steps: &mut Steps) {
        // With no piece, the program is cut off while it opens the store.
        for _ in 0..steps.random.below(10) {
            let count = steps.random.below(40);
            self.send(steps.take(count));
            self.listen(steps.random.below(20) as usize);
        }
    }

    /// Reads all answers, and waits until the sync interval has passed. Returns the number of
    /// steps.
    pub(crate) fn settle(&mut self) -> usize {
        self.listen(0);
        // A hundred intervals, in case the machine is busy.
        std::thread::sleep(Duration::from_secs(1));
        self.steps.len()
    }

    /// Reads answers until at most `ahead` are missing.
    pub(crate) fn listen(&mut self, ahead: usize) {
        while self.sent - self.answered > ahead {
            let answer_len = self.hear();
            let errors = || fs::read_to_string(&self.errors).expect("text");
            assert!(answer_len > 0, "the program ended too early: {}", errors());
        }
    }

    /// Reads one answer. Returns its length, or 0 at the end.
    fn hear(&mut self) -> usize {
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("text");
        let is_whole = answer.ends_with('\n');
        if is_whole && is_good(&answer) {
            self.answered += 1;
        }
        if is_whole { answer.len() } else { 0 }
    }

    /// Runs `end` in the middle of the steps `last`, kills the program, and reads its remaining
    /// answers.
    pub(crate) fn cut_off(mut self, after: Duration, last: Vec<Step>, end: impl FnOnce()) -> CutOff {
        let lines: String = last.iter().map(|step| step.lines.as_str()).collect();
        self.steps.extend(last);
        let mut said = 0;
        std::thread::scope(|scope| {
            // The kill breaks this pipe.
            scope.spawn(|| drop(self.stdin.write_all(lines.as_bytes())));
            // A random delay, so that the end comes at any moment.
            std::thread::sleep(after);
            let waiting = ioctl_fionread(self.stdout.get_ref()).expect("a pipe");
            said = self.stdout.buffer().len() + waiting as usize;
            end();
            self.child.kill().expect("exists");
        });
        self.child.wait().expect("exits");
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
    /// The result after so many answers, with the text of `errors`.
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

    /// The number of steps that a later sync made durable.
    pub(crate) fn synced(&self) -> usize {
        self.steps[..self.before_end].iter().rposition(|step| step.is_sync).map_or(0, |at| at + 1)
    }

    /// The number of steps, at least `least`, after which `before` becomes exactly `found`, or
    /// `None`.
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

    /// Describes the number of steps whose result is closest to `found`, and the difference.
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
        let (count, keys) =
            states.into_iter().min_by_key(|(_, keys)| keys.len()).expect("zero steps are a state");
        format!("after {count} steps, {keys:?} should differ")
    }
}

/// The contents of the store as text.
pub(crate) fn texts(store: &Store) -> Contents {
    let entries = store.scan(..).expect("a scan");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("is UTF-8");
    let pair = |entry: logkv::Entry| (text(&entry.meta.key), text(&entry.value));
    entries.map(|entry| pair(entry.expect("reads"))).collect()
}
