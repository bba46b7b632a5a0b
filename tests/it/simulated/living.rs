//! A store at work on a simulated disk.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use logkv::{Batch, Commit, Compact, CompactionEvent, Error, SegmentState, Snapshot, Store, Sync};

use super::file_system::{MapDir, SimulatedFileSystem};
use super::life::{Birth, Life, Map, Mark, Moment};
use super::look;
use super::plan::{Change, Setting, Step, key};

/// Opens the store that was left at `birth`, looks at it, and takes `steps`.
///
/// # Errors
/// A sentence, when the store is not what it has to be.
pub(crate) fn live(birth: &Birth, setting: &Setting, maps: &MapDir, steps: &[Step]) -> Result<Life, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let maps = maps.clone().filter(|_| setting.maps);
        let file_system = SimulatedFileSystem::on(birth.disk.clone(), birth.seed, maps);
        let mut living = Living::open(birth, setting, file_system)?;
        steps.iter().try_for_each(|step| living.step(step).map_err(|why| format!("{step:?}: {why}")))?;
        living.end()
    }));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}

struct Living {
    file_system: SimulatedFileSystem,
    /// `None` only while it is exchanged.
    store: Option<Store>,
    life: Life,
    mark: Mark,
    /// Writes that told where they stand, and the moments that they made.
    commits: Vec<(usize, Commit)>,
    snapshots: Vec<(Snapshot, Arc<Map>)>,
}

impl Living {
    fn open(birth: &Birth, setting: &Setting, file_system: SimulatedFileSystem) -> Result<Self, String> {
        // Until it is open any of the moments may turn out to be what is there.
        let mark = Mark { issued: birth.moments.len() - 1, ..Mark::default() };
        let life = Life {
            birth: birth.clone(),
            setting: *setting,
            events: Vec::new(),
            moments: birth.moments.clone(),
            marks: vec![mark],
            steps: Vec::new(),
            found: Arc::default(),
        };
        let mut living =
            Self { file_system, store: None, life, mark, commits: Vec::new(), snapshots: Vec::new() };
        if birth.seed.is_multiple_of(8) {
            living.read_only()?;
        }
        let store = living.open_store()?;
        let found = look::at(&store)?;
        let is_found = |moment: &Moment| *moment.map == found;
        let Some(at) = birth.moments.iter().rposition(is_found).filter(|at| *at >= birth.least) else {
            return Err(look::difference(&found, &birth.moments[birth.least..]));
        };
        living.store = Some(store);
        living.life.moments.truncate(at + 1);
        living.life.moments[at].last_seq = birth.last_seq;
        // Nothing newer is on the disk, not even before it was open.
        living.life.marks[0].issued = at;
        // What an open has shown stays: it made durable whatever it found.
        living.mark = Mark { at: 0, durable: at, written: at, acknowledged: at, issued: at };
        living.take_mark();
        living.life.found = Arc::clone(living.now());
        Ok(living)
    }

    /// Who only reads finds one of the moments, too, and leaves the disk alone.
    fn read_only(&self) -> Result<(), String> {
        let before = self.file_system.event_count();
        let options = self.life.setting.options().file_system(Arc::new(self.file_system.clone()));
        let store = match Store::open_with("simulated", options.read_only(true)) {
            Err(Error::Missing { .. }) if self.life.moments[0].map.is_empty() => return Ok(()),
            opened => opened.map_err(|error| format!("no reader opens it: {}", error.sentence()))?,
        };
        let found = look::at(&store)?;
        drop(store);
        let changed = self.file_system.event_count() - before;
        match self.life.moments.iter().any(|moment| *moment.map == found) {
            _ if changed > 0 => Err(format!("a reader changed {changed} things")),
            true => Ok(()),
            false => Err(format!("to a reader {}", look::difference(&found, &self.life.moments))),
        }
    }

    fn open_store(&self) -> Result<Store, String> {
        let options = self.life.setting.options().file_system(Arc::new(self.file_system.clone()));
        let store = Store::open_with("simulated", options)
            .map_err(|error| format!("it does not open: {}", error.sentence()))?;
        match &store.open_report().damage[..] {
            [] => Ok(store),
            damage => Err(format!("it opens with damage: {damage:?}")),
        }
    }

