//! `tickcast decode` over every recording of the venues whose protocol is current: what is counted, and that every printed number
//! stands in its frame digit by digit. The recordings are not part of the repository: without them these tests
//! say so and check nothing.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics to fail, and says what it skips")]

use std::collections::HashMap;
use std::io::BufReader;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tickcast::commands::decode::{Counts, run};
use tickcast_feeds::Venue;
use tickcast_feeds::number::parse_decimal;

const FOLDERS: &[(Venue, &str)] = &[
    (Venue::Binance, "binance"),
    (Venue::Alpaca, "alpaca"),
    (Venue::BinanceUs, "binance_us"),
    (Venue::Bitfinex, "bitfinex"),
    (Venue::Bitstamp, "bitstamp"),
    (Venue::Bybit, "bybit"),
    (Venue::CoinbaseAdvanced, "coinbase_advanced"),
    (Venue::Coinbase, "coinbase_exchange"),
    (Venue::CryptoCom, "cryptocom"),
    (Venue::Finnhub, "finnhub"),
    (Venue::GateIo, "gateio"),
    (Venue::Gemini, "gemini"),
    (Venue::Hyperliquid, "hyperliquid"),
    (Venue::Kraken, "kraken_v2"),
    (Venue::KuCoin, "kucoin"),
    (Venue::Okx, "okx"),
    (Venue::Polygon, "polygon"),
    (Venue::Tiingo, "tiingo"),
    (Venue::TwelveData, "twelvedata"),
    (Venue::Upbit, "upbit"),
];

/// Recordings of protocols that the venues have left, which are not read.
const OLD: &[&str] = &["2020-2022_v3_old.jsonl"];

/// The folder of recordings beside the repository, where there is one.
fn captures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if !folder.is_dir() {
        // Not eprintln: the harness keeps that to itself when a test passes.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: no recordings in ../shared/captures, nothing is checked");
        return None;
    }
    Some(folder)
}

struct Decoded {
    counts: Counts,
    out: String,
    err: String,
}

