//! Export to a redis-server on a free port.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use logkv::{Batch, Expiry, Store};

use super::is_there;
use crate::common::{Random, holds_within, program, quick, scratch};

/// A server that stops with the test.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts a server without persistence.
    fn start(dir: &Path) -> Self {
        for _ in 0..5 {
            // Another process may take the port first. Then the next port is tried.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let child = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
                .arg(port.to_string())
                .current_dir(dir)
                .stdout(Stdio::null())
                .spawn()
                .expect("exists");
            let redis = Self { child, port };
            if holds_within(std::time::Duration::from_secs(10), || redis.client().is_some()) {
                return redis;
            }
        }
        panic!("redis-server listens nowhere");
    }

    fn client(&self) -> Option<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        Some(Client(BufReader::new(stream)))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("exits");
    }
}

/// A connection to the server.
struct Client(BufReader<TcpStream>);

impl Client {
    /// The reply to a command: a number or bytes, or `None` for nil.
    fn ask(&mut self, command: &[&[u8]]) -> Option<Vec<u8>> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend([word, &b"\r\n"[..]].concat());
        }
        self.0.get_mut().write_all(&request).expect("the server listens");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server answers");
        match line.trim_end().split_at(1) {
            (":", number) => Some(number.as_bytes().to_vec()),
            ("$", "-1") => None,
            ("$", len) => {
                let mut bytes = vec![0; len.parse::<usize>().expect("a length") + 2];
                self.0.read_exact(&mut bytes).expect("the server answers");
                bytes.truncate(bytes.len() - 2);
                Some(bytes)
            }
            _ => panic!("unexpected reply {line}"),
        }
    }
}

#[test]
fn a_redis_holds_every_exported_key() {
    const TEST: &str = "a_redis_holds_every_exported_key";
    const THEN: u64 = 4_102_444_800_000;
    if !is_there(TEST, "redis-server") || !is_there(TEST, "redis-cli") {
        return;
    }
    let dir = scratch();
    let pairs = crate::shell_transfer::any_pairs(&mut Random::announced(), 2000);
    let store = Store::open_with(dir.path().join("store"), quick()).expect("opens");
    for (key, value) in &pairs {
        store.put(key, value).expect("a put");
    }
    let mut batch = Batch::new();
    batch.put_expiring("offer", "half price", Expiry::At(THEN));
    store.write(&batch).expect("a put");
    store.close().expect("closes");
    let exported = program(dir.path()).args(["store", "export", "rows.resp"]).output();
    assert!(exported.expect("the program runs").status.success());

    let redis = Redis::start(dir.path());
    let rows = File::open(dir.path().join("rows.resp")).expect("was exported");
    let piped = Command::new("redis-cli")
        .args(["-p", &redis.port.to_string(), "--pipe"])
        .stdin(rows)
        .output()
        .expect("exists");
    let said = String::from_utf8_lossy(&piped.stdout);
    assert!(said.contains(&format!("errors: 0, replies: {}", pairs.len() + 1)), "{said}");
    let mut client = redis.client().expect("reads its input");
    assert_eq!(client.ask(&[b"DBSIZE"]), Some((pairs.len() + 1).to_string().into_bytes()));
    assert_eq!(client.ask(&[b"PEXPIRETIME", b"offer"]), Some(THEN.to_string().into_bytes()));
    for (key, value) in &pairs {
        assert!(client.ask(&[b"GET", key]).as_ref() == Some(value), "{}", key.escape_ascii());
    }
}
