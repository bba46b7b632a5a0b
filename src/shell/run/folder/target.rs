//! A file that a command writes: a draft until it is complete, or a pipe or a device directly.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;

use super::draft::{Draft, NewMode};
use super::{Folder, TargetPath};
use crate::shell::term::interrupt::Interrupt;

/// A file that is being written.
#[derive(Debug)]
pub struct Target {
    out: BufWriter<File>,
    /// The draft to rename at the end, or `None` if the file is not regular.
    draft: Option<Draft>,
    len: u64,
}

impl Target {
    const BUFFER_LEN: usize = 256 << 10;

    /// Creates the file for `path`. Writes an existing pipe or device directly. Replaces the target
    /// of a link, not the link.
    pub fn create(path: &Path, new: NewMode, interrupt: &Interrupt) -> io::Result<Self> {
        let (file, draft) = match Folder::place(path)? {
            TargetPath::Special(special) => (special.open(interrupt)?, None),
            TargetPath::File(folder, name) => {
                let draft = Draft::new(folder, name, new)?;
                (draft.file().try_clone()?, Some(draft))
            }
        };
        Ok(Self { out: BufWriter::with_capacity(Self::BUFFER_LEN, file), draft, len: 0 })
    }

    /// Returns the standard output. The caller flushes the results of the session first.
    pub fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { out: BufWriter::with_capacity(Self::BUFFER_LEN, file), draft: None, len: 0 })
    }

    /// Makes the file durable under its name, and returns its length. Without this call, a drop
    /// removes the file.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        if let Some(draft) = self.draft {
            draft.put_in_place()?;
        }
        Ok(self.len)
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::tests::names;
    use super::*;

    #[test]
    fn a_name_leads_to_the_old_file_until_the_new_one_is_finished_and_a_drop_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let path = dir.path().join("rows");
        fs::write(&path, "before").expect("a file can be written");
        let mut dropped =
            Target::create(&path, NewMode::Umask, &Interrupt::default()).expect("the file can be created");
        dropped.write_all(b"half").expect("the file is writable");
        drop(dropped);
        assert_eq!(
            (fs::read(&path).expect("the file exists"), names(dir.path())),
            (b"before".to_vec(), vec!["rows".into()])
        );
        let mut finished =
            Target::create(&path, NewMode::Umask, &Interrupt::default()).expect("the file can be created");
        finished.write_all(b"whole").expect("the file is writable");
        assert_eq!(fs::read(&path).expect("the file exists"), b"before");
        assert_eq!(finished.finish().expect("the draft can be renamed"), 5);
        assert_eq!(
            (fs::read(&path).expect("the file exists"), names(dir.path())),
            (b"whole".to_vec(), vec!["rows".into()])
        );
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_a_link_to_it_stays() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let (path, link) = (dir.path().join("rows"), dir.path().join("link"));
        fs::write(&path, "before").expect("a file can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("the file belongs to this user");
        symlink("rows", &link).expect("a link can be created");
        let mut target =
            Target::create(&link, NewMode::Umask, &Interrupt::default()).expect("the file can be created");
        target.write_all(b"whole").expect("the file is writable");
        target.finish().expect("the draft can be renamed");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).expect("the file exists"), b"whole");
        assert_eq!(fs::metadata(&path).expect("the file exists").permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_device_is_written_directly_and_stays_a_device() {
        let mut target = Target::create(Path::new("/dev/null"), NewMode::Umask, &Interrupt::default())
            .expect("/dev/null opens");
        target.write_all(b"gone").expect("/dev/null accepts every write");
        target.finish().expect("a device needs no rename");
        assert!(!fs::metadata("/dev/null").expect("/dev/null exists").is_file());
    }
}
