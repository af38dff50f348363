//! One stream of the service and what it says, for as long as somebody listens. It comes back by itself, with its last id.

use std::fmt;
use std::time::Duration;

use eventsource_client::{Client as _, ClientBuilder, Error, Event, ReconnectOptions, SSE};
use futures_util::{StreamExt as _, TryStreamExt as _};
use launchdarkly_sdk_transport::{ByteStream, HyperTransport};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Options, WatchError};

/// The service is silent for 15 s at most: after so long the line is dead.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// Until the service tells a time of its own.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Of an answer that is no stream, so much is read for its reason.
const REASON_MAX: usize = 64 << 10;
const FIELDS: &str = "symbol,price,bid,ask,spread,change,change_pct,venue,status,time";

/// What to show the service. It is never printed.
#[derive(Clone)]
pub struct Key(pub String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One symbol's state, as the service says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Price {
    /// The catalogue's name.
    pub symbol: String,
    /// `None`: there is none yet.
    pub price: Option<String>,
    /// The best bid.
    pub bid: Option<String>,
    /// The best offer.
    pub ask: Option<String>,
    /// Between them.
    pub spread: Option<String>,
    /// Against the last close, or a day ago.
    pub change: Option<String>,
    /// The same, in percent.
    pub change_pct: Option<String>,
    /// Who made the price.
    #[serde(default)]
    pub venue: Option<String>,
    /// `live`, `degraded`, `stale`, `closed` or `halted`.
    pub status: String,
    /// Milliseconds since the epoch.
    pub time: Option<i64>,
}

/// What a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is open. Some names may mean nothing to the service, each with a near miss where there is one.
    Open {
        /// Whether it goes on where the last one ended.
        resumed: bool,
        /// What to tell about the names.
        rejected: Vec<String>,
    },
    /// A symbol's newest.
    Price(Box<Price>),
    /// Something that a person should know.
    Notice(String),
    /// It ended, and comes back.
    Lost(String),
    /// It will not be given to us.
    Refused(String),
}

/// Whether it is an address that a stream can be asked from.
pub(super) fn check(url: &str) -> Result<(), WatchError> {
    let bad = |problem: String| WatchError::Url { url: url.to_owned(), problem };
    let uri: warp::http::Uri =
        url.parse().map_err(|error: warp::http::uri::InvalidUri| bad(error.to_string()))?;
    match (uri.scheme_str(), uri.host(), uri.query()) {
        (Some("http" | "https"), Some(_), None) => Ok(()),
        (Some("http" | "https"), Some(_), Some(_)) => Err(bad("it has a query".to_owned())),
        _ => Err(bad("it has no `http://` or `https://` and host".to_owned())),
    }
}

fn address(options: &Options) -> String {
    let symbols: Vec<String> =
        options.symbols.iter().map(|name| utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()).collect();
    format!(
        "{}/prices?symbols={}&fields={FIELDS}&throttle={}",
        options.url.trim_end_matches('/'),
        symbols.join(","),
        options.throttle.as_millis()
    )
}

/// Follows the options' symbols until nobody listens, or it is refused for good.
pub(super) async fn follow(options: Options, news: mpsc::Sender<News>) {
    if let Err(error) = try_follow(&options, &news).await {
        let _ = news.send(News::Refused(error.to_string())).await;
    }
}

async fn try_follow(
    options: &Options,
    news: &mpsc::Sender<News>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let transport = HyperTransport::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE_MAX)
        .build_https()?;
    let reconnect = ReconnectOptions::reconnect(true).retry_initial(true).delay(RETRY).delay_max(RETRY_MAX);
    let mut client = ClientBuilder::for_url(&address(options))?.reconnect(reconnect.build());
    if let Some(Key(key)) = &options.key {
        client = client.header("X-API-Key", key)?;
    }
    let client = client.build_with_transport(transport);
    let mut stream = client.stream();
    while let Some(next) = stream.next().await {
        let heard = match next {
            Ok(SSE::Event(event)) => read(&event),
            Ok(SSE::Connected(_) | SSE::Comment(_)) => None,
            Err(Error::UnexpectedResponse(answer, body)) => {
                let told = reason(answer.status(), body.into_stream()).await;
                let is_final = matches!(answer.status(), 400..=428 | 430..=499);
                Some(if is_final { News::Refused(told) } else { News::Lost(told) })
            }
            Err(Error::Eof | Error::UnexpectedEof) => Some(News::Lost("the stream ended".to_owned())),
            Err(error) => Some(News::Lost(error.to_string())),
        };
        let Some(heard) = heard else { continue };
        let is_last = matches!(heard, News::Refused(_));
        if news.send(heard).await.is_err() || is_last {
            break;
        }
    }
    Ok(())
}

