//! `import` and `export`.

use crate::shell::command::{ArgKind, Arity, Command, Example, Group, Needs};
use crate::shell::transfer::{export, import};

pub const IMPORT: Command = Command {
    name: "import",
    aliases: &[],
    group: Group::Maintain,
    signature: "FILE|-|DIR [--format jsonl|tsv|script|bitcask|logkv-store] [--rejects FILE]",
    summary: "Takes in rows of a file, or another store's data files",
    help: "Sets the keys of a file, or in a one-shot command of the standard input (-), a line a row; blank lines are \
           passed over. jsonl has objects with key and value, or key_b64 and value_b64 for bytes that are no text; \
           expires_ms says when the key expires, in milliseconds since 1970, and other fields are passed over. tsv has \
           key, tab, value, with \\t \\n \\r \\\\ and \\xHH, as PostgreSQL's COPY writes it, and behind another tab \
           when the key expires; script has lines of put, with --ttl, which counts from the import, or without, and of del: read FILE runs \
           other commands and flags. A name that ends in .jsonl, .tsv or .script says which; \
           else it is jsonl. \
           A directory is one of Riak's bitcask (N.bitcask.data) or of the Go program logkv-store (segment_N.log), \
           or FILE is one such file: its records go in from the oldest to the newest, deletes too, so that of each \
           key the last one counts. Their times are not kept: a record's time is that of its import. A data file \
           of bitcask that others may execute, or with the setuid bit, is one that it has merged and was about to remove: \
           it is left out, unless it is FILE. \
           What cannot be taken is told with its line, or its file and offset, and why, on the standard error as it \
           comes; the rest goes in; exit code 1. A terminal shows the first 20 of these rows. --rejects keeps each \
           in a file, which is there when all was read, or stays as it was: its place, tab, why, tab, and its line as it \
           was, so that cut -f3- gives back what is to be mended; of them the standard error then has the first 20. \
           A row that had expired already goes in all the same, hides what there was of its key, and is told. \
           Ctrl-C stops at the next row, and what went in stays. What cannot be read makes no store. \
           Mode plain has name, tab, value; mode json one object: imported, deleted, expired (how many of those \
           imported), rejected, format, format_from (flag, name, contents, default), files.",
    examples: &[
        Example { line: "import users.jsonl", does: "sets the keys of a file" },
        Example { line: "import users.txt --format tsv", does: "reads it as tab-separated" },
        Example { line: "import users.jsonl --rejects bad.tsv", does: "keeps the rows that did not go in" },
        Example { line: "import ./riak", does: "takes in a directory of Riak's bitcask" },
    ],
    flags: import::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::NewStore,
    run: import::run,
};

pub const EXPORT: Command = Command {
    name: "export",
    aliases: &[],
    group: Group::Maintain,
    signature: "[FILE|-] [--format jsonl|tsv|script|resp] [--glob PATTERN|--prefix KEY] [--from KEY] [--to KEY]",
    summary: "Writes keys and values as rows, for import and other programs",
    help: "Writes all keys of this moment, or those asked for, with their values, in key order: to the standard output, \
           or to FILE, which is there when all of it is, or stays as it was. The format is that of the file's name \
           (.jsonl, .tsv, .script, .resp), or jsonl; every byte comes back with import, and when a key expires, \
           which a script alone does not say. resp is for redis-cli --pipe. \
           Of a store with damage all keys that can be read are written; exit code 4. \
           With FILE, mode plain has name, tab, value; mode json one object: exported, bytes, format, file.",
    examples: &[
        Example { line: "export", does: "prints all as JSON, an object a line" },
        Example { line: "export users.tsv --prefix user:", does: "writes the keys that start with user:" },
        Example { line: "export --format resp", does: "for redis-cli --pipe" },
    ],
    flags: export::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: export::run,
};
