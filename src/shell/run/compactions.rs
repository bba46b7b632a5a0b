//! Which segments gave way to which while the session lasts.

use std::collections::HashMap;

use logkv::{RunReport, SegmentId};

/// The segments that gave way in this session.
#[derive(Debug, Default)]
pub struct Compactions {
    /// What took the place of each.
    into: HashMap<SegmentId, Vec<SegmentId>>,
    /// Runs that nobody asked for and that were not told.
    untold: Vec<RunReport>,
}

impl Compactions {
    /// Keeps a run that a command asked for.
    pub fn note(&mut self, run: &RunReport) {
        for &input in &run.inputs {
            self.into.insert(input, run.outputs.clone());
        }
    }

    /// The segments that hold by now what was kept of `id`; `None` where it has not given way.
    pub fn successors(&self, id: SegmentId) -> Option<Vec<SegmentId>> {
        let mut ids = self.into.get(&id)?.clone();
        // A segment never gives way to an older one: the numbers grow, and there is an end.
        while let Some(at) = ids.iter().position(|id| self.into.contains_key(id)) {
            let next = self.into[&ids[at]].iter().filter(|id| !ids.contains(id)).copied().collect::<Vec<_>>();
            ids.splice(at..=at, next);
        }
        Some(ids)
    }

    /// Keeps a run that nobody asked for, which is still to be told.
    pub fn note_unasked(&mut self, run: RunReport) {
        self.note(&run);
        self.untold.push(run);
    }

    /// The runs that nobody asked for since this was called last.
    pub fn take_untold(&mut self) -> Vec<RunReport> {
        std::mem::take(&mut self.untold)
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
    fn what_gave_way_is_followed_to_what_is_there() {
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
