//! FailureKind calls: which one, in which way, and how often.

use std::io;
use std::mem::{Discriminant, discriminant};

use logkv::fs::StoreFile;

/// The name of the directory in errors.
pub(crate) const DIRECTORY: &str = "simulated";
const RANDOM_NUMBERS: &str = "the system's random numbers";

/// A way in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FailureKind {
    /// EIO. The call has its full effect, but reports an error.
    Broken,
    /// ENOSPC. Half of the bytes are written.
    Full,
    /// EINTR. The call has no effect.
    Interrupted,
    /// No error: a short read or write.
    Short,
}

impl FailureKind {
    /// All ways.
    pub(crate) const EVERY: [Self; 4] = [Self::Broken, Self::Full, Self::Interrupted, Self::Short];

    /// The error of the operating system, or `None` for a short call.
    pub(crate) fn error(self) -> Option<io::Error> {
        let number = match self {
            Self::Broken => libc::EIO,
            Self::Full => libc::ENOSPC,
            Self::Interrupted => libc::EINTR,
            Self::Short => return None,
        };
        Some(io::Error::from_raw_os_error(number))
    }

    /// The number of bytes, of `len`, that a failing call moves.
    pub(crate) fn moved(self, len: usize) -> usize {
        match self {
            Self::Broken => len,
            Self::Full | Self::Short => len.div_ceil(2),
            Self::Interrupted => 0,
        }
    }
}

/// A call to the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Kind,
    CreateDirectory,
    Random,
    OpenDirectory,
    Distrust,
    Names,
    Lock,
    SyncNames,
    Open(StoreFile),
    Create(StoreFile),
    Rename(StoreFile),
    Remove(StoreFile),
    Len(StoreFile),
    Read(StoreFile),
    Write(StoreFile),
    Truncate(StoreFile),
    Sync(StoreFile),
    Map(StoreFile),
}

/// The number of kinds of calls, and the number of kinds that move bytes.
const CALL_COUNT: usize = 18;
const MOVING_COUNT: usize = 2;

impl Call {
    /// Whether the call moves bytes, so that it can be short and can be continued.
    fn moves_bytes(self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_))
    }

    /// The name that an error of this call must contain.
    fn subject(self) -> String {
        match self {
            Self::Random => RANDOM_NUMBERS.to_owned(),
            Self::Kind | Self::CreateDirectory | Self::OpenDirectory => DIRECTORY.to_owned(),
            Self::Distrust | Self::Names | Self::Lock | Self::SyncNames => DIRECTORY.to_owned(),
            Self::Open(file) | Self::Create(file) | Self::Rename(file) | Self::Remove(file) => path(file),
            Self::Len(file) | Self::Read(file) | Self::Write(file) => path(file),
            Self::Truncate(file) | Self::Sync(file) | Self::Map(file) => path(file),
        }
    }
}

fn path(file: StoreFile) -> String {
    format!("{DIRECTORY}/{file}")
}

/// A kind of call, the way it failed, and whether all later calls failed.
pub(crate) type Kind = (Discriminant<Call>, FailureKind, bool);

/// The number of kinds of faults: every call can fail in three ways, and calls that move bytes can
/// also be short; once, or from then on.
pub(crate) const KIND_COUNT: usize = (CALL_COUNT * 3 + MOVING_COUNT) * 2;

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) failing: FailureKind,
    /// Its number, counted from 0.
    pub(crate) at_call: u64,
    /// Whether all later calls fail as well.
    pub(crate) lasts: bool,
}

impl Fault {
    /// The kind of this fault if `call` is the first call it hits.
    pub(crate) fn kind(&self, call: Call) -> Kind {
        (discriminant(&call), self.failing, self.lasts)
    }

    /// Whether `sentence` names the failed call, when `first` was the first one.
    pub(crate) fn is_reported_by(&self, sentence: &str, first: Call) -> bool {
        let names_another = || [DIRECTORY, RANDOM_NUMBERS].iter().any(|subject| sentence.contains(subject));
        let names_it = sentence.contains(&first.subject()) || (self.lasts && names_another());
        names_it && sentence.contains("cannot ")
    }

    /// Whether the store may hide the fault, by continuing a call that moves bytes.
    pub(crate) fn is_invisible(&self, first: Call) -> bool {
        match self.failing {
            FailureKind::Short => true,
            FailureKind::Interrupted => first.moves_bytes() && !self.lasts,
            FailureKind::Broken | FailureKind::Full => false,
        }
    }

    /// The failure of call number `number`, if any.
    pub(crate) fn meets(&self, number: u64, call: Call) -> Option<FailureKind> {
        let is_hit = number == self.at_call || (self.lasts && number > self.at_call);
        let can_fail = self.failing != FailureKind::Short || call.moves_bytes();
        (is_hit && can_fail).then_some(self.failing)
    }
}

/// The first call that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) call: Call,
    /// The number of changing calls before it.
    pub(crate) event_count: usize,
}
