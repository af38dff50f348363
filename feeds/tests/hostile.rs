//! What a broken or hostile frame can do to a codec: nothing. It may be refused; it never panics, never leaves
//! half an answer, and never changes what another frame means.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads fixtures"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tickcast_feeds::{Codec, DecodeError, Event, Events, Frame, Price, Quote, Size, Trade, UnixNanos, Venue};

const VENUES: [Venue; 20] = [
    Venue::Alpaca,
    Venue::Binance,
    Venue::BinanceUs,
    Venue::Bitfinex,
    Venue::Bitstamp,
    Venue::Bybit,
    Venue::Coinbase,
    Venue::CoinbaseAdvanced,
    Venue::CryptoCom,
    Venue::Finnhub,
    Venue::GateIo,
    Venue::Gemini,
    Venue::Hyperliquid,
    Venue::Kraken,
    Venue::KuCoin,
    Venue::Okx,
    Venue::Polygon,
    Venue::Tiingo,
    Venue::TwelveData,
    Venue::Upbit,
];

fn fixtures() -> Vec<(Venue, String, String)> {
    let mut all = Vec::new();
    for venue in VENUES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(venue.name());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap().trim_end().to_owned();
            all.push((venue, path.display().to_string(), text));
        }
    }
    all
}

/// A codec that knows the channels that fixtures are about, where a venue numbers them.
fn connected(venue: Venue) -> Box<dyn Codec> {
    const BITFINEX: [&str; 3] = [
        include_str!("../fixtures/bitfinex/subscribed_ticker.json"),
        include_str!("../fixtures/bitfinex/subscribed_trades.json"),
        include_str!("../fixtures/bitfinex/subscribed_funding.json"),
    ];
    let mut codec = venue.codec().unwrap();
    let before: &[&str] = if venue == Venue::Bitfinex { &BITFINEX } else { &[] };
    for frame in before {
        codec.decode(Frame::Text(frame), UnixNanos(0), &mut Events::default()).unwrap();
    }
    codec
}

fn decode(venue: Venue, text: &str) -> Result<Vec<String>, DecodeError> {
    decode_frame(venue, Frame::Text(text))
}

/// Decodes after an event that was there before; `Ok` has the events, how many there are is checked on `Err`.
fn decode_frame(venue: Venue, frame: Frame<'_>) -> Result<Vec<String>, DecodeError> {
    let mut events = Events::default();
    events.push(Event::Reconnect);
    let decoded = connected(venue).decode(frame, UnixNanos(0), &mut events);
    let lines: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(lines[0], "Reconnect", "what was there before is gone after {frame:?}");
    match decoded {
        Ok(()) => Ok(lines[1..].to_vec()),
        Err(error) => {
            assert_eq!(lines.len(), 1, "half an answer from {frame:?}");
            Err(error)
        }
    }
}

/// What a frame says of the market must be sayable: everything in a tick was checked where it was made.
fn is_sound(venue: Venue, text: &str) {
    let mut events = Events::default();
    if connected(venue).decode(Frame::Text(text), UnixNanos(0), &mut events).is_err() {
        assert!(events.is_empty());
        return;
    }
    for event in &events {
        if let Event::Trade(Trade { wire, price, size, .. }) = event {
            assert!(!wire.is_empty());
            assert!(Price::new(price.get()).is_some());
            assert!(size.is_none_or(|size| Size::new(size.get()).is_some()));
        }
        if let Event::Quote(Quote { wire, .. }) = event {
            assert!(!wire.is_empty());
        }
    }
}

/// The top-level (or innermost interesting) fields as `(start, end)` of `"key":value` in a flat object.
fn fields(object: &str) -> Vec<&str> {
    let inner = object.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap();
    let (mut depth, mut quoted, mut escaped, mut start, mut found) = (0, false, false, 0, Vec::new());
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                found.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inner[start..]);
    found
}

/// The whole frame, and the innermost flat object in it where there is one: both with a way to put it back.
fn objects(frame: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    if frame.starts_with('{') {
        found.push((0, frame.len()));
    }
    // A brace before an escaped quote is inside of a text.
    if let Some(start) = frame[1..].find("{\"").map(|at| at + 1) {
        let end = start + frame[start..].find('}').unwrap() + 1;
        if frame[start + 1..end].find('{').is_none() && end - start > 2 {
            found.push((start, end));
        }
    }
    found
}

