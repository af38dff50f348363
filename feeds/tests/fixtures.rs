//! Each frame of `fixtures/` and what it means.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod meaning;

use tickcast_feeds::Venue;

use meaning::{check, decoded, kinds};

const COINBASE: &[(&str, &[&str])] = &[
    // The maker sold, so the aggressor bought.
    ("match", &["trade BTC-USD 63514.60 x 0.20 Some(Buy) #1052119289 @1783465097164892000"]),
    ("match_numbers", &["trade SHIB-USD 0.00000092 x 0.00044780 Some(Sell) #12 @-"]),
    ("last_match", &["past ETH-USD 1774.92 x 0.16908161 Some(Sell) #825468236 @1783465096156605000"]),
    // Here the side is the taker's.
    (
        "ticker",
        &[
            "ticker BTC-USD 17165.16 x 0.05 Some(Sell) #463751434 top 17165.15 x 0.61540890 / 17167.76 x 0.18528568 \
           o 16437.94 h 17259.37 l 16423.37 v 42492.05081975 pc 16437.94 @1669852800122581000",
        ],
    ),
    (
        "ticker_bare",
        &[
            "ticker BTC-USD 4095.00000000 x - None #- top 4094.99 x - / - x - o 4094.14000000 h 4103.00000000 \
           l 4077.01000000 v 3142.70640811 pc 4094.14000000 @-",
        ],
    ),
    ("heartbeat", &[]),
    ("subscriptions", &["ack BTC-USD", "ack ETH-USD"]),
    ("error", &["refused FOO-USD: FOO-USD is not a valid product"]),
    ("error_plain", &["refused -: Malformed JSON"]),
    ("l2update", &[]),
    ("unknown", &[]),
];

const KRAKEN: &[(&str, &[&str])] = &[
    (
        "trade",
        &[
            "trade BTC/USD 81205.1 x 0.00003630 Some(Buy) #106799953 @1788481280564568000",
            "trade BTC/USD 81205.10 x 0.00200000 Some(Sell) #106799954 @1788481280564569000",
        ],
    ),
    ("trade_snapshot", &["past BTC/USD 100.1 x 0.25 Some(Buy) #122 @1783641600023456000"]),
    ("trade_texts", &["trade DOGE/USD 0.00000092 x 1000 Some(Sell) #5 @1783641600000000000"]),
    (
        "ticker",
        &["ticker BTC/USD 83744.3 x - None #- top 83744.2 x 0.56251979 / 83744.3 x 0.00044780 \
           o 84173.6 h 85247.4 l 83163.6 v 3156.84782110 pc 84173.6 @1790358506844359000"],
    ),
    (
        "ticker_snapshot",
        &["ticker BTC/USD 81205.1 x - None #- top 81205.0 x 0.58905885 / 81205.1 x 0.69697106 \
           o 77038.5 h 82288.1 l 76949.6 v 4696.17832496 pc 77038.5 @1788481280217476000"],
    ),
    // Nobody bids or offers, and 1970 is no time.
    (
        "ticker_no_book",
        &["ticker AAPLx/USD 0.10035 x - None #- top - x - / - x - o 0.10052 h 0.10285 l 0.09979 \
           v 997038.98383185 pc 0.10052 @-"],
    ),
    ("status", &[]),
    ("heartbeat", &[]),
    ("ack", &["ack BTC/USD"]),
    ("refusal", &["refused XBT/USD: Currency pair not supported XBT/USD"]),
    ("refusal_plain", &["refused -: Exceeded msg rate"]),
    ("pong", &[]),
    ("book", &[]),
];

