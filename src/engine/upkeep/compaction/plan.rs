//! Picks the segments to compact: pure functions from figures to a plan.

use std::collections::HashSet;

use crate::engine::base::ids::SegmentId;
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::options::CompactionPolicy;

/// The dead share, in percent, at which a segment is compacted along with a neighbour that is due.
/// Half the default of [`CompactionPolicy::dead_percent`]: such a segment is due soon, and a longer
/// run ends in fewer partly filled segments.
const NEIGHBOUR_DEAD_PERCENT: u64 = 25;

/// The least number of small neighbours that are merged. Merging them in pairs would copy the
/// records of a store with many small segments far more often.
const SMALL_COUNT: usize = 4;

/// The most that one run writes, in bytes, unless it is one segment. Compaction needs this much
/// disk space, and 40 bytes of memory for each live record, before it frees any. While a store is
/// overwritten at full speed, its segments take about twice the live data, and more with longer
/// runs (`cargo bench -- churn`). Shorter runs replace the MANIFEST more often.
const RUN_LEN_MAX: u64 = 64 << 20;

/// The segments to compact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compact {
    /// The segments that are due by the store's [`CompactionPolicy`].
    #[default]
    Due,
    /// Every segment with dead records. An active segment with dead records is sealed first.
    All,
    /// These segments. Neighbours among them form one run.
    Segments(Vec<SegmentId>),
}

/// The options that a plan depends on.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) policy: CompactionPolicy,
    pub(crate) segment_len_max: u64,
}

/// The figures of one segment that a plan depends on. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    pub(crate) id: SegmentId,
    /// Live and dead records: the file without its header.
    pub(crate) body_len: u64,
    pub(crate) live_len: u64,
    /// Live records whose grace period after expiry is over; may be an underestimate.
    pub(crate) expired_len: u64,
    pub(crate) tombstone_len: u64,
    /// Whether the segment is sealed, of the current layout, and without known damage.
    pub(crate) is_fit: bool,
    /// Dead or expired records that a compaction found necessary, unless an older segment was
    /// compacted after that.
    pub(crate) needed_len: u64,
}

impl SegmentUse {
    /// Returns the bytes that a compaction may free: records that are dead or expired, and not
    /// known to be needed.
    fn garbage_len(&self) -> u64 {
        let lasting_len = self.live_len.saturating_sub(self.expired_len);
        self.body_len.saturating_sub(lasting_len).saturating_sub(self.needed_len)
    }

    fn garbage_percent(&self) -> u64 {
        self.garbage_len().saturating_mul(100).checked_div(self.body_len).unwrap_or(0)
    }

    /// Returns the most bytes that a compaction writes.
    fn write_len(&self) -> u64 {
        self.live_len.saturating_add(self.tombstone_len.max(self.needed_len))
    }
}

/// The runs to compact, oldest first: a record that an older run drops may let a newer run drop a
/// tombstone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionPlan {
    /// The time used for expiry and age, in milliseconds since 1970.
    pub at_ms: u64,
    /// The runs, in log order.
    pub runs: Vec<CompactionRun>,
}

impl CompactionPlan {
    /// Drops the runs without a segment up to `newest`. A run of outputs alone would be compacted
    /// again and again if all its records are kept.
    pub(super) fn with_any_up_to(mut self, newest: Option<SegmentId>) -> Self {
        self.runs.retain(|run| run.segments.iter().any(|&id| Some(id) <= newest));
        self
    }

    pub(crate) fn read_len(&self) -> u64 {
        self.runs.iter().map(|run| run.read_len).sum()
    }
}

/// Neighbouring segments that are compacted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionRun {
    /// The segments, in log order.
    pub segments: Vec<SegmentId>,
    /// The reason why they were picked.
    pub reason: CompactionReason,
    /// The length of the records to read, in bytes.
    pub read_len: u64,
    /// The most bytes that the run writes, which is the disk space that it needs before it frees
    /// any.
    pub write_len_max: u64,
}

/// The reason why segments are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionReason {
    /// The caller asked for it.
    Asked,
    /// The dead share of a segment reached [`CompactionPolicy::dead_percent`].
    DeadShare {
        /// The dead share of that segment, in percent of the bytes of its records.
        percent: u64,
    },
    /// The dead bytes of a segment reached [`CompactionPolicy::dead_len`].
    DeadBytes {
        /// The dead bytes of that segment.
        len: u64,
    },
    /// Four or more small segments are neighbours.
    Small,
}

