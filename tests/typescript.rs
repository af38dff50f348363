//! The TypeScript client (`clients/typescript`) as it is published: its own tests, its types against what the service says of
//! itself, and the built package in a real browser against the running service. `scripts/test` installs what builds it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

#[path = "typescript/package.rs"]
mod package;
#[path = "support/programs.rs"]
mod programs;
#[path = "browser/service.rs"]
mod service;
#[path = "auth/shown.rs"]
#[allow(dead_code, reason = "the tests of tokens use the rest")]
mod shown;
#[path = "typescript/site.rs"]
mod site;
#[path = "browser/webdriver.rs"]
mod webdriver;
#[path = "browser/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tickcast::app::Drive;
use tickcast::config::{self, Config};

use service::{ANY_PORT, Service, listen};
use site::Site;
use webdriver::Browser;
use wire::Wire;

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let variables = variables.iter().map(|&(key, value)| (format!("TICKCAST__{key}"), value.to_owned()));
    let mut config = config::load(text, "the test's config", variables).unwrap_or_else(|e| panic!("{e}"));
    // Streams that are still open when a test ends must not hold it up.
    config.http.drain_window = Duration::ZERO;
    config.stream.retry = Duration::from_millis(100);
    config
}

fn demo() -> Config {
    config(config::demo(), &[])
}

fn serve(config: Config) -> Service {
    Service::start(config, Drive::Feeds, ANY_PORT)
}

/// A browser, and a web server with the built package; `None`, loudly, where one of them cannot be had.
fn page() -> Option<(Browser, Site)> {
    let home = package::built()?;
    Some((Browser::start()?, Site::of(home)))
}

/// Opens the tests' page, which uses the service at this address.
fn open(browser: &Browser, site: Site, server: SocketAddr) {
    browser.open(&format!("{}/test/page.html?server=http://{server}", site.origin()));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected text, found {value}"))
}

/// Waits until the service has so many open streams, and returns their number. It notices a closed one when it writes next.
fn streams(browser: &Browser, number: u32) -> Value {
    browser.run(&format!(
        "let open; do {{ open = await metric('tickcast_streams_open'); }} while (open !== {number}); return open;"
    ))
}

#[test]
fn it_compiles_strictly_and_its_own_tests_pass() {
    if package::home().is_none() {
        return;
    }
    let said = std::thread::scope(|scope| {
        scope.spawn(|| package::run("check", &[]));
        package::run("test", &[])
    });
    assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
}

#[test]
fn its_types_are_what_the_service_says_of_itself() {
    if package::home().is_none() {
        return;
    }
    let service = serve(demo());
    package::run("check:types", &["--", &service.url("/openapi.json")]);
}

