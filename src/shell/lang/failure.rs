//! Why a command did not do what was asked: a sentence, the place in the line, and advice.

use std::io;
use std::ops::Range;
use std::path::Path;

use logkv::Location;
use rustix::io::Errno;

use super::words::{WordError, WordErrorKind, named, shown};
use crate::shell::term::interrupt::{Interrupted, WriteInterrupted};
use crate::shell::term::units;

/// What a failure means for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command was understood and failed: 1.
    Command,
    /// The command was not understood: 2 when it stands alone, 1 in a script.
    Usage,
    /// The store cannot be opened: 3.
    Open,
    /// The bytes on disk are not what was written: 4.
    Corruption,
    /// Ctrl-C: 130.
    Interrupted,
    /// Nobody reads the output any more: the shell ends in silence with 0.
    BrokenPipe,
}

impl Kind {
    /// Its name in JSON.
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
    /// What it means for the exit code.
    pub kind: Kind,
    /// What happened, in a sentence without a full stop.
    pub message: String,
    /// The bytes of the line to put a caret under.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether a store is there, and what it holds keeps it from opening: its files can still be looked at.
    pub is_about_contents: bool,
    /// Whether it affects one record only, and iteration continues after it.
    pub is_of_one_record: bool,
    /// Whether it is the store that failed, for a reason that any other write would meet, too.
    pub is_of_store: bool,
    /// Where the log is damaged, if that is why.
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

    /// The command failed.
    pub fn command(message: impl Into<String>) -> Self {
        Self::new(Kind::Command, message)
    }

    /// The command was not understood.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Nobody would notice Ctrl-C.
    pub fn no_watch(error: io::Error) -> Self {
        let failure = Self::command(format!("cannot watch for Ctrl-C: {}", plain_words(&error)));
        Self { hint: limit_hint(&error), ..failure }
    }

    /// Ctrl-C, between two commands.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Ctrl-C, after `count` records.
    pub fn interrupted_after(count: u64) -> Self {
        Self::new(Kind::Interrupted, format!("interrupted after {}", units::count(count, "record")))
    }

    /// Ctrl-C, with the outcome of the command.
    pub fn interrupted_with(outcome: &str) -> Self {
        Self::new(Kind::Interrupted, format!("interrupted: {outcome}"))
    }

    /// The store cannot be opened.
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
                Some("verify says what is wrong, and repair --to DIR makes a store of what is intact")
            }
            // Who may not write may perhaps read.
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

    /// A file named by the user cannot be read or written.
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        if is_interrupted(error) {
            return Self::interrupted();
        }
        if path.as_os_str().is_empty() {
            return Self::command(format!("cannot {action} \"\": an empty name is no file's"));
        }
        let path = named(path.as_os_str().as_encoded_bytes());
        let failure = Self::command(format!("cannot {action} {path}: {}", plain_words(error)));
        Self { hint: limit_hint(error), ..failure }
    }

    /// Points at the bytes `span` of the line.
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What `key` has cannot be read; or the store would not do something else.
    pub fn of_key(error: &logkv::Error, key: &[u8]) -> Self {
        let failure = Self::from_store(error);
        if failure.damaged_at.is_some() { failure.about_key(key) } else { failure }
    }

    /// The failure to read what `key` has.
    pub fn about_key(self, key: &[u8]) -> Self {
        Self { message: format!("{} cannot be read: {}", shown(key), self.message), ..self }
    }

    /// The store would not do it.
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
        // A name that was changed meanwhile is not an error of the operating system.
        if let logkv::Error::Io { action: "give the store's name to", source, .. } = error
            && source.raw_os_error().is_some()
        {
            let hint = "repair --to DIR makes a store elsewhere, where two names cannot be exchanged";
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

/// Whether `error` is a [`WriteInterrupted`].
fn is_interrupted(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<WriteInterrupted>())
}

/// Which limit to raise, if `error` is that no more files can be open.
fn limit_hint(error: &io::Error) -> Option<String> {
    let hint = match Errno::from_io_error(error)? {
        Errno::MFILE => "raise the limit of open files (ulimit -n)",
        Errno::NFILE => "raise the limit of open files of the whole system (sysctl fs.file-max)",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The kind of `error`, which decides the exit code.
fn kind(error: &logkv::Error) -> Kind {
    match error {
        // Only Ctrl-C cancels a command's work.
        logkv::Error::Cancelled => Kind::Interrupted,
        error if error.is_corruption() => Kind::Corruption,
        _ => Kind::Command,
    }
}

/// Whether `error` is about what was to be written, and about the value there: the next write may well succeed.
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

/// What the operating system said, without the number that Rust appends to it.
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
            WordErrorKind::BadEscape => failure.hint("in single quotes a backslash is a backslash"),
            WordErrorKind::Open(_) => failure.hint("a line break in a word is \\n in double quotes"),
            _ => failure,
        }
    }
}

/// Writing a result failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::BrokenPipe, "nobody reads the output"),
            _ if is_interrupted(&error) => Self::interrupted(),
            _ => Self::command(format!("cannot write the output: {}", plain_words(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_more_files_can_be_open_the_limit_is_named() {
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
    fn an_error_of_the_system_is_told_once_and_without_its_number() {
        let error =
            logkv::Error::Io { action: "open", path: "/no".into(), source: io::Error::from_raw_os_error(13) };
        assert_eq!(Failure::from(error).message, "cannot open /no: Permission denied");
    }

    #[test]
    fn a_repair_whose_names_were_changed_meanwhile_gets_no_hint_about_an_exchange() {
        let hint = |source| {
            let error = logkv::Error::Io { action: "give the store's name to", path: "/new".into(), source };
            Failure::from(error).hint
        };
        assert_eq!(hint(io::Error::other("something else has that name by now")), None);
        assert!(hint(io::Error::from_raw_os_error(22)).is_some_and(|hint| hint.contains("exchanged")));
    }

    #[test]
    fn what_was_cancelled_is_interrupted_wherever_it_is_told() {
        let cancelled = logkv::Error::Cancelled;
        assert_eq!(Failure::open(&cancelled).kind, Kind::Interrupted);
        assert_eq!(Failure::from(cancelled).kind, Kind::Interrupted);
    }

    #[test]
    fn a_broken_pipe_is_no_ordinary_failure() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).kind, Kind::BrokenPipe);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).kind, Kind::Command);
    }
}