/// Picks the runs that are due. `uses` is in log order.
pub(crate) fn pick(uses: &[SegmentUse], settings: &Settings) -> Vec<CompactionRun> {
    let Settings { policy, segment_len_max } = settings;
    let is_small = |segment: &SegmentUse| is_small(segment, settings);
    let takes_part = |segment: &&SegmentUse| {
        due(segment, policy).is_some()
            || is_small(segment)
            || segment.garbage_percent() >= NEIGHBOUR_DEAD_PERCENT
    };
    plan(uses, settings, takes_part, |run| {
        let due = run.iter().find_map(|segment| due(segment, policy));
        let small: Vec<_> = run.iter().filter(|segment| is_small(segment)).collect();
        let merges = small.len() >= SMALL_COUNT && become_fewer(&small, *segment_len_max);
        due.or(merges.then_some(CompactionReason::Small))
    })
}

/// Picks every segment with bytes to free, and small neighbours.
pub(crate) fn pick_all(uses: &[SegmentUse], settings: &Settings) -> Vec<CompactionRun> {
    let is_small = |segment: &SegmentUse| is_small(segment, settings);
    let takes_part = |segment: &&SegmentUse| segment.garbage_len() > 0 || is_small(segment);
    plan(uses, settings, takes_part, |run| {
        let frees = run.len() > 1 || run.iter().any(|segment| segment.garbage_len() > 0);
        frees.then_some(CompactionReason::Asked)
    })
}

/// Picks the segments of `wanted`.
pub(crate) fn pick_these(
    uses: &[SegmentUse],
    settings: &Settings,
    wanted: &[SegmentId],
) -> Vec<CompactionRun> {
    let wanted: HashSet<_> = wanted.iter().collect();
    plan(uses, settings, |segment| wanted.contains(&segment.id), |_| Some(CompactionReason::Asked))
}

/// Cuts the log into runs of fit neighbours that take part. Keeps the runs with a `reason`.
fn plan(
    uses: &[SegmentUse],
    settings: &Settings,
    takes_part: impl Fn(&&SegmentUse) -> bool,
    reason: impl Fn(&[SegmentUse]) -> Option<CompactionReason>,
) -> Vec<CompactionRun> {
    // With a lower limit, small neighbours that fit one large segment would never be merged.
    let run_len_max = RUN_LEN_MAX.max(settings.segment_len_max);
    let mut runs = Vec::new();
    for stretch in uses.split(|segment| !(segment.is_fit && takes_part(&segment))) {
        let mut rest = stretch;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(fitting(rest, run_len_max));
            runs.extend(reason(run).map(|reason| CompactionRun {
                segments: run.iter().map(|segment| segment.id).collect(),
                reason,
                read_len: run.iter().map(|segment| segment.body_len).sum(),
                write_len_max: run.iter().map(SegmentUse::write_len).sum(),
            }));
            rest = behind;
        }
    }
    runs
}

/// Returns how many of the first segments write at most `len_max` together, and at least 1.
fn fitting(segments: &[SegmentUse], len_max: u64) -> usize {
    let mut len = 0_u64;
    let count = segments.iter().take_while(|segment| {
        len = len.saturating_add(segment.write_len());
        len <= len_max
    });
    count.count().max(1)
}

/// Returns the reason why this segment alone is due.
fn due(segment: &SegmentUse, policy: &CompactionPolicy) -> Option<CompactionReason> {
    let percent = segment.garbage_percent();
    let len = segment.garbage_len();
    if len > 0 && percent >= u64::from(policy.dead_percent) {
        Some(CompactionReason::DeadShare { percent })
    } else if len > 0 && len >= policy.dead_len {
        Some(CompactionReason::DeadBytes { len })
    } else {
        None
    }
}

/// Returns whether merging these segments is certain to give fewer: otherwise they would be merged
/// again and again. A segment ends before the first record that does not fit, so two neighbouring
/// outputs hold more than one full segment, but each alone may be almost empty.
fn become_fewer(segments: &[&SegmentUse], segment_len_max: u64) -> bool {
    let room = segment_len_max.saturating_sub(HEADER_LEN as u64);
    let len: u64 = segments.iter().map(|segment| segment.write_len()).sum();
    let others = (segments.len() as u64).saturating_sub(1);
    others > 0 && len.saturating_mul(2) <= room.saturating_mul(others)
}

