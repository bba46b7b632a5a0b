//! The keydir compared with a map, in memory and through its file, intact and damaged.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use proptest::prelude::*;

use super::file::{Rebuild, write_to};
use super::slot::{ADDRESS_MASK, SHARD_BITS};
use super::*;
use crate::engine::base::error::Error;
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::AtomicUsize;
use crate::engine::format::key_hash;
use crate::engine::format::keydir_file::{Covering, decode, head_len};
use crate::engine::format::segment_header::StoreId;
use crate::engine::fs::{Access, FileSystem, OsFileSystem, StoreFile, read_exact_at, write_all_at};

type Model = BTreeMap<u16, Address>;

/// Returns hashes with few tags in shard 0, so that runs are long and tags collide.
fn colliding_hash(key: u16) -> u64 {
    (u64::from(key) % 7) << (u64::BITS - SHARD_BITS - 3)
}

fn spread_hash(key: u16) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn covering() -> Covering {
    Covering { store: StoreId([7; 16]), hash_seed: 7, covered_seq: Seqno(9), segments: Vec::new() }
}

fn failure(source: io::Error) -> Error {
    Error::Io { action: "write", path: "KEYDIR".into(), source }
}

fn written(keydir: &Keydir) -> Vec<u8> {
    let mut bytes = Vec::new();
    let len = write_to(&keydir.snapshot(), covering(), &mut |part, at| {
        let end = at as usize + part.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[at as usize..end].copy_from_slice(part);
        Ok(())
    });
    assert_eq!(len.expect("the shards are intact"), bytes.len() as u64);
    bytes
}

/// Writes `keydir` to a file, flips bit `flip` of the slots (modulo their length), and maps the
/// file.
fn through_a_file(keydir: &Keydir, flip: Option<usize>, rebuild: Rebuild) -> Keydir {
    let path = tempfile::tempdir().expect("it can create a directory");
    let directory = OsFileSystem.open_directory(path.path()).expect("the directory exists");
    let file = directory.open(StoreFile::Manifest, Access::Create).expect("it can create a file");
    let mut sink = |bytes: &[u8], at| write_all_at(&*file, bytes, at).map_err(failure);
    let len = write_to(&keydir.snapshot(), covering(), &mut sink).expect("the file can be written");
    let slots_at = head_len(0);
    if let Some(flip) = flip.filter(|_| slots_at < len) {
        let bit = flip as u64 % ((len - slots_at) * 8);
        let at = slots_at + bit / 8;
        let mut byte = [0];
        read_exact_at(&*file, &mut byte, at).expect("the slots include this byte");
        write_all_at(&*file, &[byte[0] ^ (1 << (bit % 8))], at).expect("the file can be written");
    }
    let mapping = file.map(len).expect("the file can be mapped").expect("the platform supports mapping");
    mapping.expose(len);
    let head =
        decode(mapping.bytes(0..len as usize).expect("all is exposed"), len).expect("the head is intact");
    Keydir::mapped(mapping, &head, Box::from([0..u64::MAX / 2, u64::MAX / 2..u64::MAX]), rebuild)
        .expect("the machine is little-endian")
}

fn of(model: &Model, hash: fn(u16) -> u64) -> Keydir {
    let keydir = Keydir::new();
    model.iter().for_each(|(&key, &address)| keydir.insert(hash(key), address));
    keydir
}

fn rebuild_of(model: Model, hash: fn(u16) -> u64) -> Rebuild {
    Box::new(move |_| Ok(of(&model, hash)))
}

fn never() -> Rebuild {
    Box::new(|shard| panic!("shard {shard} is not damaged"))
}

/// Returns an index of 1,000 keys, and the model of it.
fn thousand() -> (Keydir, Model) {
    let model: Model = (1..=1000).map(|key| (key, Address(key.into()))).collect();
    (of(&model, spread_hash), model)
}

fn assert_is(keydir: &Keydir, model: &Model) {
    for (&key, &address) in model {
        assert!(keydir.points_to(spread_hash(key), address).expect("the shard can be read"), "key {key}");
    }
    assert_eq!(keydir.count(), model.len() as u64);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16),
    Remove(u16),
    Snapshot,
    /// Reopens from a file with a flipped bit in a slot.
    Reopen(Option<usize>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        120 => (0u16..300).prop_map(Step::Put),
        60 => (0u16..300).prop_map(Step::Remove),
        4 => Just(Step::Snapshot),
        1 => prop::option::of(any::<usize>()).prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 0..600)
}

