//! What clients cannot do to the service: take all its connections or descriptors, or leave something behind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by a panic and ends with its tasks"
)]

mod support;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use socket2::SockRef;
use support::{Answer, Client, Node, Stream, soon};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The built binary, as a process of its own whose descriptors can be counted, or be few.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Serves the demo with at most so many descriptors.
    async fn start(descriptors: u32) -> Self {
        let command = format!("ulimit -n {descriptors} && exec \"$0\" serve --listen 127.0.0.1:0");
        let mut child = Command::new("sh")
            .args(["-c", &command, env!("CARGO_BIN_EXE_tickcast")])
            .env("RUST_LOG", "info")
            // A client's opens are not what these tests are about.
            .env("TICKCAST__LIMITS__OPENS_PER_MINUTE", "1000000")
            .env("TICKCAST__LIMITS__STREAMS_PER_CLIENT", "10000")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon("the first line", lines.next_line()).await.unwrap().expect("it runs");
        let address = line.rsplit_once("http://").expect(&line).1.trim_end_matches('/').parse().unwrap();
        Self { child, address }
    }

    async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    async fn stream(&self) -> Stream {
        self.connect().await.stream("symbols=BTC&throttle=0&fields=price", "").await
    }

    async fn metrics(&self) -> Answer {
        self.connect().await.request("GET", "/metrics", "").await
    }

    /// Asks for the metrics until these are so.
    async fn until(&self, wanted: &[(&str, u64)]) -> Answer {
        soon("the metrics", async {
            loop {
                let metrics = self.metrics().await;
                if wanted.iter().all(|(sample, value)| metrics.metric(sample) == Some(*value)) {
                    break metrics;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Ends it; returns what it logged.
    async fn log(mut self) -> String {
        self.child.start_kill().unwrap();
        let mut log = String::new();
        soon("the log", self.child.stderr.take().unwrap().read_to_string(&mut log)).await.unwrap();
        log
    }
}

/// Asks on a connection of its own; `None` where that is closed without an answer.
async fn ask(address: SocketAddr, accept: &str) -> Option<String> {
    let mut client = Client::connect(address).await;
    client.send(&format!("GET /prices?symbols=BTC HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n\r\n")).await;
    let mut answer = Vec::with_capacity(4096);
    // A connection that is closed before it was read may end in a reset.
    drop(soon("an end", client.socket.read_buf(&mut answer)).await);
    (!answer.is_empty()).then(|| String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn p55_without_descriptors_connections_are_turned_away_and_streams_go_on() {
    const DESCRIPTORS: u32 = 64;
    let process = Process::start(DESCRIPTORS).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(process.stream().await);
    }
    // Whoever connects now and asks nothing holds a descriptor, until there are no more.
    let mut idle = Vec::new();
    let refused = soon("a refusal", async {
        loop {
            idle.push(process.connect().await);
            if idle.len() < DESCRIPTORS as usize {
                continue;
            }
            if let Some(refused) =
                ask(process.address, "*/*").await.filter(|head| head.starts_with("HTTP/1.1 503"))
            {
                break refused;
            }
        }
    })
    .await;
    assert!(refused.contains("\r\nretry-after: ") && refused.contains("problem:overloaded"), "{refused}");
    let event_source = ask(process.address, "text/event-stream").await;
    assert_eq!(event_source, None, "it comes back by itself, which after a 503 it would not");
    for _ in 0..20 {
        ask(process.address, "*/*").await;
    }
    for stream in &mut streams {
        for _ in 0..3 {
            stream.message().await;
        }
    }
    // The demo has room for so many: all of it again, once they are gone.
    drop(idle);
    soon("room", async {
        while ask(process.address, "application/json")
            .await
            .is_none_or(|head| !head.starts_with("HTTP/1.1 200"))
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..5 {
        streams.push(process.stream().await);
    }
    for stream in &mut streams {
        stream.message().await;
    }
    let metrics = process.metrics().await;
    let errors = metrics.metric("tickcast_accept_errors_total").unwrap();
    assert!(errors >= 20, "each one is counted: {errors}");
    process.until(&[("tickcast_streams_open", 15)]).await;
    let log = process.log().await;
    assert_eq!(log.matches("connections cannot be accepted").count(), 1, "once for all of them: {log}");
}

#[tokio::test]
async fn p57_p59_p79_after_a_thousand_opens_and_abrupt_ends_nothing_is_left() {
    let process = Process::start(1024).await;
    process.stream().await.message().await;
    // The one connection is that of the question.
    let nothing_open = [("tickcast_streams_open", 0), ("tickcast_connections_open", 1)];
    let before = process.until(&nothing_open).await.metric("process_open_fds").unwrap();
    for round in 0..50 {
        let mut clients = Vec::new();
        for index in 0..20 {
            let mut client = process.connect().await;
            // At every stage: connected, half a head, asked, head read, in the midst of prices.
            match (round + index) % 5 {
                0 => {}
                1 => client.send("GET /prices?symbols=BTC HTTP/1.1\r\nho").await,
                2 => client.send("GET /prices?symbols=BTC HTTP/1.1\r\nhost: x\r\n\r\n").await,
                3 => {
                    client.send("GET /prices?symbols=BTC HTTP/1.1\r\nhost: x\r\n\r\n").await;
                    client.head().await;
                }
                _ => {
                    client.send("GET /prices?symbols=BTC&throttle=0 HTTP/1.1\r\nhost: x\r\n\r\n").await;
                    let mut stream = client.opened().await;
                    stream.message().await;
                    client = stream.client;
                }
            }
            clients.push(client);
        }
        for client in clients {
            // A reset instead of an end in order.
            SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    let metrics = process.until(&nothing_open).await;
    let sample = |name: &str| metrics.metric(name).unwrap();
    let after = sample("process_open_fds");
    assert!(after <= before, "descriptors: {before} before, {after} after");
    let closed = sample("tickcast_streams_closed_total{reason=\"client\"}");
    assert_eq!(sample("tickcast_streams_opened_total"), closed);
    assert!(closed >= 400, "{closed}");
}

#[tokio::test]
async fn p80_streams_that_come_and_go_are_counted_and_not_logged() {
    let process = Process::start(1024).await;
    for _ in 0..50 {
        process.stream().await.message().await;
    }
    let metrics = process.until(&[("tickcast_streams_open", 0)]).await;
    assert_eq!(metrics.metric("tickcast_streams_closed_total{reason=\"client\"}"), Some(50));
    let log = process.log().await;
    assert!(log.lines().count() < 10, "{log}");
}

#[tokio::test]
async fn over_the_most_connections_clients_are_turned_away_and_told_when_to_return() {
    let mut node = Node::start("[http]\nconnections_max = 3").await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(node.stream("symbols=BTC&throttle=0&fields=price").await);
    }
    let refused = ask(node.address, "*/*").await.expect("an answer");
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nretry-after: "), "{refused}");
    assert_eq!(ask(node.address, "text/event-stream").await, None);
    let limited =
        node.metrics.limited.get_or_create(&tickcast::metrics::ByLimit { limit: "connections" }).get();
    assert_eq!((limited, node.metrics.connections_open.get()), (2, 3), "streams are connections too");
    node.trade("BTC-USD", "5");
    for stream in &mut streams {
        while stream.said().await != "BTC=5" {}
    }
    streams.pop();
    soon("room", async {
        while node.metrics.connections_open.get() > 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.stream("symbols=BTC").await;
}

#[tokio::test]
async fn a_request_has_a_hundred_headers_at_most() {
    let node = Node::start("").await;
    let headers = |count| "x-header: 1\r\n".repeat(count);
    let mut client = node.connect().await;
    // One is the host.
    assert_eq!(client.request("GET", "/health/live", &headers(99)).await.head.status(), 200);
    assert_eq!(client.request("GET", "/health/live", &headers(100)).await.head.status(), 431);
}

#[tokio::test]
async fn p27_a_crowd_comes_in_at_the_pace_of_the_config_and_nobody_is_refused() {
    let node = Node::start("[limits]\naccepts_per_second = 20").await;
    let start = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..30 {
        streams.push(node.stream("symbols=BTC").await);
    }
    // A second's worth at once, and the others one every 50 ms; the last is paid for by who comes next.
    assert!(start.elapsed() >= Duration::from_millis(8 * 50), "{:?}", start.elapsed());
    assert_eq!(node.metrics.streams_open.get(), 30);
}
