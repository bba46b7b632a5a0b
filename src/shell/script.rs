//! Scripts: one command a line, from the standard input, a file, or `-c`.

use std::io::{self, Write};
use std::rc::Rc;

use logkv::{Batch, Op, Pending, Plant, planted};

use super::command::{self, Outcome};
use super::commands::get;
use super::commands::reply::{Reply, distinct, submit_of};
use super::failure::{Failure, plain_words};
use super::input::{Input, Readiness};
use super::json::Object;
use super::output::{Mode, Output};
use super::parse::parse_line;
use super::report::Place;
use super::session::{Origin, Session, Timer};
use super::units;
use super::words::{Lexer, Style, open_quote, visible};

/// Runs all lines of `input`, which errors call `name`. [`Outcome::Quit`] when a line says so.
pub fn run(session: &mut Session, input: Input, name: &str) -> Outcome {
    let mut script = Script { input, file: Rc::from(name), number: 0, next_number: 1, is_answered: true };
    let failures_before = session.failures;
    let origin = session.origin;
    if origin == Origin::OneShot {
        // `logkv DIR read FILE`: its lines are a script's, whose missing keys are results.
        session.origin = Origin::Script;
    }
    let outcome = loop {
        let bails =
            session.settings.bail && session.failures > failures_before.max(session.failures_forgiven);
        if bails || session.is_over() {
            break Outcome::Done;
        }
        match script.step(session) {
            Ok(Some(Outcome::Quit)) => break Outcome::Quit,
            Ok(Some(_)) => {}
            Ok(None) => break Outcome::Done,
            Err(failure) => {
                session.drain();
                session.fail(&failure, b"", &script.place());
                script.answered(session);
                break Outcome::Done;
            }
        }
    };
    session.drain();
    session.origin = origin;
    outcome
}

struct Script {
    input: Input,
    file: Rc<str>,
    /// The line where the present command starts, from 1.
    number: u64,
    /// The line after the present command.
    next_number: u64,
    /// Whether the answer to the present line has its end, or gets it with the writes that are on their way.
    is_answered: bool,
}

/// What became of a line.
enum Ran {
    /// Nothing: it is for somebody else.
    Not,
    /// All that is said of it was said.
    Told,
    /// It is told with the writes that are on their way.
    Sent,
}

impl Script {
    fn place(&self) -> Place {
        if self.number == 0 {
            return Place::Nowhere;
        }
        Place::Line { file: Rc::clone(&self.file), number: self.number }
    }

    /// Ends the answer to the present line.
    fn answered(&mut self, session: &mut Session) {
        if !self.is_answered {
            session.acknowledge(&self.place());
            self.is_answered = true;
        }
    }

    /// Runs the next command; `None` when there is none. An error here ends the script.
    fn step(&mut self, session: &mut Session) -> Result<Option<Outcome>, Failure> {
        loop {
            match self.read(session, Input::advance)? {
                Read::Whole => {}
                Read::TooLong => {
                    self.pass_over(session)?;
                    return Ok(Some(Outcome::Done));
                }
                Read::End => return Ok(None),
            }
            if session.interrupt.is_set() {
                return Err(Failure::interrupted());
            }
            self.number = self.next_number;
            self.next_number += 1;
            self.is_answered = false;
            let line = self.input.line();
            if !line.starts_with(b"#") && !line.iter().all(u8::is_ascii_whitespace) {
                break;
            }
            if session.acknowledges() {
                session.drain();
                self.answered(session);
            }
        }
        if session.settings.echo {
            self.finish_quote(session)?;
            session.drain();
            echo(&mut session.out, self.input.line())?;
        }
        let mut ran = quick(session, self.input.line(), || self.place());
        if let Ran::Not = ran {
            self.finish_quote(session)?;
            ran = later(session, self.input.line(), || self.place());
        }
        let mut outcome = Outcome::Done;
        match ran {
            Ran::Sent => self.is_answered = true,
            Ran::Told => self.answered(session),
            Ran::Not if settle(session) => {
                if session.acknowledges() {
                    // It may take long, and nobody is to wait for what was done before it.
                    session.flush();
                }
                // A failure was told and counted; the script goes on.
                outcome = session.interpret(self.input.line(), &self.place()).unwrap_or(Outcome::Done);
                self.answered(session);
            }
            Ran::Not => {}
        }
        Ok(Some(outcome))
    }

