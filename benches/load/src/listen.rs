//! The listening socket of the servers to compare with, as deep a queue as the service's own.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Connections waiting to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 16_384;

/// Listens without blocking. With `is_shared`, several processes may listen at the one address.
pub fn bind(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
