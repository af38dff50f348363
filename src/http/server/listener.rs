//! The socket that clients connect to.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections waiting to be accepted: a burst of browsers coming back must not be refused. The kernel cuts it
/// to `net.core.somaxconn`.
pub(crate) const BACKLOG: u16 = 16_384;

/// Binds the address that clients connect to. Where it is `shared`, other processes of this user may be bound to it
/// too, and each connection goes to any of them.
///
/// # Errors
///
/// Where it cannot be bound.
pub fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restart must not wait for the last run's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG.into())?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_shared_only_where_all_want_it() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        for (ours, others, taken) in
            [(false, false, true), (false, true, true), (true, false, true), (true, true, false)]
        {
            let ours = bind(any, ours).expect("free");
            let other = bind(ours.local_addr().expect("bound"), others);
            assert_eq!(other.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse), taken);
        }
    }
}
