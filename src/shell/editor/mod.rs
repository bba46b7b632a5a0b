//! The line editor: rustyline, taught the shell's commands, its words and the store's keys.

mod complete;
mod highlight;
mod hint;
mod history;
mod lines;
mod prompt;
mod repl;
mod spot;

use std::borrow::Cow;

use logkv::{SegmentState, SegmentStats, Store, Visible};
use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use unicode_width::UnicodeWidthStr;

use self::complete::{CHOICES_MAX, Choice, More, Source};
use self::hint::Signature;
use super::style::{self, Look, hue};

pub use self::repl::run;

/// What rustyline asks while a line is typed.
struct Assistant {
    look: Look,
    keys: StoreKeys,
    /// Lines that the present one goes on from.
    pending: String,
    prompt_width: usize,
}

impl Helper for Assistant {}

/// Open quotes are seen to by [`lines::Lines`]: a line that goes on gets a prompt of its own that way.
impl Validator for Assistant {}

impl Completer for Assistant {
    type Candidate = Choice;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Choice>)> {
        if !self.pending.is_empty() {
            // The word began in a line that can no longer be changed.
            return Ok((pos, Vec::new()));
        }
        Ok(complete::complete(&line[..pos], &self.keys, &self.look))
    }
}

impl Hinter for Assistant {
    type Hint = Signature;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Signature> {
        let is_at_end = pos == line.len() && self.pending.is_empty() && line.len() <= highlight::LEN_MAX;
        if !is_at_end || line.contains('\n') {
            return None;
        }
        // The window may have been resized since the line was begun. One column is for the cursor.
        let used = self.prompt_width + line.width() + 1;
        let room = style::terminal_width().checked_sub(used)?;
        hint::hint(line, room, &self.look)
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let is_shown = |c: char| c == '\n' || Visible::is(c);
        if !line.chars().all(is_shown) {
            // What was pasted may hold anything.
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

/// Live keys and segments of the open store; none where no store is open, or it cannot be read.
struct StoreKeys(Option<Store>);

impl StoreKeys {
    /// So many keys beyond those listed are counted: all of them could be millions.
    const COUNTED_MAX: usize = 10_000;
}

impl Source for StoreKeys {
    fn keys(&self, prefix: &[u8]) -> (Vec<Vec<u8>>, More) {
        let Some(mut keys) = self.0.as_ref().and_then(|store| store.keys_with_prefix(prefix).ok()) else {
            return (Vec::new(), More::Exactly(0));
        };
        let listed = keys.by_ref().take(CHOICES_MAX).flatten().map(|entry| entry.key.to_vec()).collect();
        let more = match keys.take(Self::COUNTED_MAX + 1).count() {
            count if count > Self::COUNTED_MAX => More::Above(Self::COUNTED_MAX),
            count => More::Exactly(count),
        };
        (listed, more)
    }

    fn segments(&self) -> Vec<(u64, bool)> {
        let segments = self.0.as_ref().and_then(|store| store.segments().ok()).unwrap_or_default();
        let is_sealed = |segment: &SegmentStats| segment.state == SegmentState::Sealed;
        segments.iter().map(|segment| (segment.id.0, is_sealed(segment))).collect()
    }
}
