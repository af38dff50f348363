//! What is usually written: one broadcast channel, and each client's stream filters it and serialises for itself, through
//! `warp::sse`. A client that falls behind silently misses what it did not take in time.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use futures_util::{Stream, stream};
use serde::Deserialize;
use tickcast_load::market::{Market, Tick, wall_us};
use tickcast_load::{listen, machine};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use warp::Filter;
use warp::sse::Event;

/// Ticks that the channel holds for those who are behind.
const CHANNEL: usize = 1024;

/// Sends simulated prices the way the textbook has it.
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

    /// Lets other processes listen at the same address
    #[arg(long)]
    shared_port: bool,
}

#[derive(Deserialize)]
struct Query {
    symbols: String,
}

fn prices(symbols: HashSet<String>, ticks: Receiver<Tick>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((symbols, ticks), |(symbols, mut ticks)| async move {
        loop {
            match ticks.recv().await {
                Ok(tick) if symbols.contains(&tick.symbol) => {
                    let event =
                        Event::default().id(format!("7f3a12cd.{}", tick.version)).json_data(&tick).ok()?;
                    return Some((Ok(event), (symbols, ticks)));
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

async fn publish(mut market: Market, ticks: Sender<Tick>) {
    while let Some(due) = market.due() {
        tokio::time::sleep_until(due.into()).await;
        while let Some(tick) = market.tick(Instant::now(), wall_us()) {
            // Without a client there is nobody to send to.
            let _ = ticks.send(tick);
        }
    }
}

#[expect(clippy::print_stdout, reason = "says where it is")]
async fn serve(arguments: &Arguments) -> io::Result<()> {
    let (ticks, _) = broadcast::channel(CHANNEL);
    let symbols = usize::try_from(arguments.symbols).unwrap_or(usize::MAX);
    tokio::spawn(publish(Market::new(symbols, arguments.rate, Instant::now()), ticks.clone()));
    let route = warp::path!("prices").and(warp::get()).and(warp::query()).map(move |query: Query| {
        let symbols = query.symbols.split(',').map(str::to_owned).collect();
        warp::sse::reply(warp::sse::keep_alive().stream(prices(symbols, ticks.subscribe())))
    });
    let listener = tokio::net::TcpListener::from_std(listen::bind(arguments.listen, arguments.shared_port)?)?;
    println!("textbook is at http://{}/", listener.local_addr()?);
    warp::serve(route).incoming(listener).run().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "says why it can't run")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || {
        machine::raise_descriptors()?;
        tokio::runtime::Runtime::new()?.block_on(serve(&arguments))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("textbook: {error}");
            ExitCode::FAILURE
        }
    }
}
