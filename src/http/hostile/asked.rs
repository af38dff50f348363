//! What a request asks of `/prices`, and where it left off.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::time::Instant;
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::{EPOCH, open};
use crate::fanout::{From as TicksFrom, MinChange, Shelf};
use crate::http::State;
use crate::http::asked::Asked;
use crate::http::auth::Door;
use crate::http::framing::Framing;
use crate::http::params::Params;
use crate::http::prices::{self, Caller};
use crate::http::problem::{Problem, echo};
use crate::http::server::{Handover, Peer};
use crate::http::sse::Cursor;
use crate::http::stream::Turn;

/// A refusal repeats at most some of what was sent.
const REFUSAL_BYTES_MAX: usize = 4 << 10;
const HOUR: Duration = Duration::from_secs(3600);

static OPEN: LazyLock<State> = LazyLock::new(open);

/// A query of `/prices`, as text. What is none as UTF-8 is read as warp would: never.
///
/// # Panics
///
/// Where the service breaks its word.
pub fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let params = match Params::from_query(text) {
        Ok(params) => params,
        Err(problem) => return check_refusal(&problem, true),
    };
    assert_eq!(Params::from_query(&to_query(&params)).as_ref(), Ok(&params), "{text:?}");
    ask(params, false);
}

/// The body of `POST /prices`.
///
/// # Panics
///
/// Where the service breaks its word.
pub fn body(input: &[u8]) {
    let params = match Params::from_json(input) {
        Ok(params) => params,
        // What is no JSON has no parameters to name.
        Err(problem) => {
            let is_object = serde_json::from_slice::<Map<String, Value>>(input).is_ok();
            return check_refusal(&problem, is_object);
        }
    };
    let object: Map<String, Value> =
        params.pairs().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let written = serde_json::to_vec(&object).expect("text keys");
    assert_eq!(Params::from_json(&written).as_ref(), Ok(&params), "{object:?}");
    assert_eq!(Params::from_query(&to_query(&params)).as_ref(), Ok(&params), "{object:?}");
    ask(params, true);
}

/// As a browser's `URLSearchParams` writes it, but for a blank.
fn to_query(params: &Params) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        params.pairs().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Every refusal says what is wrong, with what, and what would work.
fn check_refusal(problem: &Problem, names_parameter: bool) {
    let told: Value = serde_json::from_slice(&problem.body()).expect("a problem is JSON");
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    assert!([400, 403, 404].contains(&told["status"].as_u64().expect("a status")), "{told}");
    assert!(text("type").starts_with("urn:tickcast:problem:"), "{told}");
    assert!(
        !text("title").is_empty() && !text("detail").is_empty() && !text("expected").is_empty(),
        "{told}"
    );
    if names_parameter {
        assert!(told.get("parameter").is_some() && told.get("value").is_some(), "{told}");
    }
    let bytes = told.to_string().len();
    assert!(bytes <= REFUSAL_BYTES_MAX, "{bytes}: {told}");
}

/// Asks for what the parameters say.
fn ask(mut params: Params, by_post: bool) {
    let caller =
        Caller { headers: HeaderMap::new(), peer: Peer(SocketAddr::from((Ipv4Addr::new(8, 8, 8, 8), 4711))) };
    let visitor = OPEN.auth.admit(Door::Stream, IpAddr::from([8, 8, 8, 8]), &caller.headers, &mut params);
    let visitor = visitor.expect("nobody is asked who he is");
    let answer = prices::open(&OPEN, &caller, &visitor, &params, by_post);
    let asked = match Asked::read(&OPEN, &visitor, &params) {
        Ok(asked) => asked,
        Err(problem) => {
            assert_eq!(answer.status(), problem.answer().status());
            return check_refusal(&problem, true);
        }
    };
    assert_eq!(answer.status(), StatusCode::OK);
    check_asked(&asked, &params);
    let handover = answer.extensions().get::<Handover>().expect("a stream");
    let mut stream = handover.take().expect("a stream");
    let turn = stream.turn(&OPEN, &mut Shelf::alone(Framing::Bare), Instant::now(), false);
    let Turn::Say(opening) = turn else { unreachable!("hello is always first") };
    check_opening(std::str::from_utf8(&opening).expect("text"), &asked);
}

