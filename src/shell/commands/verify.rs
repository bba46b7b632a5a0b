//! `verify`: checks the files of a store and reports findings.

use std::io::{self};
use std::ops::ControlFlow;

use logkv::fs::StoreFile;
use logkv::verify::{self, Finding, Severity, VerifyEvent, VerifyReport};
use logkv::{Error, Location, SegmentId};

use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{quote, visible};
use crate::shell::run::segments;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::fit::hang;
use crate::shell::term::output::Output;
use crate::shell::term::style::{Hue, Look, hue};
use crate::shell::term::units;

/// The indent of continuation lines.
const INDENT: usize = 4;

pub const VERIFY: Command = Command {
    name: "verify",
    aliases: &["check"],
    group: Group::Inspect,
    signature: "[SEG…]",
    summary: "Checks every byte of the files, and reports damage",
    help: "Only reads the files, so it also works if the store does not open, and beside a writer.\n\n\
           It checks every checksum, the order of the log, each hint against its segment, and KEYDIR \
           against the log. The severity damage means the log itself; derived means a hint or KEYDIR, \
           which can be rebuilt; a note is harmless.\n\n\
           Exit code 4 if the log or a derived file is damaged, and 3 if there is no damage but a file \
           cannot be read.\n\n\
           Mode plain has severity, file, offset, length, key and text, separated by tabs, and ok if \
           nothing is wrong; mode json one object per finding, and a summary.",
    examples: &[
        Example { line: "verify", does: "checks everything" },
        Example { line: "verify 3", does: "checks 000003.seg and its hint" },
    ],
    flags: &[],
    args: &[ArgKind::Segment],
    arity: Arity::at_least(0),
    needs: Needs::Directory,
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let ids = invocation.args.iter().map(|word| segments::parse(word, "verify"));
    let ids: Vec<SegmentId> = ids.collect::<Result<_, _>>()?;
    let dir = session.dir().to_owned();
    let options = session.config().options.clone();
    let progress = session.progress("verifying");
    let mut unwritten = None;
    let mut reached = (0, 0);
    let mut damaged = Vec::new();
    let verified = verify::store(&dir, &options, &ids, &mut |event| {
        match event {
            VerifyEvent::Found(finding) => {
                progress.clear();
                unwritten = write_finding(&mut session.out, finding).err();
                damaged.extend(damaged_at(finding));
            }
            VerifyEvent::Progress { done_len, total_len } => {
                reached = (done_len, total_len);
                progress.at(done_len, total_len);
            }
        }
        match unwritten.is_some() || session.interrupt().is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    progress.clear();
    damaged.into_iter().for_each(|at| session.remember_damage(at));
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    let report = verified.map_err(|error| match error {
        Error::NoSuchSegment { segment } => {
            segments::point_at(&invocation.args, segment, segments::missing(segment, session))
        }
        Error::Cancelled => {
            let done = units::bytes(reached.0);
            let total = units::bytes(reached.1);
            Failure::interrupted_with(&format!("{done} of {total} were verified"))
        }
        error => Failure::open(&error),
    })?;
    write_report(&mut session.out, &report)?;
    Ok(match (report.is_damaged(), report.is_intact()) {
        (true, _) => Outcome::Damaged,
        (false, true) => Outcome::Done,
        (false, false) => Outcome::Refused,
    })
}

/// Returns the location of damage in the log.
fn damaged_at(finding: &Finding) -> Option<Location> {
    match (finding.fault.severity(), finding.file) {
        (Severity::Damage, StoreFile::Segment(segment)) => {
            Some(Location { segment, offset: finding.range.as_ref().map_or(0, |range| range.start) })
        }
        _ => None,
    }
}

fn severity(finding: &Finding) -> (&'static str, Hue) {
    match finding.fault.severity() {
        Severity::Note => ("note", hue::DIM),
        Severity::Refused => ("refused", hue::VALUE),
        Severity::Derived => ("derived", hue::VALUE),
        Severity::Damage => ("damage", hue::BAD),
    }
}

/// Returns the place of a finding: `3:0x0000a0, 56 B`, or the name of the file.
fn place(finding: &Finding) -> String {
    match (finding.file, &finding.range) {
        (StoreFile::Segment(segment), Some(range)) => {
            let at = logkv::Location { segment, offset: range.start };
            match range.end - range.start {
                0 => at.to_string(),
                len => format!("{at}, {}", units::bytes(len)),
            }
        }
        (file, _) => file.to_string(),
    }
}

fn write_finding(out: &mut Output, finding: &Finding) -> io::Result<()> {
    let (severity, hue) = severity(finding);
    // A damaged MANIFEST may contain anything, so its text is escaped.
    let fault = visible(finding.fault.to_string().as_bytes());
    let range = finding.range.clone().unwrap_or_default();
    let at = range.start;
    let len = range.end - range.start;
    let is_placed = finding.range.is_some();
    let mut answer = out.answer();
    answer.say(|look| {
        let key = finding.key.as_ref().map(|key| format!(", key {}", quote(key))).unwrap_or_default();
        let text = format!("{severity} {}{key}: {fault}", place(finding));
        let lines = hang(look.width, "", INDENT, text.split_whitespace());
        let rest = lines.strip_prefix(severity).unwrap_or(&lines);
        format!("{}{rest}", look.paint(severity, hue))
    });
    answer.json("type", "finding").field("severity", severity).field("file", finding.file.to_string());
    answer.field_as("offset", is_placed.then_some(at), at).field_as("len", is_placed.then_some(len), len);
    match &finding.key {
        Some(key) => answer.field("key", &**key),
        None => answer.plain("key", FieldValue::Nothing),
    };
    answer.field_as("text", finding.fault.to_string(), fault).end()?;
    Ok(())
}

fn write_report(out: &mut Output, report: &VerifyReport) -> io::Result<()> {
    let mut answer = out.answer();
    answer.say(|look| sentences(report, look)).json("type", "summary");
    answer.json("segments", report.segment_count).json("bytes", report.len);
    answer.json("records", report.record_count).json("torn_bytes", report.torn_len);
    answer.json("hints", report.hint_count).json("keydir_keys", report.keydir_keys);
    answer.json("notes", report.note_count).json("refused", report.refused_count);
    answer.json("derived", report.derived_count).json("damage", report.damage_count);
    answer.json("ok", report.is_intact());
    if report.is_intact() {
        answer.plain("ok", "ok");
    }
    answer.end()?;
    Ok(())
}

fn sentences(report: &VerifyReport, look: Look) -> String {
    let count = |count, noun| units::count(count, noun);
    let mut parts = vec![
        format!("{} ({})", count(report.segment_count, "segment"), units::bytes(report.len)),
        count(report.record_count, "intact record"),
        count(report.hint_count, "hint"),
    ];
    parts.extend(report.keydir_keys.map(|keys| format!("KEYDIR with {}", count(keys, "key"))));
    let checked = parts.join(", ");
    let mut lines = vec![hang(look.width, "checked ", INDENT, checked.split_whitespace())];
    let (verdict, hue) = match (report.damage_count, report.derived_count) {
        (0, 0) if report.refused_count > 0 => {
            ("everything that can be read is intact".to_owned(), hue::PLAIN)
        }
        (0, 0) if report.torn_len > 0 => {
            ("everything before the unfinished end is intact".to_owned(), hue::GOOD)
        }
        (0, 0) => ("everything is intact".to_owned(), hue::GOOD),
        (0, derived) => {
            let findings = count(derived, "finding");
            let text = format!("the log is intact; {findings} in files that are rebuilt from it");
            (text, hue::PLAIN)
        }
        (damage, _) => (format!("{} in the log", count(damage, "finding")), hue::BAD),
    };
    let line = |text: &str| hang(look.width, "", INDENT, text.split_whitespace());
    lines.push(look.paint(line(&verdict), hue));
    if report.damage_count > 0 {
        let advice = "repair --to DIR copies what is intact into a new store";
        lines.push(look.paint(line(advice), hue::DIM));
    }
    lines.join("\n")
}
