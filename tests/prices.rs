//! The stream and its neighbours, byte by byte, as a page or `curl` sees them.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod support;

use serde_json::{Value, json};
use support::Node;

#[tokio::test]
async fn p02_p08_p09_a_stream_begins_at_once_with_the_head_retry_and_hello_before_any_tick() {
    let node = Node::start("").await;
    let stream = node.stream("symbols=xbt,AAPL,BTX&throttle=250&fields=price,status").await;
    assert_eq!(
        stream.head.sorted(),
        [
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", "Retry-After, RateLimit, RateLimit-Policy"),
            ("cache-control", "no-store, no-transform"),
            ("content-type", "text/event-stream; charset=utf-8"),
            ("transfer-encoding", "chunked"),
            ("x-accel-buffering", "no"),
        ]
    );
    let lines: Vec<&str> = stream.opening.split('\n').collect();
    let retry: u64 = lines[0].strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((1_000..3_000).contains(&retry), "jittered around 2 s: {retry}");
    assert_eq!((lines[1], &lines[3..]), ("event: hello", &["id: 7f3a.0", "", ""][..]));
    let mut hello = stream.hello();
    assert!(hello["time"].take().as_i64().unwrap() > 1_700_000_000_000);
    let expected = json!({
        "symbols": {"xbt": "BTC", "AAPL": "AAPL"},
        "rejected": [{"symbol": "BTX", "code": "unknown_symbol", "suggestions": ["BTC"]}],
        "throttle_ms": 250,
        "fields": ["symbol", "price", "status"],
        "mode": "latest",
        "heartbeat_ms": 15_000,
        "resumed": false,
        "limits": {"streams_per_client": 100, "opens_per_minute": 600, "messages_per_second": null,
            "bytes_per_second": null, "symbols_max": 1000},
        "server": concat!("tickcast ", env!("CARGO_PKG_VERSION")),
        "time": null,
    });
    assert_eq!(hello, expected);
}

#[tokio::test]
async fn p43_the_snapshot_follows_hello_then_each_change_as_one_block() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "67012.30");
    let mut stream =
        node.stream("symbols=BTC,AAPL&throttle=0&fields=price,bid,ask,change,change_pct,status").await;
    assert_eq!(
        stream.block().await,
        "data: {\"symbol\":\"AAPL\",\"price\":null,\"bid\":null,\"ask\":null,\"change\":null,\"change_pct\":null,\
         \"status\":\"stale\"}\nid: 7f3a.0\n\n"
    );
    assert_eq!(
        stream.block().await,
        "data: {\"symbol\":\"BTC\",\"price\":\"67012.30\",\"bid\":null,\"ask\":null,\"change\":null,\
         \"change_pct\":null,\"status\":\"live\"}\nid: 7f3a.1\n\n"
    );
    node.prev_close("BTC-USD", "66200.20");
    assert_eq!(
        stream.block().await,
        "data: {\"symbol\":\"BTC\",\"price\":\"67012.30\",\"bid\":null,\"ask\":null,\"change\":\"812.10\",\
         \"change_pct\":\"1.23\",\"status\":\"live\"}\nid: 7f3a.2\n\n"
    );
    node.quote("BTC-USD", "67012.29", "67012.310");
    assert_eq!(
        stream.block().await,
        "data: {\"symbol\":\"BTC\",\"price\":\"67012.30\",\"bid\":\"67012.29\",\"ask\":\"67012.310\",\
         \"change\":\"812.10\",\"change_pct\":\"1.23\",\"status\":\"live\"}\nid: 7f3a.3\n\n"
    );
    // Not followed here.
    node.trade("ETH-USD", "1");
    node.trade("AAPL", "0.00000010");
    assert_eq!(
        stream.block().await,
        "data: {\"symbol\":\"AAPL\",\"price\":\"0.00000010\",\"bid\":null,\"ask\":null,\"change\":null,\
         \"change_pct\":null,\"status\":\"live\"}\nid: 7f3a.5\n\n"
    );
}