const BINANCE: &[(&str, &[&str])] = &[
    // The buyer was the maker, so the aggressor sold.
    ("trade", &["trade BTCUSDT 63551.02000000 x 0.00317000 Some(Sell) #6486989273 @1783465157896000000"]),
    (
        "trade_combined",
        &["trade BTCUSDT 63551.02000000 x 0.00317000 Some(Buy) #6486989273 @1783465157896000000"],
    ),
    ("trade_micros", &["trade BTCUSDT 63551.02 x 0.00000001 Some(Sell) #1 @1783465157896123000"]),
    ("agg_trade", &["trade BTCUSDT 64348.95000000 x 0.00009000 Some(Sell) #3988316038 @1781416576888000000"]),
    ("book_ticker", &["quote BNBUSDT 25.35190000 x 31.21000000 / 25.36520000 x 40.66000000 #400900217 @-"]),
    ("book_ticker_combined", &["quote BNBUSDT - x - / 25.36520000 x 40.66000000 #400900218 @-"]),
    (
        "ticker",
        &["ticker ETHUSDT 1792.84000000 x 0.55720000 None #841646650 top 1792.83000000 x 1.62740000 \
           / 1792.85000000 x 20.29140000 o 1764.61000000 h 1808.98000000 l 1748.94000000 v 471703.53110000 \
           pc 1764.61000000 @1653812650349000000"],
    ),
    (
        "mini_ticker",
        &[
            "ticker BNBBTC 0.0025 x - None #- o 0.0010 h 0.0026 l 0.0009 v 10000 pc 0.0010 @1672515782136000000",
        ],
    ),
    (
        "mini_tickers",
        &[
            "ticker BNBBTC 0.0025 x - None #- o 0.0010 h 0.0026 l 0.0009 v 10000 pc 0.0010 @1672515782136000000",
            "ticker ETHBTC 0.06 x - None #- o 0.05 h 0.07 l 0.04 v - pc 0.05 @1672515782137000000",
        ],
    ),
    (
        "mini_tickers_raw",
        &[
            "ticker BNBBTC 0.0025 x - None #- o 0.0010 h 0.0026 l 0.0009 v 10000 pc 0.0010 @1672515782136000000",
        ],
    ),
    ("server_shutdown", &["Reconnect"]),
    ("server_shutdown_combined", &["Reconnect"]),
    ("ack", &["ack -"]),
    ("error", &["refused -: Invalid request: missing field `method`"]),
    ("error_nested", &["refused -: Too many subscriptions"]),
    ("list", &[]),
    ("depth", &[]),
    ("depth_partial", &[]),
    ("kline", &[]),
    ("block_trade", &[]),
    ("hour_ticker", &[]),
    ("avg_price", &[]),
    ("reference_price", &[]),
    ("kind_inside_text", &[]),
];

#[test]
fn each_frame_of_coinbase_means_what_it_should() {
    check(Venue::Coinbase, COINBASE);
}

#[test]
fn each_frame_of_kraken_means_what_it_should() {
    check(Venue::Kraken, KRAKEN);
}

#[test]
fn each_frame_of_binance_means_what_it_should() {
    check(Venue::Binance, BINANCE);
}

