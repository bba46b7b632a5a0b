//! Redis' protocol: each row the command `SET`, as a client would send it.

use std::io::{self, Write};

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    out.write_all(b"*3\r\n$3\r\nSET\r\n")?;
    for bytes in [key, value] {
        write!(out, "${}\r\n", bytes.len())?;
        out.write_all(bytes)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_say_where_bytes_end_whatever_they_are() {
        let mut out = Vec::new();
        write(&mut out, b"k", b"\r\n\0").expect("memory takes it");
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\r\n\0\r\n");
    }
}
