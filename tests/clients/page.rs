//! A page in Chromium that runs the two programs for browsers, several streams at once, each from another origin than
//! its own; orders go to it and events come from it over a WebSocket.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::following::{Following, Part, Seen, program};
use crate::programs;
use crate::webdriver::Browser;

/// One at a time is open, so this is some tests' time; what WebDriver itself waits for is told before.
const BROWSER_MAX: Duration = Duration::from_secs(120);

/// Which client the page runs.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    EventSource,
    FetchEventSource,
    /// The same without its options.
    Plain,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::EventSource => "event-source",
            Self::FetchEventSource => "fetch-event-source",
            Self::Plain => "plain",
        }
    }
}

/// Whoever waits for the events of a stream in the page, by the stream's key.
type Listeners = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Seen>>>>;

/// An open page. Every clone is the same one; it is closed with the last.
#[derive(Clone)]
pub struct Page {
    orders: mpsc::UnboundedSender<Value>,
    listeners: Listeners,
    keys: Arc<AtomicU64>,
    pub has_library: bool,
    _browser: Arc<Open>,
}

/// The thread that has the browser; it ends it when this is dropped, and is waited for.
struct Open(Option<(blocking::Sender<()>, std::thread::JoinHandle<()>)>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((close, thread)) = self.0.take() {
            drop(close);
            // What went wrong in it was told there.
            let _ = thread.join();
        }
    }
}

impl Page {
    /// Opens one on a page of a service; `None` where there is no browser.
    pub async fn open(service: SocketAddr) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let library = library();
        let has_library = library.is_some();
        let text =
            |program: Program| fs::read_to_string(self::program(&format!("{}.js", program.name()))).unwrap();
        let programs: Map<_, _> = [Program::EventSource, Program::FetchEventSource]
            .map(|program| (program.name().to_owned(), text(program).into()))
            .into_iter()
            .collect();
        let script = format!(
            "const LIBRARY = {}, PROGRAMS = {}, ORDERS = 'ws://{}';\n{}",
            library.unwrap_or_default(),
            Value::Object(programs),
            listener.local_addr().unwrap(),
            fs::read_to_string(program("page.js")).unwrap(),
        );
        let (ready, is_ready) = oneshot::channel();
        let (close, closed) = blocking::channel::<()>();
        // WebDriver's requests block, and a browser stays with the thread that started it.
        let thread = std::thread::spawn(move || {
            let Some(browser) = Browser::start() else { return };
            browser.open(&format!("http://{service}/health/live"));
            browser.run(&script);
            // An error means that the test has ended.
            let _ = ready.send(());
            let _ = closed.recv();
        });
        let (orders, given) = mpsc::unbounded_channel();
        let listeners = Listeners::default();
        let talk = tokio::spawn(talk(listener, given, Arc::clone(&listeners)));
        if timeout(BROWSER_MAX, is_ready).await.expect("a browser in time").is_err() {
            talk.abort();
            thread.join().unwrap();
            return None;
        }
        let open = Arc::new(Open(Some((close, thread))));
        Some(Self { orders, listeners, keys: Arc::default(), has_library, _browser: open })
    }

    pub fn follow(&self, program: Program, url: &str) -> Following {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let (tell, seen) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap().insert(key, tell);
        self.orders.send(json!({ "key": key, "program": program.name(), "url": url })).unwrap();
        let orders = self.orders.clone();
        let close = move || {
            // Where nobody takes it, the page is gone, and the stream with it.
            let _ = orders.send(json!({ "key": key }));
        };
        Following::new(seen, Part::Page(Box::new(close)))
    }
}

impl Page {
    /// Lets the page believe that its tab is hidden, or shown again.
    pub fn hide(&self, hidden: bool) {
        self.orders.send(json!({ "hidden": hidden })).unwrap();
    }
}

/// The files of fetch-event-source as published; `None` where it is not installed.
fn library() -> Option<Value> {
    let home = programs::installed().join("node/node_modules/@microsoft/fetch-event-source/lib/cjs");
    let text = |name: &str| fs::read_to_string(home.join(name)).ok();
    Some(json!({ "./fetch": text("fetch.js")?, "./parse": text("parse.js")? }))
}

/// A browser may open more sockets than it then speaks on.
async fn first_to_speak(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let mut sockets = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                sockets.spawn(accept_async(accepted.unwrap().0));
            }
            Some(Ok(Ok(page))) = sockets.join_next() => return page,
        }
    }
}

/// Passes orders to the page, and events to whom they are for.
async fn talk(listener: TcpListener, mut orders: mpsc::UnboundedReceiver<Value>, listeners: Listeners) {
    let mut page = first_to_speak(&listener).await;
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else { return };
                if page.send(Message::text(order.to_string())).await.is_err() { return }
            }
            told = page.next() => {
                let Some(Ok(told)) = told else { return };
                let Ok(text) = told.to_text() else { continue };
                let Ok(told) = serde_json::from_str::<Value>(text) else { continue };
                let word = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
                let seen = Seen::now(&word("name"), &word("id"), told["data"].clone());
                let listeners = listeners.lock().unwrap();
                if let Some(listener) = told["key"].as_u64().and_then(|key| listeners.get(&key)) {
                    // An error means that its test has ended.
                    let _ = listener.send(seen);
                }
            }
        }
    }
}
