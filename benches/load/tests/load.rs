//! `load` against the servers it is there to compare with, as processes over loopback: what it counts is what they send.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const RATE: u64 = 50;
const STREAMS: u64 = 40;

/// A server that ends with its test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(["--rate", &RATE.to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap().trim().trim_end_matches('/').to_owned();
        Self { process, address }
    }

    fn load(&self, arguments: &[&str]) -> Value {
        let streams = STREAMS.to_string();
        let pid = self.process.id().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(["--target", &self.address, "--streams", &streams, "--pid", &pid])
            .args(["--warm-up", "0.1", "--sample", "1"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {report}"))
}

/// Over a real clock, on a machine that may be busy: half and double of what is offered are let pass.
fn is_about(found: u64, wanted: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let found = found as f64;
    (wanted / 2.0..wanted * 2.0).contains(&found)
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn check(report: &Value, symbols: u64) {
    assert_eq!(number(report, "streams"), STREAMS, "{report}");
    assert_eq!((number(report, "errors"), number(report, "disconnects")), (0, 0), "{report}");
    let messages = number(report, "messages");
    let offered = (STREAMS * RATE * symbols) as f64 * report["window_s"].as_f64().unwrap();
    assert!(is_about(messages, offered), "{messages} messages of {offered}: {report}");
    assert_eq!(number(report, "events"), messages);
    assert_eq!(number(&report["latency"], "samples"), messages, "each message carries recv_us");
    assert_eq!(number(report, "untimed"), 0);
    let (fewest, most) = (number(report, "stream_messages_min"), number(report, "stream_messages_max"));
    assert!(0 < fewest && fewest * STREAMS <= messages && messages <= most * STREAMS);
    assert!(is_about(number(report, "bytes") / messages, 160.0), "{report}");
    assert!(number(report, "rss_connected_kib") >= 500, "{report}");
}

#[test]
fn what_the_textbook_sends_to_each_stream_is_counted() {
    let server = Server::start(env!("CARGO_BIN_EXE_textbook"), &["--symbols", "1"]);
    let report = server.load(&["--window", "1", "--count-ticks"]);
    check(&report, 1);
    assert_eq!(number(&report, "ticks_covered"), number(&report, "messages"), "it conflates nothing");
}

#[test]
fn what_the_raw_server_writes_is_counted_also_ten_at_a_time() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw"), &["--symbols", "20", "--batch", "10"]);
    let report = server.load(&["--window", "1", "--symbols", "random:10/20"]);
    check(&report, 10);
    let per_read = report["events_per_read"].as_f64().unwrap();
    assert!(per_read >= 10.0, "{per_read} events a read");
}

#[test]
fn streams_that_never_read_and_streams_that_come_and_go_are_told_apart_from_errors() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw"), &["--symbols", "1"]);
    let report = server.load(&["--window", "0.5", "--frozen", "10", "--churn", "100"]);
    assert_eq!((number(&report, "errors"), number(&report, "disconnects")), (0, 0), "{report}");
    assert_eq!(number(&report, "frozen"), 10);
    assert!(number(&report, "churned") >= 20, "{report}");
    assert_eq!(report["frozen_last_cut_s"], Value::Null, "raw cuts nobody");
}

#[test]
fn a_search_ends_at_the_most_streams_where_all_of_them_pass() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw"), &["--symbols", "1"]);
    let report =
        server.load(&["--window", "0.2", "--search", "70", "--p99-max", "60000", "--covered-min", "0"]);
    assert_eq!(number(&report["best_covered"], "streams"), 70, "{report}");
    assert!(report["steps"].as_array().is_some_and(|steps| steps.len() == 3), "40, 60, 70: {report}");
}

#[test]
fn a_refusal_is_an_error_by_its_status() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw"), &["--symbols", "1"]);
    let report = server.load(&["--window", "0.1", "--query", "symbols=S999"]);
    assert_eq!((number(&report, "streams"), number(&report, "errors")), (0, STREAMS), "{report}");
    assert_eq!(report["error_kinds"]["response: status 404"], STREAMS, "{report}");
}
