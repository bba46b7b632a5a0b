//! `repair`: a store of what is intact, and what had to be given up.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use logkv::repair::{self, GivenUp, Lost, Now, RepairReport};
use logkv::{Error, Location};
use serde_json::Value;

use super::command::{Flag, Invocation, Outcome, Takes};
use super::failure::Failure;
use super::grid::wrap;
use super::json::{self, Object};
use super::output::{Mode, Output};
use super::segments;
use super::session::Session;
use super::style::hue;
use super::units;
use super::words::{quote, visible};

/// The flags of `repair`.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "to",
        short: None,
        takes: Takes::File,
        doc: "Makes the repaired store in this directory, which is missing or empty",
    },
    Flag {
        name: "in-place",
        short: None,
        takes: Takes::Nothing,
        doc: "Puts it in the place of the damaged one, which is kept beside it; asks first",
    },
];

/// Runs `repair`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let to = invocation.value("to").map(|word| word.path().to_owned());
    let usage = |message| Err(Failure::usage(message).at(invocation.name.clone()));
    if session.is_writing() {
        let failure = Failure::command("the store is open in this shell");
        return Err(failure.hint("leave it, and call logkv DIR repair"));
    }
    let (dir, options) = (session.dir().to_owned(), session.options.clone());
    let (from, to, is_in_place) = match (to, invocation.has("in-place")) {
        (Some(to), false) => (dir, to, false),
        (None, true) => {
            let dir = named(dir)?;
            let aside = aside(&dir);
            (dir, aside, true)
        }
        (None, false) => return usage("repair takes --to DIR, or --in-place"),
        (Some(_), true) => return usage("repair takes either --to DIR or --in-place"),
    };
    if is_in_place {
        let question = format!(
            "put what is intact of {} in its place, and keep what is there now as {}",
            shown(&from),
            shown(&to)
        );
        if !session.confirm(&question)? {
            return Ok(Outcome::Done);
        }
    }
    let progress = session.progress("repairing");
    let interrupt = session.interrupt.clone();
    let observe = &mut |at: repair::RepairProgress| {
        progress.at(at.done_len, at.total_len);
        if interrupt.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let repaired = match is_in_place {
        true => repair::in_place(&from, &to, &options, observe),
        false => repair::copy(&from, &to, &options, observe),
    };
    progress.clear();
    let report = repaired.map_err(|error| match error {
        Error::Locked { .. } => Failure::open(&error).hint("a store that is written to cannot be repaired"),
        error => Failure::open(&error),
    })?;
    if report.is_cancelled {
        return Err(Failure {
            message: "interrupted; nothing was made".to_owned(),
            ..Failure::interrupted()
        });
    }
    let places = if is_in_place { (&from, Some(&to)) } else { (&to, None) };
    write(&mut session.out, &report, places)?;
    Ok(if report.is_whole() { Outcome::Done } else { Outcome::Damaged })
}

/// The directory under a name that it can change: `.` has none, and a link is not it.
fn named(dir: PathBuf) -> Result<PathBuf, Failure> {
    if dir.file_name().is_some() && !dir.is_symlink() {
        return Ok(dir.components().collect());
    }
    dir.canonicalize().map_err(|error| Failure::file("open", &dir, &error))
}

