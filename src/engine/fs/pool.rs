//! Files that are read without a mapping. A limited number of them is open; the others are reopened
//! when they are read.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::limit::open_files_max;
use super::mmap::Mapping;
use super::names::StoreFile;
use super::traits::{Access, Directory, File};
use crate::engine::base::sync::{AtomicBool, LockRank, Mutex, RwLock};

/// The bounds of a pool's capacity.
const CAPACITY_LEAST: u64 = 4;
const CAPACITY_MOST: u64 = 1 << 17;

/// The open files of one directory.
#[derive(Debug)]
pub(crate) struct FilePool {
    directory: Arc<dyn Directory>,
    capacity: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The open files that may be closed, ordered by the time of their opening or last reprieve.
    open: VecDeque<Weak<Slot>>,
    /// All files in use, open or closed.
    by_name: HashMap<StoreFile, Weak<Slot>>,
}

/// A file that is final or only grows. It may be closed between two reads.
#[derive(Debug)]
pub(crate) struct PooledFile {
    pool: Arc<FilePool>,
    slot: Arc<Slot>,
}

#[derive(Debug)]
struct Slot {
    name: StoreFile,
    /// Its device and inode number, checked when it is reopened; `None` if the file system has
    /// none.
    identity: Option<(u64, u64)>,
    file: RwLock<Option<Arc<dyn File>>>,
    /// Whether it was read after it was last considered for closing.
    was_read: AtomicBool,
    /// Whether it stays open because its name will be removed. Changed under the lock of `file`.
    is_kept: AtomicBool,
}

impl FilePool {
    /// Returns a pool that keeps at most `capacity` files of `directory` open, by default a quarter
    /// of the process's limit.
    pub(crate) fn new(directory: Arc<dyn Directory>, capacity: Option<usize>) -> Arc<Self> {
        let share = || open_files_max() / 4;
        let capacity = capacity.map_or_else(share, |count| count as u64).clamp(CAPACITY_LEAST, CAPACITY_MOST);
        Arc::new(Self {
            directory,
            capacity: capacity as usize,
            held: Mutex::new(LockRank::FilePool, Held::default()),
        })
    }

