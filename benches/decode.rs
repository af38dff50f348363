//! Frames per second of one core, from a venue's text to exact ticks. Beside each: the textbook way
//! (`serde_json::Value`, then `Decimal::from_str`) and a borrowed serde derive of exactly that frame, which is
//! told the frame's kind beforehand and so does less than a codec has to.

#![allow(missing_docs, clippy::print_stderr, reason = "a bench has no callers, and says what it skips")]

use std::hint::black_box;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use tickcast_feeds::number::parse_decimal;
use tickcast_feeds::{Codec, Events, Frame, UnixNanos, Venue};

/// Frames in one fixture's round, so that a round is long against the clock.
const REPEATS: usize = 1_000;

/// Venue and file.
const FIXTURES: &[(Venue, &str)] = &[
    (Venue::Binance, "trade"),
    (Venue::Binance, "trade_combined"),
    (Venue::Binance, "book_ticker"),
    (Venue::Binance, "mini_ticker"),
    (Venue::Binance, "ticker"),
    (Venue::Binance, "depth"),
    (Venue::Bitfinex, "trade"),
    (Venue::Bitfinex, "ticker"),
    (Venue::Bitfinex, "book"),
    (Venue::Bitfinex, "heartbeat"),
    (Venue::Bitstamp, "trade"),
    (Venue::Bitstamp, "quote"),
    (Venue::Bybit, "trade"),
    (Venue::Bybit, "trade_block"),
    (Venue::Bybit, "quote"),
    (Venue::Bybit, "ticker"),
    (Venue::Gemini, "trade"),
    (Venue::Gemini, "quote"),
    (Venue::Okx, "trade"),
    (Venue::Okx, "trade_swap"),
    (Venue::Okx, "quote"),
    (Venue::Okx, "ticker"),
    (Venue::Okx, "depth"),
    (Venue::Coinbase, "match"),
    (Venue::Coinbase, "ticker"),
    (Venue::Coinbase, "heartbeat"),
    (Venue::Coinbase, "l2update"),
    (Venue::Kraken, "trade"),
    (Venue::Kraken, "ticker"),
    (Venue::Kraken, "heartbeat"),
    (Venue::Kraken, "book"),
    (Venue::CoinbaseAdvanced, "trades_snapshot"),
    (Venue::CoinbaseAdvanced, "trades_newest_first"),
    (Venue::CoinbaseAdvanced, "ticker"),
    (Venue::CryptoCom, "trades"),
    (Venue::CryptoCom, "ticker"),
    (Venue::GateIo, "trade"),
    (Venue::GateIo, "book_ticker"),
    (Venue::GateIo, "ticker"),
    (Venue::Hyperliquid, "trades_users"),
    (Venue::Hyperliquid, "bbo"),
    (Venue::Hyperliquid, "context"),
    (Venue::KuCoin, "trade"),
    (Venue::KuCoin, "ticker"),
    (Venue::KuCoin, "classic_match"),
    (Venue::KuCoin, "classic_ticker"),
    (Venue::Alpaca, "trade"),
    (Venue::Alpaca, "quote"),
    (Venue::Alpaca, "trades_conditions"),
    (Venue::Finnhub, "trade"),
    (Venue::Finnhub, "trades_conditions"),
    (Venue::Polygon, "trade"),
    (Venue::Polygon, "quote"),
    (Venue::Polygon, "bar_second"),
    (Venue::Tiingo, "quote"),
    (Venue::Tiingo, "trade"),
    (Venue::TwelveData, "price"),
    (Venue::Upbit, "trade"),
    (Venue::Upbit, "orderbook"),
    (Venue::Upbit, "ticker"),
];

