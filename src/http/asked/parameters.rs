//! The parameters of `/prices`, and those that other routes share with it.

use std::time::Duration;

use crate::candles::Interval;
use crate::http::parameter::{Form, Parameter};

/// No stream waits longer between two flushes.
pub(super) const THROTTLE_MAX: Duration = Duration::from_secs(3600);
/// No stream is longer without a heartbeat that wants any.
pub(super) const HEARTBEAT_MAX: Duration = Duration::from_secs(300);
/// The names under which clients send a cursor in the query, in the order they are believed.
pub(super) const CURSORS: &[&str] = &[LAST_EVENT_ID.name, CAMEL.name, HEADER.name, EVS.name];

/// What to follow.
pub(in crate::http) const SYMBOLS: Parameter = Parameter {
    name: "symbols",
    about: "Symbols or aliases, in any case, also given several times; `*` for all. An unknown one does not hurt the \
            others: it comes back as rejected",
    form: Form::Names,
};
/// What messages hold.
pub(in crate::http) const FIELDS: Parameter = Parameter {
    name: "fields",
    about: "What messages hold, in the order of the schema whatever the order here; `symbol` joins by itself",
    form: Form::Fields,
};
/// All or nothing.
pub(in crate::http) const STRICT: Parameter =
    Parameter { name: "strict", about: "Whether any unknown symbol makes it a 404", form: Form::Switch };

/// Those of `/prices`.
pub(in crate::http) const PRICES: &[Parameter] = &[
    SYMBOLS,
    Parameter {
        name: "throttle",
        about: "The least time between two flushes of the stream, hence between two updates of one symbol; 0: as fast as \
                the socket takes it. Raised to what the server or the plan sets as the least. Not with `mode=ticks`",
        form: Form::Duration { unit: "ms", most: THROTTLE_MAX, default: |stream| stream.throttle_default },
    },
    Parameter {
        name: "min_change",
        about: "Send a symbol only when its price moved this much since what was sent last: an amount in the currency, a \
                percentage or basis points, above zero. A change of status, and a while with something withheld, send it \
                anyway. Not with `mode=ticks`",
        form: Form::Text {
            pattern: Some("^[0-9]+(\\.[0-9]+)?(%|bp)?$"),
            examples: &["0.5", "0.05%", "10bp"],
        },
    },
    FIELDS,
    Parameter {
        name: "mode",
        about: "`latest`: the newest value always arrives, older ones that were not sent yet are replaced. `ticks`: every \
                trade in order, and a `gap` where some are lost",
        form: Form::Word { words: &["latest", "ticks"], default: Some("latest") },
    },
    Parameter {
        name: "candles",
        about: "Also send `candle` events: each symbol's bar of this interval whenever it changed, and once when it is over. \
                Which intervals there are is the server's choice",
        form: Form::Word { words: Interval::NAMES, default: None },
    },
    Parameter {
        name: "heartbeat",
        about: "Between two visible `hb` events; 0: comments only. Less than a second counts as one",
        form: Form::Duration { unit: "s", most: HEARTBEAT_MAX, default: |stream| stream.heartbeat },
    },
    Parameter {
        name: "errors",
        about: "`status`: refuse with 429 and 503 even who looks like a browser's EventSource, which otherwise gets 200 and \
                a `fault` event, since any other status would end it for good",
        form: Form::Word { words: &["status"], default: None },
    },
    STRICT,
    LAST_EVENT_ID,
    CAMEL,
    HEADER,
    EVS,
];

const LAST_EVENT_ID: Parameter = cursor(
    "last_event_id",
    "Resume behind this id, where no `Last-Event-ID` header can be sent; the header wins. An id of another run, or no id \
     at all, is no error: it brings the full snapshot",
);
const CAMEL: Parameter =
    cursor("lastEventId", "The same as `last_event_id`, as some EventSource polyfills call it");
const HEADER: Parameter = cursor("last-event-id", "The same as `last_event_id`, as the header is called");
const EVS: Parameter =
    cursor("evs_last_event_id", "The same as `last_event_id`, as Yaffle's EventSource polyfill calls it");

const fn cursor(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, form: Form::Text { pattern: None, examples: &["7f3a.8812"] } }
}
