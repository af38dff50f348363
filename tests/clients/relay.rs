//! A TCP relay between a client and the service: the test can cut it, hold it and lead it elsewhere, and it notes what
//! was asked through it and what the answers' heads said.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::soon;

/// A request for prices, or its preflight; other paths are passed on unnoted.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    head: String,
    /// The answer's head, once it has come.
    answer: Option<String>,
}

/// The value of a header in a head as it went over the wire.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

impl Asked {
    pub fn is_preflight(&self) -> bool {
        self.head.starts_with("OPTIONS ")
    }

    pub fn last_event_id(&self) -> Option<&str> {
        header(&self.head, "last-event-id")
    }

    pub fn status(&self) -> u16 {
        let answer = self.answer.as_deref().unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn answered(&self, name: &str) -> Option<&str> {
        header(self.answer.as_deref().unwrap(), name)
    }
}

/// Where connections are led to, and how often they have been cut.
#[derive(Clone, Copy)]
struct Lead {
    to: Option<SocketAddr>,
    cuts: u32,
}

/// A relay on a free port of loopback. It ends with the test's runtime.
pub struct Relay {
    pub address: SocketAddr,
    lead: watch::Sender<Lead>,
    asked: watch::Receiver<Vec<Asked>>,
}

impl Relay {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lead = watch::Sender::new(Lead { to: Some(to), cuts: 0 });
        let (notes, asked) = watch::channel(Vec::new());
        let leads = lead.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, leads.clone(), notes.clone()));
            }
        });
        Self { address, lead, asked }
    }

    pub fn url(&self, query: &str) -> String {
        format!("http://{}/prices?{query}", self.address)
    }

    /// From now on, connections wait to be led anywhere.
    pub fn hold(&self) {
        self.lead.send_modify(|lead| lead.to = None);
    }

    /// Ends all connections without another byte, and holds those that follow.
    pub fn cut(&self) {
        self.lead.send_modify(|lead| *lead = Lead { to: None, cuts: lead.cuts + 1 });
    }

    /// Leads those that wait, and all that follow, to this address.
    pub fn lead_to(&self, to: SocketAddr) {
        self.lead.send_modify(|lead| lead.to = Some(to));
    }

    /// The request of that number from 0, preflights counted, as soon as it has come.
    pub async fn came(&self, number: usize) -> Asked {
        self.noted(|all| all.get(number).cloned()).await
    }

    /// The request of that number from 0, preflights not counted, as soon as it has come.
    pub async fn asked(&self, number: usize) -> Asked {
        self.noted(|all| all.iter().filter(|asked| !asked.is_preflight()).nth(number).cloned()).await
    }

    /// The first request, as soon as its answer's head has come.
    pub async fn answered(&self) -> Asked {
        self.noted(|all| all.first().filter(|asked| asked.answer.is_some()).cloned()).await
    }

    /// How many there were until now.
    pub fn count(&self) -> usize {
        self.asked.borrow().len()
    }

    async fn noted(&self, wanted: impl Fn(&[Asked]) -> Option<Asked>) -> Asked {
        let mut notes = self.asked.clone();
        let found = soon("a request", notes.wait_for(|all| wanted(all).is_some())).await;
        wanted(&found.unwrap()).unwrap()
    }
}

/// One connection: notes heads on the way there, and the first line and headers of answers on the way back.
async fn carry(mut client: TcpStream, mut leads: watch::Receiver<Lead>, notes: watch::Sender<Vec<Asked>>) {
    let cuts = leads.borrow().cuts;
    client.set_nodelay(true).unwrap();
    let mut heads = Vec::new();
    // What is read at once: a whole head at least.
    let (mut there, mut back) = (Vec::with_capacity(1 << 16), Vec::with_capacity(1 << 16));
    let mut service: Option<TcpStream> = None;
    let mut open = Vec::new();
    loop {
        there.clear();
        back.clear();
        tokio::select! {
            read = client.read_buf(&mut there) => {
                if !read.is_ok_and(|count| count > 0) { return; }
                heads.extend_from_slice(&there);
                note(&mut heads, &notes, &mut open);
                loop {
                    let lead = *leads.borrow_and_update();
                    if lead.cuts != cuts { return; }
                    match (&service, lead.to) {
                        (None, Some(to)) => {
                            let Ok(connected) = TcpStream::connect(to).await else { return };
                            connected.set_nodelay(true).unwrap();
                            service = Some(connected);
                        }
                        (None, None) => if leads.changed().await.is_err() { return },
                        (Some(_), _) => break,
                    }
                }
                let Some(service) = &mut service else { return };
                if service.write_all(&there).await.is_err() { return; }
            }
            read = from(&mut service, &mut back) => {
                if !read.is_ok_and(|count| count > 0) { return; }
                if back.starts_with(b"HTTP/1.1 ") && !open.is_empty() {
                    // The service writes a head at once.
                    let answer = String::from_utf8_lossy(&back).split("\r\n\r\n").next().map(str::to_owned);
                    if let Some(number) = open.remove(0) {
                        notes.send_modify(|all: &mut Vec<Asked>| all[number].answer = answer);
                    }
                }
                if client.write_all(&back).await.is_err() { return; }
            }
            changed = leads.changed() => if changed.is_err() || leads.borrow().cuts != cuts { return },
        }
    }
}

/// What the service says; nothing as long as there is none.
async fn from(service: &mut Option<TcpStream>, back: &mut Vec<u8>) -> std::io::Result<usize> {
    match service {
        Some(service) => service.read_buf(back).await,
        None => std::future::pending().await,
    }
}

/// Takes whole heads out of what has come: no request here has a body. `open` are those not answered yet, with the
/// number of their note.
fn note(heads: &mut Vec<u8>, notes: &watch::Sender<Vec<Asked>>, open: &mut Vec<Option<usize>>) {
    while let Some(end) = heads.windows(4).position(|part| part == b"\r\n\r\n") {
        let head: Vec<u8> = heads.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        if head.starts_with("GET /prices") || head.starts_with("OPTIONS /prices") {
            open.push(Some(notes.borrow().len()));
            notes.send_modify(|all| all.push(Asked { at: Instant::now(), head, answer: None }));
        } else {
            open.push(None);
        }
    }
}
