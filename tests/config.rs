//! The configuration through its public door: what loads, what is refused, and that every mistake is told with its
//! line. Each test passes its own environment; none touches the process's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tickcast::config::{
    self, Auth, AuthMode, Candles, Class, Config, Http, Limits, Mistakes, Place, PriceRule, Sim, StaleAfter,
    Stream,
};
use tickcast_feeds::Venue;

/// A config that is right, to which tests add what they are about. Eight lines.
const RIGHT: &str = r#"[feeds.sim]
[[instrument]]
symbol = "BTC"
class = "crypto"
base = "BTC"
aliases = ["XBT"]
currency = "USD"
sources = ["sim:BTC-USD"]
"#;

fn load(text: &str) -> Result<Config, Mistakes> {
    config::load(text, "test.toml", std::iter::empty())
}

fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Config, Mistakes> {
    config::load(text, "test.toml", env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The config, or a failure that shows the mistakes as an operator sees them.
fn right(loaded: Result<Config, Mistakes>) -> Config {
    let told = loaded.as_ref().err().map(ToString::to_string);
    assert_eq!(told, None);
    loaded.expect("no mistake was told")
}

/// The lines printed for a config that is wrong.
fn mistakes(text: &str) -> Vec<String> {
    load(text).expect_err("the config is wrong").to_string().lines().map(str::to_owned).collect()
}

/// `RIGHT`, and one more instrument from line 9 on.
fn and_instrument(keys: &str) -> String {
    format!("{RIGHT}[[instrument]]\n{keys}\n")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("the file is there")
}

#[test]
fn every_file_in_config_loads() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("there is a folder config/")
        .map(|entry| entry.expect("its entries can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| PathBuf::from(name).extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    for name in &names {
        let config = right(config::load(&file(name), name, std::iter::empty()));
        assert!(!config.instruments.is_empty(), "{name}");
    }
    for name in ["bench.toml", "demo.toml", "tickcast.toml"] {
        assert!(names.iter().any(|there| there == name), "config/{name} is missing");
    }
}

#[test]
fn the_built_in_demo_is_the_file_and_needs_no_network() {
    assert_eq!(config::demo(), file("demo.toml"));
    let demo = load(config::demo()).expect("the demo loads");
    assert!(demo.feeds.is_on(Venue::Sim));
    let live = Venue::ALL.iter().filter(|venue| **venue != Venue::Sim && demo.feeds.is_on(**venue)).count();
    assert_eq!(live, 0);
}

#[test]
fn the_documented_file_shows_every_key_at_its_default() {
    let config = load(&file("tickcast.toml")).expect("it loads");
    assert_eq!(config.stream, Stream::default());
    assert_eq!(config.candles, Candles::default());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.http, Http::default());
    assert_eq!((config.auth, config.plans), (Auth::default(), Vec::new()));
    assert_eq!(config.feeds.sim, Some(Sim::default()));
    assert!(Venue::ALL.iter().all(|&venue| config.feeds.feed(venue).is_none()));
    let bitcoin = &config.instruments[0];
    assert_eq!(
        (bitcoin.price, bitcoin.min_sources, bitcoin.stale_after),
        (PriceRule::Primary, 1, StaleAfter::Auto)
    );
    assert_eq!((bitcoin.decimals, bitcoin.currency.as_str()), (2, "USD"));
}

#[test]
fn the_documented_file_loads_with_all_that_is_commented_out_switched_on() {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => {
            key.to_owned()
        }
        _ => line.to_owned(),
    };
    let text: Vec<String> = file("tickcast.toml").lines().map(uncomment).collect();
    let keys = [
        "APCA_API_KEY_ID",
        "APCA_API_SECRET_KEY",
        "FINNHUB_API_KEY",
        "POLYGON_API_KEY",
        "TIINGO_API_KEY",
        "TWELVEDATA_API_KEY",
        "JWT_SECRET",
    ];
    let config = right(load_with(&text.join("\n"), &keys.map(|name| (name, "k3y"))));
    assert!(Venue::ALL.iter().all(|venue| config.feeds.is_on(*venue)));
    assert_eq!(config.record.map(|record| (record.bytes_max, record.files_max)), Some((256 << 20, 16)));
    assert_eq!(config.limits.messages_per_second, Some(500));
    assert_eq!(config.limits.bytes_per_second, Some(100_000));
    assert_eq!(config.limits.memory_max, Some(8 << 30));
    assert_eq!((config.auth.mode, config.plans.len()), (AuthMode::None, 1));
    assert_eq!(config.feeds.sim.and_then(|sim| sim.silence_max), Some(Duration::from_secs(10)));
}

