//! From an address to an open WebSocket: TCP, through a proxy where there is one, TLS, the handshake. What a
//! refusal says (its status, when to come back) is kept for whoever decides about the next attempt.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_socks::tcp::Socks5Stream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::config::{Proxy, ProxyKind};

/// The whole way, name look-up to handshake.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Between two signs of life on the level of TCP, for connections whose other end vanished.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes of a proxy's answer.
const ANSWER_MAX: usize = 8 << 10;
/// Bytes read at once. A venue's burst fills it; a quiet connection holds it too, so it is not larger.
const READ_BUFFER: usize = 32 << 10;

/// What bytes flow over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open WebSocket.
pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// Where to connect.
#[derive(Clone, Debug)]
pub struct Target {
    /// `ws://` or `wss://`. It may hold a token: never printed whole.
    pub url: String,
    /// Bytes of one incoming frame.
    pub frame_bytes_max: usize,
    /// What to go through.
    pub proxy: Option<Proxy>,
}

/// Opens connections: the network, or what stands for it in a test.
pub trait Dial: Send + Sync {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// [`DialError`] where that fails or takes longer than 10 s.
    fn dial<'d>(&'d self, target: &'d Target) -> Dialled<'d>;
}

/// A connection that is being opened.
pub type Dialled<'d> = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send + 'd>>;