/// What one event says.
fn read(event: &Event) -> Option<News> {
    let data: Value = serde_json::from_str(&event.data).ok()?;
    match event.event_type.as_str() {
        "message" => serde_json::from_value(data).ok().map(|price| News::Price(Box::new(price))),
        "hello" => {
            let rejected = data["rejected"].as_array().into_iter().flatten().map(rejection).collect();
            Some(News::Open { resumed: data["resumed"] == true, rejected })
        }
        "notice" => Some(News::Notice(notice(&data))),
        "bye" => Some(News::Lost(format!("the service says good-bye: {}", text(&data["reason"])))),
        "fault" => Some(News::Lost(format!("not now: {}", text(&data["code"])))),
        _ => None,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A name that means nothing to the service.
fn rejection(rejected: &Value) -> String {
    let (symbol, code) = (text(&rejected["symbol"]), text(&rejected["code"]));
    match rejected["suggestions"][0].as_str() {
        Some(near) => format!("{symbol}: {code}, did you mean {near}?"),
        None => format!("{symbol}: {code}"),
    }
}

fn notice(data: &Value) -> String {
    let code = text(&data["code"]);
    let names = |list: &Value| match list {
        Value::Object(map) => map.keys().cloned().collect::<Vec<_>>().join(" "),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    match code {
        "symbols" => {
            let (added, removed) = (names(&data["added"]), names(&data["removed"]));
            let told = [("new: ", added), ("gone: ", removed)];
            let told = told.iter().filter(|(_, names)| !names.is_empty());
            told.map(|(what, names)| format!("{what}{names}")).collect::<Vec<_>>().join("; ")
        }
        "messages_per_second" => "the service slows this stream down".to_owned(),
        "credential_expiring" => "the key expires soon".to_owned(),
        other => other.to_owned(),
    }
}

/// What a problem document says, or the bare status.
async fn reason(status: u16, mut body: ByteStream) -> String {
    let mut read = Vec::new();
    while let Ok(Some(piece)) = body.try_next().await {
        read.extend_from_slice(&piece);
        if read.len() > REASON_MAX {
            break;
        }
    }
    let problem: Option<Value> = serde_json::from_slice(&read).ok();
    match problem.as_ref().and_then(|problem| problem["detail"].as_str()) {
        Some(detail) => format!("{status}: {detail}"),
        None => format!("the service answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(kind: &str, data: &str) -> Option<News> {
        read(&Event { event_type: kind.to_owned(), data: data.to_owned(), id: None, retry: None })
    }

    #[test]
    fn events_become_news_for_people() {
        let hello =
            r#"{"resumed":true,"rejected":[{"symbol":"BTX","code":"unknown_symbol","suggestions":["BTC"]}]}"#;
        let rejected = vec!["BTX: unknown_symbol, did you mean BTC?".to_owned()];
        assert_eq!(heard("hello", hello), Some(News::Open { resumed: true, rejected }));
        let told = |kind, data| match heard(kind, data) {
            Some(News::Notice(text) | News::Lost(text)) => text,
            other => format!("{other:?}"),
        };
        let symbols = r#"{"code":"symbols","added":{"sol":"SOL"},"removed":["ETH","BTC"]}"#;
        assert_eq!(told("notice", symbols), "new: sol; gone: ETH BTC");
        assert_eq!(told("bye", r#"{"reason":"draining"}"#), "the service says good-bye: draining");
        assert_eq!(told("fault", r#"{"code":"rate_limited"}"#), "not now: rate_limited");
        assert_eq!(heard("hb", r#"{"time":1}"#), None);
        assert_eq!(heard("message", "no JSON"), None);
        let Some(News::Price(price)) = heard(
            "message",
            r#"{"symbol":"BTC","price":null,"bid":"1","ask":null,"spread":null,"change":null,"change_pct":null,"status":"stale","time":7}"#,
        ) else {
            panic!("a price")
        };
        assert_eq!((price.price, price.bid.as_deref(), price.time), (None, Some("1"), Some(7)));
    }

    #[test]
    fn only_an_address_of_a_service_is_one() {
        for good in ["http://127.0.0.1:8080", "https://prices.example/", "http://[::1]:80/behind/a/path"] {
            check(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in ["", "127.0.0.1:8080", "ftp://x", "http://", "http://x/?symbols=BTC", "http://a b"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let options = Options {
            symbols: vec!["BTC".to_owned(), "a&b=c".to_owned()],
            url: "http://x/p/".to_owned(),
            throttle: Duration::from_millis(250),
            key: Some(Key("secret".to_owned())),
        };
        assert!(address(&options).starts_with("http://x/p/prices?symbols=BTC,a%26b%3Dc&fields="));
        assert!(address(&options).ends_with("&throttle=250"));
        assert!(!format!("{options:?}").contains("secret"));
    }
}
