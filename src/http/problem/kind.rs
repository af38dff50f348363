//! The kinds of problem there are: what a client can tell apart, each with its status and its title. The list is what the
//! document at `/openapi.json` says, too.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};
use warp::http::StatusCode;

use crate::schema::word;

macro_rules! kinds {
    ($($(#[$about:meta])* $variant:ident $status:ident $name:literal $title:literal),+ $(,)?) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$about])* $variant),+ }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The last part of the type's URN.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it is, the same for each of its kind.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// The status of the answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }
        }
    };
}

kinds! {
    /// A name in the query or the body that the route does not know.
    UnknownParameter BAD_REQUEST "unknown-parameter" "The request has a parameter that this route does not know",
    /// A value that the parameter cannot have.
    BadValue BAD_REQUEST "bad-value" "A parameter has a value that it cannot have",
    /// A query that cannot be decoded.
    MalformedEncoding BAD_REQUEST "malformed-encoding" "The query is not properly percent-encoded",
    /// A body that is no such JSON.
    BadBody BAD_REQUEST "bad-body" "The body is not the expected JSON",
    /// `symbols` is missing or empty.
    NoSymbols BAD_REQUEST "no-symbols" "No symbols were asked for",
    /// More symbols than the client may have on a stream.
    TooManySymbols BAD_REQUEST "too-many-symbols" "Too many symbols for one stream",
    /// A key in the query, where that is off.
    QueryCredentialOff BAD_REQUEST "query-credential-off" "A key in the query is not taken here",
    /// Nothing shows who asks.
    NoCredential UNAUTHORIZED "no-credential" "A credential is needed",
    /// What is shown is not good.
    BadCredential UNAUTHORIZED "bad-credential" "The credential is not good",
    /// What is shown was good once.
    ExpiredCredential UNAUTHORIZED "expired-credential" "The credential has expired",
    /// Good, but not for this.
    NotEntitled FORBIDDEN "not-entitled" "The credential is good, but not for this",
    /// None of the symbols is in the catalogue.
    UnknownSymbol NOT_FOUND "unknown-symbol" "The symbol is not in the catalogue",
    /// This server gives no tickets.
    NoTickets NOT_FOUND "no-tickets" "Nobody needs a ticket here",
    /// Nothing is at this path.
    NoSuchRoute NOT_FOUND "no-such-route" "There is no such route",
    /// Something is at this path, for another method.
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "The route does not have this method",
    /// The body did not come in time.
    BodyTooSlow REQUEST_TIMEOUT "body-too-slow" "The body is too slow",
    /// The body is longer than any good one.
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is too large",
    /// The query is longer than any good one.
    UrlTooLong URI_TOO_LONG "url-too-long" "The URL is too long",
    /// More headers than a request may have.
    TooManyHeaders REQUEST_HEADER_FIELDS_TOO_LARGE "too-many-headers" "The request has too many headers",
    /// Over the limit of opens in a minute.
    RateLimited TOO_MANY_REQUESTS "rate-limited" "Too many streams were opened",
    /// Over the limit of streams open at once.
    TooManyStreams TOO_MANY_REQUESTS "too-many-streams" "Too many streams are open",
    /// Over the limit of tickets that are not used up.
    TooManyTickets TOO_MANY_REQUESTS "too-many-tickets" "Too many tickets are not used up",
    /// Somebody at the address tries credentials.
    TooManyBadCredentials TOO_MANY_REQUESTS "too-many-bad-credentials" "Too many credentials that nobody has came from this address",
    /// The node has no room.
    Overloaded SERVICE_UNAVAILABLE "overloaded" "The server has no room for more",
    /// The node is about to stop.
    Draining SERVICE_UNAVAILABLE "draining" "The server is about to stop",
}

impl Kind {
    /// The type of the problem, as the document says it.
    pub fn urn(self) -> String {
        format!("urn:tickcast:problem:{}", self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.urn())
    }
}

impl ToSchema for Kind {
    fn name() -> Cow<'static, str> {
        "ProblemType".into()
    }
}

impl PartialSchema for Kind {
    fn schema() -> RefOr<Schema> {
        let urns: Vec<String> = Self::ALL.iter().map(|kind| kind.urn()).collect();
        word(urns.iter().map(String::as_str), "What kind of problem it is").into()
    }
}
