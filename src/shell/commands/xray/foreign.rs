//! The data file of another store, as it is shown.
//!
//! One file does not say which of its records are alive: there are no fates here, and no map. It is gone through twice,
//! once for its sums and once to be shown, and never held in memory.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

use logkv::SegmentId;
use serde_json::json;

use super::fields::{self, Field};
use super::printer::Printer;
use super::request::{Form, Only, Request};
use super::shown::{BadBytes, Details, Fact, Shape, Shown, ShownRecord};
use super::text::checksum;
use super::{json, summary};
use crate::shell::commands::foreign::{Format, Record};
use crate::shell::commands::transfer::walk::{Bad, Found, Walk, Why, record_len_max};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, quote, visible};
use crate::shell::run::folder::Folder;
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// The format of the file that the arguments of `dump-segment` name; `None` if they name a segment of ours.
pub fn format(args: &[Word]) -> Option<Format> {
    let name = args.first()?.path().file_name()?;
    Format::of(name.as_encoded_bytes())
}

/// Shows the file of `format` that `invocation` names: as it is named, or in the directory of the session.
pub fn run(session: &mut Session, invocation: &Invocation, format: Format) -> Result<Outcome, Failure> {
    let word = &invocation.args[0];
    let number = format.number(word.path().file_name().unwrap_or_default().as_encoded_bytes());
    let request = Request::of(invocation, SegmentId(number.unwrap_or_default()), session.out.mode)?;
    if let Some(only @ (Only::Live | Only::Dead | Only::Expired)) = request.only {
        let message = format!("one file of {} does not say which records are {}", format.name(), only.name());
        return Err(Failure::command(message).hint("--only tomb and --only bad can be told"));
    }
    let path = if word.path().exists() { word.path().to_owned() } else { session.dir().join(word.path()) };
    let dump = Dump {
        request,
        format,
        path,
        name: visible(&word.bytes),
        quoted: quote(&word.bytes),
        interrupt: session.interrupt.clone(),
        record_len_max: record_len_max(session.config.options.value_len_max),
    };
    let sums = dump.show(&mut session.out).map_err(|failure| failure.at(word.span.clone()))?;
    Ok(if sums.bad > 0 { Outcome::Damaged } else { Outcome::Done })
}

/// One run of the command on a file of another store.
struct Dump {
    request: Request,
    format: Format,
    path: PathBuf,
    /// The file's name as given, to read it and to repeat it in a command.
    name: String,
    quoted: String,
    interrupt: Interrupt,
    record_len_max: u64,
}

/// What the file adds up to.
#[derive(Debug, Default)]
struct Sums {
    len: u64,
    records: u64,
    deletes: u64,
    bad: u64,
    bad_len: u64,
    torn_len: u64,
}

impl Sums {
    fn add(&mut self, item: &Shown<'_>) {
        match item {
            Shown::Record(record) => {
                self.records += 1;
                self.deletes += u64::from(record.is_delete);
            }
            Shown::Bad(bad) if bad.is_torn => self.torn_len += bad.len,
            Shown::Bad(bad) => {
                self.bad += 1;
                self.bad_len += bad.len;
            }
        }
    }

    /// In words.
    fn told(&self) -> Vec<String> {
        let mut facts = vec![
            units::count(self.records, "record"),
            units::count(self.records - self.deletes, "put"),
            units::count(self.deletes, "delete"),
        ];
        if self.bad > 0 {
            facts.push(format!("{} damaged ({})", units::thousands(self.bad), units::bytes(self.bad_len)));
        }
        if self.torn_len > 0 {
            facts.push(format!("torn tail {}", units::bytes(self.torn_len)));
        }
        facts
    }
}

impl Dump {
    /// Shows what is asked for, in the mode of `out`; what all of the file adds up to.
    fn show(&self, out: &mut Output) -> Result<Sums, Failure> {
        let (sums, from) = self.survey()?;
        let look = out.look;
        let mut printer = Printer::new(&self.request, self.shape(&sums), out);
        if printer.form == Form::Drawn {
            let checksums = (!self.format.has_checksums()).then(|| "no checksums".to_owned());
            let facts = [self.name.clone(), units::bytes(sums.len), self.format.name().to_owned()];
            summary::write_heading(out, facts.into_iter().chain(checksums).collect(), &look)?;
        }
        let limit = self.request.limit(out) as u64;
        if self.request.is_page(out) && sums.records > limit && !self.request.hex {
            // What is cut to a page is not paged as well.
            out.flush()?;
        }
        let mut next = None;
        self.each(&mut |item| {
            if item.at() < from || !self.takes(item) || next.is_some() {
                return Ok(());
            }
            if printer.shown == limit {
                next = Some(item.at());
                return Ok(());
            }
            Ok(printer.write(out, item)?)
        })?;
        let form = printer.form;
        printer.end(out, &self.quoted, next)?;
        match form {
            Form::Drawn => summary::write_totals(out, sums.told(), &look)?,
            Form::Objects => json::write_summary(out, self.facts(&sums), next)?,
            Form::Lines => {}
        }
        Ok(sums)
    }

