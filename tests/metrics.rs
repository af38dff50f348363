//! What `/metrics` shows: the names that the contract promises, and no more series than there are venues, reasons and
//! routes, whoever comes and whatever is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::float_cmp,
    reason = "a test fails by a panic; a count is exact"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use support::{Node, Scratch, soon};
use tickcast::ingest::{Board, FeedState};
use tickcast::metrics::{ByVenueReason, VenueLabel, closed_set};
use tickcast_feeds::Venue;

/// As in the contract, section 7: name, type, labels.
const PROMISED: [(&str, &str, &[&str]); 17] = [
    ("tickcast_frames_total", "counter", &["venue"]),
    ("tickcast_ticks_total", "counter", &["venue", "kind"]),
    ("tickcast_frames_refused_total", "counter", &["venue"]),
    ("tickcast_gaps_total", "counter", &["venue"]),
    ("tickcast_duplicates_total", "counter", &["venue"]),
    ("tickcast_feed_state", "gauge", &["venue", "state"]),
    ("tickcast_reconnects_total", "counter", &["venue", "reason"]),
    ("tickcast_feed_lag_seconds", "histogram", &["venue"]),
    ("tickcast_streams_open", "gauge", &[]),
    ("tickcast_streams_opened_total", "counter", &[]),
    ("tickcast_streams_closed_total", "counter", &["reason"]),
    ("tickcast_messages_sent_total", "counter", &[]),
    ("tickcast_messages_conflated_total", "counter", &[]),
    ("tickcast_bytes_sent_total", "counter", &[]),
    ("tickcast_publish_delay_seconds", "histogram", &[]),
    ("tickcast_limited_total", "counter", &["limit"]),
    ("process_resident_memory_bytes", "gauge", &[]),
];

/// Limits that a crowd meets: each client may have one stream, opened twice a minute, of one message a second.
const TIGHT: &str = "
[http]
trusted_proxies = [\"127.0.0.1\"]
[stream]
symbols_max = 2
[limits]
streams_per_client = 1
opens_per_minute = 2
messages_per_second = 1
streams_total = 40
";

/// A sample's name with its labels.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// The labels of a sample.
fn labels(series: &str) -> BTreeMap<&str, &str> {
    let Some((_, labels)) = series.split_once('{') else { return BTreeMap::new() };
    let labels = labels.strip_suffix('}').unwrap().split(',');
    let split = labels.map(|label| label.split_once('=').unwrap());
    split.map(|(name, value)| (name, value.trim_matches('"'))).collect()
}

async fn exposed(node: &Node) -> String {
    let answer = node.get("/metrics").await;
    assert_eq!(answer.head.status(), 200);
    answer.body
}

/// What is one of `label`'s in one of the samples of a metric.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

/// Every venue goes through everything that a venue may.
fn feeds(node: &Node) {
    let board = Board::new(Arc::clone(&node.metrics));
    for &venue in Venue::ALL {
        for number in 0..3 {
            let feed = board.add(venue, format!("wss://example/{number}"), 5);
            FeedState::ALL.into_iter().for_each(|state| feed.enter(state));
            for reason in tickcast::ingest::RECONNECT_REASONS {
                let labels = ByVenueReason { venue: VenueLabel(venue), reason };
                node.metrics.reconnects.get_or_create(&labels).inc();
            }
        }
    }
}

/// So many clients, each with an address of its own, ask for all kinds of things; half of them are refused.
async fn crowd(node: &mut Node, clients: std::ops::Range<u32>) {
    for client in clients {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + client);
        let from = format!("x-forwarded-for: {address}\r\n");
        let mut first = node.connect().await.stream("symbols=BTC&fields=price&throttle=0", &from).await;
        assert_eq!(first.hello()["symbols"]["BTC"], "BTC");
        match client % 8 {
            // Too many streams, then too many opens.
            0 => {
                for _ in 0..2 {
                    let refused = node.connect().await.request("GET", "/prices?symbols=ETH", &from).await;
                    assert_eq!(refused.head.status(), 429);
                }
            }
            1 => {
                for path in
                    [format!("/{client}"), format!("/dashboard/{client}.js"), format!("/prices/{client}")]
                {
                    assert_eq!(node.get(&path).await.head.status(), 404, "{path}");
                }
            }
            2 => {
                let path = format!("/prices?symbols=NOBODY{client}");
                assert_eq!(node.get(&path).await.head.status(), 404);
                let path = format!("/prices/snapshot?symbols=BTC&p{client}=1");
                assert_eq!(node.get(&path).await.head.status(), 400);
            }
            3 => {
                let method = format!("FETCH{client}");
                let answer = node.connect().await.request(&method, "/prices", &from).await;
                assert_eq!(answer.head.status(), 405);
            }
            // More than a message a second: it is slowed.
            4 => {
                first.message().await;
                for price in 1..4 {
                    node.trade("BTC-USD", &format!("{client}.{price}"));
                }
            }
            _ => drop(first.message().await),
        }
    }
}

