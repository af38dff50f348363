//! What a proxy says ahead of everything else on a connection: who opened it. The PROXY protocol, versions 1 and 2
//! (haproxy.org, doc/proxy-protocol.txt of HAProxy 2.6, read 2026-11-26). Whom to believe is not decided here.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";
/// Bytes in a header of version 1, its end included (section 2.1).
const TEXT_BYTES_MAX: usize = 107;
/// What version 2 begins with.
const BINARY: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2: that, the command, the family, the length of the rest.
const BINARY_HEAD: usize = 16;
/// Bytes behind the fixed part. Addresses take 36 of them, the rest is what else a proxy knows, such as a client's
/// certificate.
const BINARY_REST_MAX: usize = 16 << 10;
/// The command of a connection that the proxy opened for itself, to see whether we live.
const LOCAL: u8 = 0x20;
const PROXIED: u8 = 0x21;

/// Why a connection that has to begin with a header cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error("it does not begin with a PROXY header")]
    Missing,
    #[error("its PROXY header is malformed")]
    Malformed,
    #[error("its PROXY header is longer than one may be")]
    TooLong,
    #[error("its PROXY header did not come in time")]
    Slow,
    #[error("it ended within its PROXY header")]
    Ended(#[source] io::Error),
}

impl BadHeader {
    /// The word in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Slow => "slow",
            Self::Ended(_) => "ended",
        }
    }

    /// All words of [`reason`](Self::reason).
    pub(crate) const REASONS: [&'static str; 5] = ["missing", "malformed", "too_long", "slow", "ended"];
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Said {
    /// Who opened the connection to the proxy.
    Client(SocketAddr),
    /// Nothing: the proxy opened the connection for itself, or does not know (`LOCAL`, `UNKNOWN`, a Unix socket).
    Nobody,
    /// The connection ended before its first byte, as checks of health do.
    Gone,
}

/// Reads a header and not one byte more: what follows is the client's.
///
/// # Errors
///
/// [`BadHeader`]; but for its time, which is for the caller to measure.
pub(in crate::http) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Result<Said, BadHeader> {
    // No header is shorter than this.
    let mut begin = [0; BINARY.len()];
    let mut len = 0;
    while len < begin.len() {
        match socket.read(&mut begin[len..]).await.map_err(BadHeader::Ended)? {
            0 if len == 0 => return Ok(Said::Gone),
            0 => return Err(BadHeader::Ended(io::ErrorKind::UnexpectedEof.into())),
            more => len += more,
        }
        if !may_become_header(&begin[..len]) {
            return Err(BadHeader::Missing);
        }
    }
    if &begin == BINARY { read_binary(begin, socket).await } else { read_text(&begin, socket).await }
}

fn may_become_header(begin: &[u8]) -> bool {
    BINARY.starts_with(begin) || TEXT.starts_with(&begin[..begin.len().min(TEXT.len())])
}

async fn read_text(begin: &[u8], socket: &mut (impl AsyncRead + Unpin)) -> Result<Said, BadHeader> {
    let mut line = [0; TEXT_BYTES_MAX];
    let mut len = begin.len();
    line[..len].copy_from_slice(begin);
    while !line[..len].ends_with(b"\r\n") {
        let next = line.get_mut(len).ok_or(BadHeader::TooLong)?;
        // Byte by byte, since only its end says how long it is. It is one packet, and once a connection.
        *next = socket.read_u8().await.map_err(BadHeader::Ended)?;
        len += 1;
    }
    parse(&line[..len])
}

async fn read_binary(
    begin: [u8; BINARY.len()],
    socket: &mut (impl AsyncRead + Unpin),
) -> Result<Said, BadHeader> {
    let mut header = begin.to_vec();
    header.resize(BINARY_HEAD, 0);
    socket.read_exact(&mut header[begin.len()..]).await.map_err(BadHeader::Ended)?;
    let [command, family, high, low] = [12, 13, 14, 15].map(|at| header[at]);
    if !matches!(command, LOCAL | PROXIED) {
        return Err(BadHeader::Malformed);
    }
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > BINARY_REST_MAX {
        return Err(BadHeader::TooLong);
    }
    header.resize(BINARY_HEAD + rest, 0);
    socket.read_exact(&mut header[BINARY_HEAD..]).await.map_err(BadHeader::Ended)?;
    // Then the addresses are to be discarded, whatever they are; the crate wants them to be whole.
    if command == LOCAL || family >> 4 == 0 {
        return Ok(Said::Nobody);
    }
    parse(&header)
}

/// Understands a whole header.
fn parse(header: &[u8]) -> Result<Said, BadHeader> {
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    let (read, len) = ProxyHeader::parse(header, config).map_err(|_| BadHeader::Malformed)?;
    if len != header.len() {
        return Err(BadHeader::Malformed);
    }
    Ok(read.proxied_address().map_or(Said::Nobody, |address| Said::Client(address.source)))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    /// What a header at the start of these bytes says, and what is left behind it.
    fn said(mut bytes: &[u8]) -> (Result<Said, &'static str>, &[u8]) {
        let read = read(&mut bytes).now_or_never().expect("a slice never waits");
        (read.map_err(|error| error.reason()), bytes)
    }

    fn client(text: &str) -> Said {
        Said::Client(text.parse().expect("an address"))
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [BINARY.as_slice(), &[command, family], &len, rest].concat()
    }

    #[test]
    fn a_text_header_is_read_to_its_end_and_no_further() {
        for (header, wanted) in [
            ("PROXY TCP4 9.9.9.9 10.0.0.1 4711 80\r\n", Ok(client("9.9.9.9:4711"))),
            ("PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", Ok(client("[2001:db8::1]:4711"))),
            ("PROXY UNKNOWN\r\n", Ok(Said::Nobody)),
            ("PROXY UNKNOWN what ever it likes to say, with all of these words\r\n", Ok(Said::Nobody)),
            ("PROXY TCP4 9.9.9.9 10.0.0.1 4711\r\n", Err("malformed")),
            ("PROXY TCP4 9.9.9.999 10.0.0.1 4711 80\r\n", Err("malformed")),
            ("PROXY TCP4 2001:db8::1 ::1 4711 80\r\n", Err("malformed")),
            ("PROXY TCP4 9.9.9.9 10.0.0.1 4711 80 90\r\n", Err("malformed")),
            ("PROXY UDP4 9.9.9.9 10.0.0.1 4711 80\r\n", Err("malformed")),
            ("PROXY \r\nGET / HTTP/1.1\r\n", Err("malformed")),
        ] {
            let bytes = format!("{header}\r\nGET /");
            assert_eq!(said(bytes.as_bytes()), (wanted, b"\r\nGET /".as_slice()), "{header}");
        }
    }

    #[test]
    fn a_binary_header_is_read_to_its_end_and_no_further() {
        let v4 = [9, 9, 9, 9, 10, 0, 0, 1, 18, 103, 0, 80];
        let v6: Vec<u8> = [&[0x20, 1, 0xd, 0xb8], [0; 27].as_slice(), &[1, 18, 103, 0, 80]].concat();
        // A certificate, of whatever length, is passed over.
        let long = [v4.as_slice(), &[0x20, 0x10, 0], &[7; 0x1000]].concat();
        for (header, wanted) in [
            (binary(0x21, 0x11, &v4), Ok(client("9.9.9.9:4711"))),
            (binary(0x21, 0x11, &long), Ok(client("9.9.9.9:4711"))),
            (binary(0x21, 0x21, &v6), Ok(client("[2001:db8::]:4711"))),
            (binary(0x20, 0x11, &v4), Ok(Said::Nobody)),
            (binary(0x20, 0x00, &[]), Ok(Said::Nobody)),
            // Said by checks of some balancers: no addresses, and yet a family.
            (binary(0x20, 0x11, &[]), Ok(Said::Nobody)),
            (binary(0x21, 0x00, &[1, 2, 3]), Ok(Said::Nobody)),
            (binary(0x21, 0x31, &[0; 216]), Ok(Said::Nobody)),
            (binary(0x21, 0x11, &v4[1..]), Err("malformed")),
            (binary(0x21, 0x21, &v6[1..]), Err("malformed")),
            (binary(0x21, 0x41, &v4), Err("malformed")),
        ] {
            let bytes = [header.as_slice(), b"\x16\x03\x01"].concat();
            assert_eq!(said(&bytes), (wanted, b"\x16\x03\x01".as_slice()), "{header:?}");
        }
        assert_eq!(said(&binary(0x22, 0x11, &v4)).0, Err("malformed"), "another command");
        assert_eq!(said(&binary(0x11, 0x11, &v4)).0, Err("malformed"), "another version");
        let most = [v4.as_slice(), &vec![0; BINARY_REST_MAX - v4.len()]].concat();
        assert_eq!(said(&binary(0x21, 0x11, &most)).0, Ok(client("9.9.9.9:4711")));
        assert_eq!(said(&binary(0x21, 0x11, &[most.as_slice(), &[0]].concat())).0, Err("too_long"));
    }

    #[test]
    fn what_is_no_header_is_known_by_its_first_bytes() {
        for bytes in
            ["G", "GET / HTTP/1.1", "P ", "PROXYTCP4 1.1.1.1", "\r\n\r\nGET", "\x16\x03\x01", "proxy "]
        {
            assert_eq!(said(bytes.as_bytes()).0, Err("missing"), "{bytes:?}");
        }
        assert_eq!(said(b"").0, Ok(Said::Gone), "a check of health");
        for bytes in ["P", "PROXY TCP4", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]
        {
            assert_eq!(said(bytes.as_bytes()).0, Err("ended"), "{bytes:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(TEXT_BYTES_MAX - 16));
        assert_eq!((long.len(), said(long.as_bytes()).0), (TEXT_BYTES_MAX, Ok(Said::Nobody)));
        assert_eq!(said(format!("PROXY UNKNOWN x{}", &long[14..]).as_bytes()).0, Err("too_long"));
    }

    fn any_socket() -> impl Strategy<Value = SocketAddr> {
        let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
        prop_oneof![v4, any::<([u8; 16], u16)>().prop_map(SocketAddr::from)]
    }

    proptest! {
        #[test]
        fn whatever_a_proxy_says_is_read_back_and_what_follows_is_left(
            source in any_socket(), port: u16, rest in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let header = ProxyHeader::with_address(proxy_header::ProxiedAddress::stream(
                source,
                SocketAddr::new(source.ip(), port),
            ));
            let (mut text, mut binary) = (Vec::new(), Vec::new());
            header.encode_v1(&mut text).expect("TCP");
            header.encode_v2(&mut binary).expect("TCP");
            for header in [text, binary] {
                let bytes = [header, rest.clone()].concat();
                prop_assert_eq!(said(&bytes), (Ok(Said::Client(source)), rest.as_slice()));
            }
        }
    }
}
