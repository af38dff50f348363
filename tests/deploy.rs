//! The files of `deploy` and the Dockerfile fit the program: their config is one, their times and limits go together, what
//! they probe is there, and systemd is told what its unit waits for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test panics to fail; it waits for a program in real time"
)]

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Node, PATIENCE};
use tickcast::config::{self, Config};

use programs::Running;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text behind a key, up to the end of its line.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.trim().strip_prefix(key));
    found.unwrap_or_else(|| panic!("no {key} in\n{text}")).trim()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.trim_end_matches('s').parse().unwrap())
}

/// The config in a `ConfigMap`.
fn in_config_map() -> Config {
    let text = file("deploy/kubernetes/configmap.yaml");
    let (_, block) = text.split_once("tickcast.toml: |\n").unwrap();
    let lines: Vec<_> = block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    config::load(&lines.join("\n"), "configmap.yaml", std::iter::empty())
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[tokio::test]
async fn on_kubernetes_the_config_is_one_probes_find_their_routes_and_a_pod_has_time_for_its_drain() {
    let config = in_config_map();
    let pod = file("deploy/kubernetes/deployment.yaml");
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(value(&pod, "containerPort:"), "8080");
    let (grace, before) = (value(&pod, "terminationGracePeriodSeconds:"), value(&pod, "seconds:"));
    assert!(seconds(grace) > seconds(before) + config.http.drain_max, "{grace} {before}");
    let limit: u64 = pod
        .split_once("limits:\n")
        .map(|(_, rest)| value(rest, "memory:"))
        .unwrap()
        .strip_suffix("Gi")
        .unwrap()
        .parse()
        .unwrap();
    let most = config.limits.memory_max.unwrap();
    assert!(
        most < (limit << 30) * 9 / 10,
        "limits.memory_max leaves no room below the container's {limit} GiB"
    );
    let node = Node::start("").await;
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert!(pod.contains(&format!("path: {path}\n")), "{path}");
        assert!([200, 503].contains(&node.get(path).await.head.status()), "{path}");
    }
    // What the container is started with is what the program takes.
    assert!(pod.contains(
        r#"args: ["serve", "--config", "/etc/tickcast/config/tickcast.toml", "--log-format", "json"]"#
    ));
    assert!(pod.contains("mountPath: /etc/tickcast/config\n"));
}

#[test]
fn systemd_gives_a_stop_the_time_that_the_drain_may_take_and_files_for_every_stream() {
    let unit = file("deploy/systemd/tickcast.service");
    let config = Config::default();
    assert!(seconds(value(&unit, "TimeoutStopSec=")) > config.http.drain_max + Duration::from_secs(5));
    let files: u32 = value(&unit, "LimitNOFILE=").parse().unwrap();
    assert!(files > config.http.connections_max(&config.limits) + 1_000, "{files}");
    assert_eq!(value(&unit, "SocketBindAllow=tcp:"), config.http.listen.port().to_string());
    // The exit code of a wrong config, for which another start is no help.
    assert_eq!(value(&unit, "RestartPreventExitStatus="), "2");
}

#[test]
fn the_image_listens_where_it_says_and_runs_as_nobody() {
    let image = file("Dockerfile");
    assert!(image.contains("\nENV TICKCAST__HTTP__LISTEN=0.0.0.0:8080\nEXPOSE 8080\n"));
    assert!(image.contains("\nUSER 65532:65532\n"));
    let rust = file("Cargo.toml");
    let rust = value(&rust, "rust-version = ").trim_matches('"');
    assert!(image.contains(&format!("/rust:{rust}-slim")), "it is written for Rust {rust}");
}

#[test]
fn systemd_is_told_when_the_port_is_open_and_when_it_closes() {
    let path = std::env::temp_dir().join(format!("tickcast-notify-{}", std::process::id()));
    drop(fs::remove_file(&path));
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &path);
    let running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let heard = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).trim_end().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    running.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
    drop(fs::remove_file(&path));
}
