//! The effect of a power cut on data that is not durable.

use std::sync::Arc;

use logkv::fs::StoreFile;

use super::disk::{Bytes, Disk, Image, Inode, InodeId, sorted};
use crate::common::Random;

/// The outcome for each unsynced change. Its debug output explains a state.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    names: NamesFate,
    /// The files with surviving unsynced changes. All other files lose theirs.
    files: Vec<(InodeId, FileFate)>,
}

#[derive(Clone, Copy, Debug)]
enum NamesFate {
    /// The first changes survive, as with a journal.
    First(usize),
    /// The changes whose bits are set survive.
    Any(u64),
}

#[derive(Clone, Copy, Debug)]
enum FileFate {
    Kept,
    /// The first changes survive, and the first bytes of the next one.
    Torn {
        whole: usize,
        bytes: usize,
    },
    /// The changes whose bits are set survive.
    Any(u64),
    /// Each sector is old or new. The length is independent.
    Mixed {
        sector: usize,
        seed: u64,
        len: usize,
        fill: Fill,
    },
}

/// The contents of a range where a file was extended but not written.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Zeros,
    Noise,
    /// Bytes of another file at the same offset.
    Other(InodeId),
}

impl Fate {
    /// The extreme outcomes: everything lost, everything kept, bytes without names, names without
    /// bytes, and a single name or a single file kept or lost.
    pub(crate) fn extremes(disk: &Disk) -> Vec<Self> {
        let open = unsynced(disk);
        let all = || open.iter().map(|&inode| (inode, FileFate::Kept)).collect::<Vec<_>>();
        let last = disk.unsynced_names.len();
        let fate = |names, files| Self { names: NamesFate::First(names), files };
        let mut fates = vec![fate(0, Vec::new())];
        if last > 0 {
            fates.push(fate(last, all()));
        }
        if !open.is_empty() {
            fates.push(fate(0, all()));
            fates.push(fate(last, Vec::new()));
        }
        // The last changes are those in progress.
        for index in (0..last.min(64)).rev().take(3).filter(|_| last > 1) {
            let one = 1 << index;
            fates.extend([!one, one].map(|kept| Self { names: NamesFate::Any(kept), files: all() }));
        }
        if open.len() > 1 {
            // Derived files are never synced, so that there are many of them. The last ones
            // suffice.
            for &inode in open.iter().rev().take(3) {
                fates.push(fate(last, vec![(inode, FileFate::Kept)]));
                fates.push(fate(last, all().into_iter().filter(|(other, _)| *other != inode).collect()));
            }
        }
        fates
    }

    pub(crate) fn random(disk: &Disk, random: &mut Random) -> Self {
        let count = disk.unsynced_names.len();
        let names = match random.below(3) {
            0 => NamesFate::First(count),
            1 => NamesFate::First(random.below(count as u64 + 1) as usize),
            _ => NamesFate::Any(random.next()),
        };
        let files = unsynced(disk).into_iter();
        let files = files.filter_map(|inode| Some((inode, FileFate::random(disk, inode, random)?)));
        Self { names, files: files.collect() }
    }

    /// The files that the next process finds.
    pub(crate) fn image(&self, disk: &Disk) -> Image {
        let mut names = disk.durable_names.clone();
        for (index, &change) in disk.unsynced_names.iter().enumerate() {
            let is_kept = match self.names {
                NamesFate::First(count) => index < count,
                // With more changes than bits, early changes share their bits with late ones.
                NamesFate::Any(kept) => kept >> (index % 64) & 1 == 1,
            };
            if is_kept {
                names.apply(change);
            }
        }
        let bytes = |inode: InodeId| match self.files.iter().find(|(of, _)| *of == inode) {
            Some((_, fate)) => fate.bytes(disk, &disk.inodes[inode]),
            None => Arc::clone(&disk.inodes[inode].durable),
        };
        sorted(names.iter().map(|(name, inode)| (name, bytes(inode))).collect())
    }
}

/// Files with unsynced data whose name exists, existed, or may come back.
fn unsynced(disk: &Disk) -> Vec<InodeId> {
    let is_open =
        |(_, inode): (StoreFile, InodeId)| (!disk.inodes[inode].unsynced.is_empty()).then_some(inode);
    let mut open: Vec<_> = disk.names.iter().chain(disk.durable_names.iter()).filter_map(is_open).collect();
    open.sort_unstable();
    open.dedup();
    open
}

