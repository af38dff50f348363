//! Each frame of `fixtures/` of Coinbase Advanced, Crypto.com, Gate.io, Hyperliquid, KuCoin and Upbit, and what it
//! means.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads fixtures"
)]

mod meaning;

use std::path::Path;

use tickcast_feeds::{DecodeError, Events, Frame, UnixNanos, Venue};

use meaning::{check, decoded, kinds, line};

const COINBASE_ADVANCED: &[(&str, &[&str])] = &[
    ("candles", &[]),
    ("error", &["refused -: authentication failure"]),
    ("heartbeat", &[]),
    ("status", &[]),
    ("subscriptions", &["ack BTC-PERP-INTX", "ack ETH-PERP-INTX"]),
    ("subscriptions_none", &[]),
    (
        "ticker",
        &["ticker BTC-USD 64281.7 x - None #- top 64281.7 x 0.21558849 / 64281.71 x 0.02287045 o - h \
          64727.27 l 63454 v 3974.98800786 pc - @1781415345435813533"],
    ),
    // No top of the book.
    (
        "ticker_batch",
        &["ticker ETH-USDT 21932.98 x - None #- o - h 23011.18 l 21835.29 v 16038.28770938 pc - \
          @1675974637167359596"],
    ),
    (
        "ticker_empty",
        &["ticker BTC-USD 64281.7 x - None #- top - x - / - x - o - h - l - v - pc - \
          @1781415345435813533"],
    ),
    (
        "ticker_perpetual",
        &["ticker BTC-PERP-INTX 79879.1 x - None #- top 79879 x 2.9352 / 79879.1 x 1.7389 o - h \
          80206 l 79445 v 14152.6899 pc - @1788646229562008293"],
    ),
    // They go out oldest first, and the maker bought, so the aggressor sold.
    (
        "trades_newest_first",
        &[
            "trade ETH-USDT 2375.56 x 0.5 Some(Sell) #22381690 @1728026011084859000",
            "trade ETH-USDT 2375.56 x 0.5 Some(Sell) #22381691 @1728026011088388000",
        ],
    ),
    (
        "trades_oldest_first",
        &[
            "trade ETH-USD 2668.35 x 0.03710506 Some(Buy) #846149798 @1790732485375232000",
            "trade ETH-USD 2668.36 x 1 Some(Sell) #846149799 @1790732485375232000",
        ],
    ),
    ("trades_snapshot", &["past BTC-USD 64340.74 x 0.00746872 Some(Buy) #1037798145 @1781416457799285000"]),
];

const CRYPTOCOM: &[(&str, &[&str])] = &[
    ("ack", &["ack -"]),
    ("book", &[]),
    ("book_update", &[]),
    ("heartbeat", &["Reply(\"{\\\"id\\\":1788335101113,\\\"method\\\":\\\"public/respond-heartbeat\\\"}\")"]),
    ("refusal", &["refused -: Unknown symbol FOO_USDT"]),
    ("refusal_bare", &["refused -: code 10004"]),
    (
        "ticker",
        &["ticker APEUSD-PERP 4.6121 x - None #- top 4.6121 x 25 / 4.6148 x 131 o - h 4.7743 l \
          4.6082 v 123899 pc - @1667320303754000000"],
    ),
    (
        "ticker_numbers",
        &["ticker YFI_USDT 7905.8 x - None #- top 7892.58 x - / 7905.8 x - o - h 8287.99 l 7379.2 v \
          16.9967 pc - @1653917205936000000"],
    ),
    (
        "ticker_untraded",
        &["ticker FOO_USDT - x - None #- top - x - / 4.6148 x 131 o - h - l - v - pc - \
          @1667320303754000000"],
    ),
    (
        "trades",
        &[
            "trade BTC_USDT 77558.92 x 0.00064 Some(Sell) #1788335095880381801 @1788335095880000000",
            "trade BTC_USDT 77558.92 x 0.00004 Some(Sell) #1788335095880381802 @1788335095880000000",
        ],
    ),
    // The answer to a request holds what was before it.
    (
        "trades_answer",
        &[
            "ack BTCUSD-PERP",
            "past BTCUSD-PERP 76774.5 x 0.0065 Some(Sell) #1788339242977354950 @1788339242977000000",
        ],
    ),
    (
        "trades_numbers",
        &[
            "trade RSR_USDT 0.00737 x 0.1 Some(Buy) #2552833531650627373 @1653917167912000000",
            "trade RSR_USDT 0.00737 x 6.9 Some(Buy) #2552833547970376845 @1653917168398000000",
        ],
    ),
    // Until 2022 one id could stand for several trades.
    (
        "trades_one_match",
        &[
            "trade BTCUSD-PERP 20439.5 x 0.0244 Some(Sell) #4611686018471467093 @1667320276193000000",
            "trade BTCUSD-PERP 20439.5 x 0.0050 Some(Sell) #4611686018471467093 @1667320276193000000",
            "trade BTCUSD-PERP 20439.5 x 0.1000 Some(Sell) #4611686018471467093 @1667320276193000000",
            "trade BTCUSD-PERP 20439.5 x 0.0050 Some(Sell) #4611686018471467093 @1667320276193000000",
        ],
    ),
];

