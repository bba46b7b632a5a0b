//! What came of a repair, in every form.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use logkv::repair::{GivenUp, Lost, Now, RepairReport};
use logkv::{Location, SegmentId};
use serde_json::Value;

use super::shown;
use crate::shell::lang::words::quote;
use crate::shell::lang::words::visible;
use crate::shell::run::segments;
use crate::shell::term::fit::hang;
use crate::shell::term::json::{self, Object};
use crate::shell::term::output::{Mode, Output};
use crate::shell::term::style::hue;
use crate::shell::term::units;

/// Before the second line of a long sentence.
const INDENT: usize = 4;

/// Tells of a repair after which the store stands in `place`, and the damaged one in `aside`, if it was put there.
pub fn write(out: &mut Output, report: &RepairReport, place: &Path, aside: Option<&Path>) -> io::Result<()> {
    match out.mode {
        Mode::Table => write_table(out, report, place, aside),
        Mode::Plain | Mode::Raw => {
            write_facts(out, report)?;
            // It stands beside the store.
            if let Some(aside) = aside.and_then(Path::file_name) {
                writeln!(out, "aside\t{}", quote(aside.as_bytes()))?;
            }
            report.given_up.iter().try_for_each(|given_up| write_plain(out, given_up))
        }
        Mode::Json => write_json(out, report, place, aside),
    }
}

/// Tells that there was nothing to repair in `place`, and, if it was done just now, that what a repair had replaced before is
/// in `aside`.
pub fn write_needless(out: &mut Output, place: &Path, aside: Option<&Path>) -> io::Result<()> {
    match out.mode {
        Mode::Table => {
            let mut lines = vec![format!("{} has no damage: nothing was changed", shown(place))];
            if let Some(aside) = aside {
                let (place, aside) = (shown(place), shown(aside));
                lines =
                    vec![format!("{place} was repaired before; what was there until then is in {aside} now")];
            }
            write_lines(out, &lines)
        }
        Mode::Plain | Mode::Raw => writeln!(out, "ok"),
        Mode::Json => {
            let mut object = Object::new(out);
            write_places(&mut object, place, aside)?;
            object.field("needed", false)?.end()
        }
    }
}

fn write_places(object: &mut Object<'_, Output>, place: &Path, aside: Option<&Path>) -> io::Result<()> {
    object.field("type", "repair")?.bytes("store", place.as_os_str().as_bytes())?;
    match aside {
        Some(aside) => object.bytes("aside", aside.as_os_str().as_bytes())?,
        None => object.field("aside", None::<&str>)?,
    };
    Ok(())
}

