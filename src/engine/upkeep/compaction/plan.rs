//! Which segments to compact: a pure function from figures to a plan.

use std::collections::HashSet;

use crate::engine::base::ids::SegmentId;
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::options::CompactionPolicy;

/// The dead share, in percent, at which a segment is compacted along with a neighbour that is due.
/// Half the default of [`CompactionPolicy::dead_percent`]: such a segment is due soon, and a longer
/// run ends in fewer partly filled segments.
const NEIGHBOUR_DEAD_PERCENT: u64 = 25;

/// The number of small neighbours that are merged. Merging them in pairs would copy the records of
/// a store with many small segments far more often.
const SMALL_COUNT: usize = 4;

/// The most that one run writes, in bytes, unless it is one segment. Compaction needs this much
/// disk space, and 32 bytes of memory for each record it keeps, before it frees any. While a store
/// is overwritten at full speed, its segments take about twice the live data, and more with longer
/// runs (`cargo bench -- churn`). Shorter runs replace the MANIFEST more often.
const RUN_LEN_MAX: u64 = 64 << 20;

/// What is to be compacted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compact {
    /// What the store's [`CompactionPolicy`] finds due.
    #[default]
    Due,
    /// Everything that holds anything dead; the active segment is sealed first if it does.
    All,
    /// These segments; neighbours among them become one run.
    Segments(Vec<SegmentId>),
}

/// What the choice looks at, of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    pub(crate) id: SegmentId,
    /// Bytes of records, live and dead: the file without its header.
    pub(crate) body_len: u64,
    pub(crate) live_len: u64,
    /// Bytes of live records that have expired, and whose time of grace is over; at least.
    pub(crate) expired_len: u64,
    pub(crate) tombstone_len: u64,
    /// Whether it is sealed, laid out as this version does, and without known damage.
    pub(crate) is_fit: bool,
    /// Bytes that are not live, or have expired, and that a compaction has found to be needed, nothing older having been
    /// compacted since.
    pub(crate) needed_len: u64,
}

impl SegmentUse {
    /// What a compaction may free: everything that is neither live, unless it has expired, nor known to be needed.
    fn garbage_len(&self) -> u64 {
        let lasting_len = self.live_len.saturating_sub(self.expired_len);
        self.body_len.saturating_sub(lasting_len).saturating_sub(self.needed_len)
    }

    fn garbage_percent(&self) -> u64 {
        self.garbage_len().saturating_mul(100).checked_div(self.body_len).unwrap_or(0)
    }

    /// What a compaction may write.
    fn write_len(&self) -> u64 {
        self.live_len.saturating_add(self.tombstone_len.max(self.needed_len))
    }
}

/// Runs of neighbours to be compacted, oldest first: what an older one drops lets a newer one drop its tombstones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionPlan {
    /// The time at which the plan judges expiry and age, in milliseconds since 1970. It is read
    /// once.
    pub at_ms: u64,
    /// The runs, in log order.
    pub runs: Vec<CompactionRun>,
}

impl CompactionPlan {
    /// The runs that have a segment up to `newest`. A run of outputs alone would be compacted again and
    /// again if its records stay.
    pub(super) fn with_any_up_to(mut self, newest: Option<SegmentId>) -> Self {
        self.runs.retain(|run| run.segments.iter().any(|&id| Some(id) <= newest));
        self
    }

    /// Bytes of records that will be read.
    pub(crate) fn read_len(&self) -> u64 {
        self.runs.iter().map(|run| run.read_len).sum()
    }
}

/// Neighbours in the log that become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionRun {
    /// The segments, in log order.
    pub segments: Vec<SegmentId>,
    /// Why they were chosen.
    pub reason: CompactionReason,
    /// Bytes of records that will be read.
    pub read_len: u64,
    /// Bytes of records that will be written at most, and so the disk space needed until the old files are removed.
    pub write_len_max: u64,
}

/// Why segments are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionReason {
    /// It was asked for.
    Asked,
    /// The dead share of one of them reached [`CompactionPolicy::dead_percent`]: this much of it is dead.
    DeadShare {
        /// In percent of its records' bytes.
        percent: u64,
    },
    /// The dead bytes of one of them reached [`CompactionPolicy::dead_len`].
    DeadBytes {
        /// In bytes.
        len: u64,
    },
    /// They are four or more small neighbours.
    Small,
}

