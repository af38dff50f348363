//! Each frame of `fixtures/` of Binance.US, Bitfinex, Bitstamp, Bybit, Gemini and OKX, and what it means.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod meaning;

use tickcast_feeds::{DecodeError, Events, Frame, Ping, UnixNanos, Venue};

use meaning::{check, check_after, decoded, kinds};

const BINANCE_US: &[(&str, &[&str])] = &[
    ("book_ticker", &["quote COMPUSDT 296.58000000 x 1.40000000 / 297.21000000 x 1.50000000 #113129225 @-"]),
    ("agg_trade", &["trade CRVUSDT 2.63400000 x 0.91000000 Some(Sell) #104651 @1633998280092000000"]),
    (
        "mini_ticker",
        &["ticker BNBUSD 0.0025 x - None #- o 0.0010 h 0.0026 l 0.0009 v 10000 pc 0.0010 \
           @1672515782136000000"],
    ),
    ("ack", &["ack -"]),
    ("error", &["refused -: Invalid request: missing field `method` at line 1 column 73"]),
    ("depth", &[]),
];

const OKX: &[(&str, &[&str])] = &[
    (
        "trade",
        &[
            "trade BTC-USDT 95634.90 x 0.00011186 Some(Buy) #674510826 @1740394561685000000",
            "trade BTC-USDT 95635.3 x 0.00011194 Some(Sell) #674510827 @1740394561686000000",
        ],
    ),
    ("trade_swap", &["trade BTC-USDT-SWAP 64311 x 31.27 Some(Buy) #2701364977 @1781416584831000000"]),
    ("quote", &["quote BTC-USDT 31774.60 x 0.3392211 / 31774.7 x 0.14368878 #83043901 @1654032991947000000"]),
    ("quote_one_side", &["quote ABC-USDT - x - / 0.0015 x 8 #- @1654033343415000000"]),
    (
        "ticker",
        &["ticker BTC-USDT 64312.9 x 0.00001408 None #- top 64312.8 x 3.32864302 / 64312.9 x 1.34197806 \
           o 63591.6 h 64758.8 l 63493.1 v 6175.12222953 pc 63591.6 @1781414919074000000"],
    ),
    (
        "ticker_one_side",
        &["ticker BTC-USD-220624-50000-C 0.0005 x 6 None #- top - x - / 0.0015 x 330 o 0.0005 h 0.0005 \
           l 0.0005 v - pc 0.0005 @1654166283149000000"],
    ),
    ("ack", &["ack BTC-USDT"]),
    (
        "refusal",
        &[
            "refused LTC-USD: Wrong URL or channel:tickers,instId:LTC-USD doesn't exist. Please use the correct \
           URL, channel and parameters referring to API document.",
        ],
    ),
    ("refusal_plain", &["refused -: Invalid request: {\"op\": \"subscribe\"}"]),
    ("notice", &["Reconnect"]),
    ("count", &[]),
    ("pong", &[]),
    ("depth", &[]),
];

const BYBIT: &[(&str, &[&str])] = &[
    (
        "trade",
        &[
            "trade BTCUSDT 77707.90 x 0.0016 Some(Sell) #2290000001203024225 @1788416112791000000",
            "trade BTCUSDT 77707.9 x 0.000001 Some(Buy) #2290000001203024226 @1788416112791000000",
        ],
    ),
    (
        "trade_block",
        &["trade ETHUSDT 2401.15 x 500 Some(Buy) #2280000001753106418 @1788416106825000000 \
           Moves { last: No, range: false, volume: true }"],
    ),
    (
        "trade_contract",
        &["trade BTCUSDT 16578.50 x 0.001 Some(Buy) #20f43950-d8dd-5b31-9112-a178eb6023af \
           @1672304486865000000"],
    ),
    ("quote", &["quote BTCUSDT 77708 x 0.051644 / 77708.10 x 0.878245 #113551059171 @1788416106187000000"]),
    ("quote_restart", &["quote BTCUSDT - x - / 77708.1 x 0.878245 #113551059172 @1788416106189000000"]),
    // The other side is not said to be empty.
    ("quote_delta", &[]),
    (
        "ticker",
        &["ticker BTCUSDT 21109.77 x - None #- o 20704.93 h 21426.99 l 20575 v 6780.866843 pc 20704.93 \
           @1673853746003000000"],
    ),
    // Twelve digits would be 1975: no time.
    ("ticker_contract", &["ticker BTCPERP - x - None #- o - h - l - v - pc - @-"]),
    ("ack", &["ack BTCUSDT"]),
    ("ack_plain", &["ack -"]),
    ("refusal", &["refused FOOUSDT: Invalid symbol :[publicTrade.FOOUSDT]"]),
    ("pong", &[]),
    ("depth", &[]),
];

