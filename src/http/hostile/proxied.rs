//! What proxies say about who asks, and what clients write that looks like it.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::{AsyncRead, ReadBuf};
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use super::{config, header_lines, is_trusted, lines};
use crate::config::{Forwarded, Http};
use crate::http::client;
use crate::http::server::{BadHeader, Said, read_proxy_header};

const FORGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
/// The text form's bound, and the binary one's.
const HEADER_BYTES_MAX: [usize; 2] = [107, 16 + (16 << 10)];

static HTTP: LazyLock<[Http; 3]> = LazyLock::new(|| {
    [Forwarded::XForwardedFor, Forwarded::Standard, Forwarded::ProxyProtocol]
        .map(|forwarded| Http { forwarded, ..config().http })
});

/// Values of the header, one a line, as a client may have written them.
///
/// # Panics
///
/// Where the service breaks its word.
pub fn forwarded(input: &[u8]) {
    let [x_forwarded_for, standard, ahead] = &*HTTP;
    for (http, name, own) in [
        (x_forwarded_for, "x-forwarded-for", format!("{FORGER}")),
        (standard, "forwarded", format!("for={FORGER};proto=https")),
    ] {
        let line = |value: &[u8]| [name.as_bytes(), b": ", value].concat();
        let forged: Vec<_> = lines(input).map(line).collect();
        let headers = header_lines(forged.iter().map(Vec::as_slice));
        let seen = client::address(http, PROXY, &headers);
        // Nobody is believed who is no proxy of ours, and no header where it is none.
        assert_eq!(client::address(http, FORGER, &headers), FORGER);
        assert_eq!(client::address(ahead, PROXY, &headers), PROXY);
        // What our proxy adds on a line of its own is who asks, whatever stands before.
        let mut added = headers.clone();
        added.append(HeaderName::from_static(name), own.parse().expect("a value"));
        assert_eq!(client::address(http, PROXY, &added), FORGER, "{added:?}");
        // As it is where the proxy adds it to the last line; unless nobody can tell where that begins any more.
        if let Some(joined) = joined(&headers, name, &own) {
            let seen = client::address(http, PROXY, &joined);
            assert!(seen == FORGER || (http.forwarded == Forwarded::Standard && seen == PROXY), "{joined:?}");
        }
        if http.forwarded == Forwarded::XForwardedFor {
            assert_eq!(seen, walked(&headers), "{headers:?}");
        }
        // A proxy of ours that forwards for one of ours stands between, and changes nothing.
        let behind = added.clone();
        let mut behind_two = behind;
        let of_ours = if http.forwarded == Forwarded::Standard { "for=10.9.9.9" } else { "10.9.9.9" };
        behind_two.append(HeaderName::from_static(name), HeaderValue::from_static(of_ours));
        assert_eq!(client::address(http, PROXY, &behind_two), FORGER, "{behind_two:?}");
    }
}

/// The same headers with something appended to the last of them, as proxies do.
fn joined(headers: &HeaderMap, name: &'static str, own: &str) -> Option<HeaderMap> {
    let mut values: Vec<_> = headers.get_all(name).iter().cloned().collect();
    let last = values.pop()?;
    let last = HeaderValue::from_bytes(&[last.as_bytes(), b", ", own.as_bytes()].concat()).ok()?;
    let mut joined = HeaderMap::new();
    for value in values.into_iter().chain([last]) {
        joined.append(name, value);
    }
    Some(joined)
}

/// Who asks by the plain words of P68: from the right, past proxies of ours, to the first who is none, and never past what
/// is no address.
fn walked(headers: &HeaderMap) -> IpAddr {
    let mut hops = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        let text = String::from_utf8_lossy(value.as_bytes());
        hops.extend(text.split(',').map(str::trim).map(str::to_owned));
    }
    let mut seen = PROXY;
    // The nearest 32, of which the farthest is not looked at where there are more.
    let most = if hops.len() > 32 { 31 } else { 32 };
    for hop in hops.iter().rev().take(most) {
        let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
        let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
        let Some(address) = address.map(|address: IpAddr| address.to_canonical()) else { break };
        seen = address;
        if !is_trusted(address) {
            break;
        }
    }
    seen
}

/// Bytes of which no more than one is there at a time.
struct OneByOne<'b>(&'b [u8]);

impl AsyncRead for OneByOne<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first()
            && buf.remaining() > 0
        {
            buf.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

fn read(mut bytes: &[u8]) -> (Result<Said, &'static str>, usize) {
    let len = bytes.len();
    let read = read_proxy_header(&mut bytes).now_or_never().expect("a slice never waits");
    (read.map_err(|error| error.reason()), len - bytes.len())
}

/// What a connection of a trusted proxy begins with.
///
/// # Panics
///
/// Where the service breaks its word.
pub fn proxy_header(input: &[u8]) {
    let (said, len) = read(input);
    assert!(HEADER_BYTES_MAX.iter().any(|most| len <= *most), "{len} bytes read");
    let mut slow = OneByOne(input);
    let slowly = read_proxy_header(&mut slow).now_or_never().expect("it never waits");
    // What is no header is known by its first byte, or by some more of them that came along.
    match slowly.map_err(|error: BadHeader| error.reason()) {
        Err("missing") => assert_eq!(said, Err("missing")),
        slowly => assert_eq!((slowly, input.len() - slow.0.len()), (said, len)),
    }
    let header = &input[..len];
    match said {
        Ok(Said::Gone) => assert!(input.is_empty()),
        Ok(said) => {
            assert_eq!(read(header), (Ok(said), len), "what follows is nobody's business");
            assert_eq!(read(&header[..len - 1]), (Err("ended"), len - 1), "not one byte less");
            let is_text =
                header.starts_with(b"PROXY ") && header.ends_with(b"\r\n") && len <= HEADER_BYTES_MAX[0];
            assert!(is_text || header.starts_with(b"\r\n\r\n\0\r\nQUIT\n"), "{header:?}");
            if let Said::Client(source) = said {
                check_client(source, header, is_text);
            }
        }
        Err(_) => assert!(len > 0 || input.is_empty()),
    }
}

fn check_client(source: SocketAddr, header: &[u8], is_text: bool) {
    // Its address stands in it.
    if is_text {
        let text = std::str::from_utf8(header).expect("text");
        let words: Vec<&str> = text.split([' ', '\r']).collect();
        assert_eq!(words[2].parse(), Ok(source.ip()), "{text:?}");
    } else {
        let octets = match source.ip() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        assert!(header[16..].starts_with(&octets), "{source} in {header:?}");
    }
    let again = ProxyHeader::with_address(ProxiedAddress::stream(source, SocketAddr::new(source.ip(), 80)));
    let (mut text, mut binary) = (Vec::new(), Vec::new());
    again.encode_v1(&mut text).expect("TCP");
    again.encode_v2(&mut binary).expect("TCP");
    for header in [text, binary] {
        assert_eq!(read(&header), (Ok(Said::Client(source)), header.len()));
    }
}