/// What the policy has compacted, segments in log order. A pure function of its arguments.
pub(crate) fn pick(
    uses: &[SegmentUse],
    policy: &CompactionPolicy,
    segment_len_max: u64,
) -> Vec<CompactionRun> {
    let is_small = |segment: &SegmentUse| is_small(segment, policy, segment_len_max);
    let takes_part = |segment: &&SegmentUse| {
        due(segment, policy).is_some()
            || is_small(segment)
            || segment.garbage_percent() >= NEIGHBOUR_DEAD_PERCENT
    };
    plan(uses, segment_len_max, takes_part, |run| {
        let due = run.iter().find_map(|segment| due(segment, policy));
        let small: Vec<_> = run.iter().filter(|segment| is_small(segment)).collect();
        let merges = small.len() >= SMALL_COUNT && become_fewer(&small, segment_len_max);
        due.or(merges.then_some(CompactionReason::Small))
    })
}

/// Everything with anything to free, and small neighbours.
pub(crate) fn pick_all(
    uses: &[SegmentUse],
    policy: &CompactionPolicy,
    segment_len_max: u64,
) -> Vec<CompactionRun> {
    let is_small = |segment: &SegmentUse| is_small(segment, policy, segment_len_max);
    let takes_part = |segment: &&SegmentUse| segment.garbage_len() > 0 || is_small(segment);
    plan(uses, segment_len_max, takes_part, |run| {
        let frees = run.len() > 1 || run.iter().any(|segment| segment.garbage_len() > 0);
        frees.then_some(CompactionReason::Asked)
    })
}

/// The segments of `wanted`, whatever they hold.
pub(crate) fn pick_these(
    uses: &[SegmentUse],
    segment_len_max: u64,
    wanted: &[SegmentId],
) -> Vec<CompactionRun> {
    let wanted: HashSet<_> = wanted.iter().collect();
    plan(uses, segment_len_max, |segment| wanted.contains(&segment.id), |_| Some(CompactionReason::Asked))
}

