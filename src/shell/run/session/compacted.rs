//! Compactions that the store did by itself, and the line that tells a person of them.

use logkv::{RunReport, SegmentId};

use super::Session;
use crate::shell::run::compactions::Compactions;
use crate::shell::run::segments;
use crate::shell::term::units;

impl Session {
    /// Records a compaction that a command asked for.
    pub fn note_compaction(&mut self, run: &RunReport) {
        self.compactions.note(run);
    }

    /// The compactions of this session.
    pub fn compactions(&self) -> &Compactions {
        &self.compactions
    }

    /// Learns what the store has compacted by itself.
    pub fn learn_of_compactions(&mut self) {
        let Some(store) = &self.store else { return };
        for run in store.background_compactions() {
            self.compactions.note_unasked(run);
        }
    }

    /// Tells a person, in a line, what the store has done unasked since this was called last.
    pub fn tell_unasked(&mut self) {
        self.learn_of_compactions();
        let runs = self.compactions.take_untold();
        if !runs.is_empty() && self.out.is_table() && !self.settings.quiet {
            self.note(&sentence(&runs));
        }
    }
}

/// `compacted 1 into 2, 48 B freed`; of many runs how many segments became how many.
fn sentence(runs: &[RunReport]) -> String {
    const STEPS_NAMED: usize = 3;
    let freed: u64 = runs.iter().map(|run| run.before_len.saturating_sub(run.after_len)).sum();
    let steps = joined(runs);
    let what = if steps.len() > STEPS_NAMED {
        let inputs: usize = steps.iter().map(|step| step.inputs.len()).sum();
        let outputs: usize = steps.iter().map(|step| step.outputs.len()).sum();
        let into = (outputs > 0).then(|| units::thousands(outputs as u64));
        units::count(inputs as u64, "segment") + &segments::made_of(inputs, into.as_deref())
    } else {
        steps.iter().map(Step::text).collect::<Vec<_>>().join(", ")
    };
    format!("note: compacted {what}, {} freed", units::bytes(freed))
}

/// Segments, and those that took their place in the end.
struct Step {
    inputs: Vec<SegmentId>,
    outputs: Vec<SegmentId>,
}

impl Step {
    fn text(&self) -> String {
        let into = (!self.outputs.is_empty()).then(|| segments::numbers(&self.outputs));
        segments::numbers(&self.inputs) + &segments::made_of(self.inputs.len(), into.as_deref())
    }
}

/// `runs` as steps. A run joins the one that made its inputs: nobody has seen the segments in between.
fn joined(runs: &[RunReport]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for run in runs {
        let mut step = Step { inputs: run.inputs.clone(), outputs: run.outputs.clone() };
        steps.retain(|earlier| {
            let goes_on = earlier.outputs.iter().any(|id| run.inputs.contains(id));
            if goes_on {
                step.inputs.retain(|id| !earlier.outputs.contains(id));
                step.inputs.extend(&earlier.inputs);
                step.outputs.extend(earlier.outputs.iter().filter(|id| !run.inputs.contains(id)));
            }
            !goes_on
        });
        step.inputs.sort_unstable();
        step.outputs.sort_unstable();
        steps.push(step);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(inputs: &[u64], outputs: &[u64], freed: u64) -> RunReport {
        let [inputs, outputs] = [inputs, outputs].map(|ids| ids.iter().copied().map(SegmentId).collect());
        RunReport { inputs, outputs, before_len: 100 + freed, after_len: 100, ..RunReport::default() }
    }

    #[test]
    fn what_was_done_unasked_is_told_in_a_line() {
        let told = |runs: &[RunReport]| sentence(runs);
        assert_eq!(told(&[run(&[1], &[2], 48)]), "note: compacted 1 into 2, 48 B freed");
        assert_eq!(
            told(&[run(&[1, 2, 3], &[], 2048)]),
            "note: compacted 1 to 3: nothing of them was needed, 2 KiB freed"
        );
        let chain = [run(&[1], &[3], 100), run(&[3], &[], 300)];
        assert_eq!(told(&chain), "note: compacted 1: nothing of it was needed, 400 B freed");
        let chain = [run(&[1, 2], &[5, 6], 100), run(&[3, 5], &[7], 24)];
        assert_eq!(told(&chain), "note: compacted 1 to 3 into 6 to 7, 124 B freed");
        let two = [run(&[1, 2], &[7], 100), run(&[4], &[8, 9], 24)];
        assert_eq!(told(&two), "note: compacted 1 to 2 into 7, 4 into 8 to 9, 124 B freed");
        let many = [run(&[1, 2], &[7], 1), run(&[3], &[8], 1), run(&[4], &[9], 1), run(&[5, 6], &[10], 1)];
        assert_eq!(told(&many), "note: compacted 6 segments into 4, 4 B freed");
    }
}
