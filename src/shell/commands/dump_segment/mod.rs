//! `dump-segment`: the records of a segment, why each is live or dead, and every byte of it.
//!
//! The command reads only the file of the segment ([`logkv::inspect`]), so it works on a store that
//! does not open. It also shows data files of other stores ([`foreign`]).

mod dump_item;
mod fields;
mod foreign;
mod hex;
mod list;
mod map;
mod own;
mod paint;
mod printer;
mod programs;
mod request;
mod summary;
mod text;

use std::io::Write;

use logkv::inspect::{self, Inspection, Item};
use logkv::{Compact, Error, Location, SegmentId, Store};

use self::printer::Printer;
use self::request::{DumpForm, DumpRequest, FLAGS};
use super::compact;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::Word;
use crate::shell::run::segments;
use crate::shell::run::session::{Command, Invocation, Origin, Run, Session};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;

pub const DUMP_SEGMENT: Command = Command {
    name: "dump-segment",
    aliases: &["dump"],
    group: Group::Inspect,
    signature: "SEG [--from OFFSET] [--limit N] [--tail N] [--record N] [--key PATTERN] \
                [--only live|dead|tomb|expired|bad] [--values none|preview|full] [--hex]",
    summary: "Shows a segment's records, and why each is live or dead",
    help: "Prints one line per record: its place, its contents, whether its checksum is right, and whether \
           it is live; for a dead record, the record that killed it. Then it prints a map of the segment \
           and its totals.\n\n\
           It also works if the store does not open. A terminal shows the first 40 records, and the \
           command that shows the next ones. SEG may also be a data file of another store: N.bitcask.data \
           of Riak's bitcask, or segment_N.log of the Go program logkv-store. DIR need not be a store \
           then.\n\n\
           --hex shows every byte, field by field, with its offset in the file and, after a +, in the \
           record; mode json has the bytes as bytes_b64.\n\n\
           Exit code 4 if a record is damaged.\n\n\
           Mode plain has number, offset, length, kind, seq, milliseconds since 1970, key, value, \
           checksum, state and the record that killed it or that it hides, separated by tabs; mode json \
           one object per record, and a summary.",
    examples: &[
        Example { line: "dump-segment 3", does: "shows the records of 000003.seg" },
        Example { line: "dump-segment 3 --only dead --limit 10", does: "shows ten dead records" },
        Example { line: "dump-segment 3 --record 0 --hex", does: "shows every byte of the first record" },
        Example { line: "dump-segment riak/7.bitcask.data", does: "shows a data file of Riak's bitcask" },
    ],
    flags: FLAGS,
    args: &[ArgKind::Segment],
    arity: Arity::exactly(1),
    needs: Needs::Files { unless: is_foreign },
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if let Some(format) = foreign::format(&invocation.args) {
        return foreign::run(session, invocation, format);
    }
    let segment = segments::parse(&invocation.args[0], "dump-segment")?;
    let request = DumpRequest::of(invocation, segment, session.out.mode)?;
    // A store that does not open can still be inspected, and so can a torn tail, which an open
    // store hides.
    let store = session.store().ok().filter(|store| !has_torn_tail(store, request.segment));
    let inspect = || match &store {
        Some(store) => store.inspect(request.segment),
        None => inspect::segment(session.dir(), &session.config().options, request.segment),
    };
    // The inspection comes before any output. A one-shot command may be killed during it: it has
    // written nothing.
    let inspection = match session.origin() {
        Origin::OneShot => session.interrupt().ending(|| {}, inspect).map_err(Failure::no_watch)?,
        Origin::Person | Origin::Script => inspect(),
    };
    let inspection = inspection.map_err(|error| match error {
        Error::NoSuchSegment { segment } => segments::missing(segment, session),
        error => error.into(),
    })?;
    let interrupt = session.interrupt().clone();
    remember_damage(session, &inspection)?;
    dump(&inspection, &request, store.as_ref(), &mut session.out, &interrupt)
}

/// Reports the damaged locations to the session. Reads nothing if there is no damage.
fn remember_damage(session: &mut Session, inspection: &Inspection) -> Result<(), Failure> {
    let mut left = inspection.totals.damaged_count;
    let mut items = inspection.items(inspect::Range::default());
    while left > 0
        && let Some(item) = items.next()
    {
        let item = item?;
        let is_damaged = match &item {
            Item::Record(record) => record.damage.is_some(),
            Item::Damaged { .. } => true,
            Item::Torn { .. } => false,
        };
        if is_damaged {
            left -= 1;
            session.remember_damage(Location { segment: inspection.id, offset: offset(&item) });
        }
    }
    Ok(())
}

