//! The identity of a segment: its id, its layout, and its place in the log.

use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::segment_header::Layout;

/// The facts about a segment that do not depend on its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) layout: Layout,
    pub(crate) created_ms: u64,
    /// Greater than the number of any of its records.
    pub(crate) seq_end: Seqno,
    /// The first of its pages in the log's address space.
    pub(crate) first_page: u32,
}
