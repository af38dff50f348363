//! `GET` and `POST /prices`: from a request's parameters to an open stream, or to what is wrong with them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::BytesMut;
use rust_decimal::Decimal;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;
use warp::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::limits::{Code, Refusal, Slot, draining, jittered};
use super::link::Link;
use super::params::Params;
use super::problem::{Problem, echo};
use super::server::{Handover, Peer};
use super::sse::{self, EventName};
use super::stream::PriceStream;
use super::{Answer, State};
use crate::catalogue::{Catalogue, SymbolId};
use crate::clock;
use crate::fanout::{MinChange, Wanted};
use crate::fields::{Field, FieldSet, UnknownField};
use crate::metrics::ByLimit;

const PARAMETERS: &[&str] = &[
    "symbols",
    "throttle",
    "min_change",
    "fields",
    "mode",
    "heartbeat",
    "errors",
    "strict",
    "last_event_id",
    "lastEventId",
    "last-event-id",
    "evs_last_event_id",
];
/// The names under which clients send a cursor in the query, in the order they are believed.
const CURSORS: &[&str] = &["last_event_id", "lastEventId", "last-event-id", "evs_last_event_id"];
const THROTTLE_MAX: Duration = Duration::from_secs(3600);
/// Shorter wishes are raised to it: a heartbeat is for noticing silence, not for load.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);
/// Unknown symbols that get near misses with them.
const SUGGESTED_MAX: usize = 10;

/// Where a request came from and by which connection.
pub(super) struct Caller {
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
    pub(super) link: Link,
}

/// Opens a stream, or says why not.
pub(super) fn open(state: &State, caller: Caller, params: &Params, method_reads_status: bool) -> Answer {
    let asked = match Asked::read(state, params) {
        Ok(asked) => asked,
        Err(problem) => return problem.answer(),
    };
    let forwarded =
        caller.headers.get_all("x-forwarded-for").into_iter().filter_map(|value| value.to_str().ok());
    let forwarded: Vec<&str> = forwarded.flat_map(|value| value.split(',')).collect();
    let client = state.limits.client(caller.peer.0.ip(), &forwarded);
    let slot = match if state.closing.is_cancelled() { Err(draining()) } else { state.limits.open(client) } {
        Ok(slot) => slot,
        Err(refusal) => {
            state.limited(refusal.code.name());
            let reads_status =
                method_reads_status || asked.errors_as_status || !is_event_source(&caller.headers);
            return if reads_status { refused_by_status(&refusal) } else { refused_in_stream(&refusal) };
        }
    };
    let header = caller.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let cursor = header.or(asked.cursor.as_deref()).filter(|cursor| !cursor.is_empty());
    stream(state, &asked, cursor, slot, caller.link)
}

/// The head of what a request would be answered, without opening a stream: what a probe gets.
pub(super) fn probe(state: &State, params: &Params) -> Answer {
    if let Err(problem) = Asked::read(state, params) {
        return problem.answer();
    }
    let mut answer = Answer::default();
    stream_headers(answer.headers_mut());
    answer
}

fn stream(state: &State, asked: &Asked, cursor: Option<&str>, slot: Slot, link: Link) -> Answer {
    let resume = cursor.and_then(|text| state.fanout.resume(text));
    let subscription = state.fanout.subscribe(Wanted {
        symbols: asked.symbols.clone(),
        fields: asked.fields,
        throttle: asked.throttle,
        min_change: asked.min_change,
        max_silence: state.stream.max_silence,
        resume,
        budget: slot.budget(),
    });
    let limits = state.limits.config();
    let hello = Hello {
        symbols: Names { names: &asked.names, catalogue: state.catalogue() },
        rejected: &asked.rejected,
        throttle_ms: millis(asked.throttle),
        fields: asked.fields.iter().map(Field::name).collect(),
        mode: "latest",
        heartbeat_ms: millis(asked.heartbeat),
        resumed: resume.is_some() && asked.min_change.is_none(),
        limits: Allowed {
            streams_per_client: limits.streams_per_client,
            opens_per_minute: limits.opens_per_minute,
            messages_per_second: limits.messages_per_second,
            symbols_max: state.stream.symbols_max,
        },
        server: concat!("tickcast ", env!("CARGO_PKG_VERSION")),
        time: clock::wall().as_millis(),
    };
    let mut opening = BytesMut::with_capacity(1024);
    sse::retry(&mut opening, millis(jittered(state.stream.retry)));
    sse::event(&mut opening, EventName::Hello, &hello, Some(subscription.position()));
    let opening = opening.freeze();
    let stream =
        PriceStream::new(subscription, opening, asked.heartbeat, slot, state.clone(), link, &state.closing);
    let mut answer = Answer::default();
    stream_headers(answer.headers_mut());
    answer.extensions_mut().insert(Handover::new(stream));
    answer
}

fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sse::MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // nginx holds a stream back without this (P1).
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// Whether this looks like a browser's EventSource, which no status but 200 can tell anything: it would be dead
/// until the page is loaded again (P22).
fn is_event_source(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).into_iter();
    let only =
        accepted.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"text/event-stream"));
    only && accepted.next().is_none() && !headers.contains_key(AUTHORIZATION)
}

/// A refusal that an EventSource understands: a stream that says when to come back, and ends.
fn refused_in_stream(refusal: &Refusal) -> Answer {
    let retry_ms = millis(refusal.retry);
    let mut body = BytesMut::with_capacity(160);
    sse::retry(&mut body, retry_ms);
    let fault =
        json!({ "code": refusal.code, "retry_ms": retry_ms, "limit": refusal.limit, "scope": refusal.scope });
    sse::event(&mut body, EventName::Fault, &fault, None);
    let length = body.len();
    let mut answer = Answer::new(body.freeze().into());
    stream_headers(answer.headers_mut());
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    answer
}

fn refused_by_status(refusal: &Refusal) -> Answer {
    let status = match refusal.code {
        Code::RateLimited | Code::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    // Whole seconds, never 0: a client that waits for nothing comes back at once.
    let seconds = refusal.retry.as_secs_f64().ceil().max(1.0);
    let (kind, title, policy) = match refusal.code {
        Code::RateLimited => ("rate-limited", "Too many streams were opened", Some(("opens", Some(60)))),
        Code::TooManyStreams => ("too-many-streams", "Too many streams are open", Some(("streams", None))),
        Code::Overloaded => ("overloaded", "The server has no room for another stream", None),
        Code::Draining => ("draining", "The server is about to stop", None),
    };
    let mut detail = format!("try again in {seconds} s");
    if let Some(limit) = refusal.limit {
        let _ = write!(detail, "; the limit is {limit}");
    }
    let mut problem =
        Problem::new(status, kind, title, detail).with_header(RETRY_AFTER, &seconds.to_string());
    if let (Some((name, window)), Some(limit)) = (policy, refusal.limit) {
        let window = window.map_or(String::new(), |window| format!(";w={window}"));
        let quota = format!("\"{name}\";q={limit}{window}");
        problem = problem
            .with_header(HeaderName::from_static("ratelimit-policy"), &quota)
            .with_header(HeaderName::from_static("ratelimit"), &format!("\"{name}\";r=0;t={seconds}"));
    }
    problem.answer()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A request's parameters, understood.
#[derive(Debug)]
struct Asked {
    symbols: Vec<SymbolId>,
    /// Each name as it was asked for, and what it means.
    names: Vec<(String, SymbolId)>,
    rejected: Vec<Rejected>,
    throttle: Duration,
    min_change: Option<MinChange>,
    fields: FieldSet,
    heartbeat: Duration,
    errors_as_status: bool,
    cursor: Option<String>,
}

impl Asked {
    fn read(state: &State, params: &Params) -> Result<Self, Problem> {
        params.check(PARAMETERS)?;
        let throttle = params.duration("throttle", Duration::from_millis(1), THROTTLE_MAX)?;
        let heartbeat = params.duration("heartbeat", Duration::from_secs(1), HEARTBEAT_MAX)?;
        let heartbeat = heartbeat.map(|every| if every.is_zero() { every } else { every.max(HEARTBEAT_MIN) });
        let errors_as_status = match params.one("errors")? {
            None => false,
            Some("status") => true,
            Some(other) => return Err(Problem::bad_value("errors", other, "`status`")),
        };
        match params.one("mode")? {
            None | Some("latest") => {}
            Some(other) => {
                return Err(Problem::bad_value("mode", other, "`latest`, the only mode of this version"));
            }
        }
        let min_change = params.one("min_change")?.map(min_change).transpose()?;
        let fields = fields(params)?;
        // The header wins; a cursor that is no good is no error, it only brings the full snapshot (P38).
        let cursor = CURSORS.iter().find_map(|name| params.all(name).next()).map(str::to_owned);
        let chosen = Chosen::read(state, params)?;
        Ok(Self {
            symbols: chosen.symbols,
            names: chosen.names,
            rejected: chosen.rejected,
            throttle: throttle.unwrap_or(state.stream.throttle_default).max(state.stream.throttle_min),
            min_change,
            fields,
            heartbeat: heartbeat.unwrap_or(state.stream.heartbeat),
            errors_as_status,
            cursor,
        })
    }
}

/// The fields that are asked for.
pub(super) fn fields(params: &Params) -> Result<FieldSet, Problem> {
    let text = params.all("fields").collect::<Vec<_>>().join(",");
    if text.is_empty() {
        return Ok(FieldSet::DEFAULT);
    }
    FieldSet::parse(&text).map_err(|UnknownField(name)| {
        let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
        let near = names.iter().filter(|known| strsim::damerau_levenshtein(known, &name) <= 2);
        Problem::bad_value("fields", &name, names.join(", "))
            .suggesting(near.map(|&known| known.to_owned()).collect())
    })
}

fn min_change(text: &str) -> Result<MinChange, Problem> {
    let number = |digits: &str| tickcast_feeds::number::parse_decimal(digits).ok().flatten();
    let scaled = |digits: &str, per_unit: Decimal| number(digits).and_then(|n| n.checked_mul(per_unit));
    let change = if let Some(percent) = text.strip_suffix('%') {
        scaled(percent, Decimal::new(1, 2)).map(MinChange::Fraction)
    } else if let Some(points) = text.strip_suffix("bp") {
        scaled(points, Decimal::new(1, 4)).map(MinChange::Fraction)
    } else {
        number(text).map(MinChange::Amount)
    };
    let positive = |change: &MinChange| match change {
        MinChange::Amount(value) | MinChange::Fraction(value) => *value > Decimal::ZERO,
    };
    let expected = "an amount above zero such as `0.5` (in the currency), `0.05%` or `10bp`";
    change.filter(positive).ok_or_else(|| Problem::bad_value("min_change", text, expected))
}

/// The symbols of a request.
pub(super) struct Chosen {
    /// Each once, in the order asked.
    pub(super) symbols: Vec<SymbolId>,
    pub(super) names: Vec<(String, SymbolId)>,
    pub(super) rejected: Vec<Rejected>,
}

impl Chosen {
    /// Reads `symbols`, and `strict`. One bad symbol does not hurt the others.
    pub(super) fn read(state: &State, params: &Params) -> Result<Self, Problem> {
        let catalogue = state.catalogue();
        let mut asked: Vec<&str> =
            params.all("symbols").flat_map(|list| list.split(',')).map(str::trim).collect();
        asked.retain(|name| !name.is_empty());
        if asked.is_empty() {
            let title = "No symbols were asked for";
            let detail = "the parameter `symbols` is required; GET /symbols lists what there is";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "no-symbols", title, detail)
                .about("symbols", "")
                .expecting("a comma separated list such as `BTC,AAPL`, or `*` for all"));
        }
        let most = state.stream.symbols_max;
        let all = if asked.contains(&"*") { catalogue.len() } else { 0 };
        // Before any is looked up: a list of any length costs nothing.
        if asked.len().max(all) > most {
            return Err(too_many(asked.len().max(all), most));
        }
        let mut chosen = Self { symbols: Vec::new(), names: Vec::new(), rejected: Vec::new() };
        let mut seen = (HashSet::new(), HashSet::new());
        for name in asked {
            if name == "*" {
                for id in catalogue.ids() {
                    chosen.follow(&catalogue.entry(id).symbol, id, &mut seen);
                }
            } else if let Some(id) = catalogue.find(name) {
                chosen.follow(name, id, &mut seen);
            } else {
                chosen.reject(catalogue, name);
            }
        }
        chosen.check(params.switch("strict")?)?;
        Ok(chosen)
    }

    fn follow(
        &mut self,
        name: &str,
        id: SymbolId,
        (names, symbols): &mut (HashSet<String>, HashSet<SymbolId>),
    ) {
        if names.insert(name.to_owned()) {
            self.names.push((name.to_owned(), id));
        }
        if symbols.insert(id) {
            self.symbols.push(id);
        }
    }

    fn reject(&mut self, catalogue: &Catalogue, name: &str) {
        // Near misses cost a comparison with the whole catalogue.
        let near = if self.rejected.len() < SUGGESTED_MAX { catalogue.suggestions(name) } else { Vec::new() };
        let suggestions = near.into_iter().map(str::to_owned).collect();
        self.rejected.push(Rejected { symbol: echo(name), code: "unknown_symbol", suggestions });
    }

    fn check(&self, strict: bool) -> Result<(), Problem> {
        let Some(first) = self.rejected.first().filter(|_| strict || self.symbols.is_empty()) else {
            return Ok(());
        };
        let name = &first.symbol;
        let hint =
            first.suggestions.first().map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let title = "The symbol is not in the catalogue";
        Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-symbol",
            title,
            format!("unknown symbol `{name}`{hint}"),
        )
        .about("symbols", name)
        .expecting("a symbol or alias that GET /symbols lists")
        .suggesting(first.suggestions.clone()))
    }
}

