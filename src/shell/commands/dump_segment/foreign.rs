//! `dump-segment` for a data file of another store.
//!
//! One file does not show which of its records are live, so a record has no fate here, and the file
//! has no map. The file is read twice, for the totals and for the items, and is never in memory as
//! a whole.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

use logkv::SegmentId;
use serde_json::json;

use super::dump_item::{BadBytes, DumpItem, DumpRecord, FileShape, JsonField, RecordDetails};
use super::fields::{self, ByteField};
use super::printer::Printer;
use super::request::{DumpForm, DumpRequest, StateFilter};
use super::text::checksum;
use super::{programs, summary};
use crate::shell::commands::foreign::{ForeignFormat, ForeignRecord};
use crate::shell::commands::transfer::scanner::{BadRange, BadReason, FileScanner, Scanned, record_len_max};
use crate::shell::lang::answer::Answer;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, quote, visible};
use crate::shell::run::folder::Folder;
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// Returns the format of the file that the arguments of `dump-segment` name, or `None` for a
/// segment of this store.
pub fn format(args: &[Word]) -> Option<ForeignFormat> {
    let name = args.first()?.path().file_name()?;
    ForeignFormat::of(name.as_encoded_bytes())
}

/// Shows a file of `format`. The name is a path, or a name in the directory of the session.
pub fn run(
    session: &mut Session,
    invocation: &Invocation,
    format: ForeignFormat,
) -> Result<Outcome, Failure> {
    let word = &invocation.args[0];
    let number = format.number(word.path().file_name().unwrap_or_default().as_encoded_bytes());
    let request = DumpRequest::of(invocation, SegmentId(number.unwrap_or_default()), session.out.mode)?;
    if let Some(only @ (StateFilter::Live | StateFilter::Dead | StateFilter::Expired)) = request.only {
        let message =
            format!("a single {} file does not show which records are {}", format.name(), only.name());
        return Err(Failure::command(message).hint("--only tomb and --only bad work"));
    }
    let path = if word.path().exists() { word.path().to_owned() } else { session.dir().join(word.path()) };
    let dump = ForeignDump {
        request,
        format,
        path,
        name: visible(&word.bytes),
        quoted: quote(&word.bytes),
        interrupt: session.interrupt().clone(),
        record_len_max: record_len_max(session.config().options.value_len_max),
    };
    let totals = dump.show(&mut session.out).map_err(|failure| failure.at(word.span.clone()))?;
    Ok(if totals.bad > 0 { Outcome::Damaged } else { Outcome::Done })
}

/// One run of `dump-segment` on a file of another store.
struct ForeignDump {
    request: DumpRequest,
    format: ForeignFormat,
    path: PathBuf,
    /// The file's name as given, escaped for messages.
    name: String,
    /// The file's name in the command that continues.
    quoted: String,
    interrupt: Interrupt,
    record_len_max: u64,
}

/// The totals of a file.
#[derive(Debug, Default)]
struct FileTotals {
    len: u64,
    records: u64,
    deletes: u64,
    bad: u64,
    bad_len: u64,
    torn_len: u64,
}

impl FileTotals {
    fn add(&mut self, item: &DumpItem<'_>) {
        match item {
            DumpItem::Record(record) => {
                self.records += 1;
                self.deletes += u64::from(record.is_delete);
            }
            DumpItem::Bad(bad) if bad.is_torn => self.torn_len += bad.len,
            DumpItem::Bad(bad) => {
                self.bad += 1;
                self.bad_len += bad.len;
            }
        }
    }

