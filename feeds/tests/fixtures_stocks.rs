//! Each frame of `fixtures/` of the vendors of stocks, and what it means.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod meaning;

use tickcast_feeds::{Auth, Event, Events, Frame, UnixNanos, Venue};

use meaning::{check, decoded, kinds};

const ALPACA: &[(&str, &[&str])] = &[
    ("ack", &["ack AAPL", "ack AMD"]),
    ("authenticated", &["Authenticated"]),
    ("bar_daily", &["ticker SPY 389.12 x - None #- o 388.985 h 389.13 l 388.975 v 749378 pc - @-"]),
    ("bar_minute", &[]),
    (
        "cancel",
        &["Undone(Undone { wire: \"GOOGL\", id: Some(TradeId(\"465\")), price: Some(Price(105.31)), \
             size: Some(Size(300)), correction: None, ts_event: Some(UnixNanos(1680786942835409580)) })"],
    ),
    ("connected", &[]),
    (
        "correction",
        &["Undone(Undone { wire: \"EEM\", id: Some(TradeId(\"52983525033527\")), price: \
             Some(Price(39.1582)), size: Some(Size(440000)), correction: Some(Trade { wire: \"EEM\", \
             price: Price(39.1809), size: Some(Size(440000)), aggressor: None, id: \
             Some(TradeId(\"52983525034326\")), ts_event: Some(UnixNanos(1680791106542305024)), \
             backfill: false, moves: Moves { last: No, range: false, volume: true } }), ts_event: \
             Some(UnixNanos(1680791106542305024)) })"],
    ),
    ("empty", &[]),
    ("imbalance", &[]),
    ("luld", &[]),
    ("quote", &["quote AAPL 192.9 x 1 / 194 x 14 #- @1717421613002960334"]),
    ("quote_fakepaca", &["quote FAKEPACA 133.85 x 4 / 135.77 x 5 #- @1721807813639713735"]),
    ("quote_one_side", &["quote AAPL - x - / 194.10 x 2 #- @1717421613000000000"]),
    ("refusal", &["refused -: symbol limit exceeded (405)"]),
    ("refusal_auth", &["refused -: auth failed (402)"]),
    (
        "status_halt",
        &[
            "Status(Status { wire: \"AAPL\", halted: true, text: \"Trading Halt\", ts_event: \
             Some(UnixNanos(1614021300000000000)) })",
            "Status(Status { wire: \"IBM\", halted: true, text: \"Trading Halt\", ts_event: \
             Some(UnixNanos(1614021301000000000)) })",
        ],
    ),
    // Quotes again is not trading again.
    (
        "status_resume",
        &[
            "Status(Status { wire: \"AAPL\", halted: true, text: \"Quotation Resumption\", ts_event: \
             Some(UnixNanos(1614021600000000000)) })",
            "Status(Status { wire: \"AAPL\", halted: false, text: \"Trading Resumption\", ts_event: \
             Some(UnixNanos(1614021900000000000)) })",
            "Status(Status { wire: \"IBM\", halted: false, text: \"Resume\", ts_event: \
             Some(UnixNanos(1614021960000000000)) })",
        ],
    ),
    ("trade", &["trade AAPL 126.550 x 100 None #96921 @1614009104208000000"]),
    // An odd lot, form T, an average price on tape A, which is a bunched trade on tape C, a letter that nobody knows,
    // and a price of zero.
    (
        "trades_conditions",
        &[
            "trade AAPL 162.92 x 3 None #628 @1680782066838232225 Moves { last: No, range: false, \
             volume: true }",
            "trade AAPL 162.93 x 300 None #629 @1680782066838562809 Moves { last: Extended, range: \
             false, volume: true }",
            "trade IBM 130.01 x 500 None #7 @1680792866000000000 Moves { last: No, range: false, volume: \
             true }",
            "trade AAPL 163.01 x 500 None #8 @1680792867000000000",
            "trade AAPL 163.02 x 100 None #9 @1680792868000000000 Moves { last: No, range: false, \
             volume: true }",
        ],
    ),
];