const BITSTAMP: &[(&str, &[&str])] = &[
    ("trade", &["trade btcusd 83946.07 x 0.12500000 Some(Sell) #643660479 @1790401277185000000"]),
    ("trade_noise", &["trade btceur 3651.30 x 0.00164300 Some(Buy) #84550458 @1554076803243152000"]),
    ("trade_exponent", &["trade btcusd 57748.80 x 0.00000001 Some(Buy) #158457579 @1616297318187000000"]),
    ("quote", &["quote btcusd 83938.99 x 0.85114353 / 83939.00 x 0.72730996 #- @1790401258521974000"]),
    ("quote_one_side", &["quote btcusd - x - / 31535.44 x 0.31708837 #- @1653978373164007000"]),
    ("depth", &[]),
    ("order", &[]),
    ("ack", &["ack xrpeur"]),
    ("ack_depth", &["ack -"]),
    ("refusal", &["refused -: Bad subscription string."]),
    ("heartbeat", &[]),
    ("reconnect", &["Reconnect"]),
];

const GEMINI: &[(&str, &[&str])] = &[
    // The buyer was the maker, so the aggressor sold. The time is in nanoseconds.
    (
        "trade",
        &["trade btcrlusd 62145.38000 x 0.0162522200 Some(Sell) #2840141014190422 @1783981140085684200"],
    ),
    (
        "quote",
        &["quote xrpgusd 1.0614900 x 958.69148000 / 1.0615000 x 38.39060000 #1764549594389752 \
           @1783981140076872200"],
    ),
    (
        "quote_one_side",
        &["quote xrpgusd - x - / 1.0615000 x 38.39060000 #1764549594389753 @1783981140076872201"],
    ),
    ("depth", &[]),
    ("ack", &["ack -"]),
    ("refusal", &["refused -: Invalid parameters"]),
    ("refusal_text", &["refused -: unknown stream"]),
    ("older_trade", &["trade BTCUSD 8325.00 x 0.1 Some(Buy) #8280715334 @1569888020080000000"]),
    (
        "older_block",
        &["trade ETHUSD 200.19 x 100 None #9608228023 @1580919901276000000 \
           Moves { last: No, range: false, volume: true }"],
    ),
    ("older_book", &["past ZECLTC 0.782 x 67.722466 Some(Sell) #44129108674 @1623615527403000000"]),
    ("older_changes", &[]),
    ("older_heartbeat", &[]),
    ("older_refusal", &["refused -: NoValidTradingPairs"]),
    ("v1", &[]),
];

