//! Checks of `verify` and `repair`, which work on any directory, even if the store does not open.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use logkv::fs::{Directory, FileSystem, Parent, PathKind};
use logkv::repair::{self, RepairReport};
use logkv::verify::{self, Fault, Finding, VerifyEvent, VerifyReport};
use logkv::{Damage, Error, Options};

use super::memory::{Image, Memory};
use super::sample;

const OLD: &str = "memory";
const NEW: &str = "memory, repaired";

/// The result of a verification.
#[derive(Debug)]
pub struct Verified {
    /// The report.
    pub report: VerifyReport,
    findings: Vec<Finding>,
}

impl Verified {
    /// Verifies the files of `image`. Returns `None` if they are no store.
    ///
    /// # Panics
    /// If the verification changes a file, or fails for another reason.
    #[must_use]
    pub fn of(image: &Image) -> Option<Self> {
        let memory = Memory::of(image);
        let mut findings = Vec::new();
        let outcome = verify::store(Path::new(OLD), &sample::options(&memory), &[], &mut |event| {
            if let VerifyEvent::Found(finding) = event {
                findings.push(finding.clone());
            }
            ControlFlow::Continue(())
        });
        assert_eq!(memory.change_count(), 0, "a verification changes nothing");
        match outcome {
            Ok(report) => Some(Self { report, findings }),
            Err(Error::Missing { .. }) => None,
            Err(error) => panic!("verifying: {}", error.sentence()),
        }
    }

    /// Returns whether a hint or KEYDIR contradicts the log under a correct checksum, or may do so.
    #[must_use]
    pub fn may_lie(&self) -> bool {
        self.findings.iter().any(|finding| {
            matches!(
                finding.fault,
                Fault::HintRow(_)
                    | Fault::HintFilter(_)
                    | Fault::Count { .. }
                    | Fault::KeydirEntries { .. }
                    | Fault::NotCompared
            )
        })
    }

    /// Returns whether there is no finding, not even a note.
    #[must_use]
    pub fn is_spotless(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Returns the files that `repair` makes from those of `image`, or `None` if they hold no store.
///
/// # Panics
/// If the repair changes an old file, leaves files behind after an error, or makes a store with
/// faults.
#[must_use]
pub fn repaired(image: &Image) -> Option<Image> {
    let pair = Pair { old: Memory::of(image), new: Memory::default() };
    let outcome = copy(&pair);
    assert_eq!(&pair.old.image(), image, "a repair does not change the old store");
    let made = pair.new.image();
    match outcome {
        Ok(report) => {
            let verified = Verified::of(&made).expect("a repair makes a store");
            // Values that a later version compressed are kept for that version.
            let is_kept = |found: &Finding| matches!(found.fault, Fault::Record(Damage::Codec(_)));
            assert!(verified.findings.iter().all(is_kept), "{:?} after {report:?}", verified.findings);
            assert_eq!(verified.report.record_count, report.record_count, "{report:?}");
            Some(made)
        }
        Err(Error::Missing { .. } | Error::Unsupported { .. }) => {
            assert_eq!(made, [], "a failed repair leaves no file");
            None
        }
        Err(error) => panic!("repairing: {}", error.sentence()),
    }
}

fn copy(pair: &Pair) -> Result<RepairReport, Error> {
    let options: Options = sample::options(&pair.old).file_system(Arc::new(pair.clone()));
    repair::copy(Path::new(OLD), Path::new(NEW), &options, &mut |_| ControlFlow::Continue(()))
}

/// A store and an empty directory beside it.
#[derive(Clone, Debug)]
struct Pair {
    old: Memory,
    new: Memory,
}

impl Pair {
    fn at(&self, path: &Path) -> &Memory {
        if path == Path::new(NEW) { &self.new } else { &self.old }
    }
}

impl FileSystem for Pair {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        self.at(path).kind(path)
    }

    fn create_directory(&self, path: &Path, trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        self.at(path).create_directory(path, trusts_all)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.new.random(bytes)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.at(path).open_directory(path)
    }

    fn parent(&self, _path: &Path) -> io::Result<Arc<dyn Parent>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Parent for Pair {
    fn kind(&self, _name: &OsStr) -> io::Result<PathKind> {
        Ok(PathKind::Directory)
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        Ok(vec![OLD.into(), NEW.into()])
    }

    fn create(&self, _name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        Err(ErrorKind::AlreadyExists.into())
    }

    fn open(&self, name: &OsStr, _trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        self.open_directory(Path::new(name))
    }

    fn rename(&self, _directory: &dyn Directory, _names: [&OsStr; 2]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn exchange(&self, _directories: [&dyn Directory; 2], _names: [&OsStr; 2]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn remove(&self, _directory: &dyn Directory, _name: &OsStr) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
