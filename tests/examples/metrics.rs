//! Metrics over HTTP for Prometheus: `curl http://127.0.0.1:PORT/metrics`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use logkv::Store;

/// Answers each request with the current metrics.
fn serve(listener: &TcpListener, store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request)?;
        let body = store.metrics()?.prometheus().label("store", "example").to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

/// Fetches the metrics once, as Prometheus does every few seconds.
fn fetch(listener: &TcpListener) -> io::Result<String> {
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    std::thread::spawn({
        let (listener, store) = (listener.try_clone()?, store.clone());
        move || serve(&listener, &store).map_err(|error| eprintln!("the metrics server stopped: {error}"))
    });
    store.put("k", "v")?;
    store.get("k")?;
    store.get("missing")?;
    for line in fetch(&listener)?.lines().filter(|line| line.starts_with("logkv_get_")) {
        if !line.contains("duration") {
            println!("{line}");
        }
    }
    Ok(store.close()?)
}
