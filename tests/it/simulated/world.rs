//! Several directories with their names, each on a simulated disk of its own. Names are durable
//! only after a sync, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Event};
use super::fate::Fate;
use crate::common::Random;

/// The directory of each name.
type Names = BTreeMap<PathBuf, usize>;

/// A change of a directory's name.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Exchange(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    /// Applies the change, unless its name is missing.
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Exchange(one, other) => {
                if let (Some(&first), Some(&second)) = (names.get(one), names.get(other)) {
                    names.extend([(one.clone(), second), (other.clone(), first)]);
                }
            }
            Self::Rename(from, to) => names.remove(from).into_iter().for_each(|directory| {
                names.insert(to.clone(), directory);
            }),
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

/// A call that changed something.
#[derive(Clone, Debug)]
pub(super) enum WorldEvent {
    /// In the directory of this number.
    In(usize, Event),
    /// Creates the next directory, durably.
    Make(PathBuf),
    Name(NameChange),
    SyncNames,
}

/// The directories, and their durable part.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) disks: Vec<Disk>,
    pub(super) names: Names,
    durable_names: Names,
    unsynced_names: Vec<NameChange>,
}

impl World {
    /// A world of one directory.
    pub(super) fn of(name: &Path, disk: Disk) -> Self {
        let mut world = Self::default();
        world.apply(&WorldEvent::Make(name.to_owned()));
        world.disks[0] = disk;
        world
    }

    /// The directory named `name`.
    pub(super) fn get(&self, name: &Path) -> Option<&Disk> {
        self.names.get(name).map(|&directory| &self.disks[directory])
    }

    /// Applies a call.
    pub(super) fn apply(&mut self, event: &WorldEvent) {
        match event {
            WorldEvent::In(directory, event) => self.disks[*directory].apply(event),
            WorldEvent::Make(name) => {
                self.disks.push(Disk::default());
                for names in [&mut self.names, &mut self.durable_names] {
                    names.insert(name.clone(), self.disks.len() - 1);
                }
            }
            WorldEvent::Name(change) => {
                change.apply(&mut self.names);
                self.unsynced_names.push(change.clone());
            }
            WorldEvent::SyncNames => {
                self.durable_names = self.names.clone();
                self.unsynced_names.clear();
            }
        }
    }

    /// The worlds that the next process may find: everything after a kill, and the results of power
    /// cuts. Changes of names are kept or lost in every combination. Each directory has its extreme
    /// outcomes and some random ones.
    pub(super) fn ends(&self, random: &mut Random) -> Vec<Self> {
        const RANDOM_FATES: usize = 3;
        let images: Vec<Vec<_>> = self
            .disks
            .iter()
            .map(|disk| {
                let mut fates = Fate::extremes(disk);
                fates.extend((0..RANDOM_FATES).map(|_| Fate::random(disk, random)));
                fates.iter().map(|fate| fate.image(disk)).collect()
            })
            .collect();
        let most = images.iter().map(Vec::len).max().unwrap_or(0);
        let mut ends = vec![self.clone()];
        for kept in 0..1_usize << self.unsynced_names.len() {
            let mut names = self.durable_names.clone();
            let changes = self.unsynced_names.iter().enumerate();
            changes
                .filter(|(index, _)| kept >> index & 1 == 1)
                .for_each(|(_, change)| change.apply(&mut names));
            ends.extend((0..most).map(|index| Self {
                disks: images.iter().map(|images| Disk::of(&images[index % images.len()])).collect(),
                names: names.clone(),
                durable_names: names.clone(),
                unsynced_names: Vec::new(),
            }));
        }
        ends
    }
}