fn write_json(out: &mut Output, report: &RepairReport, place: &Path, aside: Option<&Path>) -> io::Result<()> {
    let mut object = Object::new(out);
    write_places(&mut object, place, aside)?;
    object.field("needed", true)?;
    for (name, number) in figures(report) {
        object.field(name, number)?;
    }
    let ids = |ids: &[SegmentId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    let gaps = report.gaps.iter().map(|gap| vec![gap.start.0, gap.end.0]).collect::<Vec<_>>();
    object.field("manifest_lost", report.manifest_lost.clone())?.field("gaps", gaps)?;
    object.field("copied", ids(&report.copied))?.field("salvaged", ids(&report.salvaged))?;
    object.field("unlisted", ids(&report.unlisted))?.field("left_out", ids(&report.left_out))?;
    let strangers = report.strangers.iter().map(|name| {
        let (field, name) = json::bytes("name", name.as_bytes());
        Value::Object([(field, name)].into_iter().collect())
    });
    object.field("strangers", strangers.collect::<Vec<_>>())?;
    object.field("options_lost", report.options_lost.clone())?;
    object.field("given_up", report.given_up.iter().map(given_up_json).collect::<Vec<_>>())?.end()
}

fn figures(report: &RepairReport) -> [(&'static str, u64); 6] {
    [
        ("records", report.record_count),
        ("duplicates", report.duplicate_count),
        ("renumbered", report.renumbered_count),
        ("torn_bytes", report.torn_len),
        ("given_up_places", report.given_up.len() as u64),
        ("given_up_bytes", report.given_up_len()),
    ]
}

/// A line a fact, each with its name before it.
fn write_facts(out: &mut Output, report: &RepairReport) -> io::Result<()> {
    for (name, number) in figures(report) {
        writeln!(out, "{name}\t{number}")?;
    }
    let lost = [("manifest_lost", &report.manifest_lost), ("options_lost", &report.options_lost)];
    for (name, why) in lost.iter().filter_map(|(name, why)| Some((name, why.as_ref()?))) {
        writeln!(out, "{name}\t{}", visible(why.as_bytes()))?;
    }
    for gap in &report.gaps {
        writeln!(out, "gap\t{}\t{}", gap.start, gap.end.previous())?;
    }
    let ids =
        [("salvaged", &report.salvaged), ("unlisted", &report.unlisted), ("left_out", &report.left_out)];
    for (name, id) in ids.iter().flat_map(|(name, ids)| ids.iter().map(move |id| (name, id))) {
        writeln!(out, "{name}\t{id}")?;
    }
    report.strangers.iter().try_for_each(|name| writeln!(out, "stranger\t{}", quote(name.as_bytes())))
}

fn write_plain(out: &mut Output, given_up: &GivenUp) -> io::Result<()> {
    let GivenUp { segment, range, reason, .. } = given_up;
    let batch = if given_up.splits_batch { "splits_batch" } else { "" };
    writeln!(out, "given_up\t{segment}\t{}\t{}\t{reason}\t{batch}", range.start, range.end - range.start)?;
    for lost in &given_up.lost {
        // No key prints like that.
        let key = lost.key.as_deref().map_or_else(|| "-".to_owned(), quote);
        let kind = if lost.is_delete { "delete" } else { "put" };
        let certain = if lost.is_certain { "certain" } else { "uncertain" };
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
    aside: Option<&Path>,
) -> io::Result<()> {
    let look = out.look;
    write_lines(out, &sentences(report, place, aside))?;
    for given_up in &report.given_up {
        let place = place_of(given_up);
        let text = hang(look.width, "", INDENT, place.split_whitespace());
        writeln!(out, "{}", look.paint(text, hue::BAD))?;
        for fate in fates(&given_up.lost) {
            writeln!(out, "{}", hang(look.width, "  ", INDENT, fate.split_whitespace()))?;
        }
    }
    Ok(())
}

fn write_lines(out: &mut Output, lines: &[String]) -> io::Result<()> {
    let width = out.look.width;
    lines.iter().try_for_each(|line| writeln!(out, "{}", hang(width, "", INDENT, line.split_whitespace())))
}

/// What was done, in sentences.
fn sentences(report: &RepairReport, place: &Path, aside: Option<&Path>) -> Vec<String> {
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
    if report.renumbered_count > 0 {
        let records = units::count(report.renumbered_count, "record");
        lines.push(format!("{records} had numbers that no store reaches by counting, and were renumbered"));
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

/// What the loss of each record means, and of how many nothing says whose they were.
fn fates(lost: &[Lost]) -> impl Iterator<Item = String> {
    let nameless = lost.iter().filter(|lost| lost.key.is_none());
    let deletes = nameless.clone().filter(|lost| lost.is_delete).count() as u64;
    let puts = nameless.count() as u64 - deletes;
    let told = |count, fate| {
        let keys = if count == 1 { "a key" } else { "keys" };
        (count > 0).then(|| format!("{} of {keys} that nothing names: {fate}", units::count(count, "record")))
    };
    let counted = [told(puts, "gone"), told(deletes, "deleted as before")];
    lost.iter().filter_map(|lost| Some(fate(lost.key.as_deref()?, lost))).chain(counted.into_iter().flatten())
}

/// What the loss of a record of `key` means.
fn fate(key: &[u8], lost: &Lost) -> String {
    // Read in bytes that are damaged: the damage may be in the key.
    let doubt = if lost.is_certain { "" } else { ", unless the key itself is damaged" };
    let key = format!("{}{doubt}", quote(key));
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
