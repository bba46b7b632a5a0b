//! A store that works on a simulated disk, which may fail.

mod alone;
mod refused;
mod write;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use logkv::{Commit, Compact, CompactionEvent, Error, Op, PutOptions, SegmentState, Snapshot, Store, verify};

use super::fault::DIRECTORY;
use super::file_system::{MapDir, SimulatedFileSystem};
use super::life::{Life, LifeStart, Map, Mark};
use super::look::{self, Trouble};
use super::plan::{Setting, Step};
use write::transact;

/// Opens the store left at `start`, checks it, and runs `steps` as far as the store accepts them.
///
/// # Errors
///
/// A sentence, if a check fails.
pub(crate) fn live(
    start: &LifeStart,
    setting: &Setting,
    maps: &MapDir,
    steps: &[Step],
) -> Result<Life, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let maps = maps.clone().filter(|_| setting.maps);
        let file_system = SimulatedFileSystem::on(start.disk.clone(), start.seed, maps, start.fault);
        let mut living = Living::new(start, setting, file_system);
        let mut left = steps.iter();
        let mut goes_on = living.attempt(&"opening", Living::open)?;
        while let Some(step) = left.next().filter(|_| goes_on) {
            goes_on = living.attempt(step, |living| living.step(step))?;
        }
        living.end()
    }));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}

struct Living {
    file_system: SimulatedFileSystem,
    /// `None` only while the store is replaced, or after a failed open or close.
    store: Option<Store>,
    life: Life,
    mark: Mark,
    /// Successful writes, each with the moment after it.
    commits: Vec<(usize, Commit)>,
    snapshots: Vec<(Snapshot, Arc<Map>)>,
    /// The last failure that the store reported.
    reported: Option<String>,
}

impl Living {
    fn new(start: &LifeStart, setting: &Setting, file_system: SimulatedFileSystem) -> Self {
        // Any of the moments may be found until the store is open.
        let mark = Mark { issued: start.moments.len() - 1, ..Mark::default() };
        let life = Life {
            start: start.clone(),
            setting: *setting,
            events: Vec::new(),
            call_count: 0,
            met: None,
            moments: start.moments.clone(),
            marks: vec![mark],
            steps: Vec::new(),
            found: Arc::default(),
        };
        Self {
            file_system,
            store: None,
            life,
            mark,
            commits: Vec::new(),
            snapshots: Vec::new(),
            reported: None,
        }
    }

    fn open(&mut self) -> Result<(), Trouble> {
        let LifeStart { seed, least, last_seq, .. } = self.life.start;
        if seed.is_multiple_of(8) {
            self.read_only()?;
        }
        let store = self.open_store()?;
        let found = look::at(&store)?;
        let moments = &mut self.life.moments;
        let Some(at) = moments.iter().rposition(|moment| *moment.map == found).filter(|at| *at >= least)
        else {
            return Err(look::difference(&found, &moments[least..]).into());
        };
        // This check takes as long as all others together.
        if seed.is_multiple_of(4) && !self.life.setting.background {
            look::at_log(&store, &found)?;
        }
        self.store = Some(store);
        moments.truncate(at + 1);
        moments[at].last_seq = last_seq;
        // Nothing newer is on the disk, not even before the open.
        self.life.marks[0].issued = at;
        // The open made durable whatever it found.
        self.mark = Mark { at: 0, durable: at, written: at, acknowledged: at, issued: at };
        self.take_mark();
        self.life.found = Arc::clone(self.now());
        Ok(())
    }

    /// Checks that a read-only open finds one of the moments and changes nothing.
    fn read_only(&self) -> Result<(), Trouble> {
        let before = self.file_system.event_count();
        let options = self.life.setting.options().file_system(Arc::new(self.file_system.clone()));
        let store = match Store::open_with(DIRECTORY, options.read_only(true)) {
            Err(Error::Missing { .. }) if self.life.moments[0].map.is_empty() => return Ok(()),
            opened => opened?,
        };
        let found = look::at(&store)?;
        drop(store);
        let changed = self.file_system.event_count() - before;
        match self.life.moments.iter().any(|moment| *moment.map == found) {
            _ if changed > 0 => Err(format!("a reader made {changed} changes").into()),
            true => Ok(()),
            false => Err(format!("a reader: {}", look::difference(&found, &self.life.moments)).into()),
        }
    }