fn too_many(asked: usize, most: usize) -> Problem {
    let detail = format!("{asked} symbols were asked for, and one stream has at most {most}");
    let title = "Too many symbols for one stream";
    Problem::new(StatusCode::BAD_REQUEST, "too-many-symbols", title, detail)
        .about("symbols", &asked.to_string())
        .expecting(format!("at most {most} (stream.symbols_max)"))
}

/// The first event of a stream: what the client gets, and what of its wishes it doesn't.
#[derive(Serialize)]
struct Hello<'a> {
    symbols: Names<'a>,
    rejected: &'a [Rejected],
    throttle_ms: u64,
    fields: Vec<&'static str>,
    mode: &'static str,
    heartbeat_ms: u64,
    resumed: bool,
    limits: Allowed,
    server: &'static str,
    time: i64,
}

#[derive(Serialize)]
struct Allowed {
    streams_per_client: u32,
    opens_per_minute: u32,
    messages_per_second: Option<u32>,
    symbols_max: usize,
}

/// A name that is not followed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rejected {
    symbol: String,
    code: &'static str,
    suggestions: Vec<String>,
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

/// Counts a limit that was met.
impl State {
    pub(super) fn limited(&self, limit: &'static str) {
        self.metrics.limited.get_or_create(&ByLimit { limit }).inc();
    }
}

/// The bytes of a body that is no longer than its limit, within its time.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
pub(super) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// A body that was too long or too slow.
pub(super) fn body_problem(too_long: bool) -> Problem {
    if too_long {
        let detail = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
            .expecting(format!("at most {BODY_BYTES_MAX} bytes"))
    } else {
        let detail = format!("the body did not come whole within {} s", BODY_TIME_MAX.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body is too slow", detail)
    }
}
