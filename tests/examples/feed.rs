//! A change feed: a thread keeps its own index, in a file, up to date with all writes. It resumes
//! where it stopped, and rebuilds the index if it cannot: after a restore, or if compaction removed
//! records that it missed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use logkv::{Changes, Cursor, Error, Options, Store};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The residence of each person, and the cursor up to which it is current.
struct Index {
    path: PathBuf,
    cursor: Cursor,
    town_of: BTreeMap<String, String>,
}

impl Index {
    /// The index saved at `path`; `None` at the first start.
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

    /// The index of all that `store` holds now. A feed goes on from the snapshot's cursor, without a gap.
    fn build(store: &Store, path: &Path) -> Result<Self, Failure> {
        let snapshot = store.snapshot()?;
        let mut index = Self { path: path.to_owned(), cursor: snapshot.cursor(), town_of: BTreeMap::new() };
        for entry in snapshot.scan(..)? {
            let entry = entry?;
            index.town_of.insert(text(&entry.meta.key), text(&entry.value));
        }
        index.save()?;
        println!("the index is built anew");
        Ok(index)
    }

    /// Applies the present `changes`: a feed ends between two batches. After an error the saved
    /// index is unchanged.
    fn take_in(&mut self, changes: &mut Changes) -> Result<(), Failure> {
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

    /// Saves the index and its cursor together, durably: a crash leaves the old ones or the new ones.
    fn save(&self) -> Result<(), Failure> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}", self.cursor)?;
        for (person, town) in &self.town_of {
            writeln!(file, "{person}\t{town}")?;
        }
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        Ok(File::open(self.path.parent().expect("it is in a directory"))?.sync_all()?)
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
            if let Err(stopped) = index.take_in(&mut changes) {
                break stopped;
            }
            match changes.wait(Duration::from_secs(60)) {
                Err(Error::Closed) => return Ok(index),
                waited => waited?,
            };
        };
        match stopped.downcast_ref() {
            // Nothing leads from the saved index to what the store is now.
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

/// Opens the store, writes `people` while a thread follows, and returns the index.
fn run(dir: &Path, index: &Path, people: &[(&str, &str)]) -> Result<(), Failure> {
    let store = Store::open(dir)?;
    let follower = thread::spawn({
        let (store, index) = (store.clone(), index.to_owned());
        move || follow(&store, &index)
    });
    for (person, town) in people {
        store.put(person, town)?;
    }
    // The follower sees all of it before it is told that the store is closed.
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
    // The next start goes on from the saved cursor.
    run(&data, &index, &[("alice", "Oslo"), ("bob", "Rome")])?;
    // The store goes back to the backup: its next records have numbers that the index has seen.
    fs::remove_dir_all(&data)?;
    logkv::backup::restore(&copy, &data, &Options::new(), &mut |_| ControlFlow::Continue(()))?;
    run(&data, &index, &[])
}
