//! What a frame means, as text that a test can name.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test uses some of it, reads fixtures and fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::Path;

use tickcast_feeds::{Event, Events, Frame, Moves, Summary, UnixNanos, Venue};

/// One event in a line; what is absent is a dash.
pub fn line(event: &Event<'_>) -> String {
    fn or_dash(value: Option<impl Display>) -> String {
        value.map_or_else(|| "-".to_owned(), |value| value.to_string())
    }
    match event {
        Event::Trade(t) => format!(
            "{} {} {} x {} {:?} #{} @{}{}",
            if t.backfill { "past" } else { "trade" },
            t.wire,
            t.price,
            or_dash(t.size),
            t.aggressor,
            or_dash(t.id.as_ref()),
            or_dash(t.ts_event.map(|t| t.0)),
            if t.moves == Moves::ALL { String::new() } else { format!(" {:?}", t.moves) },
        ),
        Event::Quote(q) => format!(
            "quote {} {} x {} / {} x {} #{} @{}",
            q.wire,
            or_dash(q.bid),
            or_dash(q.bid_size),
            or_dash(q.ask),
            or_dash(q.ask_size),
            or_dash(q.sequence),
            or_dash(q.ts_event.map(|t| t.0)),
        ),
        Event::Summary(s) => {
            let Summary {
                wire,
                last,
                last_size,
                aggressor,
                id,
                top,
                open,
                high,
                low,
                volume,
                prev_close,
                ts_event,
            } = s;
            let mut text = format!("ticker {wire} {} x {}", or_dash(*last), or_dash(*last_size));
            let _ = write!(text, " {aggressor:?} #{}", or_dash(id.as_ref()));
            if let Some(top) = top {
                let _ = write!(text, " top {} x {}", or_dash(top.bid), or_dash(top.bid_size));
                let _ = write!(text, " / {} x {}", or_dash(top.ask), or_dash(top.ask_size));
            }
            let _ = write!(text, " o {} h {} l {}", or_dash(*open), or_dash(*high), or_dash(*low));
            let _ = write!(text, " v {} pc {}", or_dash(*volume), or_dash(*prev_close));
            let _ = write!(text, " @{}", or_dash(ts_event.map(|t| t.0)));
            text
        }
        Event::Acknowledged { wire } => format!("ack {}", or_dash(wire.as_ref())),
        Event::Refused { wire, reason } => format!("refused {}: {reason}", or_dash(wire.as_ref())),
        other => format!("{other:?}"),
    }
}

/// Each fixture of the venue has a meaning, and each meaning its fixture.
pub fn check(venue: Venue, expected: &[(&str, &[&str])]) {
    check_after(venue, &[], expected);
}

/// The same, where a frame means something only after these fixtures of the venue.
pub fn check_after(venue: Venue, before: &[&str], expected: &[(&str, &[&str])]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(venue.name());
    let read = |name: &str| {
        std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap().trim_end().to_owned()
    };
    let files: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let named: BTreeSet<String> = expected.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, named, "a fixture without a meaning, or the other way round");
    for (name, meaning) in expected {
        let mut codec = venue.codec().unwrap();
        for name in before {
            codec.decode(Frame::Text(&read(name)), UnixNanos(0), &mut Events::default()).unwrap();
        }
        let text = read(name);
        let mut events = Events::default();
        codec.decode(Frame::Text(&text), UnixNanos(0), &mut events).unwrap();
        let lines: Vec<_> = events.iter().map(line).collect();
        assert_eq!(lines, *meaning, "{venue}/{name}");
    }
}

/// The events of several frames on one connection.
pub fn decoded(venue: Venue, frames: &[String]) -> Vec<String> {
    let mut codec = venue.codec().unwrap();
    let mut lines = Vec::new();
    for frame in frames {
        let mut events = Events::default();
        // A refused frame has no events.
        let _ = codec.decode(Frame::Text(frame), UnixNanos(0), &mut events);
        lines.extend(events.iter().map(line));
    }
    lines
}

/// What comes before the ids and times in each line.
pub fn kinds(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.split(['{', '#', '@']).next().unwrap().trim()).collect()
}
