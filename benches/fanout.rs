//! One update to many streams: ours beside the textbook design (one broadcast channel, each client filters and
//! serialises for itself), in the same run.
//!
//! `in_process`: no socket; each iteration updates every followed symbol once and lets every stream take its
//! flush, `thread` as a fan-out thread does it for many, `tickcast` each by itself. `sockets`: 1,000 real connections
//! over loopback, server and clients in this process; each iteration updates one symbol, or ten, and waits until all
//! clients have them. Throughput counts delivered messages.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a bench may panic, and owns its tasks by its runtime"
)]

mod support;

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hyper_util::rt::TokioIo;
use support::{Service, textbook};
use tickcast::fanout::{Fanout, Shelf, Turn};
use tickcast::http::framing::Framing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use warp::Filter;

const STREAMS: [usize; 3] = [1, 100, 10_000];
const SYMBOLS: [usize; 3] = [1, 10, 100];
const SOCKETS: usize = 1_000;

fn in_process(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _in_runtime = runtime.enter();
    let mut group = c.benchmark_group("in_process");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for streams in STREAMS {
        for symbols in SYMBOLS {
            group.throughput(Throughput::Elements((streams * symbols) as u64));
            let name = format!("{streams}x{symbols}");
            group.bench_function(BenchmarkId::new("tickcast", &name), |b| {
                let mut service = Service::new(symbols);
                let wanted = || Service::wanted(0..symbols);
                let mut all: Vec<_> = (0..streams).map(|_| service.fanout.subscribe(wanted())).collect();
                let mut cx = Context::from_waker(Waker::noop());
                b.iter(|| {
                    (0..symbols).for_each(|symbol| service.tick(symbol));
                    for stream in &mut all {
                        let Poll::Ready(flush) = stream.poll_next(&mut cx) else { panic!("nothing to send") };
                        assert_eq!(black_box(flush).messages, symbols);
                    }
                });
            });
            group.bench_function(BenchmarkId::new("thread", &name), |b| {
                let mut service = Service::new(symbols);
                let wanted = || Service::wanted(0..symbols);
                let mut all: Vec<_> = (0..streams).map(|_| service.fanout.place(wanted())).collect();
                let mut shelf = Shelf::new(Framing::Chunked);
                b.iter(|| {
                    (0..symbols).for_each(|symbol| service.tick(symbol));
                    shelf.begin();
                    for stream in &mut all {
                        let Turn::Flush(flush) = stream.turn(&service.fanout, &mut shelf, Instant::now())
                        else {
                            panic!("nothing to send")
                        };
                        assert_eq!(black_box(flush).messages, symbols);
                    }
                });
            });
            group.bench_function(BenchmarkId::new("textbook", &name), |b| {
                let sender = textbook::channel(2 * symbols);
                let names = || (0..symbols).map(support::name).collect();
                let mut all: Vec<_> = (0..streams)
                    .map(|_| textbook::Client { updates: sender.subscribe(), symbols: names() })
                    .collect();
                let mut step = 0;
                b.iter(|| {
                    for symbol in 0..symbols {
                        step += 1;
                        let _ = sender.send(textbook::update(symbol, step));
                    }
                    all.iter_mut().for_each(|client| assert!(black_box(client.drain()) > 0));
                });
            });
        }
    }
    group.finish();
}