#[test]
fn a_page_has_its_first_prices_digit_by_digit_and_by_the_names_it_asked_for() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    open(&browser, site, service.address);
    let seen = browser.run(
        "const { latest, subscription } = start(['xbt', 'AAPL', 'NOPE'], { fields: ['price', 'venue', 'status'] });
         await until(() => latest.BTC && latest.AAPL && seen.rejected.length);
         const first = subscription.get('xbt');
         await until(() => subscription.get('xbt').price !== first.price);
         return { first, rejected: seen.rejected, status: subscription.status, opened };",
    );
    assert_eq!(seen["first"]["symbol"], "BTC");
    let price = text(&seen["first"]["price"]);
    assert_eq!(price.parse::<rust_decimal::Decimal>().unwrap().to_string(), price);
    assert_eq!(seen["first"].as_object().unwrap().len(), 4, "the fields asked for, and the symbol: {seen}");
    assert_eq!(seen["rejected"][0]["symbol"], "NOPE");
    assert_eq!(seen["status"]["state"], "live");
    assert_eq!(seen["opened"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn p20_all_tabs_share_one_stream_and_closing_the_leader_hands_it_over() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    let leader = browser.tab();
    open(&browser, site, service.address);
    let start = "start(['BTC']); await until(() => seen.latest.BTC); return seen.subscription.status.stream;";
    assert_eq!(browser.run(start), "leader");
    browser.new_tab();
    let follower = browser.tab();
    open(&browser, site, service.address);
    assert_eq!(browser.run(start), "follower");
    // What only this tab shows comes over the same stream.
    browser
        .run("window.more = start(['BTC', 'ETH']); await until(() => more.latest.ETH && more.latest.BTC);");
    assert_eq!(browser.run("return opened;"), json!([]), "the follower has opened no stream");
    // P18: more tabs than a browser has connections over HTTP/1.1.
    for _ in 0..6 {
        browser.new_tab();
        open(&browser, site, service.address);
        assert_eq!(browser.run(start), "follower");
    }
    assert_eq!(streams(&browser, 1), 1);

    browser.show_tab(&leader);
    browser.close_tab();
    browser.show_tab(&follower);
    let seen = browser.run(
        "await until(() => more.subscription.status.stream === 'leader' && hellos.length);
         const calls = more.calls;
         await until(() => more.calls > calls + 2);
         return { opened, hello: hellos[0], state: more.subscription.status.state };",
    );
    assert_eq!(seen["state"], "live");
    assert!(text(&seen["opened"][0]).contains("last_event_id="), "{seen}");
    assert_eq!(seen["hello"]["resumed"], true, "it goes on where the other stopped");
    assert_eq!(streams(&browser, 1), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn p30_a_leader_that_the_browser_freezes_hands_over_and_follows_when_it_wakes_up() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    let leader = browser.tab();
    open(&browser, site, service.address);
    browser.run("start(['BTC']); await until(() => seen.latest.BTC);");
    browser.new_tab();
    let follower = browser.tab();
    open(&browser, site, service.address);
    browser.run("start(['BTC']); await until(() => seen.latest.BTC);");

    browser.show_tab(&leader);
    browser.devtools("Page.setWebLifecycleState", &json!({ "state": "frozen" }));
    browser.show_tab(&follower);
    let state = browser.run(
        "await until(() => seen.subscription.status.stream === 'leader' && hellos.length);
         const { calls } = seen;
         await until(() => seen.calls > calls);
         return { state: seen.subscription.status.state, resumed: hellos[0].resumed };",
    );
    assert_eq!(state, json!({ "state": "live", "resumed": true }));
    assert_eq!(streams(&browser, 1), 1);

    browser.show_tab(&leader);
    browser.devtools("Page.setWebLifecycleState", &json!({ "state": "active" }));
    let seen = browser.run(
        "await until(() => seen.subscription.status.stream === 'follower');
         const { calls } = seen;
         await until(() => seen.calls > calls);
         return opened.length;",
    );
    assert_eq!(seen, 1, "it opened no other");
    assert_eq!(streams(&browser, 1), 1);
}

#[test]
fn p31_when_heartbeats_stop_the_stream_is_opened_anew_where_it_stopped() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    let wire = Wire::to(service.address);
    open(&browser, site, wire.address);
    browser.run("start(['BTC', 'AAPL'], { heartbeat: 1000 }); await until(() => seen.latest.BTC && seen.latest.AAPL);");
    wire.cut();
    let seen = browser.run(
        "const waiting = await until(() => seen.statuses.find(status => status.state === 'waiting'));
         await until(() => hellos.length === 2 && seen.subscription.status.state === 'live');
         const { calls } = seen;
         await until(() => seen.calls > calls);
         return { waiting, opened, resumed: hellos[1].resumed };",
    );
    assert_eq!(seen["waiting"]["reason"]["code"], "silent");
    assert!(seen["waiting"]["failures"].as_u64().unwrap() > 0, "{seen}");
    assert!(text(&seen["opened"][1]).contains("last_event_id="), "{seen}");
    assert_eq!(seen["resumed"], true);
}

#[test]
fn p31_a_page_that_comes_back_to_a_network_does_not_wait_for_missed_heartbeats() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    let wire = Wire::to(service.address);
    open(&browser, site, wire.address);
    browser.run("start(['BTC']); await until(() => seen.latest.BTC);");
    wire.cut();
    // Heartbeats come every 15 s, so without the wake-up nothing is missed before 37 s.
    let seen = browser.run(
        "const from = performance.now();
         dispatchEvent(new Event('online'));
         await until(() => hellos.length === 2 && seen.subscription.status.state === 'live');
         return { took: performance.now() - from, resumed: hellos[1].resumed };",
    );
    assert!(seen["took"].as_f64().unwrap() < 25_000.0, "{seen}");
    assert_eq!(seen["resumed"], true);
}

#[test]
fn p63_after_a_restart_it_goes_on_by_itself() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    let address = service.address;
    open(&browser, site, address);
    browser.run("start(['BTC']); await until(() => seen.latest.BTC);");
    service.stop();
    let waiting =
        browser.run("return await until(() => seen.statuses.find(status => status.state === 'waiting'));");
    assert_eq!(waiting["reason"]["code"], "bye");
    assert!(waiting["nextAttemptAt"].is_u64(), "{waiting}");
    // Nobody is there for a moment.
    drop(listen(address));
    let service = Service::start(demo(), Drive::Feeds, address);
    let seen = browser.run(
        "await until(() => hellos.length === 2 && seen.subscription.status.state === 'live');
         const { calls } = seen;
         await until(() => seen.calls > calls);
         return hellos[1].resumed;",
    );
    assert_eq!(seen, false, "ids of another run mean nothing");
    service.stop();
}