/// Why no connection was opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is none. The config checks it, so this is a venue file's mistake.
    #[error("the address is not one of a WebSocket")]
    Address,
    /// The name is unknown, or nobody listens.
    #[error("could not reach {host}:{port}")]
    Tcp {
        /// Whose: the venue's, or the proxy's.
        host: String,
        /// Which port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The proxy did not let us through.
    #[error("the proxy {proxy} did not connect us")]
    Proxy {
        /// Which, without its password.
        proxy: String,
        /// What it said.
        source: io::Error,
    },
    /// No encrypted connection could be agreed on.
    #[error("no TLS with {host}")]
    Tls {
        /// With whom.
        host: String,
        /// What was wrong.
        source: io::Error,
    },
    /// The venue answered, and not with a WebSocket.
    #[error("the venue answered {status}")]
    Status {
        /// With what.
        status: u16,
        /// When to come back, if it says.
        retry_after: Option<Duration>,
    },
    /// The handshake broke off.
    #[error("the handshake failed")]
    Handshake(#[source] Box<SocketError>),
    /// It took too long.
    #[error("not connected within {} s", CONNECT_MAX.as_secs())]
    Timeout,
}

/// The network.
#[derive(Clone)]
pub struct Network {
    tls: TlsConnector,
}

impl Network {
    /// A dialler that trusts Mozilla's list of authorities, built into the program.
    pub fn new() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    fn trusting(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("ring speaks TLS 1.2 and 1.3").with_root_certificates(roots);
        Self { tls: TlsConnector::from(Arc::new(config.with_no_client_auth())) }
    }

    async fn open(&self, target: &Target) -> Result<Socket, DialError> {
        let address = Address::of(&target.url).ok_or(DialError::Address)?;
        let stream = match &target.proxy {
            None => tcp(&address.host, address.port).await?,
            Some(proxy) => through(proxy, &address).await?,
        };
        let stream: Box<dyn Stream> = if address.is_tls {
            let host = address.host.clone();
            let name = ServerName::try_from(address.host).map_err(|_| DialError::Address)?;
            let stream = self.tls.connect(name, stream).await;
            Box::new(stream.map_err(|source| DialError::Tls { host, source })?)
        } else {
            Box::new(stream)
        };
        handshake(target, stream).await
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Dial for Network {
    fn dial<'d>(&'d self, target: &'d Target) -> Dialled<'d> {
        Box::pin(
            async move { timeout(CONNECT_MAX, self.open(target)).await.unwrap_or(Err(DialError::Timeout)) },
        )
    }
}

/// The limits of a socket: one frame is one message, and neither is larger than the venue's.
pub(super) fn limits(frame_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_frame_size(Some(frame_bytes_max))
        .max_message_size(Some(frame_bytes_max))
}

struct Address {
    host: String,
    port: u16,
    is_tls: bool,
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "wss" => true,
            "ws" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Some(Self { host, port, is_tls })
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let connect = async {
        let stream = TcpStream::connect((host, port)).await?;
        // A subscription must not wait for the next frame to fill a packet with.
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(stream)
    };
    connect.await.map_err(|source| DialError::Tcp { host: host.to_owned(), port, source })
}

/// A connection to the address through a proxy, which looks the name up.
async fn through(proxy: &Proxy, address: &Address) -> Result<TcpStream, DialError> {
    let mut stream = tcp(&proxy.host, proxy.port).await?;
    let target = (address.host.as_str(), address.port);
    let result = match (proxy.kind, &proxy.user) {
        (ProxyKind::Http, _) => connect(&mut stream, proxy, address).await.map(|()| stream),
        (ProxyKind::Socks5, None) => Socks5Stream::connect_with_socket(stream, target)
            .await
            .map(Socks5Stream::into_inner)
            .map_err(other),
        (ProxyKind::Socks5, Some((user, password))) => {
            let connected =
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await;
            connected.map(Socks5Stream::into_inner).map_err(other)
        }
    };
    result.map_err(|source| DialError::Proxy { proxy: proxy.to_string(), source })
}

fn other(error: tokio_socks::Error) -> io::Error {
    io::Error::other(error)
}

/// Asks an HTTP proxy for a tunnel.
async fn connect(stream: &mut TcpStream, proxy: &Proxy, address: &Address) -> io::Result<()> {
    use base64::Engine as _;
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let mut user = String::new();
    if let Some((name, password)) = &proxy.user {
        let pass = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        user = format!("Proxy-Authorization: Basic {pass}\r\n");
    }
    let request = format!("CONNECT {host}:{0} HTTP/1.1\r\nHost: {host}:{0}\r\n{user}\r\n", address.port);
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte: what comes after the answer is the venue's.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_MAX {
            return Err(io::Error::other("its answer has no end"));
        }
        answer.push(stream.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    match line.split_ascii_whitespace().nth(1) {
        Some(status) if status.starts_with('2') && line.starts_with("HTTP/1.") => Ok(()),
        _ => Err(io::Error::other(format!("it answered `{}`", line.escape_debug()))),
    }
}

async fn handshake(target: &Target, stream: Box<dyn Stream>) -> Result<Socket, DialError> {
    let mut request = target.url.as_str().into_client_request().map_err(|_| DialError::Address)?;
    // Some venues' outposts refuse who has no name.
    let name = HeaderValue::from_static(concat!("tickcast/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(USER_AGENT, name);
    let limits = limits(target.frame_bytes_max);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(SocketError::Http(response)) => Err(refusal(response.status(), &response)),
        Err(error) => Err(DialError::Handshake(Box::new(error))),
    }
}

fn refusal(status: StatusCode, response: &Response) -> DialError {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|text| wait_of(text, crate::clock::system()));
    DialError::Status { status: status.as_u16(), retry_after }
}

/// `Retry-After`: seconds, or a date.
fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

/// A socket without a network, for tests: the handshake is taken as done.
#[cfg(test)]
pub(super) async fn over(stream: impl Stream + 'static, frame_bytes_max: usize) -> Socket {
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    WebSocketStream::from_raw_socket(Box::new(stream) as Box<dyn Stream>, role, Some(limits(frame_bytes_max)))
        .await
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use futures_util::{SinkExt, StreamExt};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;

    #[tokio::test]
    async fn m98_m100_an_encrypted_socket_names_its_host_and_trusts_no_stranger() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let server =
            server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
        let target = Target { url, frame_bytes_max: 1000, proxy: None };
        let venue = async {
            let mut names = Vec::new();
            while names.is_empty() {
                let (stream, _) = listener.accept().await.unwrap();
                // The stranger breaks off within the handshake.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                names.extend(stream.get_ref().1.server_name().map(str::to_owned));
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                socket.send(Message::text("hello")).await.unwrap();
                socket.send(Message::text("x".repeat(1001))).await.unwrap();
            }
            names
        };
        let us = async {
            let stranger = Network::new().dial(&target).await.err().unwrap();
            assert!(matches!(&stranger, DialError::Tls { host, .. } if host == "localhost"), "{stranger:?}");
            let mut socket = Network::trusting(roots).dial(&target).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
            let too_long = socket.next().await.unwrap().unwrap_err();
            assert!(matches!(too_long, SocketError::Capacity(_)), "{too_long:?}");
        };
        let (names, ()) = tokio::join!(venue, us);
        assert_eq!(names, ["localhost"]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        assert_eq!(wait_of(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait_of("Sun, 06 Nov 1994 08:40:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait_of("soon", now), None);
    }

    #[test]
    fn an_address_names_host_port_and_whether_it_is_encrypted() {
        let address = |url| Address::of(url).map(|address| (address.host, address.port, address.is_tls));
        assert_eq!(address("wss://feed.example/ws?x=1"), Some(("feed.example".to_owned(), 443, true)));
        assert_eq!(address("ws://[::1]:9001"), Some(("::1".to_owned(), 9001, false)));
        assert_eq!(address("http://feed.example"), None);
        assert_eq!(address("wss://"), None);
    }
}