/// What one flush of ten symbols costs a fan-out thread, its write left out, by how many streams follow the same ten.
fn flush(c: &mut Criterion) {
    const STREAMS: usize = 1_000;
    let mut group = c.benchmark_group("flush");
    group.throughput(Throughput::Elements(STREAMS as u64));
    for alike in [1, 10, STREAMS] {
        group.bench_function(BenchmarkId::new("streams_alike", alike), |b| {
            let mut service = Service::new(100);
            // Ten steps from each of a hundred symbols: all sets differ.
            let wanted = |stream: usize| {
                let set = stream / alike;
                Service::wanted((0..10).map(move |place| (set * 7 + place * (1 + set / 100)) % 100))
            };
            let mut all: Vec<_> = (0..STREAMS).map(|stream| service.fanout.place(wanted(stream))).collect();
            let mut shelf = Shelf::new(Framing::Chunked);
            let mut take = |fanout: &Fanout| {
                shelf.begin();
                for stream in &mut all {
                    let turn = stream.turn(fanout, &mut shelf, Instant::now());
                    assert!(matches!(black_box(turn), Turn::Flush(_)));
                }
            };
            take(&service.fanout);
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    (0..100).for_each(|symbol| service.tick(symbol));
                    let start = Instant::now();
                    take(&service.fanout);
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// What an update costs the store, by how many throttled streams follow it.
fn update(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _in_runtime = runtime.enter();
    let mut group = c.benchmark_group("update");
    group.throughput(Throughput::Elements(1));
    for followers in [0, 1_000, 100_000] {
        group.bench_function(BenchmarkId::new("throttled_followers", followers), |b| {
            let mut service = Service::new(1);
            service.tick(0);
            let mut cx = Context::from_waker(Waker::noop());
            let mut wanted = Service::wanted(0..1);
            wanted.throttle = Duration::from_secs(3600);
            let all: Vec<_> = (0..followers)
                .map(|_| {
                    let wanted =
                        tickcast::fanout::Wanted { symbols: wanted.symbols.clone(), budget: None, ..wanted };
                    let mut stream = service.fanout.subscribe(wanted);
                    assert!(stream.poll_next(&mut cx).is_ready() && stream.poll_next(&mut cx).is_pending());
                    stream
                })
                .collect();
            b.iter(|| service.tick(0));
            drop(all);
        });
    }
    let off = "[candles]\nkeep_1s = 0\nkeep_1m = 0\nkeep_5m = 0\nkeep_1h = 0\nkeep_1d = 0\n";
    for (candles, more) in [("on", ""), ("off", off)] {
        group.bench_function(BenchmarkId::new("candles", candles), |b| {
            let mut service = Service::with(1, more);
            b.iter(|| service.tick(0));
        });
    }
    group.finish();
}

fn sockets(c: &mut Criterion) {
    let mut group = c.benchmark_group("sockets");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for symbols in [1, 10] {
        let events = (SOCKETS * symbols) as u64;
        group.throughput(Throughput::Elements(events));
        let list = (0..symbols).map(support::name).collect::<Vec<_>>().join(",");

        let (server, clients) = (runtime(), runtime());
        let mut service = Service::new(symbols);
        (0..symbols).for_each(|symbol| service.tick(symbol));
        let listener = server
            .block_on(async { tickcast::http::server::bind("127.0.0.1:0".parse().unwrap(), false).unwrap() });
        let address = listener.local_addr().unwrap();
        let hub = service.fanout.clone();
        server.spawn(async move { hub.run().await });
        server.spawn(tickcast::http::server::serve(listener, service.state.clone(), service.closing.clone()));
        let got = clients.block_on(connect(address, &format!("/prices?symbols={list}&throttle=0")));
        // `hello` and the snapshot of each symbol.
        wait(&got, SOCKETS as u64 + events);
        group.bench_function(BenchmarkId::new("tickcast", symbols), |b| {
            b.iter(|| {
                let before = got.load(Ordering::Acquire);
                (0..symbols).for_each(|symbol| service.tick(symbol));
                wait(&got, before + events);
            });
        });
        service.closing.cancel();
        drop((server, clients));

        let (server, clients) = (runtime(), runtime());
        let sender = textbook::channel(1024);
        let listener = server.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        server.spawn(serve_textbook(listener, sender.clone()));
        let got = clients.block_on(connect(address, &format!("/prices?symbols={list}")));
        while sender.receiver_count() < SOCKETS {
            std::thread::yield_now();
        }
        let mut step = 0;
        group.bench_function(BenchmarkId::new("textbook", symbols), |b| {
            b.iter(|| {
                let before = got.load(Ordering::Acquire);
                for symbol in 0..symbols {
                    step += 1;
                    let _ = sender.send(textbook::update(symbol, step));
                }
                wait(&got, before + events);
            });
        });
    }
    group.finish();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits until so many events have arrived.
fn wait(got: &AtomicU64, most: u64) {
    while got.load(Ordering::Acquire) < most {
        std::thread::yield_now();
    }
}

/// Opens the sockets and counts the events that arrive on them.
async fn connect(address: std::net::SocketAddr, path: &str) -> Arc<AtomicU64> {
    let got = Arc::new(AtomicU64::new(0));
    for _ in 0..SOCKETS {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let got = Arc::clone(&got);
        tokio::spawn(async move {
            let (mut buffer, mut last) = (vec![0; 16 << 10], 0);
            while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                for &byte in &buffer[..read] {
                    // A blank line ends an event; heads and chunks end theirs with CR LF.
                    if byte == b'\n' && last == b'\n' {
                        got.fetch_add(1, Ordering::Release);
                    }
                    last = byte;
                }
            }
        });
    }
    got
}

async fn serve_textbook(
    listener: TcpListener,
    sender: tokio::sync::broadcast::Sender<Arc<textbook::Update>>,
) {
    let routes = warp::path("prices").and(warp::query::<Query>()).map(move |query: Query| {
        let symbols: std::collections::HashSet<String> =
            query.symbols.split(',').map(str::to_owned).collect();
        let updates =
            futures_util::stream::unfold((sender.subscribe(), symbols), |(mut updates, symbols)| async {
                loop {
                    match updates.recv().await {
                        Ok(update) if symbols.contains(&update.symbol) => {
                            let event = warp::sse::Event::default().json_data(&*update).unwrap();
                            return Some((Ok::<_, Infallible>(event), (updates, symbols)));
                        }
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    }
                }
            });
        warp::sse::reply(warp::sse::keep_alive().interval(textbook::KEEP_ALIVE).stream(updates))
    });
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(warp::service(routes.clone()));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

#[derive(serde::Deserialize)]
struct Query {
    symbols: String,
}

criterion_group!(benches, in_process, flush, update, sockets);
criterion_main!(benches);