#[test]
fn p21_prices_are_delivered_once_a_frame_at_five_hundred_updates_a_second() {
    let Some((browser, site)) = page() else { return };
    let service = serve(config("[feeds.sim]\nrate = 5\ngenerate = 100\n", &[]));
    open(&browser, site, service.address);
    let seen = browser.run(
        "start(['*'], { throttle: 0 });
         await until(() => Object.keys(seen.latest).length === 100);
         const from = { calls: seen.calls, messages }, begun = performance.now();
         let frames = 0;
         for (; performance.now() - begun < 1000; frames++) await new Promise(requestAnimationFrame);
         return { frames, calls: seen.calls - from.calls, messages: messages - from.messages };",
    );
    let [frames, calls, messages] = ["frames", "calls", "messages"].map(|name| seen[name].as_u64().unwrap());
    assert!(messages > 250, "the page did not get its load: {seen}");
    assert!(calls > 0 && calls <= frames + 1, "more than one delivery a frame: {seen}");
    assert!(calls < messages, "{seen}");
}

#[test]
fn p32_a_hidden_tab_is_told_nothing_and_shows_the_newest_when_it_is_seen() {
    let Some((browser, site)) = page() else { return };
    let service = serve(config(config::demo(), &[("FEEDS__SIM__RATE", "20")]));
    let tab = browser.tab();
    open(&browser, site, service.address);
    browser.run(
        "start(['BTC']);
         await until(() => seen.latest.BTC);
         document.addEventListener('visibilitychange', () => {
             if (document.hidden) window.hid = { calls: seen.calls, messages };
             else window.shown = { calls: seen.calls, messages };
         });",
    );
    browser.new_tab();
    browser.open(&service.url("/health/live"));
    browser.run(
        "const { log, until: heard, source } = follow('/prices?symbols=BTC');
         await heard(() => log.filter(e => e.name === 'message').length > 10);
         source.close();",
    );
    browser.show_tab(&tab);
    let seen = browser.run(
        "await until(() => window.shown && seen.calls > shown.calls);
         const newest = seen.subscription.get('BTC');
         return { hid, shown, delivered: seen.latest.BTC.time >= newest.time, opened: opened.length };",
    );
    let count = |when: &str, what: &str| seen[when][what].as_u64().unwrap();
    assert_eq!(
        count("shown", "calls"),
        count("hid", "calls"),
        "nothing is told to a page that nobody sees: {seen}"
    );
    assert!(count("shown", "messages") >= count("hid", "messages") + 10, "its stream went on: {seen}");
    assert_eq!((&seen["delivered"], &seen["opened"]), (&json!(true), &json!(1)), "{seen}");
}

#[test]
fn p22_over_the_limit_it_waits_as_told_says_why_and_comes_back() {
    let Some((browser, site)) = page() else { return };
    let service = serve(config(config::demo(), &[("LIMITS__STREAMS_PER_CLIENT", "1")]));
    open(&browser, site, service.address);
    let seen = browser.run(
        "const server = new URLSearchParams(location.search).get('server');
         const { log, until: heard, source } = follow(`${server}/prices?symbols=BTC`);
         await heard(() => log.find(e => e.name === 'hello'));
         start(['BTC']);
         const waiting = await until(() => seen.statuses.find(status => status.state === 'waiting' && status.nextAttemptAt));
         const wait = waiting.nextAttemptAt - Date.now();
         source.close();
         await until(() => seen.latest.BTC && seen.subscription.status.state === 'live');
         return { waiting, wait, errors: seen.errors };",
    );
    assert_eq!(seen["waiting"]["reason"]["code"], "fault");
    assert!(text(&seen["waiting"]["reason"]["text"]).contains("too_many_streams"), "{seen}");
    assert!(seen["wait"].as_i64().unwrap() > 0, "{seen}");
    assert_eq!(seen["errors"], json!([]), "what passes is no error");
}

/// A service that wants keys, with one for `tick_page`.
fn keyed() -> (Service, PathBuf) {
    let file =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("typescript-{}.toml", std::process::id()));
    std::fs::write(&file, shown::entry("page", "plan = \"all\"")).unwrap();
    let auth = format!(
        "{}\n[plans.all]\noperator = true\n[auth]\nmode = \"keys\"\nkeys_file = '{}'\n",
        config::demo(),
        file.display()
    );
    (serve(config(&auth, &[])), file)
}