/// Works like a store: `log` maps an address to its key, and a lookup compares keys of candidates.
struct Machine {
    hash: fn(u16) -> u64,
    keydir: Keydir,
    model: Model,
    log: Vec<u16>,
    snapshots: Vec<(KeydirSnapshot, Model)>,
}

impl Machine {
    fn find(&self, key: u16) -> Option<Address> {
        let candidates = self.keydir.candidates((self.hash)(key)).expect("the shard can be read");
        candidates.iter().find(|address| self.log[address.0 as usize] == key)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(key) => {
                let hash = (self.hash)(key);
                let new = Address(self.log.len() as u64);
                match self.find(key) {
                    Some(old) => assert!(self.keydir.replace(hash, old, new)),
                    None => self.keydir.insert(hash, new),
                }
                self.log.push(key);
                self.model.insert(key, new);
            }
            Step::Remove(key) => {
                let old = self.find(key);
                let removed = old.is_some_and(|old| self.keydir.remove((self.hash)(key), old));
                assert_eq!(removed, self.model.remove(&key).is_some());
            }
            Step::Snapshot => self.snapshots.push((self.keydir.snapshot(), self.model.clone())),
            Step::Reopen(flip) => {
                let rebuild = rebuild_of(self.model.clone(), self.hash);
                self.keydir = through_a_file(&self.keydir, flip, rebuild);
                assert_eq!(self.keydir.count(), self.model.len() as u64);
            }
        }
    }

    fn check(&mut self) {
        assert_eq!(self.keydir.count(), self.model.len() as u64);
        for key in 0..300 {
            assert_eq!(self.find(key), self.model.get(&key).copied(), "key {key}");
        }
        for shard in &self.keydir.shards {
            let shard = Arc::clone(&shard.read());
            assert!(shard.table().expect("the shard can be read").is_sound());
        }
        self.step(&Step::Snapshot);
        for (snapshot, model) in &self.snapshots {
            self.check_snapshot(snapshot, model);
        }
    }

    fn check_snapshot(&self, snapshot: &KeydirSnapshot, model: &Model) {
        let mut seen: Vec<_> =
            snapshot.addresses().map(|address| address.expect("the shard can be read")).collect();
        seen.sort();
        let mut wanted: Vec<_> = model.values().copied().collect();
        wanted.sort();
        assert_eq!(seen, wanted);
        assert_eq!(snapshot.count(), model.len() as u64);
        for (&key, &address) in model {
            let hash = (self.hash)(key);
            let candidates = snapshot.candidates(hash).expect("the shard can be read");
            assert!(candidates.iter().any(|found| found == address));
            assert!(candidates.iter().all(|found| found != Address(ADDRESS_MASK)));
        }
    }
}

fn run(steps: &[Step], hash: fn(u16) -> u64) {
    let mut machine = Machine {
        hash,
        keydir: Keydir::new(),
        model: Model::new(),
        log: vec![u16::MAX],
        snapshots: Vec::new(),
    };
    steps.iter().for_each(|step| machine.step(step));
    machine.check();
}