    fn shape(&self, sums: &Sums) -> Shape {
        Shape {
            len: sums.len,
            has_fates: false,
            has_checksums: self.format.has_checksums(),
            has_values: sums.records > 0,
            day: None,
            tick_ms: 1000,
        }
    }

    /// What the file is and adds up to, for JSON.
    fn facts(&self, sums: &Sums) -> Vec<Fact> {
        vec![
            ("format", json!(self.format.name())),
            ("file", json!(self.name)),
            ("len", json!(sums.len)),
            ("records", json!(sums.records)),
            ("puts", json!(sums.records - sums.deletes)),
            ("deletes", json!(sums.deletes)),
            ("damaged", json!(sums.bad)),
            ("damaged_bytes", json!(sums.bad_len)),
            ("torn_bytes", json!(sums.torn_len)),
        ]
    }

    /// What the file adds up to, and where the first item stands that is to be shown.
    fn survey(&self) -> Result<(Sums, u64), Failure> {
        let mut sums = Sums::default();
        let mut tail = VecDeque::new();
        sums.len = self.each(&mut |item| {
            sums.add(item);
            if self.takes(item) {
                tail.push_back(item.at());
                if tail.len() > self.request.tail.unwrap_or(0) {
                    tail.pop_front();
                }
            }
            Ok(())
        })?;
        self.request.check_record(sums.records, &self.name)?;
        let from = self.request.tail.map_or(0, |_| tail.front().copied().unwrap_or(sums.len));
        Ok((sums, from))
    }

    /// Hands all that the file holds to `take`, until Ctrl-C; how many bytes it has.
    fn each(&self, take: &mut dyn FnMut(&Shown<'_>) -> Result<(), Failure>) -> Result<u64, Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::interrupted(),
            _ => Failure::file("read", &self.path, &error),
        };
        let file = Folder::read_path(&self.path).map_err(failed)?;
        let mut walk = Walk::of(file, self.format, self.record_len_max, &self.interrupt).map_err(failed)?;
        let mut index = 0;
        while let Some(found) = walk.next().map_err(failed)? {
            self.interrupt.check(index)?;
            match found {
                Found::Record { at, record } => {
                    let record = ForeignRecord { format: self.format, file: &self.name, at, record };
                    take(&Shown::Record(record.shown(index)))?;
                    index += 1;
                }
                Found::Bad(bad) => take(&Shown::Bad(shown_bad(&bad)))?,
            }
        }
        Ok(walk.len())
    }

    /// Whether `item` is asked for, as far as itself says.
    fn takes(&self, item: &Shown<'_>) -> bool {
        let Request { from, record, .. } = &self.request;
        let is_one = match item {
            Shown::Record(shown) => record.is_none_or(|record| record == shown.index),
            Shown::Bad(_) => record.is_none(),
        };
        is_one && item.at() >= *from && self.request.takes(item)
    }
}

/// A record of another store, and its place.
struct ForeignRecord<'a> {
    format: Format,
    /// The name of its file, as given.
    file: &'a str,
    at: u64,
    record: Record<'a>,
}

impl ForeignRecord<'_> {
    fn shown(&self, index: u64) -> ShownRecord<'_> {
        let record = &self.record;
        let is_delete = record.tombstone.is_some();
        ShownRecord {
            index,
            at: self.at,
            len: record.bytes.len() as u64,
            kind: if is_delete { "DEL".into() } else { "PUT".into() },
            is_delete,
            seq: None,
            time_ms: u64::from(record.time_s) * 1000,
            key: record.key,
            value: (!is_delete).then_some(record.value),
            tombstone: record.tombstone.map(|tombstone| tombstone.to_string()),
            checksum: record.checksum.map(|checksum| (checksum.stored, record.is_sound())),
            fate: None,
            damage: None,
            details: self,
        }
    }
}

impl Details for ForeignRecord<'_> {
    fn place(&self) -> String {
        format!("{:#08x}", self.at)
    }

    fn fields(&self) -> Vec<Field<'_>> {
        fields::of_foreign(self.format, self.at, &self.record)
    }

    fn bytes(&self) -> &[u8] {
        self.record.bytes
    }

    fn file(&self) -> Vec<Fact> {
        vec![("format", json!(self.format.name())), ("file", json!(self.file))]
    }

    fn facts(&self) -> Vec<Fact> {
        let record = &self.record;
        vec![
            ("time_s", json!(record.time_s)),
            ("tombstone", json!(record.tombstone.map(|tombstone| tombstone.to_string()))),
            ("crc", json!(record.checksum.map(|crc| checksum(crc.stored)))),
            ("crc_ok", json!(record.checksum.map(|_| record.is_sound()))),
        ]
    }
}

fn shown_bad(bad: &Bad) -> BadBytes {
    let checksums = match bad.why {
        Why::Checksum { stored, computed } => Some((stored, computed)),
        Why::Torn(_) | Why::TooLong(_) | Why::Zeros => None,
    };
    BadBytes {
        at: bad.at,
        len: bad.len,
        is_torn: bad.is_torn(),
        damage: bad.to_string(),
        outcome: None,
        checksums,
        facts: Vec::new(),
    }
}
