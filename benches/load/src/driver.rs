//! Many SSE streams on one thread: opens them, reads them, and says what came of each window of time.
//!
//! Closing resets the connection, so that no port waits out its time; see [`Plan::churn`] for the exception.

mod plan;
mod stream;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::latency::Latency;
use crate::machine::{self, Server};
use crate::market::wall_us;
use crate::tally::Tally;
pub use plan::Plan;
use plan::whole;
use stream::{Phase, Stream};

/// Most that one read takes. A read that fills it is followed by another.
const READ_BYTES: usize = 256 << 10;
const EVENTS_PER_TURN: usize = 1024;
const RSS_EVERY: Duration = Duration::from_millis(250);
const DESCRIPTORS_EVERY: Duration = Duration::from_millis(100);

/// What came of opening.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Streams open.
    pub open: usize,
    /// From the first connect to the last response head (or the end of patience).
    pub took: Duration,
}

/// What happened in a window of time.
#[derive(Clone, Debug)]
pub struct Window {
    /// How long it was.
    pub took: Duration,
    /// Events, messages, delays.
    pub tally: Tally,
    /// Bytes, chunked framing included.
    pub bytes: u64,
    /// Reads that brought something.
    pub reads: u64,
    /// Messages of the reading stream that got the fewest, and of the one that got the most.
    pub messages: Option<(u64, u64)>,
    /// User and system time of the server.
    pub server_cpu: Duration,
    /// The server's resident memory at the start, the most seen, and at the end, in KiB.
    pub rss_kib: [u64; 3],
    /// User and system time of this process.
    pub own_cpu: Duration,
    /// Of all CPUs together, whoever used them.
    pub busy: Duration,
    /// When the server's descriptors told that the first and the last of the frozen streams were cut.
    pub cut: [Option<Duration>; 2],
}

/// Streams, open and to be opened.
pub struct Driver {
    plan: Plan,
    server: Server,
    poll: Poll,
    buffer: Vec<u8>,
    streams: Vec<Stream>,
    /// How many of them are on their way: connecting, or waiting for the response head.
    pending: usize,
    tally: Tally,
    bytes: u64,
    reads: u64,
    /// Connect to response head.
    heads: Latency,
    faults: BTreeMap<String, u64>,
    disconnects: u64,
    churned: u64,
    frozen_resets: u64,
    next_churned: usize,
}

impl Driver {
    /// Nothing opened yet; `server` is what CPU time and memory are taken from.
    pub fn new(plan: Plan, server: Server) -> io::Result<Self> {
        let tally = Tally::new(plan.sample, wall_us);
        Ok(Self {
            plan,
            server,
            poll: Poll::new()?,
            buffer: vec![0; READ_BYTES],
            streams: Vec::new(),
            pending: 0,
            tally,
            bytes: 0,
            reads: 0,
            heads: Latency::default(),
            faults: BTreeMap::new(),
            disconnects: 0,
            churned: 0,
            frozen_resets: 0,
            next_churned: 0,
        })
    }

    /// Streams that did not come to be, by kind.
    pub fn faults(&self) -> &BTreeMap<String, u64> {
        &self.faults
    }

    /// Streams that the server ended after they were open.
    pub fn disconnects(&self) -> u64 {
        self.disconnects
    }

    /// Streams closed and opened again by the plan's churn.
    pub fn churned(&self) -> u64 {
        self.churned
    }

    /// Frozen streams whose cut reached this end. A server that ends them in the orderly way is not seen to: its
    /// end waits behind what was not read.
    pub fn frozen_resets(&self) -> u64 {
        self.frozen_resets
    }

    /// Connect to response head of all streams so far.
    pub fn heads(&self) -> &Latency {
        &self.heads
    }