fn is_small(segment: &SegmentUse, settings: &Settings) -> bool {
    let Settings { policy, segment_len_max } = settings;
    segment.write_len().saturating_mul(100) < segment_len_max.saturating_mul(policy.small_percent.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_LEN: u64 = 1000;

    fn settings() -> Settings {
        Settings { policy: CompactionPolicy::default(), segment_len_max: SEGMENT_LEN }
    }

    /// A segment with 1,000 bytes of records, of which `live_len` bytes are live.
    fn full(id: u64, live_len: u64) -> SegmentUse {
        SegmentUse {
            id: SegmentId(id),
            body_len: 1000,
            live_len,
            expired_len: 0,
            tombstone_len: 0,
            is_fit: true,
            needed_len: 0,
        }
    }

    fn small(id: u64) -> SegmentUse {
        SegmentUse { body_len: 100, live_len: 100, ..full(id, 0) }
    }

    fn picked(uses: &[SegmentUse]) -> Vec<Vec<u64>> {
        ids(&pick(uses, &settings()))
    }

    fn ids(runs: &[CompactionRun]) -> Vec<Vec<u64>> {
        runs.iter().map(|run| run.segments.iter().map(|id| id.0).collect()).collect()
    }

    #[test]
    fn a_half_dead_segment_is_due_and_a_livelier_one_is_not() {
        assert_eq!(picked(&[full(1, 900), full(2, 500), full(3, 900)]), [[2]]);
        assert!(picked(&[full(1, 900), full(2, 900)]).is_empty());
    }

    #[test]
    fn a_neighbour_with_enough_to_free_joins_a_run_and_another_one_ends_it() {
        assert_eq!(picked(&[full(1, 700), full(2, 400), full(3, 1000), full(4, 100)]), [vec![1, 2], vec![4]]);
        assert!(picked(&[full(1, 700), full(2, 700)]).is_empty(), "none of them is due by itself");
    }

    #[test]
    fn an_unfit_segment_is_never_picked() {
        let unfit = SegmentUse { is_fit: false, ..full(2, 0) };
        assert_eq!(picked(&[full(1, 0), unfit, full(3, 0)]), [[1], [3]]);
        let plan = pick_these(&[full(1, 0), unfit], &settings(), &[SegmentId(1), SegmentId(2)]);
        assert_eq!(ids(&plan), [[1]]);
    }

    #[test]
    fn four_small_neighbours_are_merged_and_three_are_not() {
        assert_eq!(picked(&[small(1), small(2), small(3), small(4)]), [[1, 2, 3, 4]]);
        assert!(picked(&[small(1), small(2), small(3), full(4, 1000), small(5)]).is_empty());
    }

    #[test]
    fn small_neighbours_are_merged_only_if_fewer_segments_are_certain() {
        let mut settings = settings();
        settings.policy.small_percent = 100;
        let of = |len: &[u64]| -> Vec<_> {
            len.iter().zip(1..).map(|(&len, id)| SegmentUse { body_len: len, ..full(id, len) }).collect()
        };
        // Three segments hold 3 x 936 bytes of records; half of that is certain to fit.
        let cases: [(&[u64], bool); 4] = [
            (&[600, 600, 600, 600], false),
            (&[351, 351, 351, 351], true),
            (&[352, 351, 351, 351], false),
            (&[1, 1, 1, 1, 1000, 1, 1], true),
        ];
        for (len, are_merged) in cases {
            let plan = pick(&of(len), &settings);
            assert_eq!(!plan.is_empty(), are_merged, "{len:?}");
        }
    }

    #[test]
    fn tombstones_that_are_known_to_be_needed_do_not_make_a_segment_due() {
        let tombstones = SegmentUse { tombstone_len: 900, ..full(7, 50) };
        assert_eq!(picked(&[tombstones]), [[7]]);
        assert!(picked(&[SegmentUse { needed_len: 900, ..tombstones }]).is_empty());
    }

    #[test]
    fn expired_records_count_as_dead() {
        let expired = SegmentUse { expired_len: 600, ..full(1, 1000) };
        assert_eq!(picked(&[expired]), [[1]]);
        assert!(picked(&[SegmentUse { expired_len: 400, ..expired }]).is_empty());
        let all = pick_all(&[SegmentUse { expired_len: 1, ..expired }], &settings());
        assert_eq!(ids(&all), [[1]]);
    }

    #[test]
    fn only_a_run_of_one_segment_writes_more_than_64_mib_or_one_segment() {
        let of = |id, live_mib: u64| SegmentUse { body_len: 100 << 20, ..full(id, live_mib << 20) };
        let uses = [of(1, 30), of(2, 30), of(3, 30), of(4, 0), of(5, 80)];
        let runs = |segment_len_max| ids(&pick_all(&uses, &Settings { segment_len_max, ..settings() }));
        assert_eq!(runs(SEGMENT_LEN), [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(runs(100 << 20), [vec![1, 2, 3, 4], vec![5]]);
    }

    #[test]
    fn all_picks_the_segments_with_bytes_to_free_and_no_others() {
        let uses = [full(1, 1000), full(2, 999), full(3, 1000), small(4)];
        assert_eq!(ids(&pick_all(&uses, &settings())), [[2]]);
    }

    #[test]
    fn a_run_reports_the_bytes_it_reads_and_the_space_it_needs() {
        let tombstones = SegmentUse { tombstone_len: 60, ..full(1, 40) };
        let plan = pick(&[tombstones], &settings());
        assert_eq!((plan[0].read_len, plan[0].write_len_max), (1000, 100));
        assert_eq!(plan[0].reason, CompactionReason::DeadShare { percent: 96 });
    }
}
