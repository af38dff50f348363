//! How a refusal is told: by a status, or inside a stream to who can read no status.

use std::fmt::Write as _;

use bytes::BytesMut;
use serde_json::json;
use warp::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER};
use warp::http::{HeaderMap, HeaderName, StatusCode};

use super::Answer;
use super::limits::{Code, Refusal, Scope};
use super::params::Params;
use super::prices::stream_headers;
use super::problem::Problem;
use super::sse::{self, EventName};
use crate::clock::millis;

/// Whether this looks like a browser's EventSource, which no status but 200 can tell anything: it would be dead
/// until the page is loaded again (P22).
pub(super) fn is_event_source(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).into_iter();
    let only =
        accepted.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"text/event-stream"));
    only && accepted.next().is_none() && !headers.contains_key(AUTHORIZATION)
}

/// Whether who asks can read a status, or says that he can. Only for what the parameters say of that: they are not checked
/// yet.
pub(super) fn reads_status(headers: &HeaderMap, params: &Params) -> bool {
    params.all("errors").any(|errors| errors == "status") || !is_event_source(headers)
}

/// A refusal that an EventSource understands: a stream that says when to come back, and ends.
pub(super) fn in_stream(refusal: &Refusal) -> Answer {
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

/// A refusal that everybody else understands.
pub(super) fn by_status(refusal: &Refusal) -> Answer {
    problem(refusal).answer()
}

/// A refusal as a problem document, with when to come back.
pub(super) fn problem(refusal: &Refusal) -> Problem {
    let status = match refusal.code {
        Code::RateLimited | Code::TooManyStreams | Code::TooManyTickets | Code::TooManyBadCredentials => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Code::Overloaded | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    // Whole seconds, never 0: a client that waits for nothing comes back at once.
    let seconds = refusal.retry.as_secs_f64().ceil().max(1.0);
    let (kind, title, policy) = match refusal.code {
        Code::RateLimited => ("rate-limited", "Too many streams were opened", Some(("opens", Some(60)))),
        Code::TooManyStreams => ("too-many-streams", "Too many streams are open", Some(("streams", None))),
        Code::TooManyTickets => {
            ("too-many-tickets", "Too many tickets are not used up", Some(("tickets", Some(30))))
        }
        Code::TooManyBadCredentials => (
            "too-many-bad-credentials",
            "Too many credentials that nobody has came from this address",
            Some(("credentials", Some(60))),
        ),
        Code::Overloaded => ("overloaded", "The server has no room for another stream", None),
        Code::Draining => ("draining", "The server is about to stop", None),
    };
    let mut detail = format!("try again in {seconds} s");
    if let Some(limit) = refusal.limit {
        let whose = match refusal.scope {
            Scope::Client => " for each address",
            Scope::Key => " for each key",
            Scope::Node => " in all",
        };
        let _ = write!(detail, "; the limit is {limit}{whose}");
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
    problem
}
