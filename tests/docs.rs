//! The page at `/docs` in a real browser: that it shows all of the document, asks nobody else for anything, and that
//! everybody can read and use it. Needs ChromeDriver and Chromium as `browser.rs` does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "browser/barriers.rs"]
mod barriers;
#[path = "browser/service.rs"]
mod service;
#[path = "browser/webdriver.rs"]
mod webdriver;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tickcast::app::Drive;
use tickcast::config::{self, Config};

use barriers::{LOOKS, axe, nameless, show_on};
use service::{ANY_PORT, Service};
use webdriver::Browser;

const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

/// Waits until the page has made itself.
const MADE: &str = "await until(() => document.querySelectorAll('details.card').length > 20);\n";

fn start() -> Service {
    let mut config: Config = config::load(config::demo(), "the demo", std::iter::empty()).unwrap();
    // Streams that are still open when a test ends must not hold it up.
    config.http.drain_window = Duration::ZERO;
    Service::start(config, Drive::Feeds, ANY_PORT)
}

fn run(browser: &Browser, body: &str) -> Value {
    browser.run(&format!("{MADE}{body}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn every_route_parameter_answer_and_type_of_the_document_is_shown_and_no_request_leaves_the_service() {
    let Some(browser) = Browser::start() else { return };
    let service = start();
    browser.open(&service.url("/docs"));
    let seen = run(
        &browser,
        "document.querySelectorAll('details').forEach(fold => { fold.open = true; });
         const said = await (await fetch('openapi.json')).json(), missing = [];
         const has = (where, text) => { if (!where?.innerText.includes(text)) missing.push(text); };
         let count = 0;
         for (const [path, item] of Object.entries(said.paths)) for (const [method, operation] of Object.entries(item)) {
             const shown = document.getElementById(operation.operationId);
             for (const text of [path, method.toUpperCase(), operation.summary]) has(shown, text);
             for (const { name } of operation.parameters ?? []) has(shown, name);
             for (const status of Object.keys(operation.responses)) has(shown, status === 'default' ? 'else' : status);
             count += 1;
         }
         for (const [name, schema] of Object.entries(said.components.schemas)) {
             const shown = document.getElementById(`schema-${name}`);
             for (const text of [name, ...Object.keys(schema.properties ?? {}), ...schema.enum ?? []]) has(shown, text);
         }
         const dead = [...document.querySelectorAll('a[href^=\"#\"]')].map(link => link.getAttribute('href').slice(1)).filter(id => !document.getElementById(id));
         return { missing, dead, count, loads: performance.getEntriesByType('resource').map(entry => entry.name), title: document.querySelector('h1').innerText };",
    );
    assert_eq!((&seen["missing"], &seen["dead"]), (&json!([]), &json!([])));
    assert!(seen["count"].as_u64().unwrap() > 10, "{seen}");
    assert!(seen["title"].as_str().unwrap().contains(env!("CARGO_PKG_VERSION")), "{seen}");
    let loads = texts(&seen["loads"]);
    let own: BTreeSet<String> =
        ["/docs/style.css", "/docs/docs.js", "/docs/make.js", "/docs/try.js", "/openapi.json"]
            .map(|path| service.url(path))
            .into();
    assert_eq!(loads.iter().map(|load| (*load).to_owned()).collect::<BTreeSet<_>>(), own);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn with_the_keyboard_alone_a_route_is_unfolded_and_asked_and_the_answer_read() {
    let Some(browser) = Browser::start() else { return };
    let service = start();
    browser.open(&service.url("/docs#getSnapshot"));
    // Who is sent to a route finds it unfolded and has the focus there.
    let focus = run(
        &browser,
        "await until(() => document.activeElement.tagName === 'SUMMARY');
         return { open: document.querySelector('#getSnapshot').open, at: document.activeElement.closest('details').id };",
    );
    assert_eq!(focus, json!({ "open": true, "at": "getSnapshot" }));
    let reach = |what: &str| {
        let found = (0..30).find(|_| {
            browser.press(TAB);
            run(&browser, &format!("return document.activeElement.matches('{what}')")) == true
        });
        assert!(found.is_some(), "Tab never comes to {what}");
    };
    reach("#getSnapshot input[name=fields]");
    browser.press("symbol,price,status");
    reach("#getSnapshot button");
    browser.press(ENTER);
    let seen = run(
        &browser,
        "const part = document.querySelector('#getSnapshot .try');
         await until(() => part.querySelector('[role=status]').textContent.startsWith('200') && part.querySelector('pre').textContent.includes('}'));
         return { url: part.querySelector('.address a').href, answer: part.querySelector('pre').textContent };",
    );
    assert_eq!(seen["url"], service.url("/prices/snapshot?symbols=BTC&fields=symbol,price,status"));
    let answer: Value = serde_json::from_str(seen["answer"].as_str().unwrap()).unwrap();
    assert_eq!(answer["prices"][0]["symbol"], "BTC");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_stream_that_is_asked_shows_its_first_events_and_is_closed() {
    let Some(browser) = Browser::start() else { return };
    let service = start();
    browser.open(&service.url("/docs#streamPrices"));
    let shown = run(
        &browser,
        "const part = document.querySelector('#streamPrices .try');
         part.querySelector('button').click();
         await until(() => part.querySelector('[role=status]').textContent.endsWith('then closed'));
         const open = async () => Number((await (await fetch('/metrics')).text()).match(/^tickcast_streams_open (.*)$/m)[1]);
         while (await open() > 0);
         return { text: part.querySelector('pre').textContent, stop: part.querySelector('button + button').hidden };",
    );
    let text = shown["text"].as_str().unwrap();
    assert!(
        text.contains("event: hello\n") && text.contains("data: {\"symbol\":\"BTC\",\"price\":\""),
        "{text}"
    );
    assert_eq!(shown["stop"], true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn everyone_can_read_and_reach_it_in_light_and_dark_on_a_desk_and_on_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let service = start();
    browser.open(&service.url("/docs"));
    browser.run(LOOKS);
    run(&browser, "document.querySelectorAll('details').forEach(fold => { fold.open = true; });");
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (320, "dark")] {
        show_on(&browser, width, scheme);
        let seen = run(
            &browser,
            "await new Promise(requestAnimationFrame);
             const page = document.documentElement;
             return { texts: contrasts(), twice: doubleIds(), wide: page.scrollWidth - page.clientWidth };",
        );
        let texts = seen["texts"].as_array().unwrap();
        assert!(texts.len() > 500, "the check saw little: {}", texts.len());
        let faint: Vec<_> =
            texts.iter().filter(|t| t["ratio"].as_f64().unwrap() < t["least"].as_f64().unwrap()).collect();
        assert!(faint.is_empty(), "{scheme}, {width} px: {faint:?}");
        assert_eq!(seen["twice"], json!([]));
        assert_eq!(seen["wide"], 0, "the page scrolls sideways at {width} px");
        axe(&browser);
    }
    let nameless = nameless(&browser, 100);
    assert!(nameless.is_empty(), "{nameless:?}");
}

#[test]
fn where_keys_are_asked_for_the_page_says_so_and_asks_with_one() {
    let Some(browser) = Browser::start() else { return };
    let key = tickcast::http::auth::hash("tick_docs");
    let file = std::env::temp_dir().join(format!("tickcast-{}-docs-keys", std::process::id()));
    std::fs::write(&file, format!("[[key]]\nid = \"docs\"\nhash = \"{key}\"\n")).unwrap();
    let variables = [("TICKCAST__AUTH__MODE", "keys"), ("TICKCAST__AUTH__KEYS_FILE", file.to_str().unwrap())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = config::load(config::demo(), "the demo", variables.into_iter()).unwrap();
    let service = Service::start(config, Drive::Feeds, ANY_PORT);
    browser.open(&service.url("/docs#findSymbols"));
    let seen = run(
        &browser,
        "const part = document.querySelector('#findSymbols .try'), status = part.querySelector('[role=status]');
         const ask = async begins => { part.querySelector('button').click(); await until(() => status.textContent.startsWith(begins)); };
         await ask('401');
         const needs = document.querySelector('#findSymbols .needs').innerText;
         part.querySelector('input[type=password]').value = 'tick_docs';
         await ask('200');
         return { needs, url: part.querySelector('.address a').href };",
    );
    std::fs::remove_file(&file).unwrap();
    let needs = seen["needs"].as_str().unwrap();
    assert!(needs.contains("Authorization: Bearer") && needs.contains("X-API-Key"), "{needs}");
    assert_eq!(seen["url"], service.url("/symbols"), "the key is not in the address");
}
