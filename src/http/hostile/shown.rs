//! What a request's headers show: who asks, from which page, and what he can read.

use std::net::IpAddr;
use std::sync::LazyLock;

use warp::http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, COOKIE, HeaderMap, ORIGIN};

use super::{KEY, guarded, header_lines, lines};
use crate::http::State;
use crate::http::auth::{Denied, Door};
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::http::refusal;

static GUARDED: LazyLock<State> = LazyLock::new(guarded);
/// All that a request may be told that is not let in: nothing of what it showed.
static WORDS: LazyLock<Vec<(Denied, Problem)>> = LazyLock::new(|| {
    let all = [
        Denied::Missing,
        Denied::Malformed,
        Denied::Unknown,
        Denied::Ticket,
        Denied::TicketOrigin,
        Denied::NoTicketHere,
        Denied::NoOperator,
    ];
    all.into_iter().map(|denied| (denied.clone(), denied.problem())).collect()
});

/// A query in the first line, and a header in each other, as `name: value`.
///
/// # Panics
///
/// Where the service breaks its word.
pub fn headers(input: &[u8]) {
    let mut lines = lines(input);
    let query = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let headers = header_lines(lines);
    check_accept(&headers);
    check_origin(&headers);
    let Ok(params) = Params::from_query(query) else { return };
    for door in [Door::Stream, Door::Data, Door::Ticket, Door::Operator] {
        admit(door, &headers, query, &params);
    }
}

fn check_accept(headers: &HeaderMap) {
    // Only who can certainly read no status is told in a stream.
    if refusal::is_event_source(headers) {
        let accepted: Vec<_> = headers.get_all(ACCEPT).iter().collect();
        assert!(accepted.len() == 1 && accepted[0].as_bytes().eq_ignore_ascii_case(b"text/event-stream"));
        assert!(!headers.contains_key(AUTHORIZATION), "a browser's own sends none");
    }
}

fn check_origin(headers: &HeaderMap) {
    let mut answer = HeaderMap::new();
    GUARDED.cors.allow(headers.get(ORIGIN), &mut answer);
    let allowed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN);
    assert!(
        allowed.is_none_or(|allowed| allowed == "https://a.example" && headers.get(ORIGIN) == Some(allowed))
    );
    assert!(answer.get("vary").is_some_and(|vary| vary == "Origin"));
}

fn admit(door: Door, headers: &HeaderMap, query: &str, params: &Params) {
    let mut left = Params::from_query(query).expect("read before");
    let admitted = GUARDED.auth.admit(door, IpAddr::from([8, 8, 8, 8]), headers, &mut left);
    let is_taken_out = left.all("api_key").chain(left.all("ticket")).next().is_none();
    assert!(is_taken_out, "nothing is left that an answer could repeat");
    let holds = |text: &[u8]| text.windows(KEY.len()).any(|part| part == KEY.as_bytes());
    match admitted {
        Ok(visitor) => {
            assert_eq!(visitor.client.to_string(), "ann");
            let is_shown = headers.values().any(|value| holds(value.as_bytes()))
                || params.all("api_key").any(|value| value == KEY);
            assert!(is_shown, "let in without the key");
            assert!(door != Door::Operator, "the key's plan is none of an operator's");
            let mut cookieless = headers.clone();
            if cookieless.remove(COOKIE).is_some_and(|cookie| holds(cookie.as_bytes()))
                && cookieless.get(ORIGIN).is_some_and(|origin| origin != "https://a.example")
            {
                let host = headers.get("host").map(warp::http::HeaderValue::as_bytes);
                let is_own = cookieless[ORIGIN].as_bytes().split(|&byte| byte == b'/').nth(2) == host;
                let mut params = Params::from_query(query).expect("read before");
                let without = GUARDED.auth.admit(door, IpAddr::from([8, 8, 8, 8]), &cookieless, &mut params);
                assert!(is_own || without.is_ok(), "let in by a cookie that another's page sent");
            }
        }
        Err(denied) => {
            // Whatever was shown, it is told in the same words.
            let told = denied.problem();
            let words = WORDS.iter().any(|(known, words)| *known == denied && *words == told);
            assert!(words, "{told:?}");
        }
    }
}
