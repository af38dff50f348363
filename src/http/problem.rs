//! What a client did wrong, as a problem document (RFC 9457) that names the parameter, the value and what would
//! work. The only place where an error becomes an answer.

mod kind;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::Response;
use warp::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};

pub use kind::Kind;

use super::Answer;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A value from outside is echoed up to this length.
const ECHO_MAX: usize = 100;

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    parameter: Option<String>,
    value: Option<String>,
    expected: Option<String>,
    suggestions: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of one kind. `detail` says what was wrong this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (parameter, value, expected) = (None, None, None);
        let (suggestions, headers) = (Vec::new(), Vec::new());
        Self { kind, detail: detail.into(), parameter, value, expected, suggestions, headers }
    }

    /// A parameter whose value does not do.
    pub fn bad_value(parameter: &str, value: &str, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        let detail = format!("`{}` is no value for `{parameter}`; expected {expected}", echo(value));
        Self::new(Kind::BadValue, detail).about(parameter, value).expecting(expected)
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
        Self::new(Kind::MethodNotAllowed, format!("allowed here: {allowed}"))
            .expecting(allowed)
            .with_header(ALLOW, allowed)
    }

    /// The answer.
    pub fn answer(&self) -> Answer {
        let mut answer = Response::new(Bytes::from(self.body()).into());
        *answer.status_mut() = self.kind.status();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers.iter().cloned());
        answer
    }

    /// The document.
    pub fn body(&self) -> Vec<u8> {
        let document = Document {
            kind: self.kind,
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            parameter: self.parameter.as_deref(),
            value: self.value.as_deref(),
            expected: self.expected.as_deref(),
            suggestions: &self.suggestions,
        };
        serde_json::to_vec(&document).expect("a problem has text keys and no failing parts")
    }
}

/// Why a request is not answered as asked (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    /// What the kind is.
    title: &'a str,
    /// The answer's status.
    status: u16,
    /// What was wrong this time, and what to do.
    detail: &'a str,
    /// The parameter it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<&'a str>,
    /// What was given for it, cut to a length that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    value: Option<&'a str>,
    /// What would work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected: Option<&'a str>,
    /// What was probably meant, the likeliest first.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(required = false)]
    suggestions: &'a [String],
}

/// A value from outside, cut to a length that fits an answer.
pub fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
