//! Which files and directories are trusted: nobody else can change their bytes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Why a file is trusted less than the directory it is in, which was found to be trusted, or is to be. Who owns such a file
/// or may write to it could change, under a mapping, what was checked; and could read what is appended.
pub(super) fn less_trusted(file: &Metadata, directory: &Metadata) -> Option<String> {
    if is_open_to_all(directory) {
        None
    } else if is_open_to_all(file) {
        Some("everybody may write to it, and not to its directory".to_owned())
    } else {
        owned_by_another(file, &[directory.uid()])
    }
}

/// Whose the file is, if it belongs neither to this user nor to root nor to `others`.
pub(super) fn owned_by_another(file: &Metadata, others: &[u32]) -> Option<String> {
    const ROOT: u32 = 0;
    let (owner, me) = (file.uid(), rustix::process::geteuid().as_raw());
    let is_own = [me, ROOT].contains(&owner) || others.contains(&owner);
    (!is_own).then(|| format!("it belongs to another user (uid {owner}, yours is {me})"))
}

pub(super) fn is_open_to_all(metadata: &Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    metadata.mode() & OTHERS_WRITE != 0
}
