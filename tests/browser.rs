//! The service in a real browser: the dashboard, and a plain `EventSource` through limits, a restart and a recording.
//! Needs ChromeDriver and Chromium, which `scripts/test` installs; without them these tests say that they check nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "browser/service.rs"]
mod service;
#[path = "browser/webdriver.rs"]
mod webdriver;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::Value;
use tickcast::app::Drive;
use tickcast::config::{self, Config};
use tickcast::http::sse::Cursor;
use tickcast::ingest::replay::{self, Speed};
use tickcast_feeds::Venue;

use service::{ANY_PORT, Service, listen};
use webdriver::Browser;

/// A page of the service that opens no stream of its own.
const QUIET_PAGE: &str = "/health/live";
const ENTER: &str = "\u{E007}";

fn demo() -> Config {
    let mut config = config::load(config::demo(), "the demo", std::iter::empty()).unwrap();
    // Streams that are still open when a test ends must not hold it up.
    config.http.drain_window = Duration::ZERO;
    config.stream.retry = Duration::from_millis(100);
    config
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected text, found {value}"))
}

#[test]
fn the_dashboard_shows_prices_that_move() {
    let Some(browser) = Browser::start() else { return };
    let service = Service::start(demo(), Drive::Feeds, ANY_PORT);
    browser.open(&service.url("/"));
    let rows = browser.run(
        "const rows = () => [...document.querySelectorAll('#rows tr')];
         const price = row => row.querySelector('.price b').textContent;
         await until(() => rows().length > 1 && rows().every(row => /^[0-9]+([.][0-9]+)?$/.test(price(row))));
         const before = new Map(rows().map(row => [row, price(row)]));
         await until(() => rows().some(row => price(row) !== before.get(row) && row.dataset.move));
         await until(() => document.querySelector('#pill').dataset.state === 'live');
         return rows().map(row => row.dataset.symbol);",
    );
    let rows: Vec<&str> = rows.as_array().unwrap().iter().map(text).collect();
    assert!(rows.contains(&"BTC") && rows.contains(&"AAPL"), "{rows:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_symbol_found_in_the_search_box_joins_the_table_and_the_address() {
    let Some(browser) = Browser::start() else { return };
    let service = Service::start(demo(), Drive::Feeds, ANY_PORT);
    browser.open(&service.url("/?symbols=BTC,AAPL"));
    let rows = "const symbols = () => [...document.querySelectorAll('#rows tr')].map(row => row.dataset.symbol).join();
         const priced = symbol => /^[0-9]/.test(document.querySelector(`tr[data-symbol=\"${symbol}\"] .price b`)?.textContent);";
    browser.run(&format!("{rows} await until(() => priced('BTC') && priced('AAPL'));"));
    browser.type_into("#query", "tesla");
    browser.type_into("#query", ENTER);
    let address = browser.run(&format!(
        "{rows} await until(() => symbols() === 'BTC,AAPL,TSLA' && priced('TSLA')); return location.search;"
    ));
    assert_eq!(text(&address), "?symbols=BTC,AAPL,TSLA");
    // Who is sent this address sees the same table.
    browser.open(&service.url(text(&address)));
    browser.run(&format!("{rows} await until(() => symbols() === 'BTC,AAPL,TSLA' && priced('TSLA'));"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_plain_event_source_gets_hello_and_messages_with_prices_as_text() {
    let Some(browser) = Browser::start() else { return };
    let service = Service::start(demo(), Drive::Feeds, ANY_PORT);
    browser.open(&service.url(QUIET_PAGE));
    let seen = browser.run(
        "const { log, until, source } = follow('/prices?symbols=BTC,AAPL');
         await until(() => ['BTC', 'AAPL'].every(s => log.filter(e => e.data?.symbol === s).length > 2));
         source.close();
         return { first: log[1], messages: log.filter(e => e.name === 'message'), other: log.slice(2).filter(e => e.name !== 'message') };",
    );
    assert_eq!(seen["first"]["name"], "hello");
    assert_eq!(seen["first"]["data"]["symbols"], serde_json::json!({ "BTC": "BTC", "AAPL": "AAPL" }));
    assert_eq!(seen["other"], serde_json::json!([]));
    let messages = seen["messages"].as_array().unwrap();
    let mut version = text(&seen["first"]["id"]).parse::<Cursor>().unwrap().version;
    for message in messages {
        for field in ["price", "bid", "ask", "change"] {
            let number = text(&message["data"][field]);
            // As a browser shows it: no exponent, no rounding on the way.
            let exact = Decimal::from_str_exact(number).unwrap_or_else(|_| panic!("{field}: {message}"));
            assert_eq!(exact.to_string(), number, "{message}");
        }
        let cursor = text(&message["id"]).parse::<Cursor>().unwrap();
        assert!(cursor.version > version, "ids go up: {version} before {message}");
        version = cursor.version;
    }
}

#[test]
fn p22_an_event_source_over_the_limit_is_told_so_and_comes_back_by_itself() {
    let Some(browser) = Browser::start() else { return };
    let mut config = demo();
    // One more open every two seconds.
    config.limits.opens_per_minute = 30;
    let service = Service::start(config, Drive::Feeds, ANY_PORT);
    browser.open(&service.url(QUIET_PAGE));
    let seen = browser.run(
        "const spend = async () => {
             for (;;) {
                 const abort = new AbortController();
                 const answer = await fetch('/prices?symbols=BTC&errors=status', { signal: abort.signal });
                 abort.abort();
                 if (answer.status !== 200) return { status: answer.status, after: answer.headers.get('retry-after') };
             }
         };
         for (;;) {
             const refused = await spend(), followed = follow('/prices?symbols=BTC'), { log, until, source } = followed;
             const first = await until(() => log.find(e => e.name === 'hello' || e.name === 'fault'));
             // A new open may have become free in between: then there was nothing to recover from.
             if (first.name === 'hello') { source.close(); continue; }
             const message = await until(() => log.find(e => e.name === 'message'));
             const names = log.map(e => e.name);
             source.close();
             return { refused, fault: first.data, message: message.data, names };
         }",
    );
    assert_eq!(seen["refused"]["status"], 429);
    assert!(text(&seen["refused"]["after"]).parse::<u32>().unwrap() >= 1, "{seen}");
    assert_eq!(seen["fault"]["code"], "rate_limited");
    assert_eq!(seen["fault"]["limit"], 30);
    assert!(seen["fault"]["retry_ms"].as_u64().unwrap() >= 500, "{seen}");
    assert_eq!(seen["message"]["symbol"], "BTC");
    let names: Vec<&str> = seen["names"].as_array().unwrap().iter().map(text).collect();
    let place = |name| names.iter().position(|n| *n == name).unwrap();
    assert!(place("fault") < place("error") && place("error") < place("hello"), "{names:?}");
}

#[test]
fn p63_an_event_source_outlives_a_restart_and_says_where_it_stopped() {
    let Some(browser) = Browser::start() else { return };
    let service = Service::start(demo(), Drive::Feeds, ANY_PORT);
    let address = service.address;
    browser.open(&service.url(QUIET_PAGE));
    browser.run(
        "window.followed = follow('/prices?symbols=BTC,AAPL');
         await followed.until(() => followed.log.filter(e => e.name === 'message').length > 3);",
    );
    service.stop();
    let bye = browser.run("return await followed.until(() => followed.log.find(e => e.name === 'bye'));");
    assert_eq!(bye["data"]["reason"], "draining");
    let last: Cursor = text(&bye["id"]).parse().unwrap();
    assert!(last.version > 0);

    // Between the two servers this test has the port: it hears what the browser asks, and hangs up.
    let head = head_of_first_request_for_prices(&listen(address));
    let said = head.iter().find_map(|line| line.strip_prefix("last-event-id: "));
    assert_eq!(said, Some(last.to_string().as_str()), "{head:?}");

    let service = Service::start(demo(), Drive::Feeds, address);
    let after = browser.run(
        "const since = () => followed.log.slice(followed.log.findIndex(e => e.name === 'bye'));
         const hello = await followed.until(() => since().find(e => e.name === 'hello'));
         const messages = await followed.until(() => {
             const messages = since().filter(e => e.name === 'message');
             return ['BTC', 'AAPL'].every(s => messages.some(e => e.data.symbol === s)) && messages;
         });
         followed.source.close();
         return { hello, messages };",
    );
    // Versions of the first run mean nothing in the second: the page gets everything anew.
    assert_eq!(after["hello"]["data"]["resumed"], false);
    for message in after["messages"].as_array().unwrap() {
        let cursor: Cursor = text(&message["id"]).parse().unwrap();
        assert_ne!(cursor.epoch, last.epoch, "{message}");
    }
    service.stop();
}

/// The lines of its head, names in lower case.
fn head_of_first_request_for_prices(listener: &std::net::TcpListener) -> Vec<String> {
    loop {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let lines = BufReader::new(socket).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        // A browser also opens sockets that it then asks nothing on.
        if head.first().is_some_and(|line| line.starts_with("GET /prices")) {
            let lower = |line: String| match line.split_once(": ") {
                Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
                None => line,
            };
            return head.into_iter().map(lower).collect();
        }
    }
}

#[test]
fn m45_a_recording_played_ten_times_as_fast_reaches_a_page_digit_by_digit() {
    let Some(browser) = Browser::start() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = root.join("../shared/captures/coinbase_exchange/2026-07-07_live_part1.jsonl");
    let path = if real.is_file() { real } else { root.join("tests/browser/coinbase.jsonl") };
    let config = Config {
        instruments: replay::instruments(&path, Venue::Coinbase).unwrap(),
        http: demo().http,
        ..Config::default()
    };
    let recorded = std::fs::read_to_string(&path).unwrap();
    // Over and over, so that a slow start of the browser misses nothing.
    let options = replay::Options { path, venue: Venue::Coinbase, speed: Speed::Times(10.0), repeat: true };
    let service = Service::start(config, Drive::Replay(options), ANY_PORT);
    browser.open(&service.url(QUIET_PAGE));
    let messages = browser.run(
        "const { log, until, source } = follow('/prices?symbols=BTC,ETH&fields=price,last,venue');
         const prices = symbol => new Set(log.filter(e => e.data?.symbol === symbol).map(e => e.data.price));
         await until(() => prices('BTC').size > 3 && prices('ETH').size > 3);
         source.close();
         return log.filter(e => e.name === 'message').map(e => e.data);",
    );
    // A quick page is there before the first trade: its snapshot has no price yet, and nobody who made it.
    for message in messages.as_array().unwrap().iter().filter(|message| !message["price"].is_null()) {
        assert_eq!(message["venue"], "coinbase");
        // Frames are text inside the recording's JSON, hence the backslashes.
        let written = format!(r#"\"price\":\"{}\""#, text(&message["price"]));
        assert!(recorded.contains(&written), "nobody traded at {message}");
    }
}
