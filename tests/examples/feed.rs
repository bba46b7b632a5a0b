//! A change feed: a thread keeps its own index up to date with all writes and saves it in a file.
//! After a restart it resumes at the saved cursor. It rebuilds the index if the feed cannot resume:
//! after a restore, or if compaction removed records that it missed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use logkv::{Changes, Cursor, Error, Options, Store};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The town of each person, and the cursor up to which the index is current.
struct Index {
    path: PathBuf,
    cursor: Cursor,
    town_of: BTreeMap<String, String>,
}

impl Index {
    /// Loads the index from `path`. Returns `None` at the first start.
    fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let mut lines = text.lines();
        let cursor = lines.next().unwrap_or_default().parse()?;
        let pairs = lines.filter_map(|line| line.split_once('\t'));
        let town_of = pairs.map(|(person, town)| (person.to_owned(), town.to_owned())).collect();
        Ok(Some(Self { path: path.to_owned(), cursor, town_of }))
    }

    /// Builds the index from a snapshot of `store`. A feed from the snapshot's cursor has no gap.
    fn build(store: &Store, path: &Path) -> Result<Self, Failure> {
        let snapshot = store.snapshot()?;
        let mut index = Self { path: path.to_owned(), cursor: snapshot.cursor(), town_of: BTreeMap::new() };
        for entry in snapshot.scan(..)? {
            let entry = entry?;
            index.town_of.insert(text(&entry.meta.key), text(&entry.value));
        }
        index.save()?;
        println!("the index is rebuilt");
        Ok(index)
    }

    /// Applies all pending `changes`, which end between two batches. After an error, the saved
    /// index is unchanged.
    fn apply(&mut self, changes: &mut Changes) -> Result<(), Failure> {
        for change in changes.by_ref() {
            let change = change?;
            match change.value {
                Some(town) => drop(self.town_of.insert(text(&change.meta.key), text(&town))),
                None => drop(self.town_of.remove(&text(&change.meta.key))),
            }
        }
        self.cursor = changes.cursor();
        self.save()
    }

    /// Saves the index and its cursor durably. A crash leaves the old file or the new one.
    fn save(&self) -> Result<(), Failure> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}", self.cursor)?;
        for (person, town) in &self.town_of {
            writeln!(file, "{person}\t{town}")?;
        }
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        Ok(File::open(self.path.parent().expect("the path has a parent"))?.sync_all()?)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keeps the index at `path` up to date until the store is closed.
fn follow(store: &Store, path: &Path) -> Result<Index, Failure> {
    let mut saved = Index::load(path)?;
    loop {
        let mut index = match saved.take() {
            Some(index) => index,
            None => Index::build(store, path)?,
        };
        let mut changes = store.changes(index.cursor);
        let stopped = loop {
            if let Err(stopped) = index.apply(&mut changes) {
                break stopped;
            }
            match changes.wait(Duration::from_secs(60)) {
                Err(Error::Closed) => return Ok(index),
                waited => waited?,
            };
        };
        match stopped.downcast_ref() {
            // The feed cannot resume from the saved index, so it is rebuilt.
            Some(
                Error::OtherLineage { .. }
                | Error::BeyondEnd { .. }
                | Error::CompactedAway { .. }
                | Error::GivenUp { .. },
            ) => {}
            _ => return Err(stopped),
        }
    }
}

/// Writes `people` to the store while a thread follows it, then prints the index.
fn run(dir: &Path, index: &Path, people: &[(&str, &str)]) -> Result<(), Failure> {
    let store = Store::open(dir)?;
    let follower = thread::spawn({
        let (store, index) = (store.clone(), index.to_owned());
        move || follow(&store, &index)
    });
    for (person, town) in people {
        store.put(person, town)?;
    }
    // The follower receives every change before it learns that the store is closed.
    store.close()?;
    let index = follower.join().expect("the follower does not panic")?;
    for (person, town) in &index.town_of {
        println!("{person} lives in {town}");
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let [data, copy, index] = ["data", "copy", "index"].map(|name| dir.path().join(name));
    let store = Store::open(&data)?;
    store.put("alice", "Paris")?;
    store.backup(&copy, &mut |_| ControlFlow::Continue(()))?;
    store.close()?;
    run(&data, &index, &[])?;
    // The next run resumes at the saved cursor.
    run(&data, &index, &[("alice", "Oslo"), ("bob", "Rome")])?;
    // After a restore, new records reuse sequence numbers that the index has already seen.
    fs::remove_dir_all(&data)?;
    logkv::backup::restore(&copy, &data, &Options::new(), &mut |_| ControlFlow::Continue(()))?;
    run(&data, &index, &[])
}
