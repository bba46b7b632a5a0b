//! Times and durations in the forms that users type.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;
use logkv::Expiry;

use super::words::is_digits;
use crate::shell::term::moment::EPOCH;

/// The accepted forms of a time, for messages.
pub const MOMENTS: &str = "2030-01-31, 2030-01-31T12:00Z, '10m ago' or yesterday";

const DAY_MS: u64 = 86_400_000;

/// Parses a duration: `90s`, `1h30m`, `1h 30m`, `1.5h`, `2 days`, `PT1H30M`.
pub fn duration(text: &str) -> Option<Duration> {
    let fraction = || Duration::try_from(text.parse::<SignedDuration>().ok()?).ok();
    humantime::parse_duration(text).ok().or_else(fraction)
}

/// Parses a time into milliseconds since 1970.
///
/// Accepts a date with an optional time of day, in UTC unless it has an offset; `now`; `today`,
/// `yesterday` and `tomorrow`, which mean midnight in UTC; `10m ago` and `in 10m`. Times before
/// 1970 become 0.
pub fn moment(text: &str, now_ms: u64) -> Option<u64> {
    let millis = |text: &str| Some(u64::try_from(duration(text)?.as_millis()).unwrap_or(u64::MAX));
    let today = now_ms - now_ms % DAY_MS;
    let lowercase = text.to_ascii_lowercase();
    match lowercase.as_str() {
        "now" => Some(now_ms),
        "today" => Some(today),
        "yesterday" => Some(today.saturating_sub(DAY_MS)),
        "tomorrow" => Some(today.saturating_add(DAY_MS)),
        // Durations are case-sensitive: `M` is a month, and `m` a minute.
        _ if lowercase.ends_with(" ago") => Some(now_ms.saturating_sub(millis(&text[..text.len() - 4])?)),
        _ if lowercase.starts_with("in ") => Some(now_ms.saturating_add(millis(&text[3..])?)),
        _ => of_calendar(&lowercase),
    }
}

fn of_calendar(text: &str) -> Option<u64> {
    let pieces = Pieces::parse(text).ok().filter(|pieces| pieces.time_zone_annotation().is_none())?;
    let local = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let offset_s = pieces.to_numeric_offset().map_or(0, |offset| offset.seconds());
    // The range of jiff's Timestamp ends before 9999-12-31T23:59:59.
    let ms = local.duration_since(EPOCH).as_millis() - i128::from(offset_s) * 1000;
    u64::try_from(ms.max(0)).ok()
}

/// The reason why a text is not a time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlError {
    /// It is not a duration, or it is shorter than a millisecond.
    Malformed,
    /// It is longer than the longest time to live.
    TooLong,
}

/// Parses a time to live: a duration, or a number of seconds as in Redis. Returns `None` for
/// `never`.
pub fn time_to_live(text: &[u8]) -> Result<Option<Duration>, TtlError> {
    let text = str::from_utf8(text).map_err(|_| TtlError::Malformed)?;
    if text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let ttl = match text.strip_suffix("ms").filter(|ms| is_digits(ms)) {
        // humantime counts nanoseconds, which overflow earlier than milliseconds.
        Some(ms) => Duration::from_millis(ms.parse().map_err(|_| TtlError::TooLong)?),
        None if is_digits(text) => Duration::from_secs(text.parse().map_err(|_| TtlError::TooLong)?),
        None => match (duration(text), humantime::parse_duration(text)) {
            (Some(duration), _) => duration,
            (None, Err(humantime::DurationError::NumberOverflow)) => return Err(TtlError::TooLong),
            (None, _) => return Err(TtlError::Malformed),
        },
    };
    match ttl.as_millis() {
        0 => Err(TtlError::Malformed),
        ms if ms > u128::from(Expiry::AT_MS_MAX) => Err(TtlError::TooLong),
        _ => Ok(Some(ttl)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_reaches_the_latest_expiry_and_no_further() {
        let millis =
            |text: &str| time_to_live(text.as_bytes()).map(|ttl| ttl.map_or(0, |ttl| ttl.as_millis()));
        assert_eq!(
            ["90", "1h30m", "350ms", "1.5h"].map(millis),
            [Ok(90_000), Ok(5_400_000), Ok(350), Ok(5_400_000)]
        );
        assert_eq!(["never", "NEVER"].map(millis), [Ok(0), Ok(0)]);
        assert_eq!(millis("9007199254740"), Ok(9_007_199_254_740_000));
        assert_eq!(millis("9007199254740991ms"), Ok(9_007_199_254_740_991));
        let too_long =
            ["9007199254741", "9007199254740992ms", "18446744073709551616ms", "18446744073709551615"];
        for text in
            too_long.into_iter().chain(["18446744073709551616", "99999999999d", "18446744073709551616d"])
        {
            assert_eq!(millis(text), Err(TtlError::TooLong), "{text}");
        }
        for text in ["", "0", "0ms", "ms", "999us", "-1", "-1ms", "soon"] {
            assert_eq!(millis(text), Err(TtlError::Malformed), "{text}");
        }
    }

    #[test]
    fn every_documented_form_of_a_time_parses() {
        const NOW: u64 = 1_700_000_000_000;
        let of = |text: &str| moment(text, NOW);
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2030-01-31", 1_896_048_000_000),
            ("2030-01-31 12:00", 1_896_091_200_000),
            ("2030-01-31T12:00", 1_896_091_200_000),
            ("2030-01-31t12:00:00.5z", 1_896_091_200_500),
            ("2030-01-31T12:00+02:00", 1_896_084_000_000),
            ("9999-12-31", 253_402_214_400_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("9999-12-31T23:59-12:00", 253_402_300_740_000 + 43_200_000),
            ("1969-12-31", 0),
            ("0000-01-01", 0),
            ("-009999-01-01", 0),
            ("now", NOW),
            ("today", 1_699_920_000_000),
            ("Yesterday", 1_699_833_600_000),
            ("tomorrow", 1_700_006_400_000),
            ("10m ago", NOW - 600_000),
            ("1h 30m ago", NOW - 5_400_000),
            ("1.5h ago", NOW - 5_400_000),
            ("in 2 days", NOW + 2 * DAY_MS),
            ("1000y ago", 0),
            ("1M ago", NOW - 2_630_016_000),
            ("IN 1m", NOW + 60_000),
            ("1m Ago", NOW - 60_000),
        ] {
            assert_eq!(of(text), Some(ms), "{text:?}");
        }
        for text in ["", "-1", "0", "10m", "soon", "ago", " ago", "in ", "2030-02-30", "10000-01-01", "never"]
        {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(moment("tomorrow", u64::MAX), Some(u64::MAX));
        assert_eq!(moment("in 500000000y", u64::MAX), Some(u64::MAX));
        assert_eq!([0, u64::MAX].map(|now| moment("yesterday", now).is_some()), [true, true]);
    }
}
