//! Where the lines that were typed are kept.

use std::env;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How many lines are kept.
pub const LINES_MAX: usize = 10_000;

/// `$XDG_STATE_HOME/logkv/history`; `None` where there is no home.
pub fn path() -> Option<PathBuf> {
    Some(xdg("XDG_STATE_HOME", ".local/state")?.join("logkv/history"))
}

/// `$XDG_CONFIG_HOME/logkv/init`: commands that each REPL starts with; `None` where there is no home.
pub fn init_path() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("logkv/init"))
}

/// The directory that `variable` names, or `below_home`. What is not absolute is to be ignored, says the standard.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// Makes the directory that `file` is to be in, for its owner alone: lines hold values.
pub fn make_dir(file: &Path) -> io::Result<()> {
    const OWNER_ONLY: u32 = 0o700;
    let dir = file.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(dir)
}

/// Whether `file` is there to be read. Only what nobody else but root could have put there is: with another user's home,
/// as `sudo` may leave it, its commands would run, and its links be written through, with this user's rights.
pub fn is_there(file: &Path) -> io::Result<bool> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    match dir.metadata() {
        Ok(metadata) => trusted(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    match file.metadata() {
        // Opening a FIFO would wait for its other end.
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(metadata) => trusted(&metadata).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn trusted(metadata: &Metadata) -> io::Result<()> {
    const ROOT: u32 = 0;
    const OTHERS_WRITE: u32 = 0o002;
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if ![me, ROOT].contains(&owner) {
        Err(io::Error::other(format!("it belongs to another user (uid {owner}, yours is {me})")))
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Err(io::Error::other("everybody may write to it"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_somebody_else_could_have_put_there_is_not_read_and_a_link_of_ones_own_is() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let file = dir.path().join("logkv/init");
        assert!(!is_there(&file).expect("nothing is there"));
        make_dir(&file).expect("the directory can be made");
        assert!(!is_there(&file).expect("nothing is there"));
        fs::write(dir.path().join("mine"), "count").expect("it is written");
        symlink(dir.path().join("mine"), &file).expect("a link can be made");
        assert!(is_there(&file).expect("one's own"));
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
        open(&dir.path().join("mine"), 0o666);
        assert!(is_there(&file).expect_err("open to all").to_string().contains("everybody may write to it"));
        open(&dir.path().join("mine"), 0o600);
        open(&dir.path().join("logkv"), 0o777);
        assert!(is_there(&file).is_err());
        open(&dir.path().join("logkv"), 0o700);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path().join("mine"), Some(12_345), None).expect("root may");
            assert!(is_there(&file).expect_err("another's").to_string().contains("uid 12345"));
        }
        fs::remove_file(&file).expect("it is removed");
        fs::create_dir(&file).expect("a directory can be made");
        assert!(is_there(&file).expect_err("no file").to_string().contains("not a regular file"));
    }

    #[test]
    fn the_history_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let file = dir.path().join("state/logkv/history");
        make_dir(&file).expect("the directory can be made");
        let made = file.parent().expect("it has a parent").metadata().expect("it was made");
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
        make_dir(&file).expect("it may be there already");
    }
}