#[tokio::test]
async fn every_field_can_be_asked_for_and_comes_in_the_order_of_the_table() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "100.10");
    let all = "symbol,price,bid,ask,bid_size,ask_size,spread,mid,last,last_size,open,high,low,volume,prev_close,\
               change,change_pct,currency,class,venue,sources,session,status,time,event_us,recv_us,sent_us,version";
    let mut backwards: Vec<&str> = all.split(',').collect();
    backwards.reverse();
    let mut stream = node.stream(&format!("symbols=BTC&fields={}", backwards.join(","))).await;
    let block = stream.block().await;
    let places: Vec<_> =
        all.split(',').map(|field| block.find(&format!("\"{field}\":")).expect(field)).collect();
    assert!(places.is_sorted(), "{block}");
    for part in [
        "\"last\":\"100.10\"",
        "\"currency\":\"USD\",\"class\":\"crypto\",\"venue\":\"sim\"",
        "\"sources\":[{\"venue\":\"sim\",\"price\":\"100.10\",\"age_ms\":",
        "\"session\":\"open\",\"status\":\"live\"",
        "\"version\":1}\nid: 7f3a.1\n\n",
    ] {
        assert!(block.contains(part), "{part} in {block}");
    }
}

#[tokio::test]
async fn symbols_may_be_repeated_encoded_in_any_case_or_all() {
    let node = Node::start("").await;
    let stream = node.stream("symbols=btc%2Fusd&symbols=Aapl,,BTC&symbols=+eth").await;
    assert_eq!(
        stream.hello()["symbols"],
        json!({"btc/usd": "BTC", "Aapl": "AAPL", "BTC": "BTC", "eth": "ETH"})
    );
    let mut stream = node.stream("symbols=*").await;
    assert_eq!(stream.hello()["symbols"], json!({"BTC": "BTC", "AAPL": "AAPL", "ETH": "ETH"}));
    let mut symbols = Vec::new();
    for _ in 0..3 {
        symbols.push(stream.message().await.text("symbol").to_owned());
    }
    symbols.sort();
    assert_eq!(symbols, ["AAPL", "BTC", "ETH"]);
}

#[tokio::test]
async fn p71_a_post_opens_the_same_stream() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "100");
    let mut client = node.connect().await;
    let body = r#"{"symbols":["BTC","nope"],"throttle":"1s","fields":["price"],"heartbeat":0}"#;
    client
        .send(&format!("POST /prices HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        .await;
    let mut stream = client.opened().await;
    let hello = stream.hello();
    assert_eq!((&hello["throttle_ms"], &hello["heartbeat_ms"]), (&json!(1_000), &json!(0)));
    assert_eq!(hello["rejected"][0]["symbol"], "nope");
    assert_eq!(stream.block().await, "data: {\"symbol\":\"BTC\",\"price\":\"100\"}\nid: 7f3a.1\n\n");
}

#[tokio::test]
async fn a_throttle_below_the_operators_least_is_raised_and_hello_tells() {
    let node = Node::start("[stream]\nthrottle_min = \"200ms\"").await;
    assert_eq!(node.stream("symbols=BTC&throttle=0").await.hello()["throttle_ms"], 200);
    assert_eq!(node.stream("symbols=BTC").await.hello()["throttle_ms"], 200);
    assert_eq!(node.stream("symbols=BTC&throttle=2s").await.hello()["throttle_ms"], 2_000);
}

#[tokio::test]
async fn a_heartbeat_cannot_be_made_a_busy_loop() {
    let node = Node::start("").await;
    assert_eq!(node.stream("symbols=BTC&heartbeat=1ns").await.hello()["heartbeat_ms"], 1_000);
    assert_eq!(node.stream("symbols=BTC&heartbeat=0").await.hello()["heartbeat_ms"], 0);
}

#[tokio::test]
async fn p39_p44_a_resume_by_header_wins_over_the_query_and_sends_only_what_changed_since() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "100");
    node.trade("ETH-USD", "5");
    let query = "symbols=BTC,ETH&fields=price&last_event_id=7f3a.1";
    let mut by_header = node.connect().await.stream(query, "Last-Event-ID: 7f3a.2\r\n").await;
    assert!(by_header.opening.ends_with("id: 7f3a.2\n\n"), "{}", by_header.opening);
    assert_eq!(by_header.hello()["resumed"], true);
    for name in ["last_event_id", "lastEventId", "last-event-id", "evs_last_event_id"] {
        let mut by_query = node.stream(&format!("symbols=BTC,ETH&fields=price&{name}=7f3a.1")).await;
        assert!(by_query.opening.ends_with("id: 7f3a.1\n\n"), "{}", by_query.opening);
        assert_eq!(by_query.said().await, "ETH=5");
    }
    node.trade("BTC-USD", "101");
    assert_eq!(by_header.block().await, "data: {\"symbol\":\"BTC\",\"price\":\"101\"}\nid: 7f3a.3\n\n");
}

