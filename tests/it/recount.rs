//! An independent count of a store's contents. It reads the log itself from the layout of MANIFEST,
//! segments and records, and uses no index, hint or filter.
//!
//! Tests compact through [`Recounted`]: afterwards the index must equal this count, in the open
//! store and in a copy that is opened without KEYDIR and hints.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use logkv::{Compact, CompactionEvent, CompactionReport, ManualClock, Options, ReadWith, Result, Store};

use crate::common::{quick, record_crc, scratch, segment_path};

/// The length of log up to which a copy is opened as well, in bytes. Opening reads all of it.
const REPLAYED_LEN_MAX: u64 = 4 << 20;

/// The newest record of a key, if it is a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastPut {
    pub(crate) seq: u64,
    pub(crate) segment: u64,
    pub(crate) at: u64,
    pub(crate) expires_ms: Option<u64>,
}

/// The keys whose newest record is a put, expired or not.
pub(crate) type LastPuts = BTreeMap<Vec<u8>, LastPut>;

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The segments in MANIFEST, in log order, each with its length if MANIFEST has one.
fn listed(manifest: &str) -> Vec<(u64, Option<usize>)> {
    let lines = manifest.lines().filter_map(|line| line.strip_prefix("segment "));
    let of = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let id = words[0].parse().expect("a number");
        let len = words.windows(2).find(|pair| pair[0] == "sealed" || pair[0] == "closed");
        (id, len.map(|pair| pair[1].parse().expect("a length")))
    };
    lines.map(of).collect()
}

/// The contents of the log in `manifest`. `read` returns the bytes of a segment.
pub(crate) fn of_log(manifest: &str, mut read: impl FnMut(u64) -> Vec<u8>) -> LastPuts {
    let (mut puts, mut last_seq) = (LastPuts::new(), 0);
    for (segment, len) in listed(manifest) {
        let mut bytes = read(segment);
        bytes.truncate(len.unwrap_or(bytes.len()));
        let (header_len, record_header_len) =
            (number(&bytes, 12, 2) as usize, number(&bytes, 14, 2) as usize);
        let salt = bytes[56..60].to_vec();
        let mut at = header_len;
        while at < bytes.len() {
            let (seq, kind, flags) = (number(&bytes, at + 8, 8), bytes[at + 30], bytes[at + 31]);
            let (key_len, value_len) =
                (number(&bytes, at + 28, 2) as usize, number(&bytes, at + 24, 4) as usize);
            let body = at + record_header_len;
            let expires_ms = (flags & 1 != 0).then(|| number(&bytes, body, 8));
            let key_at = body + if expires_ms.is_some() { 8 } else { 0 };
            let end = key_at + key_len.next_multiple_of(8) + value_len.next_multiple_of(8);
            let crc = record_crc(&salt, at, &bytes[at + 8..end]);
            assert_eq!(bytes[at + 4..at + 8], crc, "checksum of the record at {at} of segment {segment}");
            assert!(seq > last_seq, "record {seq} of segment {segment} follows {last_seq}");
            last_seq = seq;
            let key = bytes[key_at..key_at + key_len].to_vec();
            match kind {
                1 => drop(puts.insert(key, LastPut { seq, segment, at: at as u64, expires_ms })),
                2 => drop(puts.remove(&key)),
                _ => assert!(kind >= 0x80, "unknown record kind {kind}"),
            }
            at = end;
        }
    }
    puts
}

/// The entries that have not expired.
fn there(puts: &LastPuts, now_ms: u64) -> LastPuts {
    let is_there = |put: &LastPut| put.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms);
    puts.iter().filter(|(_, put)| is_there(put)).map(|(key, put)| (key.clone(), *put)).collect()
}

/// The contents of the index.
fn indexed(store: &Store) -> Result<LastPuts> {
    let keys = store.keys(..)?.map(|key| {
        let key = key?;
        let (segment, at) = (key.location.segment.0, key.location.offset);
        Ok((key.key.to_vec(), LastPut { seq: key.seq.0, segment, at, expires_ms: key.expires_ms }))
    });
    keys.collect()
}

/// Describes a difference between the index of `store` and `puts`, or returns `None`. Keys may
/// expire during the comparison.
///
/// # Errors
///
/// I/O errors.
pub(crate) fn difference(store: &Store, puts: &LastPuts) -> Result<Option<String>> {
    let before_ms = store.now_ms();
    let indexed = indexed(store)?;
    let (may_be_there, there) = (there(puts, before_ms), there(puts, store.now_ms()));
    if let Some((key, put)) = there.iter().find(|(key, put)| indexed.get(*key) != Some(put)) {
        let found = indexed.get(key);
        return Ok(Some(format!("the log has {} as {put:?}, the index has {found:?}", key.escape_ascii())));
    }
    if let Some(key) = indexed.keys().find(|key| !may_be_there.contains_key(*key)) {
        return Ok(Some(format!("only the index has {}", key.escape_ascii())));
    }
    let counted = store.len();
    let is_right = counted == puts.len() as u64;
    Ok((!is_right).then(|| format!("the statistics count {counted} keys, the log has {}", puts.len())))
}

/// The contents of the files of `store`.
pub(crate) fn of_files(store: &Store) -> LastPuts {
    let manifest = fs::read_to_string(store.dir().join("MANIFEST")).expect("MANIFEST");
    of_log(&manifest, |id| fs::read(segment_path(store.dir(), id)).expect("a segment"))
}

/// Options to read the files of a store at time `now_ms`.
fn looking(now_ms: u64) -> Options {
    quick().clock(Arc::new(ManualClock::at(now_ms))).read_with(ReadWith::Pread).read_only(true)
}

/// Checks that the index equals the files, in `store` and in a copy that is opened without KEYDIR
/// and hints. No thread may write meanwhile.
pub(crate) fn recount(store: &Store) {
    let puts = of_files(store);
    assert_eq!(difference(store, &puts).expect("reads"), None, "in the open store");
    let ids = store.segments().expect("segments").into_iter().map(|segment| segment.id.0);
    let paths: Vec<_> = ids.map(|id| segment_path(store.dir(), id)).collect();
    let len: u64 = paths.iter().map(|path| fs::metadata(path).expect("a segment").len()).sum();
    if len > REPLAYED_LEN_MAX {
        return;
    }
    let copy = scratch();
    for path in paths.iter().chain([&store.dir().join("MANIFEST")]) {
        fs::copy(path, copy.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    let copied = Store::open_with(copy.path(), looking(store.now_ms())).expect("opens the copy");
    let difference = difference(&copied, &puts).expect("reads");
    assert_eq!(difference, None, "in a copy without KEYDIR and hints");
}

/// Compaction followed by a recount.
pub(crate) trait Recounted {
    /// [`Store::compact`], then [`recount`].
    fn compact_recounted(&self, what: &Compact) -> Result<CompactionReport>;

    /// [`Store::compact_with`], then [`recount`].
    fn compact_recounted_with(
        &self,
        what: &Compact,
        observe: &mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>,
    ) -> Result<CompactionReport>;
}

impl Recounted for Store {
    fn compact_recounted(&self, what: &Compact) -> Result<CompactionReport> {
        self.compact_recounted_with(what, &mut |_| ControlFlow::Continue(()))
    }

    fn compact_recounted_with(
        &self,
        what: &Compact,
        observe: &mut dyn FnMut(CompactionEvent<'_>) -> ControlFlow<()>,
    ) -> Result<CompactionReport> {
        let report = self.compact_with(what, observe)?;
        recount(self);
        Ok(report)
    }
}
