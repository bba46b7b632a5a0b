//! Failures of commands: a message, a span of the line, and a hint.

use std::io;
use std::ops::Range;
use std::path::Path;

use logkv::Location;
use rustix::io::Errno;

use super::words::{WordError, WordErrorKind, named, shown};
use crate::shell::term::interrupt::{Interrupted, WriteInterrupted};
use crate::shell::term::units;

/// The kind of a failure. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command failed: 1.
    Command,
    /// The command was not understood: 2 for a one-shot command, 1 in a script.
    Usage,
    /// The store cannot be opened: 3.
    Open,
    /// The store is damaged: 4.
    Corruption,
    /// Ctrl-C: 130.
    Interrupted,
    /// The reader of the output has closed the pipe: the shell exits silently with 0.
    BrokenPipe,
}

impl Kind {
    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "failed",
            Self::Usage => "usage",
            Self::Open => "unopened",
            Self::Corruption => "damaged",
            Self::Interrupted => "interrupted",
            Self::BrokenPipe => "unread",
        }
    }
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: Kind,
    /// A sentence without a full stop.
    pub message: String,
    /// The span of the line that the caret marks.
    pub span: Option<Range<usize>>,
    /// Advice.
    pub hint: Option<String>,
    /// Whether the contents of the store keep it from opening. Its files can still be inspected.
    pub is_about_contents: bool,
    /// Whether it affects one record only, so that iteration continues.
    pub is_of_one_record: bool,
    /// Whether every later write would fail for the same reason.
    pub is_of_store: bool,
    /// The damaged location in the log, if damage is the cause.
    pub damaged_at: Option<Location>,
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            span: None,
            hint: None,
            is_about_contents: false,
            is_of_one_record: false,
            is_of_store: false,
            damaged_at: None,
        }
    }

    /// Creates a failure of the command.
    pub fn command(message: impl Into<String>) -> Self {
        Self::new(Kind::Command, message)
    }

    /// Creates a usage failure.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Creates a failure from an error in watching for Ctrl-C.
    pub fn no_watch(error: io::Error) -> Self {
        let failure = Self::command(format!("cannot watch for Ctrl-C: {}", plain_words(&error)));
        Self { hint: limit_hint(&error), ..failure }
    }

    /// Creates an interruption between two commands.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Creates an interruption after `count` records.
    pub fn interrupted_after(count: u64) -> Self {
        Self::new(Kind::Interrupted, format!("interrupted after {}", units::count(count, "record")))
    }

    /// Creates an interruption that names the outcome of the command.
    pub fn interrupted_with(outcome: &str) -> Self {
        Self::new(Kind::Interrupted, format!("interrupted: {outcome}"))
    }

    /// Creates a failure from an error in opening a store.
    pub fn open(error: &logkv::Error) -> Self {
        let kind = match kind(error) {
            Kind::Command => Kind::Open,
            kind => kind,
        };
        let is_about_contents = !matches!(
            error,
            logkv::Error::Missing { .. }
                | logkv::Error::Foreign { .. }
                | logkv::Error::Untrusted { .. }
                | logkv::Error::Unfinished { .. }
        );
        let hint = match error {
            logkv::Error::Untrusted { .. } => Some("--trust opens it"),
            error if error.is_corruption() => {
                Some("verify lists the damage, and repair --to DIR copies the intact records to a new store")
            }
            // A user without write permission may still have read permission.
            logkv::Error::Io {
                action: "lock" | "write" | "truncate" | "fsync" | "rename" | "remove",
                ..
            } => Some("--read-only writes nothing"),
            logkv::Error::Io { action: "map", .. } => Some("--read-with pread maps nothing"),
            _ => None,
        };
        let failure = Self::from_store(error);
        let hint = failure.hint.or_else(|| hint.map(str::to_owned));
        Self { kind, is_about_contents, hint, ..failure }
    }

    /// Creates a failure from an error in reading or writing a file that the user named.
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        if is_interrupted(error) {
            return Self::interrupted();
        }
        if path.as_os_str().is_empty() {
            return Self::command(format!("cannot {action} \"\": the file name is empty"));
        }
        let path = named(path.as_os_str().as_encoded_bytes());
        let failure = Self::command(format!("cannot {action} {path}: {}", plain_words(error)));
        Self { hint: limit_hint(error), ..failure }
    }

    /// Sets the span that the caret marks.
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Creates a failure from an error of a read of `key`. Damage is reported with the key.
    pub fn of_key(error: &logkv::Error, key: &[u8]) -> Self {
        let failure = Self::from_store(error);
        if failure.damaged_at.is_some() { failure.about_key(key) } else { failure }
    }

    /// Adds `key` to the message.
    pub fn about_key(self, key: &[u8]) -> Self {
        Self { message: format!("{} cannot be read: {}", shown(key), self.message), ..self }
    }

    /// Creates a failure from an error of the store.
    pub fn from_store(error: &logkv::Error) -> Self {
        let mut message = match error {
            logkv::Error::Io { action, path, .. } => {
                format!("cannot {action} {}", named(path.as_os_str().as_encoded_bytes()))
            }
            _ => error.to_string(),
        };
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let text = cause.downcast_ref().map_or_else(|| cause.to_string(), plain_words);
            message.push_str(": ");
            message.push_str(&text);
            source = cause.source();
        }
        let mut failure = Self::new(kind(error), message);
        failure.is_of_one_record = failure.kind == Kind::Corruption;
        failure.is_of_store = !is_of_one_write(error);
        if let logkv::Error::Damaged { segment, offset, .. } = *error {
            failure.damaged_at = Some(Location { segment, offset });
            let hint = format!("verify lists all damage; dump-segment {segment} --only bad shows this");
            failure.hint = Some(hint);
        }
        if let logkv::Error::ValueTooLarge { len, .. } = error {
            failure.is_of_one_record = true;
            failure.hint = Some(format!("--read-limit {len} reads it, and takes that much memory"));
        }
        if let logkv::Error::ValueLength { len, .. } = error {
            failure.hint = Some(format!("--value-limit {len} allows it"));
        }
        if let logkv::Error::Io { source, .. } = error {
            failure.hint = limit_hint(source);
        }
        // Without a system error, another process renamed the directory. The hint does not apply.
        if let logkv::Error::Io { action: "give the store's name to", source, .. } = error
            && source.raw_os_error().is_some()
        {
            let hint = "repair --to DIR works on file systems that cannot exchange two names";
            failure.hint = Some(hint.to_owned());
        }
        failure
    }
}