#[test]
fn the_documented_file_names_every_key_there_is() {
    // Asks the loader itself: what it lists as valid must stand in the file.
    let text = "instrument = [{zz9 = 1}]\n[stream]\nzz9 = 1\n[limits]\nzz9 = 1\n[http]\nzz9 = 1\n\
                [feeds]\nzz9 = 1\nsim.zz9 = 1\nkraken.zz9 = 1\n[record]\nzz9 = 1\n\
                [auth]\nzz9 = 1\njwt.zz9 = 1\n[plans.p]\nzz9 = 1\n";
    let lists: Vec<String> =
        mistakes(text).into_iter().filter(|line| line.contains("here may stand: ")).collect();
    assert_eq!(lists.len(), 11, "{lists:#?}");
    let documented = file("tickcast.toml");
    for key in lists.iter().flat_map(|line| line.rsplit(": ").next().unwrap_or_default().split(", ")) {
        let is_key = |line: &str| line.trim_start_matches(['#', ' ']).split([' ', '=']).next() == Some(key);
        let is_there = documented.lines().any(is_key)
            || ["feeds", "auth"].iter().any(|of| documented.contains(&format!("[{of}.{key}]")));
        assert!(is_there, "config/tickcast.toml does not show `{key}`");
    }
}

#[test]
fn the_load_tests_config_generates_a_hundred_symbols_and_limits_no_client() {
    let config = load(&file("bench.toml")).expect("it loads");
    assert_eq!(config.instruments.len(), 100);
    let first = &config.instruments[0];
    assert_eq!((first.symbol.as_str(), first.class, first.currency.as_str()), ("S000", Class::Stock, "USD"));
    assert_eq!(first.sources[0].to_string(), "sim:S000");
    assert_eq!(config.instruments[99].symbol, "S099");
    let sim = config.feeds.sim.expect("it is simulated");
    assert_eq!(sim.interval(), Duration::from_millis(100));
    assert_eq!(config.limits.messages_per_second, None);
    assert!(config.limits.streams_per_client >= 100_000 && config.limits.opens_per_minute >= 100_000);
}

#[test]
fn every_key_is_read_into_its_type() {
    let text = r#"
        [feeds]
        coinbase = { url = "wss://feed.example/ws", silence_max = "1m 30s" }
        kraken.enabled = false
        [feeds.sim]
        seed = 9
        rate = 0.20
        [stream]
        heartbeat = 0
        symbols_max = 10
        [limits]
        messages_per_second = 50
        [http]
        listen = "[::1]:0"
        cors_origins = ["https://Example.com", "http://localhost:3000"]
        trusted_proxies = ["10.1.2.3/8", "::1"]
        [[instrument]]
        symbol = "btc"
        name = "Bitcoin"
        class = "crypto"
        base = "btc"
        currency = "usd"
        decimals = 8
        aliases = ["xbt", "BTC:SPOT"]
        sources = ["coinbase:BTC-USD", "kraken:BTC/USD"]
        price = "median"
        min_sources = 2
        stale_after = "90s"
    "#;
    let config = right(load(text));
    let coinbase = config.feeds.feed(Venue::Coinbase).expect("it is configured");
    assert_eq!(coinbase.url.as_deref(), Some("wss://feed.example/ws"));
    assert_eq!(coinbase.silence_max, Some(Duration::from_secs(90)));
    assert!(config.feeds.is_on(Venue::Coinbase) && !config.feeds.is_on(Venue::Kraken));
    assert!(config.feeds.feed(Venue::Kraken).is_some() && config.feeds.feed(Venue::Binance).is_none());
    let sim = config.feeds.sim.as_ref().expect("it is configured");
    assert_eq!(
        (sim.seed, sim.rate.to_string().as_str(), sim.interval()),
        (9, "0.20", Duration::from_secs(5))
    );
    assert_eq!((config.stream.heartbeat, config.stream.symbols_max), (Duration::ZERO, 10));
    assert_eq!(config.limits.messages_per_second, Some(50));
    assert_eq!(config.http.listen.to_string(), "[::1]:0");
    assert_eq!(config.http.cors_origins, ["https://example.com", "http://localhost:3000"]);
    let proxies: Vec<String> = config.http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    let bitcoin = &config.instruments[0];
    assert_eq!(
        (bitcoin.symbol.as_str(), bitcoin.base.as_deref(), bitcoin.currency.as_str()),
        ("BTC", Some("BTC"), "USD")
    );
    assert_eq!(bitcoin.aliases, ["XBT", "BTC:SPOT"]);
    assert_eq!((bitcoin.decimals, bitcoin.price, bitcoin.min_sources), (8, PriceRule::Median, 2));
    assert_eq!(bitcoin.stale_after, StaleAfter::Fixed(Duration::from_secs(90)));
    assert_eq!((bitcoin.sources[1].venue, bitcoin.sources[1].wire.as_str()), (Venue::Kraken, "BTC/USD"));
}

