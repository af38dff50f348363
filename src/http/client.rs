//! Who a client is: its key or the subject of its token, else its address, seen through trusted proxies only.

mod forwarded;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use warp::http::{HeaderMap, HeaderName};

use crate::config::{self, Forwarded};

/// Whom limits are counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientId {
    /// Who showed no credential: an IPv4 address, or an IPv6 /64 with zeros behind it.
    Address(IpAddr),
    /// Who showed one.
    Credential {
        /// The key's id, or the token's subject.
        id: Arc<str>,
        /// The plan's name. A token of another plan counts for itself, so that taking turns with two of them refills
        /// nothing.
        plan: Arc<str>,
    },
}

impl ClientId {
    /// The client at an address.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64 with zeros behind it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        // One household or server has a whole /64 to choose from.
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// As logs name it: never a credential itself.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Credential { id, .. } => id.escape_debug().fmt(f),
        }
    }
}

/// The address that a request comes from: the peer's, or what a trusted proxy says about who asked it. What proxies say
/// is believed from the right, as far as they are ours: what stands further left anybody may have written (P68). Where they
/// say it ahead of the connection, `peer` is who they said, and no header is read.
pub fn address(http: &config::Http, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    let Some(header) = header(http.forwarded).filter(|_| is_trusted(&http.trusted_proxies, peer)) else {
        return peer;
    };
    let values = headers.get_all(header).into_iter();
    let values: Vec<&[u8]> = values.map(warp::http::HeaderValue::as_bytes).collect();
    let mut client = peer;
    for hop in forwarded::hops(http.forwarded, &values).iter().rev() {
        // A proxy of ours that writes what is no address is taken for the client itself.
        let Some(hop) = hop else { break };
        client = hop.to_canonical();
        if !is_trusted(&http.trusted_proxies, client) {
            break;
        }
    }
    client
}

/// Whether some proxy, ours or not, says that it forwards the request.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    let kinds = [Forwarded::XForwardedFor, Forwarded::Standard];
    kinds.into_iter().filter_map(header).any(|name| headers.contains_key(name))
}

/// Whether the peer has to say ahead of everything else on its connection who opened it.
pub fn speaks_ahead(http: &config::Http, peer: IpAddr) -> bool {
    http.forwarded == Forwarded::ProxyProtocol && is_trusted(&http.trusted_proxies, peer.to_canonical())
}

fn header(kind: Forwarded) -> Option<HeaderName> {
    match kind {
        Forwarded::XForwardedFor => Some(HeaderName::from_static("x-forwarded-for")),
        Forwarded::Standard => Some(HeaderName::from_static("forwarded")),
        Forwarded::ProxyProtocol => None,
    }
}

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn seen(forwarded: Forwarded, peer: &str, lines: &[(&str, &str)]) -> IpAddr {
        let trusted_proxies =
            vec!["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")];
        let http = config::Http { trusted_proxies, forwarded, ..config::Http::default() };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        address(&http, ip(peer), &headers)
    }

    #[test]
    fn p68_a_forwarded_address_counts_only_from_a_trusted_proxy_and_from_the_right() {
        let seen = |peer, lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            seen(Forwarded::XForwardedFor, peer, &lines)
        };
        let forged = &["9.9.9.9, 5.5.5.5"];
        assert_eq!(seen("8.8.8.8", forged), ip("8.8.8.8"));
        assert_eq!(seen("10.1.1.1", forged), ip("5.5.5.5"));
        assert_eq!(seen("10.1.1.1", &["9.9.9.9", " 5.5.5.5", "10.2.2.2"]), ip("5.5.5.5"));
        assert_eq!(seen("10.1.1.1", &["9.9.9.9, junk"]), ip("10.1.1.1"));
        assert_eq!(seen("10.1.1.1", &["10.3.3.3"]), ip("10.3.3.3"));
        assert_eq!(seen("10.1.1.1", &[]), ip("10.1.1.1"));
        assert_eq!(seen("::ffff:10.1.1.1", &["::ffff:8.8.8.8"]), ip("8.8.8.8"));
        assert_eq!(seen("fd00::1", &["[2001:db8::1]:4711"]), ip("2001:db8::1"));
    }

    #[test]
    fn p68_of_the_two_headers_only_the_one_that_our_proxies_write_is_read() {
        let both =
            &[("x-forwarded-for", "9.9.9.9"), ("forwarded", "for=5.5.5.5;proto=https, for=\"10.0.0.9:80\"")];
        assert_eq!(seen(Forwarded::XForwardedFor, "10.1.1.1", both), ip("9.9.9.9"));
        assert_eq!(seen(Forwarded::Standard, "10.1.1.1", both), ip("5.5.5.5"));
        assert_eq!(seen(Forwarded::Standard, "1.1.1.1", both), ip("1.1.1.1"));
        // Said ahead of the connection: then it stands in none of them.
        assert_eq!(seen(Forwarded::ProxyProtocol, "10.1.1.1", both), ip("10.1.1.1"));
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        assert_eq!(ClientId::address(ip("2001:db8:1:2:3:4:5:6")), ClientId::Address(ip("2001:db8:1:2::")));
        assert_eq!(ClientId::address(ip("::ffff:8.8.8.8")), ClientId::Address(ip("8.8.8.8")));
    }
}
