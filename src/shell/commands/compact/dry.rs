//! `compact --dry-run`: the decision about each record and its reason. Changes nothing.

use std::io::{self, Write};
use std::ops::ControlFlow;

use logkv::{
    Compact, CompactionPlan, CompactionReason, CompactionRun, Decided, Decision, Kept, SegmentState,
    SegmentStats, Store, Tallies,
};

use super::request::CompactRequest;
use super::sums::RecordSums;
use super::{outcome, text};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::quote;
use crate::shell::run::segments;
use crate::shell::run::session::Session;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::fit::wrap;
use crate::shell::term::output::Output;
use crate::shell::term::progress::Progress;
use crate::shell::term::style::hue;
use crate::shell::term::units;

/// The number of records on a page.
const RECORDS_SHOWN: u64 = 40;

/// Shows the effect of `request`.
pub fn run(session: &mut Session, request: &CompactRequest<'_>) -> Result<Outcome, Failure> {
    let store = session.store()?;
    let plan = store.compaction_plan(&request.what).map_err(|error| request.failure(error, session))?;
    let mut dry_run = DryRun::new(session, &plan, request.limit);
    let mut tallies = Vec::with_capacity(plan.runs.len());
    for (index, run) in plan.runs.iter().enumerate() {
        write_run(&mut session.out, run, index, plan.runs.len())?;
        tallies.push(dry_run.run(session, &store, &plan, run)?);
    }
    dry_run.progress.clear();
    if dry_run.seen > dry_run.limit {
        write_elided(&mut session.out, &dry_run)?;
    }
    let segments = store.segments()?;
    let nothing = match plan.runs.as_slice() {
        [] => outcome::nothing_to_do(session, &request.what)?,
        _ => Vec::new(),
    };
    DryRunSummary::of(&plan, tallies, &segments).write(&mut session.out, &nothing)?;
    note_active(session, request, &plan, &segments);
    Ok(Outcome::Done)
}

/// A dry run in progress.
struct DryRun {
    /// The number of records to show.
    limit: u64,
    /// Whether the limit is a page: on a terminal, without `--limit`.
    is_page: bool,
    /// The number of records read.
    seen: u64,
    done_len: u64,
    total_len: u64,
    progress: Progress,
}

impl DryRun {
    fn new(session: &Session, plan: &CompactionPlan, limit: Option<u64>) -> Self {
        let total_len = plan.runs.iter().map(|run| run.read_len).sum();
        let is_page = session.out.is_table() && session.out.is_terminal && limit.is_none();
        let limit = limit.unwrap_or(if is_page { RECORDS_SHOWN } else { u64::MAX });
        Self { limit, is_page, seen: 0, done_len: 0, total_len, progress: session.progress("reading") }
    }

