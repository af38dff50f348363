//! The common path allocates nothing: a venue's trades, quotes and tickers are decoded into memory that is there.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may, and reads its fixtures")]

use std::fs;
use std::path::Path;

use tickcast_feeds::{Event, Events, Frame, UnixNanos, Venue};

/// Frames decoded before counting: what a codec remembers of an instrument, and the events' memory, are made once.
const WARM_UP: usize = 4;
const COUNTED: usize = 100;
/// Ticks that are not of the common path: a halt is remembered, by name.
const UNCOMMON: &[&str] = &["tiingo/quote_halted.json"];

/// Whether a frame brings ticks and nothing else.
fn is_ticks(events: &Events<'_>) -> bool {
    let tick = |event: &Event<'_>| matches!(event, Event::Trade(_) | Event::Quote(_) | Event::Summary(_));
    !events.is_empty() && events.iter().all(tick)
}

/// Allocations of `COUNTED` further times the same frame; `None` where it is not of the common path.
fn allocations(venue: Venue, frame: Frame<'_>, before: &[String]) -> Option<u64> {
    let mut codec = venue.codec()?;
    let mut spare = Events::default();
    for text in before {
        let mut events = spare.recycle();
        // Only for what it leaves in the codec: names of channels, for one.
        let _ = codec.decode(Frame::Text(text), UnixNanos(0), &mut events);
        spare = events.recycle();
    }
    let mut decode = |spare: Events<'static>| {
        let mut events = spare.recycle();
        let decoded = codec.decode(frame, UnixNanos(0), &mut events);
        let is_common = decoded.is_ok() && is_ticks(&events);
        (is_common, events.recycle())
    };
    let mut is_common = true;
    for _ in 0..WARM_UP {
        (is_common, spare) = decode(spare);
    }
    if !is_common {
        return None;
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..COUNTED {
            (_, spare) = decode(std::mem::take(&mut spare));
        }
    });
    Some(counted.count_total)
}

#[test]
fn ticks_of_every_venue_are_decoded_without_an_allocation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for &venue in Venue::ALL.iter().filter(|&&venue| venue.codec().is_some()) {
        let mut paths: Vec<_> =
            fs::read_dir(root.join(venue.name())).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        // Bitfinex' data frames are read once their channels are named.
        let before: Vec<String> = texts
            .iter()
            .filter(|text| text.contains("\"subscribed\""))
            .map(|text| text.trim().to_owned())
            .collect();
        let mut counted = 0;
        for (path, text) in paths.iter().zip(&texts) {
            if UNCOMMON.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            if let Some(allocations) = allocations(venue, Frame::Text(text.trim()), &before) {
                counted += 1;
                assert_eq!(allocations, 0, "in {COUNTED} frames of {}", path.display());
            }
        }
        assert!(counted > 0, "{venue} has fixtures with ticks");
    }
}
