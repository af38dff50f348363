//! A venue on this machine that speaks Coinbase, Kraken, Binance, OKX or Alpaca closely enough, enforces its limits by its own
//! clock, and does on command what venues do on a bad day.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::soon;

/// Whose language is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Coinbase,
    Kraken,
    Binance,
    Okx,
    Alpaca,
}

/// How the next connection is received.
#[derive(Clone, Copy)]
pub enum Welcome {
    Open,
    /// An HTTP status instead of a WebSocket, with a `Retry-After`.
    Status(u16, Option<&'static str>),
    /// Accepted, then closed with this code and reason at once.
    Close(u16, &'static str),
    /// Accepted and cut without a word.
    HangUp,
}

/// The venue. Dropping it cuts everybody off and frees its port.
pub struct Venue {
    pub address: SocketAddr,
    language: Language,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
    tasks: JoinSet<()>,
}

/// What the venue has seen, and how it behaves.
pub struct State {
    /// When each connection was asked for.
    pub attempts: Vec<Instant>,
    /// Every connection that was accepted, in order.
    pub connections: Vec<Connection>,
    /// For the next connections; then they are welcome.
    pub welcomes: VecDeque<Welcome>,
    /// Names that no subscription may hold.
    pub refused: BTreeSet<String>,
    /// Requests that are not answered, nor heeded: the next so many.
    pub deaf_for: usize,
    /// Requests that are answered, and not heeded.
    pub forgets: BTreeSet<String>,
    /// More frames in any rolling window than this: closed with 1008.
    pub limit: Option<(usize, Duration)>,
    /// How a key is answered; otherwise it is accepted.
    pub auth_refusal: Option<&'static str>,
    next_trade: u64,
}

/// One connection as the venue sees it.
pub struct Connection {
    pub opened: Instant,
    /// Frames with their times, pings and pongs too (as `ping`, `pong`).
    pub frames: Vec<(Instant, String)>,
    pub subscribed: BTreeSet<String>,
    /// What ended it, from our side or theirs; `None` while it is open.
    pub ended: Option<End>,
    out: mpsc::UnboundedSender<Out>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame of this code.
    Closed(u16),
    /// Without one.
    Cut,
}

enum Out {
    Frame(Message),
    Cut,
}

impl Venue {
    pub fn start(language: Language) -> Self {
        Self::start_at(language, "127.0.0.1:0".parse().unwrap())
    }

    /// At an address where another may have been a moment ago.
    pub fn start_at(language: Language, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1024).unwrap();
        let state = State {
            attempts: Vec::new(),
            connections: Vec::new(),
            welcomes: VecDeque::new(),
            refused: BTreeSet::new(),
            deaf_for: 0,
            forgets: BTreeSet::new(),
            limit: None,
            auth_refusal: None,
            next_trade: 1,
        };
        let (state, changed) = (Arc::new(Mutex::new(state)), watch::Sender::new(()));
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, language, Arc::clone(&state), changed.clone()));
        Self { address, language, state, changed, tasks }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Looks at the state, or changes how the venue behaves.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// Waits until the venue has seen this.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        soon(what, async {
            loop {
                changed.borrow_and_update();
                if let Some(seen) = self.with(&mut look) {
                    return seen;
                }
                changed.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until so many connections were accepted and the newest follows all of these.
    pub async fn until_followed(&self, connections: usize, wires: &[&str]) {
        let follows = |state: &mut State| {
            let newest = state.connections.last()?;
            let all = wires.iter().all(|&wire| newest.subscribed.contains(wire));
            (state.connections.len() >= connections && all).then_some(())
        };
        self.until(&format!("connection {connections} that follows {wires:?}"), follows).await;
    }

    /// A print, told to all who follow it. Returns its id.
    pub fn trade(&self, wire: &str, price: &str) -> u64 {
        self.with(|state| {
            let id = state.next_trade;
            state.next_trade += 1;
            let text = trade(self.language, wire, price, id);
            for connection in
                state.connections.iter().filter(|connection| connection.subscribed.contains(wire))
            {
                let _ = connection.out.send(Out::Frame(Message::text(text.clone())));
            }
            id
        })
    }

    /// A frame to everybody.
    pub fn say(&self, text: &str) {
        self.send(&Message::text(text.to_owned()));
    }

    /// A protocol ping to everybody.
    pub fn ping(&self) {
        self.send(&Message::Ping(Bytes::from_static(b"1")));
    }

    /// What the language has for heartbeats.
    pub fn heartbeat(&self) {
        match self.language {
            Language::Coinbase => {
                self.say(r#"{"type":"heartbeat","sequence":1,"last_trade_id":0,"product_id":"BTC-USD"}"#);
            }
            Language::Kraken => self.say(r#"{"channel":"heartbeat"}"#),
            Language::Binance | Language::Alpaca => self.ping(),
            Language::Okx => self.say("pong"),
        }
    }

    /// Says good-bye to everybody.
    pub fn close(&self, code: u16, reason: &'static str) {
        self.send(&Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })));
    }

