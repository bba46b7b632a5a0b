//! `dump-segment`: a segment's records, why each is live or dead, and every byte of it.
//!
//! It reads the segment's file alone ([`logkv::inspect`]), so it works where the store does not open. Data files of other
//! stores are shown, too ([`foreign`]).

mod fields;
mod foreign;
mod hex;
mod json;
mod list;
mod map;
mod paint;
mod plain;
mod request;
mod summary;
mod text;

use std::io::Write;
use std::ops::ControlFlow;

use logkv::inspect::{self, Inspection, Item, RecordItem};
use logkv::{Compact, Error, Location, SegmentId, Store};

use self::hex::RowLimit;
use self::list::List;
use self::paint::{glyphs, hue};
use self::request::Form;
pub use self::request::{FLAGS, Request, Values};
use self::text::State;
use super::compact;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::Word;
use crate::shell::run::segments;
use crate::shell::run::session::{Invocation, Origin, Session};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// Runs `dump-segment`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if let Some(format) = foreign::format(&invocation.args) {
        return foreign::run(session, invocation, format);
    }
    let segment = segments::parse(&invocation.args[0], "dump-segment")?;
    let request = Request::of(invocation, segment, session.out.mode)?;
    // A store that does not open can still be looked at, and the tail that an open store leaves out.
    let store = session.store().ok().filter(|store| !has_torn_tail(store, request.segment));
    let inspect = || match &store {
        Some(store) => store.inspect(request.segment),
        None => inspect::segment(session.dir(), &session.options, request.segment),
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
pub fn is_foreign(args: &[Word]) -> bool {
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
    request: &Request,
    store: Option<&Store>,
    out: &mut Output,
    interrupt: &Interrupt,
) -> Result<Outcome, Failure> {
    if let Some(record) = request.record.filter(|record| *record >= inspection.totals.record_count) {
        let count = units::count(inspection.totals.record_count, "record");
        let message = format!("there is no record {record}: segment {} has {count}", inspection.id);
        return Err(Failure::command(message).hint("the first is record 0"));
    }
    let form = request.form(out.mode);
    let mut dump = Dump { inspection, request, store, interrupt, shown: 0 };
    let mut items = request.items(inspection);
    let mut wanted = items.by_ref().take(request.limit(out));
    match form {
        Form::Drawn if request.hex => dump.write_hex(out, &mut wanted)?,
        Form::Drawn => dump.write_list(out, &mut wanted)?,
        Form::Objects => dump.each(&mut wanted, |item| Ok(json::write(out, item, request)?))?,
        Form::Lines => {
            dump.each(&mut wanted, |item| Ok(plain::write(out, item, request.values)?))?;
        }
    }
    let next = items.next().transpose()?.map(|item| offset(&item));
    match form {
        Form::Drawn => dump.write_end(out, next)?,
        Form::Objects => json::write_summary(out, inspection, dump.would_free()?, next)?,
        Form::Lines => {}
    }
    let is_damaged = inspection.header.is_err() || inspection.totals.damaged_count > 0;
    Ok(if is_damaged { Outcome::Damaged } else { Outcome::Done })
}

/// One run of the command.
struct Dump<'a> {
    inspection: &'a Inspection,
    request: &'a Request,
    store: Option<&'a Store>,
    interrupt: &'a Interrupt,
    shown: u64,
}

type Items<'a> = dyn Iterator<Item = logkv::Result<Item>> + 'a;

impl Dump<'_> {
    /// Shows the items one by one, until Ctrl-C.
    fn each(
        &mut self,
        items: &mut Items<'_>,
        mut show: impl FnMut(&Item) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for item in items {
            self.interrupt.check(self.shown)?;
            show(&item?)?;
            self.shown += 1;
        }
        Ok(())
    }

    fn write_list(&mut self, out: &mut Output, items: &mut Items<'_>) -> Result<(), Failure> {
        let look = out.look;
        summary::write_header(out, self.inspection, &look)?;
        let measured = (&mut *items).take(Request::PAGE_LEN).collect::<logkv::Result<Vec<_>>>()?;
        if measured.is_empty() {
            return Ok(());
        }
        if self.request.is_page(out) && measured.len() == Request::PAGE_LEN {
            // What is cut to a page is not paged as well.
            out.flush()?;
        }
        let mut list = List::new(self.inspection, &measured, self.request.values, look);
        let mut all = measured.into_iter().map(Ok).chain(items);
        self.each(&mut all, |item| Ok(list.write(out, self.inspection, item)?))?;
        Ok(list.end(out)?)
    }

    fn write_hex(&mut self, out: &mut Output, items: &mut Items<'_>) -> Result<(), Failure> {
        let look = out.look;
        summary::write_header(out, self.inspection, &look)?;
        if self.request.is_whole() {
            summary::write_header_hex(out, self.inspection, &look)?;
        }
        let mut damage = List::of_damage(self.inspection, look);
        self.each(items, |item| {
            match item {
                Item::Record(record) => write_record_hex(out, record, self.request.values)?,
                Item::Damaged { .. } | Item::Torn { .. } => damage.write(out, self.inspection, item)?,
            }
            Ok(())
        })
    }

    fn write_end(&self, out: &mut Output, next: Option<u64>) -> Result<(), Failure> {
        let look = out.look;
        if self.shown == 0 {
            writeln!(out, "  {}", look.paint("no record matches", hue::DIM))?;
        }
        if let Some(next) = next {
            let cut = glyphs(&look).cut;
            let shown = format!("  {cut} {} shown; to go on:", self.shown);
            writeln!(out, "{} {}", look.paint(shown, hue::DIM), self.continuation(next))?;
        }
        if self.request.record.is_none() {
            summary::write_footer(out, self.inspection, self.would_free()?, &look)?;
        }
        Ok(())
    }

    fn continuation(&self, next: u64) -> String {
        self.request.continuation(&self.inspection.id.to_string(), next)
    }

    /// What compacting this segment alone would free, in bytes; `None` where nobody can say: it is active or damaged, or
    /// the store is not open.
    fn would_free(&self) -> Result<Option<u64>, Failure> {
        let this = Compact::Segments(vec![self.inspection.id]);
        let (Some(store), Ok(header)) = (self.store, &self.inspection.header) else { return Ok(None) };
        if self.inspection.totals.damaged_count > 0 {
            return Ok(None);
        }
        let Ok(plan) = store.compaction_plan(&this) else { return Ok(None) };
        let [run] = plan.runs.as_slice() else { return Ok(None) };
        let tallies = store.compaction_decisions(&plan, run, &mut |_| match self.interrupt.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        self.interrupt.check(self.shown)?;
        let after = |tallies| compact::len_after(&tallies, header.header_len.into());
        Ok(tallies.ok().map(|tallies| self.inspection.len.saturating_sub(after(tallies))))
    }
}

/// Writes a record byte by byte.
fn write_record_hex(out: &mut Output, record: &RecordItem, values: Values) -> std::io::Result<()> {
    let look = out.look;
    let dot = glyphs(&look).dot;
    let state = State::of(record);
    let what = format!("record {} {dot} {} {dot} {} B", record.index, record.location, record.len);
    writeln!(out, "{} {dot} {}", look.paint(what, hue::HEAD), look.paint(state.long(), state.hue()))?;
    let of = record.location.offset..record.location.offset + record.len;
    for field in fields::of_record(record) {
        let rows = match values {
            Values::Full => hex::ALL_ROWS,
            Values::None if field.name == "value" => RowLimit::NONE,
            Values::None | Values::Preview => RowLimit::PREVIEW,
        };
        hex::write(out, &field, &of, rows, &look)?;
    }
    Ok(())
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
