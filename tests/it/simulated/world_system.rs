//! A file system on a [`World`], with faults.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logkv::fs::{
    Access, Directory, File, FileSystem, Lock, LockOutcome, Mapping, Parent, PathKind, StoreFile,
};

use super::fault::{Call, FailureKind, Fault};
use super::file_system::SimulatedFileSystem;
use super::world::{NameChange, World, WorldEvent};
use crate::common::Random;

/// The calls among which a fault is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultScope {
    /// Calls on the directories themselves.
    Names,
    /// Calls in the directory of this number.
    In(usize),
}

/// A file system on a [`World`]. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct WorldFileSystem(Arc<Mutex<Machine>>);

#[derive(Debug)]
struct Machine {
    world: World,
    events: Vec<WorldEvent>,
    directories: Vec<SimulatedFileSystem>,
    seed: u64,
    call_count: u64,
    fault: Option<(FaultScope, Fault)>,
    has_failed: bool,
}

impl Machine {
    /// Starts a system on the disk of directory number `directory`.
    fn start(&mut self, directory: usize) {
        let fault =
            self.fault.filter(|(place, _)| *place == FaultScope::In(directory)).map(|(_, fault)| fault);
        let disk = self.world.disks[directory].clone();
        self.directories.push(SimulatedFileSystem::on(disk, self.seed + directory as u64, None, fault));
    }

    fn change(&mut self, event: WorldEvent) {
        self.world.apply(&event);
        self.events.push(event);
    }

    /// Counts a call that moves no bytes, and returns its failure, if any.
    fn meet(&mut self) -> Option<FailureKind> {
        let number = self.call_count;
        self.call_count += 1;
        let fault = self.fault.filter(|(place, _)| *place == FaultScope::Names).map(|(_, fault)| fault);
        let failing = fault.and_then(|fault| fault.meets(number, Call::Kind));
        self.has_failed |= failing.is_some();
        failing
    }

    fn attempt(&mut self) -> io::Result<()> {
        self.meet().and_then(FailureKind::error).map_or(Ok(()), Err)
    }

    /// Renames directories. A broken call does so, too, but reports an error.
    fn rename(&mut self, change: NameChange) -> io::Result<()> {
        let failing = self.meet();
        if matches!(failing, None | Some(FailureKind::Broken)) {
            self.change(WorldEvent::Name(change));
        }
        failing.and_then(FailureKind::error).map_or(Ok(()), Err)
    }
}

impl WorldFileSystem {
    /// A system that starts with `world`. One call may fail.
    pub(super) fn on(world: World, seed: u64, fault: Option<(FaultScope, Fault)>) -> Self {
        let (events, directories) = (Vec::new(), Vec::new());
        let mut machine =
            Machine { world, events, directories, seed, call_count: 0, fault, has_failed: false };
        (0..machine.world.disks.len()).for_each(|directory| machine.start(directory));
        Self(Arc::new(Mutex::new(machine)))
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The changing calls.
    pub(super) fn events(&self) -> Vec<WorldEvent> {
        self.machine().events.clone()
    }

    /// The current world.
    pub(super) fn world(&self) -> World {
        self.machine().world.clone()
    }

    /// The number of calls in each scope.
    pub(super) fn call_counts(&self) -> Vec<(FaultScope, u64)> {
        let machine = self.machine();
        let counts = machine.directories.iter().map(SimulatedFileSystem::call_count).enumerate();
        let counts = counts.map(|(directory, count)| (FaultScope::In(directory), count));
        counts.chain([(FaultScope::Names, machine.call_count)]).collect()
    }

    pub(super) fn has_failed(&self) -> bool {
        let machine = self.machine();
        machine.has_failed || machine.directories.iter().any(|directory| directory.met().is_some())
    }
}

impl FileSystem for WorldFileSystem {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        let mut machine = self.machine();
        machine.attempt()?;
        Ok(if machine.world.get(path).is_some() { PathKind::Directory } else { PathKind::Missing })
    }

    fn create_directory(&self, path: &Path, _trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        let mut machine = self.machine();
        machine.attempt()?;
        machine.change(WorldEvent::Make(path.to_owned()));
        let directory = machine.world.disks.len() - 1;
        machine.start(directory);
        drop(machine);
        self.open_directory(path)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut machine = self.machine();
        machine.attempt()?;
        let mut random = Random::seeded(machine.seed ^ machine.call_count);
        bytes.iter_mut().for_each(|byte| *byte = random.next() as u8);
        Ok(())
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let mut machine = self.machine();
        machine.attempt()?;
        let number = *machine.world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let inner = machine.directories[number].clone();
        let place = InDirectory { world: self.clone(), number, inner };
        Ok(Arc::new(WorldDirectory { place, path: path.to_owned() }))
    }

