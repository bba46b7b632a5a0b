//! The date and the time of a record, as text.

use jiff::SignedDuration;
use jiff::civil::{self, DateTime};

/// 1970-01-01T00:00:00.
pub const EPOCH: DateTime = civil::datetime(1970, 1, 1, 0, 0, 0, 0);

/// Returns the UTC date and time `ms` milliseconds after 1970, or `None` after the year 9999.
pub fn civil(ms: u64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_millis(i64::try_from(ms).ok()?)).ok()
}

/// A date and a time of day, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `2026-11-22`, or empty after the year 9999.
    pub day: String,
    /// `05:56:40.812`, or the number of milliseconds after the year 9999.
    pub clock: String,
}

impl Moment {
    /// Returns the moment `ms` milliseconds after 1970.
    pub fn of(ms: u64) -> Self {
        match civil(ms) {
            Some(time) => Self {
                day: time.strftime("%Y-%m-%d").to_string(),
                clock: time.strftime("%H:%M:%S%.3f").to_string(),
            },
            None => Self { day: String::new(), clock: format!("{ms} ms") },
        }
    }

    /// Returns the time of day without milliseconds: `05:56:40`.
    pub fn seconds(&self) -> &str {
        self.clock.split('.').next().unwrap_or_default()
    }

    /// Returns the date and the time of day without milliseconds.
    pub fn seconds_full(&self) -> String {
        format!("{} {}", self.day, self.seconds()).trim_start().to_owned()
    }

    /// Returns the date and the time of day.
    pub fn full(&self) -> String {
        format!("{} {}", self.day, self.clock).trim_start().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc_and_a_number_beyond_the_calendar_as_a_number() {
        let moment = Moment::of(1_790_056_600_812);
        assert_eq!(moment.full(), "2026-09-22 05:56:40.812");
        assert_eq!(moment.seconds(), "05:56:40");
        assert_eq!(Moment::of((1 << 48) - 1).full(), "281474976710655 ms");
    }
}
