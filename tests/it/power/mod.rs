//! Power cuts and kills at any call of random steps: writes, batches, seals, compactions, reopening. What the next open
//! finds is what had been written up to some moment, and nothing that was promised is missing.

mod disk;

use std::fs;
use std::sync::Arc;

use logkv::{Batch, Compact, Options, Store, Sync};
use tempfile::TempDir;

use self::disk::{Cut, Shared};
use crate::common::{Map, Random, assert_counted, assert_is, contents, scratch, sealed};
use crate::hooked::{FreeSyncs, hooked};

const STEPS: u64 = 50;
const KEYS: u64 = 6;

/// A store on such a disk, and what it was after each change.
struct Run {
    dir: TempDir,
    disk: Shared,
    options: Options,
    store: Option<Store>,
    states: Vec<Map>,
    random: Random,
    /// Whether what is acknowledged is durable: for a power cut, or because there is none.
    is_certain: bool,
}

impl Run {
    fn new(mut random: Random) -> Self {
        let sync = if random.below(2) == 0 { Sync::Always } else { Sync::Never };
        let only_kills = random.below(4) == 0;
        let disk = Shared::new(random.fork(), only_kills);
        let options = Options::new()
            .sync(sync)
            .background(random.below(3) == 0)
            .segment_len_max(200 + random.below(600))
            .checkpoint_records(1 + random.below(5))
            .file_system(Arc::new(disk.clone()));
        let dir = scratch();
        let store = Store::open_with(dir.path(), options.clone()).expect("opens");
        let is_certain = only_kills || sync == Sync::Always;
        Self { dir, disk, options, store: Some(store), states: vec![Map::new()], random, is_certain }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between steps")
    }

    /// All that was done is durable.
    fn promise(&self) {
        self.disk.with(|disk| disk.told.durable = disk.told.done);
    }

    fn write(&mut self, change_count: u64, number: u64) {
        let (mut batch, mut map) = (Batch::new(), self.states.last().expect("the first").clone());
        for _ in 0..change_count {
            let key = format!("k{}", self.random.below(KEYS)).into_bytes();
            if self.random.below(4) == 0 {
                batch.delete(&key);
                map.remove(&key);
            } else {
                let value = number.to_string().repeat(self.random.below(20) as usize).into_bytes();
                batch.put(&key, &value);
                map.insert(key, value);
            }
        }
        self.states.push(map);
        self.disk.with(|disk| disk.told.begun = self.states.len() - 1);
        self.store().write(&batch).expect("a batch");
        self.disk.with(|disk| disk.told.done = disk.told.begun);
        if self.is_certain {
            self.promise();
        }
    }

    fn step(&mut self, number: u64) {
        match self.random.below(20) {
            0..12 => self.write(1, number),
            12 | 13 => self.write(4, number),
            14 => {
                self.store().sync().expect("syncs");
                self.promise();
            }
            15 => drop(self.store().rotate().expect("rotates")),
            16 => drop(self.store().compact(&Compact::All).expect("compacts")),
            17 | 18 => {
                let (skipped, count) = (self.random.below(4) as usize, 1 + self.random.below(3) as usize);
                let run = sealed(self.store()).into_iter().skip(skipped).take(count).collect();
                // The background may have been there first.
                drop(self.store().compact(&Compact::Segments(run)));
            }
            _ => {
                self.store.take().expect("open").close().expect("closes");
                self.promise();
                self.store = Some(Store::open_with(self.dir.path(), self.options.clone()).expect("opens"));
            }
        }
    }
}

/// The store that a cut leaves opens, is what it was at a moment that may be, and goes on from there.
fn assert_recovers(cut: &Cut, states: &[Map], what: &str) {
    if !cut.files.contains_key("MANIFEST") {
        return assert_eq!(cut.told.done, 0, "{what}: the store was there");
    }
    let dir = scratch();
    for (name, bytes) in &cut.files {
        fs::write(dir.path().join(name), bytes).expect("a file");
    }
    let options = Options::new().background(false).segment_len_max(400).checkpoint_records(3);
    let options = options.file_system(hooked(FreeSyncs));
    let reader = Store::open_with(dir.path(), options.clone().read_only(true));
    drop(contents(&reader.expect("a reader opens")));
    let store = Store::open_with(dir.path(), options.clone()).expect("opens");
    assert_eq!(store.open_report().damage, [], "{what}");
    let mut map = contents(&store);
    assert!(states[cut.told.durable..=cut.told.begun].contains(&map), "{what}: {map:?}");
    assert_counted(&store, what);
    store.put("after", "the cut").expect("a put");
    map.insert(b"after".to_vec(), b"the cut".to_vec());
    store.compact(&Compact::All).expect("compacts");
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), options).expect("opens again");
    assert!(!store.open_report().unclean, "{what}");
    assert_is(&store, &map, what);
    assert_counted(&store, what);
}

/// How many stores are tried; LOGKV_CUTS makes it a soak.
fn runs() -> u64 {
    std::env::var("LOGKV_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(8)
}

#[test]
fn a_power_cut_or_a_kill_at_any_call_leaves_what_was_written_up_to_some_moment() {
    let mut random = Random::announced();
    for _ in 0..runs() {
        let mut run = Run::new(random.fork());
        (0..STEPS).for_each(|number| run.step(number));
        run.store = None;
        for cut in run.disk.with(|disk| std::mem::take(&mut disk.cuts)) {
            let what = format!("before {}, {:?}", cut.before, cut.told);
            assert_recovers(&cut, &run.states, &what);
        }
    }
}
