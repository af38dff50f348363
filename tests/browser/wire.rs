//! A wire between a browser and a service that can go dead: the sockets stay open and nothing comes any more, as after a
//! laptop's sleep or behind a router that has forgotten the connection.

#![allow(clippy::disallowed_methods, reason = "there is no runtime here; the threads end with their sockets")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Passes bytes on, until it is cut. Its threads end with their sockets.
pub struct Wire {
    /// Where the browser connects to.
    pub address: SocketAddr,
    cuts: Arc<AtomicU32>,
}

impl Wire {
    pub fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&cuts);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(service) else { continue };
                let (back, forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                let born = shared.load(Ordering::SeqCst);
                for (from, to) in [(near, far), (back, forth)] {
                    let cuts = Arc::clone(&shared);
                    thread::spawn(move || carry(from, to, born, &cuts));
                }
            }
        });
        Self { address, cuts }
    }

    /// From now on nothing comes through the connections there are; new ones work.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, born: u32, cuts: &AtomicU32) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        // Read on all the same: whoever writes must not notice.
        if cuts.load(Ordering::SeqCst) == born && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
