//! Trust in files and directories. No other user can change a trusted one.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Returns why `file` is trusted less than its directory, which is trusted. A user who owns the
/// file or may write to it could change checked bytes under a mapping, and could read what is
/// appended.
pub(super) fn less_trusted(file: &Metadata, directory: &Metadata) -> Option<String> {
    if is_open_to_all(directory) {
        None
    } else if is_open_to_all(file) {
        Some("everybody may write to it, and not to its directory".to_owned())
    } else {
        owned_by_another(file, &[directory.uid()])
    }
}

/// Returns the owner of the file, in words, if it is not this user, root or one of `others`.
pub(super) fn owned_by_another(file: &Metadata, others: &[u32]) -> Option<String> {
    const ROOT: u32 = 0;
    let owner = file.uid();
    let me = rustix::process::geteuid().as_raw();
    let is_own = [me, ROOT].contains(&owner) || others.contains(&owner);
    (!is_own).then(|| format!("it {}", belongs_to_another(owner, me)))
}

/// Returns that something of user `owner` belongs to another user than `me`, in words.
pub(super) fn belongs_to_another(owner: u32, me: u32) -> String {
    format!("belongs to another user (uid {owner}, yours is {me})")
}

pub(super) fn is_open_to_all(metadata: &Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    metadata.mode() & OTHERS_WRITE != 0
}
