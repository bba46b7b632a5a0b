//! What the engine tells of its work, for who asks for it with `--log`: a line an event, on the standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use rustyline::ExternalPrinter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::shell::lang::words::visible;

/// The filter that lets nothing through.
pub const OFF: &str = "off";

/// What prints above the line that a person is typing; `None` when nobody is.
static PROMPT: Mutex<Option<Box<dyn ExternalPrinter + Send>>> = Mutex::new(None);

/// Whether `text` is a filter: a level, or levels of parts of the engine, separated by commas. A word that is neither would
/// be taken for the name of a part that there is not, and let nothing through.
pub fn is_filter(text: &str) -> bool {
    let is_known = |part: &str| {
        let name = part.split(['=', '[']).next().unwrap_or_default();
        part.parse::<LevelFilter>().is_ok() || name.starts_with("logkv") || part.starts_with('[')
    };
    !text.is_empty() && text.split(',').all(is_known) && EnvFilter::try_new(text).is_ok()
}

/// Tells from here on what `filter` lets through. Once in a process; a second call changes nothing.
pub fn install(filter: &str) {
    if filter == OFF {
        return;
    }
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(|| Line)
        .with_ansi(false)
        .finish();
    // There is one already in a process that has run the program before: in a test of it.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Has events printed by `printer`, above the line that is typed, if they would go to the terminal otherwise.
pub fn print_above(printer: impl ExternalPrinter + Send + 'static) {
    if io::stderr().is_terminal() {
        *PROMPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(printer));
    }
}

/// Where an event goes, which is written as a whole.
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
