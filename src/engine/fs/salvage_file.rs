//! A file whose unreadable blocks read as zeros, so that a failing disk loses only the bytes in
//! them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::mmap::Mapping;
use super::traits::File;
use crate::engine::base::error::words;
use crate::engine::base::sync::{LockRank, Mutex};

/// The length of a block that is given up. Disks fail by sectors of 512 or 4,096 bytes, and the
/// system reads pages.
const BLOCK_LEN: u64 = 4096;

/// A file that can be read past unreadable blocks. Zeros are not a valid record, so checksums find
/// the loss.
#[derive(Debug)]
pub(crate) struct SalvageFile {
    file: Arc<dyn File>,
    /// The unreadable ranges, each with the reason.
    unreadable: Mutex<Vec<(Range<u64>, String)>>,
}

impl SalvageFile {
    pub(crate) fn new(file: Arc<dyn File>) -> Self {
        Self { file, unreadable: Mutex::new(LockRank::Leaf, Vec::new()) }
    }

    /// Returns the unreadable parts of `range`, in order, each with the reason.
    pub(crate) fn unreadable(&self, range: &Range<u64>) -> Vec<(Range<u64>, String)> {
        let unreadable = self.unreadable.lock();
        let hit = |(place, why): &(Range<u64>, String)| {
            let common = place.start.max(range.start)..place.end.min(range.end);
            (!common.is_empty()).then(|| (common, why.clone()))
        };
        let mut places: Vec<_> = unreadable.iter().filter_map(hit).collect();
        places.sort_by_key(|(place, _)| place.start);
        places.dedup_by(|(next, next_why), (last, why)| {
            let goes_on = next.start <= last.end && next_why == why;
            if goes_on {
                last.end = last.end.max(next.end);
            }
            goes_on
        });
        places
    }
}

impl File for SalvageFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn next_data(&self, at: u64) -> u64 {
        self.file.next_data(at)
    }

    fn next_hole(&self, at: u64) -> u64 {
        self.file.next_hole(at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self.file.read_at(buffer, at) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
        // Reads one block at a time, because the next one may be readable.
        let room = (BLOCK_LEN - at % BLOCK_LEN).min(self.file.len()?.saturating_sub(at)) as usize;
        let len = room.min(buffer.len());
        let block = &mut buffer[..len];
        match self.file.read_at(block, at) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                block.fill(0);
                let lost = (at..at + len as u64, words(&error));
                self.unreadable.lock().push(lost);
                Ok(len)
            }
            outcome => outcome,
        }
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn drop_cache(&self) {
        self.file.drop_cache();
    }

    fn map(&self, _: u64) -> io::Result<Option<Mapping>> {
        // Reading an unreadable page of a mapping kills the process.
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::read_exact_at;

    /// Two and a half blocks of ones. The second block is unreadable.
    #[derive(Debug)]
    struct Failing;

    const LEN: u64 = 2 * BLOCK_LEN + BLOCK_LEN / 2;

    impl File for Failing {
        fn len(&self) -> io::Result<u64> {
            Ok(LEN)
        }

        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
            let end = LEN.min(at + buffer.len() as u64);
            if at < 2 * BLOCK_LEN && BLOCK_LEN < end {
                return Err(io::ErrorKind::Other.into());
            }
            buffer[..(end - at) as usize].fill(1);
            Ok((end - at) as usize)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn truncate(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn drop_cache(&self) {}

        fn map(&self, _: u64) -> io::Result<Option<Mapping>> {
            Ok(None)
        }
    }

    #[test]
    fn an_unreadable_block_reads_as_zeros_and_all_other_bytes_are_read() {
        let salvage = SalvageFile::new(Arc::new(Failing));
        for (from, to) in [(0, LEN), (7, LEN - 1), (BLOCK_LEN - 1, BLOCK_LEN + 1), (2 * BLOCK_LEN - 8, LEN)] {
            let mut bytes = vec![9; (to - from) as usize];
            read_exact_at(&salvage, &mut bytes, from).expect("it reads past the block");
            for (at, byte) in (from..).zip(bytes) {
                let is_lost = (BLOCK_LEN..2 * BLOCK_LEN).contains(&at);
                assert_eq!(byte, u8::from(!is_lost), "byte {at} of {from}..{to}");
            }
        }
        let places = |range: Range<u64>| -> Vec<_> {
            salvage.unreadable(&range).into_iter().map(|(place, _)| (place.start, place.end)).collect()
        };
        assert_eq!(places(0..LEN), [(BLOCK_LEN, 2 * BLOCK_LEN)]);
        assert_eq!(places(BLOCK_LEN - 8..BLOCK_LEN + 8), [(BLOCK_LEN, BLOCK_LEN + 8)]);
        assert_eq!(places(0..BLOCK_LEN), []);
    }
}