    fn end(mut self) -> Result<Life, String> {
        self.close()?;
        self.life.events = self.file_system.events();
        Ok(self.life)
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between steps")
    }

    fn now(&self) -> &Arc<Map> {
        &self.life.moments[self.mark.issued].map
    }

    fn take_mark(&mut self) {
        self.mark.at = self.file_system.event_count();
        self.life.marks.push(self.mark);
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.life.steps.push((self.file_system.event_count(), step.clone()));
        match step {
            Step::Put(change) => self.write(std::slice::from_ref(change), |store, batch| {
                let Some(logkv::Op::Put { key, value }) = batch.iter().next() else { return Ok(None) };
                store.put(key, value).map(Some)
            }),
            Step::Delete(number) => self.delete(*number),
            Step::Write(changes) => self.write(changes, Store::write),
            Step::Submit(changes) => self.submit(changes),
            Step::Sync => self.all_durable(|store| store.sync()),
            Step::Rotate => self.all_durable(|store| store.rotate().map(drop)),
            Step::Compact(first, count, until) => self.compact_some(*first, *count, *until),
            Step::CompactDue => self.compact(&Compact::Due, None),
            Step::CompactAll => self.compact(&Compact::All, None),
            Step::Snapshot => {
                let snapshot = self.store().snapshot().map_err(|error| error.sentence())?;
                self.snapshots.push((snapshot, Arc::clone(self.now())));
                Ok(())
            }
            Step::Read => self.read(),
            Step::Reopen => self.reopen().map(drop),
            Step::Idle => self.idle(),
        }
    }

    /// Notes that `change` is about to be asked for.
    fn issue(&mut self, changes: &[Change]) -> Batch {
        let Moment { map, last_seq } = self.life.moments[self.mark.issued].clone();
        let (mut map, mut batch) = (Map::clone(&map), Batch::new());
        for (place, (number, len)) in changes.iter().enumerate() {
            let key = key(*number);
            match len {
                Some(len) => {
                    // No two writes of a store's lives put the same value.
                    let mut value =
                        format!("{:x}.{}.{place}:", self.life.birth.seed, self.life.moments.len());
                    value.extend(std::iter::repeat_n('v', *len as usize));
                    batch.put(&key, &value);
                    map.insert(key, value.into_bytes());
                }
                None => {
                    batch.delete(&key);
                    map.remove(&key);
                }
            }
        }
        self.life.moments.push(Moment { map: Arc::new(map), last_seq });
        self.mark.issued = self.life.moments.len() - 1;
        self.take_mark();
        batch
    }

    /// Notes that the caller of moment `at` was told.
    fn acknowledge(&mut self, at: usize, commit: Option<Commit>) -> Result<(), String> {
        self.mark.acknowledged = at;
        match self.life.setting.sync {
            Sync::Always => (self.mark.durable, self.mark.written) = (at, at),
            Sync::Every(_) | Sync::Never => self.mark.written = at,
            Sync::Buffered(_) => {}
        }
        if let Some(commit) = commit {
            let before = self.life.moments[at - 1].last_seq;
            if commit.first.0 <= before {
                return Err(format!("number {} is given out after {before}", commit.first));
            }
            self.life.moments[at..].iter_mut().for_each(|moment| moment.last_seq = commit.last.0);
            if let Some((before, last)) = self.commits.last()
                && last.location.segment != commit.location.segment
            {
                // It is in a segment that is sealed, and sealing syncs.
                self.mark.durable = self.mark.durable.max(*before);
                self.mark.written = self.mark.written.max(*before);
            }
            self.commits.push((at, commit));
        }
        self.take_mark();
        Ok(())
    }

    fn write(
        &mut self,
        changes: &[Change],
        write: impl FnOnce(&Store, &Batch) -> logkv::Result<Option<Commit>>,
    ) -> Result<(), String> {
        let batch = self.issue(changes);
        let commit = write(self.store(), &batch).map_err(|error| error.sentence())?;
        self.acknowledge(self.mark.issued, commit)
    }

    fn delete(&mut self, number: u64) -> Result<(), String> {
        let was_there = self.now().contains_key(&key(number));
        self.issue(&[(number, None)]);
        match self.store().delete(key(number)).map_err(|error| error.sentence())? {
            told if told == was_there => self.acknowledge(self.mark.issued, None),
            told => Err(format!("the key was there: {was_there}, and the delete says {told}")),
        }
    }