#[test]
fn three_mistakes_are_three_lines_each_with_its_place() {
    let text =
        format!("{RIGHT}[stream]\nthrotle_default = \"50ms\"\nheartbeat = 15\n\n[http]\nlisten = \"8080\"\n");
    assert_eq!(
        mistakes(&text),
        [
            "test.toml:10: [stream]: unknown key `throtle_default`; did you mean `throttle_default`?",
            "test.toml:11: [stream] heartbeat: expected a duration with its unit, such as \"250ms\" or \"10s\", \
             found a whole number",
            "test.toml:14: [http] listen: `8080` is no address and port, such as 127.0.0.1:8080 or [::1]:8080",
        ]
    );
}

#[test]
fn mistakes_of_every_kind_are_told_together() {
    let text = r#"
[feeds.sim]
rate = 0
[feeds.mtgox]
[[instrument]]
symbol = "BTC"
class = "cryptoo"
sources = ["sim:BTC-USD", "sim", "krakn:BTC/USD"]
[[instrument]]
symbol = "A B"
aliases = ["C,D", 5]
decimals = 29
sources = "sim:A"
[limits]
streams_total = 0
[htp]
"#;
    let error = load(text).expect_err("it is wrong");
    let lines: Vec<_> = error.iter().map(|mistake| mistake.place.clone()).collect();
    let expected = [3, 4, 7, 8, 8, 9, 10, 11, 11, 12, 13, 15, 16].map(Place::Line);
    assert_eq!(lines, expected, "{error}");
    assert_eq!(error.count(), 13);
    let printed = error.to_string();
    for part in [
        "[feeds]: unknown key `mtgox`; here may stand: ",
        "[feeds.sim] rate: 0 is out of bounds: from 0.001 to 10000",
        "[[instrument]] BTC class: `cryptoo` is none of: crypto, stock",
        "[[instrument]] BTC sources: `sim` is no source",
        "unknown venue `krakn`; did you mean `kraken`?",
        "test.toml:9: [[instrument]] #2 class: is missing",
        "test.toml:16: unknown key `htp`; did you mean `http`?",
    ] {
        assert!(printed.contains(part), "{part}\nis not in\n{printed}");
    }
}

#[test]
fn a_list_over_several_lines_has_a_line_for_each_mistake() {
    let text = and_instrument(
        "symbol = \"ETH\"\nclass = \"crypto\"\nsources = [\n  \"sim:ETH-USD\",\n  \"sim:ETH-USDT\",\n]",
    );
    let lines = mistakes(&text);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with("test.toml:14: [[instrument]] ETH sources: `sim:ETH-USDT` is priced in USDT")
    );
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line_and_not_repeated() {
    let error =
        load("[http]\nlisten = \"127.0.0.1:80\ntoken = \"s3cret\"\n").expect_err("a quote is missing");
    assert_eq!(error.count(), 1);
    let printed = error.to_string();
    assert!(printed.starts_with("test.toml:2: not TOML: "), "{printed}");
    assert!(!printed.contains("s3cret") && !printed.contains("127.0.0.1"), "{printed}");
    assert!(mistakes("[http]\n[http]\n")[0].starts_with("test.toml:2: not TOML: "));
}

#[test]
fn more_than_a_hundred_mistakes_are_counted_and_a_hundred_listed() {
    let text = (0..150).fold(String::new(), |text, n| text + &format!("qqqqq{n} = 1\n"));
    let error = load(&text).expect_err("it is wrong");
    assert_eq!((error.iter().count(), error.count()), (100, 150));
    assert!(error.to_string().ends_with("\ntest.toml: and 50 more"), "{error}");
}