#[tokio::test]
async fn p38_a_cursor_that_is_no_good_brings_the_whole_snapshot_and_never_an_error() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "100");
    let giant = "9".repeat(60_000);
    for cursor in ["ffff.1", "7f3a.99", "junk", "7f3a.1;drop", "\u{e9}", &giant] {
        let headers = format!("Last-Event-ID: {cursor}\r\n");
        let mut stream = node.connect().await.stream("symbols=BTC&fields=price", &headers).await;
        assert!(stream.opening.ends_with("id: 7f3a.0\n\n"), "{}", stream.opening);
        assert_eq!(stream.hello()["resumed"], false);
        assert_eq!(stream.said().await, "BTC=100");
    }
}

#[tokio::test]
async fn p57_a_probe_opens_no_stream() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    let answer = client.request("HEAD", "/prices?symbols=BTC", "").await;
    assert_eq!(answer.head.status(), 200);
    assert_eq!(answer.head.get("content-type"), Some("text/event-stream; charset=utf-8"));
    let metrics = client.request("GET", "/metrics", "").await;
    assert_eq!(metrics.metric("tickcast_streams_opened_total"), Some(0));
    let wrong = client.request("HEAD", "/prices?symbls=BTC", "").await;
    assert_eq!(wrong.head.status(), 400);
    assert_eq!(client.request("HEAD", "/symbols", "").await.head.status(), 200);
}

#[tokio::test]
async fn p41_a_preflight_is_answered_for_any_route() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    for path in ["/prices", "/prices/snapshot", "/symbols", "/nowhere"] {
        let answer = client.request("OPTIONS", path, "origin: https://page.example\r\n").await;
        assert_eq!((answer.head.status(), answer.body.as_str()), (204, ""));
        assert_eq!(
            answer.head.sorted(),
            [
                (
                    "access-control-allow-headers",
                    "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-API-Key"
                ),
                ("access-control-allow-methods", "GET, HEAD, POST, OPTIONS"),
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "Retry-After, RateLimit, RateLimit-Policy"),
                ("access-control-max-age", "86400"),
                ("allow", "GET, HEAD, POST, OPTIONS"),
            ]
        );
    }
}

#[tokio::test]
async fn p67_with_a_list_of_origins_only_those_may_read_also_errors_and_streams() {
    let node = Node::start("[http]\ncors_origins = [\"https://page.example\"]").await;
    let mut client = node.connect().await;
    for path in ["/symbols", "/prices", "/nowhere"] {
        let own = client.request("GET", path, "origin: https://page.example\r\n").await;
        assert_eq!(own.head.get("access-control-allow-origin"), Some("https://page.example"), "{path}");
        assert_eq!(own.head.get("vary"), Some("Origin"));
        for headers in ["origin: https://other.example\r\n", ""] {
            let other = client.request("GET", path, headers).await;
            assert_eq!(other.head.get("access-control-allow-origin"), None, "{path}");
            assert_eq!(other.head.get("vary"), Some("Origin"));
        }
    }
    let stream = client.stream("symbols=BTC", "origin: https://page.example\r\n").await;
    assert_eq!(stream.head.get("access-control-allow-origin"), Some("https://page.example"));
}

