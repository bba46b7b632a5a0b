//! What the words of a call stand for.

use std::fs::File;
use std::path::Path;

use logkv::fs::StoreFile;

use crate::shell::command::{Flag, Invocation, Takes};
use crate::shell::failure::Failure;
use crate::shell::session::Session;
use crate::shell::words::{Word, quote};

/// The flag that makes arguments hexadecimal.
pub const HEX: Flag = Flag {
    name: "hex",
    short: None,
    takes: Takes::Nothing,
    doc: "Arguments are hexadecimal: 00ff is two bytes",
};

/// The bytes of all arguments.
pub fn arguments(invocation: &Invocation) -> Result<Vec<Vec<u8>>, Failure> {
    invocation.args.iter().map(|word| bytes_of(word, invocation)).collect()
}

/// The bytes that an argument stands for.
pub fn bytes_of(word: &Word, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
    if !invocation.has("hex") {
        return Ok(word.bytes.clone());
    }
    let digits: Option<Vec<u8>> = word
        .bytes
        .iter()
        .map(|&byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(Failure::usage(format!("--hex takes two digits a byte, not {}", quote(&word.bytes)))
            .at(word.span.clone())),
    }
}

/// Makes the file that results are to go into. A file of the store itself is refused: it would be emptied under the
/// engine's hands.
pub fn create(session: &Session, word: &Word) -> Result<File, Failure> {
    let path = word.path();
    if is_of_store(session.dir(), path) {
        return Err(Failure::command("this is a file of the store itself").at(word.span.clone()));
    }
    File::create(path).map_err(|error| Failure::file("write", path, &error).at(word.span.clone()))
}

/// Whether `path` leads to a file of the store in `dir`, or to where one may come to be.
pub fn is_of_store(dir: &Path, path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = || folder.canonicalize().ok().zip(path.file_name()).map(|(folder, name)| folder.join(name));
    let Some(target) = path.canonicalize().ok().or_else(new) else { return false };
    let has_its_name = target.file_name().is_some_and(|name| StoreFile::parse(name).is_some());
    has_its_name && dir.canonicalize().is_ok_and(|dir| target.parent() == Some(&*dir))
}
