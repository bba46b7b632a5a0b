//! A file that is written as a whole: under its name it is there as a whole, or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is being written.
#[derive(Debug)]
pub struct Target {
    out: BufWriter<File>,
    /// The file beside it that is written first, and the name that it gets; `None` for what is no regular file.
    draft: Option<(NamedTempFile, PathBuf)>,
    len: u64,
}

impl Target {
    const BUFFER_LEN: usize = 256 << 10;

    /// A file that will be at `path`. A pipe or a device that is there is written to as it is.
    pub fn create(path: &Path) -> io::Result<Self> {
        let there = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            let file = OpenOptions::new().write(true).open(path)?;
            return Ok(Self { out: BufWriter::with_capacity(Self::BUFFER_LEN, file), draft: None, len: 0 });
        }
        // Through a link goes what it leads to; the link stays.
        let path = if there.is_some() { path.canonicalize()? } else { path.to_owned() };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".logkv-").permissions(Permissions::from_mode(0o666));
        let draft = builder.tempfile_in(folder).map_err(without_path)?;
        if let Some(metadata) = there {
            draft.as_file().set_permissions(metadata.permissions())?;
        }
        let out = BufWriter::with_capacity(Self::BUFFER_LEN, draft.as_file().try_clone()?);
        Ok(Self { out, draft: Some((draft, path)), len: 0 })
    }

    /// Gives it its name; how many bytes it has. Before that, nothing of it outlives a failure.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        if let Some((draft, path)) = self.draft {
            draft.as_file().sync_all()?;
            let folder = draft.path().parent().map(Path::to_owned).unwrap_or_default();
            draft.persist(path).map_err(|error| error.error)?;
            // Else a power cut could take the name.
            File::open(folder)?.sync_all()?;
        }
        Ok(self.len)
    }
}

/// What the operating system said, without the draft's name: whoever called knows the file by another.
fn without_path(error: io::Error) -> io::Error {
    let text = error.to_string();
    let said = text.split(" at path ").next().unwrap_or_default();
    io::Error::new(error.kind(), said.to_owned())
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
    use std::os::unix::fs::symlink;

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
        let mut dropped = Target::create(&path).expect("it can be made");
        dropped.write_all(b"half").expect("it can be written");
        drop(dropped);
        assert_eq!(
            (fs::read(&path).expect("it is there"), names(dir.path())),
            (b"before".to_vec(), vec!["rows".into()])
        );
        let mut finished = Target::create(&path).expect("it can be made");
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
        let mut target = Target::create(&link).expect("it can be made");
        target.write_all(b"whole").expect("it can be written");
        target.finish().expect("it gets its name");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).expect("it is there"), b"whole");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_device_stays_what_it_is() {
        let mut target = Target::create(Path::new("/dev/null")).expect("it opens");
        target.write_all(b"gone").expect("it takes all");
        target.finish().expect("there is nothing to name");
        assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
    }
}