const BITFINEX: &[(&str, &[&str])] = &[
    ("subscribed_ticker", &["ack tBTCUSD"]),
    ("subscribed_trades", &["ack tBTCUSD"]),
    ("subscribed_funding", &["ack fBTC"]),
    ("subscribed_loans", &["ack fUSD"]),
    ("subscribed_book", &["ack tBTCUSD"]),
    // The sizes are of 25 prices, and the time is when the frame was sent.
    (
        "ticker",
        &["ticker tBTCUSD 71754 x - None #- top 71741 x - / 71760 x - o - h 73120 l 70434 v 900.8715945 \
           pc 71107 @1775779200144000000"],
    ),
    (
        "ticker_exponent",
        &["ticker tBTCUSD 0.00000092 x - None #- top 0.00000092 x - / 0.00000093 x - o - h 0.00000245 \
           l 0.0000008 v 81802.36928943 pc 0.00000093 @-"],
    ),
    ("trade", &["trade tBTCUSD 10087.98969503 x 0.00705845 Some(Sell) #382489563 @1564617600709000000"]),
    ("trade_again", &[]),
    ("trade_unnumbered", &["trade tBTCUSD 10088 x 0.5 Some(Buy) #382489563 @1564617600709000000"]),
    (
        "snapshot",
        &[
            "past tBTCUSD 64256 x 0.00000064 Some(Buy) #1936037547 @1781416434609000000",
            "past tBTCUSD 64243 x 0.0002 Some(Sell) #1936037537 @1781416422248000000",
        ],
    ),
    ("heartbeat", &[]),
    ("funding", &[]),
    ("loan", &[]),
    ("book", &[]),
    ("book_snapshot", &[]),
    ("unknown_channel", &[]),
    ("conf", &[]),
    ("info", &[]),
    ("restart", &["Reconnect"]),
    ("maintenance", &["Reconnect"]),
    ("maintenance_over", &["Reconnect"]),
    ("refusal", &["refused tFOOUSD: symbol: invalid"]),
    ("unsubscribed", &[]),
];

const BITFINEX_CHANNELS: &[&str] =
    &["subscribed_ticker", "subscribed_trades", "subscribed_funding", "subscribed_loans", "subscribed_book"];

#[test]
fn each_frame_of_binance_us_means_what_it_should() {
    check(Venue::BinanceUs, BINANCE_US);
}

#[test]
fn each_frame_of_okx_means_what_it_should() {
    check(Venue::Okx, OKX);
}

#[test]
fn each_frame_of_bybit_means_what_it_should() {
    check(Venue::Bybit, BYBIT);
}

#[test]
fn each_frame_of_bitstamp_means_what_it_should() {
    check(Venue::Bitstamp, BITSTAMP);
}

#[test]
fn each_frame_of_gemini_means_what_it_should() {
    check(Venue::Gemini, GEMINI);
}

#[test]
fn each_frame_of_bitfinex_means_what_it_should() {
    check_after(Venue::Bitfinex, BITFINEX_CHANNELS, BITFINEX);
}

#[test]
fn a_bitfinex_channel_means_nothing_before_it_is_named_and_after_it_is_gone() {
    let named = r#"{"event":"subscribed","channel":"trades","chanId":2,"symbol":"tBTCUSD"}"#;
    let renamed = r#"{"event":"subscribed","channel":"trades","chanId":2,"symbol":"tAVAX:USD"}"#;
    let gone = r#"{"event":"unsubscribed","status":"OK","chanId":2}"#;
    let trade = r#"[2,"te",[1,1564617600709,-0.5,10]]"#;
    let frames = [trade, named, trade, renamed, trade, gone, trade].map(str::to_owned);
    assert_eq!(
        kinds(&decoded(Venue::Bitfinex, &frames)),
        [
            "ack tBTCUSD",
            "trade tBTCUSD 10 x 0.5 Some(Sell)",
            "ack tAVAX:USD",
            "trade tAVAX:USD 10 x 0.5 Some(Sell)"
        ]
    );
}

