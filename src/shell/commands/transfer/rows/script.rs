//! Lines of `put`, with words quoted as everywhere in the shell.

use std::io::{self, Write};

use logkv::{Batch, Expiry, Op};

use super::row::ImportRow;
use crate::shell::lang::words::plain::{self, Plain};
use crate::shell::lang::words::{Lexer, Quoted};

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    write!(out, "put {} {}", Quoted(key), Quoted(value))?;
    match expires_ms {
        // `put` refuses a later time. A store that an earlier version wrote may have one.
        Some(expires_ms) => writeln!(out, " --until {}", expires_ms.min(Expiry::AT_MS_MAX)),
        None => writeln!(out),
    }
}

/// Reads the rows of a plain command from the words after its name. Returns `None` if it needs the
/// parser.
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
    fn a_written_row_is_read_back_with_its_expiry() {
        let mut out = Vec::new();
        write(&mut out, b"a b", b"1", Some(7)).expect("a Vec accepts every write");
        assert_eq!(out, b"put \"a b\" 1 --until 7\n");
        let words = Lexer::new(out[4..].trim_ascii_end());
        let row = ImportRow::put(&b"a b"[..], &b"1"[..]).until(Some(7));
        assert_eq!(read(words, Plain::Pairs), Some(vec![row]));
        let rows = vec![ImportRow::delete(&b"a"[..]), ImportRow::delete(&b"b"[..])];
        assert_eq!(read(Lexer::new(b"a b"), Plain::Keys), Some(rows));
    }
}