const GATEIO: &[(&str, &[&str])] = &[
    ("ack", &["ack BTC_USDT"]),
    ("ack_book", &[]),
    ("ack_old", &["ack -"]),
    (
        "book_ticker",
        &["quote BTC_USDT 83790.9 x 0.497321 / 83791 x 0.055894 #40013503861 @1790359165710000000"],
    ),
    ("book_ticker_one_sided", &["quote BTC_USDT - x - / 83791 x 0.055894 #40013503861 @1790359165710000000"]),
    ("book_update", &[]),
    ("candles", &[]),
    ("futures_book_ticker", &[]),
    ("futures_ticker", &[]),
    // Another address with the same names.
    ("futures_trade", &[]),
    ("order_book", &[]),
    ("pong", &[]),
    ("refusal", &["refused 1m_BTC_USDT: request payload does not follow json schema"]),
    ("refusal_plain", &["refused FOO_USDT: unknown currency pair: FOO_USDT"]),
    // Its bid and ask come from the other channel.
    (
        "ticker",
        &["ticker NEO_BTC 0.0018716 x - None #- o - h 0.0018754 l 0.0017148 v 1138.01640718 pc - \
          @1619093533000000000"],
    ),
    (
        "ticker_millis",
        &["ticker BTC_USDT 29968.31 x - None #- o - h 32399.99 l 29324.36 v 10676.32785905 pc - \
          @1790359171120000000"],
    ),
    ("trade", &["trade BTC_USDT 83790.9 x 0.002984 Some(Sell) #220643714 @1790359171119653000"]),
    (
        "trade_old",
        &["trade DIS_USDT 121.5800000000 x 0.2010000000 Some(Sell) #816995772 @1619093543708264200"],
    ),
];

const HYPERLIQUID: &[(&str, &[&str])] = &[
    ("ack", &["ack BTC"]),
    ("ack_bbo", &[]),
    ("ack_mids", &[]),
    ("all_mids", &[]),
    ("bbo", &["quote HYPE 23.757 x 42.09 / 23.758 x 100.26 #- @1766566375292000000"]),
    ("bbo_null", &["quote SHIA - x - / 0.0021 x 50.0 #- @1750948919838000000"]),
    // Only a bid came.
    ("bbo_one", &["quote BTC 107575.0 x 3.87947 / - x - #- @1750948919838000000"]),
    ("bbo_spot", &["quote @162 0.97925 x 4144.6 / 0.97934 x 50.0 #- @1750948919838000000"]),
    ("book", &[]),
    ("book_empty", &[]),
    ("candle", &[]),
    ("context", &["ticker BTC - x - None #- o 63564.0 h - l - v 17577.61508 pc 63564.0 @-"]),
    ("context_spot", &["ticker @2 - x - None #- o 0.000031 h - l - v - pc 0.000031 @-"]),
    ("error", &["refused FOO: Invalid subscription {\"type\":\"trades\",\"coin\":\"FOO\"}"]),
    ("error_twice", &[]),
    ("pong", &[]),
    // The first of a coin are past ones.
    (
        "trades",
        &[
            "past BTC 69997.0 x 0.38111 Some(Buy) #1016375172059570 @1730160006192000000",
            "past BTC 69997.0 x 0.33458 Some(Buy) #479312521152049 @1730160006192000000",
            "past BTC 69997.0 x 0.83613 Some(Buy) #229986151112628 @1730160006192000000",
        ],
    ),
    ("trades_users", &["past BTC 64411.0 x 0.31377 Some(Buy) #828642708897583 @1781416943647000000"]),
];

