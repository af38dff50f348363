//! The PROXY protocol through the door that a proxy takes: whose limits count, and what becomes of connections that do not
//! begin as they have to. Over TLS it is tested in `tls.rs`, with a real proxy in `proxies.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by a panic and ends with its tasks"
)]

mod support;

use std::time::Duration;

use support::{Answer, Client, Node, config, soon};
use tickcast::metrics::ByReason;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

const HTTP: &str = "[http]\nforwarded = \"proxy-protocol\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
const ONE_EACH: &str = "[limits]\nstreams_per_client = 1\n";
const REQUEST: &str = "GET /prices?symbols=BTC HTTP/1.1\r\nhost: test\r\n";

fn text(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 10.0.0.1 4711 443\r\n").into_bytes()
}

/// Version 2, with something more than addresses behind them.
fn binary(client: [u8; 4]) -> Vec<u8> {
    let rest = [client.as_slice(), &[10, 0, 0, 1, 18, 103, 1, 187], &[0x02, 0, 7], b"a.bc.de"].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0".as_slice(), &[u8::try_from(rest.len()).unwrap()], &rest].concat()
}

/// A connection that begins with these bytes.
async fn beginning(node: &Node, bytes: &[u8]) -> Client {
    let mut client = node.connect().await;
    soon("room to write", client.socket.write_all(bytes)).await.unwrap();
    client
}

/// A connection of somebody who is no proxy of ours.
async fn stranger(node: &Node) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.7:0".parse().unwrap()).unwrap();
    Client::over(soon("a connection", socket.connect(node.address)).await.unwrap())
}

async fn ask(mut client: Client, headers: &str) -> Answer {
    client.request("GET", "/prices?symbols=BTC", headers).await
}

fn refused(node: &Node, reason: &'static str) -> u64 {
    node.metrics.proxy_headers_refused.get_or_create(&ByReason { reason }).get()
}

async fn clients_are_who_the_proxy_says(node: &mut Node) {
    let mut first = beginning(node, &text("9.9.9.9")).await.stream("symbols=BTC&throttle=0", "").await;
    // The header and the request in one piece, and a header that names somebody else, which nobody reads.
    let forged = "x-forwarded-for: 1.1.1.1\r\nforwarded: for=1.1.1.1\r\n";
    let both = [binary([9, 9, 9, 9]).as_slice(), format!("{REQUEST}{forged}\r\n").as_bytes()].concat();
    let answer = beginning(node, &both).await.answer(true).await;
    assert_eq!((answer.head.status(), answer.head.get("ratelimit-policy")), (429, Some("\"streams\";q=1")));
    let mut other =
        beginning(node, &binary([9, 9, 9, 8])).await.stream("symbols=BTC&throttle=0", forged).await;
    node.trade("BTC-USD", "67012.30");
    for stream in [&mut first, &mut other] {
        while stream.said().await != "BTC=67012.30" {}
    }
}

#[tokio::test]
async fn p68_limits_are_those_of_whom_the_proxy_names_on_sockets_that_streams_take_over() {
    clients_are_who_the_proxy_says(&mut Node::start(&format!("{ONE_EACH}{HTTP}")).await).await;
}

#[tokio::test]
async fn p68_limits_are_those_of_whom_the_proxy_names_where_streams_stay_with_hyper() {
    let mut config = config(&format!("{ONE_EACH}{HTTP}"));
    config.http.direct_streams = false;
    clients_are_who_the_proxy_says(&mut Node::start_with(config).await).await;
}

#[tokio::test]
async fn an_ipv6_client_behind_a_proxy_is_its_64() {
    let node = Node::start(&format!("{ONE_EACH}{HTTP}")).await;
    let client = |address: &str| format!("PROXY TCP6 {address} ::1 4711 443\r\n").into_bytes();
    let _first = beginning(&node, &client("2001:db8:1:1::1")).await.stream("symbols=BTC", "").await;
    assert_eq!(ask(beginning(&node, &client("2001:db8:1:1::2")).await, "").await.head.status(), 429);
    beginning(&node, &client("2001:db8:1:2::1")).await.stream("symbols=BTC", "").await;
}