/// Where the damaged store goes: beside itself, under a name that is free.
fn aside(dir: &Path) -> PathBuf {
    let name = |suffix: &str| {
        let mut name = dir.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut names = std::iter::once(name(".damaged")).chain((2..).map(|n| name(&format!(".damaged-{n}"))));
    let free = names.find(|path| path.symlink_metadata().is_err());
    free.expect("there is a number that nobody has used")
}

fn shown(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

fn write(
    out: &mut Output,
    report: &RepairReport,
    (place, aside): (&PathBuf, Option<&PathBuf>),
) -> io::Result<()> {
    match out.mode {
        Mode::Table => write_table(out, report, place, aside),
        Mode::Plain | Mode::Raw => {
            for (name, number) in figures(report) {
                writeln!(out, "{name}\t{number}")?;
            }
            report.given_up.iter().try_for_each(|given_up| write_plain(out, given_up))
        }
        Mode::Json => {
            let mut object = Object::new(out);
            object.field("store", shown(place))?.field("aside", aside.map(|path| shown(path)))?;
            for (name, number) in figures(report) {
                object.field(name, number)?;
            }
            let ids = |ids: &[logkv::SegmentId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
            let gaps = report.gaps.iter().map(|gap| vec![gap.start.0, gap.end.0]).collect::<Vec<_>>();
            object.field("manifest_lost", report.manifest_lost.clone())?.field("gaps", gaps)?;
            object.field("copied", ids(&report.copied))?.field("salvaged", ids(&report.salvaged))?;
            object.field("unlisted", ids(&report.unlisted))?.field("left_out", ids(&report.left_out))?;
            let strangers = report.strangers.iter().map(|name| shown(Path::new(name)));
            object.field("strangers", strangers.collect::<Vec<_>>())?;
            object.field("options_lost", report.options_lost.clone())?;
            object.field("given_up", report.given_up.iter().map(given_up_json).collect::<Vec<_>>())?.end()
        }
    }
}

fn figures(report: &RepairReport) -> [(&'static str, u64); 5] {
    [
        ("records", report.record_count),
        ("duplicates", report.duplicate_count),
        ("torn_bytes", report.torn_len),
        ("given_up_places", report.given_up.len() as u64),
        ("given_up_bytes", report.given_up_len()),
    ]
}

fn write_plain(out: &mut Output, given_up: &GivenUp) -> io::Result<()> {
    let GivenUp { segment, range, reason, .. } = given_up;
    writeln!(out, "given_up\t{segment}\t{}\t{}\t{reason}", range.start, range.end - range.start)?;
    for lost in &given_up.lost {
        // No key prints like that.
        let key = lost.key.as_deref().map_or_else(|| "-".to_owned(), quote);
        let kind = if lost.is_delete { "delete" } else { "put" };
        let certain = if lost.is_certain { "certain" } else { "perhaps" };
        let (now, seq) = now_name(lost.now);
        let seq = seq.map(|seq| seq.to_string()).unwrap_or_default();
        writeln!(out, "lost\t{key}\t{certain}\t{kind}\t{now}\t{seq}")?;
    }
    Ok(())
}

fn given_up_json(given_up: &GivenUp) -> Value {
    let lost = |lost: &Lost| {
        let (now, seq) = now_name(lost.now);
        let seq = seq.map(|seq| seq.0);
        let mut object = serde_json::json!({
            "certain": lost.is_certain, "delete": lost.is_delete, "now": now, "seq": seq,
        });
        if let (Some(key), Some(fields)) = (&lost.key, object.as_object_mut()) {
            let (name, key) = json::bytes("key", key);
            fields.insert(name, key);
        }
        object
    };
    serde_json::json!({
        "segment": given_up.segment.0,
        "offset": given_up.range.start,
        "len": given_up.range.end - given_up.range.start,
        "reason": given_up.reason.to_string(),
        "seqs": [given_up.seqs.start.0, given_up.seqs.end.0],
        "splits_batch": given_up.splits_batch,
        "lost": given_up.lost.iter().map(lost).collect::<Vec<_>>(),
    })
}

fn now_name(now: Now) -> (&'static str, Option<logkv::Seqno>) {
    match now {
        Now::Newer(seq) => ("newer", Some(seq)),
        Now::Older(seq) => ("older", Some(seq)),
        Now::Absent => ("absent", None),
    }
}

fn write_table(
    out: &mut Output,
    report: &RepairReport,
    place: &Path,
    aside: Option<&PathBuf>,
) -> io::Result<()> {
    let look = out.look;
    for line in sentences(report, place, aside) {
        writeln!(out, "{}", wrap(&line, look.width))?;
    }
    for given_up in &report.given_up {
        writeln!(out, "{}", look.paint(wrap(&place_of(given_up), look.width), hue::BAD))?;
        for lost in &given_up.lost {
            writeln!(out, "  {}", wrap(&fate(lost), look.width.saturating_sub(2)).replace('\n', "\n  "))?;
        }
    }
    Ok(())
}

/// What was done, in sentences.
fn sentences(report: &RepairReport, place: &Path, aside: Option<&PathBuf>) -> Vec<String> {
    let records = units::count(report.record_count, "record");
    let mut lines = vec![format!("{} holds {records}, each as it was written", shown(place))];
    lines.extend(aside.map(|aside| format!("what was there is in {}, as it was", shown(aside))));
    if let Some(aside) = aside.filter(|_| !report.strangers.is_empty()) {
        let names: Vec<String> = report.strangers.iter().map(|name| shown(Path::new(name))).collect();
        lines.push(format!("not the store's, and only in {} now: {}", shown(aside), names.join(", ")));
    }
    if let Some(why) = &report.options_lost {
        lines.push(format!("logkv.toml was left out: {why}"));
    }
    if let Some(why) = &report.manifest_lost {
        lines.push(format!("MANIFEST was made anew from the segments' headers: {}", visible(why.as_bytes())));
    }
    if !report.salvaged.is_empty() {
        lines.push(format!("{}: what is intact went into new ones", segments::names(&report.salvaged)));
    }
    if !report.unlisted.is_empty() && report.manifest_lost.is_none() {
        let names = segments::names(&report.unlisted);
        lines.push(format!("{names}: taken in, although MANIFEST does not list them"));
    }
    if report.duplicate_count > 0 {
        let records = units::count(report.duplicate_count, "record");
        lines.push(format!("{records} stood in two segments, and are taken once"));
    }
    if !report.left_out.is_empty() {
        let names = segments::names(&report.left_out);
        lines.push(format!("{names}: left out, of another store or past making out"));
    }
    if report.manifest_lost.is_some() {
        lines.push("whether segments are missing at the log's end only MANIFEST knew".to_owned());
        lines.extend(report.gaps.iter().map(|gap| {
            let (first, last) = (gap.start, gap.end.previous());
            format!("numbers {first} to {last} are in no segment: compacted away, or lost with one")
        }));
    }
    if report.torn_len > 0 {
        let len = units::bytes(report.torn_len);
        lines.push(format!("{len} of an unfinished write at the log's end were left out"));
    }
    lines.push(match report.given_up.len() {
        0 if report.is_whole() => "nothing had to be given up".to_owned(),
        0 => "of the segments that were taken nothing had to be given up".to_owned(),
        count => {
            let (places, len) = (units::count(count as u64, "place"), units::bytes(report.given_up_len()));
            format!("given up: {places}, {len}")
        }
    });
    lines
}

fn place_of(given_up: &GivenUp) -> String {
    let at = Location { segment: given_up.segment, offset: given_up.range.start };
    let len = units::bytes(given_up.range.end - given_up.range.start);
    let batch = if given_up.splits_batch { "; the rest of its batch was kept" } else { "" };
    let unknown = if given_up.lost.is_empty() { "; whose records these were is not known" } else { "" };
    format!("{at}, {len}: {}{batch}{unknown}", given_up.reason)
}

/// What the loss of a record means.
fn fate(lost: &Lost) -> String {
    let perhaps = if lost.is_certain { "" } else { "perhaps " };
    let key = lost.key.as_deref().map(quote).map(|key| format!("{perhaps}{key}"));
    let key = key.unwrap_or_else(|| "a key that nothing names".to_owned());
    match (lost.now, lost.is_delete) {
        (Now::Newer(seq), _) => format!("{key}: none the worse, record {seq} is newer"),
        (Now::Older(seq), false) => format!("{key}: has an older value again, of record {seq}"),
        (Now::Older(seq), true) => {
            format!("{key}: is back, its delete is lost, with the value of record {seq}")
        }
        (Now::Absent, false) => format!("{key}: is gone"),
        (Now::Absent, true) => format!("{key}: stays deleted"),
    }
}
