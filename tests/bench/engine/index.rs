//! The index: opening, memory and snapshots. Records have no values, so that ten million keys fit
//! in memory with their log.
//!
//! Each open is timed in a new process, so that its memory is measured alone.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use logkv::{Store, Sync};

use crate::harness::{
    Latencies, Memory, Outcome, Size, VALUE, await_hints, cpu_secs, figure, key, plain, random, ratio,
    remove_files, row, shuffled, timed,
};

/// The first argument of a child process.
pub(crate) const CHILD: &str = "--child";
/// The count of writes of a process before it is killed.
const UNCLOSED_WRITES: u64 = 1000;
/// The count of puts of random keys that reaches each of the 1,024 shards.
const ALL_SHARDS: usize = 20_000;

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    let largest = size.keys.unwrap_or(10 * size.count);
    let mut ten_keys = None;
    for count in [10, size.count, largest] {
        println!("{count} keys, without values");
        let dir = dir.join(count.to_string());
        let (store, took) = timed(|| filled(&dir, count, ""))?;
        println!("  made in {:.1} s", took.as_secs_f64());
        let ((), took) = timed(|| Ok(store.close()?))?;
        print_time("close, which writes KEYDIR", took);
        let closed = opens(&dir)?;
        ratio("open against a store of 10 keys", closed / *ten_keys.get_or_insert(closed));
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

/// Makes a store of `count` keys in shuffled order, each followed by `tail`.
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

/// Measures opening the store in its possible states. Returns the time for a closed store.
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

/// Runs `what` in a child process. Returns its output.
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

/// Kills a child process after it wrote to the store.
fn killed(dir: &Path) -> Outcome {
    let mut child =
        command("write", dir, UNCLOSED_WRITES)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    if line.trim() == "written" { Ok(()) } else { Err("the process ended before it wrote".into()) }
}

/// Runs a child process.
pub(crate) fn child(arguments: &[String]) -> Outcome {
    let [what, dir, count] = arguments else { return Err("three arguments are needed".into()) };
    let dir = PathBuf::from(dir);
    let count = count.parse()?;
    match what.as_str() {
        "open" => {
            let (store, took) = timed(|| Ok(Store::open_with(&dir, plain())?))?;
            println!("{}", took.as_secs_f64() * 1e3);
            drop(store);
        }
        "write" => {
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

/// Prints the memory of this process after each step.
fn memory(dir: &Path, count: u64) -> Outcome {
    let before = Memory::now();
    let store = Store::open_with(dir, plain())?;
    let print = |what: &str| -> Outcome {
        let now = Memory::now();
        let keydir = store.stats()?.keydir_len;
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
    random(count).take(ALL_SHARDS).try_for_each(|n| store.put(key(n), "").map(|_| ()))?;
    print("memory after writes to all shards")
}

/// Measures a bulk load, including hints and KEYDIR.
fn load(dir: &Path, count: u64) -> Outcome {
    let before = Memory::now();
    let store = Store::open_with(dir, plain().sync(Sync::Buffered(1 << 20)))?;
    let ((), took) = timed(|| Ok(shuffled(count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?))?;
    row(&format!("load of {count} keys in a process of its own"), count, took);
    store.close()?;
    figure("  CPU time of all threads, including close", cpu_secs(), "s");
    let peak = Memory::now().peak.saturating_sub(before.anon + before.file);
    figure("  peak memory of the process", peak as f64 / 1e6, "MB");
    Ok(())
}

/// Measures snapshots, and the first writes after one.
fn snapshots(dir: &Path, count: u64) -> Outcome {
    let store = Store::open_with(dir, plain())?;
    let put = |n| {
        store.put(key(n), "")?;
        Ok(())
    };
    // These puts load every shard into memory.
    Latencies::of(random(count).take(ALL_SHARDS), put)?.print("  put, the first to each shard after open");
    Latencies::of(random(count).take(ALL_SHARDS), put)?.print("  put");
    let take = |_| {
        black_box(store.snapshot()?);
        Ok(())
    };
    Latencies::of(0..100, take)?.print("  snapshot");
    let snapshot = store.snapshot()?;
    Latencies::of(random(count).take(ALL_SHARDS), put)?.print("  put, the first to each shard after it");
    drop(snapshot);
    Ok(())
}
