//! The venues' own lists of instruments: each name is split as the venue says. The lists are not part of the
//! repository: without them these tests say so and check nothing.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics to fail, and says what it skips")]

use std::path::Path;

use serde::Deserialize;
use tickcast_feeds::Venue;

#[derive(Deserialize)]
struct List {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    native: String,
    base: String,
    quote: String,
    /// Kraken only: the name on the WebSocket.
    wsname: Option<String>,
}

fn rows(name: &str) -> Vec<Row> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/captures/instruments/{name}.json"));
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("no ../shared/captures/instruments/{name}.json: nothing is checked");
        return Vec::new();
    };
    serde_json::from_str::<List>(&text).unwrap().rows
}

#[test]
fn m80_binance_names_are_split_as_the_venue_lists_them() {
    for row in rows("binance") {
        let pair = Venue::Binance.pair(&row.native).unwrap();
        assert_eq!((pair.base, pair.quote), (&*row.base, Some(&*row.quote)), "{}", row.native);
    }
}

#[test]
fn m80_coinbase_names_are_split_as_the_venue_lists_them() {
    for row in rows("coinbase_exchange") {
        let pair = Venue::Coinbase.pair(&row.native).unwrap();
        assert_eq!((pair.base, pair.quote), (&*row.base, Some(&*row.quote)), "{}", row.native);
    }
}

#[test]
fn m76_kraken_names_are_split_as_the_venue_lists_them() {
    /// The list has the old codes: XXBT, ZUSD, XETH.
    fn common(asset: &str) -> &str {
        match asset {
            "XXBT" | "XBT" => "BTC",
            "XXDG" | "XDG" => "DOGE",
            old if old.len() == 4 && old.starts_with(['X', 'Z']) => &old[1..],
            other => other,
        }
    }
    for row in rows("kraken") {
        // Dark pools are not on the WebSocket.
        let Some(name) = &row.wsname else { continue };
        let pair = Venue::Kraken.pair(name).unwrap();
        let expected = (common(&row.base), Some(common(&row.quote)));
        assert_eq!((pair.base, pair.quote), expected, "{name}");
        assert_eq!(Venue::Kraken.pair(&row.native), None, "{}", row.native);
    }
}