    /// Takes lines into the present command until its last quote is closed.
    fn finish_quote(&mut self, session: &mut Session) -> Result<(), Failure> {
        if session.acknowledges() {
            // Who waits for the answer to a line does not send the next one.
            return Ok(());
        }
        while let Some((quote, at)) = open_quote(self.input.line()) {
            loop {
                let len = self.input.line().len();
                let read = self.read(session, Input::extend)?;
                if read != Read::Whole {
                    // Named is the line where it opened, which may be far above the end.
                    let opened = self.input.line()[..at].iter().filter(|&&byte| byte == b'\n').count();
                    self.number += opened as u64;
                    // What follows may be the rest of a value, and is not run.
                    return Err(match read {
                        Read::TooLong => too_long(session).hint(format!("the quote {quote} that opens here is not closed by then, and the script ends here")),
                        _ => Failure::usage(format!("the quote {quote} that opens in this line is never closed")),
                    });
                }
                self.next_number += u64::from(!planted(Plant::LineNumberLost));
                // Looking at the whole command again for each line would take quadratic time.
                if self.input.line()[len..].contains(&(quote as u8)) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Goes on by a line, reading as much as that takes.
    fn read(&mut self, session: &mut Session, go_on: fn(&mut Input) -> bool) -> Result<Read, Failure> {
        while !go_on(&mut self.input) {
            if self.input.is_at_end() {
                return Ok(Read::End);
            }
            if self.input.unread_len() > line_len_max(session.value_len_max) {
                return Ok(Read::TooLong);
            }
            self.fill(session)?;
        }
        Ok(Read::Whole)
    }

    /// Tells that the next line is too long, and goes to its end, holding little of it.
    fn pass_over(&mut self, session: &mut Session) -> Result<(), Failure> {
        self.number = self.next_number;
        self.next_number += 1;
        self.is_answered = false;
        session.drain();
        session.fail(&too_long(session), b"", &self.place());
        self.answered(session);
        loop {
            self.input.forget();
            self.fill(session)?;
            if self.input.advance() || self.input.is_at_end() {
                return Ok(());
            }
        }
    }

    /// Reads more. Before that would wait, all that was done is acknowledged and told: the other end of the pipe
    /// may be waiting for it.
    fn fill(&mut self, session: &mut Session) -> Result<(), Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::interrupted(),
            _ => Failure::command(format!("cannot read the script: {}", plain_words(&error))),
        };
        // Input without a pause, such as an endless line, never reaches a wait.
        if session.interrupt.is_set() {
            return Err(Failure::interrupted());
        }
        if self.input.readiness().map_err(failed)? == Readiness::Waits {
            session.drain();
            session.flush();
            self.input.wait(&session.interrupt).map_err(failed)?;
        }
        self.input.fill().map_err(failed)?;
        // Whoever wrote these lines knows of nothing that was written later than this.
        session.follow()
    }
}

/// What came of a look for the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// There is one.
    Whole,
    /// There is one, and it makes the command longer than is read.
    TooLong,
    /// There is none.
    End,
}

fn too_long(session: &Session) -> Failure {
    let len_max = units::bytes(line_len_max(session.value_len_max));
    Failure::usage(format!("a command of more than {len_max} is not read"))
}

/// The longest command that is read, in bytes: a record with each byte of it escaped, and some more for names and flags.
/// Without a limit a line without an end would take all memory.
fn line_len_max(value_len_max: u64) -> u64 {
    const ESCAPE_LEN: u64 = 4;
    const KEY_LEN_MAX: u64 = 65_535;
    const REST_LEN: u64 = 1 << 20;
    value_len_max.saturating_add(KEY_LEN_MAX).saturating_mul(ESCAPE_LEN).saturating_add(REST_LEN)
}

