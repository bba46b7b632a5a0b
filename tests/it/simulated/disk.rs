//! A disk below a running system: the visible contents of its files, and the part of it that
//! survives a power cut.
//!
//! It follows POSIX, which guarantees less than ext4: `fdatasync` of a file makes its bytes and
//! length durable, but not its name. `fsync` of the directory makes names durable, but not bytes. A
//! name refers to an inode, and an inode can outlive its name.

use std::sync::Arc;

use logkv::fs::StoreFile;

/// The bytes of a file, copied on write.
pub(crate) type Bytes = Arc<Vec<u8>>;

/// The files of a directory, by name.
pub(crate) type Image = Vec<(StoreFile, Bytes)>;

/// The number of a file on the disk, whatever its name, counted from 0.
pub(crate) type InodeId = usize;

/// A call that changed something.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Creates an empty file with the next number.
    Create(StoreFile),
    Write {
        inode: InodeId,
        at: usize,
        bytes: Arc<[u8]>,
    },
    Truncate {
        inode: InodeId,
        len: usize,
    },
    Sync(InodeId),
    /// A failed sync: unsynced changes never become durable, but stay visible until the cache is
    /// dropped.
    SyncFailed(InodeId),
    /// Drops the cache. Then the contents of the disk are visible, with changes that are still to
    /// be written.
    DropCache(InodeId),
    SyncNames,
    Rename {
        from: StoreFile,
        to: StoreFile,
    },
    Remove(StoreFile),
}

/// A change of a file that is not durable.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { at: usize, bytes: Arc<[u8]> },
    Truncate(usize),
}

impl Change {
    /// Applies the change. A write writes at most `most` bytes.
    pub(crate) fn apply(&self, to: &mut Vec<u8>, most: usize) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len().min(most);
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(&bytes[..end - at]);
            }
            Self::Truncate(len) => to.resize(*len, 0),
        }
    }
}

/// A change of a name that is not durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NameChange {
    Set(StoreFile, InodeId),
    Move { from: StoreFile, to: StoreFile, inode: InodeId },
    Remove(StoreFile),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    pub(crate) now: Bytes,
    pub(crate) durable: Bytes,
    /// The changes since the durable bytes, except those lost in a failed sync.
    pub(crate) unsynced: Vec<Change>,
    /// Whether a sync failed. The system then treats its cache as equal to the disk.
    pub(crate) has_forgotten: bool,
}

impl Inode {
    /// The bytes that a sync makes durable.
    pub(crate) fn synced(&self) -> Bytes {
        if !self.has_forgotten {
            return Arc::clone(&self.now);
        }
        let mut bytes = Vec::clone(&self.durable);
        self.unsynced.iter().for_each(|change| change.apply(&mut bytes, usize::MAX));
        Arc::new(bytes)
    }
}

/// Names with their inodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<(StoreFile, InodeId)>);

impl Names {
    pub(crate) fn get(&self, name: StoreFile) -> Option<InodeId> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, inode)| *inode)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (StoreFile, InodeId)> {
        self.0.iter().copied()
    }

    pub(crate) fn apply(&mut self, change: NameChange) {
        match change {
            NameChange::Set(name, inode) => self.set(name, inode),
            NameChange::Move { from, to, inode } => {
                self.remove(from);
                self.set(to, inode);
            }
            NameChange::Remove(name) => self.remove(name),
        }
    }

    fn set(&mut self, name: StoreFile, inode: InodeId) {
        self.remove(name);
        self.0.push((name, inode));
    }

    fn remove(&mut self, name: StoreFile) {
        self.0.retain(|(known, _)| *known != name);
    }
}

/// A disk with one directory. A clone shares the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) inodes: Vec<Inode>,
    pub(crate) names: Names,
    pub(crate) durable_names: Names,
    /// The changes since the durable names.
    pub(crate) unsynced_names: Vec<NameChange>,
}

impl Disk {
    /// A disk that holds these files durably.
    pub(crate) fn of(image: &Image) -> Self {
        let inode =
            |bytes: &Bytes| Inode { now: Arc::clone(bytes), durable: Arc::clone(bytes), ..Inode::default() };
        let names = Names(image.iter().enumerate().map(|(inode, (name, _))| (*name, inode)).collect());
        Self {
            inodes: image.iter().map(|(_, bytes)| inode(bytes)).collect(),
            durable_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
        }
    }

    /// Whether a file was renamed over another, and the rename may be lost.
    pub(crate) fn is_between_two(&self) -> bool {
        self.unsynced_names.iter().any(|change| matches!(change, NameChange::Move { .. }))
    }

