//! Who may have what, through the door that clients take: keys, tokens, tickets and plans, their ends, and that nothing of a
//! credential is ever repeated.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "auth/log.rs"]
mod log;
#[path = "auth/shown.rs"]
mod shown;
mod support;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use log::{log, logged};
use serde_json::{Value, json};
use shown::{SECRET, bearer, entry, replace, token};
use support::{Answer, App, Node, Scratch, Stream, config, soon};
use tickcast::app::Drive;
use tokio::time::timeout;

const EVENT_SOURCE: &str = "accept: text/event-stream\r\n";
const PLANS: &str = "
[plans.free]
symbols = [\"class:crypto\"]
streams_per_client = 1
throttle_min = \"1s\"
symbols_max = 3
[plans.gold]
messages_per_second = 1000
[plans.ops]
operator = true
";

fn with_keys(file: &Scratch, more: &str) -> String {
    format!("{PLANS}\n[auth]\nmode = \"keys\"\nkeys_file = '{}'\n{more}", file.0.display())
}

/// A node with some keys, and their file.
async fn keyed(name: &str, more: &str) -> (Node, Scratch) {
    let keys = entry("free", "plan = \"free\"")
        + &entry("gold", "plan = \"gold\"")
        + &entry("ops", "plan = \"ops\"");
    let file = Scratch::new(name, &keys);
    (Node::start(&with_keys(&file, more)).await, file)
}

/// A node that takes tokens.
async fn tokened(more: &str) -> (Node, Scratch) {
    let secret = Scratch::new(&format!("jwt-{}", more.len()), SECRET);
    let jwt = format!("[auth.jwt]\nsecret_file = '{}'\n{more}", secret.0.display());
    (Node::start(&format!("{PLANS}\n[auth]\nmode = \"jwt\"\n{jwt}")).await, secret)
}

async fn get(node: &Node, path: &str, headers: &str) -> Answer {
    node.connect().await.request("GET", path, headers).await
}

async fn stream(node: &Node, query: &str, headers: &str) -> Stream {
    node.connect().await.stream(query, headers).await
}

/// Checks a refusal that no waiting helps, and that it is a real status also for an EventSource.
fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.head.status(), status, "{answer:?}");
    assert_eq!(answer.head.get("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["type"], format!("urn:tickcast:problem:{kind}"), "{answer:?}");
    let challenge = answer.head.get("www-authenticate");
    assert_eq!(challenge.is_some_and(|challenge| challenge.starts_with("Bearer realm=")), status == 401);
    assert!(answer.head.get("access-control-allow-origin").is_some(), "a page must be able to read it");
}

/// The data of the next block, which has this event.
async fn event(stream: &mut Stream, name: &str) -> Value {
    loop {
        let block = stream.block().await;
        let Some(rest) = block.split_once(&format!("event: {name}\ndata: ")).map(|(_, rest)| rest) else {
            continue;
        };
        return serde_json::from_str(rest.lines().next().unwrap()).unwrap();
    }
}

async fn ticket(node: &Node, headers: &str, body: &str) -> String {
    let answer = node.connect().await.post("/tickets", headers, body).await;
    assert_eq!(
        (answer.head.status(), answer.head.get("cache-control")),
        (200, Some("no-store")),
        "{answer:?}"
    );
    assert_eq!(answer.json()["expires_in_ms"], 30_000);
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_credential_prices_are_a_401_for_everybody_and_health_and_the_page_stay_open() {
    let (node, _file) = keyed("closed", "").await;
    for headers in ["", EVENT_SOURCE] {
        for path in [
            "/prices?symbols=BTC",
            "/prices/snapshot?symbols=BTC",
            "/candles?symbol=BTC",
            "/symbols",
            "/feeds",
            "/metrics",
            "/prices",
        ] {
            refused(&get(&node, path, headers).await, 401, "no-credential");
        }
    }
    refused(&node.connect().await.post("/prices", "", "{\"symbols\":[\"BTC\"]}").await, 401, "no-credential");
    refused(&node.connect().await.post("/tickets", "", "").await, 401, "no-credential");
    assert_eq!(node.connect().await.request("HEAD", "/prices?symbols=BTC", "").await.head.status(), 401);
    for path in ["/health/live", "/"] {
        assert_eq!(get(&node, path, "").await.head.status(), 200);
    }
    assert_eq!(node.connect().await.request("OPTIONS", "/prices", "").await.head.status(), 204);
    for bad in
        ["authorization: Bearer tick_nobody\r\n", "x-api-key: tick_fre\r\n", "authorization: Basic YTpi\r\n"]
    {
        refused(&get(&node, "/prices?symbols=BTC", bad).await, 401, "bad-credential");
    }
    let metrics = get(&node, "/metrics", &bearer("ops")).await;
    assert_eq!(metrics.metric("tickcast_denied_total{reason=\"unknown\"}"), Some(2));
    assert_eq!(metrics.metric("tickcast_denied_total{reason=\"malformed\"}"), Some(1));
    assert_eq!(metrics.metric("tickcast_streams_opened_total"), Some(0));
}

#[tokio::test]
async fn p64_a_key_may_stand_in_a_header_a_cookie_or_the_query_where_it_is_on() {
    let more = "query = true\ncookie = \"session\"\n[http]\ncors_origins = [\"https://a.example\"]\n";
    let (node, _file) = keyed("places", more).await;
    let gold = [
        "authorization: Bearer tick_gold\r\n",
        "x-api-key: tick_gold\r\n",
        "cookie: a=b; session=tick_gold\r\n",
    ];
    for headers in gold {
        let opened = stream(&node, "symbols=BTC", &format!("{headers}{EVENT_SOURCE}")).await;
        assert_eq!(opened.hello()["plan"], "gold", "{headers}");
    }
    assert_eq!(stream(&node, "symbols=BTC&api_key=tick_gold", "").await.hello()["plan"], "gold");
    let body = "{\"symbols\":[\"BTC\"]}";
    let length = body.len();
    let mut client = node.connect().await;
    client
        .send(&format!(
            "POST /prices HTTP/1.1\r\nhost: t\r\n{}content-length: {length}\r\n\r\n{body}",
            bearer("gold")
        ))
        .await;
    assert_eq!(client.opened().await.hello()["plan"], "gold");
    let from = |origin| format!("cookie: session=tick_gold\r\norigin: {origin}\r\n");
    let answer = get(&node, "/symbols", &from("https://a.example")).await;
    assert_eq!(
        (answer.head.status(), answer.head.get("access-control-allow-credentials")),
        (200, Some("true"))
    );
    let foreign = get(&node, "/symbols", &from("https://b.example")).await;
    assert_eq!((foreign.head.status(), foreign.head.get("access-control-allow-credentials")), (401, None));

    let (node, _file) = keyed("no-query", "").await;
    let off = get(&node, "/prices?symbols=BTC&api_key=tick_gold", "").await;
    refused(&off, 400, "query-credential-off");
}

#[tokio::test]
async fn a_plan_decides_on_symbols_throttle_and_streams_and_hello_says_so() {
    let (node, _file) = keyed("plan", "").await;
    let free = bearer("free");
    let opened = stream(&node, "symbols=BTC,AAPL,NOPE&throttle=0", &free).await;
    let hello = opened.hello();
    assert_eq!(hello["symbols"], json!({"BTC": "BTC"}));
    assert_eq!(hello["rejected"][0], json!({"symbol": "AAPL", "code": "not_entitled", "suggestions": []}));
    assert_eq!((&hello["rejected"][1]["code"], &hello["plan"]), (&json!("unknown_symbol"), &json!("free")));
    assert_eq!(hello["throttle_ms"], 1_000);
    let limits = &hello["limits"];
    assert_eq!((&limits["streams_per_client"], &limits["symbols_max"]), (&json!(1), &json!(3)));
    assert_eq!(hello.get("expires_in_ms"), None);

    for path in [
        "/prices?symbols=AAPL",
        "/prices/snapshot?symbols=AAPL",
        "/prices/snapshot?symbols=BTC,AAPL&strict=true",
    ] {
        let answer = get(&node, path, &format!("{free}{EVENT_SOURCE}")).await;
        refused(&answer, 403, "not-entitled");
        assert_eq!(answer.json()["value"], "AAPL");
    }
    let bars = get(&node, "/candles?symbol=aapl", &free).await;
    refused(&bars, 403, "not-entitled");
    assert_eq!((&bars.json()["parameter"], &bars.json()["value"]), (&json!("symbol"), &json!("aapl")));
    assert_eq!(get(&node, "/candles?symbol=BTC", &free).await.head.status(), 200);
    refused(&get(&node, "/prices?symbols=AAPL,NOPE", &free).await, 404, "unknown-symbol");
    refused(&get(&node, "/prices?symbols=BTC,ETH,XBT,AAPL", &free).await, 400, "too-many-symbols");
    let all = get(&node, "/prices/snapshot?symbols=*", &free).await.json();
    let symbols: Vec<_> =
        all["prices"].as_array().unwrap().iter().map(|price| price["symbol"].as_str().unwrap()).collect();
    assert_eq!(
        (symbols, &all["rejected"]),
        (vec!["BTC", "ETH"], &json!([])),
        "all that there is for this plan"
    );
    let listed = get(&node, "/symbols?limit=1", &free).await.json();
    assert_eq!((&listed["symbols"][0]["symbol"], &listed["total"]), (&json!("BTC"), &json!(2)));

    // P70, P73: the key's own limit, from whatever address, and it says whose it is.
    let over = get(&node, "/prices?symbols=BTC", &free).await;
    refused(&over, 429, "too-many-streams");
    assert!(over.json()["detail"].as_str().unwrap().ends_with("the limit is 1 for each key"), "{over:?}");
    assert_eq!(over.head.get("ratelimit-policy"), Some("\"streams\";q=1"));
    let mut client = node.connect().await;
    let told = client
        .request("GET", "/prices?symbols=BTC", &format!("x-api-key: tick_free\r\n{EVENT_SOURCE}"))
        .await;
    assert_eq!(told.head.status(), 200);
    assert!(
        told.body.contains("\"code\":\"too_many_streams\"") && told.body.contains("\"scope\":\"key\""),
        "{told:?}"
    );
    let _others_are_not_touched = stream(&node, "symbols=AAPL", &bearer("gold")).await;
}

#[tokio::test]
async fn feeds_and_metrics_are_for_operators_or_open() {
    let (node, _file) = keyed("operators", "").await;
    for path in ["/feeds", "/metrics"] {
        refused(&get(&node, path, &bearer("gold")).await, 403, "not-entitled");
        assert_eq!(get(&node, path, &bearer("ops")).await.head.status(), 200);
    }
    let (node, _file) = keyed("operators-open", "operators = \"open\"").await;
    for path in ["/feeds", "/metrics"] {
        assert_eq!(get(&node, path, "").await.head.status(), 200);
    }
    refused(&get(&node, "/symbols", "").await, 401, "no-credential");
}

#[tokio::test]
async fn p65_a_page_opens_one_stream_with_a_ticket_and_a_refusal_does_not_use_it_up() {
    let (node, _file) = keyed("ticket", "").await;
    let free = bearer("free");
    let shown = ticket(&node, &format!("{free}origin: https://a.example\r\n"), "").await;
    let query = format!("symbols=BTC&ticket={shown}");
    // Refusals that pass: the stream before has to end first, and the EventSource comes again with the same URL.
    let before = stream(&node, "symbols=BTC", &free).await;
    for _ in 0..2 {
        let told = get(&node, &format!("/prices?{query}"), EVENT_SOURCE).await;
        assert!(told.body.contains("\"code\":\"too_many_streams\""), "{told:?}");
    }
    assert_eq!(
        node.connect().await.request("HEAD", &format!("/prices?{query}"), "").await.head.status(),
        200
    );
    refused(
        &get(&node, &format!("/prices?{query}"), "origin: https://b.example\r\n").await,
        401,
        "bad-credential",
    );
    refused(&get(&node, &format!("/prices/snapshot?{query}"), "").await, 401, "bad-credential");
    drop(before);
    soon("the place to come back", async {
        while node.metrics.streams_open.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let opened = stream(&node, &query, EVENT_SOURCE).await;
    assert_eq!(opened.hello()["plan"], "free");
    refused(&get(&node, &format!("/prices?{query}"), EVENT_SOURCE).await, 401, "bad-credential");

    let narrow = ticket(&node, &bearer("gold"), "{\"symbols\":[\"BTC\",\"AAPL\"]}").await;
    let opened = stream(&node, &format!("symbols=ETH,AAPL&ticket={narrow}"), "").await;
    assert_eq!(opened.hello()["symbols"], json!({"AAPL": "AAPL"}));
    assert_eq!(opened.hello()["rejected"][0]["code"], "not_entitled");
    let post = async |body| node.connect().await.post("/tickets", &bearer("free"), body).await;
    refused(&post("{\"symbols\":[\"AAPL\"]}").await, 403, "not-entitled");
    refused(&post("{\"symbol\":[\"BTC\"]}").await, 400, "unknown-parameter");
    refused(&post("{").await, 400, "bad-body");
    let get_it = get(&node, "/tickets", &free).await;
    assert_eq!((get_it.head.status(), get_it.head.get("allow")), (405, Some("POST, OPTIONS")));

    for _ in 0..99 {
        ticket(&node, &bearer("ops"), "").await;
    }
    ticket(&node, &bearer("ops"), "").await;
    let over = node.connect().await.post("/tickets", &bearer("ops"), "").await;
    refused(&over, 429, "too-many-tickets");
    assert_eq!(over.head.get("ratelimit-policy"), Some("\"tickets\";q=100;w=30"));
    let wait: u64 = over.head.get("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    let open = Node::start("").await;
    refused(&open.connect().await.post("/tickets", "", "").await, 404, "no-tickets");
}

#[tokio::test]
async fn p45_a_page_goes_on_where_it_was_with_a_new_ticket_and_its_last_id() {
    let (mut node, _file) = keyed("resume", "").await;
    let gold = bearer("gold");
    node.trade("BTC-USD", "100");
    let first = ticket(&node, &gold, "").await;
    let mut before = stream(&node, &format!("symbols=BTC,AAPL&ticket={first}"), EVENT_SOURCE).await;
    let mut id = None;
    for _ in 0..2 {
        id = before.message().await.id.or(id);
    }
    drop(before);
    node.trade("BTC-USD", "101");
    let second = ticket(&node, &gold, "").await;
    let query = format!("symbols=BTC,AAPL&ticket={second}&last_event_id={}", id.unwrap());
    let mut after = stream(&node, &query, EVENT_SOURCE).await;
    assert_eq!(after.hello()["resumed"], true);
    assert_eq!(after.said().await, "BTC=101", "only what changed meanwhile");
}

#[tokio::test]
async fn a_token_is_let_in_as_its_subject_with_its_plan() {
    let (node, _secret) = tokened("issuer = \"me\"\naudience = \"prices\"\n").await;
    let good = |plan: &str| json!({"sub": "alice", "iss": "me", "aud": ["prices"], "plan": plan});
    let shown = |claims: &Value, ends_in| format!("authorization: Bearer {}\r\n", token(claims, ends_in));
    let opened = stream(&node, "symbols=BTC", &shown(&good("free"), 600)).await;
    assert_eq!(opened.hello()["plan"], "free");
    let left = opened.hello()["expires_in_ms"].as_u64().unwrap();
    assert!((620_000..=630_000).contains(&left), "600 s and the leeway: {left}");
    let again = get(&node, "/prices?symbols=BTC", &shown(&good("free"), 700)).await;
    refused(&again, 429, "too-many-streams");
    let other = json!({"sub": "bob", "iss": "me", "aud": "prices", "plan": "free"});
    let _his_own = stream(&node, "symbols=BTC", &shown(&other, 600)).await;
    refused(&get(&node, "/symbols", &shown(&good("free"), -31)).await, 401, "expired-credential");
    refused(&get(&node, "/symbols", &shown(&good("silver"), 600)).await, 403, "not-entitled");
    for (claim, wrong) in [("iss", json!("you")), ("aud", json!("other")), ("sub", json!(""))] {
        let mut claims = good("free");
        claims[claim] = wrong;
        let answer = get(&node, "/symbols", &shown(&claims, 600)).await;
        refused(&answer, 401, "bad-credential");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("`{claim}`")), "{answer:?}");
    }
    // By the wrong algorithm, none at all, or nobody's signature.
    let whole = token(&good("free"), 600);
    let (message, signature) = whole.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    let none = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}");
    for forged in
        [format!("{none}.{payload}."), format!("{none}.{payload}.{signature}"), format!("{message}.AAAA")]
    {
        refused(&get(&node, "/symbols", &format!("x-api-key: {forged}\r\n")).await, 401, "bad-credential");
    }
}

#[tokio::test]
async fn p66_a_stream_is_warned_that_its_token_expires_and_ends_with_it() {
    let (node, _secret) = tokened("leeway = \"0s\"\n").await;
    let claims = json!({"sub": "alice"});
    let shown = format!("authorization: Bearer {}\r\n", token(&claims, 4));
    let mut opened = stream(&node, "symbols=BTC&heartbeat=0", &shown).await;
    let notice = event(&mut opened, "notice").await;
    assert_eq!(notice["code"], "credential_expiring");
    let left = notice["in_ms"].as_u64().unwrap();
    assert!((1..=4_000).contains(&left), "{left}");
    let bye = event(&mut opened, "bye").await;
    assert_eq!(bye["reason"], "credential_expired");
    assert!(bye["retry_ms"].as_u64().unwrap() > 0);
    assert!(opened.ended().await);
    refused(
        &get(&node, "/prices?symbols=BTC", &format!("{shown}{EVENT_SOURCE}")).await,
        401,
        "expired-credential",
    );
}

#[tokio::test]
async fn p66_a_revoked_keys_streams_end_within_a_heartbeat_and_a_broken_file_ends_none() {
    log();
    let (node, file) = keyed("revoked", "").await;
    let mut gold = stream(&node, "symbols=BTC&heartbeat=1", &bearer("gold")).await;
    let mut free = stream(&node, "symbols=BTC&heartbeat=1", &bearer("free")).await;
    replace(&file.0, "[[key]]\nid = \"gold\"\nhash = \"tick_gold\"\n");
    logged(&format!("{}:3: [[key]] gold hash: is no hash", file.0.display())).await;
    event(&mut gold, "hb").await;
    assert_eq!(get(&node, "/symbols", &bearer("gold")).await.head.status(), 200);

    replace(&file.0, &(entry("free", "plan = \"gold\"") + &entry("new", "")));
    // Read within two seconds; then within the heartbeat.
    let bye = timeout(Duration::from_secs(2 + 1 + 5), event(&mut gold, "bye")).await.expect("in time");
    assert_eq!(bye["reason"], "credential_revoked");
    assert!(gold.ended().await);
    assert_eq!(event(&mut free, "bye").await["reason"], "credential_changed");
    refused(&get(&node, "/prices?symbols=BTC", &bearer("gold")).await, 401, "bad-credential");
    assert_eq!(stream(&node, "symbols=AAPL", &bearer("free")).await.hello()["plan"], "gold");
    assert_eq!(get(&node, "/symbols", &bearer("new")).await.head.status(), 200);
    for reason in ["credential_revoked", "credential_changed"] {
        let closed = node.metrics.text();
        assert!(
            closed.contains(&format!("tickcast_streams_closed_total{{reason=\"{reason}\"}} 1\n")),
            "{closed}"
        );
    }
}

#[tokio::test]
async fn nothing_of_a_credential_gets_into_a_log_a_metric_or_an_answer() {
    log();
    let more = "query = true\ncookie = \"session\"\n[http]\ncors_origins = [\"https://a.example\"]\n";
    let (node, file) = keyed("secrets", more).await;
    let off = keyed("secrets-off", "").await.0;
    let plain = Node::start("").await;
    let mut said: Vec<String> = Vec::new();
    for node in [&node, &off, &plain] {
        for (path, headers) in [
            ("/prices?symbols=NOPE", "authorization: Bearer s3cret-one\r\n"),
            ("/prices?symbols=NOPE", "authorization: Basic s3cret-two\r\n"),
            ("/prices?symbols=NOPE", "x-api-key: s3cret-three\r\n"),
            ("/prices?symbols=NOPE", "cookie: session=s3cret-four\r\n"),
            ("/prices?symbols=NOPE&api_key=s3cret-five", ""),
            ("/prices?symbols=NOPE&ticket=s3cret-six", ""),
            ("/prices?symbols=NOPE&access_token=s3cret-seven", ""),
            ("/prices?symbols=NOPE&apikey=s3cret-eight", ""),
            ("/metrics?api_key=s3cret-nine", ""),
            ("/prices/snapshot?symbols=BTC&api_key=s3cret-ten&api_key=s3cret-eleven", ""),
            ("/prices?symbols=NOPE&api_key=tick_gold&x=1", ""),
            ("/prices?symbols=NOPE&api_key=tick_gold%", ""),
            ("/prices?symbols=NOPE&ticket=%zzs3cret", ""),
            ("/prices?symbols=%zz&api_key=tick_gold", ""),
            ("/prices?symbols=NOPE&access_token=s3cret-seven", "authorization: Bearer tick_gold\r\n"),
        ] {
            for headers in [headers.to_owned(), format!("{headers}{EVENT_SOURCE}")] {
                let answer = get(node, path, &headers).await;
                assert_ne!(answer.head.status(), 500, "{answer:?}");
                said.push(format!("{answer:?}"));
            }
        }
        let body = "{\"symbols\":[\"BTC\"],\"api_key\":\"s3cret-twelve\"}";
        said.push(format!("{:?}", node.connect().await.post("/prices", &bearer("gold"), body).await));
        said.push(node.metrics.text());
    }
    assert_eq!(said.len(), 3 * (15 * 2 + 2));
    let mut opened = stream(&node, "symbols=BTC&heartbeat=1&api_key=tick_gold", EVENT_SOURCE).await;
    said.push(opened.opening.clone());
    replace(&file.0, "[[key]]\nid = \"s3cret key\"\nhash = \"s3cret-hash\"\n");
    logged(&format!("{}:2: ", file.0.display())).await;
    replace(&file.0, &entry("free", ""));
    assert_eq!(event(&mut opened, "bye").await["reason"], "credential_revoked");
    said.push(log().lock().unwrap().clone());
    let said = said.join("\n");
    assert!(
        said.contains("unknown parameter `access_token`") && said.contains("***"),
        "it says what was wrong"
    );
    assert!(said.contains("request not let in"), "the log is looked at");
    for secret in ["s3cret", "tick_gold"] {
        let at =
            said.find(secret).map(|at| said[at.saturating_sub(200)..].chars().take(400).collect::<String>());
        assert_eq!(at, None);
    }
}

#[tokio::test]
async fn the_whole_service_takes_keys_and_reads_their_file_again() {
    let file = Scratch::new("app", &entry("one", ""));
    let config = config(&with_keys(&file, "[limits]\nopens_per_minute = 1\n"));
    let app = App::start(config, Drive::Feeds);
    let status =
        async |id: &str| app.connect().await.request("GET", "/symbols", &bearer(id)).await.head.status();
    assert_eq!((status("one").await, status("two").await), (200, 401));
    let mut opened = app.connect().await.stream("symbols=BTC&heartbeat=1", &bearer("one")).await;
    replace(&file.0, &entry("two", ""));
    assert_eq!(event(&mut opened, "bye").await["reason"], "credential_revoked");
    assert_eq!((status("one").await, status("two").await), (401, 200));
}

#[tokio::test]
async fn p69_a_proxy_that_nobody_trusts_is_told_once() {
    log();
    let node = Node::start("").await;
    for _ in 0..3 {
        stream(&node, "symbols=BTC", "x-forwarded-for: 1.1.1.1\r\n").await;
    }
    logged("a proxy that is not trusted forwards clients").await;
    let told = log().lock().unwrap().matches("a proxy that is not trusted forwards clients").count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn p68_behind_a_proxy_that_writes_forwarded_clients_are_told_apart() {
    let http = "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\nforwarded = \"forwarded\"\n[limits]\nstreams_per_client = 1\n";
    let node = Node::start(http).await;
    let from = |address: &str| {
        format!("x-forwarded-for: 9.9.9.9\r\nforwarded: for=9.9.9.9, for=\"{address}\";proto=https\r\n")
    };
    let _one = stream(&node, "symbols=BTC", &from("1.1.1.1:4711")).await;
    let _two = stream(&node, "symbols=BTC", &from("[2001:db8::1]:80")).await;
    let same_net = get(&node, "/prices?symbols=BTC", &from("[2001:db8::ffff:1]")).await;
    refused(&same_net, 429, "too-many-streams");
    assert!(same_net.json()["detail"].as_str().unwrap().ends_with("1 for each address"), "{same_net:?}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn p74_a_node_without_memory_left_refuses_new_streams_and_serves_the_rest() {
    let node = Node::start("[limits]\nmemory_max = 16_777_216\n").await;
    // The test itself, and ballast, so that it surely has more than 16 MiB.
    let ballast = vec![1_u8; 32 << 20];
    let answer = get(&node, "/prices?symbols=BTC", "").await;
    refused(&answer, 503, "overloaded");
    assert!(answer.head.get("retry-after").unwrap().parse::<u64>().unwrap() >= 5);
    let told = get(&node, "/prices?symbols=BTC", EVENT_SOURCE).await;
    assert!(told.body.contains("\"code\":\"overloaded\""), "{told:?}");
    assert_eq!(get(&node, "/prices/snapshot?symbols=BTC", "").await.head.status(), 200);
    assert_eq!(ballast.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 32 << 20);
}

#[tokio::test]
async fn who_guesses_keys_is_told_to_wait_and_his_neighbours_go_on() {
    let (node, _file) = keyed("guesses", "query = true\n[limits]\nbad_credentials_per_minute = 3").await;
    let key = |id: &str| format!("x-api-key: tick_{id}\r\n");
    let _mine = stream(&node, "symbols=BTC", &key("gold")).await;
    for guess in 0..3 {
        let answer = get(&node, "/prices?symbols=BTC", &key(&format!("guess{guess}"))).await;
        refused(&answer, 401, "bad-credential");
    }
    // By whatever door; and a key of another's is not told from a guess.
    for (path, headers) in [
        ("/prices?symbols=BTC", key("guess")),
        ("/prices?symbols=BTC", key("free")),
        ("/prices?symbols=BTC&errors=status", format!("{EVENT_SOURCE}{}", key("free"))),
        ("/prices/snapshot?symbols=BTC", "authorization: Bearer tick_ops\r\n".to_owned()),
        ("/metrics", key("ops")),
        ("/symbols", key("guess")),
    ] {
        let answer = get(&node, path, &headers).await;
        refused(&answer, 429, "too-many-bad-credentials");
        let wait: u64 = answer.head.get("retry-after").unwrap().parse().unwrap();
        assert!((19..=30).contains(&wait), "one comes back every 20 s, jittered: {wait}");
        assert_eq!(answer.head.get("ratelimit-policy"), Some("\"credentials\";q=3;w=60"));
    }
    refused(&node.connect().await.post("/tickets", &key("free"), "").await, 429, "too-many-bad-credentials");
    let body = "{\"symbols\":[\"BTC\"]}";
    let answer = node.connect().await.post("/prices", &format!("{EVENT_SOURCE}{}", key("free")), body).await;
    refused(&answer, 429, "too-many-bad-credentials");
    // An EventSource would be dead for good.
    let answer = get(&node, "/prices?symbols=BTC&api_key=tick_free", EVENT_SOURCE).await;
    assert_eq!(
        (answer.head.status(), answer.head.get("content-type")),
        (200, Some("text/event-stream; charset=utf-8"))
    );
    let fault = answer.body.split_once("event: fault\ndata: ").unwrap().1;
    let fault: Value = serde_json::from_str(fault.trim_end()).unwrap();
    let retry = fault["retry_ms"].as_u64().unwrap();
    assert_eq!(
        fault,
        json!({ "code": "too_many_bad_credentials", "retry_ms": retry, "limit": 3, "scope": "client" })
    );
    assert!(answer.body.starts_with(&format!("retry: {retry}\n")), "{}", answer.body);
    // Who was here before goes on, and has his streams.
    stream(&node, "symbols=BTC", &key("gold")).await;
    let limited = tickcast::metrics::ByLimit { limit: "too_many_bad_credentials" };
    let denied = |reason| tickcast::metrics::ByReason { reason };
    assert_eq!(node.metrics.limited.get_or_create(&limited).get(), 9);
    let counted = |reason| node.metrics.denied.get_or_create(&denied(reason)).get();
    assert_eq!((counted("unknown"), counted("too_often")), (3, 9));
}

#[tokio::test]
async fn who_forges_tokens_is_told_to_wait_and_a_good_one_always_passes() {
    let (node, _secret) = tokened("issuer = \"me\"\n[limits]\nbad_credentials_per_minute = 3").await;
    let shown = |token: &str| format!("authorization: Bearer {token}\r\n");
    let good = token(&json!({ "sub": "ann", "iss": "me" }), 600);
    let forged = |number: usize| format!("{}{number}", &good[..good.len() - 5]);
    for number in 10_000..10_003 {
        refused(&get(&node, "/symbols", &shown(&forged(number))).await, 401, "bad-credential");
    }
    refused(&get(&node, "/symbols", &shown(&forged(10_003))).await, 429, "too-many-bad-credentials");
    assert_eq!(
        get(&node, "/symbols", &shown(&good)).await.head.status(),
        200,
        "from there for the first time"
    );
    // Who has a token of theirs that is not for us has not guessed.
    let other = token(&json!({ "sub": "ann", "iss": "you" }), 600);
    refused(&get(&node, "/symbols", &shown(&other)).await, 401, "bad-credential");
}