#[test]
fn the_environment_overrides_any_key() {
    let env = [
        ("TICKCAST__HTTP__LISTEN", "0.0.0.0:9000"),
        ("TICKCAST__HTTP__CORS_ORIGINS", r#"["https://a.example"]"#),
        ("TICKCAST__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.1"),
        ("TICKCAST__STREAM__HEARTBEAT", "1s"),
        ("TICKCAST__STREAM__THROTTLE_MIN", "0"),
        ("TICKCAST__LIMITS__MESSAGES_PER_SECOND", "20"),
        ("TICKCAST__FEEDS__SIM__RATE", "0.5"),
        ("TICKCAST__FEEDS__KRAKEN__ENABLED", "false"),
        ("tickcast__feeds__sim__seed", "1"),
        ("TICKCAST_HOME", "/nowhere"),
        ("PATH", "/bin"),
    ];
    let text = format!("{RIGHT}[http]\nlisten = \"127.0.0.1:1\"\n");
    let config = right(load_with(&text, &env));
    assert_eq!(config.http.listen, SocketAddr::from(([0, 0, 0, 0], 9000)));
    assert_eq!(config.http.cors_origins, ["https://a.example"]);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.stream.heartbeat, Duration::from_secs(1));
    assert_eq!(config.stream.throttle_min, Duration::ZERO);
    assert_eq!(config.limits.messages_per_second, Some(20));
    let sim = config.feeds.sim.as_ref().expect("the file has it");
    assert_eq!((sim.rate.to_string().as_str(), sim.seed), ("0.5", 7));
    assert_eq!(config.feeds.feed(Venue::Kraken).map(|feed| feed.enabled), Some(false));
}

#[test]
fn a_variable_reaches_into_a_list_by_number_and_may_be_a_whole_table() {
    let env = [
        ("TICKCAST__INSTRUMENT__0__NAME", "5"),
        ("TICKCAST__INSTRUMENT__0__CURRENCY", "EUR"),
        ("TICKCAST__INSTRUMENT__0__SOURCES", "sim:BTC-EUR"),
        ("TICKCAST__LIMITS", "{ streams_total = 5 }"),
        ("TICKCAST__LIMITS__OPENS_PER_MINUTE", "6"),
    ];
    let config = right(load_with(RIGHT, &env));
    let bitcoin = &config.instruments[0];
    assert_eq!((bitcoin.name.as_str(), bitcoin.sources[0].to_string().as_str()), ("5", "sim:BTC-EUR"));
    assert_eq!((config.limits.streams_total, config.limits.opens_per_minute), (5, 6));
}

#[test]
fn a_variable_that_names_no_key_or_holds_no_value_is_told_by_its_name() {
    let env = [
        ("TICKCAST__HTTP__LISTN", "0.0.0.0:9000"),
        ("TICKCAST__HTTP__LISTEN", "here"),
        ("TICKCAST__LIMITS__STREAMS_TOTAL", "many"),
        ("TICKCAST__STREAM__RETRY__BASE", "1"),
        ("TICKCAST__INSTRUMENT__7__NAME", "x"),
        ("TICKCAST__", "x"),
        ("TICKCAST__HTTP__DRAIN_MAX", "1s\nlisten = 5"),
    ];
    let text = format!("{RIGHT}[stream]\nretry = \"1s\"\n");
    let error = load_with(&text, &env).expect_err("they are wrong");
    let printed = error.to_string();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines,
        [
            "TICKCAST__: names no key; a key is named like TICKCAST__HTTP__LISTEN",
            "TICKCAST__HTTP__DRAIN_MAX: [http] drain_max: `1s\\nlisten = 5` is no duration, such as \"250ms\" or \"10s\"",
            "TICKCAST__HTTP__LISTEN: [http] listen: `here` is no address and port, such as 127.0.0.1:8080 or [::1]:8080",
            "TICKCAST__HTTP__LISTN: [http]: unknown key `listn`; did you mean `listen`?",
            "TICKCAST__INSTRUMENT__7__NAME: `instrument.7` is not a table, so there is no key in it",
            "TICKCAST__LIMITS__STREAMS_TOTAL: [limits] streams_total: expected a whole number, found text",
            "TICKCAST__STREAM__RETRY__BASE: `stream.retry` is not a table, so there is no key in it",
        ]
    );
}

