//! Which pages may read our answers. Errors carry the same headers as successes: without them a page sees a
//! network error instead of the reason.

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, VARY,
};
use warp::http::{HeaderMap, HeaderValue};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
/// `Last-Event-ID`: a resume across origins is preflighted where the id is unusual (P41).
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Cache-Control, Content-Type, Last-Event-ID, X-API-Key");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, RateLimit, RateLimit-Policy");

/// The origins of a config.
#[derive(Debug)]
pub struct Cors {
    any: bool,
    /// Whether cookies count, which a page must be told that it may send.
    cookies: bool,
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// `["*"]` allows every page; otherwise only those listed, and an empty list none.
    pub fn new(origins: &[String]) -> Self {
        let any = origins.iter().any(|origin| origin == "*");
        Self {
            any,
            cookies: false,
            origins: origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(),
        }
    }

    /// With cookies, where the config names one: not for `*`, which browsers refuse then (P67).
    #[must_use]
    pub fn with_cookies(self, cookies: bool) -> Self {
        Self { cookies, ..self }
    }

    /// Lets the page of this origin read an answer, if it may.
    pub fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.any {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            // The answer differs by origin, so no cache may give one page's to another.
            headers.append(VARY, HeaderValue::from_static("Origin"));
            let Some(origin) = origin.filter(|origin| self.origins.contains(origin)) else { return };
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.cookies {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }

    /// Answers what a page asks before it sends its request.
    pub fn preflight(&self, headers: &mut HeaderMap) {
        headers.insert(ALLOW, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
}
