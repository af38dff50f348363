//! A headless Chromium, driven over the W3C WebDriver protocol by the few commands that these tests need.
//!
//! Not a WebDriver crate: the common one brings sixty crates along, and each command is one small JSON request.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a script may wait for what it waits for.
const SCRIPT_MAX: Duration = Duration::from_secs(30);
/// A bit more: the browser's own answer, that the script took too long, says more than ours.
const ANSWER_MAX: Duration = Duration::from_secs(40);
const BROWSERS: [&str; 3] = ["chromium", "google-chrome", "chrome"];
const FOLLOW: &str = include_str!("follow.js");

/// A browser with one page open. One at a time, since each takes a core; dropping it ends it.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one; `None`, loudly, where there is none and `TICKCAST_TEST_BROWSER` does not require one.
    pub fn start() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        static TOLD: Once = Once::new();
        let wanted = std::env::var("TICKCAST_TEST_BROWSER").unwrap_or_default();
        let found = find("chromedriver").zip(BROWSERS.iter().find_map(|name| find(name)));
        let Some((driver, browser)) = found.filter(|_| wanted != "skip") else {
            assert_ne!(wanted, "required", "chromedriver, or the Chromium that goes with it, is not in PATH");
            // Not eprintln: the test harness keeps that to itself when a test passes.
            TOLD.call_once(|| {
                let _ = writeln!(
                    io::stderr(),
                    "SKIPPED: the browser tests check nothing here. They need chromedriver and Chromium in PATH; \
                     on Debian scripts/test installs them (apt-get install chromium chromium-driver)"
                );
            });
            return None;
        };
        // A test that failed has nothing that another could find half done.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port_of(&mut driver);
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{port}"));
        let mut this = Self { driver, port, session: String::new(), profile, _turn: turn };
        let profile = format!("--user-data-dir={}", this.profile.display());
        // Without the sandbox, since root has none and these pages are all our own; without whatever calls home.
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &profile,
        ];
        let session = this.command(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "binary": browser, "args": args },
                "goog:loggingPrefs": { "browser": "ALL" },
                "timeouts": { "script": SCRIPT_MAX.as_millis() },
            } } }),
        );
        this.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Some(this)
    }

    /// Opens an address, and gives the page what is in `follow.js`.
    pub fn open(&self, url: &str) {
        self.command("POST", &format!("{}/url", self.session), &json!({ "url": url }));
        self.run(FOLLOW);
    }

    /// Runs an async function's body in the page and returns what that returns.
    pub fn run(&self, body: &str) -> Value {
        let script = format!("return (async () => {{ {body}\n }})()");
        self.command(
            "POST",
            &format!("{}/execute/sync", self.session),
            &json!({ "script": script, "args": [] }),
        )
    }

    /// Types into the element as a user does.
    pub fn type_into(&self, selector: &str, keys: &str) {
        let found = self.command(
            "POST",
            &format!("{}/element", self.session),
            &json!({ "using": "css selector", "value": selector }),
        );
        let element = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        let path = format!("{}/element/{}/value", self.session, element.unwrap());
        self.command("POST", &path, &json!({ "text": keys }));
    }

    /// Presses keys one after the other, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        });
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.command("POST", &format!("{}/actions", self.session), &json!({ "actions": [keyboard] }));
    }

    /// The tab that commands go to.
    pub fn tab(&self) -> String {
        let handle = self.command("GET", &format!("{}/window", self.session), &json!({}));
        handle.as_str().unwrap().to_owned()
    }

    /// Opens a tab in front of all others and goes on in it.
    pub fn new_tab(&self) {
        let tab = self.command("POST", &format!("{}/window/new", self.session), &json!({ "type": "tab" }));
        self.show_tab(tab["handle"].as_str().unwrap());
    }

    /// Brings a tab to the front and goes on in it.
    pub fn show_tab(&self, tab: &str) {
        self.command("POST", &format!("{}/window", self.session), &json!({ "handle": tab }));
    }

    /// Closes the tab that commands go to; another has to be shown then.
    pub fn close_tab(&self) {
        self.command("DELETE", &format!("{}/window", self.session), &json!({}));
    }

    /// A command of the browser's own protocol.
    pub fn devtools(&self, command: &str, params: &Value) -> Value {
        let path = format!("{}/goog/cdp/execute", self.session);
        self.command("POST", &path, &json!({ "cmd": command, "params": params }))
    }

    /// What the page has written to the console since the last call: scripts that failed, loads that were refused.
    pub fn complaints(&self) -> Vec<String> {
        let entries =
            self.command("POST", &format!("{}/se/log", self.session), &json!({ "type": "browser" }));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, mut answer) = self
            .exchange(method, path, &body.to_string())
            .unwrap_or_else(|error| panic!("{method} {path}: no answer from chromedriver: {error}"));
        let value = answer["value"].take();
        assert_eq!(status, "200", "{method} {path}: {} {}", value["error"], value["message"]);
        value
    }

    /// Sends one request and returns the status and the JSON of its answer.
    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(String, Value)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(ANSWER_MAX))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}"
        );
        socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;

        // The driver leaves the connection open, so the answer ends where its head says.
        let mut answer = BufReader::new(socket);
        let mut head = Vec::new();
        for line in answer.by_ref().lines() {
            match line? {
                line if line.is_empty() => break,
                line => head.push(line.to_lowercase()),
            }
        }
        let status = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        answer.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body)?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session; the rest is for a driver that no longer can. It stays in our
        // process group, so that Ctrl-C reaches it too.
        if self.session.is_empty() || self.exchange("DELETE", &self.session, "").is_err() {
            for browser in children(self.driver.id()) {
                let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL {browser}")).status();
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// The processes that a process has started, where the system tells.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The port that the driver says it took.
fn port_of(driver: &mut Child) -> u16 {
    let stdout = driver.stdout.as_mut().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        said.push(line);
        if said.last().is_some_and(|line| line.contains("successfully on port")) {
            break;
        }
    }
    let port = said.last().and_then(|line| line.trim_end_matches('.').rsplit(' ').next()?.parse().ok());
    port.unwrap_or_else(|| panic!("chromedriver did not say its port: {said:?}"))
}
