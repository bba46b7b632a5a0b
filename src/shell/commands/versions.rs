//! `versions`: shows every record of a key in the log.

use std::io;

use logkv::{At, Location, Seqno, Version};

use super::get::missing;
use super::keys::quote_start;
use super::words::{HEX, arguments};
use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::moment::Moment;
use crate::shell::term::output::Output;
use crate::shell::term::style::{Look, hue};
use crate::shell::term::units;

pub const VERSIONS: Command = Command {
    name: "versions",
    aliases: &["log"],
    group: Group::Inspect,
    signature: "KEY [--hex]",
    summary: "Shows every record of a key in the log",
    help: "Shows the records of the key and their states, the oldest first.\n\n\
           Compaction drops replaced records, unless --keep-versions or --keep-for keeps them. A note \
           says if records may be missing.\n\n\
           Mode plain has seq, milliseconds since 1970, location, PUT or DEL, state and value, separated \
           by tabs; mode json one object a record.",
    examples: &[Example { line: "versions user:1", does: "shows the earlier values of user:1" }],
    flags: &[HEX],
    args: &[ArgKind::Key],
    arity: Arity::exactly(1),
    needs: Needs::Reading,
    run: Run::Itself(run_versions),
};

/// The terminal width from which times have milliseconds, and states their reasons. On a narrower
/// terminal the record on the next line is the reason.
const WIDTH_OF_REASONS: usize = 72;

/// The state of a version, in the words of `dump-segment`.
struct VersionState {
    /// `LIVE`, `dead`, `tomb` or `expired`.
    word: &'static str,
    /// The reason for `dead`: `replaced by` or `deleted by`.
    why: &'static str,
    /// The record that replaced or deleted it.
    by: Option<Location>,
}

impl VersionState {
    fn of(version: &Version, next: Option<&Version>, now_ms: u64) -> Self {
        let is_past = version.meta.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        let (word, why) = match next {
            Some(next) if next.value.is_some() => ("dead", "replaced by"),
            Some(_) => ("dead", "deleted by"),
            None if version.value.is_none() => ("tomb", ""),
            None if is_past => ("expired", ""),
            None => ("LIVE", ""),
        };
        Self { word, why, by: next.map(|next| next.meta.location) }
    }

    /// Returns the state with its reason: `dead  replaced by 3:0x00003a`.
    fn text(&self) -> String {
        let Self { word, why, by } = self;
        by.map_or_else(|| (*word).to_owned(), |by| format!("{word}  {why} {by}"))
    }

    fn name(&self) -> String {
        self.word.to_lowercase()
    }
}

fn run_versions(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let [key] = arguments(invocation)?.try_into().expect("the row takes one argument");
    let store = session.store()?;
    let found = store.versions(&key)?;
    let now_ms = store.now_ms();
    let dropped_to = found.dropped_to();
    let given_up_to = found.given_up_to();
    let mut table = Table::new(&[], session.out.look);
    let widest = if session.out.is_table() { widest(session)? } else { (0, 0) };
    let mut damage = None;
    let mut count = 0;
    let mut versions = found.peekable();
    while let Some(version) = versions.next() {
        session.interrupt().check(count)?;
        count += 1;
        match version {
            Ok(version) => {
                let next = versions.peek().and_then(|next| next.as_ref().ok());
                let state = VersionState::of(&version, next, now_ms);
                write_version(&mut session.out, &mut table, &version, &state, widest)?;
            }
            // The failure is reported after the other records.
            Err(error) => drop(damage.get_or_insert(Failure::of_key(&error, &key))),
        }
    }
    table.end(&mut session.out)?;
    note_missing(session, dropped_to, given_up_to);
    match damage {
        None if count == 0 => missing(session, &key, "no records"),
        Some(damage) => Err(damage),
        None => session.shown_all(None),
    }
}

/// Returns the largest widths of a sequence number and a state. The table measures only the first
/// rows.
fn widest(session: &Session) -> Result<(usize, usize), Failure> {
    let store = session.store()?;
    let last_seq = store.at(At::Seq(Seqno(u64::MAX)))?.seq();
    let segments = store.segments()?;
    let ends = segments.iter().map(|segment| Location { segment: segment.id, offset: segment.len });
    let longest = ends.max_by_key(|end| end.to_string().len());
    let by = longest.filter(|_| gives_reasons(session.out.look));
    let state = VersionState { word: "dead", why: "replaced by", by };
    Ok((last_seq.to_string().len(), state.text().len()))
}

fn gives_reasons(look: Look) -> bool {
    look.width >= WIDTH_OF_REASONS
}

/// Writes the row of a version. A narrow terminal keeps the time, the value and the state.
fn write_version(
    out: &mut Output,
    table: &mut Table,
    version: &Version,
    state: &VersionState,
    (seq_width, state_width): (usize, usize),
) -> io::Result<()> {
    let Version { meta, value } = version;
    let kind = if value.is_some() { "PUT" } else { "DEL" };
    let value = value.as_deref();
    let mut row = out.row(table);
    row.json("key", &*meta.key).json("value", value);
    row.cell(Column::number("seq", hue::PLAIN).expecting(seq_width), |_| meta.seq.to_string());
    row.field("seq", meta.seq.0);
    row.cell(Column::text("time (UTC)", hue::PLAIN), |look| match gives_reasons(look) {
        true => Moment::of(meta.time_ms).full(),
        false => Moment::of(meta.time_ms).seconds_full(),
    });
    row.field("time_ms", meta.time_ms);
    row.cell(Column::text("record", hue::PLAIN).leaves(1), |_| meta.location.to_string());
    row.plain("record", meta.location.to_string());
    row.json("segment", meta.location.segment.0).json("offset", meta.location.offset);
    row.cell(Column::number("size", hue::PLAIN).leaves(2), |_| units::bytes(meta.len)).json("len", meta.len);
    row.json("expires_ms", meta.expires_ms);
    row.cell(Column::text("kind", hue::PLAIN).leaves(3), |_| kind).plain("kind", kind);
    row.cell(Column::text("value", hue::VALUE).cut(), |look| {
        value.map_or_else(|| look.none().to_owned(), quote_start)
    });
    row.cell(Column::text("state", hue::PLAIN).expecting(state_width), |look| match gives_reasons(look) {
        true => state.text(),
        false => state.word.to_owned(),
    });
    let by = state.by.map_or_else(String::new, |by| format!(" {} {by}", state.why));
    row.field_as("state", state.name(), format!("{}{by}", state.name()));
    row.plain("value", value.map_or("-".into(), FieldValue::Bytes)).json("why", state.why);
    row.json("by_segment", state.by.map(|by| by.segment.0)).json("by_offset", state.by.map(|by| by.offset));
    row.end()?;
    Ok(())
}

/// Notes that records of the key may be missing.
fn note_missing(session: &mut Session, dropped_to: Option<Seqno>, given_up_to: Option<Seqno>) {
    session.flush();
    if let Some(seq) = dropped_to {
        session.note(&format!(
            "note: compaction has dropped records up to number {seq}, maybe some of this key"
        ));
    }
    if let Some(seq) = given_up_to {
        session.note(&format!("note: a repair has lost records up to number {seq}, maybe some of this key"));
    }
}
