//! `tickcast decode` over every recording of the three venues: what is counted, and that every printed number
//! stands in its frame digit by digit. The recordings are not part of the repository: without them these tests
//! say so and check nothing.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics to fail, and says what it skips")]

use std::collections::HashMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use tickcast::commands::decode::{Counts, run};
use tickcast_feeds::Venue;

const FOLDERS: [(Venue, &str); 3] =
    [(Venue::Binance, "binance"), (Venue::Coinbase, "coinbase_exchange"), (Venue::Kraken, "kraken_v2")];

/// The folder of recordings beside the repository, where there is one.
fn captures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if !folder.is_dir() {
        eprintln!("no recordings in ../shared/captures: nothing is checked");
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
    all.sort();
    all
}

#[test]
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
    for (venue, name, counts) in cases {
        assert_eq!(decode(venue, &folder.join(name)).counts, counts, "{name}");
    }
}

#[test]
fn no_frame_of_any_recording_is_refused_and_no_gap_is_seen_where_none_is() {
    let Some(folder) = captures() else { return };
    for (venue, name) in FOLDERS {
        for path in recordings(&folder, name) {
            let Decoded { counts, err, .. } = decode(venue, &path);
            assert_eq!((counts.frames_refused, counts.bad_lines), (0, 0), "{}: {err}", path.display());
            assert!(counts.frames > 0, "{}", path.display());
            assert_eq!(counts.gaps, 0, "{}: {err}", path.display());
        }
    }
}

#[test]
fn m45_every_printed_number_stands_literally_in_its_frame() {
    let Some(folder) = captures() else { return };
    let mut numbers = 0;
    for (venue, name) in FOLDERS {
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
                    // Whole, not as part of a longer number.
                    let whole = [["\"", "\""], [":", ","], [":", "}"]];
                    let stands =
                        whole.iter().any(|[before, after]| frame.contains(&format!("{before}{text}{after}")));
                    assert!(stands, "{field} {text} is not in {frame}");
                    numbers += 1;
                }
            }
        }
    }
    assert!(numbers > 6_000, "only {numbers} numbers were there to check");
}
