//! The dashboard in a real browser: what it shows, how it is used, and what it makes of a service that goes away. Needs
//! ChromeDriver and Chromium as `browser.rs` does; without them these tests say that they check nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "browser/access.rs"]
mod access;
#[path = "browser/barriers.rs"]
mod barriers;
#[path = "browser/service.rs"]
mod service;
#[path = "browser/webdriver.rs"]
mod webdriver;
#[path = "browser/wire.rs"]
mod wire;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tickcast::app::Drive;
use tickcast::config::{self, Config};
use tickcast::ingest::replay::{self, Speed};
use tickcast_feeds::Venue;

use service::{ANY_PORT, Service, listen};
use webdriver::Browser;
use wire::Wire;

const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";
const SPACE: &str = " ";
const ESCAPE: &str = "\u{E00C}";
const RIGHT: &str = "\u{E014}";
const DOWN: &str = "\u{E015}";
const DELETE: &str = "\u{E017}";

/// For scripts: the list's symbols in order, the text of a price, whether there is one, the state of the stream.
const WORDS: &str = "const rows = () => [...document.querySelectorAll('#rows tr')];
     const symbols = () => rows().map(row => row.dataset.symbol).join();
     const price = symbol => document.querySelector(`#rows tr[data-symbol='${symbol}'] .price b`)?.textContent ?? '';
     const priced = symbol => /^[0-9]/.test(price(symbol));
     const state = () => document.querySelector('#pill').dataset.state;
     const text = id => document.querySelector(id).textContent;
     const metric = async name => Number((await (await fetch('/metrics')).text()).match(new RegExp(`^${name} (.*)$`, 'm'))[1]);\n";

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let variables = variables.iter().map(|&(key, value)| (format!("TICKCAST__{key}"), value.to_owned()));
    let mut config = config::load(text, "the test's config", variables).unwrap_or_else(|e| panic!("{e}"));
    // Streams that are still open when a test ends must not hold it up.
    config.http.drain_window = Duration::ZERO;
    config.stream.retry = Duration::from_millis(100);
    config
}

fn demo() -> Service {
    Service::start(config(config::demo(), &[]), Drive::Feeds, ANY_PORT)
}

/// The simulator's stage with five venues, on one of its bad days.
fn stage(scenario: &str, speed: &str) -> Service {
    let variables = [
        ("FEEDS__SIM__SCENARIO", scenario),
        ("FEEDS__SIM__SCENARIO_SPEED", speed),
        ("FEEDS__SIM__SILENCE_MAX", "600ms"),
    ];
    Service::start(config(config::scenarios(), &variables), Drive::Feeds, ANY_PORT)
}