impl From<Interrupted> for Failure {
    fn from(Interrupted { count }: Interrupted) -> Self {
        Self::interrupted_after(count)
    }
}

/// Returns whether `error` is a [`WriteInterrupted`].
fn is_interrupted(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<WriteInterrupted>())
}

/// Returns the hint that names the limit to raise if too many files are open.
fn limit_hint(error: &io::Error) -> Option<String> {
    let hint = match Errno::from_io_error(error)? {
        Errno::MFILE => "raise the limit of open files (ulimit -n)",
        Errno::NFILE => "raise the limit of open files of the whole system (sysctl fs.file-max)",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn kind(error: &logkv::Error) -> Kind {
    match error {
        // Only Ctrl-C cancels a command.
        logkv::Error::Cancelled => Kind::Interrupted,
        error if error.is_corruption() => Kind::Corruption,
        _ => Kind::Command,
    }
}

/// Returns whether `error` concerns one write only, so that the next write may succeed.
fn is_of_one_write(error: &logkv::Error) -> bool {
    use logkv::Error;
    matches!(
        error,
        Error::KeyLength { .. }
            | Error::ValueLength { .. }
            | Error::BatchLength { .. }
            | Error::ExpiryTooLate
            | Error::NotANumber
            | Error::NumberOverflow { .. }
            | Error::ValueTooLarge { .. }
            | Error::Damaged { .. }
    )
}

/// Returns the message of `error` without the number that Rust appends.
pub fn plain_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

impl From<logkv::Error> for Failure {
    fn from(error: logkv::Error) -> Self {
        Self::from_store(&error)
    }
}

impl From<WordError> for Failure {
    fn from(error: WordError) -> Self {
        let failure = Self::usage(error.to_string()).at(error.span);
        match error.kind {
            WordErrorKind::BadEscape => failure.hint("a backslash in single quotes is literal"),
            WordErrorKind::Open(_) => failure.hint("write a line break as \\n in double quotes"),
            _ => failure,
        }
    }
}

/// A failed write of a result.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::BrokenPipe, "the output pipe is closed"),
            _ if is_interrupted(&error) => Self::interrupted(),
            _ => Self::command(format!("cannot write the output: {}", plain_words(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_limit_of_open_files() {
        for (errno, hint) in [
            (Errno::MFILE, Some("raise the limit of open files (ulimit -n)")),
            (Errno::NFILE, Some("raise the limit of open files of the whole system (sysctl fs.file-max)")),
            (Errno::ACCESS, None),
        ] {
            let system = || io::Error::from(errno);
            let store = logkv::Error::Io { action: "lock", path: "d".into(), source: system() };
            let open = Failure::open(&store);
            assert_eq!(open.hint.as_deref(), hint.or(Some("--read-only writes nothing")));
            assert_eq!(Failure::from(store).hint.as_deref(), hint);
            assert_eq!(Failure::file("open", Path::new("d"), &system()).hint.as_deref(), hint);
        }
    }

    #[test]
    fn a_system_error_appears_once_and_without_its_number() {
        let error =
            logkv::Error::Io { action: "open", path: "/no".into(), source: io::Error::from_raw_os_error(13) };
        assert_eq!(Failure::from(error).message, "cannot open /no: Permission denied");
    }

    #[test]
    fn only_a_system_error_gets_the_hint_about_exchanged_names() {
        let hint = |source| {
            let error = logkv::Error::Io { action: "give the store's name to", path: "/new".into(), source };
            Failure::from(error).hint
        };
        assert_eq!(hint(io::Error::other("another file has that name")), None);
        assert!(hint(io::Error::from_raw_os_error(22)).is_some_and(|hint| hint.contains("exchange")));
    }

    #[test]
    fn a_cancelled_operation_is_an_interruption() {
        let cancelled = logkv::Error::Cancelled;
        assert_eq!(Failure::open(&cancelled).kind, Kind::Interrupted);
        assert_eq!(Failure::from(cancelled).kind, Kind::Interrupted);
    }

    #[test]
    fn a_broken_pipe_has_its_own_kind() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).kind, Kind::BrokenPipe);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).kind, Kind::Command);
    }
}