const FINNHUB: &[(&str, &[&str])] = &[
    // A volume of zero is no print, and a price of zero is none at all.
    ("indicative", &["ticker OANDA:EUR_USD 1.08305 x - None #- o - h - l - v - pc - @1680286539953000000"]),
    ("ping", &[]),
    ("refusal", &["refused -: Subscribing to too many symbols"]),
    ("trade", &["trade AAPL 164.06 x 100 None #- @1680286539953000000"]),
    ("trade_crypto", &["trade BINANCE:BTCUSDT 7296.89 x 0.011467 None #- @1575526691134000000"]),
    (
        "trades_conditions",
        &[
            "trade AAPL 226.89 x 30 None #- @1731599126006000000 Moves { last: No, range: false, volume: \
             true }",
            "trade AAPL 226.8988 x 142 None #- @1731599125982000000",
            "trade TSLA 203.04 x 500 None #- @1685567486393000000 Moves { last: Extended, range: false, \
             volume: true }",
            "trade TSLA 203.06 x 3 None #- @1685567486611000000 Moves { last: No, range: false, volume: \
             true }",
            "trade TSLA 203.07 x 300 None #- @1685567486612000000 Moves { last: No, range: false, \
             volume: true }",
        ],
    ),
    ("type_first", &["trade AAPL 231.05 x 100 None #- @1754231400123000000"]),
    ("unknown", &[]),
];

const POLYGON: &[(&str, &[&str])] = &[
    ("ack", &["ack MSFT"]),
    ("authenticated", &["Authenticated"]),
    ("bar_minute", &["ticker GTE - x - None #- o 0.4372 h - l - v 9470157 pc - @1610144700000000000"]),
    ("bar_second", &["ticker FCX - x - None #- o 75.98 h - l - v 4332125.038360 pc - @1788877044000000000"]),
    ("connected", &[]),
    ("imbalance", &[]),
    ("luld", &[]),
    ("quote", &["quote MSFT 114.125 x 100 / 114.128 x 160 #50385480 @1536036818784000000"]),
    (
        "quotes_2019",
        &[
            "quote UFO 26.4 x 1 / 26.47 x 3 #- @1577818659363000000",
            "quote UFO - x - / 26.47 x 11 #- @1577818659365000000",
        ],
    ),
    ("refusal", &["refused -: authentication failed"]),
    // Named by its sequence number: the id is its exchange's alone.
    ("trade", &["trade AAPL 161.87 x 300 None #4009402 @1651684192462000000"]),
    (
        "trade_2019",
        &["trade MSFT 156.9799 x 3 None #- @1577818283019000000 Moves { last: No, range: false, \
             volume: true }"],
    ),
    // An odd lot, form T, a part of a share, an ordinary print, a number that nobody knows.
    (
        "trades_conditions",
        &[
            "trade TSLA 1114.38 x 13 None #1769466 @1649169893847000000 Moves { last: No, range: false, \
             volume: true }",
            "trade TSLA 1114.37 x 600 None #1769467 @1649189893847000000 Moves { last: Extended, range: \
             false, volume: true }",
            "trade TSLA 1114.3700 x 0.5 None #1769468 @1649189893848000000 Moves { last: No, range: \
             false, volume: true }",
            "trade TSLA 1114.36 x 100 None #1769469 @1649189893849000000",
            "trade TSLA 1114.36 x 100 None #1769470 @1649189893849000000 Moves { last: No, range: false, \
             volume: true }",
        ],
    ),
];

const TIINGO: &[(&str, &[&str])] = &[
    ("ack", &["ack *", "ack uso"]),
    (
        "broken",
        &["Undone(Undone { wire: \"wes\", id: None, price: Some(Price(50.285)), size: Some(Size(200)), \
             correction: None, ts_event: Some(UnixNanos(1548873225594808294)) })"],
    ),
    ("connected", &[]),
    ("heartbeat", &[]),
    ("other_service", &[]),
    ("quote", &["quote vym 81.58 x 100 / 81.590 x 100 #- @1548873225383129126"]),
    (
        "quote_halted",
        &[
            "Status(Status { wire: \"vym\", halted: true, text: \"halted\", ts_event: \
             Some(UnixNanos(1548873225383129126)) })",
            "quote vym - x - / - x - #- @1548873225383129126",
        ],
    ),
    ("refusal", &["refused -: Not authenticated"]),
    ("trade", &["trade wes 50.285 x 200 None #- @1548873225594808294"]),
    (
        "trade_after_hours",
        &["trade wes 50.30 x 200 None #- @1548884025594808294 Moves { last: Extended, range: false, \
             volume: true }"],
    ),
    (
        "trade_odd_lot",
        &["trade wes 50.30 x 7 None #- @1548884025594808294 Moves { last: No, range: false, volume: \
             true }"],
    ),
];

