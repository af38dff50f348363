//! The bytes of server-sent events. Pure, and the only writer of `text/event-stream`.
//!
//! An event is one contiguous block: `event`, one line of JSON as `data`, `id` last (so no client moves its
//! cursor past data that it has not got), a blank line. Nothing but a [`Cursor`] can become an `id`, nothing but
//! an [`EventName`] an `event`, and JSON holds no line break: text from outside cannot forge a field. A comment
//! is followed by no blank line, which some clients would take for a message.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::schema::value;

/// The media type of a stream.
pub const MEDIA_TYPE: &str = "text/event-stream; charset=utf-8";

/// A comment that keeps the connection from looking dead.
pub const HEARTBEAT_COMMENT: Bytes = Bytes::from_static(b": hb\n");

/// A place in the stream: everything at or below the version has been passed. `7f3a.8812`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which run of the server the version belongs to.
    pub epoch: Epoch,
    /// The version.
    pub version: u64,
}

/// One run of the server. Versions of another mean nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u32);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.epoch.0, self.version)
    }
}

impl ToSchema for Cursor {}

impl PartialSchema for Cursor {
    fn schema() -> RefOr<Schema> {
        let mut cursor =
            value(Type::String, "A place in the stream: everything at or below it has been passed");
        cursor.pattern = Some("^[0-9a-f]{1,8}\\.[0-9]{1,20}$".to_owned());
        cursor.examples = vec!["7f3a.8812".into()];
        cursor.into()
    }
}

/// A text that is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor such as `7f3a.8812`")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        // Longer than any cursor: not worth a look.
        if text.len() > 64 {
            return Err(NotACursor);
        }
        let (epoch, version) = text.split_once('.').ok_or(NotACursor)?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits(epoch) || !digits(version) {
            return Err(NotACursor);
        }
        let epoch = Epoch(u32::from_str_radix(epoch, 16).map_err(|_| NotACursor)?);
        Ok(Self { epoch, version: version.parse().map_err(|_| NotACursor)? })
    }
}

macro_rules! events {
    ($($(#[$about:meta])* $variant:ident $name:literal),+ $(,)?) => {
        /// The named events. Never `error` or `open`: a browser's own events have these names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventName { $($(#[$about])* $variant),+ }

        impl EventName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

events! {
    /// The first event of a stream.
    Hello "hello",
    /// A heartbeat that a page can see.
    Heartbeat "hb",
    /// Trades that this stream does not have.
    Gap "gap",
    /// A bar, whole.
    Candle "candle",
    /// Something about this stream changed.
    Notice "notice",
    /// The request was refused for now.
    Fault "fault",
    /// The server is about to end the stream.
    Bye "bye",
}

/// What an event of one name says.
pub trait EventData: Serialize {
    /// The name.
    const NAME: EventName;
}

/// Appends a named event.
pub fn event<D: EventData>(out: &mut BytesMut, data: &D, id: Option<Cursor>) {
    out.put_slice(b"event: ");
    out.put_slice(D::NAME.name().as_bytes());
    out.put_slice(b"\ndata: ");
    serde_json::to_writer((&mut *out).writer(), data)
        .expect("our own messages have text keys and no failing parts");
    out.put_u8(b'\n');
    if let Some(id) = id {
        put_id(out, id);
    }
    out.put_u8(b'\n');
}

/// Appends the time after which a client may come back, in milliseconds. Never zero: that would be a busy loop.
pub fn retry(out: &mut BytesMut, ms: u64) {
    out.put_slice(b"retry: ");
    out.put_slice(itoa::Buffer::new().format(ms.max(1)).as_bytes());
    out.put_u8(b'\n');
}

/// Appends the `data` line of a price message whose JSON `write` makes.
pub fn price_data(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    out.put_slice(b"data: ");
    write(out);
    out.put_u8(b'\n');
}

/// Appends the `id` line and the blank line that ends a block.
pub fn price_end(out: &mut BytesMut, id: Cursor) {
    put_id(out, id);
    out.put_u8(b'\n');
}

fn put_id(out: &mut BytesMut, id: Cursor) {
    use fmt::Write as _;
    out.put_slice(b"id: ");
    write!(out, "{:x}.", id.epoch.0).expect("a BytesMut grows");
    out.put_slice(itoa::Buffer::new().format(id.version).as_bytes());
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize)]
    struct Text(&'static str);

    impl EventData for Text {
        const NAME: EventName = EventName::Notice;
    }

    fn cursor(epoch: u32, version: u64) -> Cursor {
        Cursor { epoch: Epoch(epoch), version }
    }

    #[test]
    fn an_event_is_one_block_with_its_id_last() {
        let mut out = BytesMut::new();
        retry(&mut out, 2317);
        event(&mut out, &Text("news"), Some(cursor(0x7f3a, 0)));
        assert_eq!(&out[..], b"retry: 2317\nevent: notice\ndata: \"news\"\nid: 7f3a.0\n\n");
    }

    #[test]
    fn p76_a_line_break_in_data_stays_inside_its_json() {
        let mut out = BytesMut::new();
        event(&mut out, &Text("a\r\nid: 1\n\ndata: b\0"), None);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 3);
        assert!(!out.contains(&b'\r') && !out.contains(&0));
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_as_it_was_written(epoch in any::<u32>(), version in any::<u64>()) {
            let text = cursor(epoch, version).to_string();
            prop_assert_eq!(text.parse(), Ok(cursor(epoch, version)));
            prop_assert!(text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'));
        }

        #[test]
        fn any_other_text_is_refused_without_a_panic(text in ".*") {
            if let Ok(read) = text.parse::<Cursor>() {
                prop_assert!(text.ends_with(&read.version.to_string()) || text.starts_with('0') || text.contains(".0"));
            }
        }
    }
}
