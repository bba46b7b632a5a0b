//! The data file of another store, in the terms of its own format.
//!
//! One file does not say which of its records are alive: there are no fates here, and no map. It is gone through twice,
//! once for its sums and once to be shown, and never held in memory.

mod list;
mod programs;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

use logkv::SegmentId;

use self::list::List;
use super::request::{Form, Only, Request};
use crate::shell::commands::foreign::{Format, Record};
use crate::shell::commands::transfer::walk::{Bad, Found, Walk, record_len_max};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, quote, visible};
use crate::shell::run::folder::Folder;
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::moment::Moment;
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
        record_len_max: record_len_max(session.value_len_max),
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

/// What stands in the file.
enum Item<'a> {
    /// A record, and its number, counted from 0.
    Record { index: u64, at: u64, record: Record<'a> },
    /// Bytes that are none.
    Bad(Bad),
}

impl Item<'_> {
    fn at(&self) -> u64 {
        match self {
            Self::Record { at, .. } => *at,
            Self::Bad(bad) => bad.at,
        }
    }
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
    fn add(&mut self, item: &Item<'_>) {
        match item {
            Item::Record { record, .. } => {
                self.records += 1;
                self.deletes += u64::from(record.tombstone.is_some());
            }
            Item::Bad(bad) if bad.is_torn() => self.torn_len += bad.len,
            Item::Bad(bad) => {
                self.bad += 1;
                self.bad_len += bad.len;
            }
        }
    }
}

impl Dump {
    /// Shows what is asked for, in the mode of `out`; what all of the file adds up to.
    fn show(&self, out: &mut Output) -> Result<Sums, Failure> {
        let is_drawn = self.request.form(out.mode) == Form::Drawn;
        let (sums, from) = self.survey()?;
        let mut list = List::new(self.format, &sums, self.request.values, self.request.hex, out.look);
        if is_drawn {
            list.write_header(out, &self.name, &sums)?;
        }
        let limit = self.request.limit(out);
        if self.request.is_page(out) && sums.records > limit as u64 && !self.request.hex {
            // What is cut to a page is not paged as well.
            out.flush()?;
        }
        let (mut shown, mut next) = (0, None);
        self.each(&mut |item| {
            if item.at() < from || !self.takes(item) || next.is_some() {
                return Ok(());
            }
            if shown == limit {
                next = Some(item.at());
                return Ok(());
            }
            shown += 1;
            Ok(self.write(out, &mut list, item)?)
        })?;
        self.write_end(out, list, &sums, shown, next)?;
        Ok(sums)
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
        self.check_record(sums.records)?;
        let from = self.request.tail.map_or(0, |_| tail.front().copied().unwrap_or(sums.len));
        Ok((sums, from))
    }

    fn write(&self, out: &mut Output, list: &mut List, item: &Item<'_>) -> io::Result<()> {
        match self.request.form(out.mode) {
            Form::Drawn if self.request.hex => list.write_hex(out, item),
            Form::Drawn => list.write(out, item),
            Form::Objects => programs::write_json(out, self, item),
            Form::Lines => programs::write_plain(out, item, self.request.values),
        }
    }

    fn write_end(
        &self,
        out: &mut Output,
        list: List,
        sums: &Sums,
        shown: usize,
        next: Option<u64>,
    ) -> io::Result<()> {
        match self.request.form(out.mode) {
            Form::Drawn => {
                let continuation = next.map(|next| self.request.continuation(&self.quoted, next));
                list.end(out, sums, shown, continuation)
            }
            Form::Objects => programs::write_summary(out, self, sums, next),
            Form::Lines => Ok(()),
        }
    }

    /// Hands all that the file holds to `take`, until Ctrl-C; how many bytes it has.
    fn each(&self, take: &mut dyn FnMut(&Item<'_>) -> Result<(), Failure>) -> Result<u64, Failure> {
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
                    take(&Item::Record { index, at, record })?;
                    index += 1;
                }
                Found::Bad(bad) => take(&Item::Bad(bad))?,
            }
        }
        Ok(walk.len())
    }

    /// Whether `item` is asked for, as far as itself says.
    fn takes(&self, item: &Item<'_>) -> bool {
        let Request { from, record, key, only, .. } = &self.request;
        let is_one = match item {
            Item::Record { index, record: own, .. } => {
                record.is_none_or(|record| record == *index)
                    && key.as_ref().is_none_or(|key| key.takes(own.key))
                    && only.is_none_or(|only| only == Only::Tomb && own.tombstone.is_some())
            }
            Item::Bad(_) => record.is_none() && key.is_none() && only.is_none_or(|only| only == Only::Bad),
        };
        is_one && item.at() >= *from
    }

    fn check_record(&self, count: u64) -> Result<(), Failure> {
        match self.request.record.filter(|record| *record >= count) {
            Some(record) => {
                let has = units::count(count, "record");
                let message = format!("there is no record {record}: {} has {has}", self.name);
                Err(Failure::command(message).hint("the first is record 0"))
            }
            None => Ok(()),
        }
    }
}

/// When a record was written, as people read it.
fn time(record: &Record<'_>) -> String {
    Moment::of(u64::from(record.time_s) * 1000).seconds_full()
}

/// What a record does.
fn kind(record: &Record<'_>) -> &'static str {
    if record.tombstone.is_some() { "DEL" } else { "PUT" }
}
