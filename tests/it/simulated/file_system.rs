//! A file system in memory that remembers every call that changed something.

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
use crate::common::Random;

/// Where mappings come from: a mapping is always one of a real file, so the bytes are put into one first.
pub(crate) type MapDir = Option<Arc<TempDir>>;

/// A file system on a [`Disk`]. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedFileSystem(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    machine: Mutex<Machine>,
    /// KEYDIR is used through a mapping alone. All other files are read.
    maps: MapDir,
}

struct Machine {
    disk: Disk,
    events: Vec<Event>,
    is_locked: bool,
    random: Random,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl SimulatedFileSystem {
    /// A system that finds `disk` when it starts; `seed` is what its random numbers come from.
    pub(crate) fn on(disk: Disk, seed: u64, maps: MapDir) -> Self {
        let machine = Machine { disk, events: Vec::new(), is_locked: false, random: Random::seeded(seed) };
        Self(Arc::new(Shared { machine: Mutex::new(machine), maps }))
    }

    /// How many calls have changed something so far.
    pub(crate) fn event_count(&self) -> usize {
        self.0.machine().events.len()
    }

    /// Those calls, in their order.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.machine().events.clone()
    }

    /// The disk as it is now.
    pub(crate) fn disk(&self) -> Disk {
        self.0.machine().disk.clone()
    }
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        // A panic of the engine is told by the test, and its store is dropped after that.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    fn change(&mut self, event: Event) {
        self.disk.apply(&event);
        self.events.push(event);
    }

    fn find(&self, name: StoreFile) -> io::Result<InodeId> {
        self.disk.names.get(name).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl FileSystem for SimulatedFileSystem {
    fn kind(&self, _path: &Path) -> io::Result<PathKind> {
        Ok(PathKind::Directory)
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let random = &mut self.0.machine().random;
        bytes.iter_mut().for_each(|byte| *byte = random.next() as u8);
        Ok(())
    }

    fn open_directory(&self, _path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Directory for SimulatedFileSystem {
    fn distrust(&self) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        Ok(self.0.machine().disk.names.iter().map(|(name, _)| name.to_string().into()).collect())
    }

    fn open(&self, file: StoreFile, access: Access) -> io::Result<Arc<dyn File>> {
        let mut machine = self.0.machine();
        let inode = match (machine.find(file), access) {
            (Ok(_), Access::Create) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Err(_), Access::Create) => {
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
        machine.change(Event::Rename { from, to });
        Ok(())
    }

    fn remove(&self, file: StoreFile) -> io::Result<()> {
        let mut machine = self.0.machine();
        machine.find(file)?;
        machine.change(Event::Remove(file));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.machine().change(Event::SyncNames);
        Ok(())
    }

    fn lock(&self) -> io::Result<LockOutcome> {
        let mut machine = self.0.machine();
        if std::mem::replace(&mut machine.is_locked, true) {
            return Ok(LockOutcome::HeldBy { pid: None });
        }
        if machine.find(StoreFile::Lock).is_err() {
            machine.change(Event::Create(StoreFile::Lock));
        }
        Ok(LockOutcome::Held(Box::new(SimulatedLock(Arc::clone(&self.0)))))
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        Path::new("simulated").join(file.to_string())
    }
}

#[derive(Debug)]
struct SimulatedLock(Arc<Shared>);

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.0.machine().is_locked = false;
    }
}

/// Stays the same file when its name goes to another one, or away.
#[derive(Debug)]
struct SimulatedFile {
    shared: Arc<Shared>,
    inode: InodeId,
    name: StoreFile,
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.shared.machine().disk.inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let machine = self.shared.machine();
        let bytes = machine.disk.inodes[self.inode].now.get(at as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let event = Event::Write { inode: self.inode, at: at as usize, bytes: bytes.into() };
        self.shared.machine().change(event);
        Ok(bytes.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.shared.machine().change(Event::Truncate { inode: self.inode, len: len as usize });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.machine().change(Event::Sync(self.inode));
        Ok(())
    }

    fn drop_cache(&self) {}

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        let Some(dir) = self.shared.maps.as_ref().filter(|_| self.name == StoreFile::Keydir) else {
            return Ok(None);
        };
        let bytes = Arc::clone(&self.shared.machine().disk.inodes[self.inode].now);
        let path = dir.path().join(StoreFile::Keydir.to_string());
        // A new file each time: what was mapped before stays as it was.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::write(path, &**bytes)?;
        OsFileSystem.open_directory(dir.path())?.open(StoreFile::Keydir, Access::Read)?.map(len)
    }
}
