//! The service inside the test's process, with a runtime of its own.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::SockRef;
use tickcast::app::{self, AppError, Drive};
use tickcast::config::Config;
use tickcast::http::server;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// The system picks the port.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running service. Dropping it ends it at once, without a `bye`.
pub struct Service {
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), AppError>>,
    pub address: SocketAddr,
}

impl Service {
    pub fn start(config: Config, drive: Drive, address: SocketAddr) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = {
            let _inside = runtime.enter();
            server::bind(address, false).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let asked = async move {
            // An error means that this value was dropped: then the runtime is about to end too.
            let _ = stopped.await;
        };
        let running = runtime.spawn(app::run(config, drive, listener, mpsc::channel(1).1, asked));
        Self { runtime, stop, running, address }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub fn stop(self) {
        self.stop.send(()).unwrap();
        self.runtime.block_on(self.running).unwrap().unwrap();
    }
}

/// Listens where a service was, with the same socket options, and waits half a minute for a connection.
pub fn listen(address: SocketAddr) -> TcpListener {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let listener = server::bind(address, false).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    SockRef::from(&listener).set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    listener
}
