//! `import` and `export`.

use crate::shell::command::{ArgKind, Arity, Command, Example, Group, Needs};
use crate::shell::transfer::{export, import};

pub const IMPORT: Command = Command {
    name: "import",
    aliases: &[],
    group: Group::Maintain,
    signature: "FILE|-|DIR… [--format jsonl|json|csv|tsv|script|bitcask|logkv-store] [--key FIELD [--value FIELD]] [--rejects FILE [-y|--yes]]",
    summary: "Takes in rows of files, or another store's data files",
    help: "Sets the keys of a file, or in a one-shot command of the standard input (-); blank lines are \
           passed over.\n\n\
           A name that ends in .jsonl, .ndjson, .json, .csv, .tsv or .script says what it is, else it is jsonl; \
           what gzip or zstd has packed is unpacked, whatever its name (.jsonl.gz, .csv.zst). Of a packed file that is \
           damaged, what came out of it before that may be wrong.\n\n\
           jsonl has an object a line, json objects in an array or over several lines, with key and value, or key_b64 and \
           value_b64 for bytes that are no text; expires_ms says when the key expires, in milliseconds since 1970; other \
           fields are passed over unread, and null is as good as nothing. A value that is no string is taken as its JSON text as it \
           stands, and so is a key that is a number, true or false.\n\n\
           csv has these fields as columns below a header, with commas between them, or semicolons or tabs where the header has \
           no comma; a column that is used is there once. tsv has key, tab, value, with \\t \\n \\r \\\\ and \\xHH, \
           as PostgreSQL's COPY writes it, and behind another tab \
           when the key expires. script has the lines that read FILE runs and that write: put, del, incr, expire and \
           persist with their flags, begin, commit and rollback; --ttl counts from the import. \
           Of a batch that is not written every line is rejected.\n\n\
           --key takes any jsonl, json, csv or tsv below a header as it is found: the field of that name is the key, that of \
           --value the value; without --value the whole row is, as JSON.\n\n\
           Of several files each is looked at before anything goes in, and they go in in their order. Of one that breaks off, \
           or is damaged, what came before that stays, and the others go in all the same; exit code 1.\n\n\
           A directory is one of Riak's bitcask (N.bitcask.data) or of the Go program logkv-store (segment_N.log), \
           or FILE is one such file: its records go in from the oldest to the newest, deletes too, so that of each \
           key the last one counts. Their times are not kept: a record's time is that of its import. A data file \
           of bitcask that others may execute, or with the setuid bit, is one that it has merged and was about to remove: \
           it is left out, unless it is FILE.\n\n\
           What cannot be taken is told with its line, or its file and offset, and why, on the standard error as it \
           comes; the rest goes in; exit code 1. A terminal shows the first 20 of these rows. --rejects keeps each \
           in a file, which is there when all was read, or stays as it was: its place, tab, why, tab, and its line as it \
           was, so that cut -f3- gives back what is to be mended: a row over several lines has two tabs before each \
           further one. Of them the standard error then has the first 20. A file that is there is replaced only if a \
           person says so, or -y.\n\n\
           A row that had already expired goes in all the same, hides what there was of its key, and is told. \
           Ctrl-C stops at the next row, and what went in stays. What cannot be read makes no store.\n\n\
           Mode plain has name, tab, value; mode json one object: imported, deleted, expired (how many of those \
           imported), not_set (commands that set nothing, as they go by what is there), rejected, format, format_from (flag, name, contents, default), files; of several files one each, with \
           given_up where one broke off, and one for all without a format. A rejected row is an object there, too: error, file, \
           row (its line), column where it is not the first of its line, or offset, and why.",
    examples: &[
        Example { line: "import users.jsonl", does: "sets the keys of a file" },
        Example { line: "import a.jsonl b.csv.gz", does: "takes in two files, the second one packed" },
        Example { line: "import users.csv --key id", does: "takes any table: each row as JSON, by its id" },
        Example { line: "import users.csv --key id --value name", does: "sets each id to its name" },
        Example { line: "import users.txt --format tsv", does: "reads it as tab-separated" },
        Example { line: "import users.jsonl --rejects bad.tsv", does: "keeps the rows that did not go in" },
        Example { line: "import ./riak", does: "takes in a directory of Riak's bitcask" },
    ],
    flags: import::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::at_least(1),
    needs: Needs::NewStore,
    run: import::run,
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
    run: export::run,
};
