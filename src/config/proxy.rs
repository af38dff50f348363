//! What connections to venues go through: an HTTP proxy that tunnels, or a SOCKS5 one. From the config, or from
//! the variables that most programs go by.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::mistake::{Mistakes, Place};
use super::parse::text;
use super::section::Parsed;
use super::tree::Node;

/// The variables that name a proxy, the first that is set counts.
const VARIABLES: [&str; 4] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"];
/// The variables that list hosts to be reached without one.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its language.
    pub kind: ProxyKind,
    /// Where it is.
    pub host: String,
    /// Where it is.
    pub port: u16,
    /// User and password, where it wants them.
    pub user: Option<(String, String)>,
}

/// How a proxy is asked for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// By `CONNECT`.
    Http,
    /// By SOCKS version 5; it looks up names.
    Socks5,
}

/// What a feed's `proxy` key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Direct,
    Through(Proxy),
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// A feed's own choice. The text is never repeated in a mistake: it may hold a password.
pub(super) fn choice(node: &Node) -> Parsed<Choice> {
    match text(node)? {
        "none" => Ok(Choice::Direct),
        text => of(text).map(Choice::Through),
    }
}

fn of(text: &str) -> Parsed<Proxy> {
    let what =
        "no proxy: http://host:port, socks5://host:port, or none; a user as user:password@ before the host";
    let wrong = || what.to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let kind = match scheme {
        "http" => ProxyKind::Http,
        "socks5" | "socks5h" => ProxyKind::Socks5,
        _ => return Err(wrong()),
    };
    let (user, place) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((user, place)) => (Some(user), place),
    };
    let place = place.trim_end_matches('/');
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (place, if kind == ProxyKind::Http { 80 } else { 1080 }),
    };
    let host = host.trim_matches(['[', ']']);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) || port == 0 {
        return Err(wrong());
    }
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let user = user.map(|user| user.split_once(':').unwrap_or((user, "")));
    let user = user.map(|(user, password)| (decoded(user), decoded(password)));
    Ok(Proxy { kind, host: host.to_owned(), port, user })
}

/// What the environment says for addresses without a choice of their own.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    proxy: Option<Proxy>,
    exceptions: Vec<String>,
}

impl Surroundings {
    /// Reads the variables; a setting that is no proxy is a mistake.
    pub(super) fn of(env: &HashMap<String, String>, mistakes: &mut Mistakes) -> Self {
        let is_set = |name: &&str| env.get(*name).is_some_and(|text| !text.is_empty());
        let variable = VARIABLES.iter().find(|name| is_set(name));
        let proxy = variable.and_then(|name| match of(&env[*name]) {
            Ok(proxy) => Some(proxy),
            Err(problem) => {
                mistakes.add(&Place::Variable((*name).to_owned()), "", problem);
                None
            }
        });
        let exceptions = EXCEPTIONS.iter().find_map(|name| env.get(*name)).map(String::as_str);
        let exceptions = exceptions.unwrap_or_default().split(',').map(|part| part.trim().to_lowercase());
        Self { proxy, exceptions: exceptions.filter(|part| !part.is_empty()).collect() }
    }

    /// The proxy for this address. None for this machine's own.
    pub(super) fn proxy_for(&self, url: &str) -> Option<Proxy> {
        let proxy = self.proxy.as_ref()?;
        let place = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let host = match place.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?,
            None => place.split(':').next()?,
        };
        let host = host.to_lowercase();
        let is_own = host == "localhost" || host == "::1" || host.starts_with("127.");
        let is_excepted = self.exceptions.iter().any(|except| {
            let except = except.trim_start_matches("*.").trim_start_matches('.');
            let parent = host.strip_suffix(except).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            except == "*" || parent
        });
        (!is_own && !is_excepted).then(|| proxy.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m99_a_proxy_is_read_whole_or_refused_and_its_password_never_shown() {
        let proxy = of("http://me:p%40ss@proxy.example:3128").unwrap();
        assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (ProxyKind::Http, "proxy.example", 3128));
        assert_eq!(proxy.user, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!(format!("{proxy} {proxy:?}").matches("ss@").count(), 0);
        let socks = of("socks5h://[::1]").unwrap();
        assert_eq!((socks.kind, socks.host.as_str(), socks.port), (ProxyKind::Socks5, "::1", 1080));
        for bad in [
            "",
            "proxy:3128",
            "ftp://p:1",
            "http://",
            "http://p:0",
            "http://p:x",
            "https://p:1",
            "http://a b",
        ] {
            let problem = of(bad).unwrap_err();
            assert!(problem.starts_with("no proxy: "), "{bad}: {problem}");
        }
    }

    #[test]
    fn the_environment_names_a_proxy_and_who_is_reached_without() {
        let env = |list: &[(&str, &str)]| -> HashMap<String, String> {
            list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let mut mistakes = Mistakes::new("test.toml");
        let list = env(&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "kraken.com, .local")]);
        let around = Surroundings::of(&list, &mut mistakes);
        let is_through = |url| around.proxy_for(url).is_some();
        assert!(is_through("wss://ws-feed.exchange.coinbase.com") && is_through("wss://notkraken.com"));
        assert!(!is_through("wss://ws.kraken.com/v2") && !is_through("ws://feed.local:9000"));
        assert!(!is_through("ws://127.0.0.1:9000") && !is_through("ws://[::1]:9000/x"));
        assert_eq!(mistakes.count(), 0);
        let none = Surroundings::of(&env(&[("ALL_PROXY", "what?")]), &mut mistakes);
        assert!(none.proxy.is_none());
        assert_eq!(mistakes.count(), 1);
    }
}
