//! From staged records to durable and visible ones: written, synced by one for all, published.

use std::path::Path;
use std::sync::PoisonError;
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
    /// Puts what is staged into the file, and publishes it unless it has to be durable first. When that fails, what was
    /// staged is taken back, and who waits for it is told.
    pub(super) fn hand_over(&self, writer: &mut Writer) -> Result<()> {
        let Some(active) = &mut writer.active else { return Ok(()) };
        // Records acknowledged while they were held back are lost with a failed flush: that poisons the log.
        let held_back = self.holds_back.load(Ordering::Acquire);
        if let Err(Failure { error, is_undone }) = active.segment.flush() {
            if held_back || !is_undone {
                return Err(writer.fail(&error));
            }
            writer.lose(&error);
            writer.take_back(writer.written, writer.active_len());
            return Err(error);
        }
        writer.written = writer.mark();
        if self.options.sync != Sync::Always {
            self.publish(writer, writer.appended);
        }
        if held_back {
            // Not before it was published: a read that meets this between the two would look past the lock, and miss what
            // had been acknowledged before it began.
            self.holds_back.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Lets readers see the records up to number `last`.
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
        // Telling nobody costs a system call, too.
        if writer.followers > 0 {
            self.progress.notify_all();
        }
    }

    /// Waits until record `target` is durable. The first thread that comes syncs for all that were appended before;
    /// those who come meanwhile append, and wait for the next.
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
                writer = self.progress.wait(writer).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some((file, segment)) = writer.active.as_ref().map(Active::for_sync) else {
                return Err(Error::Closed);
            };
            let written = writer.written.seq;
            writer.is_syncing = true;
            drop(writer);
            let outcome = self.timed(|| file.sync());
            writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.is_syncing = false;
            self.settle(&mut writer, written, (&segment.path, outcome))?;
        }
    }

    /// Takes note of a sync that covered the records up to `written`.
    pub(super) fn settle(
        &self,
        writer: &mut Writer,
        written: Seqno,
        (path, outcome): (&Path, std::io::Result<()>),
    ) -> Result<()> {
        let settled = match outcome {
            // What went wrong meanwhile may have taken what this sync is said to have written.
            Ok(()) if writer.poison.is_some() => Ok(()),
            Ok(()) => {
                let newly = written.0.saturating_sub(writer.durable.0);
                self.state.meter.synced.record(newly);
                tracing::trace!(records = newly, "synced");
                writer.durable = writer.durable.max(written);
                self.publish(writer, written);
                Ok(())
            }
            // After a failed fsync the kernel may have dropped the dirty pages and cleared the error: a second
            // attempt could succeed without having written them. So there is none.
            Err(source) => Err(writer.fail(&Error::io("fsync", path)(source))),
        };
        if settled.is_err() {
            self.state.meter.add(Count::SyncErrors, 1);
        }
        self.progress.notify_all();
        settled
    }

    /// Takes the time of a sync, which `sync` is.
    pub(super) fn timed<T>(&self, sync: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let synced = sync();
        self.state.meter.syncs.record_since(started);
        synced
    }

    /// The lock at a time when no sync is under way. The system tells of a failed write-back once for each open file: of
    /// two syncs at a time one could come back as if all were well.
    pub(super) fn without_sync<'a>(
        &'a self,
        mut writer: MutexGuard<'a, Writer>,
    ) -> Result<MutexGuard<'a, Writer>> {
        while writer.is_syncing {
            writer = self.progress.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        writer.usable()?;
        Ok(writer)
    }
}