/// Shows the lines of a command before its result; on a terminal without the bytes that would drive it, and in JSON as an object.
fn echo(out: &mut Output, lines: &[u8]) -> io::Result<()> {
    if out.mode == Mode::Json {
        return Object::new(out).bytes("echo", lines)?.end();
    }
    if !out.is_terminal {
        out.write_all(lines)?;
        return out.write_all(b"\n");
    }
    for line in lines.split(|&byte| byte == b'\n') {
        writeln!(out, "{}", visible(line.strip_suffix(b"\r").unwrap_or(line)))?;
    }
    Ok(())
}

/// Runs a `put`, `del` or `get` without flags, which is what long scripts are made of: its words are taken from the
/// line without a copy, and writes are waited for later. [`Ran::Not`]: it is something else, and nothing was done.
fn quick(session: &mut Session, line: &[u8], place: impl Fn() -> Place) -> Ran {
    if session.transaction.is_some() || session.settings.timer == Timer::On {
        return Ran::Not;
    }
    let mut words = Lexer::new(line);
    let command = words.next().and_then(|name| command::find(&name.bytes));
    let result = match command.map(|command| command.name) {
        Some("put") => {
            let mut batch = session.pipeline.take_batch();
            if !read_pairs(words, &mut batch) {
                session.pipeline.give_batch(batch);
                return Ran::Not;
            }
            // Only people are told how many.
            let is_told = batch.len() > 1 && session.out.is_table();
            let keys = if is_told { distinct(batch.iter().map(key_of)) } else { 1 };
            submit(session, batch, line.len(), Reply::Put { keys }, place())
        }
        Some("del") => {
            let mut batch = session.pipeline.take_batch();
            if !read_keys(words, |key| {
                batch.delete(key);
            }) || batch.is_empty()
            {
                session.pipeline.give_batch(batch);
                return Ran::Not;
            }
            let reply = Reply::Delete { named: batch.len() };
            submit(session, batch, line.len(), reply, place())
        }
        Some("get") => {
            let mut keys = 0;
            if !read_keys(words.clone(), |_| keys += 1) || keys == 0 {
                return Ran::Not;
            }
            if !settle(session) {
                return Ran::Told;
            }
            session.place = place();
            let keys: Vec<_> = words.map(|key| key.bytes).collect();
            let told = get::get(session, &keys);
            session.settle(told, b"", &place());
            return Ran::Told;
        }
        _ => return Ran::Not,
    };
    result.unwrap_or_else(|failure| {
        // The results of the lines above come first.
        session.drain();
        session.fail(&failure, b"", &place());
        Ran::Told
    })
}

fn key_of(op: Op<'_>) -> &[u8] {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => key,
    }
}

/// Waits for the writes that are on their way, which the next command is to see; whether it may be run: where a script ends
/// at the first error, one of them may have been that.
fn settle(session: &mut Session) -> bool {
    let failures_before = session.failures;
    session.drain();
    !session.settings.bail || session.failures == failures_before
}

fn submit(
    session: &mut Session,
    batch: Batch,
    len: usize,
    reply: Reply,
    place: Place,
) -> Result<Ran, Failure> {
    let submitted = session.store().and_then(|store| Ok(store.submit(&batch)?));
    session.pipeline.give_batch(batch);
    send((submitted?, reply), session.out.mode, len, place, session);
    Ok(Ran::Sent)
}

/// Has a write waited for with those before it and after it.
fn send(submitted: (Pending, Reply), mode: Mode, len: usize, place: Place, session: &mut Session) {
    session.pipeline.push(submitted, mode, len, place);
    if session.pipeline.is_full() {
        session.drain();
    }
}

