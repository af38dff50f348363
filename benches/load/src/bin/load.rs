//! Opens many SSE streams at a server, reads them for a while on one thread, and prints one JSON object with what came.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tickcast_load::driver::{Driver, Plan};
use tickcast_load::machine::{self, Server};
use tickcast_load::report::{Context, Report};
use tickcast_load::search::Search;
use tickcast_load::symbols::Symbols;

/// Opens many SSE streams, reads them for a while, and prints one JSON object with what came.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// The server's address, such as 127.0.0.1:8080
    #[arg(long)]
    target: SocketAddr,

    /// Streams to open
    #[arg(long, default_value_t = 100)]
    streams: usize,

    /// What each follows: `one` (S000), `10/100` (ten consecutive ones of a hundred), `random:10/100[:SEED]`
    #[arg(long, default_value = "one")]
    symbols: Symbols,

    /// Asks for this instead of `symbols` and what else this program would ask for, such as `symbols=BTC&throttle=0`
    #[arg(long)]
    query: Option<String>,

    /// The service's `throttle`
    #[arg(long, default_value = "100ms")]
    throttle: String,

    /// The service's `fields`; delays are taken from `recv_us`
    #[arg(long, default_value = "symbol,price,bid,ask,status,time,recv_us")]
    fields: String,

    /// The path of the stream
    #[arg(long, default_value = "/prices")]
    path: String,

    /// Seconds to read before anything is counted
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    warm_up: f64,

    /// Seconds to count
    #[arg(long, default_value_t = 6.0, value_parser = seconds)]
    window: f64,

    /// A process of the server, for its CPU time and memory; may be repeated, children are included
    #[arg(long)]
    pid: Vec<u32>,

    /// Times one message in so many. The default has no factor in common with a batch of ten
    #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u64).range(1..))]
    sample: u64,

    /// The server has one symbol only, so ids tell how many of its ticks a stream has passed
    #[arg(long)]
    count_ticks: bool,

    /// Messages a second that a stream would get without conflation, to give the share that came
    #[arg(long)]
    offered_per_stream: Option<f64>,

    /// The first so many streams ask and never read
    #[arg(long, default_value_t = 0)]
    frozen: usize,

    /// Receive buffer of those, in bytes; 0 for the system's own
    #[arg(long, default_value_t = 4096)]
    frozen_buffer: usize,

    /// Closes and opens again so many streams a second in the window
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    churn: f64,

    /// Raises the number of streams from --streams up to this, in search of the most within the limits
    #[arg(long, value_name = "STREAMS")]
    search: Option<usize>,

    /// The limit of a search on the 99th percentile, in milliseconds
    #[arg(long, default_value_t = 200.0)]
    p99_max: f64,

    /// The limit of a search on the share of messages that came, where --offered-per-stream is given
    #[arg(long, default_value_t = 0.98)]
    covered_min: f64,

    /// Streams opened at the same time, at most
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    opening: u32,

    /// Streams opened a second, at most; 0 for no limit
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    open_rate: f64,

    /// Seconds to wait for all response heads
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    patience: f64,

    /// The first source address, as the last byte of 127.0.0.x; each has 20,000 streams
    #[arg(long, default_value_t = 2)]
    source: u8,
}

/// A search's answer: each step, and the best ones.
#[derive(Serialize)]
struct Found<'s> {
    /// The most streams with the 99th percentile within its limit.
    best_p99: Option<&'s Report>,
    /// The most of those with enough of the messages.
    best_covered: Option<&'s Report>,
    steps: &'s [Report],
}

fn seconds(text: &str) -> Result<f64, String> {
    let is_fit = |value: &f64| (0.0..=1e6).contains(value);
    text.parse().ok().filter(is_fit).ok_or_else(|| "not a number from 0 to 1,000,000".to_owned())
}

impl Arguments {
    fn plan(&self) -> Plan {
        let path = format!("{}?", self.path);
        let (symbols, query) = match &self.query {
            Some(query) => (None, query.clone()),
            None => (Some(self.symbols), format!("&throttle={}&fields={}", self.throttle, self.fields)),
        };
        Plan {
            target: self.target,
            path,
            query,
            symbols,
            sample: self.sample,
            frozen: self.frozen,
            frozen_buffer: (self.frozen_buffer > 0).then_some(self.frozen_buffer),
            churn: self.churn,
            opening: usize::try_from(self.opening).unwrap_or(usize::MAX),
            open_rate: self.open_rate,
            source: self.source,
        }
    }

    /// Opens what is missing, warms up, counts.
    fn step(
        &self,
        driver: &mut Driver,
        streams: usize,
        rss_before_kib: Option<u64>,
    ) -> std::io::Result<Report> {
        let before = driver.open_now();
        let opened = driver.open(streams, Duration::from_secs_f64(self.patience))?;
        driver.warm_up(Duration::from_secs_f64(self.warm_up))?;
        let window = driver.window(Duration::from_secs_f64(self.window))?;
        let context = Context {
            streams_wanted: streams,
            frozen: self.frozen.min(streams),
            opened_now: opened.open.saturating_sub(before),
            rss_before_kib,
            offered_per_stream: self.offered_per_stream,
            has_one_symbol: self.count_ticks,
        };
        Ok(Report::new(context, driver, opened, &window))
    }

    fn is_in_time(&self, step: &Report) -> bool {
        step.latency.p99_ms.is_some_and(|p99| p99 <= self.p99_max) && step.streams == step.streams_wanted
    }

    fn is_covered(&self, step: &Report) -> bool {
        self.is_in_time(step) && step.covered.is_none_or(|covered| covered >= self.covered_min)
    }

    /// Searches for the most streams in time, then for the most with enough coverage.
    fn search(
        &self,
        driver: &mut Driver,
        to: usize,
        rss_before_kib: Option<u64>,
    ) -> std::io::Result<Vec<Report>> {
        let search = Search { from: self.streams, to };
        let mut steps: Vec<Report> = Vec::new();
        let limits: [fn(&Self, &Report) -> bool; 2] = [Self::is_in_time, Self::is_covered];
        for passes in limits {
            loop {
                let tried: Vec<_> =
                    steps.iter().map(|step| (step.streams_wanted, passes(self, step))).collect();
                let Some(next) = search.next(&tried) else { break };
                steps.push(self.step(driver, next, rss_before_kib)?);
            }
        }
        Ok(steps)
    }

    fn run(&self) -> std::io::Result<String> {
        let limit = machine::raise_descriptors()?;
        let most = self.search.unwrap_or(0).max(self.streams) as u64;
        if most + 32 > limit {
            let text = format!(
                "{most} streams need more than the {limit} descriptors that one process may have here: raise the hard \
                 limit (`ulimit -Hn`) or start several of these"
            );
            return Err(std::io::Error::other(text));
        }
        let server = Server::with_children(&self.pid);
        let rss_before_kib = server.is_known().then(|| server.rss_kib());
        let mut driver = Driver::new(self.plan(), server)?;
        let text = match self.search {
            None => serde_json::to_string(&self.step(&mut driver, self.streams, rss_before_kib)?),
            Some(to) => {
                let steps = self.search(&mut driver, to, rss_before_kib)?;
                let best = |passes: fn(&Self, &Report) -> bool| {
                    steps.iter().filter(|step| passes(self, step)).max_by_key(|step| step.streams_wanted)
                };
                serde_json::to_string(&Found {
                    best_p99: best(Self::is_in_time),
                    best_covered: best(Self::is_covered),
                    steps: &steps,
                })
            }
        };
        Ok(text?)
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it found is what it is for")]
fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
