//! What a client did wrong, as a problem document (RFC 9457) that names the parameter, the value and what would
//! work. The only place where an error becomes an answer.

use bytes::Bytes;
use serde::Serialize;
use serde::ser::SerializeMap;
use warp::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use warp::http::{Response, StatusCode};

use super::Answer;

/// A value from outside is echoed up to this length.
const ECHO_MAX: usize = 100;

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    /// The last part of the type's URN.
    kind: &'static str,
    title: &'static str,
    detail: String,
    parameter: Option<String>,
    value: Option<String>,
    expected: Option<String>,
    suggestions: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of one kind. `detail` says what was wrong this time.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let (parameter, value, expected) = (None, None, None);
        let (suggestions, headers) = (Vec::new(), Vec::new());
        Self { status, kind, title, detail: detail.into(), parameter, value, expected, suggestions, headers }
    }

    /// A parameter whose value does not do.
    pub fn bad_value(parameter: &str, value: &str, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        let detail = format!("`{}` is no value for `{parameter}`; expected {expected}", echo(value));
        Self::new(StatusCode::BAD_REQUEST, "bad-value", "A parameter has a value that it cannot have", detail)
            .about(parameter, value)
            .expecting(expected)
    }

    /// Names the parameter and what was given for it.
    #[must_use]
    pub fn about(mut self, parameter: &str, value: &str) -> Self {
        (self.parameter, self.value) = (Some(echo(parameter)), Some(echo(value)));
        self
    }

    /// Says what would work.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Names what was probably meant.
    #[must_use]
    pub fn suggesting(mut self, suggestions: Vec<String>) -> Self {
        self.suggestions = suggestions;
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        // What is no header value is left out: none of ours is from outside.
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// A method that the route does not have.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let title = "The route does not have this method";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            title,
            format!("allowed here: {allowed}"),
        )
        .expecting(allowed)
        .with_header(ALLOW, allowed)
    }

    /// The answer.
    pub fn answer(&self) -> Answer {
        let body = serde_json::to_vec(self).expect("a problem has text keys and no failing parts");
        let mut answer = Response::new(Bytes::from(body).into());
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers.iter().cloned());
        answer
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("urn:tickcast:problem:{}", self.kind))?;
        map.serialize_entry("title", self.title)?;
        map.serialize_entry("status", &self.status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        let optional = [("parameter", &self.parameter), ("value", &self.value), ("expected", &self.expected)];
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if !self.suggestions.is_empty() {
            map.serialize_entry("suggestions", &self.suggestions)?;
        }
        map.end()
    }
}

/// A value from outside, cut to a length that fits an answer.
pub fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