/// Whole recordings, everything the venue sent.
const CAPTURES: &[(Venue, &str)] = &[
    (Venue::Binance, "binance/2026-07-07_spot_trade_depth_live.jsonl"),
    (Venue::BinanceUs, "binance_us/2021-10-12_spot_bookticker_aggtrade_kline_depth.jsonl"),
    (Venue::Bitfinex, "bitfinex/2021-04-17_ticker_trades_book.jsonl"),
    (Venue::Bitstamp, "bitstamp/2022-01-05_live_trades_diff_order_book.jsonl"),
    (Venue::Bybit, "bybit/2026-09-03_v5_spot_orderbook1_trades.jsonl"),
    (Venue::Gemini, "gemini/2021-06-24_v2_l2_updates_trade.jsonl"),
    (Venue::Okx, "okx/2022-05-13_tickers_trades_books.jsonl"),
    (Venue::Coinbase, "coinbase_exchange/2026-07-07_live_part1.jsonl"),
    (Venue::Coinbase, "coinbase_exchange/2021-04-17_ticker_matches_level2.jsonl"),
    (Venue::Kraken, "kraken_v2/2026-07-07_book_trade_live.jsonl"),
    (Venue::KuCoin, "kucoin/2021-04-25_ticker_match_level2_candles.jsonl"),
    (Venue::GateIo, "gateio/2021-04-22_v4_tickers_trades_book.jsonl"),
    (Venue::Upbit, "upbit/2021-04-17_simple_trade_orderbook.jsonl"),
];

fn decode(criterion: &mut Criterion) {
    let root = workspace();
    let mut group = criterion.benchmark_group("decode");
    for &(venue, name) in FIXTURES {
        let path = root.join(format!("feeds/fixtures/{venue}/{name}.json"));
        let frame = std::fs::read_to_string(&path).expect("a fixture of the repository");
        let frames = vec![frame; REPEATS];
        group.throughput(Throughput::Elements(REPEATS as u64));
        group.bench_with_input(
            BenchmarkId::new(format!("{venue}/{name}"), "codec"),
            &frames,
            |bencher, frames| {
                let mut codec = connected(venue);
                bencher.iter(|| all(&mut *codec, frames));
            },
        );
        group.bench_with_input(
            BenchmarkId::new(format!("{venue}/{name}"), "textbook"),
            &frames,
            |bencher, frames| {
                bencher.iter(|| frames.iter().map(|frame| textbook(frame)).sum::<usize>());
            },
        );
        let derive: fn(&str) -> bool = match (venue, name) {
            (Venue::Binance, "trade") => {
                |frame| serde_json::from_str::<BinanceTrade<'_>>(frame).is_ok_and(|t| t.exact())
            }
            (Venue::Binance, "trade_combined") => {
                |frame| serde_json::from_str::<Combined<'_>>(frame).is_ok_and(|c| c.data.exact())
            }
            (Venue::Coinbase, "match") => {
                |frame| serde_json::from_str::<CoinbaseMatch<'_>>(frame).is_ok_and(|m| m.exact())
            }
            _ => continue,
        };
        assert!(derive(&frames[0]), "the derive reads {venue}/{name}");
        group.bench_with_input(
            BenchmarkId::new(format!("{venue}/{name}"), "derive"),
            &frames,
            |bencher, frames| {
                bencher.iter(|| frames.iter().filter(|frame| derive(frame)).count());
            },
        );
    }
    group.finish();
}

fn captures(criterion: &mut Criterion) {
    let folder = workspace().join("../shared/captures");
    if !folder.is_dir() {
        eprintln!("no recordings in ../shared/captures: only fixtures are measured");
        return;
    }
    let mut group = criterion.benchmark_group("decode_capture");
    for &(venue, name) in CAPTURES {
        let frames = recorded(&folder.join(name));
        group.throughput(Throughput::Elements(frames.len() as u64));
        let name = name.trim_end_matches(".jsonl");
        group.bench_with_input(BenchmarkId::new(name, "codec"), &frames, |bencher, frames| {
            let mut codec = venue.codec().expect("a venue with frames");
            bencher.iter(|| all(&mut *codec, frames));
        });
        group.bench_with_input(BenchmarkId::new(name, "textbook"), &frames, |bencher, frames| {
            bencher.iter(|| frames.iter().map(|frame| textbook(frame)).sum::<usize>());
        });
    }
    group.finish();
}

