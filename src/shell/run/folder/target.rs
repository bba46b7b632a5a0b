//! A file that a command writes: a draft until it is complete, or a pipe or device directly.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;

use super::draft::{Draft, NewMode};
use super::{Folder, Place};
use crate::shell::term::interrupt::Interrupt;

/// A file that is being written.
#[derive(Debug)]
pub struct Target {
    out: BufWriter<File>,
    /// The draft to rename at the end; `None` for a file that is not regular.
    draft: Option<Draft>,
    len: u64,
}

impl Target {
    const BUFFER_LEN: usize = 256 << 10;

    /// The file for `path`. An existing pipe or device is written to directly. A link of this user
    /// stays, and its target is replaced.
    pub fn create(path: &Path, new: NewMode, interrupt: &Interrupt) -> io::Result<Self> {
        let (file, draft) = match Folder::place(path)? {
            Place::Special(special) => (special.open(interrupt)?, None),
            Place::File(folder, name) => {
                let draft = Draft::new(folder, name, new)?;
                (draft.file().try_clone()?, Some(draft))
            }
        };
        Ok(Self { out: BufWriter::with_capacity(Self::BUFFER_LEN, file), draft, len: 0 })
    }

    /// The standard output. What the session has printed must have been flushed.
    pub fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { out: BufWriter::with_capacity(Self::BUFFER_LEN, file), draft: None, len: 0 })
    }

    /// Gives it its name; how many bytes it has. Before that, nothing of it outlives a failure.
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

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(dir).expect("it can be read").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_under_the_name_until_it_is_finished_and_nothing_is_left_of_what_is_not() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let path = dir.path().join("rows");
        fs::write(&path, "before").expect("a file can be written");
        let mut dropped =
            Target::create(&path, NewMode::Umask, &Interrupt::default()).expect("it can be made");
        dropped.write_all(b"half").expect("it can be written");
        drop(dropped);
        assert_eq!(
            (fs::read(&path).expect("it is there"), names(dir.path())),
            (b"before".to_vec(), vec!["rows".into()])
        );
        let mut finished =
            Target::create(&path, NewMode::Umask, &Interrupt::default()).expect("it can be made");
        finished.write_all(b"whole").expect("it can be written");
        assert_eq!(fs::read(&path).expect("it is there"), b"before");
        assert_eq!(finished.finish().expect("it gets its name"), 5);
        assert_eq!(
            (fs::read(&path).expect("it is there"), names(dir.path())),
            (b"whole".to_vec(), vec!["rows".into()])
        );
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_permissions_and_a_link_to_it_stays_one() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let (path, link) = (dir.path().join("rows"), dir.path().join("link"));
        fs::write(&path, "before").expect("a file can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("it is ours");
        symlink("rows", &link).expect("a link can be made");
        let mut target =
            Target::create(&link, NewMode::Umask, &Interrupt::default()).expect("it can be made");
        target.write_all(b"whole").expect("it can be written");
        target.finish().expect("it gets its name");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).expect("it is there"), b"whole");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_device_stays_what_it_is() {
        let mut target =
            Target::create(Path::new("/dev/null"), NewMode::Umask, &Interrupt::default()).expect("it opens");
        target.write_all(b"gone").expect("it takes all");
        target.finish().expect("there is nothing to name");
        assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
    }
}
