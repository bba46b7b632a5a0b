//! The compactions of this session, and the segments they replaced.

use std::collections::HashMap;

use logkv::{RunReport, SegmentId};

/// The segments that were replaced in this session.
#[derive(Debug, Default)]
pub struct Compactions {
    /// The segments that replaced each one.
    into: HashMap<SegmentId, Vec<SegmentId>>,
    /// Background compactions that were not reported yet.
    unreported: Vec<RunReport>,
}

impl Compactions {
    /// Records a compaction that a command asked for.
    pub fn note(&mut self, run: &RunReport) {
        for &input in &run.inputs {
            self.into.insert(input, run.outputs.clone());
        }
    }

    /// Returns the segments that replaced `id`, directly or not, or `None` if `id` was not
    /// replaced.
    pub fn successors(&self, id: SegmentId) -> Option<Vec<SegmentId>> {
        let mut ids = self.into.get(&id)?.clone();
        // A segment is replaced by newer ones only, so the loop ends.
        while let Some(at) = ids.iter().position(|id| self.into.contains_key(id)) {
            let next = self.into[&ids[at]].iter().filter(|id| !ids.contains(id)).copied().collect::<Vec<_>>();
            ids.splice(at..=at, next);
        }
        Some(ids)
    }

    /// Records a background compaction, which is reported later.
    pub fn note_background(&mut self, run: RunReport) {
        self.note(&run);
        self.unreported.push(run);
    }

    /// Returns the background compactions since the last call.
    pub fn take_unreported(&mut self) -> Vec<RunReport> {
        std::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(inputs: &[u64], outputs: &[u64]) -> RunReport {
        let [inputs, outputs] = [inputs, outputs].map(|ids| ids.iter().copied().map(SegmentId).collect());
        RunReport { inputs, outputs, ..RunReport::default() }
    }

    #[test]
    fn a_replaced_segment_leads_to_those_that_exist() {
        let mut compacted = Compactions::default();
        for run in [run(&[1, 2], &[4, 5]), run(&[4], &[6]), run(&[5, 6], &[7]), run(&[3], &[])] {
            compacted.note(&run);
        }
        let into =
            |id| compacted.successors(SegmentId(id)).map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>());
        assert_eq!(into(1), Some(vec![7]));
        assert_eq!(into(2), Some(vec![7]));
        assert_eq!(into(6), Some(vec![7]));
        assert_eq!(into(3), Some(vec![]));
        assert_eq!(into(7), None);
    }
}
