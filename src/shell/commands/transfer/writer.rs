//! The write end of an import: rows are appended one by one and acknowledged many at a time.

use std::ops::{AddAssign, Sub};

use logkv::{Batch, Error, Expiry, Pending, Store};

use crate::shell::commands::transfer::rows::ImportRow;
use crate::shell::run::write::pipeline::is_enough;

/// A writer that appends rows to the store.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    /// An empty batch, kept for its buffer.
    batch: Batch,
    pending: Vec<(Pending, CountRule)>,
    pending_len: usize,
    counts: ImportCounts,
}

/// Numbers of imported rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Keys that were set.
    pub puts: u64,
    /// Keys among `puts` that had already expired. They hide the older value.
    pub expired: u64,
    /// Deletes, whether the key existed or not.
    pub deletes: u64,
    /// Conditional commands that set nothing.
    pub not_set: u64,
}

impl ImportCounts {
    /// Returns the number of writes.
    pub fn write_count(self) -> u64 {
        self.puts + self.deletes
    }

    /// Counts `row` at the time `now_ms`.
    fn of(row: &ImportRow<'_>, now_ms: impl FnOnce() -> u64) -> Self {
        let is_put = row.value.is_some();
        let is_expired = matches!(row.expiry, Some(Expiry::At(expires_ms)) if expires_ms <= now_ms());
        Self { puts: is_put.into(), expired: is_expired.into(), deletes: (!is_put).into(), not_set: 0 }
    }
}

/// The counts of a write that is not yet acknowledged.
#[derive(Clone, Copy, Debug)]
enum CountRule {
    /// These counts.
    Always(ImportCounts),
    /// The first counts if something was written, else the second.
    IfWritten(ImportCounts, ImportCounts),
}

impl Sub for ImportCounts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            puts: self.puts - earlier.puts,
            expired: self.expired - earlier.expired,
            deletes: self.deletes - earlier.deletes,
            not_set: self.not_set - earlier.not_set,
        }
    }
}

impl AddAssign for ImportCounts {
    fn add_assign(&mut self, other: Self) {
        self.puts += other.puts;
        self.expired += other.expired;
        self.deletes += other.deletes;
        self.not_set += other.not_set;
    }
}

impl Writer {
    /// Creates a writer to `store`.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            batch: Batch::new(),
            pending: Vec::new(),
            pending_len: 0,
            counts: ImportCounts::default(),
        }
    }

    /// Appends `rows`, all or none.
    pub fn add(&mut self, rows: &[ImportRow<'_>]) -> Result<(), Error> {
        self.batch.clear();
        add_rows(&mut self.batch, rows);
        let mut counts = ImportCounts::default();
        let mut len = 0;
        for row in rows {
            counts += ImportCounts::of(row, || self.store.now_ms());
            len += row.key.len() + row.value.as_ref().map_or(0, |value| value.len());
        }
        let pending = self.store.submit(&self.batch)?;
        self.push(pending, CountRule::Always(counts), len)
    }

    /// Adds a write of about `len` bytes that a command submitted. It counts as `counts`, or as
    /// `otherwise` if nothing had to be written.
    pub fn wait_for(
        &mut self,
        pending: Pending,
        counts: ImportCounts,
        otherwise: Option<ImportCounts>,
        len: usize,
    ) -> Result<(), Error> {
        let rule =
            otherwise.map_or(CountRule::Always(counts), |otherwise| CountRule::IfWritten(counts, otherwise));
        self.push(pending, rule, len)
    }

    /// Adds the counts of a write that is already acknowledged.
    pub fn add_counts(&mut self, counts: ImportCounts) {
        self.counts += counts;
    }

    fn push(&mut self, pending: Pending, rule: CountRule, len: usize) -> Result<(), Error> {
        self.pending.push((pending, rule));
        self.pending_len += len;
        if is_enough(self.pending.len(), self.pending_len) {
            self.drain()?;
        }
        Ok(())
    }

    /// Waits until every append is acknowledged.
    pub fn drain(&mut self) -> Result<(), Error> {
        self.pending_len = 0;
        for (pending, rule) in self.pending.drain(..) {
            match (pending.wait()?, rule) {
                (_, CountRule::Always(counts))
                | (Some(_), CountRule::IfWritten(counts, _))
                | (None, CountRule::IfWritten(_, counts)) => self.counts += counts,
            }
        }
        Ok(())
    }

    /// Returns the counts of acknowledged writes.
    pub fn counts(&self) -> ImportCounts {
        self.counts
    }
}

/// Adds `rows` to `batch`.
pub fn add_rows(batch: &mut Batch, rows: &[ImportRow<'_>]) {
    for row in rows {
        match (&row.value, row.expiry) {
            (Some(value), None) => batch.put(&row.key, value),
            (Some(value), Some(expiry)) => batch.put_expiring(&row.key, value, expiry),
            (None, _) => batch.delete(&row.key),
        };
    }
}
