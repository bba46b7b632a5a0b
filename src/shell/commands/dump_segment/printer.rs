//! The output of the items of a file in the requested form.

use std::io::{self, Write};

use super::dump_item::{DumpItem, FileShape};
use super::list::List;
use super::paint::{glyphs, hue};
use super::request::{DumpForm, DumpRequest};
use super::{hex, programs};
use crate::shell::term::output::Output;

/// A writer of the items of a file, one by one.
pub struct Printer<'a> {
    request: &'a DumpRequest,
    shape: FileShape,
    list: List,
    /// The requested form.
    pub form: DumpForm,
    /// The number of items written.
    pub shown: u64,
}

impl<'a> Printer<'a> {
    /// Creates the printer of `request` for a file of this shape.
    pub fn new(request: &'a DumpRequest, shape: FileShape, out: &Output) -> Self {
        let form = request.form(out.mode);
        let list = match request.hex {
            true => List::of_bad_bytes(shape.clone(), out.look),
            false => List::new(shape.clone(), request.values, out.look),
        };
        Self { request, shape, list, form, shown: 0 }
    }

    /// Writes one item.
    pub fn write(&mut self, out: &mut Output, item: &DumpItem<'_>) -> io::Result<()> {
        self.shown += 1;
        match (self.form, item) {
            (DumpForm::Drawn, DumpItem::Record(record)) if self.request.hex => {
                let look = out.look;
                hex::write_record(out, record, self.request.values, &look)
            }
            (DumpForm::Drawn, _) => self.list.write(out, item),
            (DumpForm::Objects | DumpForm::Lines, _) => programs::write(out, item, &self.shape, self.request),
        }
    }

    /// Ends the list. Writes the command that continues at `next`, where the file is called `name`.
    pub fn end(self, out: &mut Output, name: &str, next: Option<u64>) -> io::Result<()> {
        if self.form != DumpForm::Drawn {
            return Ok(());
        }
        let look = out.look;
        self.list.end(out)?;
        if self.shown == 0 {
            writeln!(out, "  {}", look.paint("no record matches", hue::DIM))?;
        }
        if let Some(next) = next {
            let shown = format!("  {} {} shown; to continue:", glyphs(&look).cut, self.shown);
            writeln!(out, "{} {}", look.paint(shown, hue::DIM), self.request.continuation(name, next))?;
        }
        Ok(())
    }
}