#[test]
fn no_two_instruments_share_a_name() {
    let eth = "class = \"crypto\"\nsources = [\"sim:ETH-USD\"]\n";
    let cases = [
        (
            "symbol = \"btc\"\n",
            "test.toml:10: [[instrument]] BTC symbol: `BTC` is also a name of BTC (line 3)",
        ),
        (
            "symbol = \"XBT\"\n",
            "test.toml:6: [[instrument]] BTC aliases: `XBT` is also a name of XBT (line 10)",
        ),
        (
            "symbol = \"E\"\naliases = [\"E2\", \"xbt\"]\n",
            "test.toml:11: [[instrument]] E aliases: `XBT` is also a name of BTC (line 3)",
        ),
        (
            "symbol = \"E\"\naliases = [\"BTC\"]\n",
            "test.toml:11: [[instrument]] E aliases: `BTC` is also a name of BTC (line 3)",
        ),
        (
            "symbol = \"BTCUSD\"\n",
            "test.toml:5: [[instrument]] BTC base: the automatic alias `BTCUSD` is also a name of BTCUSD (line 10); without `base` there is none",
        ),
        (
            "symbol = \"E\"\naliases = [\"BTC/USD\"]\n",
            "test.toml:5: [[instrument]] BTC base: the automatic alias `BTC/USD` is also a name of E (line 10); without `base` there is none",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(mistakes(&and_instrument(&format!("{keys}{eth}"))), [expected], "{keys}");
    }
    let twice = "symbol = \"B2\"\nclass = \"crypto\"\nbase = \"BTC\"\nsources = [\"sim:BTC-USD\"]";
    let lines = mistakes(&and_instrument(twice));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with("test.toml:12: [[instrument]] B2 base: the automatic alias `BTC-USD`"),
        "{lines:#?}"
    );
}

#[test]
fn an_instrument_may_repeat_its_own_names_and_share_a_source() {
    let same = "symbol = \"BTC-EUR\"\nclass = \"crypto\"\nbase = \"BTC\"\ncurrency = \"EUR\"\n\
                aliases = [\"BTC-EUR\", \"BTCEUR\", \"btceur\"]\nsources = [\"sim:BTC-EUR\"]\n\
                [[instrument]]\nsymbol = \"BITCOIN\"\nclass = \"crypto\"\nsources = [\"sim:BTC-USD\"]";
    assert_eq!(load(&and_instrument(same)).expect("it is right").instruments.len(), 3);
}

#[test]
fn a_generated_symbol_may_not_be_an_instruments_name() {
    let text = "[[instrument]]\nsymbol = \"S001\"\nclass = \"stock\"\nsources = [\"sim:A\"]\n[feeds.sim]\ngenerate = 3\n";
    assert_eq!(mistakes(text), ["test.toml:6: [feeds.sim] generate: `S001` is also a name of S001 (line 2)"]);
}

#[test]
fn a_source_must_be_what_the_instrument_says_it_is() {
    let cases = [
        (
            "sources = [\"sim:ETH-USDT\"]",
            "`sim:ETH-USDT` is priced in USDT, the instrument in USD, which is not the same",
        ),
        ("base = \"ETH\"\nsources = [\"sim:SOL-USD\"]", "`sim:SOL-USD` is SOL, the instrument's base is ETH"),
        ("sources = [\"sim:ETH-USD\", \"sim:ETH-USD\"]", "`sim:ETH-USD` is there twice"),
        ("sources = []", "is empty; a price needs a source, such as coinbase:BTC-USD"),
    ];
    for (keys, expected) in cases {
        let text = and_instrument(&format!("symbol = \"ETH\"\nclass = \"crypto\"\n{keys}"));
        let line = 11 + keys.lines().count();
        assert_eq!(mistakes(&text), [format!("test.toml:{line}: [[instrument]] ETH sources: {expected}")]);
    }
}

#[test]
fn usdt_is_not_usd_and_a_venues_own_code_for_an_asset_is_that_asset() {
    let with = |source: &str| {
        let keys = format!("symbol = \"BITCOIN\"\nclass = \"crypto\"\nsources = [\"{source}\"]\n");
        format!("{}[feeds]\nbinance = {{}}\nkraken = {{}}\n", and_instrument(&keys))
    };
    let lines = mistakes(&with("binance:BTCUSDT"));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("`binance:BTCUSDT` is priced in USDT, the instrument in USD"), "{lines:#?}");
    let own_code = "[[instrument]]\nsymbol = \"BTC\"\nclass = \"crypto\"\nbase = \"BTC\"\n\
                    sources = [\"kraken:XBT/USD\", \"coinbase:BTC-USD\"]\n[feeds.kraken]\n";
    assert_eq!(right(load(own_code)).instruments[0].sources.len(), 2);
}

