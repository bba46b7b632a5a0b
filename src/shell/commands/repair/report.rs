//! The report of a repair.

use std::io::{self};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use logkv::repair::{GivenUp, Lost, Now, RepairReport};
use logkv::{Location, SegmentId};
use serde_json::Value;

use crate::shell::lang::answer::Answer;
use crate::shell::lang::words::{quote, visible, visible_path};
use crate::shell::run::segments;
use crate::shell::term::fit::hang;
use crate::shell::term::json;
use crate::shell::term::output::Output;
use crate::shell::term::style::{Look, hue};
use crate::shell::term::units;

/// The indent of continuation lines.
const INDENT: usize = 4;

/// Writes the report of a repair. The repaired store is in `place`, and after `--in-place` the
/// damaged one is in `damaged_dir`.
pub fn write(
    out: &mut Output,
    report: &RepairReport,
    place: &Path,
    damaged_dir: Option<&Path>,
) -> io::Result<()> {
    let mut answer = out.figures();
    answer.say(|look| report_text(report, place, damaged_dir, look));
    add_places(&mut answer, place, damaged_dir);
    answer.json("needed", true);
    for (name, number) in figures(report) {
        answer.field(name, number);
    }
    answer.json("manifest_lost", report.manifest_lost.as_deref());
    let lost = [("manifest_lost", &report.manifest_lost), ("options_lost", &report.options_lost)];
    for (name, why) in lost.iter().filter_map(|(name, why)| Some((name, why.as_ref()?))) {
        answer.plain(name, visible(why.as_bytes()));
    }
    let gaps = report.gaps.iter().map(|gap| vec![gap.start.0, gap.end.0]).collect::<Vec<_>>();
    answer.json("gaps", gaps);
    for gap in &report.gaps {
        answer.plain("gap", format!("{}\t{}", gap.start, gap.end.previous()));
    }
    answer.json("copied", numbers(&report.copied));
    for (name, ids) in
        [("salvaged", &report.salvaged), ("unlisted", &report.unlisted), ("left_out", &report.left_out)]
    {
        answer.json(name, numbers(ids));
        for id in ids {
            answer.plain(name, id.0);
        }
    }
    add_strangers(&mut answer, report);
    answer.json("options_lost", report.options_lost.as_deref());
    // A name suffices: the directory is beside the store.
    if let Some(damaged_dir) = damaged_dir.and_then(Path::file_name) {
        answer.plain("aside", damaged_dir.as_bytes());
    }
    let given_up: Vec<_> =
        report.given_up.iter().map(|given_up| add_given_up(&mut answer, given_up)).collect();
    answer.json("given_up", given_up).end()?;
    Ok(())
}

/// Reports that `place` needs no repair. `damaged_dir` is the damaged store of an earlier repair
/// that was finished just now.
pub fn write_needless(out: &mut Output, place: &Path, damaged_dir: Option<&Path>) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|look| {
        let place = visible_path(place);
        let damaged_dir = damaged_dir.map(visible_path);
        let line = match damaged_dir {
            None => format!("{place} has no damage; nothing was changed"),
            Some(damaged_dir) => {
                format!("{place} was already repaired; the damaged store is now in {damaged_dir}")
            }
        };
        hung(&line, look)
    });
    answer.plain("ok", "ok");
    add_places(&mut answer, place, damaged_dir);
    answer.json("needed", false).end()?;
    Ok(())
}

fn add_places(answer: &mut Answer<'_>, place: &Path, damaged_dir: Option<&Path>) {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    answer.json("type", "repair").json("store", &*bytes(place));
    answer.json("aside", damaged_dir.map(bytes).as_deref());
}

fn add_strangers(answer: &mut Answer<'_>, report: &RepairReport) {
    let objects = report.strangers.iter().map(|name| {
        let (field, name) = json::bytes("name", name.as_bytes());
        Value::Object([(field, name)].into_iter().collect())
    });
    answer.json("strangers", objects.collect::<Vec<_>>());
    for name in &report.strangers {
        answer.plain("stranger", name.as_bytes());
    }
}

