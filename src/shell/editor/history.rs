//! Where the lines that were typed are kept.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
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
pub fn make_dir(file: &Path) -> std::io::Result<()> {
    const OWNER_ONLY: u32 = 0o700;
    let dir = file.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