#[tokio::test]
async fn a_proxy_that_names_nobody_is_its_own_client_whatever_the_headers_say() {
    let node = Node::start(&format!("{ONE_EACH}{HTTP}")).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let _first = beginning(&node, local).await.stream("symbols=BTC", "x-forwarded-for: 1.1.1.1\r\n").await;
    for begin in [local.as_slice(), b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1.1.1.1 2.2.2.2 1 2\r\n"] {
        let answer = ask(beginning(&node, begin).await, "x-forwarded-for: 2.2.2.2\r\n").await;
        assert_eq!(answer.head.status(), 429, "{begin:?}");
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let node = Node::start(HTTP).await;
    for header in [text("9.9.9.9"), binary([9, 9, 9, 9])] {
        let mut client = node.connect().await;
        client.socket.set_nodelay(true).unwrap();
        for byte in header {
            soon("room to write", client.socket.write_all(&[byte])).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(client.request("GET", "/health/live", "").await.head.status(), 200);
        // One header a connection, not one a request.
        assert_eq!(client.request("GET", "/health/live", "").await.head.status(), 200);
    }
}

#[tokio::test]
async fn p68_who_is_no_proxy_of_ours_is_himself_and_his_header_is_no_request() {
    let node = Node::start(&format!("{ONE_EACH}{HTTP}")).await;
    let _first = stranger(&node).await.stream("symbols=BTC", "x-forwarded-for: 1.1.1.1\r\n").await;
    assert_eq!(ask(stranger(&node).await, "x-forwarded-for: 2.2.2.2\r\n").await.head.status(), 429);
    for header in [text("9.9.9.9"), binary([9, 9, 9, 9])] {
        let mut client = stranger(&node).await;
        soon("room to write", client.socket.write_all(&header)).await.unwrap();
        client.send("GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!((head.status(), head.get("connection")), (400, Some("close")), "{head:?}");
    }
    assert_eq!(refused(&node, "malformed") + refused(&node, "missing"), 0, "that is a bad request, no more");
}

#[tokio::test]
async fn a_proxy_that_does_not_begin_with_a_good_header_is_cut_and_counted() {
    let node = Node::start(HTTP).await;
    let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
    for (bytes, reason) in [
        (&b"GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n"[..], "missing"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "missing"),
        (b"PROXY TCP4 here there 1 2\r\n", "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01\0", "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "too_long"),
        (long.as_bytes(), "too_long"),
    ] {
        let before = refused(&node, reason);
        let mut client = beginning(&node, bytes).await;
        // With something of his unread it may be a reset, which tells as much.
        let mut said = Vec::new();
        drop(soon("an end", tokio::io::AsyncReadExt::read_to_end(&mut client.socket, &mut said)).await);
        assert_eq!((said.as_slice(), refused(&node, reason)), (&b""[..], before + 1), "{bytes:?}");
    }
    let mut client = beginning(&node, b"PROXY TCP4 9.9").await;
    soon("an end", client.socket.shutdown()).await.unwrap();
    assert!(client.ended().await);
    assert_eq!(refused(&node, "ended"), 1);
    // Checks of health connect and say nothing.
    let mut client = node.connect().await;
    soon("an end", client.socket.shutdown()).await.unwrap();
    assert!(client.ended().await);
    let sum: u64 = ["missing", "malformed", "too_long", "slow", "ended"]
        .map(|reason| refused(&node, reason))
        .iter()
        .sum();
    assert_eq!(sum, 7);
    soon("a count", async {
        while node.metrics.connections_open.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_header_has_the_time_of_a_request_head() {
    let node = Node::start(HTTP).await;
    let mut client = beginning(&node, b"PROXY TCP4 9.9.9").await;
    let start = tokio::time::Instant::now();
    assert!(client.ended().await);
    assert!(start.elapsed() > Duration::from_secs(9), "{:?}", start.elapsed());
    assert_eq!(refused(&node, "slow"), 1);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_header_that_does_not_come() {
    let node = Node::start(HTTP).await;
    let mut client = beginning(&node, b"PROXY TCP4 9.9.9").await;
    soon("a connection", async {
        while node.metrics.connections_open.get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let start = tokio::time::Instant::now();
    node.closing.cancel();
    assert!(client.ended().await);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(refused(&node, "slow"), 0);
}