const TWELVEDATA: &[(&str, &[&str])] = &[
    ("ack", &["ack EUR/USD"]),
    (
        "ack_partial",
        &[
            "ack AMZN",
            "ack XAG/USD",
            "refused 1211: You are not authorized to access XHKG data.",
            "refused 0700: You are not authorized to access XHKG data.",
        ],
    ),
    ("heartbeat", &[]),
    (
        "price",
        &[
            "trade AAPL 175.6997 x - None #- @1684508044000000000",
            "ticker AAPL - x - None #- o - h - l - v 15991537 pc - @1684508044000000000",
        ],
    ),
    // At 08:01 in New York.
    (
        "price_bare",
        &["trade AMZN 90.390 x - None #- @1667563304000000000 Moves { last: Extended, range: false, \
             volume: true }"],
    ),
    (
        "price_crypto",
        &[
            "trade BTC/USD 29299.0 x - None #- @1653116988000000000",
            "ticker BTC/USD - x - None #- top 29298.0 x - / 29299.0 x - o - h - l - v 28306 pc - \
             @1653116988000000000",
        ],
    ),
    // At 17:00.
    (
        "price_post",
        &["trade AAPL 175.10 x - None #- @1684530000000000000 Moves { last: Extended, range: false, \
             volume: true }"],
    ),
    ("refusal", &["refused GBP/USD: not accepted"]),
    ("refusal_plain", &["refused -: not accepted"]),
];

#[test]
fn each_frame_of_alpaca_means_what_it_should() {
    check(Venue::Alpaca, ALPACA);
}

#[test]
fn each_frame_of_finnhub_means_what_it_should() {
    check(Venue::Finnhub, FINNHUB);
}

#[test]
fn each_frame_of_polygon_means_what_it_should() {
    check(Venue::Polygon, POLYGON);
}

#[test]
fn each_frame_of_tiingo_means_what_it_should() {
    check(Venue::Tiingo, TIINGO);
}

#[test]
fn each_frame_of_twelve_data_means_what_it_should() {
    check(Venue::TwelveData, TWELVEDATA);
}

#[test]
fn m62_a_finnhub_row_without_volume_is_no_trade() {
    let row = |volume: &str| {
        format!(
            r#"{{"data":[{{"s":"OANDA:EUR_USD","p":1.1,"t":1680286539953,"v":{volume}}}],"type":"trade"}}"#
        )
    };
    let lines = decoded(Venue::Finnhub, &[row("0"), row("0.0"), row("null"), row("0.01")]);
    let price = "ticker OANDA:EUR_USD 1.1 x - None";
    assert_eq!(kinds(&lines), [price, price, price, "trade OANDA:EUR_USD 1.1 x 0.01 None"]);
}

#[test]
fn a_halt_of_tiingos_is_told_when_it_changes_and_not_by_a_frame_that_is_refused() {
    let quote = |halted: &str, bid: &str| {
        format!(
            r#"{{"messageType":"A","service":"iex","data":["Q",null,1548873225383129126,"vym",1,{bid},null,2,1,null,null,{halted},0]}}"#
        )
    };
    let frames = [
        quote("0", "1"),
        quote("1", "1.2.3"),
        quote("1", "1"),
        quote("1", "1"),
        quote("null", "1"),
        quote("0", "1"),
        quote("0", "1"),
    ];
    let lines = decoded(Venue::Tiingo, &frames);
    let quote = "quote vym 1 x 1 / 2 x 1";
    assert_eq!(kinds(&lines), [quote, "Status(Status", quote, quote, quote, "Status(Status", quote, quote]);
    assert!(lines[1].contains("halted: true") && lines[5].contains("halted: false"));
}

