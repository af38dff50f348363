//! The physical limit: each tick written to each follower's socket by one thread, with nothing of HTTP but the first head.
//! Whoever does not take an event whole loses those that come until it does; nothing is queued.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tickcast_load::market::{Market, wall_us};
use tickcast_load::{listen, machine, symbols};

const LISTENER: Token = Token(usize::MAX);
const REQUEST_BYTES_MAX: usize = 64 << 10;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\n: ok\n\n\r\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// Writes simulated prices straight to sockets: what the kernel alone costs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Symbols: S000, S001, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    symbols: u32,

    /// Price changes a second and symbol
    #[arg(long, default_value_t = 10.0)]
    rate: f64,

    /// Events a write
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    batch: u8,

    /// Lets other processes listen at the same address
    #[arg(long)]
    shared_port: bool,
}

struct Client {
    socket: TcpStream,
    /// The request so far; empty once it was answered.
    request: Vec<u8>,
    follows: Vec<usize>,
    waiting: Vec<Rc<str>>,
    /// The rest of an event that was taken in part.
    rest: Vec<u8>,
}

struct Raw {
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Client>,
    followers: Vec<Vec<usize>>,
    batch: usize,
}

impl Raw {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, or a client that has gone again: the others go on.
                Err(_) => return Ok(()),
            };
            socket.set_nodelay(true)?;
            let entry = self.clients.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(entry.key()), both)?;
            let (request, follows, waiting, rest) = Default::default();
            entry.insert(Client { socket, request, follows, waiting, rest });
        }
    }

    fn publish(&mut self, symbol: usize, event: &Rc<str>) {
        // By number, since one who has gone leaves the list.
        let mut next = 0;
        while let Some(&key) = self.followers[symbol].get(next) {
            if self.clients[key].take(event, self.batch).is_err() {
                self.close(key);
            } else {
                next += 1;
            }
        }
    }

    fn serve(&mut self, key: usize, is_writable: bool) {
        let symbols = self.followers.len();
        let Some(client) = self.clients.get_mut(key) else { return };
        let outcome = if is_writable { client.write_rest() } else { Ok(()) };
        match outcome.and_then(|()| client.read_request(symbols)) {
            Ok(false) => {}
            Ok(true) => client.follows.iter().for_each(|symbol| self.followers[*symbol].push(key)),
            Err(_) => self.close(key),
        }
    }

    fn close(&mut self, key: usize) {
        let Client { follows, .. } = self.clients.remove(key);
        for symbol in follows {
            self.followers[symbol].retain(|follower| *follower != key);
        }
    }

    fn run(mut self, mut market: Market) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            while let Some(tick) = market.tick(now, wall_us()) {
                self.publish(tick.index, &tick.chunk().into());
            }
            let wait = market.due().map(|due| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, Some(wait.unwrap_or(Duration::from_secs(1)))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(key) => self.serve(key, event.is_writable()),
                }
            }
        }
    }
}

impl Client {
    fn take(&mut self, event: &Rc<str>, batch: usize) -> io::Result<()> {
        if !self.rest.is_empty() {
            return Ok(());
        }
        if batch == 1 {
            return self.write(&[event.as_bytes()]);
        }
        self.waiting.push(Rc::clone(event));
        if self.waiting.len() < batch {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let outcome = self.write(&waiting.iter().map(|event| event.as_bytes()).collect::<Vec<_>>());
        self.waiting = waiting;
        self.waiting.clear();
        outcome
    }

    /// One system call; what was not taken of the event that was begun is kept, and the others are lost.
    fn write(&mut self, events: &[&[u8]]) -> io::Result<()> {
        let outcome = match events {
            [event] => self.socket.write(event),
            _ => self
                .socket
                .write_vectored(&events.iter().map(|event| IoSlice::new(event)).collect::<Vec<_>>()),
        };
        let mut written = match outcome {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for event in events {
            if written == 0 {
                break;
            }
            if written < event.len() {
                self.rest.extend_from_slice(&event[written..]);
                break;
            }
            written -= event.len();
        }
        Ok(())
    }

    fn write_rest(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            match self.socket.write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the request and answers it; whether it has just begun to follow.
    fn read_request(&mut self, symbols: usize) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) if self.follows.is_empty() => self.request.extend_from_slice(&buffer[..read]),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.request.len() > REQUEST_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if !self.request.ends_with(b"\r\n\r\n") {
            return Ok(false);
        }
        let request = std::mem::take(&mut self.request);
        let Some(follows) = followed(&String::from_utf8_lossy(&request), symbols) else {
            self.write(&[NOT_FOUND])?;
            return Err(io::ErrorKind::NotFound.into());
        };
        self.follows = follows;
        self.write(&[HEAD])?;
        Ok(true)
    }
}

/// The symbols of a request's query, where it has some and all exist.
fn followed(request: &str, symbols: usize) -> Option<Vec<usize>> {
    let target = request.split(' ').nth(1)?;
    let query = target.strip_prefix("/prices?")?;
    let list = query.split('&').find_map(|pair| pair.strip_prefix("symbols="))?;
    list.split(',').map(|name| symbols::index(name, symbols)).collect()
}

#[expect(clippy::print_stdout, reason = "says where it is")]
fn run(arguments: &Arguments) -> io::Result<()> {
    machine::raise_descriptors()?;
    let mut listener = TcpListener::from_std(listen::bind(arguments.listen, arguments.shared_port)?);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("raw is at http://{}/", listener.local_addr()?);
    let symbols = usize::try_from(arguments.symbols).unwrap_or(usize::MAX);
    let raw = Raw {
        poll,
        listener,
        clients: Slab::new(),
        followers: vec![Vec::new(); symbols],
        batch: arguments.batch.into(),
    };
    raw.run(Market::new(symbols, arguments.rate, Instant::now()))
}

#[expect(clippy::print_stderr, reason = "says why it can't run")]
fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw: {error}");
            ExitCode::FAILURE
        }
    }
}
