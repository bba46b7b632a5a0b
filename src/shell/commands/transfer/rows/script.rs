//! Lines of `put`, as the shell takes them: the words are split and printed as everywhere in it.

use std::io::{self, Write};

use logkv::{Batch, Expiry, Op};

use super::row::ImportRow;
use crate::shell::lang::words::plain::{self, Plain};
use crate::shell::lang::words::{Lexer, Quoted};

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    write!(out, "put {} {}", Quoted(key), Quoted(value))?;
    match expires_ms {
        // A later time is none that a key can have: an earlier version of this program wrote any.
        Some(expires_ms) => writeln!(out, " --until {}", expires_ms.min(Expiry::AT_MS_MAX)),
        None => writeln!(out),
    }
}

/// What the words behind the name of a plain command write. `None`: they are for the parser.
pub fn read(words: Lexer<'_>, plain: Plain) -> Option<Vec<ImportRow<'static>>> {
    let mut batch = Batch::new();
    plain::read(words, plain, &mut batch)?;
    let rows = batch.iter().map(|op| match op {
        Op::Put { key, value, expiry } => {
            ImportRow { expiry, ..ImportRow::put(key.to_vec(), value.to_vec()) }
        }
        Op::Delete { key } => ImportRow::delete(key.to_vec()),
    });
    Some(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_with_its_expiry() {
        let mut out = Vec::new();
        write(&mut out, b"a b", b"1", Some(7)).expect("memory takes it");
        assert_eq!(out, b"put \"a b\" 1 --until 7\n");
        let words = Lexer::new(out[4..].trim_ascii_end());
        let row = ImportRow::put(&b"a b"[..], &b"1"[..]).until(Some(7));
        assert_eq!(read(words, Plain::Pairs), Some(vec![row]));
        let rows = vec![ImportRow::delete(&b"a"[..]), ImportRow::delete(&b"b"[..])];
        assert_eq!(read(Lexer::new(b"a b"), Plain::Keys), Some(rows));
    }
}