    /// Cuts everybody off without a word.
    pub fn cut(&self) {
        self.with(|state| {
            for connection in &state.connections {
                let _ = connection.out.send(Out::Cut);
            }
        });
    }

    /// Stops listening and cuts everybody off; returns once the port is free.
    pub async fn vanish(mut self) -> SocketAddr {
        self.tasks.shutdown().await;
        self.address
    }

    fn send(&self, message: &Message) {
        self.with(|state| {
            for connection in &state.connections {
                let _ = connection.out.send(Out::Frame(message.clone()));
            }
        });
    }
}

impl State {
    /// Every text that came, on all connections.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.connections.iter().flat_map(|connection| &connection.frames).map(|(_, text)| text.as_str())
    }
}

impl Connection {
    /// The most frames within any window of this length.
    pub fn most_in(&self, window: Duration) -> usize {
        let from = |start: Instant| {
            self.frames.iter().filter(|(at, _)| *at >= start && *at < start + window).count()
        };
        self.frames.iter().map(|(at, _)| from(*at)).max().unwrap_or(0)
    }
}

async fn accept(
    listener: TcpListener,
    language: Language,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let welcome = {
            let mut state = state.lock().unwrap();
            state.attempts.push(Instant::now());
            state.welcomes.pop_front().unwrap_or(Welcome::Open)
        };
        changed.send_replace(());
        open.spawn(receive(stream, welcome, language, Arc::clone(&state), changed.clone()));
    }
}

async fn receive(
    stream: TcpStream,
    welcome: Welcome,
    language: Language,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
) {
    let greet = |_: &Request, response: Response| match welcome {
        Welcome::Status(status, retry_after) => {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(wait) = retry_after {
                refusal.headers_mut().insert("retry-after", HeaderValue::from_static(wait));
            }
            Err(refusal)
        }
        _ => Ok(response),
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, greet).await else { return };
    match welcome {
        Welcome::Close(code, reason) => {
            let _ = socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await;
            while let Some(Ok(_)) = socket.next().await {}
        }
        Welcome::HangUp => {}
        _ => serve(socket, language, &state, &changed).await,
    }
}

