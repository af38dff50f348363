//! How streams end: when the service stops, and when a client stops reading.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod support;

use std::time::Duration;

use support::{App, Client, Node, config, soon};
use tickcast::app::Drive;
use tokio::net::TcpSocket;
use tokio::time::Instant;

/// A client whose kernel holds as little as it can: it is frozen soon after it stops reading.
async fn narrow(address: std::net::SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    Client::over(soon("a connection", socket.connect(address)).await.unwrap())
}

const ALL_FIELDS: &str = "fields=symbol,price,bid,ask,bid_size,ask_size,spread,mid,last,last_size,open,high,low,\
                          volume,prev_close,change,change_pct,currency,class,venue,sources,session,status,time,\
                          event_us,recv_us,sent_us,version";

#[tokio::test]
async fn p26_p29_p62_a_stop_says_good_bye_to_every_stream_and_ends_it_cleanly_within_the_window() {
    let mut app = App::start(config("[http]\ndrain_window = \"300ms\"\ndrain_max = \"20s\""), Drive::Feeds);
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(app.connect().await.stream("symbols=ETH&heartbeat=0", "").await);
    }
    let mut idle = app.connect().await;
    assert_eq!(idle.request("GET", "/health/live", "").await.head.status(), 200);
    let start = Instant::now();
    app.stop();
    for mut stream in streams {
        let mut block = stream.block().await;
        while block.starts_with("data: ") {
            block = stream.block().await;
        }
        let (retry, bye) = block.split_once('\n').unwrap();
        let retry = retry.strip_prefix("retry: ").unwrap();
        assert_eq!(bye, format!("event: bye\ndata: {{\"reason\":\"draining\",\"retry_ms\":{retry}}}\n\n"));
        assert!(stream.ended().await, "with its last chunk");
    }
    assert!(idle.ended().await, "a connection that is answered nothing is closed");
    soon("the end", &mut app.running).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(15), "nothing waits for drain_max: {:?}", start.elapsed());
}

#[tokio::test]
async fn p62_a_frozen_reader_does_not_hold_up_a_stop_and_meanwhile_new_requests_are_told() {
    let more = "[http]\ndrain_window = \"100ms\"\ndrain_max = \"2s\"\n";
    let mut config = config(more);
    let sim = config.feeds.sim.as_mut().unwrap();
    sim.rate = 2_000.into();
    let mut app = App::start(config, Drive::Feeds);
    let mut frozen = narrow(app.address).await;
    frozen.send(&format!("GET /prices?symbols=*&throttle=0&{ALL_FIELDS} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    frozen.head().await;
    // Frozen is who is sent nothing more though prices move.
    let sent = |answer: &support::Answer| answer.metric("tickcast_messages_sent_total").unwrap();
    soon("a stream that is held up", async {
        let mut before = 0;
        loop {
            let beat = app.until("/feeds", |_| true).await.json()["feeds"][0]["ticks"].as_u64().unwrap();
            app.until("/feeds", |now| now.json()["feeds"][0]["ticks"].as_u64().unwrap() > beat + 2_000).await;
            let now = sent(&app.get("/metrics").await);
            if now == before {
                break;
            }
            before = now;
        }
    })
    .await;
    let start = Instant::now();
    app.stop();
    let ready = app.until("/health/ready", |answer| answer.head.status() == 503).await;
    assert_eq!(ready.json()["reasons"], serde_json::json!(["draining"]));
    let refused = app.get("/prices?symbols=BTC").await;
    assert_eq!(refused.head.status(), 503);
    assert_eq!(refused.json()["type"], "urn:tickcast:problem:draining");
    assert!(refused.head.get("retry-after").is_some());
    let told =
        app.connect().await.request("GET", "/prices?symbols=BTC", "accept: text/event-stream\r\n").await;
    assert_eq!(told.head.status(), 200);
    assert!(told.body.contains("event: fault\ndata: {\"code\":\"draining\""), "{}", told.body);
    soon("the end", &mut app.running).await.unwrap().unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1_900) && took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn p54_a_reader_that_takes_nothing_is_cut_and_counted() {
    let mut node = Node::start("[stream]\nstall_max = \"300ms\"").await;
    let mut frozen = narrow(node.address).await;
    frozen
        .send(&format!("GET /prices?symbols=BTC&throttle=0&{ALL_FIELDS} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .await;
    frozen.head().await;
    let mut other = node.stream("symbols=BTC&throttle=0&fields=price").await;
    other.message().await;
    let start = Instant::now();
    let mut price = 0_u64;
    soon("the cut", async {
        while node.metrics.streams_open.get() == 2 {
            price += 1;
            node.trade("BTC-USD", &price.to_string());
            assert_eq!(other.said().await, format!("BTC={price}"), "nobody else pays for it");
        }
    })
    .await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    let metrics = node.get("/metrics").await;
    assert_eq!(metrics.metric("tickcast_streams_closed_total{reason=\"stalled\"}"), Some(1));
}

#[tokio::test]
async fn p50_a_reader_that_wakes_up_gets_the_newest_and_not_all_it_slept_through() {
    const CHANGES: u64 = 30_000;
    let mut node = Node::start("").await;
    let mut client = narrow(node.address).await;
    client
        .send("GET /prices?symbols=BTC&throttle=0&fields=price,status,time HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let mut stream = client.opened().await;
    for price in 1..=CHANGES {
        node.trade("BTC-USD", &price.to_string());
        // The server's turn: whatever it could send of this, it has sent.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    let held = node.metrics.sent.get();
    assert!(held < CHANGES / 2, "what the kernels hold and no more: {held}");
    let mut read = 1;
    while stream.said().await != format!("BTC={CHANGES}") {
        read += 1;
    }
    assert!(read <= held + 2, "{read} of {held}");
    assert!(node.metrics.conflated.get() >= CHANGES - held - 2);
}