/// Each frame that results from changing the fields of one object by `change`.
fn with_fields(frame: &str, mut change: impl FnMut(Vec<String>) -> Vec<Vec<String>>) -> Vec<String> {
    let mut frames = Vec::new();
    for (start, end) in objects(frame) {
        let now = fields(&frame[start..end]).into_iter().map(str::to_owned).collect();
        for fields in change(now) {
            frames.push(format!("{}{{{}}}{}", &frame[..start], fields.join(","), &frame[end..]));
        }
    }
    frames
}

#[test]
fn a_frame_cut_at_any_byte_says_nothing_about_the_market() {
    for (venue, name, text) in fixtures() {
        for (at, _) in text.char_indices() {
            if let Ok(events) = decode(venue, &text[..at]) {
                assert!(events.is_empty(), "{name} cut at {at}: {events:?}");
            }
        }
    }
}

#[test]
fn text_after_a_frame_that_means_something_refuses_it() {
    for (venue, name, text) in fixtures() {
        if !decode(venue, &text).unwrap().is_empty() {
            assert!(decode(venue, &format!("{text}{{")).is_err(), "{name}");
            assert!(decode(venue, &format!("{text} \r\n")).is_ok(), "{name}");
        }
    }
}

#[test]
fn the_order_of_fields_and_unknown_ones_change_nothing() {
    for (venue, name, text) in fixtures() {
        let expected = decode(venue, &text).unwrap();
        let frames = with_fields(&text, |fields| {
            let mut all = Vec::new();
            for first in 0..fields.len() {
                for second in first + 1..fields.len() {
                    let mut swapped = fields.clone();
                    swapped.swap(first, second);
                    all.push(swapped);
                }
                let mut more = fields.clone();
                more.insert(
                    first,
                    r#""new":{"e":"trade","type":"match","a":["}",{"p":"\"e\":\"trade\""}]}"#.to_owned(),
                );
                all.push(more);
            }
            all
        });
        for frame in frames {
            assert_eq!(decode(venue, &frame).unwrap(), expected, "{name}: {frame}");
        }
    }
}

#[test]
fn a_field_that_is_missing_or_of_another_type_never_makes_half_an_answer() {
    const OTHERS: &[&str] = &[
        "null",
        "true",
        "-1",
        "0",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[[]]",
        "1e999999999",
        "\"NaN\"",
        "1.2.3",
        "\"0.-10000\"",
        "123456789012345678901234567890",
        "0.12345678901234567890123456789",
        "\"\\u0031\"",
        "\"\\ud800\"",
        "tru",
        "",
    ];
    for (venue, _, text) in fixtures() {
        let frames = with_fields(&text, |fields| {
            let mut all = Vec::new();
            for index in 0..fields.len() {
                let mut fewer = fields.clone();
                fewer.remove(index);
                all.push(fewer);
                for other in OTHERS {
                    let mut changed = fields.clone();
                    let key = changed[index].split(':').next().unwrap();
                    changed[index] = format!("{key}:{other}");
                    all.push(changed);
                }
            }
            all
        });
        for frame in frames {
            let _ = decode(venue, &frame);
            is_sound(venue, &frame);
        }
    }
}

#[test]
fn an_array_with_an_element_of_another_type_never_makes_half_an_answer() {
    for (venue, _, text) in fixtures().into_iter().filter(|(_, _, text)| text.starts_with('[')) {
        let is_edge = |byte: u8| matches!(byte, b'[' | b']' | b',');
        let edges: Vec<_> = text.bytes().enumerate().filter(|(_, b)| is_edge(*b)).map(|(at, _)| at).collect();
        for ends in edges.windows(2) {
            let (before, after) = (&text[..=ends[0]], &text[ends[1]..]);
            for other in ["", "null", "true", "-1", "0", "\"x\"", "[]", "{}", "[[[]]]", "1e999", "1.2.3", ","]
            {
                let frame = format!("{before}{other}{after}");
                let _ = decode(venue, &frame);
                is_sound(venue, &frame);
            }
        }
    }
}

