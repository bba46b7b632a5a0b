//! The arguments and flags of `compact`.

use logkv::{Compact, Error};

use crate::shell::lang::command::{Flag, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::Word;
use crate::shell::run::segments;
use crate::shell::run::session::{Invocation, Session};

/// The name of the flag that keeps the command from writing.
pub const DRY_RUN: &str = "dry-run";

/// The flags of `compact`.
pub const FLAGS: &[Flag] = &[
    Flag::long("all", Takes::Nothing, "Compacts every segment with dead records; seals the active one first"),
    Flag::long(
        DRY_RUN,
        Takes::Nothing,
        "Changes nothing; shows which records would be kept or dropped, and why",
    ),
    Flag::long("limit", Takes::Number, "Shows at most this many records; needs --dry-run"),
    Flag::long("step", Takes::Nothing, "Stops before each step, and says what a crash would leave"),
];

/// The arguments and flags of one call of `compact`.
#[derive(Debug)]
pub struct CompactRequest<'a> {
    pub what: Compact,
    /// The arguments that name segments.
    words: &'a [Word],
    pub is_dry: bool,
    pub is_stepwise: bool,
    /// The number of records that a dry run shows.
    pub limit: Option<u64>,
}

impl<'a> CompactRequest<'a> {
    pub fn of(invocation: &'a Invocation) -> Result<Self, Failure> {
        let refused = |message| Err(Failure::usage(message).at(invocation.name.clone()));
        let words = invocation.args.as_slice();
        let limit = invocation.number("limit")?;
        let is_dry = invocation.has(DRY_RUN);
        let is_stepwise = invocation.has("step");
        let what = match (invocation.has("all"), words) {
            (true, []) => Compact::All,
            (true, _) => return refused("compact takes either SEGs or --all"),
            (false, []) => Compact::Due,
            (false, words) => {
                let ids = words.iter().map(|word| segments::parse(word, "compact"));
                Compact::Segments(ids.collect::<Result<_, _>>()?)
            }
        };
        if is_dry && is_stepwise {
            return refused("--dry-run and --step exclude each other");
        }
        if limit.is_some() && !is_dry {
            return refused("--limit needs --dry-run");
        }
        Ok(Self { what, words, is_dry, is_stepwise, limit })
    }

    /// Converts `error` to a failure with advice that points at the segment's argument.
    pub fn failure(&self, error: Error, session: &mut Session) -> Failure {
        match error {
            Error::ReadOnly => {
                Failure::from(error).hint("compact --dry-run shows the effect and changes nothing")
            }
            Error::NoSuchSegment { segment } => {
                segments::point_at(self.words, segment, segments::missing(segment, session))
            }
            Error::NotCompactable { segment, .. } => segments::point_at(self.words, segment, error.into()),
            error => error.into(),
        }
    }
}