/// Opens streams, many of them refused, and looks whether that made series.
async fn opening_streams_makes_no_series(count: u32) {
    let mut node = Node::start(TIGHT).await;
    node.trade("BTC-USD", "1");
    feeds(&node);
    crowd(&mut node, 0..64).await;
    // Asking for metrics is a request, counted from the next time on.
    drop(exposed(&node).await);
    let before = exposed(&node).await;
    crowd(&mut node, 64..64 + count).await;
    let after = exposed(&node).await;
    // The last ones may still be open, and a slowed one be told.
    let opened = value(&after, "tickcast_streams_opened_total");
    assert!(opened >= f64::from(count), "{opened}");
    for limit in ["rate_limited", "too_many_streams"] {
        assert!(value(&after, &format!("tickcast_limited_total{{limit=\"{limit}\"}}")) > 0.0, "{limit}");
    }
    let (before, after) = (series(&before), series(&after));
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    let found = format!("{} series before and {} after {opened} streams", before.len(), after.len());
    let _ = writeln!(std::io::stdout(), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p78_two_thousand_clients_of_all_kinds_make_no_series() {
    opening_streams_makes_no_series(2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes longer: cargo test --test metrics -- --ignored --nocapture"]
async fn p78_ten_thousand_clients_of_all_kinds_make_no_series() {
    opening_streams_makes_no_series(10_000).await;
}

#[tokio::test]
async fn every_label_has_a_value_of_a_closed_set() {
    let mut node = Node::start(TIGHT).await;
    feeds(&node);
    crowd(&mut node, 0..16).await;
    let keys = Scratch::new("metrics-keys.toml", "");
    let auth = format!("[auth]\nmode = \"keys\"\noperators = \"open\"\nkeys_file = {:?}", keys.0);
    let guarded = Node::start(&format!("{TIGHT}\n{auth}")).await;
    for (headers, status) in [("", 401), ("x-api-key: nobodys\r\n", 401)] {
        let answer = guarded.connect().await.request("GET", "/symbols", headers).await;
        assert_eq!(answer.head.status(), status);
    }
    for text in [exposed(&node).await, exposed(&guarded).await] {
        let mut seen = BTreeSet::new();
        for series in series(&text) {
            for (label, value) in labels(&series) {
                seen.insert(label.to_owned());
                if label != "le" {
                    let set = closed_set(label).unwrap_or_else(|| panic!("no set for {label} of {series}"));
                    assert!(set.contains(&value), "{label}={value} of {series}");
                }
            }
        }
        assert!(seen.len() > 7, "{seen:?}");
    }
    let denied = exposed(&guarded).await;
    assert!(value(&denied, "tickcast_denied_total{reason=\"missing\"}") > 0.0);
}

#[tokio::test]
async fn metrics_have_the_names_types_and_labels_of_the_contract() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "1");
    let text = exposed(&node).await;
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let now = tickcast::clock::wall().as_millis() as f64 / 1e3;
    let age = now - value(&text, "process_start_time_seconds");
    // The kernel tells its own start in whole seconds.
    assert!((-2.0..3_600.0).contains(&age), "this process is {age} s old");
    for (name, kind, expected) in PROMISED {
        assert!(text.contains(&format!("# HELP {name} ")), "no help for {name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind} in\n{text}");
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        let suffix = if kind == "histogram" { "_count" } else { "" };
        let is_it = |series: &&String| series.split('{').next() == Some(&format!("{name}{suffix}"));
        let series = series(&text);
        let own: Vec<_> = series.iter().filter(is_it).collect();
        assert!(!own.is_empty(), "no sample of {name}");
        for series in own {
            assert_eq!(labels(series).into_keys().collect::<BTreeSet<_>>(), expected, "{series}");
        }
    }
}

#[tokio::test]
async fn every_metric_is_in_the_guide() {
    let mut node = Node::start("[limits]\nmemory_max = 1000000000").await;
    node.trade("BTC-USD", "1");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let text = exposed(&node).await;
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = names.filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/operating.md: {missing:?}");
}

#[tokio::test]
async fn p77_a_request_lasts_until_its_head_however_long_its_stream_lives() {
    let mut node = Node::start("").await;
    let count = "tickcast_request_seconds_count";
    let mut stream = node.stream("symbols=BTC&throttle=0").await;
    assert_eq!(value(&exposed(&node).await, count), 1.0, "it is open still");
    for price in ["1", "2", "3"] {
        node.trade("BTC-USD", price);
        while stream.message().await.text("price") != price {}
    }
    drop(stream);
    let closed = soon("its end", async {
        loop {
            let text = exposed(&node).await;
            if value(&text, "tickcast_streams_closed_total{reason=\"client\"}") > 0.0 {
                break text;
            }
        }
    });
    let text = closed.await;
    let looks = value(&text, "tickcast_requests_total{route=\"/metrics\",status=\"2xx\"}");
    assert_eq!(value(&text, count), 1.0 + looks, "its end is no request's");
}

#[tokio::test]
async fn both_formats_have_the_same_samples() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "1");
    let text = exposed(&node).await;
    let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let open_metrics = node.connect().await.request("GET", "/metrics", accept).await;
    assert_eq!(
        open_metrics.head.get("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open_metrics.body.ends_with("# EOF\n") && !text.contains("EOF"));
    let ours = |text: &str| -> BTreeSet<String> {
        // The first look counts as a request of its own.
        series(text).into_iter().filter(|series| !series.starts_with("tickcast_requests_total")).collect()
    };
    assert_eq!(ours(&open_metrics.body), ours(&text));
}

#[tokio::test]
async fn levels_are_those_of_the_moment() {
    let mut node = Node::start("[limits]\nstreams_total = 7\nmemory_max = 1000000000").await;
    let text = exposed(&node).await;
    assert_eq!(value(&text, "tickcast_ready"), 0.0);
    assert_eq!(value(&text, "tickcast_symbols{status=\"stale\"}"), 3.0);
    assert!(!text.contains("tickcast_feed_tick_age_seconds{"), "no tick yet");
    node.trade("BTC-USD", "1");
    let _stream = node.stream("symbols=BTC").await;
    let text = exposed(&node).await;
    for (sample, expected) in [
        ("tickcast_ready", 1.0),
        ("tickcast_symbols{status=\"live\"}", 1.0),
        ("tickcast_symbols{status=\"stale\"}", 2.0),
        ("tickcast_symbols{status=\"halted\"}", 0.0),
        ("tickcast_feed_instruments{venue=\"sim\",state=\"wanted\"}", 3.0),
        ("tickcast_streams_open", 1.0),
        ("tickcast_streams_max", 7.0),
        ("tickcast_connections_max", 1007.0),
        ("tickcast_memory_max_bytes", 1e9),
        ("tickcast_requests_total{route=\"/metrics\",status=\"2xx\"}", 1.0),
        ("tickcast_requests_total{route=\"/prices\",status=\"2xx\"}", 1.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "tickcast_feed_tick_age_seconds{venue=\"sim\"}") < 30.0);
    node.closing.cancel();
    let stopping = soon("not ready", async {
        loop {
            let Ok(mut client) =
                tokio::net::TcpStream::connect(node.address).await.map(support::Client::over)
            else {
                panic!("no connection")
            };
            let text = client.request("GET", "/metrics", "connection: close\r\n").await.body;
            if value(&text, "tickcast_ready") < 1.0 {
                break text;
            }
        }
    });
    assert!(stopping.await.contains("tickcast_ready 0\n"));
}
