//! The index alone: opening, memory, snapshots. Records are as short as can be, so that ten million keys fit in memory
//! with their log.
//!
//! Each open is timed in a process of its own, so that memory counts from nothing.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use logkv::{Store, Sync};

use crate::harness::{
    Latencies, Memory, Outcome, Size, VALUE, await_hints, drawn, figure, key, plain, processor_secs, ratio,
    remove_files, row, shuffled, timed,
};

/// The first argument of a process that does one thing for this room.
pub(crate) const CHILD: &str = "--child";
/// Writes that a killed process leaves behind.
const LEFT_BEHIND: u64 = 1000;
/// Enough puts, of any keys, for each of the 1,024 shards to be written to.
const ALL_SHARDS: usize = 20_000;

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    let largest = size.keys.unwrap_or(10 * size.count);
    let mut few = None;
    for count in [10, size.count, largest] {
        println!("{count} keys, without values");
        let dir = dir.join(count.to_string());
        let (store, took) = timed(|| filled(&dir, count, ""))?;
        println!("  made in {:.1} s", took.as_secs_f64());
        let ((), took) = timed(|| Ok(store.close()?))?;
        print_time("close, which writes KEYDIR", took);
        let closed = opens(&dir)?;
        ratio("open against that of 10 keys", closed / *few.get_or_insert(closed));
        if count > 10 {
            in_child("memory", &dir, count)?;
        }
        snapshots(&dir, count)?;
        std::fs::remove_dir_all(&dir)?;
    }
    let dir = dir.join("long");
    let tail = "a long tail of a key that the index does not hold, ".repeat(4);
    let stats = filled(&dir, size.count / 4, &tail)?.stats()?;
    let per_key = stats.keydir_len as f64 / stats.key_count as f64;
    figure("keydir of keys of 216 bytes", per_key, "B a key");
    let dir = dir.with_file_name("load");
    in_child("load", &dir, size.count)?;
    Ok(())
}

/// A store of `count` keys in shuffled order, each with `tail` behind it.
fn filled(dir: &Path, count: u64, tail: &str) -> Outcome<Store> {
    let store = Store::open_with(dir, plain().sync(Sync::Buffered(4 << 20)))?;
    for n in shuffled(count) {
        if tail.is_empty() {
            store.put(key(n), "")?;
        } else {
            store.put([&key(n), tail.as_bytes()].concat(), "")?;
        }
    }
    await_hints(&store)?;
    Ok(store)
}

fn print_time(what: &str, took: Duration) {
    figure(&format!("  {what}"), took.as_secs_f64() * 1e3, "ms");
}

/// Open times after all that can have happened before; that of a closed store.
fn opens(dir: &Path) -> Outcome<f64> {
    let time = |what: &str, runs: usize, before: &dyn Fn() -> Outcome| -> Outcome<f64> {
        let mut least = f64::INFINITY;
        for _ in 0..runs {
            before()?;
            least = least.min(in_child("open", dir, 0)?.parse()?);
        }
        figure(&format!("  {what}"), least, "ms");
        Ok(least)
    };
    let closed = time("open, closed cleanly", 9, &|| Ok(()))?;
    time("open, killed after 1,000 more writes", 3, &|| killed(dir))?;
    let without_keydir = time("open, without KEYDIR", 2, &|| remove_files(dir, "KEYDIR"))?;
    let without_hints = time("open, without KEYDIR and hints", 2, &|| {
        remove_files(dir, "KEYDIR")?;
        remove_files(dir, ".hint")
    })?;
    ratio("KEYDIR against hints", without_keydir / closed);
    ratio("hints against data", without_hints / without_keydir);
    Ok(closed)
}

fn command(what: &str, dir: &Path, count: u64) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD, what]).arg(dir).arg(count.to_string());
    Ok(command)
}