impl FileFate {
    /// A random outcome, or `None` if everything unsynced is lost.
    fn random(disk: &Disk, inode: InodeId, random: &mut Random) -> Option<Self> {
        let Inode { now, durable, unsynced, .. } = &disk.inodes[inode];
        match random.below(5) {
            0 => None,
            1 => Some(Self::Kept),
            2 => Some(Self::Any(random.next())),
            3 => {
                let whole = random.below(unsynced.len() as u64) as usize;
                Some(Self::Torn { whole, bytes: random.below(now.len() as u64 + 1) as usize })
            }
            _ => {
                let (least, most) = (now.len().min(durable.len()), now.len().max(durable.len()));
                let len = match random.below(3) {
                    0 => least + random.below((most - least) as u64 + 1) as usize,
                    _ => now.len(),
                };
                let fill = match random.below(3) {
                    0 => Fill::Zeros,
                    1 => Fill::Noise,
                    _ => Fill::Other(random.below(disk.inodes.len() as u64) as usize),
                };
                let sector = [8, 64, 512, 4096][random.below(4) as usize];
                Some(Self::Mixed { sector, seed: random.next(), len, fill })
            }
        }
    }

    fn bytes(self, disk: &Disk, inode: &Inode) -> Bytes {
        match self {
            Self::Kept => inode.synced(),
            Self::Torn { whole, bytes } => {
                let mut torn = Vec::clone(&inode.durable);
                let (whole, torn_one) = inode.unsynced.split_at(whole);
                whole.iter().for_each(|change| change.apply(&mut torn, usize::MAX));
                torn_one.iter().take(1).for_each(|change| change.apply(&mut torn, bytes));
                Arc::new(torn)
            }
            Self::Any(kept) => {
                let mut some = Vec::clone(&inode.durable);
                let changes = inode.unsynced.iter().enumerate();
                // With more changes than bits, early changes share their bits with late ones.
                let changes = changes.filter(|(index, _)| kept >> (index % 64) & 1 == 1);
                changes.for_each(|(_, change)| change.apply(&mut some, usize::MAX));
                Arc::new(some)
            }
            Self::Mixed { sector, seed, len, fill } => {
                let mut random = Random::seeded(seed);
                let mut mixed = vec![0; len];
                for (index, piece) in mixed.chunks_mut(sector).enumerate() {
                    let source = if random.below(2) == 0 { &inode.now } else { &inode.durable };
                    fill.put(disk, index * sector, piece, &mut random);
                    let source = source.get(index * sector..).unwrap_or_default();
                    let count = source.len().min(piece.len());
                    piece[..count].copy_from_slice(&source[..count]);
                }
                Arc::new(mixed)
            }
        }
    }
}

impl Fill {
    fn put(self, disk: &Disk, at: usize, piece: &mut [u8], random: &mut Random) {
        match self {
            Self::Zeros => {}
            Self::Noise => piece.iter_mut().for_each(|byte| *byte = random.next() as u8),
            Self::Other(inode) => {
                let other = disk.inodes[inode].now.get(at..).unwrap_or_default();
                let count = other.len().min(piece.len());
                piece[..count].copy_from_slice(&other[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Event;
    use super::*;

    /// A file with 8 durable and 8 unsynced bytes, and an unsynced name.
    fn half_synced() -> Disk {
        let mut disk = Disk::default();
        disk.apply(&Event::Create(StoreFile::Manifest));
        disk.apply(&Event::SyncNames);
        disk.apply(&Event::Write { inode: 0, at: 0, bytes: [1; 8].into() });
        disk.apply(&Event::Sync(0));
        disk.apply(&Event::Write { inode: 0, at: 8, bytes: [2; 8].into() });
        disk.apply(&Event::Create(StoreFile::Keydir));
        disk
    }

    #[test]
    fn the_extremes_keep_everything_and_nothing() {
        let disk = half_synced();
        let lens = |fate: &Fate| fate.image(&disk).iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>();
        let found: Vec<_> = Fate::extremes(&disk).iter().map(lens).collect();
        assert_eq!(found, [vec![8], vec![16, 0], vec![16], vec![8, 0]]);
    }

    #[test]
    fn the_extremes_lose_each_of_two_names_alone() {
        let mut disk = half_synced();
        disk.apply(&Event::Create(StoreFile::KeydirNew));
        let names = |fate: &Fate| fate.image(&disk).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let found: Vec<_> = Fate::extremes(&disk).iter().map(names).collect();
        assert!(found.contains(&vec![StoreFile::Manifest, StoreFile::Keydir]));
        assert!(found.contains(&vec![StoreFile::Manifest, StoreFile::KeydirNew]));
    }

    #[test]
    fn synced_bytes_are_in_every_state_and_unsynced_ones_are_torn_at_every_byte() {
        let disk = half_synced();
        let mut random = Random::seeded(1);
        let mut lens = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let image = Fate::random(&disk, &mut random).image(&disk);
            assert_eq!(image[0].1[..8], [1; 8]);
            lens.insert(image[0].1.len());
        }
        assert_eq!(lens, (8..=16).collect());
    }
}
