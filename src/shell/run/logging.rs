//! Events of the engine on the standard error, one per line, for `--log`.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use rustyline::ExternalPrinter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::shell::lang::words::visible;

/// The filter that rejects all events.
pub const OFF: &str = "off";

/// The printer that prints above the line that the user is typing. `None` without a line editor.
static PROMPT: Mutex<Option<Box<dyn ExternalPrinter + Send>>> = Mutex::new(None);

/// Returns whether `text` is a filter: a level, or levels of parts of the engine, separated by
/// commas. Other words are rejected: they would name an unknown part and match nothing.
pub fn is_filter(text: &str) -> bool {
    let is_known = |part: &str| {
        let name = part.split(['=', '[']).next().unwrap_or_default();
        part.parse::<LevelFilter>().is_ok() || name.starts_with("logkv") || part.starts_with('[')
    };
    !text.is_empty() && text.split(',').all(is_known) && EnvFilter::try_new(text).is_ok()
}

/// Logs the events that `filter` accepts. Only the first call in a process has an effect.
pub fn install(filter: &str) {
    if filter == OFF {
        return;
    }
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(|| Line)
        .with_ansi(false)
        .finish();
    // Fails if a subscriber is set already, as in a test that runs the program twice.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Prints events with `printer`, above the line being typed, if the standard error is a terminal.
pub fn print_above(printer: impl ExternalPrinter + Send + 'static) {
    if io::stderr().is_terminal() {
        *PROMPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(printer));
    }
}

/// The writer of one event.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = visible(bytes.strip_suffix(b"\n").unwrap_or(bytes)) + "\n";
        match PROMPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(printer) => printer.print(text).map_err(io::Error::other)?,
            None => io::stderr().write_all(text.as_bytes())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