fn check_asked(asked: &Asked, params: &Params) {
    let symbols: HashSet<_> = asked.symbols.iter().collect();
    assert!(!symbols.is_empty() && symbols.len() == asked.symbols.len() && symbols.len() <= 8, "{asked:?}");
    assert!(asked.throttle <= HOUR, "{asked:?}");
    let beats = asked.heartbeat;
    assert!(beats.is_zero() || (1..=300).contains(&beats.as_secs()), "{asked:?}");
    if let Some(MinChange::Amount(least) | MinChange::Fraction(least)) = asked.min_change {
        assert!(least > rust_decimal::Decimal::ZERO, "{asked:?}");
    }
    assert!(!asked.every_trade || (asked.throttle.is_zero() && asked.min_change.is_none()), "{asked:?}");
    // Each name is followed or rejected, and none is made up.
    let rejected: HashSet<String> = asked
        .rejected
        .iter()
        .map(|rejected| {
            serde_json::to_value(rejected).expect("JSON")["symbol"].as_str().expect("text").into()
        })
        .collect();
    let followed: HashSet<&str> = asked.names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(followed.len(), asked.names.len(), "each once: {asked:?}");
    let names: Vec<&str> = params.all("symbols").flat_map(|list| list.split(',')).map(str::trim).collect();
    for name in names.iter().filter(|name| !name.is_empty() && **name != "*") {
        assert!(followed.contains(name) || rejected.contains(&echo(name)), "{name} of {asked:?}");
    }
    assert!(names.contains(&"*") || followed.iter().all(|name| names.contains(name)), "{asked:?}");
}

/// Whatever was asked, a stream begins with one `retry` and one `hello`, and nothing else.
fn check_opening(text: &str, asked: &Asked) {
    let lines: Vec<&str> = text.split('\n').collect();
    let [retry, "event: hello", data, id, "", ""] = lines[..] else { unreachable!("{text:?}") };
    assert!(
        retry.strip_prefix("retry: ").is_some_and(|ms| ms.parse::<u64>().is_ok_and(|ms| ms > 0)),
        "{text:?}"
    );
    assert!(!text.contains('\r'), "{text:?}");
    let hello: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!(hello["symbols"].as_object().map(Map::len), Some(asked.names.len()), "{text:?}");
    assert_eq!(hello["rejected"].as_array().map(Vec::len), Some(asked.rejected.len()), "{text:?}");
    let id: Cursor = id.strip_prefix("id: ").expect("an id").parse().expect("a cursor");
    assert_eq!(id.epoch.0, EPOCH);
}

/// A cursor, as a header or a parameter brings it.
///
/// # Panics
///
/// Where the service breaks its word.
pub fn cursor(input: &[u8]) {
    // As `open` reads the header.
    let Some(text) =
        HeaderValue::from_bytes(input).ok().and_then(|value| value.to_str().ok().map(str::to_owned))
    else {
        return;
    };
    let (resumed, ticks) = (OPEN.fanout.resume(&text), OPEN.fanout.resume_ticks(&text));
    let Ok(cursor) = text.parse::<Cursor>() else {
        assert!(resumed.is_none() && ticks == TicksFrom::Unknown, "{text:?}");
        return;
    };
    let printed = cursor.to_string();
    assert_eq!(printed.parse(), Ok(cursor), "{text:?}");
    let digits = |part: &str| match part.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_ascii_lowercase(),
    };
    let (epoch, version) = text.split_once('.').expect("it was a cursor");
    assert_eq!(printed, format!("{}.{}", digits(epoch), digits(version)), "{text:?}");
    // Nothing has been published: only the start was reached.
    let is_reached = cursor.epoch.0 == EPOCH && cursor.version == 0;
    assert_eq!(resumed, None, "{text:?}");
    assert_eq!(ticks, if is_reached { TicksFrom::Version(0) } else { TicksFrom::Unknown }, "{text:?}");
}
