//! What each venue file provides: a [`Profile`] (facts about its socket) and a [`Codec`] (its language).

use std::borrow::Cow;
use std::time::Duration;

use crate::{NumberError, Quote, Status, Summary, Trade, Undone, UnixNanos, Venue};

/// One message as it came off the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'f> {
    /// A text frame.
    Text(&'f str),
    /// A binary frame.
    Binary(&'f [u8]),
}

impl<'f> Frame<'f> {
    /// The text of a venue that sends text frames only.
    pub(crate) fn text(self) -> Result<&'f str, DecodeError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(_) => Err(DecodeError::Kind { got: "binary", want: "text" }),
        }
    }

    /// The text, for venues that send theirs in binary frames.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Json`] where it is no UTF-8.
    pub(crate) fn utf8(self) -> Result<&'f str, DecodeError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(bytes) => {
                std::str::from_utf8(bytes).map_err(|error| DecodeError::Json(Box::new(error)))
            }
        }
    }
}

/// What one frame means to a price service. A frame may hold none (acknowledgements, heartbeats, depth) or many.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'f> {
    /// A print.
    Trade(Trade<'f>),
    /// Best bid and ask.
    Quote(Quote<'f>),
    /// The venue's own summary.
    Summary(Summary<'f>),
    /// Trading was halted or resumed.
    Status(Status<'f>),
    /// An earlier print was cancelled or corrected.
    Undone(Undone<'f>),
    /// Ticks of this instrument are known to be lost.
    Gap {
        /// The venue's spelling of the instrument.
        wire: Cow<'f, str>,
        /// How many, where the venue's numbering tells.
        missing: Option<u64>,
    },
    /// Text to send back, at once and ahead of anything that waits.
    Reply(Cow<'static, str>),
    /// The key was accepted: subscribe now.
    Authenticated,
    /// A subscription was accepted; `None` where the venue does not say which.
    Acknowledged {
        /// The venue's spelling of the instrument.
        wire: Option<Cow<'f, str>>,
    },
    /// A subscription was refused; `None` where the venue does not say which.
    Refused {
        /// The venue's spelling of the instrument.
        wire: Option<Cow<'f, str>>,
        /// The venue's own words.
        reason: Cow<'f, str>,
    },
    /// The venue is about to close this connection: open another first.
    Reconnect,
}

/// The events of one frame, in the frame's order. Its memory is reused from frame to frame.
#[derive(Debug, Default)]
pub struct Events<'f>(Vec<Event<'f>>);

impl<'f> Events<'f> {
    /// Adds one at the end.
    pub fn push(&mut self, event: Event<'f>) {
        self.0.push(event);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes back all but the first `len`: a codec that fails half-way leaves no half answer.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The events, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Event<'f>> {
        self.0.iter()
    }

    /// The events, in order, to be corrected.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Event<'f>> {
        self.0.iter_mut()
    }

    /// Empties it for another frame. The allocation goes along: an in-place `collect` keeps it.
    pub fn recycle<'g>(mut self) -> Events<'g> {
        self.0.clear();
        Events(self.0.into_iter().map_while(|_| None).collect())
    }
}

impl<'e, 'f> IntoIterator for &'e mut Events<'f> {
    type Item = &'e mut Event<'f>;
    type IntoIter = std::slice::IterMut<'e, Event<'f>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<'e, 'f> IntoIterator for &'e Events<'f> {
    type Item = &'e Event<'f>;
    type IntoIter = std::slice::Iter<'e, Event<'f>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why a frame could not be understood. It costs that frame and nothing else.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the JSON that this kind of frame has.
    #[error("not the expected JSON")]
    Json(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A field that is needed is missing.
    #[error("the field `{field}` is missing")]
    Missing {
        /// The venue's name of it.
        field: &'static str,
    },
    /// A number that cannot be held exactly, or none at all.
    #[error("the field `{field}` is no usable number")]
    Number {
        /// The venue's name of it.
        field: &'static str,
        /// What is wrong with it.
        source: NumberError,
    },
    /// A text that is none of those this field may have.
    #[error("the field `{field}` has an unknown value")]
    Value {
        /// The venue's name of it.
        field: &'static str,
    },
    /// Text where the venue sends binary frames, or the other way round.
    #[error("a {got} frame where the venue sends {want}")]
    Kind {
        /// What came.
        got: &'static str,
        /// What should have.
        want: &'static str,
    },
}

/// One venue's language on one connection. It lives exactly as long as the connection: some venues number
/// channels and trades per connection.
pub trait Codec: Send {
    /// Takes the operator's key, for venues whose [`Auth`] is by frame. Returns the frame that shows it, to be sent
    /// before any other: subscriptions then wait for [`Event::Authenticated`]. `None` where nothing has to be sent
    /// ahead.
    ///
    /// What is returned here, and what [`Codec::subscribe`] returns after it, holds the key: it must never get into
    /// a log or a recording.
    fn authenticate(&mut self, _key: &str, _secret: &str) -> Option<String> {
        None
    }

    /// Whether a subscription may replace those sent before instead of adding to them. Then all instruments of a
    /// connection are asked for together, each time.
    fn replaces(&self) -> bool {
        false
    }

    /// The frames to send to follow these instruments, batched as the profile allows. The connection paces them.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String>;

    /// Appends what the frame means to `events`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] where it cannot be understood; `events` is then as it was before.
    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError>;
}

/// How a venue wants to be shown the operator's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// It wants none.
    None,
    /// As this parameter of the address's query.
    Query(&'static str),
    /// In frames: [`Codec::authenticate`].
    Frame,
}

/// How fast frames may go out: never more than `frames` in any window of this length, pings included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Frames in one window.
    pub frames: u32,
    /// The window's length.
    pub window: Duration,
}

/// What keeps the connection open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// The venue pings by protocol frames; answering those is enough.
    Answer,
    /// We send this text after so long without having sent anything.
    Text {
        /// What to send.
        text: &'static str,
        /// How often.
        every: Duration,
    },
    /// We send a protocol ping that often.
    Protocol {
        /// How often.
        every: Duration,
    },
}

/// Facts about a venue's socket. Each has its source and date beside it in the venue's file.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Whose they are.
    pub venue: Venue,
    /// Public address, and the ones to try when it refuses us for good.
    pub urls: &'static [&'static str],
    /// Instruments on one connection.
    pub instruments_max: usize,
    /// Bytes of one incoming frame.
    pub frame_bytes_max: usize,
    /// Outgoing frames.
    pub pace: Pace,
    /// What keeps it open.
    pub ping: Ping,
    /// The venue closes a connection at this age; `None` where it states none.
    pub lifetime: Option<Duration>,
    /// Without a tick for this long the connection is silent and reopened. Heartbeats are not ticks.
    pub silence_max: Duration,
}