fn decode(venue: Venue, path: &Path) -> Decoded {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let input = BufReader::new(std::fs::File::open(path).unwrap());
    let counts = run(venue, input, &mut out, &mut err).unwrap();
    Decoded { counts, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn recordings(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        std::fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| !OLD.iter().any(|old| path.ends_with(old)));
    all.sort();
    all
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn known_recordings_have_the_trades_that_their_frames_have() {
    let Some(folder) = captures() else { return };
    let none = Counts::default();
    let cases = [
        (
            Venue::Coinbase,
            "coinbase_exchange/2026-07-07_live_part1.jsonl",
            Counts { frames: 2_397, trades: 424, backfill: 2, ..none },
        ),
        (
            Venue::Coinbase,
            "coinbase_exchange/2021-04-17_ticker_matches_level2.jsonl",
            Counts { frames: 9_946, trades: 97, backfill: 10, tickers: 107, ..none },
        ),
        (
            Venue::Binance,
            "binance/2026-07-07_spot_trade_depth_live.jsonl",
            Counts { frames: 2_063, trades: 1_163, ..none },
        ),
        (
            Venue::Binance,
            "binance/2021-10-12_spot_bookticker_aggtrade_kline_depth.jsonl",
            Counts { frames: 265, trades: 2, quotes: 84, ..none },
        ),
        (
            Venue::Kraken,
            "kraken_v2/2026-07-07_book_trade_live.jsonl",
            Counts { frames: 3_000, trades: 17, ..none },
        ),
    ];
    let more = [
        (
            Venue::BinanceUs,
            "binance_us/2021-10-12_spot_bookticker_aggtrade_kline_depth.jsonl",
            Counts { frames: 480, trades: 11, quotes: 128, ..none },
        ),
        (
            Venue::Bitfinex,
            "bitfinex/2021-04-17_ticker_trades_book.jsonl",
            Counts { frames: 1_693, backfill: 210, tickers: 21, ..none },
        ),
        (
            Venue::Bitfinex,
            "bitfinex/2019-2026_misc_tardis_suffixed.jsonl",
            Counts { frames: 16, trades: 1, backfill: 1, ..none },
        ),
        (
            Venue::Bitstamp,
            "bitstamp/2022-01-05_live_trades_diff_order_book.jsonl",
            Counts { frames: 747, trades: 10, ..none },
        ),
        (
            Venue::Bitstamp,
            "bitstamp/2026-09-26_order_book_live_trades.jsonl",
            Counts { frames: 7, trades: 2, quotes: 3, ..none },
        ),
        (
            Venue::Bybit,
            "bybit/2026-09-03_v5_spot_orderbook1_trades.jsonl",
            Counts { frames: 34, trades: 48, quotes: 16, ..none },
        ),
        (
            Venue::Gemini,
            "gemini/2021-06-24_v2_l2_updates_trade.jsonl",
            Counts { frames: 678, trades: 16, backfill: 500, ..none },
        ),
        (
            Venue::Gemini,
            "gemini/2026-07_v3_trade_bookticker_depth.jsonl",
            Counts { frames: 4, trades: 1, quotes: 1, ..none },
        ),
        (
            Venue::Okx,
            "okx/2022-05-13_tickers_trades_books.jsonl",
            Counts { frames: 410, trades: 74, tickers: 28, ..none },
        ),
        (
            Venue::CoinbaseAdvanced,
            "coinbase_advanced/2024-2026_ticker_trades_acks_errors.jsonl",
            Counts { frames: 15, trades: 4, backfill: 2, tickers: 3, ..none },
        ),
        (
            Venue::CryptoCom,
            "cryptocom/2026-09-02_trade_heartbeat.jsonl",
            Counts { frames: 3, trades: 2, backfill: 1, ..none },
        ),
        (
            Venue::GateIo,
            "gateio/2021-04-22_v4_tickers_trades_book.jsonl",
            Counts { frames: 239, trades: 9, tickers: 22, ..none },
        ),
        (
            Venue::GateIo,
            "gateio/2026-09-25_v4_spot_futures.jsonl",
            Counts { frames: 7, trades: 1, quotes: 1, ..none },
        ),
        (
            Venue::Hyperliquid,
            "hyperliquid/2024-2025_trades_l2book_bbo_ctx.jsonl",
            Counts { frames: 10, trades: 2, backfill: 4, quotes: 2, tickers: 2, ..none },
        ),
        (
            Venue::KuCoin,
            "kucoin/2021-04-25_ticker_match_level2_candles.jsonl",
            Counts { frames: 4_721, trades: 18, tickers: 830, ..none },
        ),
        (
            Venue::KuCoin,
            "kucoin/2026-01_unified_documented.jsonl",
            Counts { frames: 3, trades: 1, tickers: 1, ..none },
        ),
        (
            Venue::Upbit,
            "upbit/2021-04-17_simple_trade_orderbook.jsonl",
            Counts { frames: 449, trades: 304, quotes: 145, ..none },
        ),
        (
            Venue::Alpaca,
            "alpaca/documented_transcripts_sip_test_crypto.jsonl",
            Counts { frames: 14, trades: 3, quotes: 5, ..none },
        ),
        (
            Venue::Finnhub,
            "finnhub/2023-03-31_aapl_session_captured.jsonl",
            Counts { frames: 8, trades: 61, ..none },
        ),
        (
            Venue::Polygon,
            "polygon/2019-2026_captured_snippets.jsonl",
            Counts { frames: 13, trades: 8, quotes: 3, tickers: 2, ..none },
        ),
        (
            Venue::TwelveData,
            "twelvedata/2022-2026_captured_snippets.jsonl",
            Counts { frames: 5, trades: 3, tickers: 2, ..none },
        ),
        (Venue::Tiingo, "tiingo/documented_iex.jsonl", Counts { frames: 5, trades: 1, quotes: 1, ..none }),
    ];
    for (venue, name, counts) in cases.into_iter().chain(more) {
        assert_eq!(decode(venue, &folder.join(name)).counts, counts, "{name}");
    }
}

#[test]
fn no_frame_of_any_recording_is_refused_and_no_gap_is_seen_where_none_is() {
    let Some(folder) = captures() else { return };
    for &(venue, name) in FOLDERS {
        for path in recordings(&folder, name) {
            let Decoded { counts, err, .. } = decode(venue, &path);
            assert_eq!((counts.frames_refused, counts.bad_lines), (0, 0), "{}: {err}", path.display());
            assert!(counts.frames > 0, "{}", path.display());
            assert_eq!(counts.gaps, 0, "{}: {err}", path.display());
        }
    }
}

/// Whether the text is there whole, not as part of a longer number. A size may stand there with a minus, which says
/// who sold, and a number may have an exponent, which is never printed.
fn stands(field: &str, text: &str, frame: &str, venue: Venue) -> bool {
    if field == "wire" {
        // These frames have a channel's number instead.
        return frame.contains(text) || venue == Venue::Bitfinex;
    }
    let numbers = frame.split(|c: char| !c.is_ascii_digit() && !".+-eE".contains(c));
    let same = |number: &str| {
        let number = number.trim_start_matches('-');
        let written_small = number.contains(['e', 'E']) && !number.is_empty();
        let value = |text: &str| parse_decimal(text).ok().flatten();
        number == text || written_small && value(number).is_some() && value(number) == value(text)
    };
    frame.contains(&format!("\"{text}\"")) || numbers.into_iter().any(same)
}

#[test]
fn m45_every_printed_number_stands_literally_in_its_frame() {
    let Some(folder) = captures() else { return };
    let mut numbers = 0;
    for &(venue, name) in FOLDERS {
        for path in recordings(&folder, name) {
            let frames: HashMap<u64, String> = (1..)
                .zip(std::fs::read_to_string(&path).unwrap().lines())
                .map(|(number, line)| {
                    let line: serde_json::Value = serde_json::from_str(line).unwrap();
                    (number, line["frame"].as_str().unwrap().to_owned())
                })
                .collect();
            for line in decode(venue, &path).out.lines() {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let frame = &frames[&row["line"].as_u64().unwrap()];
                for field in ["wire", "price", "size", "bid", "bid_size", "ask", "ask_size", "id"] {
                    let Some(text) = row[field].as_str() else { continue };
                    assert!(stands(field, text, frame, venue), "{venue} {field} {text} is not in {frame}");
                    numbers += 1;
                }
            }
        }
    }
    assert!(numbers > 6_000, "only {numbers} numbers were there to check");
}