const KUCOIN: &[(&str, &[&str])] = &[
    ("ack", &["ack BTC-USDT"]),
    ("book", &[]),
    ("classic_ack", &["ack -"]),
    ("classic_auction", &[]),
    ("classic_candles", &[]),
    ("classic_depth5", &[]),
    ("classic_error", &["refused -: topic /market/tickers:BTC-USDT is not found"]),
    ("classic_futures", &[]),
    (
        "classic_level1",
        &["quote BTC-USDT 68145.7 x 1.29267802 / 68145.8 x 0.51987471 #- @1729816058766000000"],
    ),
    ("classic_level1_empty", &["quote BTC-USDT - x - / - x - #- @1729816058766000000"]),
    ("classic_level2", &[]),
    ("classic_match", &["trade BTC-USDT 67523 x 0.003 Some(Buy) #11067996711960577 @1729843222921000000"]),
    (
        "classic_match_hex",
        &["trade DAPPT-BTC 0.0000001117 x 81.8814 Some(Buy) #6085c09769bc506996295e36 \
          @1619378327739050725"],
    ),
    // Twenty decimals, all of them kept.
    (
        "classic_snapshot",
        &["ticker BTC-USDT 29920.1 x - None #- top 29920 x - / 29920.1 x - o \
          31610.00000000000000000000 h 31901.40000000000000000000 l 29299.90000000000000000000 v \
          21637.26053196000000000000 pc 31610.00000000000000000000 @1654165082007000000"],
    ),
    (
        "classic_ticker",
        &["ticker BCHSV-USDT 243.65 x 0.08000012 None #- top 242.654 x 0.68148185 / 242.951 x \
          4.51280965 o - h - l - v - pc - @1619378326330000000"],
    ),
    (
        "classic_ticker_all",
        &["ticker DOT-USDT 10.4686 x 0.0153 None #- top 10.4647 x 0.1416 / 10.4686 x 64.9647 o - h - \
          l - v - pc - @1653955200018000000"],
    ),
    (
        "classic_ticker_time",
        &["ticker BTC-USDT 0.08 x 0.011 None #- top 0.049 x 0.036 / 0.08 x 0.18 o - h - l - v - pc - \
          @1704873323416000000"],
    ),
    ("classic_welcome", &[]),
    ("greeting", &[]),
    ("pong", &[]),
    ("refusal", &["refused FOO-USDT: symbol not exists"]),
    (
        "ticker",
        &["ticker ETH-USDT 90968.2 x 0.00109929 Some(Buy) #- top 90968.1 x 0.02052839 / 90968.2 x \
          0.97675941 o - h - l - v - pc - @1768206966096000000"],
    ),
    ("trade", &["trade ETH-USDT 92525.6 x 0.00008036 Some(Sell) #20631804219899904 @1768802538480000000"]),
    ("trade_futures", &[]),
];

const UPBIT: &[(&str, &[&str])] = &[
    ("candle", &[]),
    ("error", &["refused -: 인증 정보가 올바르지 않습니다."]),
    ("error_bare", &["refused -: NO_TICKET"]),
    ("orderbook", &["quote KRW-DOT 41730.0 x 47.62562404 / 41840.0 x 103.6 #- @1614729599677000000"]),
    ("orderbook_empty", &["quote KRW-DOT - x - / - x - #- @1614729599677000000"]),
    // Microseconds, once.
    (
        "orderbook_micros",
        &["quote USDT-ETC 17.56010719 x 10.76125737 / 18.14783928 x 8.3912024 #- @1691530805062000000"],
    ),
    ("orderbook_one_sided", &["quote KRW-DOT 41730.0 x 47.62562404 / - x - #- @1614729599677000000"]),
    (
        "orderbook_simple",
        &["quote KRW-LAMB 126.0 x 688682.44561413 / 127.0 x 280460.37885666 #- @1618678262640000000"],
    ),
    ("status", &[]),
    // The day's open, high, low and close are none of the last 24 h.
    (
        "ticker",
        &["ticker KRW-BTC 158200000.00000000 x 0.00011188 Some(Sell) #- o - h - l - v 2083.83396972 \
          pc - @1758875206974000000"],
    ),
    (
        "ticker_simple",
        &["ticker KRW-BTC 158200000.00000000 x 0.00011188 Some(Sell) #- o - h - l - v 2083.83396972 \
          pc - @1758875206974000000"],
    ),
    (
        "ticker_snapshot",
        &["ticker KRW-BTC 158201000.00000000 x 0.00006321 Some(Buy) #- o - h - l - v 2083.82485091 \
          pc - @1758875205276000000"],
    ),
    ("trade", &["trade KRW-DOGE 58.4 x 836.12040133 Some(Sell) #1614729599000000 @1614729599000000000"]),
    (
        "trade_simple",
        &["trade KRW-LAMB 126.0 x 47.97601199 Some(Sell) #1618678262000004 @1618678262000000000"],
    ),
    (
        "trade_snapshot",
        &["past KRW-ETH 37625 x 0.00008428 Some(Sell) #1696585056846000 @1696585056846000000"],
    ),
];

