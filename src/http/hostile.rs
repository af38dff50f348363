//! What must hold of whatever a client or a proxy sends, as functions of its bytes that panic where it does not. The fuzzer
//! runs them (`fuzz/`), and the tests run them on what it has found; the service itself does not have them.

mod asked;
mod proxied;
mod shown;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tickcast_feeds::Venue;
use tokio_util::sync::CancellationToken;
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use super::State;
use super::auth::{Auth, hash};
use super::cors::Cors;
use super::limits::Limits;
use crate::catalogue::Catalogue;
use crate::config::{self, ApiKey, AuthMode, Config, KeysFile};
use crate::fanout::{Bells, Fanout};
use crate::http::sse::Epoch;
use crate::ingest::Board;
use crate::latest::Latest;
use crate::metrics::Metrics;

pub use asked::{body, cursor, query};
pub use proxied::{forwarded, proxy_header};
pub use shown::headers;

/// A few symbols with all kinds of names. No limit is in the way, but for those on what one request may ask.
const CONFIG: &str = r#"
[feeds.sim]
[[instrument]]
symbol = "BTC"
class = "crypto"
base = "BTC"
aliases = ["XBT"]
sources = ["sim:BTC-USD"]
[[instrument]]
symbol = "ETH"
class = "crypto"
base = "ETH"
sources = ["sim:ETH-USD"]
[[instrument]]
symbol = "AAPL"
class = "stock"
sources = ["sim:AAPL"]
[stream]
symbols_max = 8
[limits]
streams_per_client = 4_000_000_000
opens_per_minute = 4_000_000_000
bad_credentials_per_minute = 4_000_000_000
streams_total = 4_000_000_000
[http]
trusted_proxies = ["10.0.0.0/8", "fd00::/8"]
cors_origins = ["https://a.example"]
"#;
/// The one good key.
const KEY: &str = "tick_opensesame";
const COOKIE: &str = "session";
/// Of the server's run.
const EPOCH: u32 = 0x7f3a;

fn config() -> Config {
    config::load(CONFIG, "hostile.toml", std::iter::empty()).expect("it is right")
}

/// Asks for no credential.
fn open() -> State {
    state(config())
}

/// Wants the key, wherever one may stand.
fn guarded() -> State {
    let mut config = config();
    let key = ApiKey { id: "ann".to_owned(), hash: hash(KEY), plan: None, expires: None };
    config.auth.mode = AuthMode::Keys(KeysFile { path: PathBuf::new(), keys: vec![key] });
    config.auth.cookie = Some(COOKIE.to_owned());
    config.auth.query = true;
    state(config)
}

fn state(config: Config) -> State {
    let metrics = Arc::new(Metrics::default());
    let catalogue = Arc::new(Catalogue::new(config.instruments.clone()));
    let bells = Arc::new(Bells::default());
    let silence = std::time::Duration::from_secs(60);
    let latest = Latest::new(Arc::clone(&catalogue), &[(Venue::Sim, silence)], Arc::clone(&bells));
    State {
        fanout: Fanout::new(latest, bells, Arc::clone(&metrics), Epoch(EPOCH)),
        board: Board::new(Arc::clone(&metrics)),
        auth: Arc::new(Auth::new(&config)),
        limits: Arc::new(Limits::new(config.limits)),
        metrics,
        cors: Arc::new(Cors::new(&config.http.cors_origins)),
        stream: Arc::new(config.stream),
        http: Arc::new(config.http),
        closing: CancellationToken::new(),
    }
}

/// The headers of some lines, `name: value`; what is none is passed over.
fn header_lines<'l>(lines: impl Iterator<Item = &'l [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn lines(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.split(|&byte| byte == b'\n')
}

fn is_trusted(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.octets()[0] == 0xfd,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    type Check = fn(&[u8]);

    const ALL: [(&str, Check); 6] = [
        ("query", query),
        ("body", body),
        ("cursor", cursor),
        ("headers", headers),
        ("forwarded", forwarded),
        ("proxy_header", proxy_header),
    ];

    #[test]
    fn what_the_fuzzer_starts_from_and_what_it_has_found_is_taken_well() {
        for (name, check) in ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
            let files: Vec<_> = fs::read_dir(&folder).expect("a folder").collect();
            assert!(files.len() > 5, "{}", folder.display());
            for file in files {
                check(&fs::read(file.expect("a file").path()).expect("readable"));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_well(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            ALL.iter().for_each(|(_, check)| check(&bytes));
        }

        #[test]
        fn any_line_of_text_is_taken_well(text in "[ -~\n]{0,100}") {
            ALL.iter().for_each(|(_, check)| check(text.as_bytes()));
        }
    }
}