/// Has another process do `what`; what it says of it.
fn in_child(what: &str, dir: &Path, count: u64) -> Outcome<String> {
    let output = command(what, dir, count)?.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("the process for `{what}` ended with {}", output.status).into());
    }
    if what != "open" {
        print!("{text}");
    }
    Ok(text.trim().to_owned())
}

/// A process writes to the store and is killed.
fn killed(dir: &Path) -> Outcome {
    let mut child =
        command("leave", dir, LEFT_BEHIND)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    if line.trim() == "written" { Ok(()) } else { Err("nothing was written before the end".into()) }
}

/// What a process does that was started for this room.
pub(crate) fn child(arguments: &[String]) -> Outcome {
    let [what, dir, count] = arguments else { return Err("three arguments are needed".into()) };
    let (dir, count) = (PathBuf::from(dir), count.parse()?);
    match what.as_str() {
        "open" => {
            let (store, took) = timed(|| Ok(Store::open_with(&dir, plain())?))?;
            println!("{}", took.as_secs_f64() * 1e3);
            drop(store);
        }
        "leave" => {
            let store = Store::open_with(&dir, plain())?;
            (0..count).try_for_each(|n| store.put(key(n), "").map(|_| ()))?;
            println!("written");
            std::io::stdin().read_line(&mut String::new())?;
        }
        "memory" => memory(&dir, count)?,
        "load" => load(&dir, count)?,
        other => return Err(format!("no such work: {other}").into()),
    }
    Ok(())
}

/// What the store takes of this process's memory, step by step.
fn memory(dir: &Path, count: u64) -> Outcome {
    let before = Memory::now();
    let store = Store::open_with(dir, plain())?;
    let print = |what: &str| -> Outcome {
        let (now, keydir) = (Memory::now(), store.stats()?.keydir_len);
        let per_key = |len: u64| len as f64 / count as f64;
        println!(
            "  {what:<54} {:>12.2} B a key in the keydir, {:.2} of the process, {:.2} of mapped files",
            per_key(keydir),
            per_key(now.anon.saturating_sub(before.anon)),
            per_key(now.file.saturating_sub(before.file)),
        );
        Ok(())
    };
    print("memory after open")?;
    for n in shuffled(count) {
        black_box(store.get(key(n))?.ok_or("a key is missing")?);
    }
    print("memory after a get of all keys")?;
    drawn(count).take(ALL_SHARDS).try_for_each(|n| store.put(key(n), "").map(|_| ()))?;
    print("memory after writes to all shards")
}

/// A bulk load, with the hints and the KEYDIR that are made along.
fn load(dir: &Path, count: u64) -> Outcome {
    let before = Memory::now();
    let store = Store::open_with(dir, plain().sync(Sync::Buffered(1 << 20)))?;
    let ((), took) = timed(|| Ok(shuffled(count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?))?;
    row(&format!("load of {count} keys in a process of its own"), count, took);
    store.close()?;
    figure("  processor time, in all threads, until it was closed", processor_secs(), "s");
    let peak = Memory::now().peak.saturating_sub(before.anon + before.file);
    figure("  memory of the process, at most", peak as f64 / 1e6, "MB");
    Ok(())
}

/// Snapshots, and what the first writes after one cost.
fn snapshots(dir: &Path, count: u64) -> Outcome {
    let store = Store::open_with(dir, plain())?;
    let put = |n| {
        store.put(key(n), "")?;
        Ok(())
    };
    // From here on every shard is in memory.
    Latencies::of(drawn(count).take(ALL_SHARDS), put)?.print("  put, the first to each shard after open");
    Latencies::of(drawn(count).take(ALL_SHARDS), put)?.print("  put");
    let take = |_| {
        black_box(store.snapshot()?);
        Ok(())
    };
    Latencies::of(0..100, take)?.print("  snapshot");
    let snapshot = store.snapshot()?;
    Latencies::of(drawn(count).take(ALL_SHARDS), put)?.print("  put, the first to each shard after it");
    drop(snapshot);
    Ok(())
}