    /// Shows the records of one run, and returns their tallies.
    fn run(
        &mut self,
        session: &mut Session,
        store: &Store,
        plan: &CompactionPlan,
        run: &CompactionRun,
    ) -> Result<Tallies, Failure> {
        let interrupt = session.interrupt().clone();
        let out = &mut session.out;
        let mut table = Some(Table::new(&[], out.look));
        let mut failure = None;
        let tallies = store.compaction_decisions(plan, run, &mut |decided| {
            let shown = interrupt
                .check(self.seen)
                .map_err(Failure::from)
                .and_then(|()| self.show(out, &mut table, &decided));
            shown.map_or_else(
                |error| {
                    failure = Some(error);
                    ControlFlow::Break(())
                },
                ControlFlow::Continue,
            )
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        end_table(&mut table, out)?;
        Ok(tallies?)
    }

    fn show(
        &mut self,
        out: &mut Output,
        table: &mut Option<Table>,
        decided: &Decided,
    ) -> Result<(), Failure> {
        self.seen += 1;
        self.done_len += decided.len;
        if self.seen > self.limit {
            if table.is_some() {
                if self.is_page {
                    // Output that is cut to a page does not go to the pager as well.
                    out.flush()?;
                }
                // The rows are on the screen while the rest is counted.
                end_table(table, out)?;
                out.flush()?;
            }
            self.progress.at(self.done_len, self.total_len);
            return Ok(());
        }
        write_record(out, table.as_mut(), decided)?;
        Ok(())
    }
}

fn end_table(table: &mut Option<Table>, out: &mut Output) -> io::Result<()> {
    table.take().map_or(Ok(()), |table| table.end(out))
}

fn kind(decided: &Decided) -> &'static str {
    if decided.is_tombstone { "del" } else { "put" }
}

fn needed_by(decided: &Decided) -> Option<u64> {
    match decided.decision {
        Decision::Keep(Kept::Tombstone { needed_by }) => Some(needed_by.0),
        _ => None,
    }
}

fn write_record(out: &mut Output, table: Option<&mut Table>, decided: &Decided) -> io::Result<()> {
    let (fate, why) = text::decision_names(decided.decision);
    let place = decided.at;
    let Some(table) = table else { return Ok(()) };
    let mut row = out.row(table);
    row.field("type", "record");
    row.cell(Column::number("record", hue::PLAIN), |_| place.to_string());
    row.field("segment", place.segment.0).field("offset", place.offset).field("len", decided.len);
    row.cell(Column::text("kind", hue::PLAIN).leaves(1), |_| kind(decided).to_uppercase());
    row.field("kind", kind(decided)).field("seq", decided.seq.0);
    row.cell(Column::text("key", hue::KEY).cut(), |_| quote(&decided.key)).field("key", &*decided.key);
    row.cell(Column::number("bytes", hue::PLAIN).leaves(2), |_| units::thousands(decided.len));
    row.cell(Column::text("fate", hue::PLAIN), |_| fate).field("fate", fate);
    // A reason is shown whole. The start of a key is enough.
    row.cell(Column::text("why", hue::DIM), |_| text::why(decided.decision)).field("why", why);
    row.field("needed_by", needed_by(decided)).end()?;
    Ok(())
}

/// Writes a run: its segments, its reason, and the bytes that it reads and writes.
fn write_run(out: &mut Output, run: &CompactionRun, index: usize, count: usize) -> io::Result<()> {
    let ids: Vec<_> = run.segments.iter().map(|id| id.0).collect();
    let name = text::reason_name(run.reason);
    let (percent, len) = match run.reason {
        CompactionReason::DeadShare { percent } => (Some(percent), None),
        CompactionReason::DeadBytes { len } => (None, Some(len)),
        CompactionReason::Asked | CompactionReason::Small => (None, None),
    };
    let mut answer = out.answer();
    answer.say(|look| {
        let number = if count == 1 { String::new() } else { format!("run {} of {count}: ", index + 1) };
        let head = format!("{number}{}, {}", segments::names(&run.segments), text::reason(run));
        let read = units::bytes(run.read_len);
        let write = units::bytes(run.write_len_max);
        let needs = format!("reads {read}; needs up to {write} of disk until the old files are removed");
        format!("{}\n{}", look.paint(wrap(&head, look.width), hue::HEAD), wrap(&needs, look.width))
    });
    answer.field("type", "run").field_as("segments", ids, segments::listed(&run.segments));
    answer.field("reason", name).json("dead_percent", percent).json("dead_bytes", len);
    answer.field("read_bytes", run.read_len).field("write_bytes_max", run.write_len_max).end()?;
    Ok(())
}

fn write_elided(out: &mut Output, dry_run: &DryRun) -> io::Result<()> {
    let shown = units::thousands(dry_run.limit);
    let seen = units::count(dry_run.seen, "record");
    out.say(|look| {
        let text = format!("{} {shown} of {seen}; --limit N shows more", look.ellipsis());
        look.paint(wrap(&text, look.width), hue::DIM)
    })
}

/// The totals of a dry run.
struct DryRunSummary {
    run_count: usize,
    segments_before: u64,
    bytes_before: u64,
    freed_len: u64,
    sums: RecordSums,
}

impl DryRunSummary {
    fn of(plan: &CompactionPlan, tallies: Vec<Tallies>, segments: &[SegmentStats]) -> Self {
        let mut bytes_before = 0;
        let mut freed_len = 0;
        for (run, tallies) in plan.runs.iter().zip(&tallies) {
            let inputs = || segments.iter().filter(|segment| run.segments.contains(&segment.id));
            let before: u64 = inputs().map(|segment| segment.len).sum();
            let header_len = |segment: &SegmentStats| segment.len - segment.live_len - segment.dead_len;
            let after = text::len_after(tallies, inputs().next().map_or(0, header_len));
            bytes_before += before;
            freed_len += before.saturating_sub(after);
        }
        Self {
            run_count: plan.runs.len(),
            segments_before: plan.runs.iter().map(|run| run.segments.len() as u64).sum(),
            bytes_before,
            freed_len,
            sums: RecordSums::of(tallies),
        }
    }

    fn named(&self) -> [(&'static str, u64); 6] {
        let kept = self.sums.kept().count;
        [
            ("runs", self.run_count as u64),
            ("segments_before", self.segments_before),
            ("bytes_before", self.bytes_before),
            ("freed_bytes", self.freed_len),
            ("records_before", kept + self.sums.dropped().count),
            ("records_after", kept),
        ]
    }

    /// Writes the totals. If no run is planned, people see the lines of `nothing`.
    fn write(&self, out: &mut Output, nothing: &[String]) -> io::Result<()> {
        let mut answer = out.figures_with("sum\t");
        answer.draw(|out| match self.run_count {
            0 => outcome::write_lines(out, nothing),
            _ => self.draw(out),
        });
        answer.json("type", "summary");
        for (name, number) in self.named() {
            answer.field(name, number);
        }
        self.sums.add_to(&mut answer, true);
        answer.end()?;
        Ok(())
    }

    fn draw(&self, out: &mut Output) -> io::Result<()> {
        writeln!(out)?;
        self.sums.write_table(out)?;
        let freed = units::bytes(self.freed_len);
        let before = units::bytes(self.bytes_before);
        let text = format!("compact would free {freed} of {before}; nothing was changed");
        writeln!(out, "{}", wrap(&text, out.look.width))
    }
}

/// Notes that `--all` would also seal and compact the active segment, which no plan includes.
fn note_active(
    session: &mut Session,
    request: &CompactRequest<'_>,
    plan: &CompactionPlan,
    segments: &[SegmentStats],
) {
    let is_planned = |id| plan.runs.iter().any(|run| run.segments.contains(&id));
    let active = segments.last().filter(|segment| {
        segment.state == SegmentState::Active && segment.dead_len > 0 && !is_planned(segment.id)
    });
    if let (Compact::All, Some(active)) = (&request.what, active) {
        session.flush();
        let dead = units::bytes(active.dead_len);
        session.note(&format!(
            "note: segment {} is active, and {dead} of it are dead; --all seals it first and compacts it too",
            active.id
        ));
    }
}