/// A codec that knows what the numbers in the fixtures stand for, where a venue numbers its channels.
fn connected(venue: Venue) -> Box<dyn Codec> {
    let mut codec = venue.codec().expect("a venue with frames");
    if venue == Venue::Bitfinex {
        for name in ["subscribed_ticker", "subscribed_trades", "subscribed_book"] {
            let path = workspace().join(format!("feeds/fixtures/{venue}/{name}.json"));
            let frame = std::fs::read_to_string(path).expect("a fixture of the repository");
            let named = codec.decode(Frame::Text(&frame), UnixNanos(0), &mut Events::default());
            named.expect("a good frame");
        }
    }
    codec
}

fn all(codec: &mut dyn Codec, frames: &[String]) -> usize {
    let (mut events, mut count) = (Events::default(), 0);
    for frame in frames {
        let mut now = events.recycle();
        codec.decode(Frame::Text(black_box(frame)), UnixNanos(0), &mut now).expect("a good frame");
        count += black_box(&now).len();
        events = now.recycle();
    }
    count
}

/// Builds the whole tree, then a decimal of everything under a price's or size's name.
fn textbook(frame: &str) -> usize {
    fn numbers(value: &serde_json::Value) -> usize {
        const NAMES: &[&str] = &[
            "p",
            "q",
            "b",
            "B",
            "a",
            "A",
            "c",
            "Q",
            "o",
            "h",
            "l",
            "v",
            "price",
            "size",
            "best_bid",
            "best_bid_size",
            "best_ask",
            "best_ask_size",
            "last_size",
            "open_24h",
            "high_24h",
            "low_24h",
            "volume_24h",
            "qty",
            "bid",
            "bid_qty",
            "ask",
            "ask_qty",
            "last",
            "high",
            "low",
            "volume",
            "change",
        ];
        match value {
            serde_json::Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| match value {
                    serde_json::Value::String(text) if NAMES.contains(&name.as_str()) => {
                        usize::from(Decimal::from_str(text).is_ok())
                    }
                    serde_json::Value::Number(number) if NAMES.contains(&name.as_str()) => {
                        usize::from(Decimal::from_str(&number.to_string()).is_ok())
                    }
                    other => numbers(other),
                })
                .sum(),
            serde_json::Value::Array(elements) => elements.iter().map(numbers).sum(),
            _ => 0,
        }
    }
    let value: serde_json::Value = serde_json::from_str(black_box(frame)).expect("JSON");
    black_box(numbers(&value))
}

#[derive(Deserialize)]
struct Combined<'f> {
    #[serde(borrow)]
    data: BinanceTrade<'f>,
}

/// Text or number, as the codecs take it.
#[derive(Deserialize)]
struct Number<'f>(#[serde(borrow)] &'f RawValue);

impl Number<'_> {
    fn exact(&self) -> bool {
        let text = self.0.get();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        black_box(parse_decimal(text)).is_ok()
    }
}

#[derive(Deserialize)]
struct BinanceTrade<'f> {
    s: &'f str,
    t: u64,
    #[serde(borrow)]
    p: Number<'f>,
    #[serde(borrow)]
    q: Number<'f>,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

impl BinanceTrade<'_> {
    fn exact(&self) -> bool {
        black_box((self.s, self.t, self.time, self.m));
        self.p.exact() && self.q.exact()
    }
}

#[derive(Deserialize)]
struct CoinbaseMatch<'f> {
    trade_id: u64,
    side: &'f str,
    #[serde(borrow)]
    size: Number<'f>,
    #[serde(borrow)]
    price: Number<'f>,
    product_id: &'f str,
    time: &'f str,
}

impl CoinbaseMatch<'_> {
    fn exact(&self) -> bool {
        black_box((self.trade_id, self.side, self.product_id, UnixNanos::from_rfc3339(self.time)));
        self.size.exact() && self.price.exact()
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recorded(path: &Path) -> Vec<String> {
    #[derive(Deserialize)]
    struct Line {
        dir: String,
        frame: String,
    }
    let text = std::fs::read_to_string(path).expect("a readable recording");
    let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).expect("a line of a recording"));
    lines.filter(|line| line.dir == "in").map(|line| line.frame).collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = decode, captures
}
criterion_main!(benches);
