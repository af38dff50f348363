//! `tickcast watch` as a program: lines into a pipe, a table on a terminal, and what it says when it cannot.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by a panic, and waits for its tasks"
)]

mod support;

use std::process::{Output, Stdio};

use support::{App, config, soon};
use tickcast::app::Drive;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

fn watch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.arg("watch").args(args).stdin(Stdio::null()).kill_on_drop(true);
    // No proxy of this machine's is asked for what is on it.
    command.env("NO_PROXY", "127.0.0.1").env_remove("TICKCAST_API_KEY");
    command
}

async fn output(args: &[&str]) -> Output {
    soon("its end", watch(args).output()).await.unwrap()
}

fn app(rate: &str) -> (App, String) {
    let mut config = config("");
    config.feeds.sim.as_mut().unwrap().rate = rate.parse().unwrap();
    let app = App::start(config, Drive::Feeds);
    let url = format!("http://{}", app.address);
    (app, url)
}

#[tokio::test]
async fn a_pipe_gets_a_line_for_each_message_and_its_end_is_no_error() {
    let (_app, url) = app("100");
    let mut child = watch(&["BTC,xbt", "AAPL", "NOPE", "--url", &url, "--throttle", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    for _ in 0..30 {
        let line = soon("a line", lines.next_line()).await.unwrap().expect("more");
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(words.len(), 8, "{line}");
        seen.push(words[1].clone());
    }
    assert!(seen.contains(&"BTC".to_owned()) && seen.contains(&"AAPL".to_owned()), "{seen:?}");
    // As `head` does.
    drop(lines);
    let mut told = String::new();
    soon("its words", child.stderr.take().unwrap().read_to_string(&mut told)).await.unwrap();
    assert_eq!(soon("its end", child.wait()).await.unwrap().code(), Some(0), "{told}");
    assert!(told.contains("NOPE: unknown_symbol"), "{told}");
}

#[tokio::test]
async fn what_is_refused_for_good_ends_it_with_the_services_own_reason() {
    let (_app, url) = app("1");
    let refused = output(&["NOPE", "--url", &url]).await;
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{told}");
    assert!(told.contains("404") && told.contains("unknown symbol `NOPE`"), "{told}");
    let wrong = output(&["BTC", "--url", "127.0.0.1:8080"]).await;
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    assert!(told.contains("`127.0.0.1:8080`") && told.contains("such as http://127.0.0.1:8080"), "{told}");
}

#[tokio::test]
async fn a_service_that_goes_and_comes_back_is_followed_again() {
    let (mut first, url) = app("100");
    let address = first.address;
    let mut child = watch(&["BTC", "--url", &url, "--throttle", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    soon("a price", lines.next_line()).await.unwrap().expect("more");
    first.stop();
    let good_bye = soon("a good-bye", told.next_line()).await.unwrap().expect("more");
    assert!(good_bye.contains("good-bye: draining"), "{good_bye}");
    soon("the end", &mut first.running).await.unwrap().unwrap();
    let mut config = config("");
    config.http.listen = address;
    let listener = soon("the port", async {
        loop {
            match tickcast::http::server::bind(address, false) {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let (_reload, reloads) = tokio::sync::mpsc::channel(1);
    config.feeds.sim.as_mut().unwrap().rate = 100.into();
    let second =
        tokio::spawn(tickcast::app::run(config, Drive::Feeds, listener, reloads, std::future::pending()));
    for _ in 0..50 {
        soon("prices again", lines.next_line()).await.unwrap().expect("more");
    }
    second.abort();
}

/// `script` gives it a terminal; Debian has it everywhere.
#[tokio::test]
async fn a_terminal_gets_a_table_that_keys_work_on_and_is_left_as_it_was() {
    let (_app, url) = app("20");
    let command =
        format!("stty rows 24 cols 130; exec {} watch BTC,AAPL --url {url}", env!("CARGO_BIN_EXE_tickcast"));
    let spawned = Command::new("script")
        .args(["-qfec", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: there is no `script` here to make a terminal");
            return;
        }
        spawned => spawned.unwrap(),
    };
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut drawn = Vec::new();
    let mut until = async |wanted: &str| {
        soon(wanted, async {
            while !String::from_utf8_lossy(&drawn).contains(wanted) {
                assert_ne!(screen.read_buf(&mut drawn).await.unwrap(), 0, "it ended without `{wanted}`");
            }
        })
        .await;
        std::mem::take(&mut drawn)
    };
    until("AAPL").await;
    keys.write_all(b"s").await.unwrap();
    // Only what differs is drawn: of `by symbol` the letters that `as asked` had elsewhere.
    until("symbol").await;
    keys.write_all(b"aETH\r").await.unwrap();
    until("ETH").await;
    keys.write_all(b"q").await.unwrap();
    // The other screen is left and the cursor comes back.
    until("\u{1b}[?1049l").await;
    assert_eq!(soon("its end", child.wait()).await.unwrap().code(), Some(0));
}
