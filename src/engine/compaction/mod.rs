//! Layer 8: compaction — runs of neighbours in the log give way to what is still needed of them.

mod plan;
mod report;

pub use plan::{Compact, CompactionPlan, CompactionReason, CompactionRun};
pub(crate) use plan::{SegmentUse, pick, pick_all, pick_these};
pub use report::{
    CompactionEvent, CompactionReport, CompactionStage, Decided, Decision, Dropped, Kept, RunReport, Tallies,
    Tally,
};
