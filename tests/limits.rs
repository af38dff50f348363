//! What one client and all together may have, how each kind of client is told, and that a place comes back when
//! its client leaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

mod support;

use serde_json::{Value, json};
use support::{Answer, Node, soon};

const EVENT_SOURCE: &str = "accept: text/event-stream\r\n";

/// The `fault` of a refusal that an EventSource gets, checked to be whole.
fn fault(answer: &Answer) -> Value {
    assert_eq!(answer.head.status(), 200);
    assert_eq!(
        answer.head.sorted(),
        [
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "Retry-After, RateLimit, RateLimit-Policy"),
            ("cache-control", "no-store, no-transform"),
            ("content-length", answer.body.len().to_string().as_str()),
            ("content-type", "text/event-stream; charset=utf-8"),
            ("x-accel-buffering", "no"),
        ]
    );
    let lines: Vec<&str> = answer.body.split('\n').collect();
    let [retry, "event: fault", data, "", ""] = lines[..] else { panic!("{:?}", answer.body) };
    let fault: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(retry, format!("retry: {}", fault["retry_ms"]));
    fault
}

/// The wait that a refusal by status asks for, in seconds.
fn refused(answer: &Answer, status: u16, kind: &str) -> u64 {
    assert_eq!(answer.head.status(), status, "{answer:?}");
    assert_eq!(answer.head.get("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["type"], format!("urn:tickcast:problem:{kind}"));
    let wait: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
    wait
}

/// Waits for the number of open streams, without a request: each look gives the server its turn.
async fn streams_open(node: &Node, count: i64) {
    soon("the number of open streams", async {
        while node.metrics.streams_open.get() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn p22_over_the_streams_of_a_client_an_event_source_is_told_in_the_stream_and_others_by_status() {
    let node = Node::start("[limits]\nstreams_per_client = 2").await;
    let (_one, two) = (node.stream("symbols=BTC").await, node.stream("symbols=BTC").await);
    let mut client = node.connect().await;
    let told = fault(&client.request("GET", "/prices?symbols=BTC", EVENT_SOURCE).await);
    let retry = told["retry_ms"].as_u64().unwrap();
    assert!((2_500..7_500).contains(&retry), "jittered around 5 s: {retry}");
    assert_eq!(told, json!({"code": "too_many_streams", "retry_ms": retry, "limit": 2, "scope": "client"}));
    // The connection is still good.
    assert_eq!(client.request("GET", "/health/live", "").await.head.status(), 200);

    let cases = [
        ("/prices?symbols=BTC", ""),
        ("/prices?symbols=BTC", "accept: */*\r\n"),
        ("/prices?symbols=BTC", "accept: text/event-stream, application/problem+json\r\n"),
        ("/prices?symbols=BTC", "accept: text/event-stream\r\nauthorization: Bearer x\r\n"),
        ("/prices?symbols=BTC&errors=status", EVENT_SOURCE),
    ];
    for (path, headers) in cases {
        let answer = client.request("GET", path, headers).await;
        let wait = refused(&answer, 429, "too-many-streams");
        assert_eq!(answer.head.get("ratelimit-policy"), Some("\"streams\";q=2"));
        assert_eq!(answer.head.get("ratelimit"), Some(format!("\"streams\";r=0;t={wait}").as_str()));
    }
    let answer = client.post("/prices", EVENT_SOURCE, "{\"symbols\":[\"BTC\"]}").await;
    refused(&answer, 429, "too-many-streams");
    let metrics = client.request("GET", "/metrics", "").await;
    assert_eq!(metrics.metric("tickcast_limited_total{limit=\"too_many_streams\"}"), Some(7));

    drop(two);
    streams_open(&node, 1).await;
    node.stream("symbols=BTC").await;
}

#[tokio::test]
async fn p73_over_the_opens_of_a_minute_a_client_waits_for_its_turn() {
    let node = Node::start("[limits]\nopens_per_minute = 3").await;
    for _ in 0..3 {
        node.stream("symbols=BTC").await;
    }
    let mut client = node.connect().await;
    let answer = client.request("GET", "/prices?symbols=BTC", "").await;
    let wait = refused(&answer, 429, "rate-limited");
    assert!(wait <= 30, "one comes back every 20 s, jittered: {wait}");
    assert_eq!(answer.head.get("ratelimit-policy"), Some("\"opens\";q=3;w=60"));
    assert_eq!(answer.head.get("ratelimit"), Some(format!("\"opens\";r=0;t={wait}").as_str()));
    let told = fault(&client.request("GET", "/prices?symbols=BTC", EVENT_SOURCE).await);
    assert_eq!((&told["code"], &told["limit"]), (&json!("rate_limited"), &json!(3)));
    // What opens no stream is not counted.
    for path in ["/prices/snapshot?symbols=BTC", "/symbols", "/health/live"] {
        assert_eq!(client.request("GET", path, "").await.head.status(), 200);
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_takes_no_place() {
    let node = Node::start("[limits]\nopens_per_minute = 1\nstreams_per_client = 1").await;
    for _ in 0..5 {
        assert_eq!(node.get("/prices?symbols=NOPE").await.head.status(), 404);
        assert_eq!(node.get("/prices?symbols=BTC&x=1").await.head.status(), 400);
    }
    node.stream("symbols=BTC").await;
}

#[tokio::test]
async fn p74_a_full_node_says_so_to_everybody() {
    let node = Node::start("[limits]\nstreams_total = 1").await;
    let _only = node.stream("symbols=BTC").await;
    let mut client = node.connect().await;
    let told = fault(&client.request("GET", "/prices?symbols=BTC", EVENT_SOURCE).await);
    assert_eq!((&told["code"], &told["scope"]), (&json!("overloaded"), &json!("node")));
    refused(&client.request("GET", "/prices?symbols=BTC", "").await, 503, "overloaded");
}

#[tokio::test]
async fn p68_clients_behind_a_trusted_proxy_are_told_apart_and_a_forged_address_buys_nothing() {
    let limits = "[limits]\nstreams_per_client = 1\n";
    let node = Node::start(&format!("{limits}[http]\ntrusted_proxies = [\"127.0.0.0/8\"]")).await;
    let from = |address: &str| format!("x-forwarded-for: 9.9.9.9, {address}\r\n");
    let _one = node.connect().await.stream("symbols=BTC", &from("1.1.1.1")).await;
    let _other = node.connect().await.stream("symbols=BTC", &from("2.2.2.2")).await;
    let answer = node.connect().await.request("GET", "/prices?symbols=BTC", &from("1.1.1.1")).await;
    refused(&answer, 429, "too-many-streams");
    let node = Node::start(limits).await;
    let _one = node.connect().await.stream("symbols=BTC", &from("1.1.1.1")).await;
    let answer = node.connect().await.request("GET", "/prices?symbols=BTC", &from("2.2.2.2")).await;
    refused(&answer, 429, "too-many-streams");
}

#[tokio::test]
async fn p55_a_client_that_leaves_gives_its_place_back_at_once_though_nothing_is_sent() {
    let node = Node::start("").await;
    for round in 1..=20 {
        let streams = [node.stream("symbols=BTC").await, node.stream("symbols=BTC&throttle=0").await];
        streams_open(&node, 2).await;
        drop(streams);
        streams_open(&node, 0).await;
        let metrics = node.get("/metrics").await;
        assert_eq!(metrics.metric("tickcast_streams_closed_total{reason=\"client\"}"), Some(round * 2));
    }
}

#[tokio::test]
async fn p52_p61_over_its_messages_a_second_a_stream_is_slowed_told_once_and_ends_with_the_newest() {
    let mut node = Node::start("[limits]\nmessages_per_second = 20").await;
    let mut stream = node.stream("symbols=BTC&throttle=0&fields=price").await;
    stream.message().await;
    let (mut notices, mut messages) = (0, 0);
    for price in 1..=60 {
        node.trade("BTC-USD", &format!("{price}"));
        if price <= 40 {
            let mut block = stream.block().await;
            if block.starts_with("event: notice\n") {
                let data = "{\"code\":\"messages_per_second\",\"limit\":20,\"scope\":\"client\"}";
                assert_eq!(block, format!("event: notice\ndata: {data}\n\n"));
                notices += 1;
                block = stream.block().await;
            }
            assert!(block.contains(&format!("\"{price}\"")), "{block}");
            messages += 1;
        }
    }
    while stream.said().await != "BTC=60" {
        messages += 1;
    }
    assert_eq!(notices, 1);
    assert!(messages < 60, "{messages}");
}

#[tokio::test]
async fn over_its_bytes_a_second_a_stream_is_slowed_told_once_and_ends_with_the_newest() {
    let mut node = Node::start("[limits]\nbytes_per_second = 1000").await;
    let mut stream = node.stream("symbols=BTC&throttle=0&fields=price").await;
    assert_eq!(stream.hello()["limits"]["bytes_per_second"], 1000);
    stream.message().await;
    let start = tokio::time::Instant::now();
    let (mut notices, mut bytes) = (0, 0);
    for price in 1.. {
        node.trade("BTC-USD", &format!("{price}"));
        let mut block = stream.block().await;
        if block.starts_with("event: notice\n") {
            let data = "{\"code\":\"bytes_per_second\",\"limit\":1000,\"scope\":\"client\"}";
            assert_eq!(block, format!("event: notice\ndata: {data}\n\n"));
            notices += 1;
            block = stream.block().await;
        }
        bytes += block.len();
        if bytes > 2_500 {
            break;
        }
    }
    // A second's worth at once, then as many as time has passed; the last one is paid for by the next.
    assert!(start.elapsed() >= std::time::Duration::from_millis(1_300), "{:?}", start.elapsed());
    for price in ["7000", "7001", "7002"] {
        node.trade("BTC-USD", price);
    }
    while stream.said().await != "BTC=7002" {}
    assert_eq!(notices, 1);
}
