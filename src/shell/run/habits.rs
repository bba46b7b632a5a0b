//! Commands of other shells, and their equivalents here.

use std::borrow::Cow;

use super::config;
use super::session::Session;
use crate::shell::lang::command::{self, ArgKind, Group, Invocation};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::report::{Place, USAGE_HINT};
use crate::shell::lang::words;
use crate::shell::lang::words::Style;
use crate::shell::lang::words::Word;
use crate::shell::lang::words::is_digits;
use crate::shell::lang::words::quote;

/// Commands of redis-cli, sqlite3, DuckDB, psql and Unix, and the equivalent here.
struct Habit {
    /// Their names there, in lower case, separated by blanks.
    names: &'static str,
    /// The equivalent line here; empty if there is none.
    line: &'static str,
    /// The effect of that line; or an explanation.
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
    habit("append", "", "there is no append: put writes a value as a whole"),
    habit("strlen", "keys a --long", "shows the length of a key's record"),
    habit(
        "rename renamenx move mv cp getset getdel",
        "",
        "get the value, put it under the new key and del the old one: between begin and commit, all or nothing",
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
    habit(
        "watch unwatch",
        "",
        "nobody else writes to a store that is open here: begin and commit need no watch",
    ),
    habit(
        "hget hset hsetnx hgetall hdel hmget hmset hkeys hvals hincrby hexists hlen hscan lpush rpush lpop rpop lrange \
         llen lindex lset lrem ltrim sadd srem smembers sismember scard spop sinter sunion zadd zrange zrangebyscore zrem \
         zscore zcard zrank zincrby xadd xread xrange xlen setbit getbit bitcount setrange getrange pfadd pfcount geoadd \
         type object json.get json.set",
        "",
        "a value has no fields: give each field a key, such as user:1:name; scan --prefix user:1: shows them",
    ),
    // Looking.
    habit(
        "select from with values",
        "scan 'user:*'",
        "shows keys and values; there is no SQL, and a directory holds one store",
    ),
    habit(
        "show tables .tables .schema schema .indexes .indices .databases databases describe desc summarize \\d \\d+ \\dt \
         \\dt+ \\di \\dn \\l \\l+ dir ll tree",
        "keys",
        "lists the keys, and keys --long shows where each one is; there are no tables",
    ),
    habit("grep find search filter like", "keys '*alice*'", "lists the keys with alice in them"),
    habit("randomkey head first", "keys --limit 10", "lists the first ten keys"),
    habit("last sort", "keys --reverse --limit 10", "lists the last ten keys; keys are in order already"),
    habit("wc size len length", "count", "counts the keys"),
    habit("df du memory slowlog latency mdb_stat", "stats", "shows the figures of the store"),
    habit("subscribe psubscribe publish monitor", "tail -f", "shows records as they are written"),
    habit("explain analyze", "versions a", "shows every record of a key, and what became of it"),
    habit(
        "undo flashback",
        "diff 10m",
        "shows what changed in ten minutes, and get a --at 10m shows the value from then",
    ),
    // Keeping.
    habit("vacuum .vacuum reindex optimize bgrewriteaof", "compact", "frees the space of dead records"),
    habit("fsck checkconsistency integrity_check", "verify", "checks every byte of the files"),
    habit("fsync flush checkpoint wait waitaof", "sync", "makes everything written so far durable"),
    habit("save bgsave lastsave .save .clone snapshot", "backup ../copy", "makes a copy of the store"),
    habit(".dump dumpall unload", "export all.jsonl", "writes all keys and values"),
    habit("copy \\copy load .load", "import rows.jsonl", "imports rows, and export rows.jsonl writes them"),
    habit("pragma", "config", "shows the options, which stand before DIR or in logkv.toml"),
    habit(
        "create alter declare",
        "",
        "nothing is declared here: put creates a key, and logkv DIR creates a store",
    ),
    habit(
        "use attach detach connect open close .open .close \\c \\connect cd pwd",
        "",
        "this shell works on one store: quit, and logkv DIR opens another",
    ),
    // The shell itself.
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
    habit("ping auth hello client acl", "", "there is no server to reach: the store is open in this process"),
    habit(
        "replicaof slaveof role cluster failover migrate",
        "",
        "there is no server: backup copies a store, tail -f follows it",
    ),
    habit(
        "logkv redis-cli sqlite3 duckdb psql",
        "",
        "this is the logkv shell already: type the command alone, as in get a",
    ),
    habit("eval evalsha fcall script", "", "a script is lines of commands: read FILE runs it"),
];

/// The equivalent here of the foreign command `typed`.
pub fn instead(typed: &str) -> Option<String> {
    let typed = typed.trim_end_matches(';').to_lowercase();
    let trimmed = typed.trim_start_matches(['.', '\\']);
    let named =
        |name: &str| HABITS.iter().find(|habit| habit.names.split_whitespace().any(|known| known == name));
    named(&typed).or_else(|| named(trimmed)).map(Habit::hint)
}

/// Adds hints to the result of a typed line, if it may have been meant differently.
pub fn remark(session: &mut Session, invocation: &Invocation, line: &[u8], place: &Place) {
    // In a script any word may be intended.
    if *place != Place::Nowhere {
        return;
    }
    // The words of a one-shot command were parsed by another shell.
    let odd = if session.is_interactive() { odd_word(line) } else { None };
    let option = if session.out.is_table() {
        set_option(invocation, line).or_else(|| set_until(invocation))
    } else {
        None
    };
    for hint in odd.into_iter().chain(option) {
        session.flush();
        session.note(&format!("hint: {hint}"));
    }
}

/// `failure` of a command that did not parse, with a hint at an odd word instead of the usage.
pub fn advised<'a>(failure: &'a Failure, line: &[u8]) -> Cow<'a, Failure> {
    let has_advice = failure.hint.as_ref().is_some_and(|hint| !hint.starts_with(USAGE_HINT));
    if failure.kind != Kind::Usage || has_advice {
        return Cow::Borrowed(failure);
    }
    odd_word(line).map_or(Cow::Borrowed(failure), |hint| Cow::Owned(failure.clone().hint(hint)))
}