    fn open_store(&self) -> Result<Store, Trouble> {
        let options = self.life.setting.options().file_system(Arc::new(self.file_system.clone()));
        let store = Store::open_with(DIRECTORY, options)?;
        match &store.open_report().damage[..] {
            [] => Ok(store),
            damage => Err(format!("the open reports damage: {damage:?}").into()),
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("is open between steps")
    }

    fn now(&self) -> &Arc<Map> {
        &self.life.moments[self.mark.issued].map
    }

    fn take_mark(&mut self) {
        self.mark.at = self.file_system.event_count();
        self.life.marks.push(self.mark);
    }

    fn step(&mut self, step: &Step) -> Result<(), Trouble> {
        self.life.steps.push((self.file_system.event_count(), step.clone()));
        match step {
            Step::Put(change) => self.write(std::slice::from_ref(change), |store, batch| {
                let Some(Op::Put { key, value, expiry }) = batch.iter().next() else { return Ok(None) };
                store.put_with(key, value, PutOptions::new().expiry(expiry))
            }),
            Step::Delete(number) => self.delete(*number),
            Step::Write(changes) => self.write(changes, Store::write),
            Step::Transact(changes, true) => self.write(changes, |store, batch| transact(store, batch, true)),
            Step::Transact(changes, false) => self.refrain(changes),
            Step::Submit(changes) => self.submit(changes),
            Step::Sync => self.all_durable(|store| store.sync()),
            Step::Rotate => self.all_durable(|store| store.rotate().map(drop)),
            Step::Compact(first, count, until) => self.compact_some(*first, *count, *until),
            Step::CompactDue => self.compact(&Compact::Due, None),
            Step::CompactAll => self.compact(&Compact::All, None),
            Step::Clear => self.clear(),
            Step::Snapshot => {
                let snapshot = self.store().snapshot()?;
                self.snapshots.push((snapshot, Arc::clone(self.now())));
                Ok(())
            }
            Step::Read => self.read(),
            Step::Verify => self.verify(),
            Step::Reopen => self.reopen().map(drop),
            Step::Idle => self.idle(),
        }
    }

    /// Runs `act`, which makes every acknowledged write durable.
    fn all_durable(&mut self, act: impl FnOnce(&Store) -> logkv::Result<()>) -> Result<(), Trouble> {
        act(self.store())?;
        (self.mark.durable, self.mark.written) = (self.mark.issued, self.mark.issued);
        self.take_mark();
        Ok(())
    }

    fn compact_some(&mut self, first: u64, count: u64, until: Option<u64>) -> Result<(), Trouble> {
        let segments = self.store().segments()?;
        let sealed = segments.iter().filter(|segment| segment.state == SegmentState::Sealed);
        let run: Vec<_> =
            sealed.map(|segment| segment.id).skip(first as usize).take(count as usize).collect();
        match self.compact(&Compact::Segments(run), until) {
            // The background compacted the segments first.
            Err(Trouble::Refused(Error::NotCompactable { .. } | Error::NoSuchSegment { .. }))
                if self.life.setting.background =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Compacts. `until` is the number of stages before it is cancelled.
    fn compact(&mut self, what: &Compact, until: Option<u64>) -> Result<(), Trouble> {
        let mut left = until;
        let mut observe = |event: CompactionEvent<'_>| {
            if let (CompactionEvent::Reached(..), Some(left)) = (event, &mut left) {
                match left.checked_sub(1) {
                    Some(less) => *left = less,
                    None => return ControlFlow::Break(()),
                }
            }
            ControlFlow::Continue(())
        };
        match self.store().compact_with(what, &mut observe) {
            Err(Error::Cancelled) if until.is_some() => {}
            outcome => drop(outcome?),
        }
        self.flushed();
        self.log_alone()
    }

    /// Records that buffered writes were written.
    fn flushed(&mut self) {
        self.mark.written = self.mark.issued;
        self.take_mark();
    }

    fn read(&mut self) -> Result<(), Trouble> {
        self.is_as_expected()?;
        if !self.life.setting.background {
            look::at_figures(self.store())?;
            look::at_log(self.store(), self.now())?;
        }
        if !self.leaves_files() {
            look::at_files(self.store(), &self.file_system.disk().image())?;
        }
        for (snapshot, map) in &self.snapshots {
            look::at_snapshot(snapshot, map)?;
        }
        let durable = self.store().stats()?.durable_seq;
        // The writes that the store reports as durable.
        let claimed = self.commits.iter().rfind(|(_, commit)| Some(commit.last) <= durable);
        self.mark.durable = self.mark.durable.max(claimed.map_or(0, |(at, _)| *at));
        self.flushed();
        Ok(())
    }

    /// Checks that there is no damage, except in derived files that a crash may have torn.
    fn verify(&self) -> Result<(), Trouble> {
        let options = self.life.setting.options().file_system(Arc::new(self.file_system.clone()));
        let report = verify::store(Path::new(DIRECTORY), &options, &[], &mut |_| ControlFlow::Continue(()))?;
        // Unreadable bytes are reported as findings.
        match report.damage_count {
            1.. if self.file_system.met().is_none() => Err(format!("verify reports {report:?}").into()),
            _ if self.life.start.fault.is_none() && !self.life.setting.background => self.copies(),
            _ => Ok(()),
        }
    }

    fn is_as_expected(&self) -> Result<(), Trouble> {
        self.shows_one_since(self.mark.issued)
    }

    /// Checks that the store shows moment `first` or a later one.
    fn shows_one_since(&self, first: usize) -> Result<(), Trouble> {
        let found = look::at(self.store())?;
        let expected = &self.life.moments[first..=self.mark.issued];
        match expected.iter().any(|moment| *moment.map == found) {
            true => Ok(()),
            false => Err(look::difference(&found, expected).into()),
        }
    }

    /// Whether uncounted files may exist, in use by background work, or left because they could not
    /// be removed.
    fn leaves_files(&self) -> bool {
        self.life.setting.background || self.file_system.met().is_some()
    }

    fn close(&mut self) -> Result<(), Trouble> {
        let store = self.store.take().expect("is open between steps");
        store.close()?;
        (self.mark.durable, self.mark.written) = (self.mark.issued, self.mark.issued);
        self.take_mark();
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Trouble> {
        self.close()?;
        let store = self.open_store()?;
        let report = store.open_report();
        let has_orphans = !report.orphans_removed.is_empty() && self.file_system.met().is_none();
        if report.unclean || report.torn.is_some() || has_orphans {
            return Err(format!("after a close, the open reports {report:?}").into());
        }
        self.store = Some(store);
        self.is_as_expected()
    }

    fn idle(&mut self) -> Result<(), Trouble> {
        self.reopen()?;
        self.close()?;
        let before = self.file_system.disk().image();
        let store = self.open_store()?;
        store.close()?;
        let after = self.file_system.disk().image();
        if before != after && !self.leaves_files() {
            return Err(look::changed_files(&before, &after).into());
        }
        self.store = Some(self.open_store()?);
        self.is_as_expected()
    }
}