async fn serve(
    mut socket: WebSocketStream<TcpStream>,
    language: Language,
    state: &Mutex<State>,
    changed: &watch::Sender<()>,
) {
    #[expect(clippy::disallowed_methods, reason = "a test's own queue: what it puts in is what there is")]
    let (out, mut to_send) = mpsc::unbounded_channel();
    let index = {
        let mut state = state.lock().unwrap();
        let (frames, subscribed) = (Vec::new(), BTreeSet::new());
        state.connections.push(Connection { opened: Instant::now(), frames, subscribed, ended: None, out });
        state.connections.len() - 1
    };
    changed.send_replace(());
    if language == Language::Kraken {
        let status =
            json!({"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]});
        let _ = socket.send(Message::text(status.to_string())).await;
    }
    if language == Language::Alpaca {
        let _ = socket.send(Message::text(r#"[{"T":"success","msg":"connected"}]"#)).await;
    }
    let end = loop {
        let came = tokio::select! {
            Some(out) = to_send.recv() => match out {
                Out::Cut => break End::Cut,
                Out::Frame(frame) => {
                    // Whatever is waiting goes out in one piece, as from a busy venue.
                    if socket.feed(frame).await.is_err() {
                        break End::Cut;
                    }
                    while let Ok(Out::Frame(frame)) = to_send.try_recv() {
                        let _ = socket.feed(frame).await;
                    }
                    let _ = socket.flush().await;
                    continue;
                }
            },
            came = socket.next() => came,
        };
        let text = match came {
            Some(Ok(Message::Text(text))) => text.to_string(),
            Some(Ok(Message::Ping(_))) => "ping".to_owned(),
            Some(Ok(Message::Pong(_))) => "pong".to_owned(),
            Some(Ok(Message::Close(frame))) => {
                break End::Closed(frame.map_or(1005, |frame| frame.code.into()));
            }
            Some(Ok(_)) => continue,
            None | Some(Err(_)) => break End::Cut,
        };
        let replies = {
            let mut state = state.lock().unwrap();
            let connection = &mut state.connections[index];
            connection.frames.push((Instant::now(), text.clone()));
            let over = state.limit.filter(|&(most, window)| {
                let now = Instant::now();
                let recent = |at: &Instant| now.duration_since(*at) < window;
                state.connections[index].frames.iter().filter(|(at, _)| recent(at)).count() > most
            });
            if over.is_some() { None } else { Some(state.answer(language, index, &text)) }
        };
        changed.send_replace(());
        let Some(replies) = replies else {
            let reason = "Too many requests".into();
            let _ = socket.close(Some(CloseFrame { code: 1008.into(), reason })).await;
            break End::Closed(1008);
        };
        for reply in replies {
            let _ = socket.send(Message::text(reply)).await;
        }
    };
    {
        let mut state = state.lock().unwrap();
        let connection = &mut state.connections[index];
        connection.ended = Some(end);
        connection.subscribed.clear();
    }
    changed.send_replace(());
    if end != End::Cut {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

impl State {
    fn answer(&mut self, language: Language, connection: usize, text: &str) -> Vec<String> {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return if text == "ping" && language == Language::Okx {
                vec!["pong".to_owned()]
            } else {
                Vec::new()
            };
        };
        if self.deaf_for > 0 {
            self.deaf_for -= 1;
            return Vec::new();
        }
        let strings = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        match language {
            Language::Coinbase => {
                let wires = strings(&frame["product_ids"]);
                // One product that there is not, and the whole request is void.
                if let Some(bad) = wires.iter().find(|wire| self.refused.contains(*wire)) {
                    let reason = format!("{bad} is not a valid product");
                    return vec![
                        json!({"type":"error","message":"Failed to subscribe","reason":reason}).to_string(),
                    ];
                }
                self.follow(connection, wires);
                let all = &self.connections[connection].subscribed;
                let channels =
                    ["ticker", "matches", "heartbeat"].map(|name| json!({"name":name,"product_ids":all}));
                vec![json!({"type":"subscriptions","channels":channels}).to_string()]
            }
            Language::Kraken => {
                let (channel, id) = (frame["params"]["channel"].clone(), frame["req_id"].clone());
                let answer = |wire: String| {
                    if self.refused.contains(&wire) {
                        let error = format!("Currency pair not supported {wire}");
                        return json!({"method":"subscribe","success":false,"error":error,"symbol":wire,"req_id":id});
                    }
                    self.follow(connection, vec![wire.clone()]);
                    let result = json!({"channel":channel,"symbol":wire});
                    json!({"method":"subscribe","success":true,"result":result,"req_id":id})
                };
                strings(&frame["params"]["symbol"])
                    .into_iter()
                    .map(answer)
                    .map(|answer| answer.to_string())
                    .collect()
            }
            Language::Binance => {
                let streams = strings(&frame["params"]);
                let wires: Vec<String> =
                    streams.iter().map(|stream| stream.split('@').next().unwrap().to_uppercase()).collect();
                // It does not say which one it is about.
                if wires.iter().any(|wire| self.refused.contains(wire)) {
                    let message = "Invalid request: unknown stream";
                    return vec![json!({"code":2,"msg":message,"id":frame["id"]}).to_string()];
                }
                self.follow(connection, wires);
                vec![json!({"result":null,"id":frame["id"]}).to_string()]
            }
            Language::Alpaca if frame["action"] == "auth" => {
                let accepted = r#"[{"T":"success","msg":"authenticated"}]"#;
                vec![self.auth_refusal.unwrap_or(accepted).to_owned()]
            }
            Language::Alpaca => {
                self.follow(connection, strings(&frame["trades"]));
                let all = &self.connections[connection].subscribed;
                vec![json!([{"T":"subscription","trades":all,"quotes":all,"bars":[]}]).to_string()]
            }
            Language::Okx => {
                let args = frame["args"].as_array().unwrap().clone();
                let answer = |arg: Value| {
                    let wire = arg["instId"].as_str().unwrap().to_owned();
                    if self.refused.contains(&wire) {
                        let message = format!(
                            "Wrong URL or channel:{},instId:{wire} doesn't exist.",
                            arg["channel"].as_str().unwrap()
                        );
                        return json!({"event":"error","code":"60018","msg":message,"connId":"a"})
                            .to_string();
                    }
                    self.follow(connection, vec![wire]);
                    json!({"event":"subscribe","arg":arg,"connId":"a"}).to_string()
                };
                args.into_iter().map(answer).collect()
            }
        }
    }

    fn follow(&mut self, connection: usize, wires: Vec<String>) {
        let heeded = wires.into_iter().filter(|wire| !self.forgets.contains(wire));
        self.connections[connection].subscribed.extend(heeded);
    }
}

fn trade(language: Language, wire: &str, price: &str, id: u64) -> String {
    let now = tickcast::clock::system();
    let ms = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let time = humantime::format_rfc3339_micros(now);
    let mut text = String::new();
    let written = match language {
        Language::Coinbase => write!(
            text,
            r#"{{"type":"match","trade_id":{id},"side":"sell","size":"0.01","price":"{price}","product_id":"{wire}","sequence":{id},"time":"{time}"}}"#
        ),
        Language::Kraken => write!(
            text,
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{wire}","side":"buy","price":{price},"qty":0.01,"ord_type":"market","trade_id":{id},"timestamp":"{time}"}}]}}"#
        ),
        Language::Binance => write!(
            text,
            r#"{{"e":"trade","E":{ms},"s":"{wire}","t":{id},"p":"{price}","q":"0.01","T":{ms},"m":true,"M":true}}"#
        ),
        Language::Alpaca => write!(
            text,
            r#"[{{"T":"t","S":"{wire}","i":{id},"x":"V","p":{price},"s":100,"c":["@"],"t":"{time}","z":"C"}}]"#
        ),
        Language::Okx => write!(
            text,
            r#"{{"arg":{{"channel":"trades","instId":"{wire}"}},"data":[{{"instId":"{wire}","tradeId":"{id}","px":"{price}","sz":"0.01","side":"buy","ts":"{ms}"}}]}}"#
        ),
    };
    written.unwrap();
    text
}
