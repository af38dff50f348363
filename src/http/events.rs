//! What the named events say, as types: what a stream sends about itself. `hello` is beside what it tells of, in `prices`,
//! and `gap` in the fan-out.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::auth::lease::LeaseEnd;
use super::limits::{Code, Scope};
use super::sse::{EventData, EventName};

/// The stream is there, and has passed its `id`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Heartbeat {
    /// The server's clock, ms since 1970.
    pub(super) time: i64,
}

/// Something about this stream changed; it goes on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(super) enum Notice {
    /// The client's budget of messages slows its streams down: they conflate harder, and lose nothing.
    #[schema(title = "MessagesPerSecond")]
    MessagesPerSecond {
        /// Messages in a second that all streams of the client have together.
        #[schema(required = true)]
        limit: Option<u32>,
        scope: Scope,
    },
    /// The same, of its budget of bytes.
    #[schema(title = "BytesPerSecond")]
    BytesPerSecond {
        /// Bytes in a second that all streams of the client have together.
        #[schema(required = true)]
        limit: Option<u32>,
        scope: Scope,
    },
    /// The catalogue has changed, and with it what the stream follows.
    #[schema(title = "Symbols")]
    Symbols {
        /// Followed from now on: each name as it was asked, with its symbol, as in `hello.symbols`.
        added: BTreeMap<String, String>,
        /// Symbols that are not in the catalogue any more.
        removed: Vec<String>,
    },
    /// The credential that opened the stream expires, and the stream ends with it.
    #[schema(title = "CredentialExpiring")]
    CredentialExpiring {
        /// ms until then.
        in_ms: u64,
    },
}

/// The request is refused for now, and the stream ends: come back after `retry_ms`, which the `retry` line says too.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    pub(super) code: Code,
    /// ms to wait.
    pub(super) retry_ms: u64,
    /// The limit that was reached, where it is a number.
    #[schema(required = true)]
    pub(super) limit: Option<u64>,
    pub(super) scope: Scope,
}

/// The server ends the stream: come back after `retry_ms`, which the `retry` line says too.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bye {
    pub(super) reason: ByeReason,
    /// ms to wait.
    pub(super) retry_ms: u64,
}

/// Why the server ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ByeReason {
    /// The server is about to stop.
    Draining,
    /// The credential's time is over.
    CredentialExpired,
    /// The credential was taken back.
    CredentialRevoked,
    /// The credential stands for something else now: come back for that.
    CredentialChanged,
}

impl ByeReason {
    /// The word in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Draining => "drained",
            Self::CredentialExpired => LeaseEnd::Expired.reason(),
            Self::CredentialRevoked => LeaseEnd::Revoked.reason(),
            Self::CredentialChanged => LeaseEnd::Changed.reason(),
        }
    }
}

impl From<LeaseEnd> for ByeReason {
    fn from(end: LeaseEnd) -> Self {
        match end {
            LeaseEnd::Expired => Self::CredentialExpired,
            LeaseEnd::Revoked => Self::CredentialRevoked,
            LeaseEnd::Changed => Self::CredentialChanged,
        }
    }
}

impl EventData for Heartbeat {
    const NAME: EventName = EventName::Heartbeat;
}

impl EventData for Notice {
    const NAME: EventName = EventName::Notice;
}

impl EventData for Fault {
    const NAME: EventName = EventName::Fault;
}

impl EventData for Bye {
    const NAME: EventName = EventName::Bye;
}