#[tokio::test]
async fn a_snapshot_holds_the_same_objects_as_the_stream() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "100.10");
    node.trade("ETH-USD", "5");
    let mut stream = node.stream("symbols=BTC,ETH").await;
    let streamed = [stream.message().await.json, stream.message().await.json];
    let answer = node.get("/prices/snapshot?symbols=BTC,ETH,nope").await;
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
    let snapshot = answer.json();
    assert_eq!(snapshot["prices"], json!(streamed));
    assert_eq!(snapshot["rejected"][0]["symbol"], "nope");
    let fields = node.get("/prices/snapshot?symbols=BTC&fields=price,version").await;
    assert_eq!(
        fields.body,
        "{\"prices\":[{\"symbol\":\"BTC\",\"price\":\"100.10\",\"version\":1}],\"rejected\":[]}"
    );
}

#[tokio::test]
async fn symbols_are_ranked_and_counted() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "1");
    let found = node.get("/symbols?query=bt&class=crypto&limit=20").await.json();
    assert_eq!(
        found,
        json!({"symbols": [{"symbol": "BTC", "name": "Bitcoin", "class": "crypto", "currency": "USD", "decimals": 2,
            "aliases": ["XBT", "BTC-USD", "BTC/USD", "BTCUSD"], "status": "live"}], "total": 1})
    );
    let names = |found: &Value| {
        let all = found["symbols"].as_array().unwrap().iter();
        all.map(|symbol| symbol["symbol"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = node.get("/symbols?limit=2").await.json();
    assert_eq!((names(&first), &first["total"]), (vec!["BTC".to_owned(), "AAPL".to_owned()], &json!(3)));
    assert_eq!(names(&node.get("/symbols?query=e").await.json()), ["ETH", "AAPL"], "prefix before contains");
    assert_eq!(names(&node.get("/symbols?class=stock").await.json()), ["AAPL"]);
    assert_eq!(node.get("/symbols?limit=1001").await.head.status(), 400);
}

#[tokio::test]
async fn feeds_and_health_tell_how_the_sources_are() {
    let mut node = Node::start("").await;
    let live = node.get("/health/live").await;
    assert_eq!((live.head.status(), live.json()), (200, json!({"status": "live"})));
    let before = node.get("/health/ready").await;
    assert_eq!(before.head.status(), 503, "no tick yet");
    assert_eq!(before.json()["status"], "not_ready");
    assert!(!before.json()["reasons"].as_array().unwrap().is_empty());
    node.trade("BTC-USD", "1");
    let ready = node.get("/health/ready").await;
    assert_eq!((ready.head.status(), ready.json()), (200, json!({"status": "ready", "reasons": []})));
    let feed = node.get("/feeds").await.json()["feeds"][0].clone();
    let names: Vec<_> = feed.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "venue",
        "connection",
        "state",
        "since",
        "url",
        "wanted",
        "acknowledged",
        "refused",
        "last_tick_age_ms",
        "lag_ms",
        "frames",
        "ticks",
        "frames_refused",
        "gaps",
        "duplicates",
        "reconnects",
        "next_attempt_ms",
        "last_error",
    ];
    expected.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!((&feed["venue"], &feed["state"], &feed["ticks"]), (&json!("sim"), &json!("live"), &json!(1)));
}

#[tokio::test]
async fn metrics_have_the_names_of_the_contract() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "1");
    node.trade("NOBODYS", "1");
    let mut stream = node.stream("symbols=BTC&throttle=0&fields=price").await;
    stream.message().await;
    for price in ["2", "3"] {
        node.trade("BTC-USD", price);
        stream.message().await;
    }
    let metrics = node.get("/metrics").await;
    assert_eq!(metrics.head.get("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for sample in [
        "tickcast_frames_total{venue=\"sim\"}",
        "tickcast_ticks_total{venue=\"sim\",kind=\"trade\"} 3",
        "tickcast_feed_state{venue=\"sim\",state=\"live\"} 1",
        "tickcast_feed_state{venue=\"sim\",state=\"connecting\"} 0",
        "tickcast_feed_lag_seconds_bucket{",
        "tickcast_streams_open 1",
        "tickcast_streams_opened_total 1",
        "tickcast_messages_sent_total 3",
        "tickcast_messages_conflated_total 0",
        "tickcast_bytes_sent_total ",
        "tickcast_publish_delay_seconds_count 2",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(metrics.body.lines().any(|line| line.starts_with(sample)), "{sample} in\n{}", metrics.body);
    }
    for family in [
        "tickcast_frames_refused_total{venue=\"sim\"}",
        "tickcast_gaps_total{venue=\"sim\"}",
        "tickcast_duplicates_total{venue=\"sim\"}",
        "tickcast_streams_closed_total{reason=\"stalled\"}",
        "tickcast_limited_total{limit=\"rate_limited\"}",
    ] {
        assert_eq!(metrics.metric(family), Some(0), "{family} in\n{}", metrics.body);
    }
    assert!(!metrics.body.contains("BTC"), "no symbol is a label");
}

