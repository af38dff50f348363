//! The service behind nginx, HAProxy and Caddy, each with the recipe of `deploy/proxies`, seen through curl: how soon events
//! come, whose limits apply, and how ends are told. `cargo test --test proxies -- --nocapture` prints the times.
//!
//! `scripts/test` installs them; what is missing is said to be left out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test panics to fail; these wait for programs of others in real time, print how long it took, and end with \
              their tasks"
)]

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use support::{Answer, Client, INSTRUMENTS, Node, Scratch, soon};
use tickcast::metrics::ByReason;
use tokio::sync::mpsc;

use programs::Running;

const VARIABLE: &str = "TICKCAST_TEST_PROXIES";
/// What the rules for streams ask of a proxy: the first event after this long at most, and any other.
const FIRST_MAX: Duration = Duration::from_secs(1);
const EVENT_MAX: Duration = Duration::from_millis(200);
/// A client that has left is noticed before anything is sent to it: heartbeats are 15 s apart.
const LEFT_MAX: Duration = Duration::from_secs(5);
const EVENTS: u32 = 40;

/// What a recipe stands for with addresses of its own.
struct Recipe {
    text: String,
    listen: SocketAddr,
    tls: Option<SocketAddr>,
    dir: PathBuf,
}

/// As files for proxies have it.
fn pem(what: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Recipe {
    /// The recipe's text with the service's address, and a free port in place of port 80.
    fn load(file: &str, bind: &str, upstream: SocketAddr) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxies").join(file);
        let text = fs::read_to_string(path).unwrap();
        let listen = free_port();
        for needed in [bind, "127.0.0.1:8080"] {
            assert_eq!(text.matches(needed).count(), 1, "{needed} in {file}");
        }
        let bound = bind.replace(":80", &format!(":{}", listen.port())).replace(" 80", &format!(" {listen}"));
        let text = text.replace(bind, &bound).replace("127.0.0.1:8080", &upstream.to_string());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{file}-{}", listen.port()));
        fs::create_dir_all(&dir).unwrap();
        Self { text, listen, tls: None, dir }
    }

    /// The recipe for two edges, on a free port.
    fn scaled(file: &str, bind: &str, edges: &[Edge; 2]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/scaled").join(file);
        let mut text = fs::read_to_string(path).unwrap();
        let listen = free_port();
        let bound = bind.replace(":80", &listen.to_string()).replace(" 80", &format!(" {listen}"));
        let edges = edges.each_ref().map(|edge| edge.address.to_string());
        for (needed, with) in [(bind, &bound), ("10.0.0.11:8080", &edges[0]), ("10.0.0.12:8080", &edges[1])] {
            assert_eq!(text.matches(needed).count(), 1, "{needed} in {file}");
            text = text.replace(needed, with);
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scaled-{file}-{}", listen.port()));
        fs::create_dir_all(&dir).unwrap();
        Self { text, listen, tls: None, dir }
    }

    /// With the lines for TLS, which are comments in the recipe: those that start like one of `lines`. `port` is how
    /// the port stands in them, `certificate` and `key` the files that they name.
    fn with_tls(mut self, lines: &[&str], port: &str, certificate: &str, key: &str) -> Self {
        let tls = free_port();
        for line in lines {
            let comment = format!("    # {line}");
            assert_eq!(self.text.matches(&comment).count(), 1, "{line}");
            self.text = self.text.replace(&comment, &format!("    {line}"));
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        // In one file for whom that is enough, and both in it for whom they are two.
        let file = self.write(
            "both.pem",
            &(pem("CERTIFICATE", made.cert.der()) + &pem("PRIVATE KEY", made.signing_key.serialized_der())),
        );
        let file = file.to_str().unwrap();
        let bound = port.replace("443", &tls.port().to_string());
        self.text = self.text.replace(certificate, file).replace(key, file).replace(port, &bound);
        self.tls = Some(tls);
        self
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// A proxy in front of a service. Dropping it ends it.
struct Proxy {
    running: Running,
    listen: SocketAddr,
    tls: Option<SocketAddr>,
    dir: PathBuf,
}

impl Proxy {
    async fn start(recipe: &Recipe, command: &mut Command) -> Self {
        let log = fs::File::create(recipe.dir.join("log")).unwrap();
        let running = Running::start(command.stdout(log.try_clone().unwrap()).stderr(log));
        let mut proxy = Self { running, listen: recipe.listen, tls: recipe.tls, dir: recipe.dir.clone() };
        soon("an open port", async {
            while TcpStream::connect(proxy.listen).is_err() {
                assert!(proxy.running.child().try_wait().unwrap().is_none(), "it ended: {}", proxy.log());
                tokio::task::yield_now().await;
            }
        })
        .await;
        proxy
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    async fn nginx(program: &Path, upstream: SocketAddr) -> Self {
        let (certificate, key) = ("/etc/ssl/prices.pem", "/etc/ssl/prices.key");
        let lines = ["listen 443 ", "ssl_certificate ", "ssl_certificate_key "];
        let recipe = Recipe::load("nginx.conf", "listen 80", upstream);
        Self::start_nginx(program, &recipe.with_tls(&lines, "443", certificate, key), 1).await
    }

    async fn start_nginx(program: &Path, recipe: &Recipe, workers: u32) -> Self {
        recipe.write("tickcast.conf", &recipe.text);
        let dir = recipe.dir.display();
        // Its workers change to a user of their own, who may not be allowed into this folder.
        let user = if fs::metadata("/proc/self").unwrap().uid() == 0 { "user root;" } else { "" };
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {dir}/{what};"))
            .concat();
        let main = format!(
            "daemon off; {user} worker_processes {workers}; pid {dir}/pid; events {{}}
             http {{ access_log off; {temp} include {dir}/tickcast.conf; }}"
        );
        let main = recipe.write("nginx.conf", &main);
        let mut command = Command::new(program);
        command.arg("-p").arg(&recipe.dir).arg("-c").arg(main).args(["-e", "stderr"]);
        Self::start(recipe, &mut command).await
    }

    /// `more` stands behind the server's address.
    async fn haproxy(program: &Path, upstream: SocketAddr, more: &str) -> Self {
        let certificate = "/etc/haproxy/prices.pem";
        let recipe = Recipe::load("haproxy.cfg", "bind :80\n", upstream);
        let mut recipe = recipe.with_tls(&["bind :443 "], ":443", certificate, certificate);
        recipe.text = recipe.text.replace(&upstream.to_string(), &format!("{upstream} {more}"));
        Self::start_haproxy(program, &recipe).await
    }

    /// Passes connections on as they are, as one does whose TLS is tickcast's.
    async fn haproxy_of_connections(program: &Path, upstream: SocketAddr, more: &str) -> Self {
        let listen = free_port();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("haproxy-tcp-{}", listen.port()));
        fs::create_dir_all(&dir).unwrap();
        let timeouts = "timeout connect 5s\n timeout client 60s\n timeout server 60s\n timeout check 1s";
        let server = format!("server tickcast {upstream} {more} check inter 50ms");
        let text = format!("listen prices\n mode tcp\n {timeouts}\n bind {listen}\n {server}\n");
        Self::start_haproxy(program, &Recipe { text, listen, tls: None, dir }).await
    }

    async fn start_haproxy(program: &Path, recipe: &Recipe) -> Self {
        let file = recipe.write("haproxy.cfg", &recipe.text);
        Self::start(recipe, Command::new(program).arg("-db").arg("-f").arg(file)).await
    }

    async fn caddy(program: &Path, upstream: SocketAddr) -> Self {
        let recipe = Recipe::load("Caddyfile", "\n:80 {", upstream);
        // No port for administration: another Caddy of this machine may have it.
        let file = recipe.write("Caddyfile", &format!("{{\n\tadmin off\n}}\n{}", recipe.text));
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        for home in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(home, &recipe.dir);
        }
        Self::start(&recipe, &mut command).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
        self.running.signal("KILL");
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What curl shows of an answer, line by line.
struct Curl {
    lines: mpsc::UnboundedReceiver<(Instant, String)>,
    running: Running,
    head: Vec<String>,
}

impl Curl {
    /// Asks through the proxy, from an address of loopback of its own, and reads the answer's head.
    async fn get(proxy: &Proxy, from: &str, accept: &str, query: &str) -> Self {
        Self::ask(&format!("http://{}", proxy.listen), from, accept, query).await
    }

    async fn ask(origin: &str, from: &str, accept: &str, query: &str) -> Self {
        let mut command = Command::new("curl");
        // The certificate is made for the test.
        command.args(["--insecure", "--http2"]);
        command.args(["-sSN", "--noproxy", "*", "--compressed", "--dump-header", "-", "--interface", from]);
        command.args(["-H", &format!("Accept: {accept}")]);
        command.arg(format!("{origin}/prices?{query}"));
        let mut running = Running::start(command.stdout(Stdio::piped()));
        let stdout = running.child().stdout.take().unwrap();
        let (tell, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // An error means that the test has ended.
                let _ = tell.send((Instant::now(), line));
            }
        });
        let mut curl = Self { lines, running, head: Vec::new() };
        while let Some((_, line)) = soon("a head", curl.lines.recv()).await {
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            curl.head.push(line.to_lowercase());
        }
        curl
    }

    fn status(&self) -> u16 {
        self.head.first().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The next event's name and data, and when the latter came; `hb` is passed over. `None` at the answer's end.
    async fn event(&mut self) -> Option<(Instant, String, Value)> {
        let (mut name, mut found) = ("message".to_owned(), None);
        loop {
            let (at, line) = soon("an event", self.lines.recv()).await?;
            if let Some(given) = line.strip_prefix("event: ") {
                given.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                found = Some((at, serde_json::from_str(data).unwrap()));
            } else if line.is_empty()
                && let Some((at, data)) = found.take()
            {
                if name != "hb" {
                    return Some((at, name, data));
                }
                "message".clone_into(&mut name);
            }
        }
    }

    async fn expect(&mut self, wanted: &str) -> (Instant, Value) {
        let (at, name, data) = self.event().await.unwrap_or_else(|| panic!("ended before {wanted}"));
        assert_eq!(name, wanted, "{data}");
        (at, data)
    }

    /// Waits for the answer's end, and says whether it was whole.
    async fn ended_well(mut self) -> bool {
        assert!(self.event().await.is_none());
        self.running.child().wait().unwrap().success()
    }
}

const EVENT_SOURCE: &str = "text/event-stream";

async fn streams_open(node: &Node, count: i64) {
    soon("the number of open streams", async {
        while node.metrics.streams_open.get() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// How long each of so many events took to come out of curl, the quickest first.
async fn delays(node: &mut Node, prices: &mut Curl, price: impl Fn(u32) -> String) -> Vec<Duration> {
    let mut delays = Vec::new();
    for number in 1..=EVENTS {
        let (price, sent) = (price(number), Instant::now());
        node.trade("BTC-USD", &price);
        let (at, message) = prices.expect("message").await;
        assert_eq!(message["price"], price);
        delays.push(at - sent);
    }
    delays.sort_unstable();
    assert!(delays[delays.len() - 1] < EVENT_MAX, "{delays:?}");
    delays
}

fn told(delays: &[Duration]) -> String {
    format!("median {}, worst {}", ms(delays[delays.len() / 2]), ms(delays[delays.len() - 1]))
}

/// The whole of what a proxy has to let through. `encoding` is how it compresses streams.
async fn check(name: &str, proxy: Proxy, mut node: Node, encoding: Option<&str>) {
    node.trade("BTC-USD", "67012.30");
    let start = Instant::now();
    let mut prices =
        Curl::get(&proxy, "127.0.0.2", EVENT_SOURCE, "symbols=BTC&fields=price&throttle=0").await;
    assert_eq!((prices.status(), prices.header("content-encoding")), (200, encoding), "{:?}", prices.head);
    assert_eq!(prices.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let (at, hello) = prices.expect("hello").await;
    let first = at - start;
    assert!(first < FIRST_MAX, "{first:?}");
    assert_eq!(hello["resumed"], false);
    assert_eq!(prices.expect("message").await.1, json!({ "symbol": "BTC", "price": "67012.30" }));

    let passed = delays(&mut node, &mut prices, |price| price.to_string()).await;

    // One stream a client: whoever has another address has another stream, as it is this one that counts.
    let mut second = Curl::get(&proxy, "127.0.0.2", EVENT_SOURCE, "symbols=BTC").await;
    assert_eq!(second.expect("fault").await.1["code"], "too_many_streams");
    let second = Curl::get(&proxy, "127.0.0.2", "*/*", "symbols=BTC").await;
    assert_eq!((second.status(), second.header("content-type")), (429, Some("application/problem+json")));
    assert!(second.header("retry-after").is_some() && second.header("ratelimit").is_some());
    let mut other = Curl::get(&proxy, "127.0.0.3", EVENT_SOURCE, "symbols=ETH").await;
    other.expect("hello").await;
    streams_open(&node, 2).await;
    // Nothing is sent to it meanwhile.
    let start = Instant::now();
    drop(other);
    streams_open(&node, 1).await;
    let left = start.elapsed();
    assert!(left < LEFT_MAX, "{left:?}");

    if let Some(tls) = proxy.tls {
        let origin = format!("https://{tls}");
        let mut second = Curl::ask(&origin, "127.0.0.4", EVENT_SOURCE, "symbols=BTC&throttle=0").await;
        assert!(second.head[0].starts_with("http/2 200"), "{:?}", second.head);
        second.expect("hello").await;
        second.expect("message").await;
        let encrypted = delays(&mut node, &mut second, |price| format!("{price}.5")).await;
        println!("{name:<8} | HTTP/2 and TLS: {EVENTS} events: {}", told(&encrypted));
        // The other one has been sent the same, as far as it kept up.
        while prices.expect("message").await.1["price"] != format!("{EVENTS}.5") {}
    }

    let start = Instant::now();
    node.closing.cancel();
    let (at, bye) = prices.expect("bye").await;
    let said = at - start;
    assert_eq!(bye["reason"], "draining");
    assert!(prices.ended_well().await, "with its last chunk");

    // Nobody listens any more, but an EventSource must not be told so by a status.
    let mut away = Curl::get(&proxy, "127.0.0.2", EVENT_SOURCE, "symbols=BTC").await;
    assert_eq!((away.status(), away.header("content-type")), (200, Some(EVENT_SOURCE)), "{:?}", away.head);
    let (_, fault) = away.expect("fault").await;
    assert_eq!((&fault["code"], &fault["scope"]), (&json!("overloaded"), &json!("node")));
    assert!((2_000..=5_000).contains(&fault["retry_ms"].as_u64().unwrap()), "{fault}");
    let away = Curl::get(&proxy, "127.0.0.2", "*/*", "symbols=BTC").await;
    assert_eq!((away.status(), away.header("retry-after")), (503, Some("5")), "{:?}", away.head);

    let encoding = encoding.unwrap_or("plain");
    println!(
        "{name:<8} | {encoding:<5} | first event {} | {EVENTS} events: {} | left: noticed after {} | bye after {}",
        ms(first),
        told(&passed),
        ms(left),
        ms(said),
    );
}

async fn node() -> Node {
    node_with("").await
}

async fn node_with(more: &str) -> Node {
    let http = "[http]\ntrusted_proxies = [\"127.0.0.1\"]\ndrain_window = \"300ms\"";
    Node::start(&format!("[limits]\nstreams_per_client = 1\n{http}\n{more}")).await
}

/// The program of that name, where it and curl are to be had.
fn program(name: &str) -> Option<PathBuf> {
    let found = programs::find("curl").and(programs::find(name));
    programs::need(VARIABLE, name, found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_p15_nginx_passes_each_event_at_once_also_compressed() {
    let Some(program) = program("nginx") else { return };
    let node = node().await;
    check("nginx", Proxy::nginx(&program, node.address).await, node, Some("gzip")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p14_haproxy_passes_each_event_at_once() {
    let Some(program) = program("haproxy") else { return };
    let node = node().await;
    check("haproxy", Proxy::haproxy(&program, node.address, "").await, node, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p68_haproxy_says_who_asks_by_the_proxy_protocol() {
    let Some(program) = program("haproxy") else { return };
    for send in ["send-proxy", "send-proxy-v2"] {
        let node = node_with("forwarded = \"proxy-protocol\"").await;
        check(send, Proxy::haproxy(&program, node.address, send).await, node, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p68_haproxy_says_who_asks_ahead_of_connections_that_it_cannot_read() {
    let Some(program) = program("haproxy") else { return };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = [("cert", made.cert.pem()), ("key", made.signing_key.serialize_pem())]
        .map(|(name, text)| Scratch::new(&format!("proxies-{name}.pem"), &text));
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
        let tls = format!("tls_cert = {:?}\ntls_key = {:?}", cert.0, key.0);
        let mut node = node_with(&format!("forwarded = \"proxy-protocol\"\n{tls}")).await;
        let proxy = Proxy::haproxy_of_connections(&program, node.address, send).await;
        let origin = format!("https://{}", proxy.listen);
        let ask = async |from: &str| Curl::ask(&origin, from, EVENT_SOURCE, "symbols=BTC&throttle=0").await;
        let (mut first, mut other) = (ask("127.0.0.2").await, ask("127.0.0.3").await);
        for curl in [&mut first, &mut other] {
            assert!(curl.head[0].starts_with("http/2 200"), "{:?}", curl.head);
            curl.expect("hello").await;
            curl.expect("message").await;
        }
        assert_eq!(ask("127.0.0.2").await.expect("fault").await.1["code"], "too_many_streams");
        let delays = delays(&mut node, &mut first, |price| price.to_string()).await;
        println!("{send:<20} | connections | {EVENTS} events: {}", told(&delays));
        // Its checks of health, some by now, are no mistakes.
        let refused = |reason| node.metrics.proxy_headers_refused.get_or_create(&ByReason { reason }).get();
        let refused = ["missing", "malformed", "too_long", "slow", "ended"].map(refused);
        assert_eq!(refused, [0; 5]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p08_caddy_passes_each_event_at_once() {
    let Some(program) = program("caddy") else { return };
    let node = node().await;
    check("caddy", Proxy::caddy(&program, node.address).await, node, None).await;
}

/// One of several edges, as a process that may be killed. It has prices of its own: whose they are is no matter of a balancer's.
struct Edge {
    address: SocketAddr,
    config: Scratch,
    running: Option<Running>,
}

impl Edge {
    async fn start(name: &str) -> Self {
        let text = "[http]\ntrusted_proxies = [\"127.0.0.1\"]\ndrain_window = \"300ms\"\n";
        let config = Scratch::new(name, &format!("{text}{}", INSTRUMENTS.replace("0.001", "20")));
        let mut edge = Self { address: free_port(), config, running: None };
        edge.again().await;
        edge
    }

    async fn again(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command.args(["serve", "--listen", &self.address.to_string(), "--config"]).arg(&self.config.0);
        self.running = Some(Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        soon("an edge", async {
            while self.answers("/health/ready").await.is_none_or(|answer| answer.head.status() != 200) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn answers(&self, path: &str) -> Option<Answer> {
        let socket = tokio::net::TcpStream::connect(self.address).await.ok()?;
        Some(Client::over(socket).request("GET", path, "").await)
    }

    /// Streams that it has.
    async fn streams(&self) -> u64 {
        self.answers("/metrics").await.and_then(|answer| answer.metric("tickcast_streams_open")).unwrap_or(0)
    }
}

/// What a balancer has to do with two edges: the same number of streams for each, none that ends in an error because one of them is
/// gone or goes, and streams again for one that is back.
async fn balances(name: &str, proxy: Proxy, mut edges: [Edge; 2]) {
    let open = async || {
        let mut stream = Curl::get(&proxy, "127.0.0.2", EVENT_SOURCE, "symbols=BTC&fields=price").await;
        assert_eq!(stream.status(), 200, "{:?}", stream.head);
        stream.expect("hello").await;
        stream
    };
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(open().await);
    }
    assert_eq!([edges[0].streams().await, edges[1].streams().await], [3, 3], "{name}");

    // Killed: its clients come back at once, and nothing but the other one answers them.
    edges[0].running = None;
    let start = Instant::now();
    for _ in 0..3 {
        streams.push(open().await);
    }
    let moved = start.elapsed();
    assert_eq!(edges[1].streams().await, 6, "{name}");

    // It is back: who comes now goes where there is more room.
    edges[0].again().await;
    let start = Instant::now();
    soon("a stream for the edge that is back", async {
        let mut stream = open().await;
        while edges[0].streams().await == 0 {
            drop(stream);
            stream = open().await;
        }
    })
    .await;
    let back = start.elapsed();

    // Stopped in order: streams end with a good-bye, and none is opened there any more.
    edges[1].running.as_ref().unwrap().signal("TERM");
    let mut last = streams.pop().unwrap();
    soon("a good-bye", async { while last.event().await.is_some_and(|(_, name, _)| name != "bye") {} }).await;
    // One that comes while it is about to go is told so, inside a stream, and when to come back.
    let mut opened = 0;
    soon("streams elsewhere", async {
        while opened < 3 {
            let mut stream = Curl::get(&proxy, "127.0.0.2", EVENT_SOURCE, "symbols=BTC&fields=price").await;
            assert_eq!(stream.status(), 200, "{:?}", stream.head);
            let (_, event, data) = stream.event().await.unwrap();
            match event.as_str() {
                "hello" => opened += 1,
                _ => assert_eq!((event.as_str(), &data["code"]), ("fault", &json!("draining"))),
            }
        }
    })
    .await;
    println!(
        "{name:<8} | two edges | three streams of a killed one open elsewhere after {} | used again after {}",
        ms(moved),
        ms(back)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p33_haproxy_balances_edges_and_leaves_out_one_that_is_gone() {
    let Some(program) = program("haproxy") else { return };
    let edges = [Edge::start("haproxy-edge-a").await, Edge::start("haproxy-edge-b").await];
    let recipe = Recipe::scaled("haproxy.cfg", "bind :80\n", &edges);
    balances("haproxy", Proxy::start_haproxy(&program, &recipe).await, edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p33_nginx_balances_edges_and_leaves_out_one_that_is_gone() {
    let Some(program) = program("nginx") else { return };
    let edges = [Edge::start("nginx-edge-a").await, Edge::start("nginx-edge-b").await];
    let recipe = Recipe::scaled("nginx.conf", "listen 80", &edges);
    balances("nginx", Proxy::start_nginx(&program, &recipe, 2).await, edges).await;
}
