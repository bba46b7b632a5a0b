//! Background compactions, and the line that reports them.

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

    /// Returns the compactions of this session.
    pub fn compactions(&self) -> &Compactions {
        &self.compactions
    }

    /// Takes the background compactions from the store.
    pub fn update_compactions(&mut self) {
        let Some(store) = &self.store else { return };
        for run in store.background_compactions() {
            self.compactions.note_background(run);
        }
    }

    /// Reports the background compactions since the last call, in one line.
    pub fn report_background(&mut self) {
        self.update_compactions();
        let runs = self.compactions.take_unreported();
        if !runs.is_empty() && self.out.is_table() && !self.settings.quiet {
            self.note(&sentence(&runs));
        }
    }
}

/// Returns `compacted 1 into 2, 48 B freed`, or only the numbers of segments for many compactions.
fn sentence(runs: &[RunReport]) -> String {
    const RUNS_NAMED: usize = 3;
    let freed: u64 = runs.iter().map(|run| run.before_len.saturating_sub(run.after_len)).sum();
    let steps = joined(runs);
    let what = if steps.len() > RUNS_NAMED {
        let inputs: usize = steps.iter().map(|step| step.inputs.len()).sum();
        let outputs: usize = steps.iter().map(|step| step.outputs.len()).sum();
        let into = (outputs > 0).then(|| units::thousands(outputs as u64));
        units::count(inputs as u64, "segment") + &segments::made_of(inputs, into.as_deref())
    } else {
        steps.iter().map(MergedRun::text).collect::<Vec<_>>().join(", ")
    };
    format!("note: compacted {what}, {} freed", units::bytes(freed))
}

/// Segments, and those that replaced them in the end.
struct MergedRun {
    inputs: Vec<SegmentId>,
    outputs: Vec<SegmentId>,
}

impl MergedRun {
    fn text(&self) -> String {
        let into = (!self.outputs.is_empty()).then(|| segments::numbers(&self.outputs));
        segments::numbers(&self.inputs) + &segments::made_of(self.inputs.len(), into.as_deref())
    }
}

/// Merges each run with the earlier runs that produced its inputs: the user has not seen the
/// intermediate segments.
fn joined(runs: &[RunReport]) -> Vec<MergedRun> {
    let mut steps: Vec<MergedRun> = Vec::new();
    for run in runs {
        let mut step = MergedRun { inputs: run.inputs.clone(), outputs: run.outputs.clone() };
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
    fn background_compactions_are_reported_in_one_line() {
        let reported = |runs: &[RunReport]| sentence(runs);
        assert_eq!(reported(&[run(&[1], &[2], 48)]), "note: compacted 1 into 2, 48 B freed");
        assert_eq!(
            reported(&[run(&[1, 2, 3], &[], 2048)]),
            "note: compacted 1 to 3: nothing of them was needed, 2 KiB freed"
        );
        let chain = [run(&[1], &[3], 100), run(&[3], &[], 300)];
        assert_eq!(reported(&chain), "note: compacted 1: nothing of it was needed, 400 B freed");
        let chain = [run(&[1, 2], &[5, 6], 100), run(&[3, 5], &[7], 24)];
        assert_eq!(reported(&chain), "note: compacted 1 to 3 into 6 to 7, 124 B freed");
        let two = [run(&[1, 2], &[7], 100), run(&[4], &[8, 9], 24)];
        assert_eq!(reported(&two), "note: compacted 1 to 2 into 7, 4 into 8 to 9, 124 B freed");
        let many = [run(&[1, 2], &[7], 1), run(&[3], &[8], 1), run(&[4], &[9], 1), run(&[5, 6], &[10], 1)];
        assert_eq!(reported(&many), "note: compacted 6 segments into 4, 4 B freed");
    }
}