/// Cuts the log into stretches of fit neighbours that take part, none writing more than a run may, and keeps
/// those for which `reason` has one.
fn plan(
    uses: &[SegmentUse],
    segment_len_max: u64,
    takes_part: impl Fn(&&SegmentUse) -> bool,
    reason: impl Fn(&[SegmentUse]) -> Option<CompactionReason>,
) -> Vec<CompactionRun> {
    // Else small neighbours that fill one large segment would never become one.
    let run_len_max = RUN_LEN_MAX.max(segment_len_max);
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

/// How many of the first segments write at most `len_max` together; one at least.
fn fitting(segments: &[SegmentUse], len_max: u64) -> usize {
    let mut len = 0_u64;
    let count = segments.iter().take_while(|segment| {
        len = len.saturating_add(segment.write_len());
        len <= len_max
    });
    count.count().max(1)
}

/// Why this segment alone would be compacted.
fn due(segment: &SegmentUse, policy: &CompactionPolicy) -> Option<CompactionReason> {
    let (percent, len) = (segment.garbage_percent(), segment.garbage_len());
    if len > 0 && percent >= u64::from(policy.dead_percent) {
        Some(CompactionReason::DeadShare { percent })
    } else if len > 0 && len >= policy.dead_len {
        Some(CompactionReason::DeadBytes { len })
    } else {
        None
    }
}

/// Whether these segments, merged, are certainly fewer: else they would be merged again and again. A segment is ended when
/// the next record does not fit, so that two neighbours hold more than one can; where that is not enough, they may stay.
fn become_fewer(segments: &[&SegmentUse], segment_len_max: u64) -> bool {
    let room = segment_len_max.saturating_sub(HEADER_LEN as u64);
    let len: u64 = segments.iter().map(|segment| segment.write_len()).sum();
    let others = (segments.len() as u64).saturating_sub(1);
    others > 0 && len.saturating_mul(2) <= room.saturating_mul(others)
}

fn is_small(segment: &SegmentUse, policy: &CompactionPolicy, segment_len_max: u64) -> bool {
    segment.write_len().saturating_mul(100) < segment_len_max.saturating_mul(policy.small_percent.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_LEN: u64 = 1000;

    /// A segment of 1,000 bytes of records, so many of them live.
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
        ids(&pick(uses, &CompactionPolicy::default(), SEGMENT_LEN))
    }

    fn ids(runs: &[CompactionRun]) -> Vec<Vec<u64>> {
        runs.iter().map(|run| run.segments.iter().map(|id| id.0).collect()).collect()
    }

    #[test]
    fn a_segment_that_is_half_dead_is_due_and_one_that_is_not_stays() {
        assert_eq!(picked(&[full(1, 900), full(2, 500), full(3, 900)]), [[2]]);
        assert!(picked(&[full(1, 900), full(2, 900)]).is_empty());
    }

    #[test]
    fn neighbours_with_something_to_free_go_along_and_others_part_the_runs() {
        assert_eq!(picked(&[full(1, 700), full(2, 400), full(3, 1000), full(4, 100)]), [vec![1, 2], vec![4]]);
        assert!(picked(&[full(1, 700), full(2, 700)]).is_empty(), "none of them is due by itself");
    }

    #[test]
    fn the_log_s_end_and_damaged_segments_are_never_taken() {
        let unfit = SegmentUse { is_fit: false, ..full(2, 0) };
        assert_eq!(picked(&[full(1, 0), unfit, full(3, 0)]), [[1], [3]]);
        let plan = pick_these(&[full(1, 0), unfit], SEGMENT_LEN, &[SegmentId(1), SegmentId(2)]);
        assert_eq!(ids(&plan), [[1]]);
    }

    #[test]
    fn four_small_neighbours_become_one_and_three_wait() {
        assert_eq!(picked(&[small(1), small(2), small(3), small(4)]), [[1, 2, 3, 4]]);
        assert!(picked(&[small(1), small(2), small(3), full(4, 1000), small(5)]).is_empty());
    }

    #[test]
    fn small_neighbours_are_left_alone_where_merging_them_may_make_none_fewer() {
        let policy = CompactionPolicy { small_percent: 100, ..Default::default() };
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
            let plan = pick(&of(len), &policy, SEGMENT_LEN);
            assert_eq!(!plan.is_empty(), are_merged, "{len:?}");
        }
    }

    #[test]
    fn tombstones_that_are_known_to_be_needed_make_nothing_due() {
        let graves = SegmentUse { tombstone_len: 900, ..full(7, 50) };
        assert_eq!(picked(&[graves]), [[7]]);
        assert!(picked(&[SegmentUse { needed_len: 900, ..graves }]).is_empty());
    }

    #[test]
    fn what_has_expired_is_as_good_as_dead() {
        let expired = SegmentUse { expired_len: 600, ..full(1, 1000) };
        assert_eq!(picked(&[expired]), [[1]]);
        assert!(picked(&[SegmentUse { expired_len: 400, ..expired }]).is_empty());
        let all =
            pick_all(&[SegmentUse { expired_len: 1, ..expired }], &CompactionPolicy::default(), SEGMENT_LEN);
        assert_eq!(ids(&all), [[1]]);
    }

    #[test]
    fn only_a_run_of_one_segment_writes_more_than_64_mib_or_one_segment() {
        let of = |id, live_mib: u64| SegmentUse { body_len: 100 << 20, ..full(id, live_mib << 20) };
        let uses = [of(1, 30), of(2, 30), of(3, 30), of(4, 0), of(5, 80)];
        let runs = |segment_len_max| ids(&pick_all(&uses, &CompactionPolicy::default(), segment_len_max));
        assert_eq!(runs(SEGMENT_LEN), [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(runs(100 << 20), [vec![1, 2, 3, 4], vec![5]]);
    }

    #[test]
    fn all_takes_what_has_anything_to_free_and_leaves_the_rest() {
        let policy = CompactionPolicy::default();
        let uses = [full(1, 1000), full(2, 999), full(3, 1000), small(4)];
        assert_eq!(ids(&pick_all(&uses, &policy, SEGMENT_LEN)), [[2]]);
    }

    #[test]
    fn a_plan_says_what_it_reads_and_the_space_it_needs() {
        let graves = SegmentUse { tombstone_len: 60, ..full(1, 40) };
        let plan = pick(&[graves], &CompactionPolicy::default(), SEGMENT_LEN);
        assert_eq!((plan[0].read_len, plan[0].write_len_max), (1000, 100));
        assert_eq!(plan[0].reason, CompactionReason::DeadShare { percent: 96 });
    }
}