#[tokio::test]
async fn the_page_at_the_root_needs_nothing_from_elsewhere() {
    let node = Node::start("").await;
    let page = node.get("/").await;
    assert_eq!(page.head.status(), 200);
    assert_eq!(page.head.get("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.head.get("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http"), "{policy}");
    let quoted = |attribute: &str| {
        let values: Vec<_> =
            page.body.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        values.into_iter().map(|value| format!("/{}", value.trim_start_matches('/'))).collect::<Vec<_>>()
    };
    let files = [quoted("src=\""), quoted("<link rel=\"stylesheet\" href=\"")].concat();
    assert!(files.len() >= 2, "a script and a style: {files:?}");
    for file in files {
        assert_eq!(node.get(&file).await.head.status(), 200, "{file}");
    }
}

#[tokio::test]
async fn one_connection_serves_any_number_of_requests() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    for _ in 0..20 {
        assert_eq!(client.request("GET", "/health/live", "").await.head.status(), 200);
        assert_eq!(client.request("GET", "/nowhere", "").await.head.status(), 404);
    }
    client.send("GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /symbols HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer(true).await.json()["status"], "live");
    assert_eq!(client.answer(true).await.json()["total"], 3);
}

#[tokio::test]
async fn p50_p52_p53_a_thousand_changes_reach_a_slow_reader_as_few_and_end_with_the_newest() {
    let mut node = Node::start("").await;
    let mut stream = node.stream("symbols=BTC&throttle=20ms&fields=price").await;
    stream.message().await;
    for change in 1..=1_000 {
        node.trade("BTC-USD", &format!("{change}"));
        if change % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut count = 1;
    while stream.said().await != "BTC=1000" {
        count += 1;
    }
    assert!(count < 100, "{count}");
}

#[tokio::test]
async fn p03_p05_p07_nothing_is_compressed_and_nothing_on_the_way_may_do_so() {
    let mut node = Node::start("").await;
    for headers in ["accept-encoding: gzip, br, zstd\r\n", "accept-encoding: gzip;q=1.0, identity;q=0\r\n"] {
        let mut stream = node.connect().await.stream("symbols=BTC&throttle=0", headers).await;
        assert_eq!(stream.head.get("content-encoding"), None);
        assert_eq!(stream.head.get("cache-control"), Some("no-store, no-transform"));
        stream.message().await;
        node.trade("BTC-USD", "1");
        assert_eq!(stream.message().await.text("price"), "1", "at once, and in the clear");
        node.trade("BTC-USD", "2");
        stream.message().await;
    }
}

#[tokio::test]
async fn p47_each_stream_has_a_cursor_of_its_own() {
    let mut node = Node::start("").await;
    node.trade("BTC-USD", "1");
    let query = "symbols=BTC&throttle=0&fields=price";
    let mut ahead = node.stream(query).await;
    assert_eq!(ahead.message().await.text("price"), "1");
    node.trade("BTC-USD", "2");
    assert_eq!(ahead.message().await.text("price"), "2");
    // Another one that is behind gets what it lacks, and the first nothing again.
    let mut behind = node.connect().await.stream(query, "last-event-id: 7f3a.1\r\n").await;
    assert_eq!(behind.message().await.text("price"), "2");
    node.trade("BTC-USD", "3");
    assert_eq!(ahead.message().await.text("price"), "3");
    assert_eq!(behind.message().await.text("price"), "3");
}
