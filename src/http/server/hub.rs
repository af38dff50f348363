//! One fan-out thread: streams that have their socket for themselves, with one poll and one clock for all of them and
//! one write per flush.
//!
//! A stream here is a socket and what its client has; it has no task, no timer and no buffer. Who does not read keeps
//! the rest of one flush, and nothing more is made for it until that is gone.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::accept::Counted;
use super::deadlines::{Deadlines, Entries};
use super::door::{Arrival, Door, Order};
use crate::catalogue::SymbolId;
use crate::fanout::{Places, Shelf, Waiting};
use crate::http::State;
use crate::http::framing::{Framing, LAST_CHUNK};
use crate::http::stream::{PriceStream, Turn};

/// Streams served before the thread looks up again: for what changed, for sockets, for new streams.
const SLICE: usize = 128;
/// What the kernel tells of sockets at once.
const EVENTS_PER_POLL: usize = 1024;
/// Pieces said in one turn. Only a stream whose symbols change while it is served has so many.
const PIECES_PER_TURN: usize = 8;
/// No further piece is made in a turn that has said so much: the kernel may not take more, and then it has to be kept.
const BYTES_PER_TURN: usize = 64 << 10;
/// Of what a client sends unasked, so much is read before its stream is closed: with more of it unread its kernel would
/// throw away our last words.
const UNREAD_MAX: usize = 64 << 10;
/// The door's bell among the sockets.
pub(super) const DOOR: Token = Token(usize::MAX);

/// Serves the streams that come through a door until it is shut and the last of them has ended.
pub(super) fn run(mut poll: Poll, door: &Arc<Door>, state: State) -> io::Result<()> {
    let mut floor = Floor::new(&poll, door, state)?;
    let mut events = Events::with_capacity(EVENTS_PER_POLL);
    let mut arrivals = Vec::new();
    loop {
        door.falls_asleep();
        // Where something is left to do, only a look at what happened meanwhile.
        let is_busy = !floor.queue.is_empty() || floor.waiting.is_rung() || door.has_news();
        let timeout = if is_busy { Some(Duration::ZERO) } else { floor.until_deadline() };
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => polled?,
        }
        door.is_up();
        events.iter().filter(|event| event.token() != DOOR).for_each(|event| floor.heard(event));
        let order = door.take(&mut arrivals);
        match order {
            Order::Cut => return Ok(()),
            Order::Shut | Order::Close => floor.close(),
            Order::Serve => {}
        }
        arrivals.drain(..).for_each(|arrival| floor.arrive(arrival));
        floor.collect(Instant::now());
        floor.serve_slice();
        if order == Order::Shut && floor.streams.is_empty() {
            return Ok(());
        }
    }
}

/// All streams, and what they share.
struct Floor {
    state: State,
    registry: mio::Registry,
    streams: Slab<Box<Connected>>,
    waiting: Waiting,
    shelf: Shelf,
    deadlines: Deadlines,
    /// Whose turn it is.
    queue: VecDeque<u32>,
    said: Vec<Bytes>,
    closing: bool,
    door: Arc<Door>,
}

struct Connected {
    /// Its place among the streams.
    key: u32,
    socket: mio::net::TcpStream,
    stream: PriceStream,
    places: Places,
    entries: Entries,
    /// What the client's kernel has not taken yet.
    rest: Bytes,
    /// Since when it has taken nothing of that.
    blocked_since: Option<Instant>,
    /// Waits for a change of its symbols.
    waits: bool,
    queued: bool,
    /// The last chunk is said.
    over: bool,
    _counted: Counted,
}

/// How a write went.
enum Written {
    All,
    /// The client's kernel takes no more for now.
    Some,
    /// The client is gone.
    Gone,
}

impl Floor {
    fn new(poll: &Poll, door: &Arc<Door>, state: State) -> io::Result<Self> {
        let ring = Arc::clone(door);
        let waiting = state.fanout.listen(move || ring.ring());
        Ok(Self {
            registry: poll.registry().try_clone()?,
            streams: Slab::new(),
            waiting: waiting.ok_or_else(|| io::Error::other("there are too many fan-out threads"))?,
            shelf: Shelf::new(Framing::Chunked),
            deadlines: Deadlines::default(),
            queue: VecDeque::new(),
            said: Vec::new(),
            closing: false,
            door: Arc::clone(door),
            state,
        })
    }

