//! `kill -9` of the real program, at random moments, under every sync policy. See
//! [`crate::scripted`].
//!
//! `LOGKV_KILLS` is the number of kills for each policy. `LOGKV_SEED` repeats a script, but not the
//! moment of a kill.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use logkv::{Batch, Store};

use crate::common::{Random, copy_of, killed, open, program, quick, scratch, segment_path};
use crate::scripted::{Contents, Running, Steps, texts};

fn kills() -> u64 {
    std::env::var("LOGKV_KILLS").map_or(20, |text| text.parse().expect("LOGKV_KILLS is a number"))
}

/// Kills a writing program again and again, and checks the store after each kill.
fn kill_writers(policy: &str) {
    let mut steps = Steps::new(Random::announced());
    let dir = scratch();
    let path = dir.path().join("store");
    let mut before = Contents::new();
    let mut torn_count = 0;
    for round in 0..kills() {
        let mut running = Running::start(dir.path(), &path, policy);
        running.work(&mut steps);
        let (after, last) = (Duration::from_micros(steps.random.below(15_000)), steps.take(200));
        let cut = running.cut_off(after, last, || {});
        assert_eq!(cut.errors, "", "round {round}");
        let least = if policy.starts_with("buffered") { cut.synced() } else { cut.acknowledged };
        // In every other round the next program opens the store as the kill left it, since a reader
        // repairs nothing.
        let store = Store::open_with(&path, quick().read_only(round % 2 == 0));
        let store = match store {
            Err(logkv::Error::Missing { .. }) if least == 0 && before.is_empty() => continue,
            opened => opened.expect("opens after a kill"),
        };
        assert_eq!(store.open_report().damage, [], "round {round}");
        torn_count += u32::from(store.open_report().torn.is_some());
        let found = texts(&store);
        let Some(taken) = cut.taken(&before, least, &found) else {
            let all = cut.steps.len();
            panic!("round {round}: no state after {least} to {all} steps equals {}", dir.keep().display());
        };
        let (all, acknowledged) = (cut.steps.len(), cut.acknowledged);
        println!("{policy}, round {round}: {all} steps, {acknowledged} acknowledged, {taken} there");
        before = found;
    }
    println!("{policy}: {torn_count} torn tails");
    let store = open(&path);
    assert_eq!(texts(&store), before);
    store.put("after all kills", "it writes on").expect("a put");
    store.close().expect("closes");
    assert_eq!(texts(&open(&path)).len(), before.len() + 1);
}

#[test]
fn kill_9_loses_no_acknowledged_write_under_always() {
    kill_writers("always");
}

#[test]
fn kill_9_loses_no_acknowledged_write_under_an_interval() {
    kill_writers("5ms");
}

#[test]
fn kill_9_loses_no_acknowledged_write_under_never() {
    kill_writers("never");
}

#[test]
fn kill_9_under_buffered_loses_no_synced_write_and_leaves_no_gap() {
    kill_writers("buffered:16KiB");
}

#[test]
fn kill_9_during_an_open_loses_nothing_and_the_next_open_finishes_the_recovery() {
    let mut random = Random::announced();
    let dir = scratch();
    let store = open(dir.path());
    for thousand in 0..30 {
        let mut batch = Batch::new();
        for n in 0..1000 {
            batch.put(format!("key{n}"), format!("{thousand}:{}", "v".repeat(100)));
        }
        store.write(&batch).expect("a batch");
    }
    let expected = texts(&store);
    let dir = killed(store, dir.path());
    // Work for the recovery: a long log to read, a torn tail to truncate, a file to remove.
    let mut active = OpenOptions::new().append(true).open(segment_path(dir.path(), 1)).expect("the segment");
    active.write_all(&[0xa5; 1000]).expect("tears the end");
    std::fs::write(segment_path(dir.path(), 99), "").expect("an unfinished segment file");
    let start =
        |dir: &Path| program(dir).args(["--quiet", ".", "put", "by", "the program"]).spawn().expect("starts");

    let started = Instant::now();
    let copy = copy_of(dir.path());
    assert!(start(copy.path()).wait().expect("exits").success());
    let longest = started.elapsed().as_micros() as u64;

    for _ in 0..kills().div_ceil(4) {
        let copy = copy_of(dir.path());
        for _ in 0..4 {
            let mut child = start(copy.path());
            std::thread::sleep(Duration::from_micros(random.below(longest)));
            child.kill().expect("exists");
            child.wait().expect("exits");
        }
        let store = open(copy.path());
        let mut found = texts(&store);
        // The program may have started to write.
        found.remove("by");
        assert!(found == expected, "{} keys of {}", found.len(), expected.len());
        store.put("new", "it writes on").expect("a put");
        store.close().expect("closes");
        assert_eq!(open(copy.path()).get("new").expect("reads").expect("exists"), b"it writes on");
        assert!(!segment_path(copy.path(), 99).exists(), "the leftover file was not removed");
    }
}
