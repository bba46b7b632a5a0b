//! An in-memory file system that records every call that changes something.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logkv::fs::{
    Access, Directory, File, FileSystem, Lock, LockOutcome, Mapping, OsFileSystem, PathKind, StoreFile,
};
use tempfile::TempDir;

use super::disk::{Disk, Event, InodeId};
use super::fault::{Call, DIRECTORY, FailureKind, Fault, Met};
use crate::common::Random;

/// A directory for mapped files. A mapping needs a real file, so that the bytes are first written
/// to one.
pub(crate) type MapDir = Option<Arc<TempDir>>;

/// A file system on a [`Disk`]. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedFileSystem(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    machine: Mutex<Machine>,
    /// Without it, KEYDIR is not used. All other files are read without mappings.
    maps: MapDir,
}

struct Machine {
    disk: Disk,
    events: Vec<Event>,
    /// Whether the directory exists. A disk without files may lack it.
    has_directory: bool,
    is_locked: bool,
    random: Random,
    /// The number of all calls.
    call_count: u64,
    fault: Option<Fault>,
    met: Option<Met>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl SimulatedFileSystem {
    /// A system that starts with `disk`. `seed` determines its random numbers.
    pub(crate) fn on(disk: Disk, seed: u64, maps: MapDir, fault: Option<Fault>) -> Self {
        let machine = Machine {
            has_directory: !disk.inodes.is_empty(),
            disk,
            events: Vec::new(),
            is_locked: false,
            random: Random::seeded(seed),
            call_count: 0,
            fault,
            met: None,
        };
        Self(Arc::new(Shared { machine: Mutex::new(machine), maps }))
    }

    /// The number of changing calls so far.
    pub(crate) fn event_count(&self) -> usize {
        self.0.machine().events.len()
    }

    /// The changing calls, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.machine().events.clone()
    }

    /// The number of all calls.
    pub(crate) fn call_count(&self) -> u64 {
        self.0.machine().call_count
    }

    /// The first call that failed.
    pub(crate) fn met(&self) -> Option<Met> {
        self.0.machine().met
    }

    /// Makes all later calls succeed.
    pub(crate) fn mend(&self) {
        self.0.machine().fault = None;
    }