    /// Returns the totals for people.
    fn facts(&self) -> Vec<String> {
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

impl ForeignDump {
    /// Shows the requested items in the mode of `out`, and returns the totals of the whole file.
    fn show(&self, out: &mut Output) -> Result<FileTotals, Failure> {
        let (totals, from) = self.totals_and_start()?;
        let look = out.look;
        let mut printer = Printer::new(&self.request, self.shape(&totals), out);
        if printer.form == DumpForm::Drawn {
            let checksums = (!self.format.has_checksums()).then(|| "no checksums".to_owned());
            let facts = [self.name.clone(), units::bytes(totals.len), self.format.name().to_owned()];
            summary::write_heading(out, facts.into_iter().chain(checksums).collect(), &look)?;
        }
        let limit = self.request.limit(out) as u64;
        if self.request.is_page(out) && totals.records > limit && !self.request.hex {
            // Output that is cut to a page does not go to the pager as well.
            out.flush()?;
        }
        let mut next = None;
        self.for_each_item(&mut |item| {
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
            DumpForm::Drawn => summary::write_totals(out, totals.facts(), &look)?,
            DumpForm::Objects => programs::write_summary(out, self.json_fields(&totals), next)?,
            DumpForm::Lines => {}
        }
        Ok(totals)
    }

    fn shape(&self, totals: &FileTotals) -> FileShape {
        FileShape {
            len: totals.len,
            has_fates: false,
            has_checksums: self.format.has_checksums(),
            has_values: totals.records > 0,
            day: None,
            tick_ms: 1000,
        }
    }

    /// Returns the name and the totals of the file, for JSON.
    fn json_fields(&self, totals: &FileTotals) -> Vec<JsonField> {
        vec![
            ("format", json!(self.format.name())),
            ("file", json!(self.name)),
            ("len", json!(totals.len)),
            ("records", json!(totals.records)),
            ("puts", json!(totals.records - totals.deletes)),
            ("deletes", json!(totals.deletes)),
            ("damaged", json!(totals.bad)),
            ("damaged_bytes", json!(totals.bad_len)),
            ("torn_bytes", json!(totals.torn_len)),
        ]
    }

    /// Returns the totals, and the offset of the first item to show.
    fn totals_and_start(&self) -> Result<(FileTotals, u64), Failure> {
        let mut totals = FileTotals::default();
        let mut tail = VecDeque::new();
        totals.len = self.for_each_item(&mut |item| {
            totals.add(item);
            if self.takes(item) {
                tail.push_back(item.at());
                if tail.len() > self.request.tail.unwrap_or(0) {
                    tail.pop_front();
                }
            }
            Ok(())
        })?;
        self.request.check_record(totals.records, &self.name)?;
        let from = self.request.tail.map_or(0, |_| tail.front().copied().unwrap_or(totals.len));
        Ok((totals, from))
    }

    /// Passes every item of the file to `take` until Ctrl-C, and returns the length of the file.
    fn for_each_item(
        &self,
        take: &mut dyn FnMut(&DumpItem<'_>) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::interrupted(),
            _ => Failure::file("read", &self.path, &error),
        };
        let file = Folder::read_path(&self.path).map_err(failed)?;
        let mut scanner =
            FileScanner::of(file, self.format, self.record_len_max, &self.interrupt).map_err(failed)?;
        let mut index = 0;
        while let Some(item) = scanner.next().map_err(failed)? {
            self.interrupt.check(index)?;
            match item {
                Scanned::Record { at, record } => {
                    let record = PlacedRecord { format: self.format, file: &self.name, at, record };
                    take(&DumpItem::Record(record.dump_record(index)))?;
                    index += 1;
                }
                Scanned::Bad(bad) => take(&DumpItem::Bad(bad_bytes(&bad)))?,
            }
        }
        Ok(scanner.len())
    }

    /// Returns whether `item` itself matches the request, regardless of limits.
    fn takes(&self, item: &DumpItem<'_>) -> bool {
        let DumpRequest { from, record, .. } = &self.request;
        let is_one = match item {
            DumpItem::Record(shown) => record.is_none_or(|record| record == shown.index),
            DumpItem::Bad(_) => record.is_none(),
        };
        is_one && item.at() >= *from && self.request.takes(item)
    }
}

/// A record of another store with its offset.
struct PlacedRecord<'a> {
    format: ForeignFormat,
    /// The name of the file, as given.
    file: &'a str,
    at: u64,
    record: ForeignRecord<'a>,
}

impl PlacedRecord<'_> {
    fn dump_record(&self, index: u64) -> DumpRecord<'_> {
        let record = &self.record;
        let is_delete = record.tombstone.is_some();
        DumpRecord {
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

impl RecordDetails for PlacedRecord<'_> {
    fn place(&self) -> String {
        format!("{:#08x}", self.at)
    }

    fn fields(&self) -> Vec<ByteField<'_>> {
        fields::of_foreign(self.format, self.at, &self.record)
    }

    fn bytes(&self) -> &[u8] {
        self.record.bytes
    }

    fn add_file(&self, answer: &mut Answer<'_>) {
        answer.json("format", self.format.name()).json("file", self.file);
    }

    fn add_fields(&self, answer: &mut Answer<'_>) {
        let record = &self.record;
        answer.json("time_s", u64::from(record.time_s));
        answer.json("tombstone", record.tombstone.map(|tombstone| tombstone.to_string()));
        answer.json("crc", record.checksum.map(|crc| checksum(crc.stored)));
        answer.json("crc_ok", record.checksum.map(|_| record.is_sound()));
    }
}

fn bad_bytes(bad: &BadRange) -> BadBytes {
    let checksums = match bad.why {
        BadReason::Checksum { stored, computed } => Some((stored, computed)),
        BadReason::Torn(_) | BadReason::TooLong(_) | BadReason::Zeros => None,
    };
    BadBytes {
        at: bad.at,
        len: bad.len,
        is_torn: bad.is_torn(),
        damage: bad.to_string(),
        outcome: None,
        checksums,
        json_fields: Vec::new(),
    }
}
