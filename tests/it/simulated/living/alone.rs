//! Checks of the files of a running store without its index.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::{ReadWith, Store, repair};

use super::Living;
use crate::recount;
use crate::simulated::disk::{Disk, Image};
use crate::simulated::fault::DIRECTORY;
use crate::simulated::file_system::SimulatedFileSystem;
use crate::simulated::look::{self, Trouble};
use crate::simulated::world::World;
use crate::simulated::world_system::WorldFileSystem;

/// The target directory of a repair.
const ELSEWHERE: &str = "elsewhere";

impl Living {
    /// Checks that the index equals the log. One life in four also opens a copy without KEYDIR and
    /// hints. Lives with background threads are left out, since these may be in the middle of a
    /// change, and so are lives with a fault, since the same life without it is checked.
    pub(super) fn log_alone(&self) -> Result<(), Trouble> {
        if self.leaves_files() || self.life.start.fault.is_some() {
            return Ok(());
        }
        let image = self.file_system.disk().image();
        let puts = look::at_log_alone(self.store(), &image)?;
        if !self.life.start.seed.is_multiple_of(4) || puts.is_empty() {
            return Ok(());
        }
        let is_log = |name: &StoreFile| matches!(name, StoreFile::Manifest | StoreFile::Segment(_));
        let log: Image = image.into_iter().filter(|(name, _)| is_log(name)).collect();
        let copy = SimulatedFileSystem::on(Disk::of(&log), self.life.start.seed, None, None);
        let options = self.life.setting.options().file_system(Arc::new(copy));
        let copied = Store::open_with(DIRECTORY, options.read_with(ReadWith::Pread).read_only(true))?;
        look::is_what_the_log_says(&copied, &puts)
    }

    /// Checks that a backup and a repair have the contents of the store.
    pub(super) fn copies(&self) -> Result<(), Trouble> {
        let mut archive = Vec::new();
        self.store().backup_archive(&mut archive, &mut |_| ControlFlow::Continue(()))?;
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(&*archive).entries().expect("an archive") {
            let mut entry = entry.expect("a file");
            let path = entry.path().expect("a name").into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("reads the entry");
            files.insert(path.file_name().expect("a name").to_string_lossy().into_owned(), bytes);
        }
        let manifest = String::from_utf8(files.get("MANIFEST").cloned().unwrap_or_default()).expect("text");
        let read = |id| files.get(&format!("{id:06}.seg")).cloned().expect("a listed segment exists");
        let backed_up = recount::of_log(&manifest, read);
        let puts = look::at_log_alone(self.store(), &self.file_system.disk().image())?;
        if backed_up != puts {
            return Err(format!("the log holds {puts:?}, but its backup holds {backed_up:?}").into());
        }
        if self.life.start.seed.is_multiple_of(4) { self.repaired() } else { Ok(()) }
    }

    fn repaired(&self) -> Result<(), Trouble> {
        let mut image = self.file_system.disk().image();
        // The writer still holds LOCK.
        image.retain(|(name, _)| *name != StoreFile::Lock);
        if image.is_empty() {
            return Ok(());
        }
        let world = World::of(Path::new(DIRECTORY), Disk::of(&image));
        let file_system = WorldFileSystem::on(world, self.life.start.seed, None);
        let options = self.life.setting.options().file_system(Arc::new(file_system));
        let go_on = &mut |_| ControlFlow::Continue(());
        repair::copy(Path::new(DIRECTORY), Path::new(ELSEWHERE), &options, go_on)?;
        let found = look::at(&Store::open_with(ELSEWHERE, options.read_only(true))?)?;
        match found == **self.now() {
            true => Ok(()),
            false => Err("a repair of an intact store has other contents".to_owned().into()),
        }
    }
}
