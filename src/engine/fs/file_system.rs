//! The file system of the operating system.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::dir::OsDirectory;
use super::parent::OsParent;
use super::traits::{Directory, FileSystem, Parent, PathKind};
use super::trust::owned_by_another;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(PathKind::Directory),
            Ok(metadata) if metadata.is_file() => Ok(PathKind::Other("a file")),
            Ok(_) => Ok(PathKind::Other("not a directory")),
            // A file must not be created through a link by accident.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(match path.symlink_metadata().is_ok() {
                    true => PathKind::Other("a dangling symbolic link"),
                    false => PathKind::Missing,
                })
            }
            Err(error) => Err(error),
        }
    }

    fn create_directory(&self, path: &Path, trusts_all: bool) -> io::Result<Arc<dyn Directory>> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Arc::new(OsParent::of(path)?.make(name, trusts_all)?))
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(filled) if filled == bytes.len() => Ok(()),
            // A kernel or a sandbox without this call has the device.
            _ => std::fs::File::open("/dev/urandom")?.read_exact(bytes),
        }
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OsDirectory::open(path, false)?))
    }

    fn open_trusted_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OsDirectory::open(path, true)?))
    }

    fn parent(&self, path: &Path) -> io::Result<Arc<dyn Parent>> {
        Ok(Arc::new(OsParent::of(path)?))
    }

    fn chosen_path(&self, path: &Path) -> io::Result<PathBuf> {
        // The kernel's limit.
        const LINKS_MAX: usize = 40;
        // A trailing slash would follow any link.
        let mut chosen: PathBuf = path.components().collect();
        for _ in 0..LINKS_MAX {
            match chosen.symlink_metadata() {
                // A dangling link occupies the name.
                Ok(found) if found.is_symlink() && chosen.metadata().is_ok() => {
                    if let Some(reason) = owned_by_another(&found, &[]) {
                        return Err(io::Error::new(
                            io::ErrorKind::PermissionDenied,
                            format!("it is a link, and {reason}"),
                        ));
                    }
                    let target = chosen.read_link()?;
                    chosen = chosen.parent().unwrap_or(Path::new("")).join(target).components().collect();
                }
                _ => return Ok(chosen),
            }
        }
        Err(Errno::LOOP.into())
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let path = std::path::absolute(path)?;
        for there in path.ancestors() {
            match there.canonicalize() {
                Ok(real) => {
                    let missing = path.strip_prefix(there).expect("an ancestor is a prefix");
                    // Joining an empty path would add a slash, and the path would name a directory.
                    return Ok(real.components().chain(missing.components()).collect());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }
}