    /// How long nothing has to be done.
    fn until_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn arrive(&mut self, Arrival { socket, stream, counted }: Arrival) {
        let places = vec![0; stream.place().symbols().len()].into();
        let entry = self.streams.vacant_entry();
        let key = u32::try_from(entry.key()).expect("streams are counted in u32");
        let mut socket = mio::net::TcpStream::from_std(socket);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut socket, Token(entry.key()), interest) {
            self.door.left();
            return warn!(error = &error as &dyn std::error::Error, "a stream's socket could not be watched");
        }
        entry.insert(Box::new(Connected {
            key,
            socket,
            stream,
            places,
            entries: Entries::default(),
            rest: Bytes::new(),
            blocked_since: None,
            waits: false,
            queued: true,
            over: false,
            _counted: counted,
        }));
        self.queue.push_back(key);
    }

    /// The server is stopping: each stream gets its moment to say so.
    fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        for (_, connected) in &mut self.streams {
            connected.queue(&mut self.queue);
        }
    }

    /// Something happened to a socket.
    fn heard(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(connected) = self.streams.get_mut(key) else { return };
        if event.is_error() || event.is_read_closed() || event.is_write_closed() {
            // The kernel gave up a peer that acknowledged nothing for so long (`TCP_USER_TIMEOUT`).
            let failure = connected.socket.take_error().ok().flatten();
            if failure.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                connected.stream.stall();
            }
            return self.end(key);
        }
        // What a client sends while it listens is left where it is: its own kernel will stop it.
        if event.is_writable() && !connected.rest.is_empty() {
            connected.queue(&mut self.queue);
        }
    }

    /// Finds whose turn it is.
    fn collect(&mut self, now: Instant) {
        let Self { streams, waiting, deadlines, queue, .. } = self;
        waiting.take(|key, position| {
            let Some(connected) = streams.get_mut(key as usize) else { return };
            connected.places[position] = 0;
            if std::mem::take(&mut connected.waits) {
                connected.queue(queue);
            }
        });
        while let Some((key, at)) = deadlines.next(now) {
            if let Some(connected) = streams.get_mut(key as usize)
                && connected.entries.take(at)
            {
                connected.queue(queue);
            }
        }
    }

    /// Serves some of those whose turn it is.
    fn serve_slice(&mut self) {
        self.shelf.begin();
        for _ in 0..SLICE.min(self.queue.len()) {
            let Some(key) = self.queue.pop_front() else { return };
            self.serve(key);
        }
    }

    fn serve(&mut self, key: u32) {
        let Some(connected) = self.streams.get_mut(key as usize) else { return };
        connected.queued = false;
        let now = Instant::now();
        let stall_max = self.state.stream.stall_max;
        if !connected.rest.is_empty() && !connected.write_rest(now) {
            return match connected.blocked_since {
                Some(since) if now.saturating_duration_since(since) < stall_max => {
                    self.deadlines.set(key, &mut connected.entries, since + stall_max);
                }
                Some(_) => {
                    connected.stream.stall();
                    self.end(key as usize);
                }
                None => self.end(key as usize),
            };
        }
        if connected.over {
            return self.end(key as usize);
        }
        if connected.stream.is_outdated(&self.state) {
            self.renew(key as usize, now);
        }
        let Some(connected) = self.streams.get_mut(key as usize) else { return };
        self.said.clear();
        let wait = loop {
            match connected.stream.turn(&self.state, &mut self.shelf, now, self.closing) {
                Turn::Say(piece) => self.said.push(piece),
                Turn::Wait(wait) => break Some(wait),
                Turn::Again => break None,
                Turn::End => {
                    self.said.push(LAST_CHUNK);
                    connected.over = true;
                    break None;
                }
            }
            let said: usize = self.said.iter().map(Bytes::len).sum();
            if self.said.len() == PIECES_PER_TURN || said >= BYTES_PER_TURN {
                break None;
            }
        };
        match connected.write(&self.said, now) {
            Written::Gone => return self.end(key as usize),
            // What comes next is made when this is gone.
            Written::Some => return self.deadlines.set(key, &mut connected.entries, now + stall_max),
            Written::All if connected.over => return self.end(key as usize),
            Written::All => {}
        }
        let Some(wait) = wait else { return connected.queue(&mut self.queue) };
        if let Some(until) = wait.until {
            self.deadlines.set(key, &mut connected.entries, until);
        }
        if wait.change {
            let Connected { stream, places, .. } = &mut **connected;
            self.waiting.join(key, stream.place().symbols(), places);
            connected.waits = true;
            if connected.stream.place().is_behind(&self.state.fanout) {
                connected.waits = false;
                connected.queue(&mut self.queue);
            }
        }
    }

    /// The catalogue has changed: the stream may follow other symbols.
    fn renew(&mut self, key: usize, now: Instant) {
        let Self { streams, waiting, state, .. } = self;
        let mut places = std::mem::take(&mut streams[key].places);
        let symbols: Vec<SymbolId> = streams[key].stream.place().symbols().to_vec();
        leave(waiting, streams, &symbols, &mut places);
        let connected = &mut streams[key];
        connected.waits = false;
        connected.stream.renew(state, now);
        connected.places = vec![0; connected.stream.place().symbols().len()].into();
    }

    fn end(&mut self, key: usize) {
        let Self { streams, waiting, door, .. } = self;
        let mut gone = streams.remove(key);
        door.left();
        leave(waiting, streams, gone.stream.place().symbols(), &mut gone.places);
        if gone.over {
            gone.close();
        }
    }
}

