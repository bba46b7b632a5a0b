//! Completions, hints and colours while a line is typed.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use logkv::{Overlay, SegmentState, SegmentStats, Store, Visible};
use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use unicode_width::UnicodeWidthStr;

use super::complete::{self, CHOICES_MAX, FoundKeys, KeySource};
use super::highlight;
use super::hint::{self, Signature};
use super::list::{Choice, More, Screen};

use crate::shell::run::view::{Rows, Walk};
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::style::{self, Look, hue};

/// The callbacks of rustyline while a line is typed.
pub struct Assistant {
    pub look: Look,
    pub keys: StoreKeys,
    /// The earlier lines of an unfinished command.
    pub pending: String,
    pub prompt_width: usize,
}

impl Helper for Assistant {}

/// [`Lines`](super::lines::Lines) handles open quotes, so that the next line gets its own prompt.
impl Validator for Assistant {}

impl Completer for Assistant {
    type Candidate = Choice;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Choice>)> {
        if !self.pending.is_empty() {
            // The word started in an earlier line, which cannot be edited.
            return Ok((pos, Vec::new()));
        }
        let screen = Screen { size: style::terminal_size(), prompt_width: self.prompt_width };
        Ok(complete::complete(&line[..pos], &self.keys, &self.look, screen))
    }
}

impl Hinter for Assistant {
    type Hint = Signature;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Signature> {
        let is_at_end = pos == line.len() && self.pending.is_empty() && line.len() <= highlight::LEN_MAX;
        if !is_at_end || line.contains('\n') {
            return None;
        }
        // The window may have been resized. One column is for the cursor.
        let used = self.prompt_width + line.width() + 1;
        let room = style::terminal_width().checked_sub(used)?;
        hint::hint(line, room, &self.look)
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let is_shown = |c: char| c == '\n' || Visible::is(c);
        if !line.chars().all(is_shown) {
            // Pasted text may have control characters.
            let shown = |c: char| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER };
            return Cow::Owned(line.chars().map(shown).collect());
        }
        if !self.look.color || self.pending.len() + line.len() > highlight::LEN_MAX {
            return Cow::Borrowed(line);
        }
        Cow::Owned(highlight::highlight(&self.pending, line, &self.look))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.look.paint(hint, hue::DIM))
    }

    fn highlight_char(&self, line: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor && (line.len() <= highlight::LEN_MAX || !line.chars().all(Visible::is))
    }
}

/// The keys and segments of the open store, with the changes of the open batch. Empty without a
/// readable store.
pub struct StoreKeys {
    pub store: Option<Store>,
    pub overlay: Option<Overlay>,
}

impl StoreKeys {
    /// The maximum time to count keys beyond those listed, which could be millions.
    const COUNT_TIME_MAX: Duration = Duration::from_millis(100);

    /// Returns the keys that start with `prefix`, forward and backward.
    fn both_ends(&self, prefix: &[u8]) -> Option<[Rows; 2]> {
        let snapshot = self.store.as_ref()?.snapshot().ok()?;
        let rows = |reverse| {
            let walk = Walk::with_prefix(prefix, reverse);
            walk.rows(&snapshot, self.overlay.as_ref(), &Interrupt::default())
        };
        Some([rows(false).ok()?, rows(true).ok()?])
    }
}

impl KeySource for StoreKeys {
    fn keys(&self, prefix: &[u8]) -> FoundKeys {
        let Some([rows, backward]) = self.both_ends(prefix) else { return FoundKeys::default() };
        // Skips a damaged record, but not the keys after it.
        let mut keys = rows.flatten().map(|row| row.key.to_vec());
        let listed: Vec<_> = keys.by_ref().take(CHOICES_MAX).collect();
        let last = backward.flatten().next().map(|row| row.key.to_vec());
        let started = Instant::now();
        let mut count = 0;
        let more = loop {
            if keys.next().is_none() {
                break More::Exactly(count);
            }
            if started.elapsed() > Self::COUNT_TIME_MAX {
                break More::Many;
            }
            count += 1;
        };
        FoundKeys { listed, last: last.unwrap_or_default(), more }
    }

    fn segments(&self) -> Vec<(u64, bool)> {
        let segments = self.store.as_ref().and_then(|store| store.segments().ok()).unwrap_or_default();
        let is_sealed = |segment: &SegmentStats| segment.state == SegmentState::Sealed;
        segments.iter().map(|segment| (segment.id.0, is_sealed(segment))).collect()
    }
}
