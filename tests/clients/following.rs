//! Clients of others, each following a stream of its own, and what they tell of it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::follow::follow_prices;
use crate::page::{Page, Program};
use crate::programs::{self, Running};
use crate::support::soon;

/// An event as a client told it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    /// `closed` where the client says that it will not come back.
    pub name: String,
    /// As the client shows it: some leave it empty in events that brought none.
    pub id: String,
    pub data: Value,
}

impl Seen {
    pub fn now(name: &str, id: &str, data: Value) -> Self {
        Self { at: Instant::now(), name: name.to_owned(), id: id.to_owned(), data }
    }

    /// `BTC=100.10`, of a message.
    pub fn said(&self) -> String {
        let text = |field: &str| self.data[field].as_str().unwrap_or("null").to_owned();
        format!("{}={}", text("symbol"), text("price"))
    }
}

/// A client that follows one stream. Dropping it ends it.
pub struct Following {
    seen: mpsc::UnboundedReceiver<Seen>,
    /// The last id that was told.
    pub last_id: String,
    _client: Part,
}

/// What keeps a client going.
pub enum Part {
    Process(#[expect(dead_code, reason = "held to be dropped")] Running),
    Task(JoinHandle<()>),
    Page(Box<dyn Fn() + Send + Sync>),
}

impl Drop for Part {
    fn drop(&mut self) {
        match self {
            Self::Process(_) => {}
            Self::Task(task) => task.abort(),
            Self::Page(close) => close(),
        }
    }
}

impl Following {
    pub fn new(seen: mpsc::UnboundedReceiver<Seen>, client: Part) -> Self {
        Self { seen, last_id: String::new(), _client: client }
    }

    /// The next event but `hb`.
    pub async fn next(&mut self) -> Seen {
        loop {
            let seen = soon("an event", self.seen.recv()).await.expect("a client that tells its end");
            if !seen.id.is_empty() {
                self.last_id.clone_from(&seen.id);
            }
            if seen.name != "hb" {
                return seen;
            }
        }
    }

    /// The next event, which has to be of that name.
    pub async fn expect(&mut self, name: &str) -> Seen {
        let seen = self.next().await;
        assert_eq!(seen.name, name, "{seen:?}");
        seen
    }

    /// The next event of that name; messages before it are passed over.
    pub async fn past_messages(&mut self, name: &str) -> Seen {
        loop {
            let seen = self.next().await;
            if seen.name == name {
                return seen;
            }
            assert_eq!(seen.name, "message", "before {name}: {seen:?}");
        }
    }
}

/// The clients that the tests know.
#[derive(Clone)]
pub enum Client {
    /// Chromium's own `EventSource`.
    EventSource(Page),
    /// npm's `@microsoft/fetch-event-source`, in Chromium.
    FetchEventSource(Page),
    /// npm's `eventsource`, in Node.
    NodeEventSource { node: PathBuf, main: PathBuf },
    /// `httpx-sse`.
    Python(PathBuf),
    /// The crate `eventsource-client`.
    Rust,
    /// curl, in a loop of bash.
    Curl,
}

/// Where the programs are.
pub fn program(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(file)
}

impl Client {
    /// npm's `eventsource`, where Node and the package are installed.
    pub fn node() -> Option<Self> {
        let (node, home) = (programs::find("node")?, programs::installed().join("node"));
        home.join("node_modules/eventsource/package.json").is_file().then(|| {
            // Node looks for packages beside the file that asks for them.
            let main = home.join("main.js");
            fs::copy(program("node/main.js"), &main).unwrap();
            Self::NodeEventSource { node, main }
        })
    }

    /// `httpx-sse`, where it is installed.
    pub fn python() -> Option<Self> {
        let python = programs::installed().join("python/bin/python");
        let works = Command::new(&python).args(["-c", "import httpx_sse"]).stderr(Stdio::null()).status();
        works.is_ok_and(|status| status.success()).then_some(Self::Python(python))
    }

    pub fn curl() -> Option<Self> {
        programs::find("curl").and(programs::find("bash")).and(Some(Self::Curl))
    }

    pub fn follow(&self, url: &str) -> Following {
        match self {
            Self::EventSource(page) => page.follow(Program::EventSource, url),
            Self::FetchEventSource(page) => page.follow(Program::FetchEventSource, url),
            Self::NodeEventSource { node, main } => {
                process(Command::new(node).arg(main).arg(program("event-source.js")).arg(url))
            }
            Self::Python(python) => process(Command::new(python).arg(program("follow.py")).arg(url)),
            Self::Rust => task(url.to_owned()),
            Self::Curl => process(Command::new("bash").arg(program("follow.sh")).arg(url)),
        }
    }
}

/// A program that prints name, id and data of each event, tabs between them. What it complained of is the data of `closed`.
fn process(command: &mut Command) -> Following {
    let mut process = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let child = process.child();
    let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (tell, seen) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let parts: Vec<&str> = line.splitn(3, '\t').collect();
            let [name, id, data] = parts[..] else { panic!("not an event: {line}") };
            let data = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {line}"));
            // An error means that the test has ended.
            let _ = tell.send(Seen::now(name, id, data));
        }
        let mut complaint = String::new();
        let _ = stderr.read_to_string(&mut complaint);
        let _ = tell.send(Seen::now("closed", "", Value::String(complaint)));
    });
    Following::new(seen, Part::Process(process))
}

fn task(url: String) -> Following {
    let (tell, seen) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let told = follow_prices(&url, |event| {
            let data = serde_json::from_str(&event.data).unwrap();
            let _ = tell.send(Seen::now(&event.event_type, event.id.as_deref().unwrap_or_default(), data));
        });
        let mut complaint = String::new();
        if let Err(error) = told.await {
            write!(complaint, "{error}").unwrap();
        }
        let _ = tell.send(Seen::now("closed", "", Value::String(complaint)));
    });
    Following::new(seen, Part::Task(task))
}