#[test]
fn a_message_that_cannot_be_read_costs_its_frame_and_leaves_no_half_answer() {
    let good = r#"{"T":"t","S":"A","p":1,"s":1,"t":null}"#;
    for bad in [
        format!(r#"[{good},{{"T":"t","S":"A","p":1.2.3,"s":1}}]"#),
        format!(r#"[{good},{{"T":"t","S":"","p":1}}]"#),
        format!(r#"[{good},{{"T":"t","S":"A","p":1,"c":[1.5,{{}}]}}]"#),
        format!("[{good}"),
        format!("[{good}] x"),
    ] {
        let mut events = Events::default();
        events.push(Event::Reconnect);
        let decoded = Venue::Alpaca.codec().unwrap().decode(Frame::Text(&bad), UnixNanos(0), &mut events);
        assert!(decoded.is_err(), "{bad}");
        assert_eq!(events.len(), 1, "{bad}");
    }
}

#[test]
fn keys_are_shown_as_each_vendor_wants_them() {
    let first = |venue: Venue| venue.codec().unwrap().authenticate("K\"1", "S2");
    assert_eq!(first(Venue::Alpaca).as_deref(), Some(r#"{"action":"auth","key":"K\"1","secret":"S2"}"#));
    assert_eq!(first(Venue::Polygon).as_deref(), Some(r#"{"action":"auth","params":"K\"1"}"#));
    for venue in [Venue::Tiingo, Venue::Finnhub, Venue::TwelveData, Venue::Kraken] {
        assert_eq!(first(venue), None, "{venue}");
    }
    for &venue in Venue::ALL {
        let expected = match venue {
            Venue::Alpaca | Venue::Polygon | Venue::Tiingo => Auth::Frame,
            Venue::Finnhub => Auth::Query("token"),
            Venue::TwelveData => Auth::Query("apikey"),
            _ => Auth::None,
        };
        assert_eq!(venue.auth(), expected, "{venue}");
    }
}

#[test]
fn tiingos_key_is_in_its_subscriptions_and_in_nothing_that_is_printed() {
    let mut codec = tickcast_feeds::venues::tiingo::Tiingo::default();
    tickcast_feeds::Codec::authenticate(&mut codec, "K1", "");
    assert_eq!(
        tickcast_feeds::Codec::subscribe(&mut codec, &["aapl"]),
        [
            r#"{"authorization":"K1","eventData":{"thresholdLevel":0,"tickers":["aapl"]},"eventName":"subscribe"}"#
        ]
    );
    assert!(!format!("{codec:?}").contains("K1"));
}

#[test]
fn subscriptions_are_what_the_vendors_document() {
    let frames = |venue: Venue| venue.codec().unwrap().subscribe(&["AAPL", "BRK.B"]);
    assert_eq!(
        frames(Venue::Alpaca),
        [
            r#"{"action":"subscribe","dailyBars":["AAPL","BRK.B"],"quotes":["AAPL","BRK.B"],"trades":["AAPL","BRK.B"]}"#,
            r#"{"action":"subscribe","statuses":["AAPL","BRK.B"]}"#,
        ]
    );
    assert_eq!(
        frames(Venue::Finnhub),
        [r#"{"symbol":"AAPL","type":"subscribe"}"#, r#"{"symbol":"BRK.B","type":"subscribe"}"#]
    );
    assert_eq!(
        frames(Venue::Polygon),
        [r#"{"action":"subscribe","params":"T.AAPL,Q.AAPL,A.AAPL,T.BRK.B,Q.BRK.B,A.BRK.B"}"#]
    );
    assert_eq!(frames(Venue::TwelveData), [r#"{"action":"subscribe","params":{"symbols":"AAPL,BRK.B"}}"#]);
}

#[test]
fn subscriptions_are_batched_and_name_every_instrument() {
    let wires: Vec<String> = (0..1_000).map(|n| format!("A{n}")).collect();
    let wires: Vec<&str> = wires.iter().map(String::as_str).collect();
    for (venue, count) in [
        (Venue::Alpaca, 10),
        (Venue::Finnhub, 1_000),
        (Venue::Polygon, 5),
        (Venue::Tiingo, 5),
        (Venue::TwelveData, 2),
    ] {
        let frames = venue.codec().unwrap().subscribe(&wires);
        assert_eq!(frames.len(), count, "{venue}");
        assert!(frames.iter().all(|frame| frame.len() < 8_192), "{venue}");
        let all = frames.concat();
        let ends = ["\"", ","];
        assert!(
            wires.iter().all(|wire| ends.iter().any(|end| all.contains(&format!("{wire}{end}")))),
            "{venue}"
        );
        assert!(venue.codec().unwrap().subscribe(&[]).is_empty());
    }
}

#[test]
fn m76_tickers_are_spelt_as_they_are_listed() {
    let pair = |venue: Venue, wire| venue.pair(wire).map(|pair| pair.to_string());
    for (venue, wire, expected) in [
        (Venue::Alpaca, "BRK.B", Some("BRK.B")),
        (Venue::Alpaca, "ETH/USDT", Some("ETH-USDT")),
        (Venue::Alpaca, "*", None),
        (Venue::Polygon, "BRK.B", Some("BRK.B")),
        (Venue::Polygon, "", None),
        (Venue::Finnhub, "AAPL", Some("AAPL")),
        (Venue::Finnhub, "BRK.B", Some("BRK.B")),
        // The name does not tell where the base ends.
        (Venue::Finnhub, "BINANCE:BTCUSDT", None),
        (Venue::Finnhub, "OANDA:EUR_USD", Some("EUR-USD")),
        (Venue::Finnhub, "COINBASE:BTC-USD", Some("BTC-USD")),
        (Venue::Finnhub, "IC MARKETS:1", None),
        (Venue::TwelveData, "BTC/USD", Some("BTC-USD")),
        (Venue::TwelveData, "0700", Some("0700")),
        (Venue::Tiingo, "aapl", Some("AAPL")),
        (Venue::Tiingo, "brk-b", Some("BRK.B")),
        (Venue::Tiingo, "bac-p-b", Some("BAC-P-B")),
        (Venue::Tiingo, "*", None),
    ] {
        assert_eq!(pair(venue, wire).as_deref(), expected, "{venue} {wire}");
    }
}