#[test]
fn m46_a_number_that_would_be_rounded_refuses_the_frame_and_names_the_field() {
    for (venue, file, old, field) in [
        (Venue::Binance, "trade", "\"63551.02000000\"", "p"),
        (Venue::Binance, "trade_combined", "\"0.00317000\"", "q"),
        (Venue::Binance, "mini_tickers", "\"0.06\"", "c"),
        (Venue::Binance, "book_ticker", "\"25.36520000\"", "a"),
        (Venue::BinanceUs, "book_ticker", "\"297.21000000\"", "a"),
        (Venue::Bitfinex, "trade", "10087.98969503", "PRICE"),
        (Venue::Bitfinex, "trade", "-0.00705845", "AMOUNT"),
        (Venue::Bitfinex, "ticker", "70434", "LOW"),
        (Venue::Bitstamp, "trade", "\"83946.07\"", "price_str"),
        (Venue::Bitstamp, "quote", "\"83939.00\"", "asks"),
        (Venue::Bybit, "trade", "\"77707.90\"", "p"),
        (Venue::Bybit, "quote", "\"0.051644\"", "b"),
        (Venue::Bybit, "ticker", "\"20575\"", "lowPrice24h"),
        (Venue::Gemini, "trade", "\"62145.38000\"", "p"),
        (Venue::Gemini, "older_book", "\"67.722466\"", "quantity"),
        (Venue::Okx, "trade", "\"95634.90\"", "px"),
        (Venue::Okx, "quote", "\"0.3392211\"", "bids"),
        (Venue::Okx, "ticker", "\"6175.12222953\"", "vol24h"),
        (Venue::Coinbase, "match", "\"63514.60\"", "price"),
        (Venue::Coinbase, "ticker", "\"0.61540890\"", "best_bid_size"),
        (Venue::CoinbaseAdvanced, "trades_newest_first", "\"2375.56\"", "price"),
        (Venue::CoinbaseAdvanced, "ticker", "\"0.02287045\"", "best_ask_quantity"),
        (Venue::CryptoCom, "trades", "\"77558.92\"", "p"),
        (Venue::CryptoCom, "ticker", "\"4.6148\"", "k"),
        (Venue::GateIo, "trade", "\"83790.9\"", "price"),
        (Venue::GateIo, "book_ticker", "\"0.055894\"", "A"),
        (Venue::GateIo, "ticker", "\"0.0018754\"", "high_24h"),
        (Venue::Hyperliquid, "trades", "\"0.38111\"", "sz"),
        (Venue::Hyperliquid, "bbo", "\"23.758\"", "px"),
        (Venue::KuCoin, "trade", "\"92525.6\"", "p"),
        (Venue::KuCoin, "ticker", "\"90968.1\"", "b"),
        (Venue::KuCoin, "classic_snapshot", "29920,", "buy"),
        (Venue::Upbit, "trade_simple", "126.0,", "tp"),
        (Venue::Upbit, "orderbook", "41840.0,", "ask_price"),
        (Venue::Kraken, "trade", "81205.10,", "price"),
        (Venue::Alpaca, "trade", "126.550,", "p"),
        (Venue::Alpaca, "quote", "14,", "as"),
        (Venue::Alpaca, "bar_daily", "388.975,", "l"),
        (Venue::Finnhub, "trade", "164.06,", "p"),
        (Venue::Finnhub, "trade_crypto", "0.011467", "v"),
        (Venue::Polygon, "trade", "161.87,", "p"),
        (Venue::Polygon, "quote", "114.128,", "ap"),
        (Venue::Polygon, "bar_second", "\"4332125.038360\"", "dav"),
        (Venue::Tiingo, "quote", "81.590,", "askPrice"),
        (Venue::Tiingo, "trade", "50.285,", "lastPrice"),
        (Venue::TwelveData, "price", "175.6997,", "price"),
        (Venue::TwelveData, "price_crypto", "29298.0,", "bid"),
        (Venue::Kraken, "ticker", "-429.3", "change"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{venue}/{file}.json"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(old));
        let comma = if old.ends_with(',') { "," } else { "" };
        for bad in
            ["1.23456789012345678901234567890123", "79228162514264337593543950336", "1e-29", "1e400", "1.2.3"]
        {
            for new in [format!("{bad}{comma}"), format!("\"{bad}\"{comma}")] {
                match decode(venue, &text.replacen(old, &new, 1)) {
                    Err(DecodeError::Number { field: named, .. }) => assert_eq!(named, field, "{file} {new}"),
                    other => panic!("{venue}/{file} with {new}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_field_that_comes_twice_refuses_a_frame_that_means_something() {
    for (venue, name, text) in fixtures() {
        let expected = decode(venue, &text).unwrap();
        let frames = with_fields(&text, |fields| {
            (0..fields.len()).map(|index| fields.iter().chain([&fields[index]]).cloned().collect()).collect()
        });
        for frame in frames {
            // One that nobody reads may come twice.
            if let Ok(events) = decode(venue, &frame) {
                assert_eq!(events, expected, "{name}: {frame}");
            }
        }
    }
    for (venue, frame) in [
        (Venue::Binance, r#"{"e":"trade","s":"A","t":1,"p":"1","p":"2","q":"1","T":1,"m":true}"#),
        (Venue::Binance, r#"{"e":"trade","s":"A","t":1,"p":"1","q":"1","T":1,"m":true,"e":"depthUpdate"}"#),
        (Venue::Binance, r#"{"stream":"x","data":{"e":"serverShutdown"},"data":{"e":"serverShutdown"}}"#),
        (Venue::Bitstamp, r#"{"data":{},"data":{},"channel":"live_trades_a","event":"bts:heartbeat"}"#),
        (Venue::Bitstamp, r#"{"event":"bts:heartbeat","event":"bts:request_reconnect","data":{}}"#),
        (Venue::Bybit, r#"{"topic":"publicTrade.A","data":[],"data":[]}"#),
        (Venue::Gemini, r#"{"E":1,"s":"a","t":1,"p":"1","p":"2","q":"1","m":true}"#),
        (Venue::Okx, r#"{"arg":{"channel":"trades","instId":"A"},"data":[],"data":[]}"#),
        (Venue::Okx, r#"{"arg":{"channel":"trades","instId":"A"},"arg":{"channel":"x"},"data":[]}"#),
        (Venue::Coinbase, r#"{"type":"match","type":"match","price":"1","product_id":"A-B"}"#),
        (Venue::CoinbaseAdvanced, r#"{"channel":"ticker","timestamp":null,"events":[],"events":[]}"#),
        (Venue::CryptoCom, r#"{"method":"subscribe","result":{"channel":"trade","data":[],"data":[]}}"#),
        (Venue::GateIo, r#"{"channel":"spot.trades","event":"update","result":{"price":"1","price":"2"}}"#),
        (Venue::Hyperliquid, r#"{"channel":"trades","data":[],"data":[]}"#),
        (Venue::KuCoin, r#"{"T":"trade.SPOT","d":{"s":"A-B","p":"1","p":"2"}}"#),
        (Venue::Upbit, r#"{"type":"trade","code":"A-B","trade_price":1,"trade_price":2}"#),
        (Venue::Kraken, r#"{"channel":"trade","type":"update","type":"snapshot","data":[]}"#),
        (Venue::Alpaca, r#"[{"T":"t","S":"A","p":1,"p":2}]"#),
        (Venue::Finnhub, r#"{"data":[],"data":[],"type":"trade"}"#),
        (Venue::Finnhub, r#"{"data":[],"type":"trade","type":"error"}"#),
        (Venue::Polygon, r#"[{"ev":"T","sym":"A","p":1,"p":2}]"#),
        (Venue::Tiingo, r#"{"messageType":"H","messageType":"A"}"#),
        (Venue::TwelveData, r#"{"event":"price","symbol":"A","price":1,"price":2}"#),
    ] {
        assert!(decode(venue, frame).is_err(), "{frame}");
    }
}

#[test]
fn a_kind_inside_of_a_text_is_not_the_frames_kind() {
    for (venue, frame) in [
        (Venue::Binance, r#"{"x":"\"e\":\"trade\",\"s\":\"A\",\"p\":\"1\"","e":"kline"}"#),
        (
            Venue::Bitstamp,
            r#"{"data":{"event":"trade","price_str":"1"},"channel":"live_orders_ab","event":"order_created"}"#,
        ),
        (
            Venue::Bybit,
            r#"{"x":{"topic":"publicTrade.A"},"topic":"kline.1.A","data":[{"p":"1","s":"A","i":"1"}]}"#,
        ),
        (Venue::Gemini, r#"{"x":"\"t\":1","e":"depthUpdate","s":"a","p":"1"}"#),
        (
            Venue::Okx,
            r#"{"x":"\"event\":\"error\"","arg":{"channel":"books","instId":"A-B"},"data":[{"px":"1"}]}"#,
        ),
        (Venue::Coinbase, r#"{"x":"{\"type\":\"match\"}","type":"open","price":"1","product_id":"A-B"}"#),
        (
            Venue::GateIo,
            r#"{"x":"\"channel\":\"spot.trades\"","channel":"spot.candlesticks","event":"update"}"#,
        ),
        (Venue::Hyperliquid, r#"{"x":{"channel":"trades"},"channel":"candle","data":{"coin":"A"}}"#),
        (Venue::KuCoin, r#"{"x":{"T":"trade.SPOT"},"T":"kline.SPOT","d":{"s":"A-B"}}"#),
        (Venue::Upbit, r#"{"x":"\"ty\":\"trade\"","type":"candle.1s","code":"KRW-BTC"}"#),
        (
            Venue::Kraken,
            r#"{"x":"\"channel\":\"trade\"","channel":"book","type":"update","data":[{"price":1}]}"#,
        ),
        (Venue::Alpaca, r#"[{"x":{"T":"t"},"T":"l","S":"A","p":1}]"#),
        (Venue::Finnhub, r#"{"x":"\"type\":\"trade\"","data":[{"s":"A","p":1,"v":1}],"type":"news"}"#),
        (Venue::Polygon, r#"[{"x":{"ev":"T"},"ev":"LULD","sym":"A","p":1}]"#),
        (Venue::Tiingo, r#"{"x":"\"messageType\":\"A\"","messageType":"H","service":"iex","data":["T"]}"#),
        (Venue::TwelveData, r#"{"x":{"event":"price"},"event":"heartbeat","symbol":"A","price":1}"#),
        (Venue::Kraken, r#"{"x":{"channel":"trade"},"channel":"book","type":"update","data":[{"price":1}]}"#),
    ] {
        assert!(decode(venue, frame).unwrap().is_empty(), "{frame}");
    }
}

#[test]
fn deep_nesting_is_refused_and_takes_no_stack() {
    for venue in VENUES {
        for bracket in ["[", "{\"a\":", "[{\"data\":"] {
            let deep = bracket.repeat(100_000);
            for frame in [
                deep.clone(),
                format!("{{\"data\":{deep}"),
                format!("{{\"x\":{deep}"),
                format!("{{\"e\":\"trade\",\"x\":{deep}"),
                format!("{{\"type\":\"match\",\"x\":{deep}"),
                format!("{{\"channel\":\"trade\",\"type\":\"update\",\"data\":{deep}"),
            ] {
                if let Ok(events) = decode(venue, &frame) {
                    assert!(events.is_empty());
                }
            }
        }
    }
}

#[test]
fn a_frame_of_five_megabytes_is_read_in_its_own_size() {
    let long = "9".repeat(5 << 20);
    let rows =
        r#"{"symbol":"A/B","side":"buy","price":1,"qty":1,"trade_id":1,"timestamp":null},"#.repeat(60_000);
    let rows = rows.trim_end_matches(',');
    let trades = format!(r#"{{"channel":"trade","type":"update","data":[{rows}]}}"#);
    assert_eq!(decode(Venue::Kraken, &trades).unwrap().len(), 60_000);
    let products = "\"A-B\",".repeat(900_000);
    let products = products.trim_end_matches(',');
    let channels = format!(r#"{{"type":"subscriptions","channels":[{{"product_ids":[{products}]}}]}}"#);
    assert_eq!(decode(Venue::Coinbase, &channels).unwrap().len(), 1);
    for (venue, _, text) in fixtures() {
        for frame in with_fields(&text, |fields| {
            let mut more = fields.clone();
            more.insert(0, format!("\"x\":\"{long}\""));
            vec![more]
        }) {
            assert_eq!(decode(venue, &frame).unwrap(), decode(venue, &text).unwrap());
        }
    }
    for venue in VENUES {
        assert!(decode(venue, &long).is_err());
    }
    for frame in [
        format!(r#"{{"e":"trade","s":"A","t":1,"p":"{long}","q":"1","T":1,"m":true}}"#),
        format!(r#"{{"e":"trade","s":"A","t":{long},"p":"x","q":"1","T":1,"m":true}}"#),
        format!(r#"{{"e":"trade","s":"A","t":1,"p":"1","q":"1","T":{long},"m":true}}"#),
    ] {
        assert!(decode(Venue::Binance, &frame).is_err());
    }
}

#[test]
fn a_binary_frame_is_refused_where_text_is_due() {
    // These two send JSON in binary frames.
    for venue in VENUES.into_iter().filter(|venue| !matches!(venue, Venue::KuCoin | Venue::Upbit)) {
        let mut events = Events::default();
        let error =
            venue.codec().unwrap().decode(Frame::Binary(b"{}"), UnixNanos(0), &mut events).unwrap_err();
        assert!(matches!(error, DecodeError::Kind { got: "binary", want: "text" }));
        assert!(events.is_empty());
    }
}

#[test]
fn json_means_the_same_in_text_and_binary_frames_of_venues_that_send_binary_ones() {
    for (venue, name, text) in fixtures() {
        if matches!(venue, Venue::KuCoin | Venue::Upbit) {
            let binary = decode_frame(venue, Frame::Binary(text.as_bytes())).unwrap();
            assert_eq!(binary, decode(venue, &text).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_binary_frame_that_is_no_utf8_is_refused_wherever_it_is_broken() {
    // No first byte, half a character, a surrogate, five bytes, a slash in two bytes.
    const BROKEN: [&[u8]; 5] = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"];
    for (venue, name, text) in fixtures() {
        let bytes = text.as_bytes();
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 50).chain([bytes.len()]) {
            for broken in BROKEN {
                let frame = [&bytes[..at], broken, &bytes[at..]].concat();
                assert!(decode_frame(venue, Frame::Binary(&frame)).is_err(), "{name} at {at}");
            }
        }
    }
    for venue in VENUES {
        assert!(decode_frame(venue, Frame::Binary(&vec![0xff; 5 << 20])).is_err());
        assert!(decode_frame(venue, Frame::Binary(&vec![0; 5 << 20])).is_err());
    }
}

#[test]
fn five_megabytes_of_rows_make_no_more_of_each_than_one_does() {
    let mut seen = BTreeSet::new();
    let mut all = fixtures();
    all.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
    for (venue, name, text) in all {
        // The innermost row of an array.
        let Some(end) = text.find("}]").map(|at| at + 1) else { continue };
        let Some(start) = text[..end].rfind('{') else { continue };
        let Ok(one) = decode(venue, &text) else { continue };
        if one.is_empty() || !text[..start].ends_with(['[', ',']) || !seen.insert(venue.name()) {
            continue;
        }
        let row = &text[start..end];
        let count = (5 << 20) / (row.len() + 1);
        let more = format!("{row},").repeat(count);
        let frame = format!("{}{more}{}", &text[..start], &text[start..]);
        if let Ok(events) = decode(venue, &frame) {
            assert!(
                events.len() <= one.len() * (count + 1),
                "{name}: {} events of {count} rows",
                events.len()
            );
        }
    }
    assert!(seen.len() >= 10, "only {seen:?} have rows");
}

#[test]
fn what_is_no_frame_of_the_venue_is_refused() {
    for venue in VENUES {
        for text in
            ["", " ", "ping", "null", "42", "\"x\"", "{", "}", "{]", "{\"a\":1,}", "\u{feff}{}", "{}{}"]
        {
            assert!(decode(venue, text).map_or(true, |events| events.is_empty()), "{venue} {text}");
        }
        for text in ["", "ping", "null", "42", "{", "}", "{]"] {
            assert!(decode(venue, text).is_err(), "{venue} {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_bytes_never_panic_and_never_make_an_unsound_tick(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), 0_usize..3), 1..6),
    ) {
        static ALL: LazyLock<Vec<(Venue, String, String)>> = LazyLock::new(fixtures);
        let (venue, _, text) = pick.get(&ALL);
        let mut chars: Vec<char> = text.chars().collect();
        for (at, with, how) in changes {
            let at = at.index(chars.len());
            match how {
                0 => chars[at] = with,
                1 => chars.insert(at, with),
                _ if chars.len() > 1 => { chars.remove(at); }
                _ => {}
            }
        }
        let text: String = chars.into_iter().collect();
        for venue in [*venue].into_iter().chain(VENUES) {
            let _ = decode(venue, &text);
            is_sound(venue, &text);
        }
    }

    #[test]
    fn any_text_of_json_characters_never_panics(text in r#"[\[\]{}":,\\0-9eE.+\-a-z éä]{0,60}"#) {
        for venue in VENUES {
            is_sound(venue, &text);
        }
    }

    #[test]
    fn any_decimal_is_kept_digit_by_digit(whole in 1_u64..1_000_000_000, decimals in "[0-9]{1,12}") {
        let price = format!("{whole}.{decimals}");
        let text = format!(r#"{{"e":"trade","s":"A","t":1,"p":"{price}","q":{price},"T":1,"m":true}}"#);
        let mut events = Events::default();
        Venue::Binance.codec().unwrap().decode(Frame::Text(&text), UnixNanos(0), &mut events).unwrap();
        let Some(Event::Trade(trade)) = events.iter().next() else { panic!("no trade") };
        prop_assert_eq!(trade.price.to_string(), &price[..]);
        prop_assert_eq!(trade.size.unwrap().to_string(), price);
    }
}