fn numbers(ids: &[SegmentId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
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

/// Adds the plain lines of a damaged place and its lost records. Returns its object in JSON.
fn add_given_up(answer: &mut Answer<'_>, given_up: &GivenUp) -> Value {
    let GivenUp { segment, range, reason, splits_batch, .. } = given_up;
    let offset = range.start;
    let len = range.end - offset;
    let batch = if *splits_batch { "splits_batch" } else { "" };
    answer.plain("given_up", format!("{segment}\t{offset}\t{len}\t{reason}\t{batch}"));
    let lost: Vec<_> = given_up.lost.iter().map(|lost| add_lost(answer, lost)).collect();
    serde_json::json!({
        "segment": segment.0,
        "offset": offset,
        "len": len,
        "reason": reason.to_string(),
        "seqs": [given_up.seqs.start.0, given_up.seqs.end.0],
        "splits_batch": splits_batch,
        "lost": lost,
    })
}

/// Adds the plain line of a lost record. Returns its object in JSON.
fn add_lost(answer: &mut Answer<'_>, lost: &Lost) -> Value {
    let Lost { is_certain, is_delete, .. } = *lost;
    let (now, seq) = now_name(lost.now);
    // No quoted key is `-`.
    let key = lost.key.as_deref().map_or_else(|| "-".to_owned(), quote);
    let kind = if is_delete { "delete" } else { "put" };
    let certain = if is_certain { "certain" } else { "uncertain" };
    let seq_text = seq.map(|seq| seq.to_string()).unwrap_or_default();
    answer.plain("lost", format!("{key}\t{certain}\t{kind}\t{now}\t{seq_text}"));
    let mut object = serde_json::json!({
        "certain": is_certain, "delete": is_delete, "now": now, "seq": seq.map(|seq| seq.0),
    });
    if let (Some(key), Some(fields)) = (&lost.key, object.as_object_mut()) {
        let (name, key) = json::bytes("key", key);
        fields.insert(name, key);
    }
    object
}

fn now_name(now: Now) -> (&'static str, Option<logkv::Seqno>) {
    match now {
        Now::Newer(seq) => ("newer", Some(seq)),
        Now::Older(seq) => ("older", Some(seq)),
        Now::Absent => ("absent", None),
    }
}

fn report_text(report: &RepairReport, place: &Path, damaged_dir: Option<&Path>, look: Look) -> String {
    let mut lines: Vec<_> =
        sentences(report, place, damaged_dir).iter().map(|line| hung(line, look)).collect();
    for given_up in &report.given_up {
        lines.push(look.paint(hung(&damaged_place(given_up), look), hue::BAD));
        let fates = losses(&given_up.lost);
        lines.extend(fates.map(|fate| hang(look.width, "  ", INDENT, fate.split_whitespace())));
    }
    lines.join("\n")
}

fn hung(line: &str, look: Look) -> String {
    hang(look.width, "", INDENT, line.split_whitespace())
}

/// Returns the sentences of the report.
fn sentences(report: &RepairReport, place: &Path, damaged_dir: Option<&Path>) -> Vec<String> {
    let records = units::count(report.record_count, "record");
    let mut lines = vec![format!("{} holds {records}, each as it was written", visible_path(place))];
    lines.extend(
        damaged_dir
            .map(|damaged_dir| format!("the damaged store is in {}, unchanged", visible_path(damaged_dir))),
    );
    if let Some(damaged_dir) = damaged_dir.filter(|_| !report.strangers.is_empty()) {
        let names: Vec<String> = report.strangers.iter().map(|name| visible_path(Path::new(name))).collect();
        lines.push(format!(
            "files that do not belong to the store are only in {}: {}",
            visible_path(damaged_dir),
            names.join(", ")
        ));
    }
    if let Some(why) = &report.options_lost {
        lines.push(format!("logkv.toml was left out: {why}"));
    }
    if let Some(why) = &report.manifest_lost {
        lines.push(format!("MANIFEST was rebuilt from the segment headers: {}", visible(why.as_bytes())));
    }
    if !report.salvaged.is_empty() {
        lines.push(format!(
            "{}: intact records were copied to new segments",
            segments::names(&report.salvaged)
        ));
    }
    if !report.unlisted.is_empty() && report.manifest_lost.is_none() {
        let names = segments::names(&report.unlisted);
        lines.push(format!("{names}: included, although MANIFEST does not list them"));
    }
    if report.duplicate_count > 0 {
        let records = units::count(report.duplicate_count, "record");
        lines.push(format!("{records} were in two segments, and are kept once"));
    }
    if report.renumbered_count > 0 {
        let records = units::count(report.renumbered_count, "record");
        lines.push(format!("{records} had implausible sequence numbers, and were renumbered"));
    }
    if !report.left_out.is_empty() {
        let names = segments::names(&report.left_out);
        lines.push(format!("{names}: left out, unreadable or of another store"));
    }
    if report.manifest_lost.is_some() {
        lines.push("without MANIFEST, segments missing at the end of the log cannot be detected".to_owned());
        lines.extend(report.gaps.iter().map(|gap| {
            let first = gap.start;
            let last = gap.end.previous();
            format!("no segment has sequence numbers {first} to {last}: compacted away, or lost")
        }));
    }
    if report.torn_len > 0 {
        let len = units::bytes(report.torn_len);
        lines.push(format!("{len} of an unfinished write at the end of the log were left out"));
    }
    lines.push(match report.given_up.len() {
        0 if report.is_whole() => "nothing was lost".to_owned(),
        0 => "nothing in the copied segments was lost".to_owned(),
        count => {
            let places = units::count(count as u64, "place");
            let len = units::bytes(report.given_up_len());
            format!("lost: {places}, {len}")
        }
    });
    lines
}

fn damaged_place(given_up: &GivenUp) -> String {
    let at = Location { segment: given_up.segment, offset: given_up.range.start };
    let len = units::bytes(given_up.range.end - given_up.range.start);
    let batch = if given_up.splits_batch { "; the rest of its batch was kept" } else { "" };
    let unknown = if given_up.lost.is_empty() { "; the keys are unknown" } else { "" };
    format!("{at}, {len}: {}{batch}{unknown}", given_up.reason)
}

/// Returns the effect of each lost record, and the number of lost records with unknown keys.
fn losses(lost: &[Lost]) -> impl Iterator<Item = String> {
    let nameless = lost.iter().filter(|lost| lost.key.is_none());
    let deletes = nameless.clone().filter(|lost| lost.is_delete).count() as u64;
    let puts = nameless.count() as u64 - deletes;
    let summary = |count, fate| {
        let keys = if count == 1 { "an unknown key" } else { "unknown keys" };
        (count > 0).then(|| format!("{} of {keys}: {fate}", units::count(count, "record")))
    };
    let counted = [summary(puts, "gone"), summary(deletes, "still deleted")];
    lost.iter().filter_map(|lost| Some(loss(lost.key.as_deref()?, lost))).chain(counted.into_iter().flatten())
}

/// Returns the effect of losing a record of `key`.
fn loss(key: &[u8], lost: &Lost) -> String {
    // The key was read from damaged bytes, so it may be damaged too.
    let doubt = if lost.is_certain { "" } else { ", unless the key itself is damaged" };
    let key = format!("{}{doubt}", quote(key));
    match (lost.now, lost.is_delete) {
        (Now::Newer(seq), _) => format!("{key}: unaffected, record {seq} is newer"),
        (Now::Older(seq), false) => format!("{key}: back to an older value, from record {seq}"),
        (Now::Older(seq), true) => {
            format!("{key}: exists again with the value of record {seq}, its delete is lost")
        }
        (Now::Absent, false) => format!("{key}: gone"),
        (Now::Absent, true) => format!("{key}: still deleted"),
    }
}
