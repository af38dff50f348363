//! What a client gets for a request that cannot be answered as asked: a problem document that names the parameter,
//! the value and what would work.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod support;

use serde_json::{Value, json};
use support::{Answer, Node};

/// The document, checked to be one.
fn problem(answer: &Answer, status: u16, kind: &str) -> Value {
    assert_eq!(answer.head.status(), status, "{answer:?}");
    assert_eq!(answer.head.get("content-type"), Some("application/problem+json"));
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
    assert_eq!(answer.head.get("access-control-allow-origin"), Some("*"), "a page can read it");
    let document = answer.json();
    assert_eq!(document["type"], format!("urn:tickcast:problem:{kind}"));
    assert_eq!(document["status"], status);
    assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
    document
}

async fn bad_query(node: &Node, query: &str, status: u16, kind: &str) -> Value {
    problem(&node.get(&format!("/prices?{query}")).await, status, kind)
}

#[tokio::test]
async fn an_unknown_parameter_is_named_with_those_there_are_and_the_one_meant() {
    let node = Node::start("").await;
    let document = bad_query(&node, "symbols=BTC&throtle=250", 400, "unknown-parameter").await;
    assert_eq!((&document["parameter"], &document["value"]), (&json!("throtle"), &json!("250")));
    assert_eq!(document["suggestions"], json!(["throttle"]));
    let expected = document["expected"].as_str().unwrap();
    for name in [
        "symbols",
        "throttle",
        "min_change",
        "fields",
        "mode",
        "candles",
        "heartbeat",
        "errors",
        "last_event_id",
    ] {
        assert!(expected.contains(name), "{expected}");
    }
    for route in [
        "/prices/snapshot?symbols=BTC&",
        "/candles?symbol=BTC&",
        "/symbols?",
        "/feeds?",
        "/metrics?",
        "/health/ready?",
    ] {
        problem(&node.get(&format!("{route}nonsense=1")).await, 400, "unknown-parameter");
    }
}

