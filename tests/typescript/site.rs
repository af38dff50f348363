//! A web server for the files of one folder, as a user's own page has one: another origin than the service's.

#![allow(clippy::disallowed_methods, reason = "there is no runtime here; the threads end with their sockets")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path};
use std::{fs, thread};

/// Where the files are served.
#[derive(Clone, Copy)]
pub struct Site {
    address: SocketAddr,
}

impl Site {
    pub fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let folder = folder.to_owned();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let folder = folder.clone();
                // A browser that hangs up misses nothing.
                thread::spawn(move || drop(answer(&folder, &socket)));
            }
        });
        Self { address }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(folder: &Path, mut socket: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let path = Path::new(path.trim_start_matches('/'));
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let found = if is_plain { fs::read(folder.join(path)).ok() } else { None };
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        _ => "application/octet-stream",
    };
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let length = body.len();
    write!(
        socket,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    socket.write_all(&body)
}