/// What there is to know of the first word of `line` that elsewhere would not be one: `>`, `|`, a `;` at the end. Behind
/// two dashes and in quotes a word is meant as it stands.
fn odd_word(line: &[u8]) -> Option<String> {
    let words = words::split(line).ok()?;
    let is_put = |name: &Word| command::find(&name.bytes).is_some_and(|command| command.name == "put");
    let is_odd_put = words.len() == 4 && words.first().is_some_and(is_put);
    let is_bare = |word: &&Word| word.style == Style::Bare;
    let bare = words.iter().take_while(|word| word.bytes != b"--").filter(is_bare).skip(1);
    for word in bare {
        let is_last = word.span.end == line.trim_ascii_end().len();
        let told = match word.bytes.as_slice() {
            b">" | b">>" => {
                "> is a word like any other here: output FILE sends results into a file, get KEY -o FILE a value, and export \
                 FILE keys and values"
            }
            b"<" | b"<<" => {
                "< is a word like any other here: read FILE runs its lines, put KEY --file FILE takes a value from it, and \
                 import FILE rows"
            }
            b"|" | b"||" => {
                "| is a word like any other here: logkv DIR COMMAND pipes its result to another program from your own shell"
            }
            b"&" | b"&&" | b";" => "a line is one command here",
            // `set a 1 NX`.
            [b'n' | b'N', b'x' | b'X'] if is_last && is_odd_put => "--nx sets a key only if it is not there",
            [b'x' | b'X', b'x' | b'X'] if is_last && is_odd_put => "--xx sets a key only if it is there",
            [.., b';'] if is_last => {
                let word = quote(&word.bytes);
                return Some(format!("the ; is part of {word} here: a command ends with its line"));
            }
            _ => continue,
        };
        return Some(told.to_owned());
    }
    None
}

/// How to set an option, if `invocation` stored a key of its name: `set mode json`.
fn set_option(invocation: &Invocation, line: &[u8]) -> Option<String> {
    let typed = line.get(invocation.name.clone())?;
    let [name, value] = invocation.args.as_slice() else { return None };
    if !typed.eq_ignore_ascii_case(b"set") || !invocation.flags.is_empty() {
        return None;
    }
    let is_setting = |command: &command::Command| {
        command.group == Group::Shell && matches!(command.args, [ArgKind::Enum(_)])
    };
    let value = quote(&value.bytes);
    if let Some(command) = command::find(&name.bytes).filter(|command| is_setting(command)) {
        let name = command.name;
        return Some(format!("this set a key called {name}; {name} {value}, without set, sets the option"));
    }
    let row = config::ROWS.iter().find(|row| name.bytes.eq_ignore_ascii_case(row.name.as_bytes()))?;
    let (name, env_name) = (row.name, row.env_name());
    Some(format!(
        "this set a key called {name}; the option is --{name} {value} before DIR, {env_name}, or {name} in logkv.toml"
    ))
}

