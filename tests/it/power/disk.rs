//! A disk on which the power may fail at any call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use logkv::fs::{
    Access, Directory, File, FileSystem, LockOutcome, Mapping, OsFileSystem, PathKind, StoreFile,
};

use crate::common::Random;

/// One call in so many is the last one before a cut.
const CUT_ONE_IN: u64 = 12;

/// A file's bytes as they are, and as they were when they were last synced.
#[derive(Clone, Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// A change of the directory: a name for a file, by its number; or none.
type Renamed = Vec<(String, Option<usize>)>;

/// What a disk would have after a cut, and what the writer had been told by then.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) before: String,
    pub(super) told: Told,
}

/// How many changes were durable for certain, were acknowledged, and were begun.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) durable: usize,
    pub(super) done: usize,
    pub(super) begun: usize,
}

#[derive(Debug)]
pub(super) struct Disk {
    files: Vec<Bytes>,
    synced: BTreeMap<String, usize>,
    /// What happened to names since the directory was synced.
    since: Vec<Renamed>,
    random: Random,
    /// Whether only processes die here: what they have written stays.
    only_kills: bool,
    pub(super) told: Told,
    pub(super) cuts: Vec<Cut>,
}

fn rename(names: &mut BTreeMap<String, usize>, changes: &Renamed) {
    for (name, file) in changes {
        match file {
            Some(file) => names.insert(name.clone(), *file),
            None => names.remove(name),
        };
    }
}

impl Disk {
    fn names(&self) -> BTreeMap<String, usize> {
        let mut names = self.synced.clone();
        self.since.iter().for_each(|changes| rename(&mut names, changes));
        names
    }

    /// The power may fail now, `before` this call.
    fn may_fail(&mut self, before: String) {
        if self.random.below(CUT_ONE_IN) != 0 {
            return;
        }
        let mut names = self.synced.clone();
        // All changes of names since, the first ones, or any.
        let kept = if self.only_kills { u64::MAX } else { self.random.below(self.since.len() as u64 + 1) };
        let in_order = self.only_kills || self.random.below(2) == 0;
        for (index, changes) in (0..).zip(&self.since) {
            if if in_order { index < kept } else { self.random.below(2) == 0 } {
                rename(&mut names, changes);
            }
        }
        let files = names.into_iter().map(|(name, file)| (name, self.left_of(file))).collect();
        self.cuts.push(Cut { files, before, told: self.told });
    }

    /// What is left of a file: what was synced; and of what was written since all, a part, or a part that is zeros.
    fn left_of(&mut self, file: usize) -> Vec<u8> {
        let Bytes { mut now, synced } = self.files[file].clone();
        let certain = synced.len().min(now.len());
        let mut place = |from: usize| from + self.random.below((now.len() - from) as u64 + 1) as usize;
        let (from, to) = (place(certain), place(certain));
        if self.only_kills {
            return now;
        }
        match self.random.below(3) {
            0 => return synced,
            1 => now.truncate(from),
            _ => now[from.min(to)..from.max(to)].fill(0),
        }
        now
    }
}

#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    pub(super) fn new(random: Random, only_kills: bool) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            files: Vec::new(),
            synced: BTreeMap::new(),
            since: Vec::new(),
            random,
            only_kills,
            told: Told::default(),
            cuts: Vec::new(),
        })))
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> T {
        act(&mut self.0.lock().expect("no panic"))
    }

    /// Does a call that changes something, and takes note of it.
    fn call<T>(
        &self,
        what: String,
        act: impl FnOnce() -> io::Result<T>,
        note: impl FnOnce(&mut Disk, &T),
    ) -> io::Result<T> {
        self.with(|disk| {
            disk.may_fail(what);
            let done = act()?;
            note(disk, &done);
            Ok(done)
        })
    }
}

impl FileSystem for Shared {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        OsFileSystem.kind(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.create_directory(path)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsFileSystem.random(bytes)
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(WatchedDirectory { inner: OsFileSystem.open_directory(path)?, disk: self.clone() }))
    }
}

#[derive(Debug)]
struct WatchedDirectory {
    inner: Arc<dyn Directory>,
    disk: Shared,
}

impl Directory for WatchedDirectory {
    fn distrust(&self) -> io::Result<Option<String>> {
        self.inner.distrust()
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        self.inner.names()
    }

    fn open(&self, name: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        // At once: a file that is open has the name no more, perhaps, when it is looked for.
        self.disk.with(|disk| {
            if access == Access::Create {
                disk.may_fail(format!("create {name}"));
            }
            let inner = self.inner.open(name, access)?;
            if access == Access::Create {
                disk.since.push(vec![(name.to_string(), Some(disk.files.len()))]);
                disk.files.push(Bytes::default());
            }
            let number = disk.names()[&name.to_string()];
            let file: Arc<dyn File> = Arc::new(WatchedFile { inner, number, name, disk: self.disk.clone() });
            Ok(file)
        })
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        self.disk.call(
            format!("rename {from}"),
            || self.inner.rename(from, to),
            |disk, ()| {
                let file = disk.names().get(&from.to_string()).copied();
                disk.since.push(vec![(from.to_string(), None), (to.to_string(), file)]);
            },
        )
    }

    fn remove(&self, name: StoreFile) -> io::Result<()> {
        let note = |disk: &mut Disk, (): &()| disk.since.push(vec![(name.to_string(), None)]);
        self.disk.call(format!("remove {name}"), || self.inner.remove(name), note)
    }

    fn sync(&self) -> io::Result<()> {
        let note = |disk: &mut Disk, (): &()| {
            disk.synced = disk.names();
            disk.since.clear();
        };
        self.disk.call("fsync the directory".to_owned(), || Ok(()), note)
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        self.inner.lock()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn File>,
    number: usize,
    name: StoreFile,
    disk: Shared,
}

impl File for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let write = || self.inner.write_at(bytes, at);
        self.disk.call(format!("write {}", self.name), write, |disk, &count| {
            let (now, at) = (&mut disk.files[self.number].now, at as usize);
            now.resize(now.len().max(at + count), 0);
            now[at..at + count].copy_from_slice(&bytes[..count]);
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let note = |disk: &mut Disk, (): &()| disk.files[self.number].now.resize(len as usize, 0);
        self.disk.call(format!("truncate {}", self.name), || self.inner.truncate(len), note)
    }

    fn sync(&self) -> io::Result<()> {
        let note = |disk: &mut Disk, (): &()| {
            let file = &mut disk.files[self.number];
            file.synced.clone_from(&file.now);
        };
        self.disk.call(format!("fsync {}", self.name), || Ok(()), note)
    }

    fn drop_cache(&self) {}

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.inner.map(len)
    }
}
