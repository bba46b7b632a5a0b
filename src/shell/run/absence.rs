//! The reason why a key is missing, read from the log.

use logkv::{At, Version};

use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::quote;
use crate::shell::run::session::Session;
use crate::shell::term::units;

/// Longer logs are not searched, because the search may have to sort a segment first.
const RECORDS_MAX: u64 = 2_000_000;

/// Prints the record that deleted `key`, or the time when it expired, and the command that shows
/// its old value, for a user in mode table only. Returns whether it printed anything: most missing
/// keys never existed.
pub fn explain_absence(session: &mut Session, key: &[u8]) -> Result<bool, Failure> {
    if !(session.is_interactive() && session.out.is_table()) {
        return Ok(false);
    }
    let batched = session.change_of(key);
    let reason = match batched {
        Some(_) => Some(format!("the open batch deletes {}; rollback undoes that", quote(key))),
        None => reason(session, key)?,
    };
    if let Some(reason) = &reason {
        session.flush();
        session.note(&format!("note: {reason}"));
    }
    Ok(reason.is_some())
}

/// Returns the outcome of a missing key. If the store has damage, the damaged record may have been
/// the record of this key.
pub fn absent(session: &mut Session) -> Result<Outcome, Failure> {
    let damage_count = session.store()?.open_report().damage.len();
    if damage_count == 0 {
        return Ok(Outcome::Absent);
    }
    session.flush();
    let places = units::count(damage_count as u64, "damaged place");
    session.note(&format!("note: {places} in this store may have held it"));
    Ok(Outcome::Damaged)
}

/// Returns the outcome of a command that succeeded because a key is missing. Damage in the store
/// makes that uncertain.
pub fn unless_uncertain(session: &mut Session) -> Result<Outcome, Failure> {
    match absent(session)? {
        Outcome::Absent => Ok(Outcome::Done),
        uncertain => Ok(uncertain),
    }
}

/// Returns the sentence that explains how `key` was removed.
fn reason(session: &Session, key: &[u8]) -> Result<Option<String>, Failure> {
    let store = session.store()?;
    // A damaged log must not turn a missing key into a failure.
    let Ok(segments) = store.segments() else { return Ok(None) };
    if segments.iter().map(|segment| segment.record_count).sum::<u64>() > RECORDS_MAX {
        return Ok(None);
    }
    let Ok(versions) = store.versions(key) else { return Ok(None) };
    let mut before: Option<Version> = None;
    let mut last: Option<Version> = None;
    for (count, version) in (0..).zip(versions) {
        session.interrupt().check(count)?;
        let Ok(version) = version else { return Ok(None) };
        before = last.replace(version);
    }
    let Some(last) = last else { return Ok(None) };
    let now_ms = store.now_ms();
    let name = quote(key);
    let ago = |ms: u64| units::duration(now_ms.saturating_sub(ms));
    if last.value.is_none() {
        let seq = last.meta.seq;
        let was = before.filter(|before| matches!(store.get_at(key, At::Seq(before.meta.seq)), Ok(Some(_))));
        let how = was.map_or_else(
            || format!("versions {name} shows the remaining records"),
            |was| format!("get {name} --at {} shows what it was", was.meta.seq),
        );
        return Ok(Some(format!("record {seq} deleted {name} {} ago; {how}", ago(last.meta.time_ms))));
    }
    let expired = last.meta.expires_ms.filter(|expires_ms| *expires_ms <= now_ms);
    Ok(expired.map(|expires_ms| {
        let seq = last.meta.seq;
        format!("{name} expired {} ago (record {seq}); versions {name} shows it", ago(expires_ms))
    }))
}