/// Takes a stream out of the lists of those that wait.
fn leave(
    waiting: &mut Waiting,
    streams: &mut Slab<Box<Connected>>,
    symbols: &[SymbolId],
    places: &mut [u32],
) {
    waiting.leave(symbols, places, |other, position, place| {
        streams[other as usize].places[position] = place;
    });
}

impl Connected {
    fn queue(&mut self, queue: &mut VecDeque<u32>) {
        if !std::mem::replace(&mut self.queued, true) {
            queue.push_back(self.key);
        }
    }

    /// Writes what is left; returns whether all of it went. Where not, and the client is gone, nothing is blocked.
    fn write_rest(&mut self, now: Instant) -> bool {
        let before = self.rest.len();
        let rest = std::mem::take(&mut self.rest);
        match self.send(rest) {
            Written::All => {
                self.blocked_since = None;
                return true;
            }
            Written::Some if self.rest.len() < before => self.blocked_since = Some(now),
            Written::Some => {}
            Written::Gone => self.blocked_since = None,
        }
        false
    }

    /// Writes pieces one after the other, as one.
    fn write(&mut self, pieces: &[Bytes], now: Instant) -> Written {
        let all = match pieces {
            [] => return Written::All,
            [only] => only.clone(),
            several => {
                let mut all = BytesMut::with_capacity(several.iter().map(Bytes::len).sum());
                several.iter().for_each(|piece| all.extend_from_slice(piece));
                all.freeze()
            }
        };
        let written = self.send(all);
        if matches!(written, Written::Some) {
            self.blocked_since = Some(now);
        }
        written
    }

    /// Writes as much as the kernel takes and keeps the rest.
    fn send(&mut self, mut bytes: Bytes) -> Written {
        loop {
            match self.socket.write(&bytes) {
                Ok(count) if count == bytes.len() => return Written::All,
                Ok(0) => return Written::Gone,
                Ok(count) => drop(bytes.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.rest = bytes;
                    return Written::Some;
                }
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "a stream's client is gone");
                    return Written::Gone;
                }
            }
        }
    }

    /// Closes the connection in order.
    fn close(&mut self) {
        let mut unread = [0; 4096];
        for _ in 0..UNREAD_MAX / unread.len() {
            if !matches!(self.socket.read(&mut unread), Ok(1..)) {
                break;
            }
        }
        if let Err(error) = self.socket.shutdown(Shutdown::Write) {
            debug!(error = &error as &dyn std::error::Error, "a stream's client was gone before its end");
        }
    }
}
