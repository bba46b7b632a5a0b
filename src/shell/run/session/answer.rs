//! The end of the answer to a line: its failures, for people and for programs, and its
//! acknowledgement.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use rustix::io::Errno;

use super::{Origin, Refused, Session};
use crate::shell::lang::answer::write_acknowledgement;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, Kind, plain_words};
use crate::shell::lang::report::{self, LinePlace};
use crate::shell::run::advice;
use crate::shell::term::json::Object;
use crate::shell::term::units;

impl Session {
    /// Counts the outcome of a command, and reports its failure.
    pub fn settle(
        &mut self,
        result: Result<Outcome, Failure>,
        line: &[u8],
        place: &LinePlace,
    ) -> Option<Outcome> {
        match result {
            Ok(outcome) => {
                self.tally.corrupt |= outcome == Outcome::Damaged;
                self.tally.unopened |= outcome == Outcome::Refused;
                self.tally.failed |= outcome == Outcome::Absent && self.origin == Origin::OneShot;
                self.failure_count += u64::from(matches!(outcome, Outcome::Damaged | Outcome::Refused));
                match outcome {
                    Outcome::Damaged => {
                        self.report_to_programs(Kind::Corruption, "some bytes are damaged", place);
                    }
                    Outcome::Refused => {
                        self.report_to_programs(Kind::Open, "some files cannot be read", place);
                    }
                    Outcome::Done | Outcome::Absent | Outcome::Quit => {}
                }
                Some(outcome)
            }
            Err(failure) => {
                self.fail(&failure, line, place);
                None
            }
        }
    }

    /// Reports a failure after the results so far, and counts it.
    pub fn fail(&mut self, failure: &Failure, line: &[u8], place: &LinePlace) {
        let lost = self.results_lost();
        let failure = match &lost {
            // The failure is the failed write itself, or a later one.
            Some((lost, first)) if first.kind == failure.kind && first.message == failure.message => lost,
            Some((lost, _)) => {
                self.fail(lost, b"", place);
                failure
            }
            None => failure,
        };
        self.failure_count += 1;
        if let Some(at) = failure.damaged_at {
            self.remember_damage(at);
        }
        match failure.kind {
            Kind::BrokenPipe => {
                self.tally.broken_pipe = true;
                return;
            }
            Kind::Command => self.tally.failed = true,
            Kind::Usage if self.origin == Origin::OneShot => self.tally.misused = true,
            Kind::Usage => self.tally.failed = true,
            Kind::Open => self.tally.unopened = true,
            Kind::Corruption => self.tally.corrupt = true,
            Kind::Interrupted if self.origin == Origin::Person => {}
            Kind::Interrupted => self.tally.interrupted = Some(self.interrupt.code()),
        }
        if let Some(transaction) = &mut self.transaction {
            // A user has seen the failure and decides about the batch.
            transaction.has_failed |= self.origin != Origin::Person;
        }
        self.report_to_programs(failure.kind, &failure.message, place);
        // On one terminal the error must not precede the results of earlier lines.
        self.flush();
        report::write_failure(&advice::advised(self.commands, failure, line), line, place, &self.err_look);
        self.last_message.clone_from(&failure.message);
    }

    /// Reports a failure of one part of the current command, which continues.
    pub fn fail_in_part(&mut self, failure: &Failure) {
        let place = self.place.clone();
        self.fail(failure, b"", &place);
    }

