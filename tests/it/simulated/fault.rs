//! A call that fails: which one, how, and how often.

use std::io;
use std::mem::{Discriminant, discriminant};

use logkv::fs::StoreFile;

/// Where a simulated store is.
pub(crate) const DIRECTORY: &str = "simulated";
const RANDOM_NUMBERS: &str = "the system's random numbers";

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failing {
    /// EIO. What was to be written stands in the file, a file has its new name: and the caller is told that it failed.
    Broken,
    /// ENOSPC. Half of what was to be written stands in the file.
    Full,
    /// EINTR. Nothing was done.
    Interrupted,
    /// No error: a read or a write that stops halfway, as any may.
    Short,
}

impl Failing {
    /// All of them.
    pub(crate) const EVERY: [Self; 4] = [Self::Broken, Self::Full, Self::Interrupted, Self::Short];

    /// What the operating system says; `None` when it says nothing.
    pub(crate) fn error(self) -> Option<io::Error> {
        let number = match self {
            Self::Broken => libc::EIO,
            Self::Full => libc::ENOSPC,
            Self::Interrupted => libc::EINTR,
            Self::Short => return None,
        };
        Some(io::Error::from_raw_os_error(number))
    }

    /// How many of `len` bytes a call moves that fails like this.
    pub(crate) fn moved(self, len: usize) -> usize {
        match self {
            Self::Broken => len,
            Self::Full | Self::Short => len.div_ceil(2),
            Self::Interrupted => 0,
        }
    }
}

/// A call to the file system, whatever it is for.
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

/// How many kinds of calls there are, and how many of them move bytes.
const CALL_COUNT: usize = 18;
const MOVING_COUNT: usize = 2;

impl Call {
    /// Whether it moves bytes, and so can move fewer of them, or be carried on with.
    fn moves_bytes(self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_))
    }

    /// What an error of this call has to name.
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

/// A kind of call, how it failed, and whether those after it did.
pub(crate) type Kind = (Discriminant<Call>, Failing, bool);

/// How many there are: every call can fail in three ways, and those that move bytes can stop halfway; once, or from then on.
pub(crate) const KIND_COUNT: usize = (CALL_COUNT * 3 + MOVING_COUNT) * 2;

/// A call that is made to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) failing: Failing,
    /// Its number, counted from 0.
    pub(crate) at_call: u64,
    /// Whether all calls after it fail, too.
    pub(crate) lasts: bool,
}

impl Fault {
    /// What kind of failure it is when it meets `call` first.
    pub(crate) fn kind(&self, call: Call) -> Kind {
        (discriminant(&call), self.failing, self.lasts)
    }

    /// Whether `sentence` says what failed, when `first` was the first call that did.
    pub(crate) fn is_told_by(&self, sentence: &str, first: Call) -> bool {
        let names_another = || [DIRECTORY, RANDOM_NUMBERS].iter().any(|subject| sentence.contains(subject));
        let names_it = sentence.contains(&first.subject()) || (self.lasts && names_another());
        names_it && sentence.contains("cannot ")
    }

    /// Whether the store can do as if nothing had been: calls that move bytes are carried on with.
    pub(crate) fn is_invisible(&self, first: Call) -> bool {
        match self.failing {
            Failing::Short => true,
            Failing::Interrupted => first.moves_bytes() && !self.lasts,
            Failing::Broken | Failing::Full => false,
        }
    }

    /// How call number `number` fails, if it does.
    pub(crate) fn meets(&self, number: u64, call: Call) -> Option<Failing> {
        let is_hit = number == self.at_call || (self.lasts && number > self.at_call);
        let can_fail = self.failing != Failing::Short || call.moves_bytes();
        (is_hit && can_fail).then_some(self.failing)
    }
}

/// The first call that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) call: Call,
    /// How many calls had changed something before it.
    pub(crate) event_count: usize,
}
