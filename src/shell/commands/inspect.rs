//! `dump-segment`, `verify`.

use crate::shell::commands::{verify, xray};
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs};
use crate::shell::run::session::{Command, Run};

pub const DUMP_SEGMENT: Command = Command {
    name: "dump-segment",
    aliases: &["dump"],
    group: Group::Inspect,
    signature: "SEG [--from OFFSET] [--limit N] [--tail N] [--record N] [--key PATTERN] \
                [--only live|dead|tomb|expired|bad] [--values none|preview|full] [--hex]",
    summary: "A segment record by record, and why each is alive or dead",
    help: "Prints a line a record: where it is, what it holds, whether its checksum is right, and \
           whether it is live; for a dead one, which record killed it. Then it prints a map of the \
           segment's bytes and their sums.\n\n\
           It also works if the store does not open. Mode table shows the first 40, and the command \
           that shows the next ones. SEG may also be a data file of another store, N.bitcask.data of \
           Riak's bitcask or segment_N.log of the Go program logkv-store, and is shown in that format's \
           own terms; DIR need not be a store then.\n\n\
           --hex shows every byte, field by field, with its offset in the file and, after a +, in the \
           record: in modes plain and raw as in mode table, and in mode json as bytes_b64.\n\n\
           Exit code 4 when a record is damaged.\n\n\
           Mode plain has number, offset, length, kind, seq, milliseconds since 1970, key, value, \
           checksum, state and the record that replaced, deleted or hides it, separated by tabs; mode \
           json an object a record and a summary.",
    examples: &[
        Example { line: "dump-segment 3", does: "shows the records of 000003.seg" },
        Example { line: "dump-segment 3 --only dead --limit 10", does: "shows ten dead records" },
        Example { line: "dump-segment 3 --record 0 --hex", does: "shows every byte of the first record" },
        Example { line: "dump-segment riak/7.bitcask.data", does: "shows a data file of Riak's bitcask" },
    ],
    flags: xray::FLAGS,
    args: &[ArgKind::Segment],
    arity: Arity::exactly(1),
    needs: Needs::Files { unless: xray::is_foreign },
    run: Run::Itself(xray::run),
};

pub const VERIFY: Command = Command {
    name: "verify",
    aliases: &["check"],
    group: Group::Inspect,
    signature: "[SEG…]",
    summary: "Checks every byte of the files, and says what is wrong",
    help: "Only reads the files: it also works if the store does not open, and beside a writer.\n\n\
           It checks every checksum, the order of the log, each hint against its segment, and KEYDIR \
           against the log. Damage is in the log itself; derived is in a hint or in KEYDIR, which can \
           be made anew; a note costs nothing.\n\n\
           Exit code 4 when there is damage of either kind, and 3 when nothing is wrong but some file \
           cannot be read.\n\n\
           Mode plain has severity, file, offset, length, key and text, separated by tabs, and ok when \
           nothing is wrong; mode json an object a finding, and a summary.",
    examples: &[
        Example { line: "verify", does: "checks everything" },
        Example { line: "verify 3", does: "checks 000003.seg and its hint" },
    ],
    flags: &[],
    args: &[ArgKind::Segment],
    arity: Arity::at_least(0),
    needs: Needs::Directory,
    run: Run::Itself(verify::run),
};
