//! The files after a kill or a power cut at each moment. A power cut loses everything that was not
//! synced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::common::{files, scratch};
use crate::hooked::{Call, Hook};

/// The files of a directory, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A moment before a call.
pub(crate) struct Moment {
    /// The next call.
    pub(crate) call: Option<Call>,
    /// The files after a kill.
    pub(crate) killed: Files,
    /// The state of the disk.
    pub(crate) disk: Disk,
}

/// Records the files before each call.
#[derive(Debug)]
pub(crate) struct Recorder {
    dir: PathBuf,
    disk: Mutex<Disk>,
    moments: Mutex<Vec<(Call, Files, Disk)>>,
}

/// The worst disk for a store: a removal is durable at once, all other changes of the directory
/// only when it is synced.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Each file's bytes as of its last sync.
    synced: Files,
    /// The files after a power cut: the directory as of its last sync, each file as of its own.
    pub(crate) durable: Files,
}

impl Recorder {
    /// A recorder of a directory whose files are all durable.
    pub(crate) fn new(dir: &Path) -> Self {
        let all: Files = files(dir).into_iter().collect();
        Self::on(dir, Disk { synced: all.clone(), durable: all })
    }

    /// A recorder of a directory with the durable files of `disk`.
    pub(crate) fn on(dir: &Path, disk: Disk) -> Self {
        Self { dir: dir.to_owned(), disk: Mutex::new(disk), moments: Mutex::default() }
    }

    fn now(&self) -> Files {
        files(&self.dir).into_iter().collect()
    }

    /// The moments from the call number `first` on.
    pub(crate) fn moments_from(&self, first: usize) -> Vec<Moment> {
        let noted = self.moments.lock().expect("no panic").split_off(first);
        let mut moments: Vec<_> =
            noted.into_iter().map(|(call, killed, disk)| Moment { call: Some(call), killed, disk }).collect();
        let disk = self.disk.lock().expect("no panic").clone();
        moments.push(Moment { call: None, killed: self.now(), disk });
        moments
    }

    pub(crate) fn count(&self) -> usize {
        self.moments.lock().expect("no panic").len()
    }
}

impl Hook for Recorder {
    fn syncs(&self) -> bool {
        false
    }

    fn before(&self, call: Call) -> io::Result<()> {
        let disk = self.disk.lock().expect("no panic").clone();
        self.moments.lock().expect("no panic").push((call, self.now(), disk));
        Ok(())
    }

    fn after(&self, call: Call) -> io::Result<()> {
        let Disk { synced, durable } = &mut *self.disk.lock().expect("no panic");
        match call {
            Call::Create(file) => drop(synced.insert(file.to_string(), Vec::new())),
            Call::Rename(from, to) => {
                let bytes = synced.remove(&from.to_string()).unwrap_or_default();
                synced.insert(to.to_string(), bytes);
            }
            Call::Remove(file) => {
                synced.remove(&file.to_string());
                durable.remove(&file.to_string());
            }
            Call::Sync(file) => {
                let bytes = fs::read(self.dir.join(file.to_string())).expect("the file");
                durable.entry(file.to_string()).and_modify(|durable| durable.clone_from(&bytes));
                synced.insert(file.to_string(), bytes);
            }
            // The linked file is already durable.
            Call::Link(file) => {
                let bytes = fs::read(self.dir.join(file.to_string())).expect("the file");
                synced.insert(file.to_string(), bytes);
            }
            Call::SyncDirectory => durable.clone_from(synced),
            Call::Write(_) | Call::Truncate | Call::RenameDirectory => {}
        }
        Ok(())
    }
}

pub(crate) fn write_down(files: &Files) -> TempDir {
    let dir = scratch();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("a file");
    }
    dir
}