/// Runs a write that has flags, or depends on what is there, and waits for it later: it goes by what is on its way, and what it
/// says is said after that. [`Ran::Not`]: it is something else, or wrong, and nothing was done.
fn later(session: &mut Session, line: &[u8], place: impl Fn() -> Place) -> Ran {
    if session.transaction.is_some() || session.settings.timer == Timer::On {
        return Ran::Not;
    }
    let command = Lexer::new(line).next().and_then(|name| command::find(&name.bytes));
    if command.and_then(submit_of).is_none() {
        return Ran::Not;
    }
    let Ok(Some(invocation)) = parse_line(line) else { return Ran::Not };
    // `put --help` is a call of help.
    let Some(submit) = submit_of(invocation.command) else { return Ran::Not };
    match submit(session, &invocation) {
        Ok(submitted) => {
            let mode = if invocation.json { Mode::Json } else { session.out.mode };
            send(submitted, mode, line.len(), place(), session);
            Ran::Sent
        }
        Err(failure) => {
            session.drain();
            session.in_json(invocation.json, |session| session.fail(&failure, line, &place()));
            Ran::Told
        }
    }
}

/// Whether the words are KEY VALUE pairs and nothing else, which are then in `batch`.
fn read_pairs(words: Lexer<'_>, batch: &mut Batch) -> bool {
    let mut key = None;
    let all_plain = all_plain(words, |bytes| match key.take() {
        None => key = Some(bytes),
        Some(key) => {
            batch.put(key, bytes);
        }
    });
    all_plain && key.is_none() && !batch.is_empty()
}

/// Whether the words are keys and nothing else; `take` gets each.
fn read_keys(words: Lexer<'_>, mut take: impl FnMut(&[u8])) -> bool {
    all_plain(words, |bytes| take(&bytes))
}

/// Hands the words over for as long as they are well formed, and neither flags nor a dash.
fn all_plain<'a>(mut words: Lexer<'a>, mut take: impl FnMut(std::borrow::Cow<'a, [u8]>)) -> bool {
    words.all(|word| {
        let is_plain = word.error.is_none() && !(word.style == Style::Bare && word.bytes.starts_with(b"-"));
        if is_plain {
            take(word.bytes);
        }
        is_plain
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(line: &str) -> Option<usize> {
        let mut batch = Batch::new();
        read_pairs(Lexer::new(line.as_bytes()), &mut batch).then(|| batch.len())
    }

    #[test]
    fn only_pairs_without_flags_dashes_and_errors_are_taken_quickly() {
        assert_eq!(pairs("a 1 'b c' \"2\\n\""), Some(2));
        for line in ["", "a", "a 1 b", "--nx a 1", "a -", "a \"\\q\"", "a 'open", "-- a"] {
            assert_eq!(pairs(line), None, "{line}");
        }
        assert_eq!(pairs("a '-'"), Some(1));
    }

    proptest! {
        #[test]
        fn what_is_taken_quickly_is_what_the_parser_makes_of_it(line in r#"([-a-c"'\\x0=]{0,4} {0,2}){0,6}"#) {
            let mut batch = Batch::new();
            if read_pairs(Lexer::new(line.as_bytes()), &mut batch) {
                let call = parse_line(format!("put {line}").as_bytes()).expect("it is understood");
                let call = call.expect("there are words");
                let pairs = batch.iter().flat_map(|op| match op {
                    Op::Put { key, value, .. } => [key, value],
                    Op::Delete { .. } => unreachable!("pairs are put"),
                });
                prop_assert!(pairs.eq(call.args.iter().map(|word| word.bytes.as_slice())));
                prop_assert!(call.flags.is_empty() && !call.json);
            }
            let mut keys = Vec::new();
            if read_keys(Lexer::new(line.as_bytes()), |key| keys.push(key.to_vec())) && !keys.is_empty() {
                let call = parse_line(format!("get {line}").as_bytes()).expect("it is understood");
                let call = call.expect("there are words");
                prop_assert!(keys.iter().eq(call.args.iter().map(|word| &word.bytes)));
                prop_assert!(call.flags.is_empty() && !call.json);
            }
        }
    }
}