    fn submit(&mut self, changes: &[Change]) -> Result<(), String> {
        let mut waiting = Vec::new();
        for change in changes {
            let batch = self.issue(std::slice::from_ref(change));
            let pending = self.store().submit(&batch).map_err(|error| error.sentence())?;
            waiting.push((self.mark.issued, pending));
        }
        if let (Sync::Always, Some((number, Some(_)))) = (self.life.setting.sync, changes.last()) {
            // What anyone has seen survives.
            let seen = self.store().get(key(*number)).map_err(|error| error.sentence())?;
            if seen.as_deref() == self.now().get(&key(*number)).map(Vec::as_slice) {
                self.mark.durable = self.mark.issued;
                self.take_mark();
            }
        }
        for (at, pending) in waiting {
            let commit = pending.wait().map_err(|error| error.sentence())?;
            self.acknowledge(at, commit)?;
        }
        Ok(())
    }

    /// Does what makes everything durable that was acknowledged.
    fn all_durable(&mut self, act: impl FnOnce(&Store) -> logkv::Result<()>) -> Result<(), String> {
        act(self.store()).map_err(|error| error.sentence())?;
        (self.mark.durable, self.mark.written) = (self.mark.issued, self.mark.issued);
        self.take_mark();
        Ok(())
    }

    fn compact_some(&mut self, first: u64, count: u64, until: Option<u64>) -> Result<(), String> {
        let segments = self.store().segments().map_err(|error| error.sentence())?;
        let sealed = segments.iter().filter(|segment| segment.state == SegmentState::Sealed);
        let run: Vec<_> =
            sealed.map(|segment| segment.id).skip(first as usize).take(count as usize).collect();
        self.compact(&Compact::Segments(run), until)
    }

    /// Compacts; `until` counts the stages to go before it is broken off.
    fn compact(&mut self, what: &Compact, until: Option<u64>) -> Result<(), String> {
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
        self.store().compact_with(what, &mut observe).map_err(|error| error.sentence())?;
        self.revealed();
        Ok(())
    }

    /// Notes that what was held back in the process was handed over.
    fn revealed(&mut self) {
        self.mark.written = self.mark.issued;
        self.take_mark();
    }

    fn read(&mut self) -> Result<(), String> {
        self.is_as_expected()?;
        look::at_figures(self.store())?;
        look::at_files(self.store(), &self.file_system.disk().image())?;
        for (snapshot, map) in &self.snapshots {
            look::at_snapshot(snapshot, map)?;
        }
        let durable = self.store().stats().map_err(|error| error.sentence())?.durable_seq;
        // What the store itself calls durable.
        let claimed = self.commits.iter().rfind(|(_, commit)| Some(commit.last) <= durable);
        self.mark.durable = self.mark.durable.max(claimed.map_or(0, |(at, _)| *at));
        self.revealed();
        Ok(())
    }

    fn is_as_expected(&self) -> Result<(), String> {
        let found = look::at(self.store())?;
        let expected = &self.life.moments[self.mark.issued..];
        if found == *expected[0].map { Ok(()) } else { Err(look::difference(&found, expected)) }
    }

    fn close(&mut self) -> Result<(), String> {
        let store = self.store.take().expect("open between steps");
        store.close().map_err(|error| error.sentence())?;
        (self.mark.durable, self.mark.written) = (self.mark.issued, self.mark.issued);
        self.take_mark();
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.close()?;
        let store = self.open_store()?;
        let report = store.open_report();
        if report.unclean || report.torn.is_some() || !report.orphans_removed.is_empty() {
            return Err(format!("it was closed, and opened with {report:?}"));
        }
        self.store = Some(store);
        self.is_as_expected()
    }

    fn idle(&mut self) -> Result<(), String> {
        self.reopen()?;
        self.close()?;
        let before = self.file_system.disk().image();
        let store = self.open_store()?;
        store.close().map_err(|error| error.sentence())?;
        let after = self.file_system.disk().image();
        if before != after {
            return Err(look::changed_files(&before, &after));
        }
        self.store = Some(self.open_store()?);
        self.is_as_expected()
    }
}