    /// Adds the open `file`, whose name is `name`.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub(crate) fn adopt(self: &Arc<Self>, name: StoreFile, file: Arc<dyn File>) -> io::Result<PooledFile> {
        let slot = Arc::new(Slot {
            name,
            identity: file.identity()?,
            file: RwLock::new(LockRank::PooledFile, Some(file)),
            was_read: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
        });
        self.held.lock().by_name.insert(name, Arc::downgrade(&slot));
        self.admit(&slot);
        Ok(PooledFile { pool: Arc::clone(self), slot })
    }

    /// Keeps the file `name` open while it is in use, because its name will be removed.
    ///
    /// # Errors
    /// Errors of the operating system, if the file cannot be reopened.
    pub(crate) fn keep(self: &Arc<Self>, name: StoreFile) -> io::Result<()> {
        let removed = self.held.lock().by_name.remove(&name);
        let Some(slot) = removed.and_then(|slot| slot.upgrade()) else { return Ok(()) };
        let file = PooledFile { pool: Arc::clone(self), slot: Arc::clone(&slot) }.file()?;
        let mut held = slot.file.write();
        held.get_or_insert(file);
        slot.is_kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Counts the newly opened file of `slot`, and closes others to stay within the limit.
    fn admit(&self, slot: &Arc<Slot>) {
        let mut held = self.held.lock();
        let mut spares = held.open.len();
        while held.open.len() >= self.capacity {
            let Some(oldest) = held.open.pop_front().map(|oldest| oldest.upgrade()) else { break };
            match oldest {
                Some(oldest) if spares > 0 && oldest.was_read.swap(false, Ordering::Relaxed) => {
                    spares -= 1;
                    held.open.push_back(Arc::downgrade(&oldest));
                }
                Some(oldest) => oldest.close(),
                None => {}
            }
        }
        held.open.push_back(Arc::downgrade(slot));
    }

    /// Reopens the file of `slot`.
    fn open(&self, slot: &Slot) -> io::Result<Arc<dyn File>> {
        let opened = match self.directory.open(slot.name, Access::Read) {
            Err(error) if is_out_of_descriptors(&error) => {
                self.close_all();
                self.directory.open(slot.name, Access::Read)
            }
            opened => opened,
        };
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let why = "a writer has compacted it away since this store was opened; open it again";
                io::Error::new(io::ErrorKind::NotFound, why)
            }
            _ => error,
        })?;
        if slot.identity.is_some() && file.identity()? != slot.identity {
            let why = "another file has its name since this store was opened";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(file)
    }

    /// Closes every file that may be closed, because the process has no descriptors left.
    fn close_all(&self) {
        let open = std::mem::take(&mut self.held.lock().open);
        open.iter().filter_map(Weak::upgrade).for_each(|slot| slot.close());
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Slot {
    fn close(&self) {
        let mut file = self.file.write();
        if !self.is_kept.load(Ordering::Relaxed) {
            *file = None;
        }
    }
}

impl PooledFile {
    /// Returns the file, reopened if necessary.
    fn file(&self) -> io::Result<Arc<dyn File>> {
        let slot = &self.slot;
        slot.was_read.store(true, Ordering::Relaxed);
        if let Some(file) = &*slot.file.read() {
            return Ok(Arc::clone(file));
        }
        let file = self.pool.open(slot)?;
        let mut held = slot.file.write();
        // Another thread may have been faster.
        if let Some(file) = &*held {
            return Ok(Arc::clone(file));
        }
        *held = Some(Arc::clone(&file));
        drop(held);
        self.pool.admit(slot);
        Ok(file)
    }
}

impl File for PooledFile {
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }

    fn next_data(&self, at: u64) -> u64 {
        self.file().map_or(at, |file| file.next_data(at))
    }

    fn next_hole(&self, at: u64) -> u64 {
        self.file().map_or(u64::MAX, |file| file.next_hole(at))
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file()?.read_at(buffer, at)
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
        // It is only advice, and does not justify opening the file.
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.file()?.map(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::base::ids::SegmentId;
    use crate::engine::fs::{FileSystem, OsFileSystem, read_vec_at, write_all_at};

    fn name(id: u64) -> StoreFile {
        StoreFile::Segment(SegmentId(id))
    }

    /// Returns a pool of four, and files of four bytes that hold their number.
    fn pooled(count: u64) -> (tempfile::TempDir, Arc<FilePool>, Vec<PooledFile>) {
        let dir = tempfile::tempdir().expect("the directory is created");
        let directory = OsFileSystem.open_directory(dir.path()).expect("the directory opens");
        let pool = FilePool::new(Arc::clone(&directory), Some(0));
        let files = (0..count).map(|id| {
            let file = directory.open(name(id), Access::Create).expect("the file is created");
            write_all_at(&*file, &(id as u32).to_le_bytes(), 0).expect("the file is written");
            pool.adopt(name(id), file).expect("the pool takes the file")
        });
        let files = files.collect();
        (dir, pool, files)
    }

    fn open_count(files: &[PooledFile]) -> usize {
        let is_open = |file: &&PooledFile| file.slot.file.read().is_some();
        files.iter().filter(is_open).count()
    }

    #[test]
    fn few_files_are_open_and_all_can_be_read() {
        let (_dir, _pool, files) = pooled(50);
        for id in (0..50_u32).chain((0..50).rev()) {
            let bytes = read_vec_at(&files[id as usize], 0, 4).expect("the file is read");
            assert_eq!(bytes, id.to_le_bytes());
            assert!(open_count(&files) <= CAPACITY_LEAST as usize);
        }
    }

    #[test]
    fn a_kept_file_is_read_after_its_name_was_removed_and_a_file_that_replaced_it_is_refused() {
        let (dir, pool, files) = pooled(9);
        pool.keep(name(0)).expect("the file exists");
        for id in [0, 1, 2] {
            std::fs::remove_file(dir.path().join(name(id).to_string())).expect("the file exists");
        }
        std::fs::write(dir.path().join(name(2).to_string()), "other").expect("the file is created");
        for file in files.iter().skip(3) {
            read_vec_at(file, 0, 4).expect("the file is read");
        }
        assert_eq!(read_vec_at(&files[0], 0, 4).expect("it was kept open"), [0; 4]);
        let error = read_vec_at(&files[1], 0, 4).expect_err("it was removed");
        assert!(error.to_string().contains("compacted it away"), "{error}");
        let error = read_vec_at(&files[2], 0, 4).expect_err("it was replaced");
        assert!(error.to_string().contains("another file has its name"), "{error}");
    }
}
