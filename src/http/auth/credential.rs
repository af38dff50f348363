//! Where in a request a credential may stand, and the first that does. Whether it is good is not decided here; and nothing
//! here can be printed.

use warp::http::header::{AUTHORIZATION, COOKIE};
use warp::http::{HeaderMap, HeaderValue};

use super::denied::Denied;
use crate::http::params::Params;

/// Bytes in a key or a token; more is neither.
const CREDENTIAL_MAX: usize = 8 << 10;

/// The header that a key or a token may stand in.
pub(in crate::http) const API_KEY_HEADER: &str = "X-API-Key";
/// The parameter for a key in the query.
pub(in crate::http) const API_KEY: &str = "api_key";
/// The parameter for a ticket.
pub(in crate::http) const TICKET: &str = "ticket";

/// What a request shows. No `Debug`: it must not get into a log by accident.
pub(super) enum Shown {
    /// A key or a token.
    Secret(String),
    /// A ticket.
    Ticket(String),
}

/// Where it is looked for besides the headers.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    /// The cookie's name.
    pub(super) cookie: Option<&'a str>,
    /// Whether `api_key` in the query will do.
    pub(super) query: bool,
    /// Whether a ticket will do.
    pub(super) ticket: bool,
}

/// Finds what a request shows: `Authorization: Bearer`, `X-API-Key`, `ticket`, `api_key`, a cookie, in this order. Only the
/// first is looked at: a bad one is not made good by another. What stood in the parameters is taken out of them, so that no
/// answer repeats it.
///
/// # Errors
///
/// [`Denied`] where a place is there and holds nothing that could be one, or is switched off.
pub(super) fn find(
    headers: &HeaderMap,
    params: &mut Params,
    places: Places<'_>,
) -> Result<Option<Shown>, Denied> {
    let (ticket, api_key) = (params.take(TICKET), params.take(API_KEY));
    if let Some(value) = once(headers.get_all(AUTHORIZATION).into_iter())? {
        let text = text(value)?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Malformed);
        }
        return secret(token.trim()).map(Some);
    }
    if let Some(value) = once(headers.get_all(API_KEY_HEADER).into_iter())? {
        return secret(text(value)?.trim()).map(Some);
    }
    if let Some(ticket) = once(ticket.into_iter())? {
        if !places.ticket {
            return Err(Denied::NoTicketHere);
        }
        return is_plausible(&ticket).then_some(Some(Shown::Ticket(ticket))).ok_or(Denied::Malformed);
    }
    if let Some(key) = once(api_key.into_iter())? {
        if !places.query {
            return Err(Denied::QueryIsOff);
        }
        return secret(&key).map(Some);
    }
    match places.cookie.and_then(|name| cookie(headers, name)) {
        Some(value) => secret(value).map(Some),
        None => Ok(None),
    }
}

fn once<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Denied> {
    let first = values.next();
    // Two would be read differently by us and by a proxy that checks the one or the other.
    if values.next().is_some() { Err(Denied::Malformed) } else { Ok(first) }
}

fn text(value: &HeaderValue) -> Result<&str, Denied> {
    value.to_str().map_err(|_| Denied::Malformed)
}

fn secret(text: &str) -> Result<Shown, Denied> {
    if is_plausible(text) { Ok(Shown::Secret(text.to_owned())) } else { Err(Denied::Malformed) }
}

fn is_plausible(text: &str) -> bool {
    (1..=CREDENTIAL_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The value of the first cookie of that name (RFC 6265, section 4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(given, _)| given.trim() == name).map(|(_, value)| value.trim()).next()?;
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    (!bare.is_empty()).then_some(bare)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Places<'static> = Places { cookie: Some("session"), query: true, ticket: true };

    fn found(lines: &[(&str, &str)], query: &str, places: Places<'_>) -> Result<Option<String>, Denied> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: warp::http::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let mut params = Params::from_query(query).expect("a query");
        let shown = find(&headers, &mut params, places)?;
        assert_eq!(
            params.all("api_key").chain(params.all("ticket")).count(),
            0,
            "nothing is left to be repeated"
        );
        Ok(shown.map(|shown| match shown {
            Shown::Secret(text) => format!("secret {text}"),
            Shown::Ticket(text) => format!("ticket {text}"),
        }))
    }

    #[test]
    fn p64_a_credential_may_stand_in_five_places_and_the_first_of_them_counts() {
        let all =
            [("authorization", "Bearer a"), ("x-api-key", "b"), ("cookie", "x=1; session=e; session=f")];
        let query = "symbols=BTC&api_key=d&ticket=c";
        let of = |from: usize, query: &str| found(&all[from..], query, ALL).map(Option::unwrap_or_default);
        assert_eq!(of(0, query), Ok("secret a".to_owned()));
        assert_eq!(of(1, query), Ok("secret b".to_owned()));
        assert_eq!(of(2, query), Ok("ticket c".to_owned()));
        assert_eq!(of(2, "api_key=d"), Ok("secret d".to_owned()));
        assert_eq!(of(2, ""), Ok("secret e".to_owned()));
        assert_eq!(of(3, ""), Ok(String::new()));
        assert_eq!(found(&[("authorization", "bEARER  a ")], "", ALL), Ok(Some("secret a".to_owned())));
        assert_eq!(found(&[("cookie", "session=\"q\"")], "", ALL), Ok(Some("secret q".to_owned())));
        assert_eq!(found(&[("cookie", "sessions=a; asession=b; session=")], "", ALL), Ok(None));
    }

    #[test]
    fn what_is_no_credential_is_refused_and_what_is_off_says_so() {
        let malformed = Err(Denied::Malformed);
        for lines in [
            &[("authorization", "Basic dXNlcjpwYXNz")][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer a b")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            &[("x-api-key", "")],
            &[("x-api-key", "a"), ("x-api-key", "a")],
            // A good one further down does not help.
            &[("authorization", "Basic x"), ("x-api-key", "good")],
        ] {
            assert_eq!(found(lines, "", ALL), malformed, "{lines:?}");
        }
        assert_eq!(found(&[], "api_key=a&api_key=a", ALL), malformed);
        assert_eq!(found(&[], &format!("api_key={}", "a".repeat(CREDENTIAL_MAX + 1)), ALL), malformed);
        let none = Places { cookie: None, query: false, ticket: false };
        assert_eq!(found(&[], "api_key=a", none), Err(Denied::QueryIsOff));
        assert_eq!(found(&[], "ticket=a", none), Err(Denied::NoTicketHere));
        assert_eq!(found(&[("cookie", "session=a")], "", none), Ok(None));
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused_without_a_panic(
            lines in proptest::collection::vec((0_usize..3, proptest::collection::vec(any::<u8>(), 0..60)), 0..4)
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                let name = ["authorization", "x-api-key", "cookie"][name];
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(name, value);
                }
            }
            let shown = find(&headers, &mut Params::default(), ALL);
            if let Ok(Some(Shown::Secret(text) | Shown::Ticket(text))) = shown {
                prop_assert!(is_plausible(&text));
            }
        }

        #[test]
        fn any_plausible_key_is_found_wherever_it_stands(key in "[!-:<-~]{1,80}") {
            let bearer = format!("Bearer {key}");
            prop_assert_eq!(found(&[("authorization", &bearer)], "", ALL), Ok(Some(format!("secret {key}"))));
            prop_assert_eq!(found(&[("x-api-key", &key)], "", ALL), Ok(Some(format!("secret {key}"))));
            let encoded = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(found(&[], &format!("api_key={encoded}"), ALL), Ok(Some(format!("secret {key}"))));
        }
    }
}