    /// The current disk.
    pub(crate) fn disk(&self) -> Disk {
        self.0.machine().disk.clone()
    }
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        // A panic of the engine is reported by the test, and the store is dropped after it.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    fn change(&mut self, event: Event) {
        self.disk.apply(&event);
        self.events.push(event);
    }

    /// Counts `call`, and returns its failure, if any.
    fn meet(&mut self, call: Call) -> Option<FailureKind> {
        let number = self.call_count;
        self.call_count += 1;
        let failing = self.fault.and_then(|fault| fault.meets(number, call))?;
        self.met.get_or_insert(Met { call, event_count: self.events.len() });
        Some(failing)
    }

    /// Counts `call`, and returns its error, if it fails.
    fn attempt(&mut self, call: Call) -> io::Result<()> {
        self.meet(call).and_then(FailureKind::error).map_or(Ok(()), Err)
    }

    fn find(&self, name: StoreFile) -> io::Result<InodeId> {
        self.disk.names.get(name).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl FileSystem for SimulatedFileSystem {
    fn kind(&self, _path: &Path) -> io::Result<PathKind> {
        let mut machine = self.0.machine();
        machine.attempt(Call::Kind)?;
        Ok(if machine.has_directory { PathKind::Directory } else { PathKind::Missing })
    }

    fn create_directory(&self, _path: &Path, _trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        let mut machine = self.0.machine();
        machine.attempt(Call::CreateDirectory)?;
        machine.has_directory = true;
        Ok(Arc::new(self.clone()))
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut machine = self.0.machine();
        machine.attempt(Call::Random)?;
        let random = &mut machine.random;
        bytes.iter_mut().for_each(|byte| *byte = random.next() as u8);
        Ok(())
    }

    fn open_directory(&self, _path: &Path) -> io::Result<Arc<dyn Directory>> {
        self.0.machine().attempt(Call::OpenDirectory)?;
        Ok(Arc::new(self.clone()))
    }
}

impl Directory for SimulatedFileSystem {
    fn distrust(&self) -> io::Result<Option<String>> {
        self.0.machine().attempt(Call::Distrust)?;
        Ok(None)
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        let mut machine = self.0.machine();
        machine.attempt(Call::Names)?;
        Ok(machine.disk.names.iter().map(|(name, _)| name.to_string().into()).collect())
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let mut machine = self.0.machine();
        machine.attempt(if access.is_new() { Call::Create(file) } else { Call::Open(file) })?;
        let inode = match (machine.find(file), access) {
            (Ok(_), Access::Create | Access::Replace(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Err(_), Access::Create | Access::Replace(_)) => {
                machine.change(Event::Create(file));
                machine.find(file)?
            }
            (found, Access::Read | Access::Write) => found?,
        };
        drop(machine);
        Ok(Arc::new(SimulatedFile { shared: Arc::clone(&self.0), inode, name: file }))
    }

    fn rename(&self, from: StoreFile, to: StoreFile) -> io::Result<()> {
        let mut machine = self.0.machine();
        machine.find(from)?;
        let failing = machine.meet(Call::Rename(from));
        if matches!(failing, None | Some(FailureKind::Broken)) {
            machine.change(Event::Rename { from, to });
        }
        failing.and_then(FailureKind::error).map_or(Ok(()), Err)
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        let mut machine = self.0.machine();
        machine.find(file)?;
        machine.attempt(Call::Remove(file))?;
        machine.change(Event::Remove(file));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.0.machine();
        machine.attempt(Call::SyncNames)?;
        machine.change(Event::SyncNames);
        Ok(())
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        let mut machine = self.0.machine();
        machine.attempt(Call::Lock)?;
        if std::mem::replace(&mut machine.is_locked, true) {
            return Ok(LockOutcome::HeldBy { pid: None });
        }
        if machine.find(StoreFile::Lock).is_err() {
            machine.change(Event::Create(StoreFile::Lock));
        }
        let file = machine.find(StoreFile::Lock)?;
        Ok(LockOutcome::Held(Box::new(SimulatedLock { shared: Arc::clone(&self.0), file })))
    }

    fn lock_if_there(&self) -> io::Result<Option<LockOutcome>> {
        let is_there = self.0.machine().find(StoreFile::Lock).is_ok();
        if is_there { self.lock().map(Some) } else { Ok(None) }
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        Path::new(DIRECTORY).join(file.to_string())
    }
}

#[derive(Debug)]
struct SimulatedLock {
    shared: Arc<Shared>,
    /// LOCK as it was when it was locked.
    file: InodeId,
}

impl Lock for SimulatedLock {
    fn lost(&self) -> io::Result<Option<String>> {
        let is_there = self.shared.machine().disk.names.get(StoreFile::Lock) == Some(self.file);
        Ok((!is_there).then(|| "LOCK was removed or replaced".to_owned()))
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.shared.machine().is_locked = false;
    }
}

/// Refers to the same file even after its name is removed or reused.
#[derive(Debug)]
struct SimulatedFile {
    shared: Arc<Shared>,
    inode: InodeId,
    name: StoreFile,
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut machine = self.shared.machine();
        machine.attempt(Call::Len(self.name))?;
        Ok(machine.disk.inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut machine = self.shared.machine();
        let failing = machine.meet(Call::Read(self.name));
        if let Some(error) = failing.and_then(FailureKind::error) {
            return Err(error);
        }
        let bytes = machine.disk.inodes[self.inode].now.get(at as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        let count = failing.map_or(count, |failing| failing.moved(count));
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut machine = self.shared.machine();
        let failing = machine.meet(Call::Write(self.name));
        let count = failing.map_or(bytes.len(), |failing| failing.moved(bytes.len()));
        if count > 0 {
            machine.change(Event::Write { inode: self.inode, at: at as usize, bytes: bytes[..count].into() });
        }
        failing.and_then(FailureKind::error).map_or(Ok(count), Err)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut machine = self.shared.machine();
        machine.attempt(Call::Truncate(self.name))?;
        machine.change(Event::Truncate { inode: self.inode, len: len as usize });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.shared.machine();
        if let Err(error) = machine.attempt(Call::Sync(self.name)) {
            machine.change(Event::SyncFailed(self.inode));
            return Err(error);
        }
        machine.change(Event::Sync(self.inode));
        match machine.disk.names.get(self.name) {
            Some(inode) if inode == self.inode => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn drop_cache(&self) {
        let mut machine = self.shared.machine();
        if machine.disk.inodes[self.inode].has_forgotten {
            machine.change(Event::DropCache(self.inode));
        }
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.shared.machine().attempt(Call::Map(self.name))?;
        let Some(dir) = self.shared.maps.as_ref().filter(|_| self.name == StoreFile::Keydir) else {
            return Ok(None);
        };
        let bytes = Arc::clone(&self.shared.machine().disk.inodes[self.inode].now);
        let path = dir.path().join(StoreFile::Keydir.to_string());
        // A new file each time, so that earlier mappings keep their contents.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::write(path, &**bytes)?;
        OsFileSystem.open_directory(dir.path())?.open(StoreFile::Keydir, Access::Read)?.map(len)
    }
}
