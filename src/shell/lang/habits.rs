//! Commands of other shells and their equivalents in logkv.

/// Commands of redis-cli, sqlite3, DuckDB, psql or Unix that have the same equivalent.
struct Habit {
    /// The foreign names in lower case, separated by blanks.
    names: &'static str,
    /// The equivalent line, or empty without one.
    line: &'static str,
    /// The effect of that line, or an explanation.
    does: &'static str,
}

impl Habit {
    fn hint(&self) -> String {
        [self.line, self.does].join(" ").trim_start().to_owned()
    }
}

const fn habit(names: &'static str, line: &'static str, does: &'static str) -> Habit {
    Habit { names, line, does }
}

const HABITS: &[Habit] = &[
    // Reading and writing.
    habit("mget cat print fetch lookup", "get a b", "prints the values of keys"),
    habit("has contains", "exists a", "says whether a key is there"),
    habit("mset msetnx batchput", "put a 1 b 2", "sets several keys, all or none"),
    habit("add store write insert update upsert replace", "put user:1 alice", "sets a key"),
    habit("setnx", "put a 1 --nx", "sets a key only if it is not there"),
    habit("setex psetex getex", "put a 1 --ttl 10m", "sets a key that expires after ten minutes"),
    habit("append", "", "there is no append: put writes a whole value"),
    habit("strlen", "keys a --long", "shows the length of a key's record"),
    habit(
        "rename renamenx move mv cp getset getdel",
        "",
        "get the value, put it under the new key and del the old one, between begin and commit",
    ),
    habit("unlink remove", "del a", "removes a key"),
    habit("deleterange", "del --prefix user:", "removes the keys that start with user:"),
    habit(
        "flushall flushdb truncate drop",
        "del --all",
        "removes every key, and del --prefix P those that start with P",
    ),
    habit("decr decrby incrby incrbyfloat", "incr a -1", "takes 1 from a whole number, and incr a 5 adds 5"),
    habit("pexpire", "expire a 90s", "sets the time to live of a key"),
    habit("expireat pexpireat", "expire a --at 2030-01-31T12:00Z", "sets the time when a key expires"),
    habit("pttl expiretime pexpiretime", "ttl a", "prints the time to live of a key"),
    habit("multi start", "begin", "opens a batch, which commit writes and rollback discards"),
    habit("exec end", "commit", "writes the batch that begin opened"),
    habit("discard abort", "rollback", "discards the batch that begin opened"),
    habit("watch unwatch", "", "no other process can write to this store: begin and commit need no watch"),
    habit(
        "hget hset hsetnx hgetall hdel hmget hmset hkeys hvals hincrby hexists hlen hscan lpush rpush lpop \
         rpop lrange llen lindex lset lrem ltrim sadd srem smembers sismember scard spop sinter sunion zadd \
         zrange zrangebyscore zrem zscore zcard zrank zincrby xadd xread xrange xlen setbit getbit bitcount \
         setrange getrange pfadd pfcount geoadd type object json.get json.set",
        "",
        "a value has no fields: use a key for each, such as user:1:name; scan --prefix user:1: shows them",
    ),
    // Inspecting.
    habit(
        "select from with values",
        "scan 'user:*'",
        "shows keys and values; there is no SQL, and a directory holds one store",
    ),
    habit(
        "show tables .tables .schema schema .indexes .indices .databases databases describe desc summarize \
         \\d \\d+ \\dt \\dt+ \\di \\dn \\l \\l+ dir ll tree",
        "keys",
        "lists the keys, and keys --long shows where each one is; there are no tables",
    ),
    habit("grep find search filter like", "keys '*alice*'", "lists the keys with alice in them"),
    habit("randomkey head first", "keys --limit 10", "lists the first ten keys"),
    habit("last sort", "keys --reverse --limit 10", "lists the last ten keys; keys are in order already"),
    habit("wc size len length", "count", "counts the keys"),
    habit("df du memory slowlog latency mdb_stat", "stats", "shows the figures of the store"),
    habit("subscribe psubscribe publish monitor", "tail -f", "shows records as they are written"),
    habit("explain analyze", "versions a", "shows every record of a key and its state"),
    habit(
        "undo flashback",
        "diff 10m",
        "shows the changes of the last ten minutes, and get a --at 10m the value of that time",
    ),
    // Maintenance.
    habit("vacuum .vacuum reindex optimize bgrewriteaof", "compact", "frees the space of dead records"),
    habit("fsck checkconsistency integrity_check", "verify", "checks every byte of the files"),
    habit("fsync flush checkpoint wait waitaof", "sync", "makes everything written so far durable"),
    habit("save bgsave lastsave .save .clone snapshot", "backup ../copy", "copies the store"),
    habit(".dump dumpall unload", "export all.jsonl", "writes all keys and values"),
    habit("copy \\copy load .load", "import rows.jsonl", "imports rows, and export rows.jsonl writes them"),
    habit("pragma", "config", "shows the options, which are set before DIR or in logkv.toml"),
    habit(
        "create alter declare",
        "",
        "nothing needs to be declared: put creates a key, and logkv DIR creates a store",
    ),
    habit(
        "use attach detach connect open close .open .close \\c \\connect cd pwd",
        "",
        "this shell works on one store: quit, and logkv DIR opens another",
    ),
    // The shell.
    habit("source run \\i \\ir", "read setup.logkv", "runs the lines of a file"),
    habit("tee .once .excel \\o \\w", "output keys.txt", "sends results into a file, and output alone back"),
    habit(
        ".headers .header .separator .nullvalue .width .columns \\x \\pset \\a \\t \\f",
        "mode json",
        "sets the format of results: table, plain, json or raw",
    ),
    habit("time \\timing", "timer on", "prints how long each command took"),
    habit("man apropos usage \\h", "help", "lists the commands, and help COMMAND explains one"),
    habit("bye logout shutdown :q :q! :wq :x", "quit", "closes the store and leaves"),
    habit("sh bash .shell .system \\! !", "", "this shell runs no other programs: Ctrl-D leaves it"),
    habit("ping auth hello client acl", "", "there is no server: the store is open in this process"),
    habit(
        "replicaof slaveof role cluster failover migrate",
        "",
        "there is no server: backup copies a store, tail -f follows it",
    ),
    habit(
        "logkv redis-cli sqlite3 duckdb psql",
        "",
        "this is the logkv shell: type only the command, such as get a",
    ),
    habit("eval evalsha fcall script", "", "a script is lines of commands: read FILE runs it"),
];