#[test]
fn p23_without_a_credential_the_reason_is_told_and_nothing_is_tried_again() {
    let Some((browser, site)) = page() else { return };
    let (service, file) = keyed();
    open(&browser, site, service.address);
    let seen = browser.run(
        "start(['BTC']);
         const [error] = await until(() => seen.errors.length && seen.errors);
         // Waking up is no new reason to try.
         dispatchEvent(new Event('online'));
         return { error, status: seen.subscription.status, opened: opened.length };",
    );
    assert_eq!(seen["error"]["name"], "RefusedError");
    assert_eq!(seen["error"]["status"], 401);
    assert!(text(&seen["error"]["detail"]).contains("no key"), "{seen}");
    assert_eq!(seen["status"]["state"], "refused");
    assert!(seen["status"]["nextAttemptAt"].is_null());
    assert_eq!(seen["opened"], 1);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn p45_with_tickets_each_stream_has_a_fresh_one_and_resumes() {
    let Some((browser, site)) = page() else { return };
    let (service, file) = keyed();
    let wire = Wire::to(service.address);
    open(&browser, site, wire.address);
    browser.run(
        "const server = new URLSearchParams(location.search).get('server');
         const ticket = async symbols => {
             const answer = await fetch(`${server}/tickets`, { method: 'POST', headers: { Authorization: 'Bearer tick_page' }, body: JSON.stringify({ symbols }) });
             return (await answer.json()).ticket;
         };
         start(['BTC'], { ticket, heartbeat: 1000 });
         await until(() => seen.latest.BTC);",
    );
    wire.cut();
    let seen = browser.run(
        "await until(() => hellos.length === 2 && seen.subscription.status.state === 'live');
         const { calls } = seen;
         await until(() => seen.calls > calls);
         return { opened, resumed: hellos[1].resumed, stream: seen.subscription.status.stream };",
    );
    let ticket = |number: usize| {
        let url = text(&seen["opened"][number]);
        url.split("ticket=").nth(1).unwrap_or_else(|| panic!("no ticket in {url}")).to_owned()
    };
    assert_ne!(ticket(0), ticket(1));
    assert_eq!(seen["resumed"], true);
    assert_eq!(seen["stream"], "own", "tabs of nobody knows whom share nothing");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_example_shows_prices_by_the_react_hook_over_one_stream_and_draws_them() {
    let Some((browser, site)) = page() else { return };
    let service = serve(demo());
    browser.open(&format!("{}/dist-example/index.html?server=http://{}", site.origin(), service.address));
    let words = "const rows = () => [...document.querySelectorAll('tbody tr')];
         const price = symbol => document.querySelector(`tr[data-symbol='${symbol}'] .price`)?.textContent ?? '';
         const priced = symbol => /^[0-9]/.test(price(symbol));\n";
    browser.run(&format!(
        "{words} await until(() => rows().length === 6 && rows().every(row => priced(row.dataset.symbol) && row.dataset.current === 'true'));
         const before = price('BTC');
         await until(() => price('BTC') !== before && document.querySelector('.price[data-move]'));
         await until(() => document.querySelector('.connection').dataset.state === 'live');"
    ));
    let canvas = "const canvas = [...document.querySelectorAll('.canvas canvas')];
         const inked = canvas => new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer).some(pixel => pixel);";
    browser.run(&format!(
        "{canvas} await until(() => Number(document.querySelector('.canvas').dataset.bars) > 2);
         while (!canvas.some(inked)) await new Promise(requestAnimationFrame);"
    ));
    // A symbol more: the rows that are there do not lose theirs.
    browser.type_into("form input", "doge\u{E007}");
    let seen = browser.run(&format!(
        "{words} await until(() => priced('DOGE'));
         return {{ symbols: rows().map(row => row.dataset.symbol), priced: rows().every(row => priced(row.dataset.symbol)), chart: document.querySelector('h2').textContent,
             open: Number((await (await fetch('http://{}/metrics')).text()).match(/^tickcast_streams_open (.*)$/m)[1]) }};",
        service.address
    ));
    assert_eq!(seen["symbols"], json!(["BTC", "ETH", "SOL", "AAPL", "NVDA", "TSLA", "DOGE"]));
    assert_eq!((&seen["priced"], &seen["open"]), (&json!(true), &json!(1)), "{seen}");
    assert!(text(&seen["chart"]).starts_with("DOGE"), "{seen}");
    let bars = browser.run(
        "return performance.getEntriesByType('resource').filter(it => it.name.includes('/candles?')).map(it => it.responseStatus);",
    );
    assert!(bars.as_array().unwrap().iter().all(|status| status == 200) && bars[0] == 200, "{bars}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