    fn parent(&self, path: &Path) -> io::Result<Arc<dyn Parent>> {
        self.machine().attempt()?;
        let path = path.parent().expect("the path has a parent").to_owned();
        Ok(Arc::new(WorldParent { world: self.clone(), path }))
    }
}

#[derive(Debug)]
struct WorldParent {
    world: WorldFileSystem,
    path: PathBuf,
}

impl Parent for WorldParent {
    fn kind(&self, name: &OsStr) -> io::Result<PathKind> {
        self.world.kind(&self.path.join(name))
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut machine = self.world.machine();
        machine.attempt()?;
        let inside = machine.world.names.keys().filter(|path| path.parent() == Some(&self.path));
        Ok(inside.filter_map(|path| path.file_name().map(OsStr::to_owned)).collect())
    }

    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn Directory>> {
        self.world.create_directory(&self.path.join(name), false)
    }

    fn open(&self, name: &OsStr, _trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        self.world.open_directory(&self.path.join(name))
    }

    fn rename(&self, _directory: &dyn Directory, [from, to]: [&OsStr; 2]) -> io::Result<()> {
        let mut machine = self.world.machine();
        let (from, to) = (self.path.join(from), self.path.join(to));
        if machine.world.get(&to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        machine.rename(NameChange::Rename(from, to))
    }

    fn exchange(&self, _directories: [&dyn Directory; 2], names: [&OsStr; 2]) -> io::Result<()> {
        let [one, other] = names.map(|name| self.path.join(name));
        self.world.machine().rename(NameChange::Exchange(one, other))
    }

    fn remove(&self, _directory: &dyn Directory, name: &OsStr) -> io::Result<()> {
        let mut machine = self.world.machine();
        let path = self.path.join(name);
        if machine.world.get(&path).is_some_and(|disk| disk.names.iter().next().is_some()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        machine.rename(NameChange::Remove(path))
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.world.machine();
        machine.attempt()?;
        machine.change(WorldEvent::SyncNames);
        Ok(())
    }
}

/// A directory whose calls go to a system of its own.
#[derive(Clone, Debug)]
struct InDirectory {
    world: WorldFileSystem,
    number: usize,
    inner: SimulatedFileSystem,
}

impl InDirectory {
    /// Runs `act`, and records its changes.
    fn recorded<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let before = self.inner.event_count();
        let done = act();
        if self.inner.event_count() > before {
            let events = self.inner.events().split_off(before);
            let mut machine = self.world.machine();
            events.into_iter().for_each(|event| machine.change(WorldEvent::In(self.number, event)));
        }
        done
    }
}

#[derive(Debug)]
struct WorldDirectory {
    place: InDirectory,
    path: PathBuf,
}

impl WorldDirectory {
    /// Adds to `outcome` that the lock is lost when another directory takes the name.
    fn at_path(&self, outcome: LockOutcome) -> LockOutcome {
        match outcome {
            LockOutcome::Held(inner) => {
                let (place, path) = (self.place.clone(), self.path.clone());
                LockOutcome::Held(Box::new(WorldLock { place, path, inner }))
            }
            held => held,
        }
    }
}

/// The lock of a directory with a path.
#[derive(Debug)]
struct WorldLock {
    place: InDirectory,
    path: PathBuf,
    inner: Box<dyn Lock>,
}

impl Lock for WorldLock {
    fn lost(&self) -> io::Result<Option<String>> {
        let is_replaced = {
            let machine = self.place.world.machine();
            machine.world.names.get(&self.path).is_some_and(|number| *number != self.place.number)
        };
        if is_replaced {
            return Ok(Some("another directory has replaced it".to_owned()));
        }
        self.inner.lost()
    }
}

impl Directory for WorldDirectory {
    fn distrust(&self) -> io::Result<Option<String>> {
        self.place.inner.distrust()
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        self.place.inner.names()
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let inner = self.place.recorded(|| self.place.inner.open(file, access))?;
        Ok(Arc::new(WorldFile { place: self.place.clone(), inner }))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        self.place.recorded(|| self.place.inner.rename(from, to))
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        self.place.recorded(|| self.place.inner.remove(file))
    }

    fn sync(&self) -> io::Result<()> {
        self.place.recorded(|| Directory::sync(&self.place.inner))
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        Ok(self.at_path(self.place.recorded(|| self.place.inner.lock())?))
    }

    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        let outcome = self.place.recorded(|| self.place.inner.lock_if_there())?;
        Ok(outcome.map(|outcome| self.at_path(outcome)))
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.path.join(file.to_string())
    }
}

#[derive(Debug)]
struct WorldFile {
    place: InDirectory,
    inner: Arc<dyn File>,
}

impl File for WorldFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.place.recorded(|| self.inner.write_at(bytes, at))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.place.recorded(|| self.inner.truncate(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.place.recorded(|| self.inner.sync())
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.inner.map(len)
    }
}
