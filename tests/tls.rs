//! TLS and HTTP/2 through the door a client takes, with clients that we did not write: rustls and h2.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by a panic and ends with its tasks"
)]

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use support::{App, Client, Node, config, soon};
use tickcast::app::Drive;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use warp::http::{Method, Request, Response};

/// A certificate for `localhost` in files that are gone with the test.
struct Certificate {
    folder: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tickcast-{}-tls-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut certificate = Self { folder, der: CertificateDer::from(Vec::new()) };
        certificate.renew();
        certificate
    }

    /// Another certificate with another key in the same files.
    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(self.folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(self.folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        self.der = made.cert.der().clone();
    }

    /// The table `[http]` with it, and more keys.
    fn http(&self, more: &str) -> String {
        let folder = self.folder.display();
        format!("[http]\ntls_cert = \"{folder}/cert.pem\"\ntls_key = \"{folder}/key.pem\"\n{more}\n")
    }

    /// A handshake by who trusts this certificate alone.
    async fn try_connect(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.try_over(TcpStream::connect(address).await?, protocols).await
    }

    /// The same on a connection that is open.
    async fn try_over(&self, socket: TcpStream, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
    }

    async fn connect(&self, address: SocketAddr, protocols: &[&str]) -> TlsStream<TcpStream> {
        self.try_connect(address, protocols).await.unwrap()
    }

    /// An HTTP/2 connection whose streams each have so much window.
    async fn http2(&self, address: SocketAddr, window: u32) -> Http2 {
        let socket = self.connect(address, &["h2", "http/1.1"]).await;
        self.http2_over(socket, window).await
    }

    async fn http2_over(&self, socket: TlsStream<TcpStream>, window: u32) -> Http2 {
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut builder = h2::client::Builder::new();
        // The connection's window is not what these tests are about.
        builder.initial_window_size(window).initial_connection_window_size(16 << 20);
        let (requests, connection) = soon("a preface", builder.handshake::<_, Bytes>(socket)).await.unwrap();
        Http2 { requests, connection: tokio::spawn(connection) }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// One HTTP/2 connection.
struct Http2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    async fn send(&mut self, request: Request<()>) -> Response<RecvStream> {
        let mut requests = soon("room for a stream", self.requests.clone().ready()).await.unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        soon("a head", response).await.unwrap()
    }

    async fn get(&mut self, path: &str) -> Response<RecvStream> {
        self.send(Request::get(format!("https://localhost{path}")).body(()).unwrap()).await
    }

    async fn stream(&mut self, query: &str) -> Stream {
        let response = self.get(&format!("/prices?{query}")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Stream { body: response.into_body(), text: String::new() }
    }
}

/// An open stream on it.
struct Stream {
    body: RecvStream,
    text: String,
}

impl Stream {
    /// Reads on, giving the window back; `false` at the end.
    async fn more(&mut self) -> bool {
        let Some(bytes) = soon("bytes", self.body.data()).await else { return false };
        let bytes = bytes.unwrap();
        self.body.flow_control().release_capacity(bytes.len()).unwrap();
        self.text += std::str::from_utf8(&bytes).unwrap();
        true
    }

    /// Takes everything up to and with `mark`.
    async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = self.text.find(mark) {
                return self.text.drain(..at + mark.len()).collect();
            }
            assert!(self.more().await, "ended before {mark:?}: {:?}", self.text);
        }
    }

    async fn rest(mut self) -> String {
        while self.more().await {}
        self.text
    }
}

