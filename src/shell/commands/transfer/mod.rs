//! `export` and `import`: keys and values on their way out of the store and into it, a row at a time.
//!
//! [`rows`] has the forms of rows, and [`super::foreign`] the records of other stores. An export goes from a
//! snapshot to a file; an import from a [`source`], lines or the [`files`] of another store, into the store.
//! What it cannot take goes to the [`rejects`].

pub mod export;
mod files;
pub mod import;
mod rejects;
pub mod rows;
mod source;
pub mod walk;
mod writer;

use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs};
use crate::shell::run::session::{Command, Run};

pub const IMPORT: Command = Command {
    name: "import",
    aliases: &[],
    group: Group::Maintain,
    signature: "FILE|-|DIR… [--format jsonl|json|csv|tsv|script|bitcask|logkv-store] [--key FIELD [--value FIELD]] [--rejects FILE [-y|--yes]]",
    summary: "Imports rows of files, or another store's data files",
    help: "Sets the keys that a file holds. A one-shot import also reads the standard input (-). Blank \
           lines are skipped.\n\n\
           The ending of the name (.jsonl, .ndjson, .json, .csv, .tsv or .script) gives the format; \
           without one it is jsonl. A file that is compressed with gzip or zstd is decompressed, \
           whatever its name (.jsonl.gz, .csv.zst). If a compressed file is damaged, rows from before \
           the damage may be wrong too.\n\n\
           jsonl has an object a line; json has objects in an array or over several lines. Their fields \
           are key and value, or key_b64 and value_b64 for bytes that are not text, and expires_ms, the \
           expiry in milliseconds since 1970. Other fields are skipped unread, and null counts as \
           absent. A value that is not a string is stored as its JSON text, and so is a key that is a \
           number, true or false.\n\n\
           csv has these fields as columns below a header, separated by commas, or by semicolons or \
           tabs if the header has no comma; a column that is used must be unique. tsv has key, tab, \
           value, with \\t \\n \\r \\\\ and \\xHH, as PostgreSQL's COPY writes it, and after another \
           tab the expiry.\n\n\
           script has the lines of read FILE that write: put, del, incr, expire and persist with their \
           flags, begin, commit and rollback; --ttl counts from the import. If a batch is not written, \
           each of its lines is rejected.\n\n\
           --key takes any jsonl, json, csv, or tsv with a header: the field that it names is the key, \
           and the field that --value names is the value. Without --value the value is the whole row, \
           as JSON.\n\n\
           Several files are all looked at before the first row is imported, and are imported in their \
           order. If one breaks off or is damaged, the rows before that place stay, and the other files \
           are still imported; exit code 1.\n\n\
           A directory holds data files of Riak's bitcask (N.bitcask.data) or of the Go program \
           logkv-store (segment_N.log); FILE may also be one such file. Its records, deletes too, are \
           imported from the oldest to the newest, so that the last one of each key counts. Their times \
           are not kept: a record's time is that of its import. A bitcask data file that others may \
           execute, or with the setuid bit, was merged and about to be removed: it is left out, unless \
           it is FILE.\n\n\
           A row that cannot be imported is reported on the standard error at once, with its line, or \
           its file and offset, and the reason. The other rows are imported; exit code 1. A terminal \
           shows the first 20 of these rows.\n\n\
           --rejects writes all of them to a file: its place, tab, the reason, tab, and its line as it \
           was, so that cut -f3- gives back the rows to mend. If a row has several lines, two tabs \
           precede each further one. The standard error then has the first 20. The file appears when \
           everything was read, and until then stays as it was. An existing file is replaced only after \
           a question, or with -y.\n\n\
           A row that has already expired is imported too, hides the older value of its key, and is \
           reported. Ctrl-C stops at the next row, and the rows before it stay. If nothing can be read, \
           no store is made.\n\n\
           Mode plain has name, tab, value; mode json one object: imported, deleted, expired (how many \
           of those imported), not_set (commands such as put --nx that set nothing), rejected, format, \
           format_from (flag, name, contents, default), files. For several files it has one object \
           each, with given_up if the file broke off, and one for all without a format. A rejected row \
           is an object too: error, file, row (its line), column if it is not the first of its line, or \
           offset, and why.",
    examples: &[
        Example { line: "import users.jsonl", does: "sets the keys of a file" },
        Example { line: "import a.jsonl b.csv.gz", does: "imports two files, the second one compressed" },
        Example { line: "import users.csv --key id", does: "imports any table: each row as JSON, by its id" },
        Example { line: "import users.csv --key id --value name", does: "sets each id to its name" },
        Example { line: "import users.txt --format tsv", does: "reads it as tab-separated" },
        Example { line: "import users.jsonl --rejects bad.tsv", does: "keeps the rejected rows" },
        Example { line: "import ./riak", does: "imports a directory of Riak's bitcask" },
    ],
    flags: import::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::at_least(1),
    needs: Needs::NewStore,
    run: Run::Itself(import::run),
};

pub const EXPORT: Command = Command {
    name: "export",
    aliases: &[],
    group: Group::Maintain,
    signature: "[FILE [-y|--yes]|-] [--format jsonl|json|csv|tsv|script|resp] [--glob PATTERN|--prefix KEY] [--from KEY] [--to KEY]",
    summary: "Writes keys and values as rows, for import and other programs",
    help: "Writes all keys of this moment, or those asked for, with their values, in key order: to the \
           standard output or to FILE. FILE appears when it is complete, and until then stays as it \
           was. An existing file is replaced only after a question, or with -y.\n\n\
           Between begin and commit it writes the keys as the batch would leave them, although nothing \
           is committed yet.\n\n\
           The name of the file gives the format (.jsonl, .ndjson, .json, .csv, .tsv, .script, .resp); \
           without one it is jsonl. A further .gz or .zst compresses the file. import brings back every \
           byte and every expiry.\n\n\
           csv has the columns key and value, and expires_ms, key_b64 and value_b64 if some row needs \
           them; the export looks through all rows for that first. Bytes that are not text, and \
           invisible characters, are in base64. A text that starts with = or + stays as it is: a \
           spreadsheet may take it for a formula. resp is for redis-cli --pipe.\n\n\
           If the store is damaged, all keys that can be read are written; exit code 4.\n\n\
           With FILE, mode plain has name, tab, value; mode json one object: exported, bytes, format, \
           file.",
    examples: &[
        Example { line: "export", does: "prints all as JSON, an object a line" },
        Example { line: "export users.csv", does: "writes a table for other programs" },
        Example { line: "export users.tsv.gz --prefix user:", does: "packs the keys that start with user:" },
        Example { line: "export --format resp", does: "for redis-cli --pipe" },
    ],
    flags: export::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: Run::Itself(export::run),
};
