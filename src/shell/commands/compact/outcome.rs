//! The result of a compaction. If nothing was done, the segments that are closest to being due.

use std::cmp::Reverse;
use std::io::{self, Write};

use logkv::{Compact, CompactionReport, Error, SegmentState, Store};
use serde_json::{Value, json};

use super::sums::RecordSums;
use super::text;
use crate::shell::lang::failure::Failure;
use crate::shell::run::segments;
use crate::shell::run::session::Session;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::fit::wrap;
use crate::shell::term::output::Output;
use crate::shell::term::style::hue;
use crate::shell::term::units;

/// Writes the result of compacting `what`. `None` is the finished part of a cancelled compaction.
pub fn write(
    session: &mut Session,
    what: Option<&Compact>,
    report: &CompactionReport,
) -> Result<(), Failure> {
    let sums = RecordSums::of(report.runs.iter().map(|run| run.records.clone()));
    let figures = CompactionFigures::of(report, &sums);
    let is_cancelled = what.is_none();
    let nothing = match what {
        Some(what) if report.runs.is_empty() && report.left.is_empty() => nothing_to_do(session, what)?,
        // A failure or a note reports the rest.
        _ => Vec::new(),
    };
    let mut answer = session.out.figures();
    answer.draw(|out| match report.runs.as_slice() {
        [] => write_lines(out, &nothing),
        _ => write_table(out, report, &figures, &sums),
    });
    answer.plain("runs", report.runs.len());
    // JSON has the same fields every time.
    let in_plain = !is_cancelled || !report.runs.is_empty();
    for (name, number) in figures.named() {
        match in_plain {
            true => answer.field(name, number),
            false => answer.json(name, number),
        };
    }
    sums.add_to(&mut answer, in_plain);
    let left: Vec<_> = report.left.iter().map(|left| left.segment.0).collect();
    answer.json("runs", runs(report)).field_as("left", left, report.left.len());
    answer.field("cancelled", is_cancelled).end()?;
    Ok(())
}

/// Figures before and after, for the compacted segments only.
struct CompactionFigures {
    segments: (u64, u64),
    bytes: (u64, u64),
    records: (u64, u64),
}

impl CompactionFigures {
    fn of(report: &CompactionReport, sums: &RecordSums) -> Self {
        let runs = &report.runs;
        let kept = sums.kept().count;
        Self {
            segments: (
                runs.iter().map(|run| run.inputs.len() as u64).sum(),
                runs.iter().map(|run| run.outputs.len() as u64).sum(),
            ),
            bytes: (runs.iter().map(|run| run.before_len).sum(), runs.iter().map(|run| run.after_len).sum()),
            records: (kept + sums.dropped().count, kept),
        }
    }

    fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("segments_before", self.segments.0),
            ("segments_after", self.segments.1),
            ("bytes_before", self.bytes.0),
            ("bytes_after", self.bytes.1),
            ("freed_bytes", self.bytes.0.saturating_sub(self.bytes.1)),
            ("records_before", self.records.0),
            ("records_after", self.records.1),
        ]
    }
}

fn runs(report: &CompactionReport) -> Vec<Value> {
    let ids = |ids: &[logkv::SegmentId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    let run = |run: &logkv::RunReport| {
        json!({
            "segments": ids(&run.inputs),
            "into": ids(&run.outputs),
            "bytes_before": run.before_len,
            "bytes_after": run.after_len,
        })
    };
    report.runs.iter().map(run).collect()
}

fn write_table(
    out: &mut Output,
    report: &CompactionReport,
    figures: &CompactionFigures,
    sums: &RecordSums,
) -> io::Result<()> {
    const COLUMNS: &[Column] = &[
        Column::text("", hue::DIM),
        Column::number("before", hue::PLAIN),
        Column::number("after", hue::PLAIN),
        Column::number("freed", hue::GOOD),
    ];
    for run in &report.runs {
        let into = (!run.outputs.is_empty()).then(|| segments::names(&run.outputs));
        let made = segments::made_of(run.inputs.len(), into.as_deref());
        writeln!(out, "compacted {}{made}", segments::names(&run.inputs))?;
    }
    let mut table = Table::new(COLUMNS, out.look);
    let mut row = |title: &str, (before, after): (u64, u64), show: fn(u64) -> String| {
        let freed = before.saturating_sub(after);
        table.row(out, [title.to_owned(), show(before), show(after), show(freed)])
    };
    row("segments", figures.segments, units::thousands)?;
    row("size", figures.bytes, units::bytes)?;
    row("records", figures.records, units::thousands)?;
    table.end(out)?;
    writeln!(out)?;
    sums.write_table(out)
}

/// Returns the lines that explain why nothing was done, and name the segments closest to being due.
pub fn nothing_to_do(session: &mut Session, what: &Compact) -> Result<Vec<String>, Failure> {
    match what {
        Compact::Due => {
            let due_percent = session.config().options.compaction.dead_percent;
            Ok(nothing_due(&session.store()?, due_percent)?)
        }
        Compact::All | Compact::Segments(_) => {
            Ok(vec!["nothing to free: every record of the sealed segments is needed".to_owned()])
        }
    }
}

/// Writes wrapped lines of text.
pub fn write_lines(out: &mut Output, lines: &[String]) -> io::Result<()> {
    let width = out.look.width;
    lines.iter().try_for_each(|line| writeln!(out, "{}", wrap(line, width)))
}

fn nothing_due(store: &Store, due_percent: u8) -> logkv::Result<Vec<String>> {
    /// The maximum number of segments shown.
    const NEAREST_COUNT: usize = 3;
    let segments = store.segments()?;
    let mut nearest: Vec<_> = segments.iter().filter(|segment| segment.dead_len > 0).collect();
    let has_dead = !nearest.is_empty();
    nearest.retain(|segment| segment.state == SegmentState::Sealed);
    nearest.sort_by_key(|segment| Reverse(text::percent_dead(segment)));
    let mut lines = vec!["nothing is due".to_owned()];
    for segment in nearest.iter().take(NEAREST_COUNT) {
        let percent = text::percent_dead(segment);
        let dead = units::bytes(segment.dead_len);
        let remark = match store.compaction_plan(&Compact::Segments(vec![segment.id])) {
            Err(Error::NotCompactable { reason, .. }) => format!("not compacted: {reason}"),
            _ if percent >= due_percent.into() => "not due: its tombstones are still needed".to_owned(),
            _ => format!("due at {due_percent}%"),
        };
        lines.push(format!("segment {} is {percent}% dead ({dead}); {remark}", segment.id));
    }
    if has_dead {
        lines.push("compact --all compacts every segment with dead records".to_owned());
    }
    Ok(lines)
}
