//! Opens a store read-only: takes no lock and writes nothing.

use std::io::ErrorKind;
use std::sync::Arc;

use super::load::{Load, unsealed};
use super::opened::Opened;
use super::seen::SeenFiles;
use crate::engine::base::error::{Error, Result};
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::Manifest;
use crate::engine::fs::{Directory, File};
use crate::engine::options::Options;
use crate::engine::state::State;

/// The number of attempts while a writer keeps changing the files.
const ATTEMPTS: u32 = 100;

/// Opens the store in `directory`. The new state replaces `earlier`, if given.
///
/// # Errors
/// As [`open`](super::open).
pub(crate) fn open_read_only(
    directory: &Arc<dyn Directory>,
    options: &Options,
    earlier: Option<&Arc<State>>,
) -> Result<(Opened, SeenFiles)> {
    let mut file = manifest_file::open(&**directory)?;
    let mut manifest = manifest_file::decode(&**directory, &*file)?;
    for _ in 0..ATTEMPTS {
        let mut load = Load::new(directory, options, &manifest, earlier);
        match load.all(&manifest) {
            Ok(()) => return Ok(finish(load, manifest, file)),
            // A writer may have replaced the segments, or may be cutting off a torn tail.
            Err(error) if may_be_of_change(&error) => {
                file = manifest_file::open(&**directory)?;
                let now = manifest_file::decode(&**directory, &*file)?;
                if now.generation == manifest.generation && matches!(error, Error::SegmentMissing { .. }) {
                    return Err(error);
                }
                manifest = now;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::ManifestDamaged { reason: "it changes faster than it can be read".to_owned() })
}

/// Turns `load`, which loaded the segments of `manifest`, read from `file`, into the result of a
/// read-only open.
pub(super) fn finish(load: Load<'_>, manifest: Manifest, file: Arc<dyn File>) -> (Opened, SeenFiles) {
    let Load { context, state, report, last_seq, seen_end, .. } = load;
    // The newest records may be compacted away. Their numbers still count for reads of the past.
    let last_seq = last_seq.max(manifest.next_seq.previous());
    let directory = context.directory;
    let opened =
        Opened { directory, state, report: Arc::new(report), last_seq, unsealed: unsealed(&manifest) };
    (opened, SeenFiles { manifest, file, end: seen_end })
}

/// Returns whether `error` may come from files that changed while they were read.
fn may_be_of_change(error: &Error) -> bool {
    match error {
        Error::SegmentMissing { .. } => true,
        Error::Io { source, .. } => source.kind() == ErrorKind::UnexpectedEof,
        _ => false,
    }
}
