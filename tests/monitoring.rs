//! What `deploy/prometheus` and `deploy/grafana` ask for is there: rules and their own tests by promtool, and a Prometheus
//! that scrapes the whole service while a scenario lets every feed go silent. `scripts/test` installs Prometheus; where it
//! is missing, that is said.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test panics to fail; these wait for programs of others in real time"
)]

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use support::{App, Node, soon};
use tickcast::app::Drive;
use tickcast::config;
use tickcast::metrics::closed_set;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use programs::Running;

const VARIABLE: &str = "TICKCAST_TEST_MONITORING";
/// The scenario's timetable needs so long to come round, with a machine that does much else.
const ROUND_MAX: Duration = Duration::from_secs(90);

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

fn program(name: &str) -> Option<PathBuf> {
    programs::need(VARIABLE, name, programs::find(name))
}

/// Runs promtool and returns what it says; a failure where it is not content.
fn promtool(promtool: &Path, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(promtool);
    command.args(arguments).current_dir(deployed("prometheus"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn the_alert_rules_and_their_tests_are_right() {
    let Some(tool) = program("promtool") else { return };
    let checked = promtool(&tool, &["check", "rules", "alerts.yml"], "");
    assert!(checked.contains("SUCCESS"), "{checked}");
    let tested = promtool(&tool, &["test", "rules", "alerts_test.yml"], "");
    assert!(tested.contains("SUCCESS") && !tested.contains("FAILED"), "{tested}");
    promtool(&tool, &["check", "config", "prometheus.yml"], "");
}

#[test]
fn every_alert_has_a_test_and_is_explained() {
    let rules = fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap();
    let tests = fs::read_to_string(deployed("prometheus/alerts_test.yml")).unwrap();
    let guide = fs::read_to_string(deployed("../docs/operating.md")).unwrap();
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test in which it fires");
        assert!(guide.contains(&format!("`{alert}`")), "{alert} is not in docs/operating.md");
    }
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let Some(tool) = program("promtool") else { return };
    let mut node = Node::start("[limits]\nmemory_max = 8000000000").await;
    node.trade("BTC-USD", "1");
    let mut stream = node.stream("symbols=BTC&throttle=0").await;
    stream.message().await;
    let said = promtool(&tool, &["check", "metrics"], &node.get("/metrics").await.body);
    assert_eq!(said, "");
}

/// A Prometheus that scrapes one node every second, by the config and the rules that we ship.
struct Prometheus {
    address: SocketAddr,
    dir: PathBuf,
    _running: Running,
}

impl Prometheus {
    fn start(program: &Path, node: SocketAddr) -> Self {
        let dir = std::env::temp_dir().join(format!("tickcast-prometheus-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let shipped = fs::read_to_string(deployed("prometheus/prometheus.yml")).unwrap();
        let own = shipped.replace("127.0.0.1:8080", &node.to_string()).replace("15s", "1s");
        assert!(own.contains(&node.to_string()) && own.contains("interval: 1s"), "{own}");
        fs::write(dir.join("prometheus.yml"), own).unwrap();
        // What has to last for minutes may last for a second here.
        let rules = fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap();
        let impatient = rules.lines().map(|line| match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
            _ => format!("{line}\n"),
        });
        fs::write(dir.join("alerts.yml"), impatient.collect::<String>()).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let running = Running::start(
            Command::new(program)
                .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=warn")
                .stdout(Stdio::null()),
        );
        Self { address, dir, _running: running }
    }

    /// What its API says; `None` while it does not answer.
    async fn asked(&self, path: &str) -> Option<Value> {
        let mut socket = TcpStream::connect(self.address).await.ok()?;
        // HTTP/1.0: the answer ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nhost: prometheus\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The series of a query; an error of Prometheus' is a failure.
    async fn query(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
        let answer = self.asked(&path).await.unwrap_or_else(|| panic!("no answer to {query}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        assert!(answer["warnings"].is_null(), "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// Asks again and again until there is what is wanted.
    async fn until<T>(&self, what: &str, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let found = timeout(ROUND_MAX, async {
            loop {
                if let Some(found) = self.asked(path).await.as_ref().and_then(&wanted) {
                    break found;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("never came: {what}"))
    }

    /// Waits until an alert fires.
    async fn fires(&self, alert: &str) -> Value {
        let is_it = |one: &&Value| one["labels"]["alertname"] == alert && one["state"] == "firing";
        self.until(alert, "/api/v1/alerts", |answer| {
            answer["data"]["alerts"].as_array()?.iter().find(is_it).cloned()
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Every query of the dashboard, its variables' and annotations' among them, with its variables filled in.
fn dashboard_queries() -> Vec<String> {
    let text = fs::read_to_string(deployed("grafana/tickcast.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["title"].is_string() && panel["gridPos"].is_object(), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(definition) = variable["definition"].as_str() else { continue };
        let (metric, label) = definition
            .strip_prefix("label_values(")
            .unwrap()
            .strip_suffix(')')
            .unwrap()
            .split_once(", ")
            .unwrap();
        queries.push(format!("count by ({label}) ({metric}{{{label}!=\"\"}})"));
    }
    assert!(queries.len() > 50, "{}", queries.len());
    let filled = |query: String| {
        let query =
            query.replace("$instance", ".*").replace("$venue", ".*").replace("$__rate_interval", "10s");
        assert!(!query.contains('$'), "an unknown variable: {query}");
        query
    };
    queries.into_iter().map(filled).collect()
}

/// What the alert rules ask for.
async fn rules(prometheus: &Prometheus) -> Vec<(String, String)> {
    let answer = prometheus.asked("/api/v1/rules").await.unwrap();
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules
        .map(|rule| {
            assert_eq!(rule["health"], "ok", "{rule}");
            (rule["name"].as_str().unwrap().to_owned(), rule["query"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// The words of a query that are metrics of ours.
fn metrics(query: &str) -> BTreeSet<&str> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("tickcast_") || word.starts_with("process_")).collect()
}

/// The values that a query asks labels to have or not to have.
fn values(query: &str) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (at, _) in
        query.match_indices("=\"").chain(query.match_indices("=~\"")).chain(query.match_indices("!~\""))
    {
        let before = query[..at].trim_end_matches('!');
        let label =
            before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap();
        let value = query[at..].split('"').nth(1).unwrap();
        values.extend(value.split('|').map(|value| (label.to_owned(), value.to_owned())));
    }
    values
}

#[test]
fn every_value_that_a_query_asks_for_is_one_that_its_label_can_have() {
    let rules = fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap();
    let exprs = rules.lines().filter(|line| line.contains("tickcast_")).map(str::to_owned);
    let mut looked_at = 0;
    for query in exprs.chain(dashboard_queries()) {
        for (label, value) in values(&query) {
            if ["job", "instance"].contains(&label.as_str()) || [".*", ""].contains(&value.as_str()) {
                continue;
            }
            let set = closed_set(&label).unwrap_or_else(|| panic!("no such label: {label} in {query}"));
            assert!(set.contains(&value.as_str()), "no {label} is ever {value}: {query}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_all_that_the_dashboard_and_the_alerts_ask_for_and_tells_when_feeds_go_silent() {
    let Some(program) = program("prometheus") else { return };
    let scenario = [("SCENARIO", "outage"), ("SCENARIO_SPEED", "4"), ("SILENCE_MAX", "1s")];
    let variables = scenario.map(|(key, value)| (format!("TICKCAST__FEEDS__SIM__{key}"), value.to_owned()));
    let memory = ("TICKCAST__LIMITS__MEMORY_MAX".to_owned(), "8000000000".to_owned());
    let variables = variables.into_iter().chain([memory]);
    let config = config::load(config::scenarios(), "scenarios.toml", variables).unwrap();
    let app = App::start(config, Drive::Feeds);
    let mut stream = app.connect().await.stream("symbols=BTC,ETH&throttle=0", "").await;
    tokio::spawn(async move { while !stream.block().await.is_empty() {} });
    let prometheus = Prometheus::start(&program, app.address);

    // The scenario: five seconds of calm, five of silence, five without an answer, five of recovery.
    let alert = prometheus.fires("TickcastFeedSilent").await;
    assert!(alert["labels"]["venue"].is_string(), "{alert}");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.ends_with(&format!("says nothing at {}", app.address)), "{summary}");
    for alert in ["TickcastAllFeedsDown", "TickcastNotReady", "TickcastFeedDown"] {
        prometheus.fires(alert).await;
    }
    let is_over = |answer: &Value| {
        let alerts = answer["data"]["alerts"].as_array()?;
        (!alerts.iter().any(|alert| alert["labels"]["alertname"] == "TickcastAllFeedsDown")).then_some(())
    };
    prometheus.until("the end of it", "/api/v1/alerts", is_over).await;

    for query in dashboard_queries() {
        assert!(!prometheus.query(&query).await.is_empty(), "nothing to show for {query}");
    }
    let rules = rules(&prometheus).await;
    assert!(rules.len() > 20, "{rules:?}");
    for (alert, query) in rules {
        prometheus.query(&query).await;
        for metric in metrics(&query) {
            assert!(
                !prometheus.query(metric).await.is_empty(),
                "{alert} asks for {metric}, which there is not"
            );
        }
    }
    soon("metrics", app.get("/metrics")).await;
}