#[test]
fn m37_a_hole_in_bitfinexs_numbering_is_told_to_all_its_instruments_once_the_numbering_is_confirmed() {
    let conf = |flags: u32| format!(r#"{{"event":"conf","status":"OK","flags":{flags}}}"#);
    let named = |number: u64, channel: &str, wire: &str| {
        format!(r#"{{"event":"subscribed","channel":"{channel}","chanId":{number},"symbol":"{wire}"}}"#)
    };
    let beat = |number: u64| format!(r#"[1,"hb",{number},1564617600784]"#);
    let bad = "[1,[1.2.3,1,1,1,1,1,1,1,1,1],12,1564617600784]";
    let lines = |flags| {
        let frames = [
            conf(flags),
            named(1, "ticker", "tBTCUSD"),
            named(2, "trades", "tBTCUSD"),
            named(3, "trades", "tETHUSD"),
            named(4, "book", "tXRPUSD"),
            beat(7),
            beat(8),
            beat(11),
            // Not understood, so lost.
            bad.to_owned(),
            beat(13),
            // Never seen: the numbers go back. It is no gap.
            beat(5),
            beat(6),
        ];
        decoded(Venue::Bitfinex, &frames)[4..].to_vec()
    };
    let both = [r#"Gap { wire: "tBTCUSD", missing: None }"#, r#"Gap { wire: "tETHUSD", missing: None }"#];
    assert_eq!(lines(98_304), [both, both].concat());
    assert_eq!(lines(65_536), [both, both].concat());
    assert_eq!(lines(32_768), [""; 0]);
}

#[test]
fn a_time_alone_at_the_end_of_a_bitfinex_frame_is_no_sequence_number() {
    let frames = [
        r#"{"event":"subscribed","channel":"ticker","chanId":1,"symbol":"tBTCUSD"}"#,
        "[1,[71741,1,71760,1,647,0.009,71754,900,73120,70434],1775779200144]",
        "[1,[71741,1,71760,1,647,0.009,71754,900,73120,70434],5]",
        "[1,[71741,1,71760,1,647,0.009,71754,900,73120,70434],5,1775779200144,\"ticker\",\"BTCUSD\"]",
        "[1,[null,null,null,null,null,null,null,null,null,null]]",
        "[1,[71741,1]]",
        "[1,[]]",
    ]
    .map(str::to_owned);
    let lines = decoded(Venue::Bitfinex, &frames);
    let times: Vec<_> = lines[1..].iter().map(|line| line.split_once('@').unwrap().1).collect();
    assert_eq!(times, ["1775779200144000000", "-", "1775779200144000000", "-", "-", "-"]);
    assert!(lines[4].contains(" top - x - / - x - "), "{}", lines[4]);
    assert!(lines[5].contains(" top 71741 x - / - x - "), "{}", lines[5]);
}

#[test]
fn a_bitfinex_frame_that_is_none_is_refused_and_makes_no_half_answer() {
    for bad in [
        "[",
        "[]",
        "[2]extra",
        "[\"x\",\"hb\"]",
        "[-1,\"hb\"]",
        "[2,\"te\"]",
        "[2,\"te\",5]",
        "[2,\"te\",[1,1564617600709,1,null]]",
        "[2,[[1,1564617600709,1,10],[2,1564617600709,1,\"x\"]]]",
        "[2,[1,2,3]]",
        "{\"event\":\"subscribed\",\"channel\":\"trades\",\"symbol\":\"tBTCUSD\"}",
        "{}",
    ] {
        let mut codec = Venue::Bitfinex.codec().unwrap();
        let named = r#"{"event":"subscribed","channel":"trades","chanId":2,"symbol":"tBTCUSD"}"#;
        codec.decode(Frame::Text(named), UnixNanos(0), &mut Events::default()).unwrap();
        let mut events = Events::default();
        let decoded: Result<(), DecodeError> = codec.decode(Frame::Text(bad), UnixNanos(0), &mut events);
        assert!(decoded.is_err(), "{bad}");
        assert!(events.is_empty(), "{bad}");
    }
}

#[test]
fn a_frame_of_okx_or_bitstamp_means_the_same_in_any_order_of_its_parts() {
    for (venue, frame, line) in [
        (
            Venue::Okx,
            r#"{"data":[{"px":"2","sz":"3","side":"buy","tradeId":"1","ts":"1740394561685"}],"arg":{"instId":"A-B","channel":"trades"}}"#,
            "trade A-B 2 x 3 Some(Buy) #1 @1740394561685000000",
        ),
        (
            Venue::Bitstamp,
            r#"{"event":"trade","channel":"live_trades_ab","data":{"id":1,"price_str":"2","amount_str":"3","type":0,"microtimestamp":"1740394561685000"}}"#,
            "trade ab 2 x 3 Some(Buy) #1 @1740394561685000000",
        ),
    ] {
        assert_eq!(decoded(venue, &[frame.to_owned()]), [line]);
    }
}

#[test]
fn subscriptions_are_batched_and_name_every_instrument() {
    let wires: Vec<String> = (0..60).map(|n| format!("A{n}")).collect();
    let wires: Vec<&str> = wires.iter().map(String::as_str).collect();
    for (venue, count) in [
        (Venue::BinanceUs, 2),
        (Venue::Bitfinex, 121),
        (Venue::Bitstamp, 120),
        (Venue::Bybit, 60),
        (Venue::Gemini, 2),
        (Venue::Okx, 3),
    ] {
        let frames = venue.codec().unwrap().subscribe(&wires);
        assert_eq!(frames.len(), count, "{venue}");
        assert!(frames.iter().all(|frame| frame.len() < 4_096), "{venue}");
        let all = frames.concat().to_uppercase();
        for wire in &wires {
            let ends = [format!("{wire}\""), format!("{wire}@")];
            assert!(ends.iter().any(|end| all.contains(end)), "{venue} {wire}");
        }
        assert!(venue.codec().unwrap().subscribe(&[]).is_empty());
    }
}

#[test]
fn subscriptions_are_what_the_venues_document() {
    let frames = |venue: Venue, wire| venue.codec().unwrap().subscribe(&[wire]);
    assert_eq!(
        frames(Venue::BinanceUs, "BTCUSD"),
        [
            r#"{"id":1,"method":"SUBSCRIBE","params":["btcusd@trade","btcusd@bookTicker","btcusd@miniTicker"]}"#
        ]
    );
    assert_eq!(
        frames(Venue::Okx, "BTC-USDT"),
        [
            r#"{"args":[{"channel":"trades","instId":"BTC-USDT"},{"channel":"bbo-tbt","instId":"BTC-USDT"},{"channel":"tickers","instId":"BTC-USDT"}],"op":"subscribe"}"#
        ]
    );
    assert_eq!(
        frames(Venue::Bybit, "BTCUSDT"),
        [
            r#"{"args":["publicTrade.BTCUSDT","orderbook.1.BTCUSDT","tickers.BTCUSDT"],"op":"subscribe","req_id":"BTCUSDT"}"#
        ]
    );
    assert_eq!(
        frames(Venue::Bitstamp, "btcusd"),
        [
            r#"{"data":{"channel":"live_trades_btcusd"},"event":"bts:subscribe"}"#,
            r#"{"data":{"channel":"order_book_btcusd"},"event":"bts:subscribe"}"#,
        ]
    );
    assert_eq!(
        frames(Venue::Gemini, "btcusd"),
        [r#"{"id":"1","method":"subscribe","params":["btcusd@trade","btcusd@bookTicker"]}"#]
    );
    assert_eq!(
        frames(Venue::Bitfinex, "tBTCUSD"),
        [
            r#"{"event":"conf","flags":98304}"#,
            r#"{"channel":"ticker","event":"subscribe","symbol":"tBTCUSD"}"#,
            r#"{"channel":"trades","event":"subscribe","symbol":"tBTCUSD"}"#,
        ]
    );
}

#[test]
fn the_texts_that_keep_a_connection_open_are_the_venues_own_and_their_answers_mean_nothing() {
    for (venue, expected, answer) in [
        (Venue::Okx, "ping", "pong"),
        (Venue::Bybit, r#"{"op":"ping"}"#, r#"{"success":true,"ret_msg":"pong","op":"ping"}"#),
        (
            Venue::Bitstamp,
            r#"{"event":"bts:heartbeat"}"#,
            r#"{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}"#,
        ),
    ] {
        let Ping::Text { text, .. } = venue.profile().unwrap().ping else { panic!("{venue} pings") };
        assert_eq!(text, expected);
        assert!(decoded(venue, &[answer.to_owned()]).is_empty());
    }
}

#[test]
fn m76_names_are_split_by_the_venues_own_rules() {
    let pair = |venue: Venue, wire| venue.pair(wire).map(|pair| pair.to_string());
    for (venue, wire, expected) in [
        (Venue::BinanceUs, "BTCUSD", Some("BTC-USD")),
        (Venue::BinanceUs, "BNBUSD", Some("BNB-USD")),
        (Venue::BinanceUs, "BNBBUSD", Some("BNB-BUSD")),
        (Venue::BinanceUs, "SHIBUSD", Some("SHIB-USD")),
        (Venue::BinanceUs, "SHIBBUSD", Some("SHIB-BUSD")),
        (Venue::BinanceUs, "USDTUSD", Some("USDT-USD")),
        (Venue::BinanceUs, "BATUSD", Some("BAT-USD")),
        (Venue::BinanceUs, "BUSDUSDT", Some("BUSD-USDT")),
        (Venue::BinanceUs, "USD", None),
        (Venue::Okx, "BTC-USDT", Some("BTC-USDT")),
        (Venue::Okx, "BTC-USD-SWAP", None),
        (Venue::Okx, "BTC-USD-220527", None),
        (Venue::Okx, "BTC-USD-220624-50000-C", None),
        (Venue::Okx, "BTC-USD_UM-261030", None),
        (Venue::Okx, "BTC-USD_UM", None),
        (Venue::Okx, "BTC-", None),
        (Venue::Bybit, "BTCUSDT", Some("BTC-USDT")),
        (Venue::Bybit, "BTCUSDC", Some("BTC-USDC")),
        (Venue::Bybit, "SAND2SUSDT", Some("SAND2S-USDT")),
        (Venue::Bybit, "BTCUSD", None),
        (Venue::Bybit, "BTCPERP", None),
        (Venue::Bybit, "BTC-26DEC25", None),
        (Venue::Bybit, "BTC-6JAN23-17500-C", None),
        (Venue::Bitstamp, "btcusd", Some("BTC-USD")),
        (Venue::Bitstamp, "usdcusd", Some("USDC-USD")),
        (Venue::Bitstamp, "usdcusdt", Some("USDC-USDT")),
        (Venue::Bitstamp, "xrprlusd", Some("XRP-RLUSD")),
        (Venue::Bitstamp, "rlusdusd", Some("RLUSD-USD")),
        (Venue::Bitstamp, "btcusd-perp", None),
        (Venue::Bitstamp, "usd", None),
        (Venue::Gemini, "btcusd", Some("BTC-USD")),
        (Venue::Gemini, "btcrlusd", Some("BTC-RLUSD")),
        (Venue::Gemini, "xrpgusd", Some("XRP-GUSD")),
        (Venue::Gemini, "paxgusd", Some("PAXG-USD")),
        (Venue::Gemini, "PAXGUSD", Some("PAXG-USD")),
        (Venue::Gemini, "gusdusd", Some("GUSD-USD")),
        (Venue::Gemini, "1inchusd", Some("1INCH-USD")),
        (Venue::Gemini, "btcgusdperp", None),
        (Venue::Bitfinex, "tBTCUSD", Some("BTC-USD")),
        (Venue::Bitfinex, "tBTCUST", Some("BTC-USDT")),
        (Venue::Bitfinex, "tUSTUSD", Some("USDT-USD")),
        (Venue::Bitfinex, "tDOGUSD", Some("MDOGE-USD")),
        (Venue::Bitfinex, "tDSHBTC", Some("DASH-BTC")),
        (Venue::Bitfinex, "tAVAX:UST", Some("AVAX-USDT")),
        (Venue::Bitfinex, "tTESTBTC:TESTUSD", Some("TESTBTC-TESTUSD")),
        (Venue::Bitfinex, "tBTCF0:USTF0", None),
        (Venue::Bitfinex, "fUSD", None),
        (Venue::Bitfinex, "BTCUSD", None),
        (Venue::Bitfinex, "tBTC", None),
        (Venue::Bitfinex, "tab€c", None),
    ] {
        assert_eq!(pair(venue, wire).as_deref(), expected, "{venue} {wire}");
    }
}
