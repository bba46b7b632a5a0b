//! Opening and closing of the store.

use std::sync::Arc;

use logkv::{Error, Options, Store};

use super::Session;
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::report::{self, LinePlace};
use crate::shell::lang::words::visible;
use crate::shell::run::folder::is_of_store;
use crate::shell::run::metrics_file::MetricsFile;

impl Session {
    /// Opens the store, and reports what the open found.
    pub fn open(&mut self, options: Options) -> Result<(), Failure> {
        let opened = self.open_store(options)?;
        self.adopt(opened.map_err(|error| Failure::open(&error))?)
    }

    /// Opens the store, read-only and with a note if another process has it open for writing.
    pub fn open_to_read(&mut self, options: Options) -> Result<(), Failure> {
        let opened = match self.open_store(options.clone())? {
            Err(error @ Error::Locked { .. }) => {
                if !self.settings.quiet {
                    let why = error.to_string().replacen("; try --read-only", "", 1);
                    self.note(&format!("note: {why}: opening it read-only"));
                }
                self.open_store(options.read_only(true).create(false))?
            }
            opened => opened,
        };
        self.adopt(opened.map_err(|error| Failure::open(&error))?)
    }

    fn open_store(&mut self, options: Options) -> Result<logkv::Result<Store>, Failure> {
        let progress = Arc::new(self.progress("reading the log"));
        let seen = Arc::clone(&progress);
        let options = options.on_open_progress(Arc::new(move |at| seen.at(at.done_len, at.total_len)));
        // Opening cannot be interrupted. Ending the process during it is like a crash, which is
        // safe.
        let opened = self.interrupt.ending(|| progress.clear(), || Store::open_with(&self.dir, options));
        let opened = opened.map_err(Failure::no_watch)?;
        // The store keeps its options, and so the bar is not dropped.
        progress.clear();
        self.opening = Some(progress);
        Ok(opened)
    }

    /// Uses the open `store` from now on.
    fn adopt(&mut self, store: Store) -> Result<(), Failure> {
        if !self.settings.quiet {
            if store.open_report().created {
                let dir = visible(self.dir.as_os_str().as_encoded_bytes());
                self.note(&format!("note: new store in {dir}"));
            }
            for note in report::opening(&store.open_report(), store.is_read_only()) {
                self.note(&note);
            }
        }
        self.keep_metrics(&store)?;
        self.interrupt.guard(store.clone());
        self.store = Some(store);
        Ok(())
    }

    /// Postpones the open to the first write, so that a command without one creates no store.
    pub fn open_later(&mut self, options: Options) {
        self.unopened = Some(options);
    }

    /// Returns the store, opened now if that was postponed.
    pub fn make_store(&mut self) -> Result<Store, Failure> {
        if let Some(options) = self.unopened.take() {
            self.open(options)?;
        }
        self.store()
    }

    /// Starts to write the metrics file, if one is configured.
    fn keep_metrics(&mut self, store: &Store) -> Result<(), Failure> {
        let Some(path) = self.config.metrics_file.clone() else { return Ok(()) };
        let interval = self.config.metrics_interval;
        let named = path.clone();
        if path.as_os_str() == "-" {
            let failure = Failure::usage("--metrics-file takes a file, not the standard output");
            return Err(failure.hint("stats --prometheus prints the metrics"));
        }
        if is_of_store(&self.dir, &path) {
            return Err(Failure::usage("--metrics-file names a file of the store itself"));
        }
        let keeper = MetricsFile::keep(path, interval, store.clone());
        let keeper = keeper.map_err(|error| Failure {
            kind: Kind::Open,
            ..Failure::file("start a thread for", &named, &error)
        })?;
        self.metrics_file = Some(keeper);
        Ok(())
    }

    /// Waits for all writes, and closes the store.
    pub fn close(&mut self) {
        self.drain();
        self.flush();
        if let Some(why) = self.metrics_file.take().and_then(MetricsFile::finish) {
            self.note(&format!("warning: {why}"));
        }
        self.interrupt.release();
        if let Some(store) = self.store.take()
            && let Err(error) = store.close()
            && !matches!(&error, Error::Poisoned { cause } if self.last_message.contains(cause))
        {
            self.fail(&error.into(), b"", &LinePlace::Nowhere);
        }
    }

    /// Returns the open store.
    pub fn store(&self) -> Result<Store, Failure> {
        self.store.clone().ok_or_else(|| Failure::command("no store is open"))
    }

    /// Returns whether the store is open for reading only.
    pub fn is_read_only(&self) -> bool {
        self.store.as_ref().is_some_and(Store::is_read_only)
    }

    /// Returns whether the store is open for writing.
    pub fn is_writing(&self) -> bool {
        self.store.as_ref().is_some_and(|store| !store.is_read_only())
    }

    /// Fails if the store is read-only. A command checks this before it asks or reads anything.
    pub fn check_writes(&self) -> Result<(), Failure> {
        if self.is_read_only() { Err(Error::ReadOnly.into()) } else { Ok(()) }
    }
}
