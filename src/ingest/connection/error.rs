//! Why a connection ended: whose doing it was, and whether waiting helps.

use tokio_tungstenite::tungstenite::Error as SocketError;

use crate::ingest::backoff::Trouble;
use crate::ingest::dial::DialError;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// It was not opened.
    #[error("could not connect")]
    Dial(#[source] DialError),
    /// The venue said good-bye.
    #[error("the venue closed the connection with {code}{}", .reason.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Closed {
        /// The close frame's code; 1005 where there is none.
        code: u16,
        /// The venue's words.
        reason: Option<String>,
    },
    /// The socket failed, or ended without a close frame.
    #[error("the connection was cut")]
    Cut(#[source] Option<Box<SocketError>>),
    /// Open, and no tick.
    #[error("no tick for {silence_ms} ms though the connection is open")]
    Silent {
        /// For how long.
        silence_ms: u128,
    },
    /// Open by the look of it, and no byte, not even an answer to our ping.
    #[error("no byte for {quiet_ms} ms, nor an answer to a ping")]
    Dead {
        /// For how long.
        quiet_ms: u128,
    },
    /// The key is wrong, or this feed is not part of it.
    #[error("the venue does not accept the key: {reason}")]
    Unauthorized {
        /// The venue's words.
        reason: String,
    },
    /// Another connection holds the only place.
    #[error("another connection holds the feed: {reason}")]
    Occupied {
        /// The venue's words.
        reason: String,
    },
    /// Another connection has taken over.
    #[error("replaced")]
    Replaced,
    /// The service stops.
    #[error("stopping")]
    Stopping,
}

impl ConnectionError {
    /// What it means for the next attempt.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Dial(DialError::Status { status, retry_after }) => match status {
                429 => Trouble::Limited(*retry_after),
                // Whoever is overloaded may say for how long.
                503 if retry_after.is_some() => Trouble::Limited(*retry_after),
                418 => Trouble::Banned(*retry_after),
                451 | 403 => Trouble::Forbidden,
                401 => Trouble::Unauthorized,
                406 => Trouble::Occupied,
                _ => Trouble::Ordinary,
            },
            Self::Closed { code: 1008, reason } => {
                let says =
                    |word: &str| reason.as_ref().is_some_and(|text| text.to_ascii_lowercase().contains(word));
                // Some give no reason at all: that is taken for any other rule of theirs.
                if ["rate", "too many", "limit"].into_iter().any(says) {
                    Trouble::PolicyRate
                } else {
                    Trouble::Policy
                }
            }
            Self::Unauthorized { .. } => Trouble::Unauthorized,
            Self::Occupied { .. } => Trouble::Occupied,
            _ => Trouble::Ordinary,
        }
    }

    /// The metrics' word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Dial(DialError::Status { status, .. }) => match status {
                429 => "http_429",
                418 => "http_418",
                451 => "http_451",
                403 => "http_403",
                401 => "http_401",
                406 => "http_406",
                _ => "http_status",
            },
            Self::Dial(DialError::Timeout) => "connect_timeout",
            Self::Dial(DialError::Proxy { .. }) => "proxy",
            Self::Dial(DialError::Tls { .. }) => "tls",
            Self::Dial(_) => "connect",
            Self::Closed { code: 1008, .. } => "closed_1008",
            Self::Closed { code: 1001 | 1012, .. } => "restart",
            Self::Closed { .. } => "closed",
            Self::Cut(_) => "cut",
            Self::Silent { .. } => "silent",
            Self::Dead { .. } => "dead",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Occupied { .. } => "occupied",
            Self::Replaced => "replaced",
            Self::Stopping => "stopping",
        }
    }
}

/// Why a connection is opened again, in the metrics' words: what may end one, and what may replace one before.
pub const RECONNECT_REASONS: [&str; 23] = [
    "connect",
    "connect_timeout",
    "proxy",
    "tls",
    "http_401",
    "http_403",
    "http_406",
    "http_418",
    "http_429",
    "http_451",
    "http_status",
    "closed",
    "closed_1008",
    "restart",
    "cut",
    "dead",
    "silent",
    "unauthorized",
    "occupied",
    "stopping",
    "notice",
    "lifetime",
    "replaced",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_means_one_trouble_and_has_one_word() {
        let status = |status| ConnectionError::Dial(DialError::Status { status, retry_after: None });
        let closed = |code, reason: &str| ConnectionError::Closed { code, reason: Some(reason.to_owned()) };
        let cases = [
            (status(429), Trouble::Limited(None), "http_429"),
            (status(418), Trouble::Banned(None), "http_418"),
            (status(451), Trouble::Forbidden, "http_451"),
            (status(403), Trouble::Forbidden, "http_403"),
            (status(401), Trouble::Unauthorized, "http_401"),
            (status(406), Trouble::Occupied, "http_406"),
            (status(502), Trouble::Ordinary, "http_status"),
            (ConnectionError::Dial(DialError::Timeout), Trouble::Ordinary, "connect_timeout"),
            (closed(1008, "Pong timeout"), Trouble::Policy, "closed_1008"),
            (closed(1008, "Too many requests"), Trouble::PolicyRate, "closed_1008"),
            (closed(1012, "restart"), Trouble::Ordinary, "restart"),
            (closed(1000, ""), Trouble::Ordinary, "closed"),
            (ConnectionError::Cut(None), Trouble::Ordinary, "cut"),
            (ConnectionError::Silent { silence_ms: 1 }, Trouble::Ordinary, "silent"),
            (ConnectionError::Occupied { reason: String::new() }, Trouble::Occupied, "occupied"),
        ];
        for (error, trouble, reason) in cases {
            assert_eq!((error.trouble(), error.reason()), (trouble, reason), "{error}");
            assert!(RECONNECT_REASONS.contains(&reason), "{reason}");
        }
    }
}