    /// Streams that are open now.
    pub fn open_now(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_open()).count()
    }

    /// Opens or closes streams until there are `count`, those lost before among them, and waits for all response
    /// heads, for `patience` at most; who has none by then is given up.
    pub fn open(&mut self, count: usize, patience: Duration) -> io::Result<Opened> {
        let start = Instant::now();
        let surplus = self.streams.drain(count.min(self.streams.len())..);
        self.pending -= surplus.filter(Stream::is_pending).count();
        self.streams.resize_with(count, Stream::default);
        let is_closed = |index: &usize| self.streams[*index].phase == Phase::Closed;
        let closed: Vec<usize> = (0..count).filter(is_closed).collect();
        let mut started = 0;
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while started < closed.len() || self.pending > 0 {
            let took = start.elapsed();
            if took > patience {
                self.give_up();
                break;
            }
            let room = self.plan.opening.saturating_sub(self.pending);
            let until = closed.len().min(started + room).min(self.plan.may_have_started(took));
            closed[started.min(until)..until].iter().for_each(|index| self.connect(*index));
            started = started.max(until);
            let is_paced = self.plan.open_rate > 0.0 && started < closed.len();
            self.turn(&mut events, Duration::from_millis(if is_paced { 1 } else { 20 }))?;
        }
        Ok(Opened { open: self.open_now(), took: start.elapsed() })
    }

    /// Reads for a while without keeping the counts.
    pub fn warm_up(&mut self, time: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.turn(&mut events, left)?;
        }
        Ok(())
    }

    /// Reads for a while and says what came.
    pub fn window(&mut self, time: Duration) -> io::Result<Window> {
        self.tally.clear();
        (self.bytes, self.reads) = (0, 0);
        self.streams.iter_mut().for_each(|stream| stream.messages = 0);
        let frozen = self.streams.iter().filter(|stream| stream.phase == Phase::Frozen).count();
        let descriptors = self.server.descriptors();
        let rss = self.server.rss_kib();
        let (cpu, own, busy) = (self.server.cpu(), machine::own_cpu(), machine::busy());
        let start = Instant::now();

        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let (mut rss_max, mut cut, mut churned) = (rss, [None; 2], 0);
        let (mut rss_next, mut descriptors_next) = (RSS_EVERY, Duration::ZERO);
        let mut took = Duration::ZERO;
        while took < time {
            let wait =
                if self.plan.churn > 0.0 { Duration::from_millis(1) } else { Duration::from_millis(20) };
            self.turn(&mut events, wait.min(time.saturating_sub(took)))?;
            took = start.elapsed();
            churned = self.churn(churned, took);
            if self.server.is_known() && took >= rss_next {
                rss_max = rss_max.max(self.server.rss_kib());
                rss_next = took + RSS_EVERY;
            }
            if frozen > 0 && self.server.is_known() && took >= descriptors_next {
                let gone = descriptors.saturating_sub(self.server.descriptors());
                let seen = [gone > 0, gone >= frozen];
                cut.iter_mut().zip(seen).filter(|(cut, seen)| cut.is_none() && *seen).for_each(|(cut, _)| {
                    *cut = Some(took);
                });
                descriptors_next = took + DESCRIPTORS_EVERY;
            }
        }

        let took = start.elapsed();
        let rss_end = self.server.rss_kib();
        let messages =
            || self.streams.iter().filter(|stream| stream.phase == Phase::Open).map(|s| s.messages);
        Ok(Window {
            took,
            server_cpu: self.server.cpu().saturating_sub(cpu),
            own_cpu: machine::own_cpu().saturating_sub(own),
            busy: machine::busy().saturating_sub(busy),
            tally: self.tally.clone(),
            bytes: self.bytes,
            reads: self.reads,
            messages: messages().min().zip(messages().max()),
            rss_kib: [rss, rss_max.max(rss_end), rss_end],
            cut,
        })
    }

    /// One wait for events, and all of them served.
    fn turn(&mut self, events: &mut Events, wait: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in events.iter() {
            let index = event.token().0;
            let Some(stream) = self.streams.get(index) else { continue };
            let is_over = event.is_error() || event.is_read_closed();
            match stream.phase {
                Phase::Connecting if event.is_writable() || is_over => {
                    self.request(index);
                    // What came meanwhile had its edge before anybody was reading.
                    self.read(index, true);
                }
                Phase::Head | Phase::Open => self.read(index, is_over),
                Phase::Frozen if event.is_error() || event.is_write_closed() => {
                    self.frozen_resets += 1;
                    self.streams[index].close();
                }
                Phase::Connecting | Phase::Frozen | Phase::Closed => {}
            }
        }
        Ok(())
    }

    fn connect(&mut self, index: usize) {
        let buffer = self.plan.frozen_buffer.filter(|_| index < self.plan.frozen);
        match Stream::connect(self.plan.target, self.plan.source_of(index), buffer) {
            Ok(mut stream) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                if let Some(socket) = &mut stream.socket
                    && let Err(error) = self.poll.registry().register(socket, Token(index), both)
                {
                    return self.fault(format!("register: {}", error.kind()));
                }
                self.streams[index] = stream;
                self.pending += 1;
            }
            Err(error) => self.fault(format!("connect: {}", error.kind())),
        }
    }

    /// The connection is there, or failed: asks for the stream.
    fn request(&mut self, index: usize) {
        let request = self.plan.request(index);
        let is_frozen = index < self.plan.frozen;
        let Stream { socket: Some(socket), phase, .. } = &mut self.streams[index] else { return };
        let outcome = socket.take_error().and_then(|error| error.map_or(Ok(()), Err));
        // A request is shorter than the empty send buffer of a new connection.
        match outcome.and_then(|()| socket.write(request.as_bytes())) {
            Ok(written) if written == request.len() => {
                *phase = if is_frozen { Phase::Frozen } else { Phase::Head };
                if is_frozen {
                    self.pending -= 1;
                    // To be told of a reset, and of nothing that arrives.
                    if let Err(error) =
                        self.poll.registry().reregister(socket, Token(index), Interest::WRITABLE)
                    {
                        self.fault(format!("register: {}", error.kind()));
                    }
                }
            }
            Ok(_) => self.end(index, "request: not taken whole".to_owned()),
            Err(error) => self.end(index, format!("connect: {}", error.kind())),
        }
    }

    /// Reads what there is. A read that left room has emptied the socket; only an end may still be behind it.
    fn read(&mut self, index: usize, is_over: bool) {
        let before = self.tally.messages;
        let ended = loop {
            let Stream { socket: Some(socket), counter, phase, opening, .. } = &mut self.streams[index]
            else {
                return;
            };
            if *phase == Phase::Frozen {
                return;
            }
            match socket.read(&mut self.buffer) {
                Ok(0) => break Some("ended".to_owned()),
                Ok(read) => {
                    self.bytes += read as u64;
                    self.reads += 1;
                    let fed = counter.feed(&self.buffer[..read], &mut self.tally);
                    if *phase == Phase::Head
                        && let Some(status) = counter.status()
                    {
                        if status != 200 {
                            break Some(format!("status {status}"));
                        }
                        *phase = Phase::Open;
                        self.pending -= 1;
                        self.heads.record(u64::try_from(opening.elapsed().as_micros()).unwrap_or(u64::MAX));
                    }
                    match fed {
                        Err(broken) => break Some(broken.to_string()),
                        Ok(()) if counter.has_ended() => break Some("ended".to_owned()),
                        Ok(()) if read < self.buffer.len() && !is_over => break None,
                        Ok(()) => {}
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error.kind().to_string()),
            }
        };
        self.streams[index].messages += self.tally.messages - before;
        if let Some(why) = ended {
            self.end(index, why);
        }
    }

    /// The stream is over, not by our wish.
    fn end(&mut self, index: usize, why: String) {
        let phase = self.streams[index].close();
        if phase == Phase::Open {
            self.disconnects += 1;
            *self.faults.entry(format!("open stream: {why}")).or_default() += 1;
        } else {
            self.pending -= 1;
            self.fault(if phase == Phase::Head { format!("response: {why}") } else { why });
        }
    }

    fn fault(&mut self, kind: String) {
        *self.faults.entry(kind).or_default() += 1;
    }

    fn give_up(&mut self) {
        for index in 0..self.streams.len() {
            if self.streams[index].is_pending() {
                self.end(index, "no response in time".to_owned());
            }
        }
    }

    /// Closes and opens what is due of the plan's churn; returns how many it has been in this window.
    fn churn(&mut self, churned: usize, took: Duration) -> usize {
        let due = whole(self.plan.churn * took.as_secs_f64());
        for _ in churned..due {
            let index = self.plan.frozen + self.next_churned;
            self.next_churned = if index + 1 < self.streams.len() { self.next_churned + 1 } else { 0 };
            // One that is still being opened, or was lost, is left alone.
            if self.streams.get(index).is_some_and(|stream| stream.phase == Phase::Open) {
                self.churned += 1;
                if self.churned.is_multiple_of(2) {
                    self.streams[index].close_orderly();
                }
                self.streams[index].close();
                self.connect(index);
            }
        }
        due
    }
}