#[test]
fn a_venue_that_is_off_is_a_mistake_only_where_no_other_source_is_left() {
    let with =
        |sources: &str| and_instrument(&format!("symbol = \"ETH\"\nclass = \"crypto\"\nsources = {sources}"));
    assert!(load(&with("[\"kraken:ETH/USD\", \"sim:ETH-USD\"]")).is_ok());
    assert_eq!(
        mistakes(&with("[\"kraken:ETH/USD\"]")),
        [
            "test.toml:12: [[instrument]] ETH sources: no source is left: kraken is off; switch on [feeds.kraken]"
        ]
    );
    let off =
        format!("{}[feeds.kraken]\nenabled = false\n", with("[\"kraken:ETH/USD\", \"coinbase:ETH-USD\"]"));
    assert_eq!(
        mistakes(&off),
        ["test.toml:12: [[instrument]] ETH sources: no source is left: coinbase, kraken are off; \
          switch on one of them in [feeds]"]
    );
    let on = load_with(&off, &[("TICKCAST__FEEDS__KRAKEN__ENABLED", "true")]);
    assert!(on.is_ok());
}

#[test]
fn a_config_without_instruments_is_a_mistake() {
    for text in ["", "[feeds.sim]\n", "instrument = []\n", "[feeds.sim]\nenabled = false\ngenerate = 5\n"] {
        let expected = "test.toml:1: [[instrument]]: there is none; add an [[instrument]], or set `generate` in [feeds.sim]";
        assert_eq!(mistakes(text), [expected], "{text}");
    }
}

#[test]
fn values_out_of_bounds_are_told_with_their_bounds() {
    let cases = [
        ("[stream]\nstall_max = \"0s\"", "[stream] stall_max: 0s is out of bounds: from 10ms to 1h"),
        ("[stream]\nsymbols_max = 0", "[stream] symbols_max: 0 is out of bounds: from 1 to 1000000"),
        (
            "[limits]\nopens_per_minute = -1",
            "[limits] opens_per_minute: -1 is out of bounds: from 1 to 4294967295",
        ),
        (
            "[http]\ndrain_max = \"4s\"",
            "[http] drain_max: 4s is less than drain_window, 5s: streams would be cut without a `bye`",
        ),
        (
            "[http]\ncors_origins = [\"https://example.com/\"]",
            "[http] cors_origins: `https://example.com/` is no origin, such as https://example.com (no path, no slash at the end) or *",
        ),
        (
            "[http]\ntrusted_proxies = [\"10.0.0.0/33\"]",
            "[http] trusted_proxies: `10.0.0.0/33` is no address or network, such as 10.0.0.0/8 or ::1",
        ),
        ("[http]\nconnections_max = 0", "[http] connections_max: 0 is out of bounds: from 1 to 4294967295"),
        (
            "[http]\ntls_cert = \"cert.pem\"",
            "[http] tls_cert: TLS takes a certificate and its key: `tls_key` is missing",
        ),
        (
            "[http]\ntls_key = \"key.pem\"",
            "[http] tls_key: TLS takes a certificate and its key: `tls_cert` is missing",
        ),
        (
            "[stream]\nretry = true",
            "[stream] retry: expected a duration with its unit, such as \"250ms\" or \"10s\", found true or false",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(mistakes(&format!("{RIGHT}{keys}\n")), [format!("test.toml:10: {expected}")], "{keys}");
    }
    let median = "symbol = \"ETH\"\nclass = \"crypto\"\nsources = [\"sim:ETH-USD\"]\nprice = \"median\"\nmin_sources = 2";
    let lines = mistakes(&and_instrument(median));
    assert!(lines[0].starts_with("test.toml:14: [[instrument]] ETH min_sources: 2 wanted"), "{lines:#?}");
}

#[test]
fn a_certificate_takes_both_its_files_and_a_wrong_one_is_told_once() {
    let wrong = "[http]\ntls_key = \"key.pem\"\ntls_cert = 5\n";
    let told = ["test.toml:11: [http] tls_cert: expected text in quotes, found a whole number"];
    assert_eq!(mistakes(&format!("{RIGHT}{wrong}")), told);
    let both = right(load(&format!("{RIGHT}[http]\ntls_cert = \"a.pem\"\ntls_key = \"b.pem\"\n")));
    let files = both.http.tls.expect("both are there");
    assert_eq!((files.cert, files.key), ("a.pem".into(), "b.pem".into()));
}

#[test]
fn there_is_room_for_more_connections_than_streams_unless_told_otherwise() {
    let most = |keys: &str| {
        let config = right(load(&format!("{RIGHT}{keys}\n")));
        config.http.connections_max(&config.limits)
    };
    assert_eq!(most(""), 101_000);
    assert_eq!(most("[limits]\nstreams_total = 50"), 1_050);
    assert_eq!(most("[http]\nconnections_max = 7"), 7);
}

#[test]
fn an_address_is_never_repeated_in_a_mistake() {
    for url in ["https://feed.example/?token=s3cret", "wss://", "wss://a b?s3cret", "s3cret"] {
        let text = format!("{RIGHT}[feeds.kraken]\nurl = \"{url}\"\n");
        let lines = mistakes(&text);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with("test.toml:10: [feeds.kraken] url: no WebSocket address"), "{lines:#?}");
        assert!(!lines[0].contains("s3cret"), "{lines:#?}");
    }
}

