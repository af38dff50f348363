//! `GET` and `POST /prices`: from a request's parameters to an open stream, or to what is wrong with them.

use std::sync::Arc;

use bytes::BytesMut;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tokio::time::Instant;
use tracing::debug;
use utoipa::ToSchema;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use super::asked::{Asked, ModeName, Rejected};
use super::auth::Visitor;
use super::client;
use super::limits::{Slot, draining, jittered};
use super::list::List;
use super::params::Params;
use super::server::{Handover, Peer};
use super::sse::{self, EventData, EventName};
use super::stream::PriceStream;
use super::{Answer, State, refusal};
use crate::candles::Interval;
use crate::catalogue::{Catalogue, SymbolId};
use crate::clock::{self, millis};
use crate::fanout::{From, Mode, Wanted};
use crate::fields::Field;

/// Where a request came from and by which connection.
pub(super) struct Caller {
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
}

/// Opens a stream, or says why not.
pub(super) fn open(
    state: &State,
    caller: &Caller,
    visitor: &Visitor,
    params: &Params,
    method_reads_status: bool,
) -> Answer {
    let asked = match Asked::read(state, visitor, params) {
        Ok(asked) => asked,
        Err(problem) => return problem.answer(),
    };
    if state.http.trusted_proxies.is_empty() {
        state.limits.look_at(caller.peer.0.ip(), client::is_forwarded(&caller.headers));
    }
    let opened = if state.closing.is_cancelled() { Err(draining()) } else { state.limits.open(visitor) };
    let slot = match opened {
        Ok(slot) => slot,
        Err(refused) => {
            state.limited(refused.code.name());
            debug!(client = %visitor.client, code = refused.code.name(), "stream refused");
            let reads_status =
                method_reads_status || asked.errors_as_status || !refusal::is_event_source(&caller.headers);
            return if reads_status { refusal::by_status(&refused) } else { refusal::in_stream(&refused) };
        }
    };
    if let Err(denied) = state.auth.use_ticket(visitor) {
        state.denied(&denied);
        return denied.problem().answer();
    }
    let header = caller.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let cursor = header.or(asked.cursor.as_deref()).filter(|cursor| !cursor.is_empty());
    stream(state, visitor, &asked, cursor, slot)
}

/// The head of what a request would be answered, without opening a stream: what a probe gets.
pub(super) fn probe(state: &State, visitor: &Visitor, params: &Params) -> Answer {
    if let Err(problem) = Asked::read(state, visitor, params) {
        return problem.answer();
    }
    let mut answer = Answer::default();
    stream_headers(answer.headers_mut());
    answer
}

fn stream(state: &State, visitor: &Visitor, asked: &Asked, cursor: Option<&str>, slot: Slot) -> Answer {
    let resume = cursor.filter(|_| !asked.every_trade).and_then(|text| state.fanout.resume(text));
    let (mode, mode_name) = if asked.every_trade {
        let from = cursor.map_or(From::Now, |text| state.fanout.resume_ticks(text));
        (Mode::Ticks { from, history: state.stream.history }, ModeName::Ticks)
    } else {
        (Mode::Latest, ModeName::Latest)
    };
    let resumed = match mode {
        Mode::Latest => resume.is_some() && asked.min_change.is_none(),
        Mode::Ticks { from, .. } => matches!(from, From::Version(_)),
    };
    let place = state.fanout.place(Wanted {
        symbols: asked.symbols.clone(),
        fields: asked.fields,
        mode,
        throttle: asked.throttle,
        min_change: asked.min_change,
        max_silence: state.stream.max_silence,
        resume,
        budget: slot.budget(),
        candles: asked.candles,
    });
    let allowance = visitor.terms.allowance;
    let hello = Hello {
        symbols: Names { names: &asked.names, catalogue: &state.catalogue() },
        rejected: &asked.rejected,
        throttle_ms: millis(asked.throttle),
        fields: asked.fields.iter().collect(),
        mode: mode_name,
        candles: asked.candles,
        heartbeat_ms: millis(asked.heartbeat),
        resumed,
        limits: Allowed {
            streams_per_client: allowance.streams_per_client,
            opens_per_minute: allowance.opens_per_minute,
            messages_per_second: allowance.messages_per_second,
            bytes_per_second: allowance.bytes_per_second,
            symbols_max: visitor.terms.symbols_max,
        },
        plan: visitor.terms.name.as_deref(),
        expires_in_ms: visitor.lease.left(Instant::now()).map(millis),
        server: concat!("tickcast ", env!("CARGO_PKG_VERSION")),
        time: clock::wall().as_millis(),
    };
    let mut opening = BytesMut::with_capacity(1024);
    sse::retry(&mut opening, millis(jittered(state.stream.retry)));
    sse::event(&mut opening, &hello, Some(place.at(place.position())));
    let opening = opening.freeze();
    let list = List::new(visitor, asked);
    let stream = PriceStream::new(place, opening, asked.heartbeat, slot, list, Arc::clone(&state.metrics));
    let mut answer = Answer::default();
    stream_headers(answer.headers_mut());
    answer.extensions_mut().insert(Handover::new(stream));
    answer
}

pub(super) fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sse::MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // nginx holds a stream back without this (P1).
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// The first event of a stream: what the client gets, and what of its wishes it doesn't.
#[derive(Serialize, ToSchema)]
pub(super) struct Hello<'a> {
    /// Each name as it was asked for, and the symbol that messages have for it.
    #[schema(value_type = HashMap<String, String>)]
    symbols: Names<'a>,
    /// What was asked for and is not followed.
    rejected: &'a [Rejected],
    /// The least time between two flushes of the stream.
    throttle_ms: u64,
    /// The fields of its messages, in their order.
    fields: Vec<Field>,
    mode: ModeName,
    /// The interval of its bars, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    candles: Option<Interval>,
    /// Between two `hb` events; 0: none.
    heartbeat_ms: u64,
    /// Whether it goes on from the cursor that was sent.
    resumed: bool,
    limits: Allowed,
    /// The plan of who asks, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    plan: Option<&'a str>,
    /// How long the credential is good, where it has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_in_ms: Option<u64>,
    /// Which server this is, and its version.
    server: &'static str,
    /// The server's clock, ms since 1970.
    time: i64,
}

impl EventData for Hello<'_> {
    const NAME: EventName = EventName::Hello;
}

/// What the client may have.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamLimits)]
struct Allowed {
    /// Streams open at once.
    streams_per_client: u32,
    /// Streams opened in a minute.
    opens_per_minute: u32,
    /// Messages in a second, over all its streams; null: as many as there are.
    #[schema(required = true)]
    messages_per_second: Option<u32>,
    bytes_per_second: Option<u32>,
    /// Symbols on one stream.
    symbols_max: usize,
}

/// `{"xbt":"BTC"}`: each name as asked, in the order asked.
struct Names<'a> {
    names: &'a [(String, SymbolId)],
    catalogue: &'a Catalogue,
}

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (name, id) in self.names {
            map.serialize_entry(name, &self.catalogue.entry(*id).symbol)?;
        }
        map.end()
    }
}