/// Returns whether the arguments name a data file of another store, which needs no open store.
fn is_foreign(args: &[Word]) -> bool {
    foreign::format(args).is_some()
}

/// Returns whether `segment` has a torn tail that a read-only open left in place.
fn has_torn_tail(store: &Store, segment: SegmentId) -> bool {
    let torn = store.open_report().torn;
    store.is_read_only() && torn.is_some_and(|torn| torn.at.segment == segment)
}

/// Shows the requested items of `inspection` in the mode of `out`. With a `store`, the summary
/// includes the bytes that compaction would free.
fn dump(
    inspection: &Inspection,
    request: &DumpRequest,
    store: Option<&Store>,
    out: &mut Output,
    interrupt: &Interrupt,
) -> Result<Outcome, Failure> {
    request.check_record(inspection.totals.record_count, &format!("segment {}", inspection.id))?;
    let form = request.form(out.mode);
    let look = out.look;
    let mut items = request.items(inspection);
    let mut wanted = items.by_ref().take(request.limit(out));
    let mut measured = Vec::new();
    if form == DumpForm::Drawn {
        summary::write_header(out, inspection, &look)?;
        if !request.hex {
            measured = wanted.by_ref().take(DumpRequest::PAGE_LEN).collect::<logkv::Result<Vec<_>>>()?;
        } else if request.is_whole() {
            summary::write_header_hex(out, inspection, &look)?;
        }
    }
    if request.is_page(out) && measured.len() == DumpRequest::PAGE_LEN {
        // Output that is cut to a page does not go to the pager as well.
        out.flush()?;
    }
    let mut printer = Printer::new(request, own::shape(inspection, &measured), out);
    for item in measured.into_iter().map(Ok).chain(wanted) {
        interrupt.check(printer.shown)?;
        printer.write(out, &own::dump_item(&item?, inspection.role))?;
    }
    let next = items.next().transpose()?.map(|item| offset(&item));
    let shown = printer.shown;
    let would_free = || would_free(inspection, store, interrupt, shown);
    printer.end(out, &inspection.id.to_string(), next)?;
    match form {
        DumpForm::Drawn if request.record.is_some() => {}
        DumpForm::Drawn => summary::write_footer(out, inspection, would_free()?, &look)?,
        DumpForm::Objects => programs::write_summary(out, own::summary(inspection, would_free()?), next)?,
        DumpForm::Lines => {}
    }
    let is_damaged = inspection.header.is_err() || inspection.totals.damaged_count > 0;
    Ok(if is_damaged { Outcome::Damaged } else { Outcome::Done })
}

/// Returns the number of bytes that compacting only this segment would free, or `None` if the
/// segment is active or damaged, or the store is not open.
fn would_free(
    inspection: &Inspection,
    store: Option<&Store>,
    interrupt: &Interrupt,
    shown: u64,
) -> Result<Option<u64>, Failure> {
    let this = Compact::Segments(vec![inspection.id]);
    let (Some(store), Ok(header)) = (store, &inspection.header) else { return Ok(None) };
    if inspection.totals.damaged_count > 0 {
        return Ok(None);
    }
    let Ok(plan) = store.compaction_plan(&this) else { return Ok(None) };
    let [run] = plan.runs.as_slice() else { return Ok(None) };
    let tallies = store.compaction_decisions(&plan, run, &mut |_| interrupt.flow());
    interrupt.check(shown)?;
    let after = |tallies| compact::len_after(&tallies, header.header_len.into());
    Ok(tallies.ok().map(|tallies| inspection.len.saturating_sub(after(tallies))))
}

fn offset(item: &Item) -> u64 {
    match item {
        Item::Record(record) => record.location.offset,
        Item::Damaged { at, .. } | Item::Torn { at, .. } => *at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logkv::inspect::Range;
    use tempfile::TempDir;

    /// Creates a segment with a replaced put, a deleted put, a live put and a delete.
    pub(super) fn store_with_history() -> (TempDir, Inspection) {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let store = Store::open(dir.path().join("data")).expect("a store can be created");
        store.put("user:1", "alice").expect("the store is writable");
        store.put("user:2", "bob").expect("the store is writable");
        store.put("user:1", "Alice Cooper").expect("the store is writable");
        store.delete("user:2").expect("the store is writable");
        let inspection = store.inspect(SegmentId(1)).expect("the segment is readable");
        (dir, inspection)
    }

    pub(super) fn all_items(inspection: &Inspection) -> Vec<Item> {
        inspection.items(Range::default()).collect::<Result<_, _>>().expect("the segment is readable")
    }
}
