//! One stream of the driver: its socket, how far it has come, and what its bytes say.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

use crate::counter::Counter;

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    /// The request is out, the response head not yet in.
    Head,
    Open,
    /// Asked, and will never read.
    Frozen,
    #[default]
    Closed,
}

/// A closed stream has no socket.
pub(super) struct Stream {
    pub(super) socket: Option<TcpStream>,
    pub(super) phase: Phase,
    pub(super) counter: Counter,
    /// When its connect began.
    pub(super) opening: Instant,
    /// Messages in this window.
    pub(super) messages: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            socket: None,
            phase: Phase::Closed,
            counter: Counter::default(),
            opening: Instant::now(),
            messages: 0,
        }
    }
}

impl Stream {
    /// Begins to connect, from a given address and with a given receive buffer where there is one.
    pub(super) fn connect(
        target: SocketAddr,
        source: Option<Ipv4Addr>,
        receive_buffer: Option<usize>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // Closing resets: no port is left waiting, which would run them out.
        socket.set_linger(Some(Duration::ZERO))?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = source {
            // The port is then chosen at the connect, where only the whole four-tuple has to be free.
            #[cfg(target_os = "linux")]
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
            outcome => outcome?,
        }
        let socket = Some(TcpStream::from_std(socket.into()));
        Ok(Self { socket, phase: Phase::Connecting, ..Self::default() })
    }

    /// Whether it is on its way to be open.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Head)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Frozen)
    }

    /// Closes it and returns how far it had come.
    pub(super) fn close(&mut self) -> Phase {
        self.socket = None;
        self.counter = Counter::default();
        std::mem::take(&mut self.phase)
    }

    /// Lets the close that follows say goodbye instead of resetting, unless something is left unread.
    pub(super) fn close_orderly(&self) {
        if let Some(socket) = &self.socket {
            // A socket that can't be told is reset, which is what the other half of the closes does.
            let _ = SockRef::from(socket).set_linger(None);
        }
    }
}