/// Returns the hint for the foreign command `typed`.
pub fn instead(typed: &str) -> Option<String> {
    let typed = typed.trim_end_matches(';').to_lowercase();
    let trimmed = typed.trim_start_matches(['.', '\\']);
    let named =
        |name: &str| HABITS.iter().find(|habit| habit.names.split_whitespace().any(|known| known == name));
    named(&typed).or_else(|| named(trimmed)).map(Habit::hint)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::shell::commands::TABLE;
    use crate::shell::lang::command;
    use crate::shell::lang::parse::parse_line;

    #[test]
    fn every_foreign_name_is_listed_once_and_is_no_command_of_ours() {
        let mut seen = HashSet::new();
        for name in HABITS.iter().flat_map(|habit| habit.names.split_whitespace()) {
            assert!(seen.insert(name), "{name} is listed twice");
            assert!(command::find(TABLE, name.as_bytes()).is_none(), "{name} is a command");
            assert_eq!(name, name.to_lowercase());
        }
    }

    #[test]
    fn every_suggested_line_parses() {
        for habit in HABITS.iter().filter(|habit| !habit.line.is_empty()) {
            assert!(matches!(parse_line(TABLE, habit.line.as_bytes()), Ok(Some(_))), "{}", habit.line);
        }
    }

    #[test]
    fn foreign_commands_are_recognised_with_a_leading_dot_or_a_trailing_semicolon() {
        let starts = |typed: &str, start: &str| {
            assert!(
                instead(typed).is_some_and(|hint| hint.starts_with(start)),
                "{typed}: {:?}",
                instead(typed)
            );
        };
        starts("MSET", "put a 1 b 2 sets");
        starts("flushall;", "del --all removes");
        starts(".tables", "keys lists");
        starts("\\d", "keys lists");
        starts("\\copy", "import ");
        starts(".ping", "there is no server");
        starts("append", "there is no append");
        starts("logkv", "this is the logkv shell");
        assert_eq!(instead("frob"), None);
        assert_eq!(instead("d"), None);
    }
}
