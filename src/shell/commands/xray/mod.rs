//! `dump-segment`: a segment's records, why each is live or dead, and every byte of it.
//!
//! It reads the segment's file alone ([`logkv::inspect`]), so it works where the store does not open. Data files of other
//! stores are shown, too ([`foreign`]).

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
use std::ops::ControlFlow;

use logkv::inspect::{self, Inspection, Item};
use logkv::{Compact, Error, Location, SegmentId, Store};

use self::printer::Printer;
use self::request::DumpForm;
pub use self::request::{DumpRequest, FLAGS};
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
    summary: "A segment record by record, and why each is alive or dead",
    help: "Prints a line a record: where it is, what it holds, whether its checksum is right, and \
           whether it is live; for a dead one, which record killed it. Then it prints a map of the \
           segment's bytes and their sums.\n\n\
           It also works if the store does not open. Mode table shows the first 40, and the command \
           that shows the next ones. SEG may also be a data file of another store, N.bitcask.data of \
           Riak's bitcask or segment_N.log of the Go program logkv-store, and is shown in that format's \
           own terms; DIR need not be a store then.\n\n\
           --hex shows every byte, field by field, with its offset in the file and, after a +, in the \
           record: in modes plain and raw as in mode table, and in mode json as bytes_b64.\n\n\
           Exit code 4 when a record is damaged.\n\n\
           Mode plain has number, offset, length, kind, seq, milliseconds since 1970, key, value, \
           checksum, state and the record that replaced, deleted or hides it, separated by tabs; mode \
           json an object a record and a summary.",
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
    // A store that does not open can still be looked at, and the tail that an open store leaves out.
    let store = session.store().ok().filter(|store| !has_torn_tail(store, request.segment));
    let inspect = || match &store {
        Some(store) => store.inspect(request.segment),
        None => inspect::segment(session.dir(), &session.config.options, request.segment),
    };
    // All of it is read before anything is shown. Alone it has written nothing, and may be ended anywhere.
    let inspection = match session.origin {
        Origin::OneShot => session.interrupt.ending(|| {}, inspect).map_err(Failure::no_watch)?,
        Origin::Person | Origin::Script => inspect(),
    };
    let inspection = inspection.map_err(|error| match error {
        Error::NoSuchSegment { segment } => segments::missing(segment, session),
        error => error.into(),
    })?;
    let interrupt = session.interrupt.clone();
    remember_damage(session, &inspection)?;
    dump(&inspection, &request, store.as_ref(), &mut session.out, &interrupt)
}

/// Has the session know where the segment is damaged. Without damage nothing is read.
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

/// Whether a call is about the data file of another store, and so wants no store to be open.
fn is_foreign(args: &[Word]) -> bool {
    foreign::format(args).is_some()
}

/// Whether `segment` ends in an unfinished write that opening the store left where it is.
fn has_torn_tail(store: &Store, segment: SegmentId) -> bool {
    let torn = store.open_report().torn;
    store.is_read_only() && torn.is_some_and(|torn| torn.at.segment == segment)
}

/// Shows what `request` asks of `inspection`, in the mode of `out`. Where there is a `store`, it says what compaction
/// would free.
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
        // What is cut to a page is not paged as well.
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

/// What compacting this segment alone would free, in bytes; `None` where nobody can say: it is active or damaged, or
/// the store is not open.
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
    let tallies = store.compaction_decisions(&plan, run, &mut |_| match interrupt.is_set() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
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

    /// A segment with a record of each fate: a put that was replaced, one that was deleted, one that lives, and the
    /// delete.
    pub(super) fn store_with_history() -> (TempDir, Inspection) {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let store = Store::open(dir.path().join("data")).expect("a store can be made");
        store.put("user:1", "alice").expect("it can be written to");
        store.put("user:2", "bob").expect("it can be written to");
        store.put("user:1", "Alice Cooper").expect("it can be written to");
        store.delete("user:2").expect("it can be written to");
        let inspection = store.inspect(SegmentId(1)).expect("its segment can be read");
        (dir, inspection)
    }

    pub(super) fn all_items(inspection: &Inspection) -> Vec<Item> {
        inspection.items(Range::default()).collect::<Result<_, _>>().expect("its segment can be read")
    }
}
