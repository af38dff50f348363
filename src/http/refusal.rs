//! How a refusal is told: by a status, or inside a stream to who can read no status.

use std::fmt::Write as _;

use bytes::BytesMut;
use warp::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER};
use warp::http::{HeaderMap, HeaderName};

use super::Answer;
use super::events::Fault;
use super::limits::{Code, Refusal, Scope};
use super::params::Params;
use super::prices::stream_headers;
use super::problem::{Kind, Problem};
use super::sse;
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
    let Refusal { code, limit, scope, .. } = *refusal;
    sse::event(&mut body, &Fault { code, retry_ms, limit, scope }, None);
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
    // Whole seconds, never 0: a client that waits for nothing comes back at once.
    let seconds = refusal.retry.as_secs_f64().ceil().max(1.0);
    let (kind, policy) = match refusal.code {
        Code::RateLimited => (Kind::RateLimited, Some(("opens", Some(60)))),
        Code::TooManyStreams => (Kind::TooManyStreams, Some(("streams", None))),
        Code::TooManyTickets => (Kind::TooManyTickets, Some(("tickets", Some(30)))),
        Code::TooManyBadCredentials => (Kind::TooManyBadCredentials, Some(("credentials", Some(60)))),
        Code::Overloaded => (Kind::Overloaded, None),
        Code::Draining => (Kind::Draining, None),
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
    let mut problem = Problem::new(kind, detail).with_header(RETRY_AFTER, &seconds.to_string());
    if let (Some((name, window)), Some(limit)) = (policy, refusal.limit) {
        let window = window.map_or(String::new(), |window| format!(";w={window}"));
        let quota = format!("\"{name}\";q={limit}{window}");
        problem = problem
            .with_header(HeaderName::from_static("ratelimit-policy"), &quota)
            .with_header(HeaderName::from_static("ratelimit"), &format!("\"{name}\";r=0;t={seconds}"));
    }
    problem
}