proptest! {
    #[test]
    fn the_index_behaves_as_a_map_when_hashes_collide(steps in steps()) {
        run(&steps, colliding_hash);
    }

    #[test]
    fn the_index_behaves_as_a_map_when_hashes_are_spread(steps in steps()) {
        run(&steps, spread_hash);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_slots_changes_no_answer() {
    let model: Model = (1..=40).map(|key| (key, Address(key.into()))).collect();
    let keydir = of(&model, colliding_hash);
    let bit_count = (written(&keydir).len() as u64 - head_len(0)) as usize * 8;
    for flip in (0..bit_count).step_by(7) {
        let mapped = through_a_file(&keydir, Some(flip), rebuild_of(model.clone(), colliding_hash));
        for (&key, &address) in &model {
            assert!(
                mapped.points_to(colliding_hash(key), address).expect("the shard can be read"),
                "key {key}, bit {flip}"
            );
        }
        assert_eq!(mapped.snapshot().addresses().count(), model.len(), "bit {flip}");
    }
}

#[test]
fn a_failed_rebuild_is_an_error_and_the_next_lookup_tries_again() {
    let (keydir, model) = thousand();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let rebuilt = model.clone();
    let rebuild: Rebuild = Box::new(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Err(Error::Closed),
        _ => Ok(of(&rebuilt, spread_hash)),
    });
    let mapped = through_a_file(&keydir, Some(0), rebuild);
    let results = || model.keys().map(|&key| mapped.candidates(spread_hash(key)));
    assert_eq!(results().filter(Result::is_err).count(), 1);
    assert_is(&mapped, &model);
    assert_eq!(attempts.load(Ordering::Relaxed), 2, "a rebuilt shard is not rebuilt again");
}

#[test]
fn all_threads_and_snapshots_share_one_rebuild_of_a_damaged_shard_and_the_count_is_corrected() {
    let (keydir, mut model) = thousand();
    let first_shard =
        (0..SHARD_COUNT).find(|&index| model.keys().any(|&key| shard_of(spread_hash(key)) == index));
    model.retain(|&key, _| Some(shard_of(spread_hash(key))) != first_shard);
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let rebuilt = model.clone();
    let rebuild: Rebuild = Box::new(move |shard| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(Some(shard), first_shard);
        // Lets the other threads reach this shard.
        std::thread::sleep(Duration::from_millis(20));
        Ok(of(&rebuilt, spread_hash))
    });
    let mapped = through_a_file(&keydir, Some(0), rebuild);
    let snapshot = mapped.snapshot();
    assert_eq!((mapped.count(), snapshot.count()), (1000, 1000), "the count of the head");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 1..=1000 {
                    mapped.candidates(spread_hash(key)).expect("the shard can be read");
                }
            });
        }
    });
    assert_is(&mapped, &model);
    assert_eq!(snapshot.count(), model.len() as u64);
    assert_eq!(snapshot.addresses().filter(Result::is_ok).count(), model.len());
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
}

#[test]
fn a_mapped_shard_is_copied_on_its_first_write_and_not_before() {
    let keydir = Keydir::new();
    let hash = |key: u64| key_hash(7, &key.to_le_bytes());
    (1..=100_000).for_each(|key| keydir.insert(hash(key), Address(key)));
    let mapped = through_a_file(&keydir, None, never());
    let empty_len = Keydir::new().memory_len();
    let snapshot = mapped.snapshot();
    for key in 1..=100_000 {
        assert!(mapped.points_to(hash(key), Address(key)).expect("the shard can be read"));
    }
    assert_eq!(mapped.memory_len(), empty_len);
    assert!(mapped.replace(hash(1), Address(1), Address(100_001)));
    let copied_len = mapped.memory_len() - empty_len;
    assert!((1..4096).contains(&copied_len), "one shard of about 100 keys, not {copied_len} bytes");
    let candidates = snapshot.candidates(hash(1)).expect("the shard can be read");
    assert!(candidates.iter().any(|found| found == Address(1)));
}

#[test]
fn a_mapped_keydir_is_written_as_the_same_bytes() {
    let (keydir, _) = thousand();
    let mapped = through_a_file(&keydir, None, never());
    assert_eq!(written(&mapped), written(&keydir));
    let empty = through_a_file(&Keydir::new(), None, never());
    assert_eq!((empty.count(), written(&empty)), (0, written(&Keydir::new())));
}

#[test]
fn a_failed_write_of_the_file_is_an_error() {
    let (keydir, _) = thousand();
    let full =
        write_to(&keydir.snapshot(), covering(), &mut |_, _| Err(failure(io::ErrorKind::StorageFull.into())));
    assert!(matches!(full, Err(Error::Io { .. })));
}

#[test]
fn threads_with_separate_shards_fill_one_keydir() {
    let model: Model = (1..=3000).map(|key| (key, Address(key.into()))).collect();
    let keydir = Keydir::new();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let mine = move |key: &u16| shard_of(spread_hash(*key)) % 4 == part;
            let keydir = &keydir;
            let model = &model;
            scope.spawn(move || {
                for (&key, &address) in model.iter().filter(|(key, _)| mine(key)) {
                    keydir.insert(spread_hash(key), address);
                }
            });
        }
    });
    assert_is(&keydir, &model);
}

#[test]
fn a_key_takes_at_most_twelve_bytes() {
    let keydir = Keydir::new();
    let mut worst: f64 = 0.0;
    for key in 1..=1_000_000_u64 {
        keydir.insert(key_hash(7, &key.to_le_bytes()), Address(key));
        if key >= 500_000 && key.is_multiple_of(50_000) {
            worst = worst.max(keydir.memory_len() as f64 / key as f64);
        }
    }
    assert!(worst <= 12.0, "{worst} bytes a key");
}