#[test]
fn control_characters_of_a_config_do_not_reach_the_terminal() {
    let text = format!("{RIGHT}\"\\u001b[31mred\" = 1\n[stream]\nretry = \"\\u001b[31m\"\n");
    let printed = mistakes(&text).join("\n");
    assert!(printed.contains("\\u{1b}[31mred") && !printed.contains('\u{1b}'), "{printed}");
}

/// `RIGHT`, and these keys of a feed from line 10 on.
fn and_feed(venue: &str, keys: &str) -> String {
    format!("{RIGHT}[feeds.{venue}]\n{keys}\n")
}

#[test]
fn a_key_comes_from_a_variable_or_a_file_and_is_never_printed() {
    let keys = "key_env = \"MY_KEY\"\nsecret_env = \"MY_SECRET\"";
    let env = [("MY_KEY", " k3y\n"), ("MY_SECRET", "s3cret")];
    let config = right(load_with(&and_feed("alpaca", keys), &env));
    let key = config.feeds.feed(Venue::Alpaca).and_then(|feed| feed.key.clone()).expect("it is there");
    assert_eq!((key.key.expose(), key.secret.as_ref().map(config::Secret::expose)), ("k3y", Some("s3cret")));
    let shown = format!("{config:?}");
    assert!(!shown.contains("k3y") && !shown.contains("s3cret") && shown.contains("***"), "{shown}");

    let path = std::env::temp_dir().join(format!("tickcast-key-{}", std::process::id()));
    std::fs::write(&path, "f1le\n").expect("a scratch file can be written");
    let config = load(&and_feed("tiingo", &format!("key_file = {:?}", path.display().to_string())));
    std::fs::remove_file(&path).expect("it is ours");
    let config = right(config);
    let key = config.feeds.feed(Venue::Tiingo).and_then(|feed| feed.key.clone()).expect("it is there");
    assert_eq!(key.key.expose(), "f1le");
}

#[test]
fn a_missing_key_is_a_mistake_that_names_its_variable_unless_the_feed_is_off() {
    let problem = |venue, keys| mistakes(&and_feed(venue, keys));
    assert_eq!(
        problem("alpaca", "key_env = \"MY_KEY\""),
        ["test.toml:10: [feeds.alpaca] key_env: the variable MY_KEY is not set"]
    );
    let missing = problem("alpaca", "");
    assert_eq!(missing.len(), 1, "{missing:#?}");
    assert!(missing[0].starts_with("test.toml:9: [feeds.alpaca] key_env: is missing"), "{missing:#?}");
    let lost = problem("tiingo", "key_file = \"/no/such/file\"");
    assert!(lost[0].starts_with("test.toml:10: [feeds.tiingo] key_file: /no/such/file: "), "{lost:#?}");
    right(load(&and_feed("alpaca", "enabled = false\nkey_env = \"MY_KEY\"")));
    right(load(&and_feed("finnhub", "url = \"wss://ws.finnhub.io?token=abc\"")));
}

