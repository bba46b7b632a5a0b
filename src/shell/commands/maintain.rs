//! `backup` and `restore`: their rows.

use crate::shell::commands::backup;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs};
use crate::shell::run::session::{Command, Run};

pub const BACKUP: Command = Command {
    name: "backup",
    aliases: &[],
    group: Group::Maintain,
    signature: "DIR | FILE.tar.zst | FILE.tar | - [--level N] [-y|--yes]",
    summary: "Makes a copy of the store, while it is written to",
    help: "Copies the store as it is now, every batch whole, and checks what it copies.\n\n\
           In a directory, sealed segments get a second name (a hard link) where that is possible, and \
           are copied elsewhere. The directory is missing, empty, or holds an earlier backup of this \
           store. Then backup adds new segments and removes those that were compacted away; the earlier \
           backup stays valid until the end. A backup in a directory can be opened with -r. After a \
           write it is a store of its own.\n\n\
           A name that ends in .tar.zst, .tzst or .tar, in letters of any case, makes an archive. It \
           replaces a file of that name after a question, or with -y; - writes a compressed archive to \
           the standard output.\n\n\
           Mode plain has name, tab, value; mode json one object, but for -.",
    examples: &[
        Example { line: "backup ./copy", does: "makes a backup in ./copy, or brings it up to date" },
        Example { line: "backup today.tar.zst --level 19", does: "makes one file, as small as it gets" },
    ],
    flags: backup::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::Reading,
    run: Run::Itself(backup::run),
};

pub const RESTORE: Command = Command {
    name: "restore",
    aliases: &[],
    group: Group::Maintain,
    signature: "FROM",
    summary: "Makes a store of a backup",
    help: "Makes a store in DIR, which is missing or empty, from the backup FROM: a directory, an \
           archive, or - for an archive from the standard input.\n\n\
           Every byte is read and checked before DIR is a store. A damaged backup is refused with exit \
           code 4, and leaves nothing behind.\n\n\
           A missing DIR is made as DIR.unfinished and renamed at the end. An empty one, which may be a \
           mount point or a link to a directory, is filled where it is, MANIFEST last. If restore is \
           killed before that, DIR is not a store, and the next restore to DIR starts again. An empty \
           DIR that another user owns needs --trust.\n\n\
           FROM may also be the directory of a closed store, or a tar of a backup's directory that \
           another program made, plain or compressed with zstd or gzip.",
    examples: &[
        Example { line: "restore ./copy", does: "as in logkv ./new restore ./copy" },
        Example { line: "restore -", does: "as in logkv ./new restore - < today.tar.zst" },
    ],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::Directory,
    run: Run::Itself(backup::run_restore),
};
