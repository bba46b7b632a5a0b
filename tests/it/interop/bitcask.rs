//! Directories of Riak's bitcask: after puts, overwrites, deletes and merges, with tombstones of
//! each kind.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::is_there;
use crate::common::{Map, contents, open, program, scratch, skipped};

const PHASES: [&str; 5] = ["written", "partly_merged", "written_again", "merged", "written_at_last"];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    digits.collect::<Result<_, _>>().expect("hexadecimal digits")
}

/// The contents as bitcask itself reads them.
fn expected(path: &Path) -> Map {
    let text = fs::read_to_string(path).expect("was written");
    let pairs = text.lines().map(|line| line.split_once(' ').expect("two words"));
    pairs.map(|(key, value)| (bytes(key), bytes(value))).collect()
}

/// Whether `dir` holds a tombstone of this kind.
fn has(dir: &Path, tombstone: &[u8]) -> bool {
    let names = fs::read_dir(dir).expect("was written").map(|entry| entry.expect("an entry").path());
    let mut files = names.filter(|path| path.extension().is_some_and(|ending| ending == "data"));
    files.any(|path| {
        let bytes = fs::read(path).expect("was written");
        bytes.windows(tombstone.len()).any(|window| window == tombstone)
    })
}

#[test]
fn an_imported_bitcask_has_the_contents_that_bitcask_itself_reads() {
    const TEST: &str = "an_imported_bitcask_has_the_contents_that_bitcask_itself_reads";
    if !is_there(TEST, "escript") {
        return;
    }
    let dir = scratch();
    fs::write(dir.path().join("work.escript"), include_str!("bitcask.escript")).expect("a script");
    let args = ["work.escript", "cask", "7"];
    let output = Command::new("escript").args(args).current_dir(dir.path()).output().expect("exists");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if said.contains("bitcask.app") {
        return skipped(TEST, "erlang-bitcask is not installed (see .ci/setup)");
    }
    assert!(output.status.success(), "{said}");
    for phase in PHASES {
        let from = format!("cask.{phase}");
        let to = format!("store.{phase}");
        let args = ["--json", "--sync", "never", &to, "import", &from];
        let output = program(dir.path()).args(args).output().expect("the program runs");
        assert!(output.status.success(), "{from}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = expected(&dir.path().join(format!("{from}.expected")));
        assert!(!expected.is_empty());
        assert!(contents(&open(&dir.path().join(&to))) == expected, "{from}");
    }
    // The script itself writes the tombstones of the first kind.
    let all = PHASES.map(|phase| dir.path().join(format!("cask.{phase}")));
    for kind in ["bitcask_tombstone1", "bitcask_tombstone2"] {
        assert!(all.iter().any(|cask| has(cask, kind.as_bytes())), "no tombstone {kind}");
    }
}