#[test]
fn m99_a_bad_proxy_setting_is_a_mistake_and_its_password_is_not_repeated() {
    let printed = mistakes(&and_feed("kraken", "proxy = \"ftp://me:s3cret@proxy:1\""));
    assert_eq!(printed.len(), 1, "{printed:#?}");
    assert!(
        printed[0].starts_with("test.toml:10: [feeds.kraken] proxy: no proxy: http://host:port"),
        "{printed:#?}"
    );
    assert!(!printed[0].contains("s3cret"), "{printed:#?}");
    let text = format!("{RIGHT}[feeds.kraken]\n[feeds.coinbase]\n");
    let error = load_with(&text, &[("HTTPS_PROXY", "s3cret@proxy")]).expect_err("it is no proxy");
    assert_eq!(error.count(), 1, "{error}");
    assert!(error.to_string().starts_with("HTTPS_PROXY: no proxy: "), "{error}");
    // Who connects to nobody need not care.
    right(load_with(RIGHT, &[("HTTPS_PROXY", "s3cret@proxy")]));
    let config =
        right(load_with(&text, &[("ALL_PROXY", "socks5://127.0.0.1:1080"), ("NO_PROXY", "kraken.com")]));
    let proxy =
        |venue| config.feeds.feed(venue).and_then(|feed| feed.proxy.as_ref()).map(ToString::to_string);
    assert_eq!(proxy(Venue::Kraken), None);
    assert_eq!(proxy(Venue::Coinbase).as_deref(), Some("socks5://127.0.0.1:1080"));
}

#[test]
fn a_bus_says_what_is_wrong_with_it_and_an_edge_needs_no_symbols() {
    use tickcast::config::{Login, Role};
    let load =
        |text: &str| config::load(text, "bus.toml", [("TOKEN".to_owned(), "s3cret".to_owned())].into_iter());
    let edge =
        load("[bus]\nrole = \"edge\"\nurl = \"nats://u:p@10.0.0.5:4222, tls://b\"\ntoken_env = \"TOKEN\"")
            .expect("an edge");
    let bus = edge.bus.expect("a bus");
    assert_eq!((bus.role, bus.servers().as_str()), (Role::Edge, "nats://10.0.0.5:4222,tls://b"));
    assert!(matches!(&bus.login, Login::Token(token) if token.expose() == "s3cret"));
    assert!(!format!("{bus:?}").contains("s3cret"));
    let told = |text: &str| load(text).expect_err(text).to_string();
    for (text, problem) in [
        ("[bus]\nrole = \"edge\"", "[bus] url: is missing"),
        ("[bus]\nurl = \"nats://a\"", "[bus] url: goes not with role = \"all\", which needs no NATS"),
        (
            "[bus]\nrole = \"edge\"\nurl = \"http://a:4222\"",
            "[bus] url: no NATS address: it is written nats://host:4222",
        ),
        ("[bus]\nrole = \"core\"", "[bus] role: `core` is none of: all, ingest, edge"),
        ("[bus]\nrole = \"edge\"\nurl = \"nats://a\"\nstream = \"a.b\"", "[bus] stream: `a.b` is no name"),
        (
            "[bus]\nrole = \"edge\"\nurl = \"nats://a\"\nsubjects = \"a..b\"",
            "[bus] subjects: `a..b` begins no subject",
        ),
        (
            "[bus]\nrole = \"edge\"\nurl = \"nats://a\"\nreplicas = 6",
            "[bus] replicas: 6 is out of bounds: from 1 to 5",
        ),
        (
            "[bus]\nrole = \"edge\"\nurl = \"nats://a\"\nuser_env = \"TOKEN\"",
            "[bus] user and password: go together",
        ),
        ("[bus]\nrole = \"edge\"\nurl = \"nats://a\"\ntoken_env = \"NONE\"", "the variable NONE is not set"),
        (
            "[bus]\nrole = \"edge\"\nurl = \"tls://a\"\ntls_ca = \"/no/ca.pem\"",
            "[bus] tls_ca: /no/ca.pem: No such file",
        ),
        (
            "[bus]\nrole = \"edge\"\nurl = \"tls://a\"\ncredentials_file = \"/no/user.creds\"",
            "[bus] credentials_file: /no/user.creds: No such file",
        ),
        ("[bus]\nrole = \"ingest\"\nurl = \"nats://a\"", "[[instrument]]: there is none"),
    ] {
        let mistakes = told(text);
        assert!(mistakes.contains(problem), "{text}\n{mistakes}");
    }
}