    /// Whether the cache shows bytes that the disk never gets.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.inodes.iter().any(|inode| inode.has_forgotten)
    }

    /// The visible files, sorted by name.
    pub(crate) fn image(&self) -> Image {
        sorted(self.names.iter().map(|(name, inode)| (name, Arc::clone(&self.inodes[inode].now))).collect())
    }

    /// Applies a call that is known to be valid.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(name) => {
                self.inodes.push(Inode::default());
                self.rename(NameChange::Set(*name, self.inodes.len() - 1));
            }
            Event::Write { inode, at, bytes } => {
                self.change(*inode, Change::Write { at: *at, bytes: Arc::clone(bytes) });
            }
            Event::Truncate { inode, len } => self.change(*inode, Change::Truncate(*len)),
            Event::Sync(inode) => {
                let inode = &mut self.inodes[*inode];
                inode.durable = inode.synced();
                inode.unsynced.clear();
            }
            Event::SyncFailed(inode) => {
                let inode = &mut self.inodes[*inode];
                inode.has_forgotten |= !inode.unsynced.is_empty();
                inode.unsynced.clear();
            }
            Event::DropCache(inode) => {
                let inode = &mut self.inodes[*inode];
                inode.now = inode.synced();
                inode.has_forgotten = false;
            }
            Event::SyncNames => {
                self.durable_names = self.names.clone();
                self.unsynced_names.clear();
            }
            Event::Rename { from, to } => {
                let inode = self.names.get(*from).expect("the renamed file exists");
                self.rename(NameChange::Move { from: *from, to: *to, inode });
            }
            Event::Remove(name) => self.rename(NameChange::Remove(*name)),
        }
    }

    fn change(&mut self, inode: InodeId, change: Change) {
        let inode = &mut self.inodes[inode];
        change.apply(Arc::make_mut(&mut inode.now), usize::MAX);
        inode.unsynced.push(change);
    }

    fn rename(&mut self, change: NameChange) {
        self.names.apply(change);
        self.unsynced_names.push(change);
    }
}

/// A sort key of a name.
pub(crate) fn rank(name: StoreFile) -> (u64, u64) {
    match name {
        StoreFile::Lock => (0, 0),
        StoreFile::Manifest => (1, 0),
        StoreFile::ManifestNew => (2, 0),
        StoreFile::Config => (3, 0),
        StoreFile::Keydir => (4, 0),
        StoreFile::KeydirNew => (5, 0),
        StoreFile::Segment(id) => (6, id.0),
        StoreFile::Hint(id) => (7, id.0),
        StoreFile::Unfinished => (8, 0),
    }
}

/// Sorts the files, so that equal directories are equal images.
pub(crate) fn sorted(mut image: Image) -> Image {
    image.sort_by_key(|(name, _)| rank(*name));
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(inode: InodeId, at: usize, bytes: &[u8]) -> Event {
        Event::Write { inode, at, bytes: bytes.into() }
    }

    #[test]
    fn a_sync_of_a_file_makes_its_bytes_durable_but_not_its_name() {
        let mut disk = Disk::default();
        disk.apply(&Event::Create(StoreFile::ManifestNew));
        disk.apply(&write(0, 0, b"text"));
        assert!(disk.inodes[0].durable.is_empty());
        disk.apply(&Event::Sync(0));
        assert_eq!(*disk.inodes[0].durable, b"text");
        assert_eq!(disk.durable_names.get(StoreFile::ManifestNew), None);
        disk.apply(&Event::SyncNames);
        assert_eq!(disk.durable_names.get(StoreFile::ManifestNew), Some(0));
    }

    #[test]
    fn bytes_lost_in_a_failed_sync_stay_visible_until_the_cache_is_dropped() {
        let mut disk = Disk::of(&vec![(StoreFile::Manifest, Arc::new(b"old".to_vec()))]);
        disk.apply(&write(0, 0, b"new"));
        disk.apply(&Event::SyncFailed(0));
        disk.apply(&write(0, 3, b"er"));
        disk.apply(&Event::Sync(0));
        let Inode { now, durable, .. } = &disk.inodes[0];
        assert_eq!((&now[..], &durable[..]), (&b"newer"[..], &b"older"[..]));
        disk.apply(&Event::DropCache(0));
        assert_eq!(*disk.inodes[0].now, b"older");
    }

    #[test]
    fn a_rename_is_durable_after_a_sync_of_the_directory_only() {
        let mut disk = Disk::of(&vec![
            (StoreFile::Manifest, Arc::new(b"old".to_vec())),
            (StoreFile::ManifestNew, Arc::new(b"new".to_vec())),
        ]);
        disk.apply(&Event::Rename { from: StoreFile::ManifestNew, to: StoreFile::Manifest });
        assert_eq!(disk.names.get(StoreFile::Manifest), Some(1));
        assert_eq!(disk.names.get(StoreFile::ManifestNew), None);
        assert_eq!(disk.durable_names.get(StoreFile::Manifest), Some(0));
        disk.apply(&Event::SyncNames);
        assert_eq!(disk.durable_names.get(StoreFile::Manifest), Some(1));
    }
}