#[tokio::test]
async fn a_price_stream_over_tls_is_the_same_on_http_1_1_and_http_2() {
    let certificate = Certificate::new("same");
    let mut node = Node::start(&certificate.http("")).await;
    node.trade("BTC-USD", "67012.30");
    let query = "symbols=BTC&fields=price&throttle=0";

    let mut first = certificate.connect(node.address, &["http/1.1"]).await;
    first
        .write_all(format!("GET /prices?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = Vec::new();
    let snapshot = r#"data: {"symbol":"BTC","price":"67012.30"}"#;
    while !String::from_utf8_lossy(&text).contains(snapshot) {
        assert!(soon("bytes", first.read_buf(&mut text)).await.unwrap() > 0, "ended");
    }
    assert!(String::from_utf8_lossy(&text).starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream"));

    let mut http2 = certificate.http2(node.address, 65_535).await;
    let mut second = http2.stream(query).await;
    assert!(second.until(snapshot).await.starts_with("retry: "));

    node.trade("BTC-USD", "67012.31");
    let next = r#"data: {"symbol":"BTC","price":"67012.31"}"#;
    second.until(next).await;
    while !String::from_utf8_lossy(&text).contains(next) {
        assert!(soon("bytes", first.read_buf(&mut text)).await.unwrap() > 0, "ended");
    }

    let live = http2.get("/health/live").await;
    assert_eq!((live.status().as_u16(), live.headers()["content-length"].as_bytes()), (200, &b"17"[..]));
    assert_eq!(Stream { body: live.into_body(), text: String::new() }.rest().await, r#"{"status":"live"}"#);
    let head = Request::builder().method(Method::HEAD).uri(format!("https://localhost/prices?{query}"));
    let head = http2.send(head.body(()).unwrap()).await;
    assert!(head.status() == 200 && head.into_body().is_end_stream(), "no stream is opened for a probe");
    assert_eq!(node.metrics.streams_open.get(), 2);
    drop((first, second, http2));
    soon("both gone", async {
        while node.metrics.streams_open.get() > 0 || node.metrics.connections_open.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn http_2_is_spoken_where_tls_agreed_on_it_and_nowhere_else() {
    let certificate = Certificate::new("alpn");
    let secure = Node::start(&certificate.http("")).await;
    for (offered, spoken) in
        [(&[][..], None), (&["http/1.1"], Some("http/1.1")), (&["http/1.1", "h2"], Some("h2"))]
    {
        let socket = certificate.connect(secure.address, offered).await;
        assert_eq!(socket.get_ref().1.alpn_protocol(), spoken.map(str::as_bytes));
    }
    assert!(certificate.try_connect(secure.address, &["spdy/3"]).await.is_err());
    let plain = Node::start("").await;
    let mut client = plain.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(client.ended().await, "no h2c: the preface is no request");
}

#[tokio::test]
async fn handshakes_that_hang_hold_up_nobody() {
    let certificate = Certificate::new("hang");
    let node = Node::start(&certificate.http("")).await;
    let mut hanging = Vec::new();
    for _ in 0..50 {
        hanging.push(Client::connect(node.address).await);
    }
    hanging[0].send("GET / HTTP/1.1\r\n\r\n").await;
    certificate.http2(node.address, 65_535).await.stream("symbols=BTC").await.until("event: hello").await;
}

/// 200 streams on one connection, 50 of which the client gives no window once the first 4 KiB are used up.
#[tokio::test]
async fn p19_p56_streams_without_window_hold_up_no_other_on_their_connection_and_are_cut() {
    const STALL_MAX: Duration = Duration::from_millis(1_500);
    let certificate = Certificate::new("stalled");
    let limits = "[stream]\nstall_max = \"1500ms\"\n[limits]\nstreams_per_client = 200\n";
    let mut node = Node::start(&format!("{limits}{}", certificate.http(""))).await;
    let mut http2 = certificate.http2(node.address, 4096).await;
    let (mut readers, mut frozen) = (Vec::new(), Vec::new());
    for index in 0..200 {
        let stream = http2.stream("symbols=BTC&fields=price,status,venue&throttle=0").await;
        if index % 4 == 0 { frozen.push(stream) } else { readers.push(stream) }
    }
    assert_eq!((frozen.len(), node.metrics.streams_open.get()), (50, 200));
    // A limit counts streams, on however many connections.
    let full = http2.get("/prices?symbols=BTC").await;
    assert_eq!((full.status().as_u16(), node.metrics.connections_open.get()), (429, 1));

    let (mut price, mut slowest) = (0, Duration::ZERO);
    let (mut rounds_full, mut since_full) = (0, None);
    soon("the cuts", async {
        while node.metrics.streams_open.get() > 150 {
            price += 1;
            let (start, sent) = (Instant::now(), node.metrics.sent.get());
            node.trade("BTC-USD", &price.to_string());
            for reader in &mut readers {
                reader.until(&format!("\"price\":\"{price}\"")).await;
            }
            slowest = slowest.max(start.elapsed());
            // Once the windows are used up, nothing is made for those streams: each has one message that waits.
            match (node.metrics.sent.get() - sent, since_full) {
                (150, None) if rounds_full == 5 => since_full = Some(start),
                (150, _) => rounds_full += 1,
                (_, None) => rounds_full = 0,
                (made, Some(_)) => panic!("{made} messages, some for a stream that takes none"),
            }
        }
    })
    .await;
    println!(
        "{price} prices to 150 streams beside 50 without window: the slowest reached all in {slowest:?}"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let cut_after = since_full.expect("the windows were used up").elapsed();
    assert!(cut_after < STALL_MAX * 3, "{cut_after:?}");
    let metrics = node.metrics.text();
    assert!(metrics.contains("tickcast_streams_closed_total{reason=\"stalled\"} 50"), "{metrics}");
    for mut stream in frozen {
        let mut bytes = 0;
        let end = loop {
            match soon("an end", stream.body.data()).await.expect("no end in order") {
                Ok(piece) => bytes += piece.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(end.reason(), Some(Reason::CANCEL));
        assert!((3_000..=4_096).contains(&bytes), "what there was window for: {bytes}");
    }
    // Their places are free again, on the same connection.
    http2.stream("symbols=BTC").await.until("event: hello").await;
}

#[tokio::test]
async fn p57_streams_and_connections_that_are_dropped_leave_nothing_behind() {
    let certificate = Certificate::new("dropped");
    let limits = "[limits]\nstreams_per_client = 5000\nopens_per_minute = 5000\n";
    let mut node = Node::start(&format!("{limits}{}", certificate.http(""))).await;
    for round in 0..20 {
        let mut http2 = certificate.http2(node.address, 65_535).await;
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(http2.stream("symbols=BTC&throttle=0").await);
        }
        node.trade("BTC-USD", &format!("{}", round + 1));
        if round % 2 == 0 {
            // Each by a reset, and the connection at leisure.
            drop(streams);
            soon("no streams", async {
                while node.metrics.streams_open.get() > 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        } else {
            // The socket, in the midst of it.
            http2.connection.abort();
        }
        drop(certificate.connect(node.address, &["h2"]).await);
        drop(Client::connect(node.address).await);
    }
    soon("nothing open", async {
        while node.metrics.streams_open.get() > 0 || node.metrics.connections_open.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(node.metrics.streams_opened.get(), 1_000);
    assert!(node.metrics.text().contains("tickcast_streams_closed_total{reason=\"client\"} 1000"));
}

#[tokio::test]
async fn p54_an_answer_that_is_no_stream_is_cut_too_where_its_client_takes_nothing() {
    let certificate = Certificate::new("answer");
    let more = "[stream]\nstall_max = \"300ms\"\n[feeds.sim]\ngenerate = 1000\nrate = 0.001\n";
    let config = format!("{more}{}", certificate.http(""));
    let config = tickcast::config::load(&config, "test.toml", std::iter::empty()).unwrap();
    let app = App::start(config, Drive::Feeds);
    let mut http2 = certificate.http2(app.address, 100).await;
    let mut body = http2.get("/symbols?limit=1000").await.into_body();
    let mut bytes = 0;
    let end = loop {
        match soon("an end", body.data()).await.expect("no end in order") {
            Ok(piece) => bytes += piece.len(),
            Err(error) => break error,
        }
    };
    assert_eq!((bytes, end.reason()), (100, Some(Reason::CANCEL)));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let mut certificate = Certificate::new("renewed");
    let node = Node::start(&certificate.http("")).await;
    let mut before = certificate.http2(node.address, 65_535).await.stream("symbols=BTC").await;
    let old = certificate.der.clone();
    certificate.renew();
    assert_ne!(certificate.der, old);
    soon("the new one", async {
        while certificate.try_connect(node.address, &["h2"]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    before.until("event: hello").await;
    assert_eq!(node.metrics.streams_open.get(), 1, "open streams stay");
}

#[tokio::test]
async fn p62_a_stop_says_good_bye_on_http_2_and_takes_no_new_requests_there() {
    let certificate = Certificate::new("drain");
    let http = certificate.http("drain_window = \"300ms\"\ndrain_max = \"20s\"");
    let mut app = App::start(config(&http), Drive::Feeds);
    let mut http2 = certificate.http2(app.address, 65_535).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(http2.stream("symbols=ETH&heartbeat=0").await);
    }
    let start = Instant::now();
    app.stop();
    for stream in streams {
        let text = stream.rest().await;
        let bye = text.rsplit("event: bye\n").next().unwrap();
        assert!(bye.starts_with("data: {\"reason\":\"draining\",\"retry_ms\":"), "{text}");
    }
    // GOAWAY without an error, and then the end.
    soon("the connection's end", http2.connection).await.unwrap().unwrap();
    soon("the end", &mut app.running).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "nothing waits for drain_max: {:?}", start.elapsed());
}

#[tokio::test]
async fn too_many_headers_and_requests_taken_back_at_once_are_refused() {
    let certificate = Certificate::new("flood");
    let node = Node::start(&certificate.http("")).await;
    let mut http2 = certificate.http2(node.address, 65_535).await;
    let mut many = Request::get("https://localhost/health/live");
    for index in 0..101 {
        many = many.header(format!("x-{index}"), "1");
    }
    assert_eq!(http2.send(many.body(()).unwrap()).await.status(), 431);
    let long = Request::get("https://localhost/health/live").header("x-long", "x".repeat(70_000));
    assert_eq!(http2.send(long.body(()).unwrap()).await.status(), 431);
    assert_eq!(http2.get("/health/live").await.status(), 200, "others on the connection go on");
    // Rapid reset: each is taken back before the server has looked at it, many in one write.
    let mut requests = soon("room", http2.requests.clone().ready()).await.unwrap();
    for _ in 0..100 {
        let request = Request::get("https://localhost/health/live").body(()).unwrap();
        let (_, mut stream) = requests.send_request(request, true).unwrap();
        stream.send_reset(Reason::CANCEL);
        requests = soon("room", requests.ready()).await.unwrap();
    }
    let ended = soon("an end", http2.connection).await.unwrap();
    assert_eq!(ended.unwrap_err().reason(), Some(Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn the_service_tells_where_it_is_and_what_is_wrong_with_a_certificate() {
    let certificate = Certificate::new("told");
    let serve = || {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("TICKCAST__HTTP__TLS_CERT", certificate.folder.join("cert.pem"))
            .env("TICKCAST__HTTP__TLS_KEY", certificate.folder.join("key.pem"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    };
    let mut running = serve().spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let line = soon("a line", lines.next_line()).await.unwrap().unwrap();
    let address = line.rsplit_once(" is at https://").expect(&line).1.trim_end_matches('/').parse().unwrap();
    let mut http2 = certificate.http2(address, 65_535).await;
    http2.stream("symbols=BTC").await.until("event: hello").await;
    drop(running);

    std::fs::write(certificate.folder.join("key.pem"), "nothing").unwrap();
    let failed = soon("the end", serve().output()).await.unwrap();
    let key = certificate.folder.join("key.pem");
    let told =
        format!("[http] tls_key: could not read {}: it holds nothing of that kind as PEM\n", key.display());
    assert_eq!((failed.status.code(), String::from_utf8(failed.stderr).unwrap()), (Some(2), told));
    assert!(failed.stdout.is_empty(), "before any port is opened");
}

#[tokio::test]
async fn p68_a_proxy_says_who_asks_ahead_of_the_handshake() {
    let certificate = Certificate::new("ahead");
    let http = certificate.http("forwarded = \"proxy-protocol\"\ntrusted_proxies = [\"127.0.0.1\"]");
    let node = Node::start(&format!("[limits]\nstreams_per_client = 1\n{http}")).await;
    let from = async |client: &str, protocols: &[&str]| {
        let mut socket = TcpStream::connect(node.address).await.unwrap();
        socket.write_all(format!("PROXY TCP4 {client} 10.0.0.1 4711 443\r\n").as_bytes()).await.unwrap();
        certificate.try_over(socket, protocols).await.unwrap()
    };
    let mut first = certificate.http2_over(from("9.9.9.9", &["h2"]).await, 65_535).await;
    let _stream = first.stream("symbols=BTC").await;
    assert_eq!(first.get("/prices?symbols=BTC").await.status(), 429, "the same client");
    let mut other = certificate.http2_over(from("9.9.9.8", &["h2"]).await, 65_535).await;
    let _stream = other.stream("symbols=BTC").await;
    for (client, status) in [("9.9.9.8", "HTTP/1.1 429 "), ("9.9.9.7", "HTTP/1.1 200 ")] {
        let mut http1 = from(client, &["http/1.1"]).await;
        http1.write_all(b"GET /prices?symbols=BTC HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while head.len() < status.len() {
            assert!(soon("a head", http1.read_buf(&mut head)).await.unwrap() > 0, "ended");
        }
        assert!(head.starts_with(status.as_bytes()), "{client}: {:?}", String::from_utf8_lossy(&head));
    }
    assert!(certificate.try_connect(node.address, &["h2"]).await.is_err(), "a proxy that says nothing");
}
