//! Decides which old versions of a key a compaction keeps as history.

use crate::engine::base::ids::Seqno;
use crate::engine::format::record::Kind;
use crate::engine::options::CompactionPolicy;
use crate::engine::segment::Record;

/// The amount of history to keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// The number of versions of a present key.
    versions: u64,
    /// The time after the end of a version, in milliseconds.
    for_ms: u64,
}

impl Retention {
    /// Returns `None` if `policy` keeps no history.
    pub(super) fn of(policy: &CompactionPolicy) -> Option<Self> {
        let for_ms = u64::try_from(policy.keep_for.as_millis()).unwrap_or(u64::MAX);
        policy.keeps_history().then_some(Self { versions: policy.keep_versions, for_ms })
    }
}

/// The facts about one version of a key that decide its retention.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionFacts {
    pub(super) seq: Seqno,
    time_ms: u64,
    expires_ms: Option<u64>,
    is_delete: bool,
}

impl VersionFacts {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            seq: record.header.seq,
            time_ms: record.header.time_ms,
            expires_ms: record.expires_ms,
            is_delete: record.header.kind() == Kind::Delete,
        }
    }
}

/// All versions of one key, from the start of a run to the end of the log.
#[derive(Debug)]
pub(super) struct KeyHistory {
    /// Oldest first.
    pub(super) versions: Vec<VersionFacts>,
    pub(super) now_ms: u64,
    pub(super) retention: Retention,
}

impl KeyHistory {
    /// Returns the index of the version with sequence number `seq`.
    pub(super) fn position(&self, seq: Seqno) -> Option<usize> {
        self.versions.iter().position(|version| version.seq == seq)
    }

    /// Returns whether the version with index `at` is kept: it is one of the last versions of a
    /// present key, or it ended recently. The number of versions does not count for a key that is
    /// gone, or deleted keys would take space forever.
    pub(super) fn keeps(&self, at: usize) -> bool {
        let newer_count = (self.versions.len() - at - 1) as u64;
        let Retention { versions, for_ms } = self.retention;
        let is_recent = self.now_ms.saturating_sub(self.ended_ms(at)) < for_ms;
        (newer_count < versions && !self.is_gone()) || is_recent
    }

    /// Returns the time at which the version with index `at` was replaced, deleted or expired.
    pub(super) fn ended_ms(&self, at: usize) -> u64 {
        match (self.versions.get(at + 1), &self.versions[at]) {
            (Some(next), _) => next.time_ms,
            // A put may be expired when it is written. The value before it was visible until then.
            (None, last) => last.expires_ms.unwrap_or(last.time_ms).max(last.time_ms),
        }
    }

    /// Returns whether the key is deleted or expired.
    fn is_gone(&self) -> bool {
        self.versions.last().is_none_or(|last| {
            last.is_delete || last.expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 100_000;

    /// Returns which versions are kept. A version is given by its time, its expiry, and whether it
    /// is a delete.
    fn kept(versions: &[(u64, Option<u64>, bool)], keep_versions: u64, keep_for_ms: u64) -> Vec<bool> {
        let version = |(seq, &(time_ms, expires_ms, is_delete)): (u64, &_)| VersionFacts {
            seq: Seqno(seq),
            time_ms,
            expires_ms,
            is_delete,
        };
        let history = KeyHistory {
            versions: (1..).zip(versions).map(version).collect(),
            now_ms: NOW_MS,
            retention: Retention { versions: keep_versions, for_ms: keep_for_ms },
        };
        (0..versions.len()).map(|at| history.keeps(at)).collect()
    }

    #[test]
    fn the_last_versions_of_a_present_key_are_kept() {
        let versions = [(1, None, false), (2, None, true), (3, None, false), (4, None, false)];
        assert_eq!(kept(&versions, 1, 0), [false, false, false, true]);
        assert_eq!(kept(&versions, 3, 0), [false, true, true, true]);
    }

    #[test]
    fn a_deleted_or_expired_key_keeps_no_number_of_versions() {
        assert_eq!(kept(&[(1, None, false), (2, None, true)], 9, 0), [false, false]);
        assert_eq!(kept(&[(1, None, false), (2, Some(NOW_MS), false)], 9, 0), [false, false]);
        assert_eq!(kept(&[(1, None, false), (2, Some(NOW_MS + 1), false)], 9, 0), [true, true]);
    }

    #[test]
    fn a_version_that_ended_recently_is_kept_however_old_it_is() {
        let at = |ago_ms| NOW_MS - ago_ms;
        let versions = [(1, None, false), (2, None, false), (at(50), None, false), (at(10), None, true)];
        assert_eq!(kept(&versions, 1, 51), [false, true, true, true]);
        assert_eq!(kept(&versions, 1, 50), [false, false, true, true]);
        assert_eq!(kept(&versions, 1, 10), [false, false, false, false]);
        assert_eq!(kept(&[(1, Some(at(10)), false)], 1, 11), [true]);
        assert_eq!(kept(&[(1, Some(at(10)), false)], 1, 10), [false]);
    }
}