#[tokio::test]
async fn a_value_that_does_not_do_is_named_with_what_would() {
    let node = Node::start("").await;
    let cases = [
        ("throttle", "fast"),
        ("throttle", "-1"),
        ("throttle", "2h"),
        ("throttle", "250xs"),
        ("throttle", ""),
        ("heartbeat", "1h"),
        ("heartbeat", "soon"),
        ("min_change", "0"),
        ("min_change", "-1"),
        ("min_change", "5%%"),
        ("min_change", "NaN"),
        ("min_change", "bp"),
        ("mode", "fastest"),
        ("errors", "yes"),
        ("fields", "prise"),
        ("strict", "maybe"),
    ];
    for (name, value) in cases {
        let encoded = value.replace('%', "%25");
        let document = bad_query(&node, &format!("symbols=BTC&{name}={encoded}"), 400, "bad-value").await;
        assert_eq!((&document["parameter"], &document["value"]), (&json!(name), &json!(value)));
        assert!(document["expected"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
    }
    let document = bad_query(&node, "symbols=BTC&fields=price,stauts", 400, "bad-value").await;
    assert_eq!((&document["value"], &document["suggestions"]), (&json!("stauts"), &json!(["status"])));
    let twice = bad_query(&node, "symbols=BTC&throttle=1&throttle=2", 400, "bad-value").await;
    assert_eq!(twice["parameter"], "throttle");
}

#[tokio::test]
async fn malformed_percent_encoding_is_named() {
    let node = Node::start("").await;
    for value in ["%", "BTC%2", "%zz", "BTC%ff"] {
        let document = bad_query(&node, &format!("symbols={value}"), 400, "malformed-encoding").await;
        assert_eq!((&document["parameter"], &document["value"]), (&json!("symbols"), &json!(value)));
    }
}

#[tokio::test]
async fn no_symbols_are_a_400_and_only_unknown_ones_a_404_with_near_misses() {
    let node = Node::start("").await;
    for query in ["", "symbols=", "symbols=,,", "throttle=1"] {
        let document = bad_query(&node, query, 400, "no-symbols").await;
        assert_eq!(document["parameter"], "symbols");
    }
    let document = bad_query(&node, "symbols=BTX", 404, "unknown-symbol").await;
    assert_eq!(document["detail"], "unknown symbol `BTX`; did you mean `BTC`?");
    assert_eq!((&document["value"], &document["suggestions"]), (&json!("BTX"), &json!(["BTC"])));
    bad_query(&node, "symbols=NOPE,NADA", 404, "unknown-symbol").await;
    let strict = bad_query(&node, "symbols=BTC,APPL&strict=true", 404, "unknown-symbol").await;
    assert_eq!((&strict["value"], &strict["suggestions"]), (&json!("APPL"), &json!(["AAPL"])));
    assert_eq!(node.stream("symbols=BTC,APPL&strict=false").await.hello()["rejected"][0]["symbol"], "APPL");
    problem(&node.get("/prices/snapshot?symbols=NOPE").await, 404, "unknown-symbol");
}

#[tokio::test]
async fn p23_p25_permanent_refusals_have_real_statuses_for_an_event_source_too() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    let accept = "accept: text/event-stream\r\n";
    problem(&client.request("GET", "/prices?symbols=NOPE", accept).await, 404, "unknown-symbol");
    problem(&client.request("GET", "/prices", accept).await, 400, "no-symbols");
}

#[tokio::test]
async fn more_symbols_than_a_stream_may_have_are_counted_and_the_limit_named() {
    let node = Node::start("[stream]\nsymbols_max = 2").await;
    for symbols in ["BTC,AAPL,ETH", "*", "x,y,z"] {
        let document = bad_query(&node, &format!("symbols={symbols}"), 400, "too-many-symbols").await;
        assert_eq!(document["detail"], "3 symbols were asked for, and one stream has at most 2");
        assert!(document["expected"].as_str().unwrap().contains("symbols_max"));
    }
    node.stream("symbols=BTC,AAPL").await;
}

#[tokio::test]
async fn p71_an_oversized_url_is_a_414_that_points_to_post() {
    let node = Node::start("").await;
    let symbols = "BTC,".repeat(5_000);
    let document = bad_query(&node, &format!("symbols={symbols}"), 414, "url-too-long").await;
    assert!(document["detail"].as_str().unwrap().contains("POST /prices"));
    // Far beyond, the parser itself refuses, without a document.
    let answer = node.get(&format!("/prices?symbols={}", "BTC,".repeat(20_000))).await;
    assert_eq!(answer.head.status(), 414);
}

#[tokio::test]
async fn an_oversized_body_is_a_413_and_one_that_is_no_json_object_a_400() {
    let node = Node::start("").await;
    let long = format!("{{\"symbols\":\"{}\"}}", "BTC,".repeat(20_000));
    let answer = node.connect().await.post("/prices", "", &long).await;
    problem(&answer, 413, "body-too-large");
    let mut client = node.connect().await;
    for body in ["", "{", "[]", "null", "\"BTC\"", "{\"symbols\":{\"a\":1}}", "{\"symbols\":[\"BTC\"]} x"] {
        let document = problem(&client.post("/prices", "", body).await, 400, "bad-body");
        assert!(document["expected"].as_str().unwrap().contains("\"symbols\""), "{document}");
    }
    let document = problem(
        &client.post("/prices", "", "{\"symbols\":[\"BTC\"],\"feilds\":1}").await,
        400,
        "unknown-parameter",
    );
    assert_eq!(document["suggestions"], json!(["fields"]));
    problem(&client.post("/prices", "", "{\"symbols\":[\"NOPE\"]}").await, 404, "unknown-symbol");
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_say_what_there_is() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    for path in ["/nowhere", "/prices/", "/prices/BTC", "/Prices", "//", "/symbols/BTC"] {
        let document = problem(&client.request("GET", path, "").await, 404, "no-such-route");
        assert!(document["expected"].as_str().unwrap().contains("/prices/snapshot"));
    }
    let cases = [
        ("DELETE", "/prices", "GET, HEAD, POST, OPTIONS"),
        ("PUT", "/symbols", "GET, HEAD, OPTIONS"),
        ("POST", "/prices/snapshot", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ];
    for (method, path, allowed) in cases {
        let answer = client.request(method, path, "").await;
        problem(&answer, 405, "method-not-allowed");
        assert_eq!(answer.head.get("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn p76_text_from_a_client_comes_back_inside_json_and_cut_to_a_length() {
    let node = Node::start("").await;
    let document =
        bad_query(&node, "symbols=BTC&throttle=%0d%0aid:%201%0a%0adata:%20x%00", 400, "bad-value").await;
    assert_eq!(document["value"], "\r\nid: 1\n\ndata: x\0");
    let long = "x".repeat(5_000);
    let answer = node.get(&format!("/prices?symbols=BTC&{long}={long}")).await;
    problem(&answer, 400, "unknown-parameter");
    assert!(answer.body.len() < 1_500, "{}", answer.body.len());
    let stream = node.stream("symbols=BTC,%0a%0aevent:%20fault%0adata:%20%7b%7d%0a%0a").await;
    assert_eq!(stream.opening.matches('\n').count(), 5, "{:?}", stream.opening);
    assert_eq!(stream.hello()["rejected"][0]["symbol"], "event: fault\ndata: {}");
    let odd = node.stream("symbols=BTC,%F0%9F%98%80,%00").await;
    assert_eq!(odd.hello()["rejected"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn bytes_that_are_no_http_cost_their_connection_only() {
    let node = Node::start("").await;
    let mut client = node.connect().await;
    client.send("\x16\x03\x01\x02 hello?\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 400);
    assert!(client.ended().await);
    let mut client = node.connect().await;
    client.send(&format!("GET / HTTP/1.1\r\nhost: x\r\ncookie: {}\r\n\r\n", "a".repeat(200_000))).await;
    assert_eq!(client.head().await.status(), 431);
    assert_eq!(node.get("/health/live").await.head.status(), 200);
}
