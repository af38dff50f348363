//! Spans and logs of the whole program: what a collector gets, what a line of JSON carries, and that nobody waits for a
//! collector that is not there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test panics to fail; it waits for a program in real time, and its tasks end with it"
)]

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::Value;
use support::{Client, PATIENCE, Scratch, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use programs::Running;

const SECRET: &str = "hush-nobody-may-read-this";
/// One venue that nobody answers for.
const CONFIG: &str = "
[feeds.sim]
[feeds.coinbase]
url = \"ws://127.0.0.1:9\"
[[instrument]]
symbol = \"BTC\"
name = \"Bitcoin\"
class = \"crypto\"
base = \"BTC\"
sources = [\"sim:BTC-USD\", \"coinbase:BTC-USD\"]
";

/// The program, with what it logs.
struct Program {
    address: SocketAddr,
    running: Running,
    log: Arc<Mutex<String>>,
    _config: Scratch,
}

impl Program {
    /// Starts it with these variables.
    fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let config = Scratch::new(&format!("tracing-{name}.toml"), CONFIG);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config"]).arg(&config.0);
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&mut command);
        let mut said = String::new();
        BufReader::new(running.child().stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(running.child().stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let address = said.trim_end().rsplit_once("http://").unwrap().1.trim_end_matches('/').parse();
        Self { address: address.unwrap(), running, log, _config: config }
    }

    async fn get(&self, path: &str, headers: &str) -> support::Answer {
        Client::connect(self.address).await.request("GET", path, headers).await
    }

    async fn metric(&self, name: &str) -> u64 {
        self.get("/metrics", "").await.metric(name).unwrap()
    }

    /// The lines so far.
    fn lines(&self) -> Vec<Value> {
        self.log.lock().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for a line.
    async fn logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        soon(what, async {
            loop {
                if let Some(line) = self.lines().into_iter().find(&is_it) {
                    break line;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Ends it as systemd would.
    async fn stop(&mut self) -> ExitStatus {
        self.running.signal("TERM");
        soon("its end", async {
            loop {
                if let Some(status) = self.running.child().try_wait().unwrap() {
                    break status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

/// A span with its resource.
type Sent = (Vec<KeyValue>, Span);

/// A collector: takes OTLP over HTTP and keeps the spans.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Sent>>>,
    heads: Arc<Mutex<String>>,
}

impl Collector {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let own = collector.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(own.clone().serve(socket));
            }
        });
        (collector, endpoint)
    }

    async fn serve(self, mut socket: TcpStream) {
        let mut read = Vec::new();
        loop {
            while let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
                let head = String::from_utf8(read[..end].to_vec()).unwrap().to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let length: usize = length.parse().unwrap();
                while read.len() < end + 4 + length {
                    assert!(socket.read_buf(&mut read).await.unwrap() > 0, "ended within a body");
                }
                self.take(&read[end + 4..end + 4 + length]);
                self.heads.lock().unwrap().push_str(&head);
                read.drain(..end + 4 + length);
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
            if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    fn take(&self, body: &[u8]) {
        for group in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let resource = group.resource.unwrap_or_default().attributes;
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.lock().unwrap().push((resource.clone(), span));
            }
        }
    }

    /// Waits for a span of this name.
    async fn span(&self, name: &str) -> Sent {
        soon(name, async {
            loop {
                let found = self.spans.lock().unwrap().iter().find(|(_, span)| span.name == name).cloned();
                if let Some(found) = found {
                    break found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

/// Attributes as text.
fn attributes(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(&attribute.value))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_spans_of_connections_requests_and_feeds_and_nobodys_secrets() {
    let (collector, endpoint) = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=prices"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        // Logs may say as little as they like.
        ("RUST_LOG", "error"),
    ];
    let mut program = Program::start("collector", &variables);
    let secrets = format!("authorization: Bearer {SECRET}\r\nx-forwarded-for: 203.0.113.77\r\n");
    let refused = program.get(&format!("/{SECRET}?api_key={SECRET}"), &secrets).await;
    assert_eq!(refused.head.status(), 404);
    let stream = Client::connect(program.address).await.stream("symbols=BTC", &secrets).await;

    let (resource, other) = collector.span("GET other").await;
    let resource = attributes(&resource);
    assert_eq!(resource["service.name"], "tickcast");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let of_other = attributes(&other.attributes);
    assert_eq!(of_other["http.response.status_code"], "404");
    assert_eq!(of_other["http.route"], "other");
    // The stream is open still: its request is over with its head.
    let (_, prices) = collector.span("GET /prices").await;
    assert_eq!(attributes(&prices.attributes)["http.response.status_code"], "200");
    assert_eq!(prices.kind, SpanKind::Server as i32);
    assert!(prices.end_time_unix_nano > prices.start_time_unix_nano);
    let (_, connection) = collector.span("connection").await;
    assert_eq!(attributes(&connection.attributes)["network"], "127.0.0.0/24");
    let (_, feed) = collector.span("feed").await;
    let of_feed = attributes(&feed.attributes);
    assert_eq!((of_feed["venue"].as_str(), of_feed["connection"].as_str()), ("coinbase", "1"));
    assert_eq!((of_feed["reason"].as_str(), feed.kind), ("connect", SpanKind::Client as i32));

    drop(stream);
    assert!(program.stop().await.success());
    let spans = collector.spans.lock().unwrap();
    for (_, request) in spans.iter().filter(|(_, span)| span.name.starts_with("GET ")) {
        let is_parent = |(_, span): &&Sent| span.span_id == request.parent_span_id;
        let parent = spans.iter().find(is_parent).unwrap_or_else(|| panic!("no parent of {request:?}"));
        assert_eq!((parent.1.name.as_str(), &parent.1.trace_id), ("connection", &request.trace_id));
    }
    let all = format!("{spans:?}");
    for secret in [SECRET, "203.0.113", "127.0.0.1"] {
        let at = all.find(secret).map(|at| &all[at.saturating_sub(300)..at + 20]);
        assert_eq!(at, None, "{secret} in it");
    }
    assert!(collector.heads.lock().unwrap().contains("x-tenant: prices"));
    assert!(collector.heads.lock().unwrap().contains("content-type: application/x-protobuf"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_holds_nothing_up_and_what_it_misses_is_counted_and_told_once() {
    // One refuses, one takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_endpoint = format!("http://user:{SECRET}@{}/?key={SECRET}", mute.local_addr().unwrap());
    for (name, endpoint) in [("refusing", "http://127.0.0.1:9"), ("mute", mute_endpoint.as_str())] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
        ];
        let mut program = Program::start(name, &variables);
        let mut slowest = Duration::ZERO;
        for _ in 0..300 {
            let asked = Instant::now();
            assert_eq!(program.get("/symbols", "").await.head.status(), 200);
            slowest = slowest.max(asked.elapsed());
        }
        // An attempt to send takes longer than that where nobody answers.
        assert!(slowest < Duration::from_secs(4), "{name}: {slowest:?}");
        soon("a loss", async { while program.metric("tickcast_spans_lost_total").await < 300 {} }).await;
        let is_it = |line: &Value| {
            line["fields"]["message"].as_str().is_some_and(|text| text.starts_with("spans do not reach"))
        };
        let told = program.logged("the loss", is_it).await;
        let cause = told["fields"]["cause"].as_str().unwrap();
        assert!(!cause.is_empty() && !told.to_string().contains(SECRET), "{told}");
        let asked = Instant::now();
        assert!(program.stop().await.success(), "{name}");
        assert!(asked.elapsed() < PATIENCE / 2, "{name}: {:?}", asked.elapsed());
        assert_eq!(program.lines().iter().filter(|line| is_it(line)).count(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_json_carries_the_spans_that_it_stands_in() {
    let mut program = Program::start("json", &[("RUST_LOG", "debug")]);
    let stream = Client::connect(program.address).await.stream("symbols=BTC", "").await;
    let fields = |line: &Value| line["fields"]["message"].as_str().map(str::to_owned);
    let opened = program.logged("a stream", |line| fields(line).as_deref() == Some("stream opened")).await;
    let names: Vec<_> = opened["spans"].as_array().unwrap().iter().map(|span| &span["name"]).collect();
    assert_eq!(names, ["connection", "request"]);
    let (connection, request) = (&opened["spans"][0], &opened["spans"][1]);
    assert_eq!((&connection["network"], &request["route"]), (&"127.0.0.0/24".into(), &"/prices".into()));
    assert!(connection["connection"].as_u64() > Some(0) && request["method"] == "GET", "{opened}");
    let number = opened["fields"]["stream"].as_u64().unwrap();
    drop(stream);
    let is_closed = |line: &Value| fields(line).as_deref() == Some("stream closed");
    let closed = program.logged("its end", is_closed).await;
    assert_eq!(closed["fields"]["stream"], number);
    let answered = |line: &Value| fields(line).as_deref() == Some("request answered");
    let answered = program.logged("an answer", answered).await;
    assert_eq!(answered["spans"][1]["status"], 200, "{answered}");
    assert!(answered["fields"]["took_us"].is_u64(), "{answered}");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_info_no_line_names_a_clients_address() {
    let mut program = Program::start("info", &[("RUST_LOG", "info")]);
    let address = "203.0.113.77";
    let headers = format!("x-forwarded-for: {address}\r\nx-api-key: {SECRET}\r\n");
    for path in ["/symbols", "/nothing", "/prices/snapshot?symbols=NOBODY", "/metrics"] {
        program.get(path, &headers).await;
    }
    drop(Client::connect(program.address).await.stream("symbols=BTC", &headers).await);
    assert!(program.stop().await.success());
    let log = program.log.lock().unwrap().clone();
    assert!(log.contains("stopping"), "{log}");
    for text in [address, SECRET] {
        assert!(!log.contains(text), "{text} in {log}");
    }
}

#[test]
fn an_endpoint_or_protocol_that_cannot_be_is_told_before_anything_is_opened() {
    for (variable, value, expected) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL: `grpc` is not spoken here"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "OTEL_BSP_MAX_QUEUE_SIZE: `many` is no number of spans"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "no url at all", "no spans can be sent to `no url at all`"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").env(variable, value);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(expected) && output.stdout.is_empty(), "{said}");
    }
}