#[test]
fn m37_coinbase_tells_how_many_trades_are_missing() {
    let of = |kind: &str, id: u64| {
        format!(
            r#"{{"type":"{kind}","trade_id":{id},"side":"buy","size":"1","price":"5","product_id":"A-B"}}"#
        )
    };
    let heartbeat = |id: u64| format!(r#"{{"type":"heartbeat","last_trade_id":{id},"product_id":"A-B"}}"#);
    let frames = [
        of("last_match", 10),
        of("match", 11),
        heartbeat(11),
        of("match", 14),
        of("match", 12),
        heartbeat(16),
    ];
    let lines = decoded(Venue::Coinbase, &frames);
    let (past, trade) = ("past A-B 5 x 1 Some(Sell)", "trade A-B 5 x 1 Some(Sell)");
    // The resend of 12 is a trade still: whoever remembers ids tells whether it is new.
    assert_eq!(kinds(&lines), [past, trade, "Gap", trade, trade, "Gap"]);
    assert_eq!(lines[2], r#"Gap { wire: "A-B", missing: Some(2) }"#);
    assert_eq!(lines[5], r#"Gap { wire: "A-B", missing: Some(2) }"#);
}

#[test]
fn m37_trades_of_a_refused_kraken_frame_are_told_as_missing() {
    let row = |id: u64, price: &str| {
        format!(r#"{{"symbol":"A/B","side":"buy","price":{price},"qty":1,"trade_id":{id},"timestamp":null}}"#)
    };
    let frame =
        |rows: &[String]| format!(r#"{{"channel":"trade","type":"update","data":[{}]}}"#, rows.join(","));
    let frames =
        [frame(&[row(1, "5")]), frame(&[row(2, "5"), row(3, "1.2.3")]), frame(&[row(4, "5"), row(6, "5")])];
    let lines = decoded(Venue::Kraken, &frames);
    let trade = "trade A/B 5 x 1 Some(Buy)";
    assert_eq!(kinds(&lines), [trade, "Gap", trade, "Gap", trade]);
    assert_eq!(lines[1], r#"Gap { wire: "A/B", missing: Some(2) }"#);
    assert_eq!(lines[3], r#"Gap { wire: "A/B", missing: Some(1) }"#);
}

#[test]
fn subscriptions_are_batched_and_name_every_instrument() {
    let wires: Vec<String> = (0..120).map(|n| format!("A{n}")).collect();
    let wires: Vec<&str> = wires.iter().map(String::as_str).collect();
    for (venue, count) in [(Venue::Coinbase, 3), (Venue::Kraken, 6), (Venue::Binance, 3)] {
        let frames = venue.codec().unwrap().subscribe(&wires);
        assert_eq!(frames.len(), count, "{venue}");
        assert!(frames.iter().all(|frame| frame.len() < 4_096), "{venue}");
        let all = frames.concat().to_uppercase();
        assert!(
            wires
                .iter()
                .all(|wire| all.contains(&format!("\"{wire}\"")) || all.contains(&format!("\"{wire}@")))
        );
        assert!(venue.codec().unwrap().subscribe(&[]).is_empty());
    }
}

#[test]
fn subscriptions_are_what_the_venues_document() {
    let frames = |venue: Venue, wire| venue.codec().unwrap().subscribe(&[wire]);
    assert_eq!(
        frames(Venue::Coinbase, "BTC-USD"),
        [r#"{"channels":["ticker","matches","heartbeat"],"product_ids":["BTC-USD"],"type":"subscribe"}"#]
    );
    assert_eq!(
        frames(Venue::Kraken, "BTC/USD"),
        [
            r#"{"method":"subscribe","params":{"channel":"ticker","event_trigger":"bbo","symbol":["BTC/USD"]},"req_id":1}"#,
            r#"{"method":"subscribe","params":{"channel":"trade","snapshot":false,"symbol":["BTC/USD"]},"req_id":2}"#,
        ]
    );
    assert_eq!(
        frames(Venue::Binance, "BTCUSDT"),
        [
            r#"{"id":1,"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@bookTicker","btcusdt@miniTicker"]}"#
        ]
    );
}

#[test]
fn m76_names_are_split_by_the_venues_own_rules() {
    let pair = |venue: Venue, wire| venue.pair(wire).map(|pair| pair.to_string());
    for (venue, wire, expected) in [
        (Venue::Coinbase, "BTC-USD", Some("BTC-USD")),
        (Venue::Coinbase, "BTC-PERP-INTX", None),
        (Venue::Coinbase, "BTC-", None),
        (Venue::Coinbase, "BTCUSD", None),
        (Venue::Kraken, "BTC/USD", Some("BTC-USD")),
        (Venue::Kraken, "XBT/USD", Some("BTC-USD")),
        (Venue::Kraken, "XDG/XBT", Some("DOGE-BTC")),
        (Venue::Kraken, "AAPLx/USD", Some("AAPLx-USD")),
        (Venue::Kraken, "XXBTZUSD", None),
        (Venue::Binance, "BTCUSDT", Some("BTC-USDT")),
        (Venue::Binance, "USDCUSDT", Some("USDC-USDT")),
        (Venue::Binance, "USDTDAI", Some("USDT-DAI")),
        (Venue::Binance, "BTCFDUSD", Some("BTC-FDUSD")),
        (Venue::Binance, "ADAEUR", Some("ADA-EUR")),
        (Venue::Binance, "这是测试币456USDT", Some("这是测试币456-USDT")),
        (Venue::Binance, "USDT", None),
        (Venue::Binance, "ETHUSD_PERP", None),
        (Venue::Binance, "BTCUSDT_210326", None),
        (Venue::Binance, "BTCUSD", None),
    ] {
        assert_eq!(pair(venue, wire).as_deref(), expected, "{venue} {wire}");
    }
}