/// How to set an expiry, if `invocation` stored a key for that: `set a 1 EX 10`.
fn set_until(invocation: &Invocation) -> Option<String> {
    let [_, _, option, time] = invocation.args.as_slice() else { return None };
    let flag = match option.bytes.to_ascii_lowercase().as_slice() {
        b"ex" | b"px" => "--ttl 10s sets its time to live",
        b"exat" | b"pxat" => "--until 2030-01-31T12:00Z sets when it expires",
        _ => return None,
    };
    str::from_utf8(&time.bytes).is_ok_and(is_digits).then(|| {
        format!("this set a second key, {}, and the first does not expire: {flag}", quote(&option.bytes))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::shell::lang::parse::parse_line;

    #[test]
    fn what_is_known_from_elsewhere_is_no_command_here_and_stands_once() {
        let mut seen = HashSet::new();
        for name in HABITS.iter().flat_map(|habit| habit.names.split_whitespace()) {
            assert!(seen.insert(name), "{name} stands twice");
            assert!(command::find(name.as_bytes()).is_none(), "{name} is a command");
            assert_eq!(name, name.to_lowercase());
        }
    }

    #[test]
    fn every_line_that_is_hinted_at_is_understood() {
        for habit in HABITS.iter().filter(|habit| !habit.line.is_empty()) {
            assert!(matches!(parse_line(habit.line.as_bytes()), Ok(Some(_))), "{}", habit.line);
        }
    }

    #[test]
    fn commands_of_other_shells_are_known_with_their_leads_and_ends() {
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
        starts("logkv", "this is the logkv shell already");
        assert_eq!(instead("frob"), None);
        assert_eq!(instead("d"), None);
    }

    #[test]
    fn a_word_that_elsewhere_is_none_is_told_where_it_was_not_meant_as_it_stands() {
        for (line, start) in [
            ("get a > f", "> is"),
            ("keys >> f", "> is"),
            ("keys | head", "| is"),
            ("read < f", "< is"),
            ("count ; count", "a line is"),
            ("put a 1;", "the ; is part of 1; here"),
            ("put a 1;  ", "the ; is part of 1; here"),
            ("get a -o f;", "the ; is part of f; here"),
            ("set a 1 NX", "--nx sets"),
            ("put a 1 xx", "--xx sets"),
        ] {
            assert!(odd_word(line.as_bytes()).is_some_and(|told| told.starts_with(start)), "{line}");
        }
        for line in [
            "get '>'",
            "put a \"1;\"",
            "put a -- >",
            "put -- a 1;",
            "put a; b",
            "get a>b",
            "count;",
            "> a",
            "get a b nx",
            "get 'a",
        ] {
            assert_eq!(odd_word(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn an_expiry_that_was_stored_as_a_key_is_told_how_it_is_set() {
        let told = |line: &str| {
            let invocation = parse_line(line.as_bytes()).expect("it is understood").expect("it has words");
            set_until(&invocation)
        };
        let ttl = "this set a second key, EX, and the first does not expire: --ttl 10s sets its time to live";
        assert_eq!(told("set a 1 EX 10").as_deref(), Some(ttl));
        assert!(told("put a 1 pxat 1893456000000").is_some_and(|hint| hint.contains("--until ")));
        for line in ["put a 1 b 2", "put a 1 ex wife", "put ex 10", "get a 1 ex"] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn an_option_that_was_stored_as_a_key_is_told_how_it_is_set() {
        let told = |line: &str| {
            let invocation = parse_line(line.as_bytes()).expect("it is understood").expect("it has words");
            set_option(&invocation, line.as_bytes())
        };
        assert_eq!(
            told("set mode json").as_deref(),
            Some("this set a key called mode; mode json, without set, sets the option")
        );
        let sync = "this set a key called sync; the option is --sync never before DIR, LOGKV_SYNC, or sync in logkv.toml";
        assert_eq!(told("SET Sync never").as_deref(), Some(sync));
        for line in
            ["put mode json", "set user:1 alice", "set mode json b 2", "set stats 1", "set mode json --nx"]
        {
            assert_eq!(told(line), None, "{line}");
        }
    }
}