    /// Reports a rejected row of an import: `message` for people, and an object with `fields` in
    /// JSON. The import continues, and fails at its end.
    pub fn reject(
        &mut self,
        message: &str,
        fields: impl FnOnce(&mut Object<'_, &mut dyn Write>) -> io::Result<()>,
    ) {
        if self.out.is_json() {
            if let Err(error) = self.write_rejected(message, fields) {
                self.lost(error);
            }
            self.flush();
        }
        self.note(message);
    }

    /// Returns the exit code of a program whose only failure is of this kind.
    fn code_of(&self, kind: Kind) -> u8 {
        match kind {
            Kind::BrokenPipe => 0,
            Kind::Usage if self.origin == Origin::OneShot => 2,
            Kind::Command | Kind::Usage => 1,
            Kind::Open => 3,
            Kind::Corruption => 4,
            Kind::Interrupted => self.interrupt.code(),
        }
    }

    /// Reports a failure to programs: as a JSON object among the results, and in the
    /// acknowledgement of the line.
    fn report_to_programs(&mut self, kind: Kind, message: &str, place: &LinePlace) {
        let code = self.code_of(kind);
        self.refuse(code, message);
        if self.out.is_json()
            && let Err(error) = self.write_error(kind.name(), message, code, place)
        {
            self.lost(error);
        }
    }

    fn write_rejected(
        &mut self,
        message: &str,
        fields: impl FnOnce(&mut Object<'_, &mut dyn Write>) -> io::Result<()>,
    ) -> io::Result<()> {
        write_error(self.out.own_line()?, "rejected", message, 1, &self.place, fields)
    }

    fn write_error(&mut self, kind: &str, message: &str, code: u8, place: &LinePlace) -> io::Result<()> {
        let is_answered = matches!(place, LinePlace::Line { number, .. } if *number <= self.acknowledged);
        // The acknowledgement ends the answer to a line; a later failure must not seem part of it.
        let place = if self.acknowledges() && is_answered { &LinePlace::Nowhere } else { place };
        write_error(self.out.own_line()?, kind, message, code, place, |object| match place {
            LinePlace::Line { file, .. } if !matches!(&**file, "-" | "-c") => {
                object.field("file", &**file).map(drop)
            }
            LinePlace::Line { .. } | LinePlace::Nowhere => Ok(()),
        })
    }

    /// Sends later results to a named file, or to the standard output.
    pub fn send_results(&mut self, file: Option<(File, String)>) {
        match file {
            Some((file, name)) => self.out.redirect(Box::new(file), Some(name), false),
            None => self.out.redirect(Box::new(io::stdout()), None, io::stdout().is_terminal()),
        }
        self.out.look.color = self.settings.color.decide(self.out.is_terminal);
    }

    /// Sends results to the standard output again if the results file has rejected a write. Returns
    /// the error as a failure of the file, and as a failure of the write.
    fn results_lost(&mut self) -> Option<(Failure, Failure)> {
        let (file, why) = self.out.refusal()?;
        let message = format!(
            "cannot write results to {file}: {}; the commands were executed, and results go to the \
             standard output again",
            plain_words(why)
        );
        let again = why.raw_os_error().map_or(why.kind().into(), io::Error::from_raw_os_error);
        self.send_results(None);
        Some((Failure::command(message), Failure::from(again)))
    }

    /// Returns whether the answer to each line ends with an acknowledgement.
    pub fn acknowledges(&self) -> bool {
        self.settings.ack && self.depth == 0
    }

    /// Ends the answer to the line at `place`, if lines are acknowledged. The caller has waited
    /// until the store acknowledged its writes.
    pub fn acknowledge(&mut self, place: &LinePlace) {
        let LinePlace::Line { number, .. } = place else { return };
        if !self.acknowledges() {
            return;
        }
        if self.out.is_redirected() {
            // Buffered results must reach the file first: if they cannot, this line has failed.
            self.place.clone_from(place);
            self.flush();
        }
        let refused = self.refused.take();
        self.acknowledged = *number;
        if let Err(error) = self.write_acknowledgement(*number, refused.as_ref()) {
            self.lost(error);
        }
    }

    /// Acknowledges a failure before the first line as line 0, because a program may wait for an
    /// answer. In JSON the failure was already written as an object.
    pub fn acknowledge_start(&mut self) {
        if let Some(refused) = self.refused.take()
            && !self.out.is_json()
            && let Err(error) = self.write_acknowledgement(0, Some(&refused))
        {
            self.lost(error);
        }
    }

    fn write_acknowledgement(&mut self, number: u64, refused: Option<&Refused>) -> io::Result<()> {
        let is_json = self.out.is_json();
        let mut stdout = io::stdout();
        let is_redirected = self.out.is_redirected();
        let mut own_line = if is_redirected { &mut stdout } else { self.out.own_line()? };
        let refused = refused.map(|Refused { code, message }| (*code, message.as_str()));
        write_acknowledgement(&mut own_line, is_json, number, refused)?;
        if is_redirected { stdout.flush() } else { Ok(()) }
    }

    /// Drops the batch that is open at the end of a script. `end` is the line that left the script.
    /// Reports a failure if the batch has changes.
    pub fn forget_batch(&mut self, end: Option<&LinePlace>) {
        let transaction = self.transaction.take();
        let Some(transaction) = transaction.filter(|transaction| !transaction.overlay.is_empty()) else {
            return;
        };
        let changes = units::count(transaction.overlay.len() as u64, "change");
        let failure = Failure::command(format!("the batch was not committed; {changes} discarded"));
        // The last line answered is the one that left the script.
        let place = end.filter(|_| self.acknowledges()).cloned().or(transaction.begun);
        self.fail(&failure, b"", &place.unwrap_or(LinePlace::Nowhere));
    }

    /// Prints a note on the standard error.
    pub fn note(&self, text: &str) {
        report::write_note(text, &self.err_look);
    }

    /// Writes the buffered results.
    pub fn flush(&mut self) {
        if let Err(error) = self.out.flush() {
            self.lost(error);
        }
    }

    /// Reports results that could not be written.
    fn lost(&mut self, error: io::Error) {
        if let Some((lost, _)) = self.results_lost() {
            return self.fail_in_part(&lost);
        }
        // A closed terminal rejects output and sends a signal, which ends the session.
        let is_gone = self.interrupt.is_ending() && error.raw_os_error() == Some(Errno::IO.raw_os_error());
        match Failure::from(error) {
            failure if failure.kind == Kind::BrokenPipe => self.tally.broken_pipe = true,
            _ if is_gone => {}
            failure => {
                self.tally.failed = true;
                self.refuse(self.code_of(failure.kind), &failure.message);
                report::write_failure(&failure, b"", &LinePlace::Nowhere, &self.err_look);
            }
        }
    }

    /// Records a failure for the acknowledgement of the current line. The first one counts.
    fn refuse(&mut self, code: u8, message: &str) {
        if self.settings.ack && self.refused.is_none() {
            self.refused = Some(Refused { code, message: message.to_owned() });
        }
    }
}

/// Writes a failure at `place` as an object. `fields` adds more fields.
fn write_error(
    mut out: &mut dyn Write,
    kind: &str,
    message: &str,
    code: u8,
    place: &LinePlace,
    fields: impl FnOnce(&mut Object<'_, &mut dyn Write>) -> io::Result<()>,
) -> io::Result<()> {
    let mut object = Object::new(&mut out);
    object.field("error", message)?.field("kind", kind)?.field("code", code)?;
    if let LinePlace::Line { number, .. } = place {
        object.field("line", *number)?;
    }
    fields(&mut object)?;
    object.end()
}
