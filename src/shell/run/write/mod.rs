//! Writes of commands: committed at once, pipelined, or queued for `commit`.
//!
//! A command reads its words into a [`Mutation`]. [`Session::perform`] waits until it is written,
//! or adds it to the open batch. A script [submits](Mutation::submit) it, and waits later for many
//! together.

pub mod mutation;
pub mod pipeline;
pub mod reply;
pub mod transaction;

use std::collections::HashSet;

use logkv::{Error, Pending, PutOptions};

use self::mutation::{Mutation, Reply};
use self::pipeline::Submitted;
use self::reply::{distinct, not_set, print_deletions, queued, sum_queued};
use self::transaction::check_key;
use super::absence::unless_uncertain;
use super::session::{CommandRequest, Invocation, Run, Session};
use super::view::contains;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::shown;
use crate::shell::term::output::Mode;

impl Session {
    /// Runs a command.
    pub fn perform(&mut self, invocation: &Invocation) -> Result<Outcome, Failure> {
        match invocation.command.run {
            Run::Itself(run) | Run::Keys { run, .. } | Run::Batch { run, .. } => run(self, invocation),
            Run::Write { read, .. } => match read(self, invocation)? {
                CommandRequest::Itself(run) => run(self, invocation),
                CommandRequest::Write(mutation) => mutation.write(self),
            },
        }
    }

    /// Waits for the submitted writes. Prints their results and failures, and acknowledges their
    /// lines.
    pub fn drain(&mut self) {
        for Submitted { pending, reply, mode, place } in self.pipeline().take_all() {
            let committed = pending.wait().map_err(Failure::from);
            self.in_json(mode == Mode::Json, |session| {
                let result = committed.and_then(|commit| reply.print(session, commit));
                session.settle(result, b"", &place);
            });
            self.acknowledge(&place);
        }
    }
}

impl Mutation {
    /// Writes it and waits, or adds it to the open batch. Prints the result.
    fn write(&self, session: &mut Session) -> Result<Outcome, Failure> {
        if session.has_batch() {
            return self.queue(session);
        }
        let (pending, reply) = self.submit(session)?;
        let commit = pending.wait()?;
        reply.print(session, commit)
    }

    /// Submits it to the store. The reply is valid after the store has acknowledged the write.
    pub fn submit(&self, session: &mut Session) -> Result<(Pending, Reply), Failure> {
        let store = session.make_store()?;
        match self {
            Self::Put(batch) => {
                // Only people see the number of keys.
                let is_told = batch.len() > 1 && session.out.is_table();
                let keys = if is_told { distinct(batch) } else { 1 };
                Ok((store.submit(batch)?, Reply::Put { keys }))
            }
            Self::Delete(batch) => Ok((store.submit(batch)?, Reply::Delete { named: batch.len() })),
            Self::PutIf { key, value, expiry, if_absent } => {
                let options = PutOptions::new().expiry(*expiry);
                let options = if *if_absent { options.if_absent() } else { options.if_present() };
                let pending = store.submit_put(key, value, options).map_err(of_key(key))?;
                Ok((pending, Reply::PutIf { key: key.clone(), if_absent: *if_absent }))
            }
            Self::Incr { key, by } => {
                let is_sound = store.open_report().damage.is_empty();
                if !is_sound {
                    // A submitted write may have set the key.
                    session.drain();
                }
                let was_there = is_sound || contains(session, key)?;
                let (sum, pending) = store.submit_incr(key, *by).map_err(of_number(key))?;
                Ok((pending, Reply::Sum { key: key.clone(), sum, was_there }))
            }
            Self::Expire { key, expiry: Some(expiry) } => {
                let pending = store.submit_expire(key, *expiry).map_err(of_key(key))?;
                Ok((pending, Reply::Expire { key: key.clone() }))
            }
            Self::Expire { key, expiry: None } => {
                let (is_there, pending) = store.submit_persist(key).map_err(of_key(key))?;
                Ok((pending, Reply::Persist { key: key.clone(), is_there }))
            }
        }
    }

    /// Adds it to the open batch.
    fn queue(&self, session: &mut Session) -> Result<Outcome, Failure> {
        match self {
            Self::Put(batch) => {
                session.open_batch()?.apply(batch)?;
                queued(&mut session.out, None, distinct(batch))?;
                Ok(Outcome::Done)
            }
            Self::Delete(batch) => {
                let mut there = HashSet::new();
                for op in batch.iter() {
                    check_key(op.key())?;
                    if contains(session, op.key())? {
                        there.insert(op.key());
                    }
                }
                session.open_batch()?.apply(batch)?;
                print_deletions(session, there.len(), batch.len())?;
                if there.len() < batch.len() { unless_uncertain(session) } else { Ok(Outcome::Done) }
            }
            Self::PutIf { key, value, expiry, if_absent } => {
                check_key(key)?;
                if contains(session, key)? == *if_absent {
                    return not_set(session, key, *if_absent);
                }
                session.open_batch()?.put(key, value, *expiry)?;
                queued(&mut session.out, None, 1)?;
                if *if_absent { unless_uncertain(session) } else { Ok(Outcome::Done) }
            }
            Self::Incr { key, by } => {
                check_key(key)?;
                let was_there = contains(session, key)?;
                // The sum stays correct until `commit`: only this process writes to the store.
                let sum = session.open_batch()?.overlay.incr(key, *by).map_err(of_number(key))?;
                sum_queued(&mut session.out, key, sum)?;
                if was_there { Ok(Outcome::Done) } else { unless_uncertain(session) }
            }
            Self::Expire { key, expiry } => {
                if !contains(session, key)? {
                    return not_set(session, key, false);
                }
                session.open_batch()?.expire(key, *expiry).map_err(of_key(key))?;
                queued(&mut session.out, Some(key), 1)?;
                Ok(Outcome::Done)
            }
        }
    }
}

fn of_key(key: &[u8]) -> impl Fn(Error) -> Failure {
    move |error| Failure::of_key(&error, key)
}

fn of_number(key: &[u8]) -> impl Fn(Error) -> Failure {
    move |error| match error {
        Error::NotANumber | Error::NumberOverflow { .. } => {
            Failure::command(format!("cannot add to {}: {error}", shown(key)))
        }
        error => Failure::of_key(&error, key),
    }
}
