//! What broken frames can do to the rest of a connection: nothing. A refused frame costs itself; whatever the codec
//! knew before, it knows after, and no more. The fuzz targets check the same of frames nobody thought of.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads fixtures"
)]

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tickcast_feeds::{Codec, Events, Frame, UnixNanos, Venue};

/// Each venue with a codec and its fixtures by name.
static SESSIONS: LazyLock<Vec<(Venue, Vec<String>)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let venues = Venue::ALL.iter().copied().filter(|venue| venue.codec().is_some());
    venues
        .map(|venue| {
            let files = std::fs::read_dir(folder.join(venue.name())).unwrap();
            let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            paths.sort();
            let read = |path| std::fs::read_to_string(path).unwrap().trim_end().to_owned();
            (venue, paths.into_iter().map(read).collect())
        })
        .collect()
});

/// Two connections to a venue. The second never gets the frames that the first refuses.
struct Twins {
    first: Box<dyn Codec>,
    second: Box<dyn Codec>,
}

impl Twins {
    fn new(venue: Venue) -> Self {
        Self { first: venue.codec().unwrap(), second: venue.codec().unwrap() }
    }

    /// Returns whether the first one understood the frame; then both take the same from it.
    fn take(&mut self, frame: &str) -> bool {
        let Some(lines) = decoded(&mut *self.first, frame) else { return false };
        let expected = decoded(&mut *self.second, frame);
        assert_eq!(Some(lines), expected, "a refused frame changed what this one means: {frame}");
        true
    }
}

fn decoded(codec: &mut dyn Codec, frame: &str) -> Option<Vec<String>> {
    let mut events = Events::default();
    let result = codec.decode(Frame::Text(frame), UnixNanos(0), &mut events);
    assert!(result.is_ok() || events.is_empty(), "half an answer from {frame}");
    result.ok().map(|()| events.iter().map(|event| format!("{event:?}")).collect())
}

/// The frame cut, and with a character that fits nowhere, at some fifty places; and with each of its numbers, nulls
/// and flags as a text that is no number. The later in the frame that is, the more of it is read by then.
fn broken(frame: &str) -> Vec<String> {
    let places: Vec<_> = frame.char_indices().map(|(at, char)| (at, at + char.len_utf8())).collect();
    let some = places.iter().rev().step_by(1 + places.len() / 50);
    let cut = some.flat_map(|&(start, end)| {
        [frame[..start].to_owned(), format!("{}!{}", &frame[..start], &frame[end..])]
    });
    let is_edge = |char: char| matches!(char, ':' | ',' | '[' | ']' | '{' | '}' | '"');
    let values = frame.split_inclusive(is_edge).scan(0, |at, part| {
        let start = *at;
        *at += part.len();
        Some((start, start + part.trim_end_matches(is_edge).len()))
    });
    let others = values.filter(|(start, end)| start < end).take(200).map(|(start, end)| {
        // Inside of a text the quotes are there already.
        let quote = if frame[..start].ends_with('"') { "" } else { "\"" };
        format!("{}{quote}1.2.3{quote}{}", &frame[..start], &frame[end..])
    });
    cut.chain(others).collect()
}

#[test]
fn a_refused_frame_changes_nothing_of_what_comes_after_it() {
    for (venue, frames) in &*SESSIONS {
        // Where channels are numbered, frames mean nothing before these.
        let channels: Vec<_> = frames.iter().filter(|frame| frame.contains(r#""subscribed""#)).collect();
        let mut whole = Twins::new(*venue);
        let mut refused = 0;
        // Twice, so that the second time all channels and trades are known.
        for frame in frames.iter().chain(frames) {
            for broken in broken(frame) {
                // On a young connection, where no broken frame before was understood after all and said the same.
                let mut young = Twins::new(*venue);
                channels.iter().for_each(|frame| assert!(young.take(frame)));
                refused += usize::from(!young.take(&broken));
                assert!(young.take(frame), "{venue} refuses its own {frame}");
                whole.take(&broken);
            }
            assert!(whole.take(frame), "{venue} refuses its own {frame}");
        }
        assert!(refused > frames.len(), "{venue}: {refused} frames refused");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn frames_in_any_order_some_of_them_broken_never_change_each_other(
        venue in any::<prop::sample::Index>(),
        picks in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::option::of((any::<prop::sample::Index>(), any::<char>()))),
            1..40,
        ),
    ) {
        let (venue, frames) = venue.get(&SESSIONS);
        let mut twins = Twins::new(*venue);
        for (pick, change) in picks {
            let mut chars: Vec<char> = pick.get(frames).chars().collect();
            if let Some((at, with)) = change {
                *at.get_mut(&mut chars) = with;
            }
            twins.take(&chars.into_iter().collect::<String>());
        }
    }
}
