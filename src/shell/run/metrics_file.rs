//! The metrics file, for the textfile collector of node_exporter.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use logkv::Store;

use super::folder::Folder;
use super::folder::draft::{Draft, NewMode};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::visible;

/// Returns the metrics of `store` in the Prometheus format, labelled with its directory.
pub fn text(store: &Store) -> logkv::Result<String> {
    let dir = store.dir().canonicalize().unwrap_or_else(|_| store.dir().to_owned());
    let dir = visible(dir.as_os_str().as_encoded_bytes());
    Ok(store.metrics()?.prometheus().label("store", dir).to_string())
}

/// A thread that writes the file. A drop writes it a last time.
#[derive(Debug)]
pub struct MetricsFile {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    trouble: Arc<Mutex<Trouble>>,
}

/// The error of the last write. It is reported once, not at each interval.
#[derive(Debug, Default)]
enum Trouble {
    #[default]
    None,
    Unreported(String),
    Reported,
}

impl MetricsFile {
    /// Writes the file `path` now, every `interval`, and at the end.
    pub fn keep(path: PathBuf, interval: Duration, store: Store) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let trouble = Arc::<Mutex<Trouble>>::default();
        let theirs = Arc::clone(&trouble);
        let keep = move || loop {
            note(&theirs, write(&path, &store));
            if let Err(RecvTimeoutError::Disconnected) = stopped.recv_timeout(interval) {
                return note(&theirs, write(&path, &store));
            }
        };
        let thread = thread::Builder::new().name("logkv-metrics".to_owned()).spawn(keep)?;
        Ok(Self { stop: Some(stop), thread: Some(thread), trouble })
    }

    /// Returns the error of the last write, unless it was reported.
    pub fn trouble(&self) -> Option<String> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            Trouble::Unreported(_) => match std::mem::replace(&mut *trouble, Trouble::Reported) {
                Trouble::Unreported(why) => Some(why),
                Trouble::None | Trouble::Reported => None,
            },
            Trouble::None | Trouble::Reported => None,
        }
    }

    /// Writes the file a last time. Returns the error, unless it was reported.
    pub fn finish(mut self) -> Option<String> {
        self.stop();
        self.trouble()
    }

    fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The panic message was printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for MetricsFile {
    fn drop(&mut self) {
        self.stop();
    }
}

fn note(trouble: &Mutex<Trouble>, written: Result<(), Failure>) {
    let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
    match written {
        Ok(()) => *trouble = Trouble::None,
        Err(failure) if matches!(*trouble, Trouble::None) => *trouble = Trouble::Unreported(failure.message),
        Err(_) => {}
    }
}

/// Replaces the file atomically. Fails for a device, a pipe or a link, which a rename would
/// destroy.
fn write(path: &Path, store: &Store) -> Result<(), Failure> {
    let text = text(store)?;
    let write = || {
        let (folder, name) = Folder::of(path)?;
        // The name of the draft does not end in `.prom`, so the collector ignores it.
        let draft = Draft::new(folder, name, NewMode::Readable)?;
        draft.file().write_all(text.as_bytes())?;
        draft.publish()
    };
    write().map_err(|error: io::Error| Failure::file("write", path, &error))
}