fn run(browser: &Browser, script: &str) -> Value {
    browser.run(&format!("{WORDS}{script}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected text, found {value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap_or_else(|| panic!("expected a list, found {value}")).iter().map(text).collect()
}

#[test]
fn the_chosen_symbol_has_price_spread_chart_and_the_venues_behind_it() {
    let Some(browser) = Browser::start() else { return };
    let service = stage("bad_print", "1");
    browser.open(&service.url("/?symbols=ETH,BTC&chart=BTC"));
    let seen = run(
        &browser,
        "await until(() => priced('BTC') && priced('ETH') && state() === 'live');
         const before = performance.getEntriesByType('resource').filter(e => e.name.includes('sources')).length;
         document.querySelector('#sources summary').click();
         await until(() => document.querySelectorAll('#source-rows tr').length === 5);
         const canvas = document.querySelector('#chart');
         await until(() => canvas.hasAttribute('aria-valuetext'));
         const inked = () => new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer).some(pixel => pixel);
         for (; !inked();) await new Promise(requestAnimationFrame);
         return { chosen: text('#d-symbol'), name: text('#d-name'), before, list: [...document.querySelectorAll('#source-rows tr')].map(row => row.innerText),
             bid: text('#d-bid'), ask: text('#d-ask'), spread: text('#d-spread'), chart: canvas.getAttribute('aria-valuetext'), streams: await metric('tickcast_streams_open') };",
    );
    assert_eq!((text(&seen["chosen"]), text(&seen["name"])), ("BTC", "Bitcoin"));
    assert_eq!(seen["before"], 0, "sources are asked for on demand only: {seen}");
    assert_eq!(seen["streams"], 1, "{seen}");
    let list = texts(&seen["list"]).join("\n");
    for venue in ["coinbase", "kraken", "bitstamp", "gemini", "bitfinex", "makes the price"] {
        assert!(list.contains(venue), "{venue} is not in {list}");
    }
    let [bid, ask, spread] = ["bid", "ask", "spread"].map(|name| decimal(&seen[name]));
    assert_eq!(ask - bid, spread, "{seen}");
    // What the chart's reader says ends with a price as it came.
    decimal(&json!(text(&seen["chart"]).rsplit(' ').next().unwrap()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn decimal(value: &Value) -> rust_decimal::Decimal {
    text(value).parse().unwrap_or_else(|_| panic!("no decimal: {value}"))
}

#[test]
fn m45_the_page_shows_prices_digit_by_digit_as_they_were_written() {
    let Some(browser) = Browser::start() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/coinbase.jsonl");
    let recorded = std::fs::read_to_string(&path).unwrap();
    let config = Config {
        instruments: replay::instruments(&path, Venue::Coinbase).unwrap(),
        http: config(config::demo(), &[]).http,
        ..Config::default()
    };
    let options = replay::Options { path, venue: Venue::Coinbase, speed: Speed::Times(10.0), repeat: true };
    let service = Service::start(config, Drive::Replay(options), ANY_PORT);
    browser.open(&service.url("/?symbols=BTC,ETH&throttle=0"));
    let seen = run(
        &browser,
        "const seen = new Set();
         await until(() => {
             for (const symbol of ['BTC', 'ETH']) if (priced(symbol)) seen.add(price(symbol));
             if (/^[0-9]/.test(text('#d-price'))) seen.add(text('#d-price'));
             return seen.size > 4 && [...seen].some(text => text.endsWith('0'));
         });
         return [...seen];",
    );
    for shown in texts(&seen) {
        assert!(recorded.contains(&format!(r#"\"price\":\"{shown}\""#)), "nobody traded at {shown}");
    }
}

#[test]
fn with_the_keyboard_alone_a_symbol_is_found_added_chosen_read_and_removed() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    browser.open(&service.url("/?symbols=BTC,AAPL"));
    run(&browser, "await until(() => priced('BTC') && priced('AAPL') && state() === 'live');");
    browser.press("/");
    browser.press("tesla");
    run(
        &browser,
        "await until(() => document.querySelector('#options [aria-selected=true]')?.textContent.includes('TSLA'));",
    );
    browser.press(ENTER);
    run(&browser, "await until(() => symbols() === 'BTC,AAPL,TSLA' && priced('TSLA'));");
    // From the box to the list by Tab, and along it by the arrow keys.
    let walk = (0..30).find(|_| {
        browser.press(TAB);
        run(&browser, "return document.activeElement.classList.contains('pick')") == true
    });
    assert!(walk.is_some(), "Tab never comes to the list");
    browser.press(&DOWN.repeat(2));
    browser.press(SPACE);
    let chosen = run(&browser, "await until(() => text('#d-symbol') === 'TSLA'); return location.search;");
    assert_eq!(text(&chosen), "?symbols=BTC,AAPL,TSLA&chart=TSLA");
    browser.press(DELETE);
    let seen = run(
        &browser,
        "await until(() => symbols() === 'BTC,AAPL');
         return { address: location.search, focus: document.activeElement.closest('tr')?.dataset.symbol, said: text('#said') };",
    );
    assert_eq!(seen, json!({ "address": "?symbols=BTC,AAPL", "focus": "AAPL", "said": "TSLA removed" }));
    // The button does the same.
    browser.press(TAB);
    browser.press(ENTER);
    run(&browser, "await until(() => symbols() === 'BTC');");
    // The chart is read second by second.
    run(&browser, "document.querySelector('#chart').focus();");
    browser.press("\u{E012}");
    let said = run(&browser, "return document.querySelector('#chart').getAttribute('aria-valuetext');");
    assert!(text(&said).contains(':'), "a time and a price: {said}");
    browser.press(ESCAPE);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn m112_the_charts_line_and_the_sparklines_begin_before_the_page_did() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    browser.open(&service.url("/?symbols=ETH"));
    run(
        &browser,
        "const bars = async () => (await (await fetch('/candles?symbol=BTC&interval=1s')).json()).candles;
         while ((await bars()).filter(bar => bar.final).length < 3) await new Promise(then => setTimeout(then, 100));",
    );
    browser.open(&service.url("/?symbols=BTC,ETH&chart=BTC"));
    let seen = run(
        &browser,
        "await until(() => priced('BTC') && priced('ETH') && state() === 'live');
         const { rows: listed } = await import('/dashboard/table.js');
         const history = symbol => listed.get(symbol).history.bars;
         await until(() => history('BTC').filter(bar => bar.past).length >= 3);
         const { candles } = await (await fetch('/candles?symbol=BTC&interval=1s')).json();
         const past = history('BTC').filter(bar => bar.past && bar.at % 60000 !== 59000), closes = candles.map(candle => candle.close);
         return { early: past[0].at < performance.timeOrigin, known: past.every(bar => closes.includes(bar.text)),
             rises: history('BTC').every((bar, i, all) => i === 0 || all[i - 1].at <= bar.at), own: history('BTC').at(-1).past === undefined,
             asked: performance.getEntriesByType('resource').map(e => e.name.split('/').pop()).filter(name => name.includes('limit=')).sort() };",
    );
    for what in ["early", "known", "rises", "own"] {
        assert_eq!(seen[what], true, "{what}: {seen}");
    }
    // One symbol is looked at closely; of the others a sparkline shows.
    let expected = [
        "candles?symbol=BTC&interval=1m&limit=16",
        "candles?symbol=BTC&interval=1s&limit=300",
        "candles?symbol=ETH&interval=1m&limit=6",
    ];
    assert_eq!(
        texts(&seen["asked"]).into_iter().filter(|name| name.contains("candles?")).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn candles_are_chosen_by_hand_or_by_the_address_and_read_bar_by_bar() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    browser.open(&service.url("/?symbols=BTC,AAPL&interval=1m"));
    let first = run(
        &browser,
        "await until(() => document.querySelector('#chart').getAttribute('aria-valuetext')?.includes(' open '));
         const { candles } = await (await fetch('/candles?symbol=BTC&interval=1m')).json();
         document.querySelector('#chart').focus();
         return { checked: document.querySelector('[name=span]:checked').value, open: candles.map(candle => candle.open), note: text('#chart-note') };",
    );
    assert_eq!(
        (text(&first["checked"]), text(&first["note"])),
        ("1m", "Bars begin at full times in UTC"),
        "{first}"
    );
    // The first bar there is, and what it says is what the service says.
    browser.press("\u{E011}");
    let said = run(
        &browser,
        "await until(() => text('#chart-note').includes(' open '));
         const chart = document.querySelector('#chart');
         return [chart.getAttribute('aria-valuetext'), text('#chart-note')];",
    );
    let [said, note] = [0, 1].map(|index| text(&said[index]).to_owned());
    assert_eq!(said, note);
    assert!(said.contains(&format!("open {},", text(&first["open"][0]))), "{said}: {first}");
    assert!(said.contains("trades may be missing"), "the server began in the middle of it: {said}");
    // What is open moves on, without a hand and without another stream.
    let moved = run(
        &browser,
        "const { candles } = await (await fetch('/candles?symbol=BTC&interval=1m')).json(), closes = () => text('#chart-note').match(/close ([0-9.]+)/)[1];
         document.querySelector('#chart').dispatchEvent(new KeyboardEvent('keydown', { key: 'End' }));
         await until(() => text('#chart-note').includes('still open'));
         const before = closes();
         await until(() => closes() !== before);
         return { hellos: [...document.querySelectorAll('#log .tag-hello')].length };",
    );
    assert_eq!(moved, json!({ "hellos": 1 }));
    browser.press(ESCAPE);
    // By the keyboard to the next interval, and back to the line.
    run(&browser, "document.querySelector('[name=span]:checked').focus();");
    browser.press(RIGHT);
    let address = run(
        &browser,
        "await until(() => document.querySelector('[name=span]:checked').value === '5m' && text('#chart-note').startsWith('Bars begin')); return location.search;",
    );
    assert_eq!(text(&address), "?symbols=BTC,AAPL&interval=5m");
    let line = run(
        &browser,
        "document.querySelector('[name=span][value=\"15\"]').click();
         await until(() => /^[0-9:]+  [0-9.]+$/.test(document.querySelector('#chart').getAttribute('aria-valuetext') ?? ''));
         return { address: location.search, note: text('#chart-note') };",
    );
    assert_eq!(line, json!({ "address": "?symbols=BTC,AAPL", "note": "" }));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_address_holds_list_choice_throttle_and_fields_and_the_url_shown_gives_that_stream() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    browser.open(&service.url("/?symbols=SOL,xbt,AAPL&chart=AAPL&throttle=500&fields=symbol,price,venue"));
    run(
        &browser,
        "await until(() => symbols() === 'SOL,BTC,AAPL' && text('#d-symbol') === 'AAPL' && text('#throttle-text') === '500 ms');
         document.querySelector('#throttle').focus();",
    );
    browser.press(RIGHT);
    let seen = run(
        &browser,
        "await until(() => text('#h-throttle') === '1000 ms' && state() === 'live' && text('#example').includes('venue'));
         const url = text('#line-url'), { log, until: heard, source } = follow(url);
         const hello = await heard(() => log.find(e => e.name === 'hello')), message = await heard(() => log.find(e => e.name === 'message'));
         source.close();
         return { address: location.search, url, hello: hello.data, names: Object.keys(message.data), example: Object.keys(JSON.parse(text('#example'))),
             checked: [...document.querySelectorAll('#fields :checked')].map(input => input.value) };",
    );
    let query = "symbols=SOL,BTC,AAPL&throttle=1000&fields=symbol,price,venue";
    assert_eq!(
        text(&seen["address"]),
        "?symbols=SOL,BTC,AAPL&chart=AAPL&throttle=1000&fields=symbol,price,venue"
    );
    assert_eq!(text(&seen["url"]), service.url(&format!("/prices?{query}")));
    assert_eq!(seen["hello"]["throttle_ms"], 1000);
    for names in ["names", "example", "checked"] {
        assert_eq!(texts(&seen[names]), ["symbol", "price", "venue"], "{names}");
    }
    // Who is sent the address sees the same.
    let address = text(&seen["address"]).to_owned();
    browser.new_tab();
    browser.open(&service.url(&address));
    run(
        &browser,
        "await until(() => symbols() === 'SOL,BTC,AAPL' && priced('AAPL') && text('#d-symbol') === 'AAPL' && text('#throttle-text') === '1 s');",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn m57_a_stale_price_is_said_to_be_stale_in_words_in_the_list_the_detail_and_the_title() {
    let Some(browser) = Browser::start() else { return };
    let service = stage("outage", "5");
    browser.open(&service.url("/?symbols=BTC,DOGE"));
    let seen = run(
        &browser,
        "await until(() => rows().length === 2 && rows().every(row => row.dataset.status === 'stale') && !document.querySelector('#d-trouble').hidden && document.title.startsWith('(stale)'));
         const row = rows()[0], colour = element => getComputedStyle(element).color;
         return { badge: row.querySelector('.badge').textContent, trouble: document.querySelector('#d-trouble').innerText, arrow: getComputedStyle(row.querySelector('.arrow')).visibility,
             plain: colour(row.querySelector('.tape')) === colour(document.querySelector('.hint')), stream: state() };",
    );
    assert_eq!(text(&seen["badge"]), "stale");
    assert!(text(&seen["trouble"]).starts_with("Stale: not a current price"), "{seen}");
    assert_eq!(
        (text(&seen["arrow"]), &seen["plain"]),
        ("hidden", &json!(true)),
        "no sign of movement: {seen}"
    );
    assert_eq!(text(&seen["stream"]), "live");
    run(
        &browser,
        "await until(() => rows().every(row => row.dataset.status !== 'stale') && document.querySelector('#d-trouble').hidden);",
    );
}

#[test]
fn p63_after_a_restart_the_page_goes_on_and_tells_what_happened() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    let address = service.address;
    browser.open(&service.url("/?symbols=BTC,AAPL"));
    run(&browser, "await until(() => priced('BTC') && priced('AAPL') && state() === 'live');");
    service.stop();
    let cold = run(
        &browser,
        "await until(() => document.body.classList.contains('cold') && state() !== 'live' && !document.querySelector('#reason').hidden);
         return { price: price('BTC'), badge: rows()[0].querySelector('.badge').textContent, reason: text('#reason-text'), title: document.title };",
    );
    assert!(text(&cold["reason"]).contains("Prices shown are the last ones received"), "{cold}");
    assert!(text(&cold["title"]).starts_with("(reconnecting)"), "{cold}");
    decimal(&cold["price"]);
    assert_eq!(text(&cold["badge"]), "last seen", "nothing is live now");
    // Something else answers for a moment: nothing at all.
    drop(listen(address));
    let service = Service::start(config(config::demo(), &[]), Drive::Feeds, address);
    let seen = run(
        &browser,
        "await until(() => state() === 'live' && !document.body.classList.contains('cold'));
         const before = price('BTC');
         await until(() => price('BTC') !== before && text('#h-reconnects').startsWith('1'));
         return { log: [...document.querySelectorAll('#log .tag')].map(tag => tag.textContent), streams: await metric('tickcast_streams_open') };",
    );
    let log = texts(&seen["log"]);
    for kind in ["hello", "bye", "reconnect"] {
        assert!(log.contains(&kind), "{kind} is not in {log:?}");
    }
    assert_eq!(seen["streams"], 1, "{seen}");
    service.stop();
}

#[test]
fn p31_a_stream_whose_heartbeats_stop_is_opened_anew() {
    let Some(browser) = Browser::start() else { return };
    let service =
        Service::start(config(config::demo(), &[("STREAM__HEARTBEAT", "1s")]), Drive::Feeds, ANY_PORT);
    let wire = Wire::to(service.address);
    browser.open(&format!("http://{}/?symbols=BTC", wire.address));
    run(&browser, "await until(() => priced('BTC') && state() === 'live');");
    wire.cut();
    run(&browser, "await until(() => text('#log').includes('No sign of life'));");
    // The browser keeps connections, and may try some that are as dead.
    let log = run(
        &browser,
        "await until(() => state() === 'live' && text('#log').includes('Reconnected'));
         const before = price('BTC');
         await until(() => price('BTC') !== before);
         return text('#log');",
    );
    assert!(text(&log).contains("resumed where it stopped"), "{log}");
}

#[test]
fn p18_eight_tabs_have_four_streams_and_the_one_that_is_seen_is_live() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    let first = browser.tab();
    browser.open(&service.url("/?symbols=BTC"));
    run(&browser, "await until(() => priced('BTC') && state() === 'live');");
    for _ in 1..8 {
        browser.new_tab();
        browser.open(&service.url("/?symbols=BTC"));
        run(&browser, "await until(() => priced('BTC') && state() === 'live');");
    }
    // The service notices a closed stream when it writes to it next.
    let open =
        "let open; do { open = await metric('tickcast_streams_open'); } while (open !== 4); return open;";
    assert_eq!(run(&browser, open), 4);
    browser.show_tab(&first);
    let log = run(
        &browser,
        "await until(() => state() === 'live' && text('#log').includes('resumed'));
         const before = price('BTC');
         await until(() => price('BTC') !== before);
         return text('#log');",
    );
    assert!(text(&log).contains("Paused in the background"), "{log}");
    assert_eq!(run(&browser, open), 4);
}

#[test]
fn p32_a_tab_that_was_hidden_shows_the_newest_at_once_and_kept_its_stream() {
    let Some(browser) = Browser::start() else { return };
    let service = demo();
    let first = browser.tab();
    browser.open(&service.url("/?symbols=BTC"));
    let received = run(
        &browser,
        "await until(() => priced('BTC') && state() === 'live');
         addEventListener('visibilitychange', () => { window.wasHidden ||= document.hidden; });
         return text('#h-received');",
    );
    browser.new_tab();
    browser.open(&service.url("/health/live"));
    run(
        &browser,
        "const { log, until: heard, source } = follow('/prices?symbols=BTC');
         await heard(() => log.filter(e => e.name === 'message').length > 10);
         source.close();",
    );
    browser.show_tab(&first);
    let seen = run(
        &browser,
        "await until(() => Number(text('#h-received')) > 10);
         const { prices: [now] } = await (await fetch('/prices/snapshot?symbols=BTC&fields=price,version')).json();
         // Shown already, or by the next message.
         await until(() => Number(text('#last-id').split('.')[1]) >= now.version);
         return { hidden: window.wasHidden, reconnects: text('#h-reconnects'), hellos: [...document.querySelectorAll('#log .tag-hello')].length };",
    );
    assert_eq!(seen, json!({ "hidden": true, "reconnects": "0", "hellos": 1 }), "before: {received}");
}

#[test]
fn p21_five_hundred_updates_a_second_leave_no_task_longer_than_50_ms() {
    let Some(browser) = Browser::start() else { return };
    let config = config("[feeds.sim]\nrate = 5\ngenerate = 100\n", &[]);
    let service = Service::start(config, Drive::Feeds, ANY_PORT);
    browser.open(&service.url("/?symbols=*&throttle=0"));
    run(
        &browser,
        "await until(() => rows().length === 100 && rows().every(row => priced(row.dataset.symbol)) && state() === 'live');",
    );
    let spell = "const long = [], observer = new PerformanceObserver(list => long.push(...list.getEntries().map(e => Math.round(e.duration))));
         observer.observe({ type: 'longtask' });
         const got = () => Number(text('#h-received')), from = performance.now(), before = got();
         let frames = 0;
         for (; performance.now() - from < 3000; frames++) await new Promise(requestAnimationFrame);
         observer.disconnect();
         return { long, frames, rate: (got() - before) / 3 };";
    // A machine that does other work holds the page up as well: of a few such spells one must be smooth.
    let smooth = |seen: &Value| seen["long"] == json!([]) && seen["frames"].as_u64().unwrap() > 60;
    let mut tries: Vec<Value> = Vec::new();
    while tries.len() < 8 && !tries.last().is_some_and(smooth) {
        tries.push(run(&browser, spell));
    }
    assert!(tries.last().is_some_and(smooth), "{tries:?}");
    assert!(
        tries.iter().all(|seen| seen["rate"].as_f64().unwrap() > 300.0),
        "the page did not get its load: {tries:?}"
    );
}