#[test]
fn each_frame_of_coinbase_advanced_means_what_it_should() {
    check(Venue::CoinbaseAdvanced, COINBASE_ADVANCED);
}

#[test]
fn each_frame_of_cryptocom_means_what_it_should() {
    check(Venue::CryptoCom, CRYPTOCOM);
}

#[test]
fn each_frame_of_gateio_means_what_it_should() {
    check(Venue::GateIo, GATEIO);
}

#[test]
fn each_frame_of_hyperliquid_means_what_it_should() {
    check(Venue::Hyperliquid, HYPERLIQUID);
}

#[test]
fn each_frame_of_kucoin_means_what_it_should() {
    check(Venue::KuCoin, KUCOIN);
}

#[test]
fn each_frame_of_upbit_means_what_it_should() {
    check(Venue::Upbit, UPBIT);
}

#[test]
fn m37_coinbase_advanced_tells_whose_trades_are_missing_and_how_many() {
    let row = |product: &str, id: u64, price: &str| {
        format!(
            r#"{{"product_id":"{product}","trade_id":"{id}","price":"{price}","size":"1","time":"2026-06-14T05:35:45Z","side":"SELL"}}"#
        )
    };
    let frame = |kind: &str, rows: &[String]| {
        format!(
            r#"{{"channel":"market_trades","timestamp":"2026-06-14T05:35:45Z","sequence_num":0,"events":[{{"type":"{kind}","trades":[{}]}}]}}"#,
            rows.join(",")
        )
    };
    let frames = [
        frame("snapshot", &[row("A-B", 11, "5"), row("A-B", 10, "5")]),
        frame("update", &[row("A-B", 13, "5"), row("A-B", 12, "5")]),
        frame("update", &[row("C-B", 7, "5")]),
        // Refused whole, so its trades never came.
        frame("update", &[row("A-B", 14, "5"), row("A-B", 15, "1.2.3")]),
        frame("update", &[row("A-B", 16, "5")]),
    ];
    let lines = decoded(Venue::CoinbaseAdvanced, &frames);
    let (past, trade) = ("past A-B 5 x 1 Some(Buy)", "trade A-B 5 x 1 Some(Buy)");
    assert_eq!(kinds(&lines), [past, past, trade, trade, "trade C-B 5 x 1 Some(Buy)", "Gap", trade]);
    assert_eq!(lines[5], r#"Gap { wire: "A-B", missing: Some(2) }"#);
}

#[test]
fn the_first_trades_of_each_hyperliquid_coin_are_past_ones() {
    let frame = |coin: &str, price: &str| {
        format!(
            r#"{{"channel":"trades","data":[{{"coin":"{coin}","side":"A","px":"{price}","sz":"1","time":1781416943647,"tid":1}},{{"coin":"{coin}","side":"B","px":"2","sz":"1","time":1781416943647,"tid":2}}]}}"#
        )
    };
    // A refused frame is not the first one.
    let frames = [frame("A", "1.2.3"), frame("A", "1"), frame("B", "1"), frame("A", "1")];
    let (a, b) = (" A 1 x 1 Some(Sell)", " A 2 x 1 Some(Buy)");
    assert_eq!(
        kinds(&decoded(Venue::Hyperliquid, &frames)),
        [
            format!("past{a}"),
            format!("past{b}"),
            "past B 1 x 1 Some(Sell)".to_owned(),
            "past B 2 x 1 Some(Buy)".to_owned(),
            format!("trade{a}"),
            format!("trade{b}"),
        ]
    );
}

#[test]
fn a_refusal_names_what_was_asked_for_by_its_id() {
    let mut codec = Venue::CryptoCom.codec().unwrap();
    assert_eq!(codec.subscribe(&["BTC_USDT"]).len(), 1);
    let frame = &codec.subscribe(&["FOO_USDT"])[0];
    assert!(frame.contains(r#""id":2,"#), "{frame}");
    for (id, wire) in [("2", "FOO_USDT"), ("3", "-"), ("0", "-"), ("-1", "-")] {
        let frame = format!(r#"{{"id":{id},"method":"subscribe","code":40003,"message":"Unknown symbol"}}"#);
        let mut events = Events::default();
        codec.decode(Frame::Text(&frame), UnixNanos(0), &mut events).unwrap();
        let lines: Vec<_> = events.iter().map(line).collect();
        assert_eq!(lines, [format!("refused {wire}: Unknown symbol")]);
    }
}

#[test]
fn json_in_a_binary_frame_is_what_it_is_in_a_text_frame() {
    let decode = |venue: Venue, frame: Frame<'_>| {
        let mut events = Events::default();
        let decoded = venue.codec().unwrap().decode(frame, UnixNanos(0), &mut events);
        decoded.map(|()| events.iter().map(line).collect::<Vec<_>>())
    };
    for venue in [Venue::KuCoin, Venue::Upbit] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(venue.name());
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let expected = decode(venue, Frame::Text(&text)).unwrap();
            assert_eq!(decode(venue, Frame::Binary(text.as_bytes())).unwrap(), expected, "{text}");
            let mut bytes = text.into_bytes();
            bytes[1] = 0xff;
            assert!(matches!(decode(venue, Frame::Binary(&bytes)), Err(DecodeError::Json(_))));
        }
    }
}

#[test]
fn subscriptions_are_batched_and_name_every_instrument() {
    let wires: Vec<String> = (0..120).map(|n| format!("A{n}")).collect();
    let wires: Vec<&str> = wires.iter().map(String::as_str).collect();
    for (venue, count) in [
        (Venue::CoinbaseAdvanced, 7),
        (Venue::CryptoCom, 120),
        (Venue::GateIo, 360),
        (Venue::Hyperliquid, 360),
        (Venue::KuCoin, 240),
        (Venue::Upbit, 1),
    ] {
        let frames = venue.codec().unwrap().subscribe(&wires);
        assert_eq!(frames.len(), count, "{venue}");
        // Upbit's one request has all.
        assert!(frames.iter().all(|frame| frame.len() < 4_096), "{venue}");
        let all = frames.concat();
        assert!(wires.iter().all(|wire| all.contains(&format!("{wire}\""))), "{venue}");
        assert!(venue.codec().unwrap().subscribe(&[]).is_empty());
    }
}

#[test]
fn subscriptions_are_what_the_venues_document() {
    let frames = |venue: Venue, wire| venue.codec().unwrap().subscribe(&[wire]);
    assert_eq!(
        frames(Venue::CoinbaseAdvanced, "BTC-USD"),
        [
            r#"{"channel":"heartbeats","type":"subscribe"}"#,
            r#"{"channel":"ticker","product_ids":["BTC-USD"],"type":"subscribe"}"#,
            r#"{"channel":"market_trades","product_ids":["BTC-USD"],"type":"subscribe"}"#,
        ]
    );
    assert_eq!(
        frames(Venue::CryptoCom, "BTC_USDT"),
        [r#"{"id":1,"method":"subscribe","params":{"channels":["trade.BTC_USDT","ticker.BTC_USDT"]}}"#]
    );
    assert_eq!(
        frames(Venue::GateIo, "BTC_USDT"),
        [
            r#"{"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT"]}"#,
            r#"{"channel":"spot.book_ticker","event":"subscribe","payload":["BTC_USDT"]}"#,
            r#"{"channel":"spot.tickers","event":"subscribe","payload":["BTC_USDT"]}"#,
        ]
    );
    assert_eq!(
        frames(Venue::Hyperliquid, "PURR/USDC"),
        [
            r#"{"method":"subscribe","subscription":{"coin":"PURR/USDC","type":"trades"}}"#,
            r#"{"method":"subscribe","subscription":{"coin":"PURR/USDC","type":"bbo"}}"#,
            r#"{"method":"subscribe","subscription":{"coin":"PURR/USDC","type":"activeAssetCtx"}}"#,
        ]
    );
    assert_eq!(
        frames(Venue::KuCoin, "BTC-USDT"),
        [
            r#"{"action":"subscribe","channel":"trade","id":"trade.BTC-USDT","symbol":"BTC-USDT","tradeType":"SPOT"}"#,
            r#"{"action":"subscribe","channel":"ticker","id":"ticker.BTC-USDT","symbol":"BTC-USDT","tradeType":"SPOT"}"#,
        ]
    );
    assert_eq!(
        frames(Venue::Upbit, "KRW-BTC"),
        [
            r#"[{"ticket":"tickcast"},{"codes":["KRW-BTC"],"is_only_realtime":true,"type":"trade"},{"codes":["KRW-BTC.1"],"type":"orderbook"},{"codes":["KRW-BTC"],"type":"ticker"},{"format":"DEFAULT"}]"#
        ]
    );
}

#[test]
fn m10_coinbase_advanced_always_joins_the_heartbeats() {
    let frames = Venue::CoinbaseAdvanced.codec().unwrap().subscribe(&["A-B"]);
    assert!(frames[0].contains("\"heartbeats\""), "{}", frames[0]);
}

#[test]
fn m54_gate_times_keep_what_is_below_a_millisecond() {
    let time = |text: &str| {
        let frame = format!(
            r#"{{"channel":"spot.trades","event":"update","result":{{"create_time_ms":{text},"currency_pair":"A_B","price":"1"}}}}"#
        );
        decoded(Venue::GateIo, &[frame])[0].split('@').nth(1).unwrap().to_owned()
    };
    assert_eq!(time(r#""1790359171119.653000""#), "1790359171119653000");
    assert_eq!(time(r#""1790359171119.000001""#), "1790359171119000001");
    assert_eq!(time(r#""1682689046123.0""#), "1682689046123000000");
    assert_eq!(time("1682689046123"), "1682689046123000000");
    // No time, and one beyond all range.
    assert_eq!(time("null"), "-");
    assert_eq!(time(r#""0""#), "-");
    assert_eq!(time(r#""9999999999999999.5""#), "-");
}

#[test]
fn m76_names_are_split_by_the_venues_own_rules() {
    let pair = |venue: Venue, wire| venue.pair(wire).map(|pair| pair.to_string());
    for (venue, wire, expected) in [
        (Venue::CoinbaseAdvanced, "BTC-USD", Some("BTC-USD")),
        (Venue::CoinbaseAdvanced, "BTC-PERP-INTX", None),
        (Venue::CoinbaseAdvanced, "-USD", None),
        (Venue::CryptoCom, "BTC_USDT", Some("BTC-USDT")),
        (Venue::CryptoCom, "BTCUSD-PERP", None),
        (Venue::CryptoCom, "BTC_USD-PERP", None),
        (Venue::GateIo, "QTUM3S_USDT", Some("QTUM3S-USDT")),
        (Venue::GateIo, "BTC_USDT_20260911", None),
        (Venue::GateIo, "BTCUSDT", None),
        (Venue::Hyperliquid, "PURR/USDC", Some("PURR-USDC")),
        // The perpetual's price is not the spot price, and a number is no name.
        (Venue::Hyperliquid, "BTC", None),
        (Venue::Hyperliquid, "@107", None),
        (Venue::KuCoin, "BTC-USDT", Some("BTC-USDT")),
        (Venue::KuCoin, "BCHSV-USDT", Some("BSV-USDT")),
        (Venue::KuCoin, "LUNA-UST", Some("LUNA-UST")),
        (Venue::KuCoin, "XBTUSDTM", None),
        // The quote currency stands first.
        (Venue::Upbit, "KRW-BTC", Some("BTC-KRW")),
        (Venue::Upbit, "BTC-XTZ", Some("XTZ-BTC")),
        (Venue::Upbit, "KRW-", None),
    ] {
        assert_eq!(pair(venue, wire).as_deref(), expected, "{venue} {wire}");
    }
}
