//! Makes staged records durable and visible: flush, shared sync, publish.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Log;
use super::writer::{Active, Writer};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::Failure;
use crate::engine::base::sync::MutexGuard;
use crate::engine::format::record::Kind;
use crate::engine::metrics::meter::Count;
use crate::engine::options::Sync;

impl Log {
    /// Writes staged records to the file, and publishes them unless they must be durable first. If
    /// the write fails, they are unstaged, and the callers that wait for them get an error.
    pub(super) fn flush(&self, writer: &mut Writer) -> Result<()> {
        let Some(active) = &mut writer.active else { return Ok(()) };
        // If a flush of acknowledged records fails, they are lost, so the log is poisoned.
        let has_buffered = self.has_buffered.load(Ordering::Acquire);
        if let Err(Failure { error, is_undone }) = active.segment.flush() {
            if has_buffered || !is_undone {
                return Err(writer.fail(&error));
            }
            writer.record_loss(&error);
            writer.unstage(writer.written, writer.active_len());
            return Err(error);
        }
        writer.written = writer.mark();
        if self.options.sync != Sync::Always {
            self.publish(writer, writer.appended);
        }
        if has_buffered {
            // Cleared after publishing. A read between the two would skip the lock, and miss
            // records that were acknowledged before it began.
            self.has_buffered.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Makes the records up to number `last` visible.
    fn publish(&self, writer: &mut Writer, last: Seqno) {
        let mut batch = None;
        let [mut puts, mut deletes, mut batches, mut len] = [0; 4];
        while let Some(record) = writer.pending.pop(last) {
            puts += u64::from(record.kind == Kind::Put);
            deletes += u64::from(record.kind == Kind::Delete);
            batches += u64::from(!record.more);
            len += record.len;
            if record.more {
                batch.get_or_insert_with(|| self.state.begin_batch());
            }
            self.state.publish(&record);
            if !record.more {
                batch = None;
            }
        }
        let meter = &self.state.meter;
        let counts = [
            (Count::Puts, puts),
            (Count::Deletes, deletes),
            (Count::Batches, batches),
            (Count::WrittenLen, len),
        ];
        counts.into_iter().filter(|&(_, by)| by > 0).for_each(|(count, by)| meter.add(count, by));
        // A notification costs a system call even without waiters.
        if writer.followers > 0 {
            self.progress.notify_all();
        }
    }

    /// Waits until record `target` is durable. The first thread syncs all records written so far.
    /// Threads that arrive meanwhile append their records and wait for the next sync.
    pub(super) fn make_durable<'a>(
        &'a self,
        mut writer: MutexGuard<'a, Writer>,
        target: Seqno,
    ) -> Result<()> {
        loop {
            if writer.durable >= target {
                return Ok(());
            }
            if let Some(cause) = &writer.poison {
                return Err(Error::OutcomeUnknown { cause: cause.clone() });
            }
            if writer.is_syncing {
                writer = self.progress.wait(writer);
                continue;
            }
            let Some((file, segment)) = writer.active.as_ref().map(Active::for_sync) else {
                return Err(Error::Closed);
            };
            let written = writer.written.seq;
            writer.is_syncing = true;
            drop(writer);
            let outcome = self.timed(|| file.sync());
            writer = self.writer.lock();
            writer.is_syncing = false;
            self.record_sync(&mut writer, written, (&segment.path, outcome))?;
        }
    }

    /// Records the outcome of a sync that covered the records up to `written`.
    pub(super) fn record_sync(
        &self,
        writer: &mut Writer,
        written: Seqno,
        (path, outcome): (&Path, std::io::Result<()>),
    ) -> Result<()> {
        let recorded = match outcome {
            // The failure that poisoned the log may have hit the same bytes.
            Ok(()) if writer.poison.is_some() => Ok(()),
            Ok(()) => {
                let newly = written.0.saturating_sub(writer.durable.0);
                self.state.meter.synced.record(newly);
                tracing::trace!(records = newly, "synced");
                writer.durable = writer.durable.max(written);
                self.publish(writer, written);
                Ok(())
            }
            // After a failed fsync the kernel may have dropped the dirty pages and cleared the
            // error: a second attempt could succeed without having written them. So there is no
            // second attempt.
            Err(source) => Err(writer.fail(&Error::io("fsync", path)(source))),
        };
        if recorded.is_err() {
            self.state.meter.add(Count::SyncErrors, 1);
        }
        self.progress.notify_all();
        recorded
    }

    /// Runs `sync` and records its duration.
    pub(super) fn timed<T>(&self, sync: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let synced = sync();
        self.state.meter.syncs.record_since(started);
        synced
    }

    /// Waits until no sync is running. The kernel reports a failed write-back once for each open
    /// file, so one of two concurrent syncs could succeed in spite of it.
    pub(super) fn without_sync<'a>(
        &'a self,
        mut writer: MutexGuard<'a, Writer>,
    ) -> Result<MutexGuard<'a, Writer>> {
        while writer.is_syncing {
            writer = self.progress.wait(writer);
        }
        writer.check_usable()?;
        Ok(writer)
    }
}
