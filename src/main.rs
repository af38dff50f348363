//! Arguments, logging, exit code; nothing else.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sd_notify::NotifyState;
use tickcast::app::{self, Drive};
use tickcast::catalogue::Catalogue;
use tickcast::commands::watch::{self, WatchError};
use tickcast::commands::{check, decode, key, openapi};
use tickcast::config::{self, Config, Http};
use tickcast::http::server;
use tickcast::ingest::replay::{self, Speed};
use tickcast::process;
use tickcast::recording;
use tickcast::telemetry::Telemetry;
use tickcast_feeds::Venue;
use tickcast_feeds::sim::Scenario;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, warn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Streams stock and crypto prices to browsers over server-sent events.
///
/// Without a command it serves; without a config it serves the built-in demo on 127.0.0.1:8080, with
/// simulated prices and no network.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed while running, 2 wrong arguments or config.\n\
    Logs go to stderr; RUST_LOG sets their level (such as RUST_LOG=debug).")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service.
    Serve(Serve),
    /// Reads a recording and prints one JSON line per market event: what a feed really says.
    Decode(Decode),
    /// Loads the config, prints every mistake with its line, then the plan.
    Check(Check),
    /// Prints the document that a server with this config serves at /openapi.json.
    Openapi(Openapi),
    /// Makes an API key: prints it once, and the lines for the keys file, which hold its hash only.
    Key(Key),
    /// Shows prices in the terminal, live, over the service's own stream; as lines where the output is no terminal.
    Watch(Watch),
}

#[derive(Debug, Args)]
struct Serve {
    /// The config [default: the built-in demo].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on, before the config's.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Plays a recording instead of the config's feeds. Without a config its instruments are those it speaks of.
    #[arg(long, value_name = "FILE", requires = "venue")]
    replay: Option<PathBuf>,
    /// Whose frames the recording holds.
    #[arg(long, value_name = "VENUE", requires = "replay", value_parser = venue_with_frames)]
    venue: Option<Venue>,
    /// How many times as fast as it was recorded, such as 1 or 10, or `max`.
    #[arg(long, value_name = "N|max", requires = "replay", default_value = "1")]
    speed: Speed,
    /// Begins again at the end of the recording.
    #[arg(long = "loop", requires = "replay")]
    repeat: bool,
    /// Lets the simulator play a bad day, over and over, at every venue of the config, and connects to none of them.
    /// Without a config it has five venues of its own.
    #[arg(long, value_name = "NAME", conflicts_with = "replay", value_parser = scenario())]
    scenario: Option<String>,
}

#[derive(Debug, Args)]
struct Decode {
    /// Whose frames they are.
    #[arg(long, value_name = "VENUE", value_parser = venue_with_frames)]
    venue: Venue,
    /// The recording [default: standard input].
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Check {
    /// The config [default: the built-in demo].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Openapi {
    /// The config [default: the built-in demo].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Key {
    /// Its name in the keys file and in logs, such as who gets it.
    id: String,
    /// What it may have: a plan of the config [default: auth.plan].
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// When it ends, such as 2030-01-31 or 2030-01-31T12:00:00Z [default: never].
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Keys: a adds symbols, d removes the chosen one, s sorts, r reverses, space pauses, q leaves.\n\
    TICKCAST_API_KEY holds the key for a service that wants one."
)]
struct Watch {
    /// The symbols, by any of their names, separated by commas or spaces; `*` is all of them.
    #[arg(required = true, value_delimiter = ',', value_name = "SYMBOLS")]
    symbols: Vec<String>,
    /// The service's address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The least time between two updates of one symbol.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = humantime::parse_duration)]
    throttle: Duration,
}

/// What went wrong, by whose doing.
enum Failure {
    /// Wrong arguments or config: exit code 2.
    Usage(String),
    /// Failed while running: exit code 1.
    Run(String),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.log_format;
    let result = match cli.command {
        None => traced(format, || serve(cli.serve)),
        Some(Command::Serve(args)) => traced(format, || serve(args)),
        Some(other) => {
            // The table of `watch` would be written over; what matters is told in it, or on a line.
            let level = if matches!(other, Command::Watch(_)) { "off" } else { "info" };
            start_logging(format, level, None);
            run(other)
        }
    };
    let (code, message) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Run(message)) => (1, message),
        Err(Failure::Usage(message)) => (2, message),
    };
    // Nothing can be done where stderr is gone.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(code)
}

/// Runs what is not the service.
fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve(args),
        Command::Decode(args) => run_decode(&args),
        Command::Check(args) => run_check(&args),
        Command::Openapi(args) => run_openapi(&args),
        Command::Key(args) => run_key(&args),
        Command::Watch(args) => run_watch(args),
    }
}

/// Runs the service with its logs and, where the environment names a collector, its spans.
fn traced(format: LogFormat, serve: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let telemetry = Telemetry::from_env().map_err(|error| Failure::Usage(error.to_string()))?;
    start_logging(format, "info,async_nats=warn", telemetry.as_ref());
    let result = serve();
    if let Some(telemetry) = telemetry {
        telemetry.end();
    }
    result
}

fn start_logging(format: LogFormat, level: &str, telemetry: Option<&Telemetry>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(telemetry.map(Telemetry::layer)).init();
}

fn serve(args: Serve) -> Result<(), Failure> {
    let source = args.config.clone();
    let (mut config, drive) = match (args.replay, args.venue) {
        (Some(path), Some(venue)) => {
            let config = replay_config(args.config.as_deref(), &path, venue)?;
            (config, Drive::Replay(replay::Options { path, venue, speed: args.speed, repeat: args.repeat }))
        }
        _ => (load(args.config.as_deref(), args.scenario.map(On::Scenario))?, Drive::Feeds),
    };
    if let Some(listen) = args.listen {
        config.http.listen = listen;
    }
    check_tls(&config.http)?;
    process::make_room(config.limits.streams_total);
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Failure::Run(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let address = config.http.listen;
        let listener = server::bind(address, config.http.shared_port)
            .map_err(|error| Failure::Run(format!("could not listen on {address}: {error}")))?;
        let no_signals = |error| Failure::Run(format!("no signals: {error}"));
        let stop = stop_signal().map_err(no_signals)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
        let (reload, reloads) = mpsc::channel(1);
        let address = listener.local_addr().unwrap_or(address);
        // Whoever started us without looking at stdout can do without this line.
        let _ = writeln!(
            io::stdout(),
            "tickcast {} is at {}",
            env!("CARGO_PKG_VERSION"),
            url(address, config.http.tls.is_some())
        );
        tell_systemd(NotifyState::Ready);
        // On a worker: from this thread each accepted connection would have to be passed to one.
        let mut app = JoinSet::new();
        app.spawn(app::run(config, drive, listener, reloads, stop));
        loop {
            tokio::select! {
                ended = app.join_next() => return match ended {
                    Some(Ok(ended)) => ended.map_err(|error| Failure::Run(error.to_string())),
                    Some(Err(panicked)) => Err(Failure::Run(panicked.to_string())),
                    None => Ok(()),
                },
                Some(()) = hangup.recv() => {
                    if let Some(config) = read_again(source.as_deref(), args.listen) {
                        // It is gone where the service is stopping, and then it is too late anyway.
                        let _ = reload.send(config).await;
                    }
                }
            }
        }
    })
}

/// The config once more, as its file is now; none, and the old one goes on, where there is a mistake in it.
fn read_again(path: Option<&Path>, listen: Option<SocketAddr>) -> Option<Config> {
    let Some(path) = path else {
        warn!("asked to read the config again, and there is none: this is the built-in demo");
        return None;
    };
    match load(Some(path), None) {
        Ok(mut config) => {
            config.http.listen = listen.unwrap_or(config.http.listen);
            Some(config)
        }
        Err(Failure::Usage(mistakes) | Failure::Run(mistakes)) => {
            error!("the config was read again and is not taken: it goes on as it was\n{mistakes}");
            None
        }
    }
}

/// Tries the certificate before anything is opened. The server reads it again, and from then on whenever it changes.
fn check_tls(http: &Http) -> Result<(), Failure> {
    match &http.tls {
        None => Ok(()),
        Some(files) => server::Tls::load(files).map(drop).map_err(|error| Failure::Usage(error.to_string())),
    }
}

/// The address as one can open it: nobody's browser opens `0.0.0.0`.
fn url(address: SocketAddr, is_secure: bool) -> String {
    let scheme = if is_secure { "https" } else { "http" };
    match address {
        _ if address.ip().is_unspecified() => format!("{scheme}://localhost:{}/", address.port()),
        _ => format!("{scheme}://{address}/"),
    }
}

/// SIGTERM, or Ctrl-C.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell_systemd(NotifyState::Stopping);
    })
}

/// Under systemd (`Type=notify`) it waits for this; anywhere else nobody asked.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(error = &error as &dyn std::error::Error, "systemd could not be told how we are");
    }
}

/// The config of a replay: the one given, or one of the instruments that the recording speaks of.
fn replay_config(config: Option<&Path>, recording: &Path, venue: Venue) -> Result<Config, Failure> {
    let unreadable = |error| Failure::Usage(format!("{}: {error}", recording.display()));
    if config.is_some() {
        File::open(recording).map_err(unreadable)?;
        return load(config, Some(On::Replay(venue)));
    }
    let instruments = replay::instruments(recording, venue).map_err(unreadable)?;
    if instruments.is_empty() {
        return Err(Failure::Usage(format!("{}: nothing in it is a price of {venue}", recording.display())));
    }
    Ok(Config { instruments, ..Config::default() })
}

/// What an argument switches on, whatever the config says.
enum On {
    /// The venue of a replay.
    Replay(Venue),
    /// The simulator, with this scenario.
    Scenario(String),
}

impl On {
    /// As the environment would say it.
    fn variables(self) -> Vec<(String, String)> {
        let enabled = |venue: Venue| {
            (format!("TICKCAST__FEEDS__{}__ENABLED", venue.name().to_uppercase()), "true".to_owned())
        };
        match self {
            Self::Replay(venue) => vec![enabled(venue)],
            Self::Scenario(name) => {
                vec![enabled(Venue::Sim), ("TICKCAST__FEEDS__SIM__SCENARIO".to_owned(), name)]
            }
        }
    }
}

/// Loads a config, with what an argument switches on.
fn load(path: Option<&Path>, on: Option<On>) -> Result<Config, Failure> {
    let (text, origin) = match (path, &on) {
        (None, Some(On::Scenario(_))) => {
            (config::scenarios().to_owned(), "the built-in scenarios".to_owned())
        }
        (None, _) => (config::demo().to_owned(), "the built-in demo".to_owned()),
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
            (text, path.display().to_string())
        }
    };
    // A variable that is not UTF-8 cannot be one of ours.
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let on = on.map(On::variables).unwrap_or_default();
    config::load(&text, &origin, own.chain(on)).map_err(|mistakes| Failure::Usage(mistakes.to_string()))
}

fn run_decode(args: &Decode) -> Result<(), Failure> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let result = match &args.file {
        None => decode::run(args.venue, io::stdin().lock(), &mut out, &mut err),
        Some(path) => {
            let file = recording::open(path)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
            decode::run(args.venue, file, &mut out, &mut err)
        }
    };
    result.map(drop).map_err(|error| Failure::Run(format!("decode: {error}")))
}

fn run_check(args: &Check) -> Result<(), Failure> {
    let config = load(args.config.as_deref(), None)?;
    check_tls(&config.http)?;
    let catalogue = Catalogue::new(config.instruments.clone());
    check::run(&config, &catalogue, &mut io::stdout().lock())
        .map_err(|error| Failure::Run(format!("check: {error}")))
}

fn run_openapi(args: &Openapi) -> Result<(), Failure> {
    let config = load(args.config.as_deref(), None)?;
    openapi::run(&config, &mut io::stdout().lock()).map_err(|error| Failure::Run(format!("openapi: {error}")))
}

/// The key goes to stdout, alone, and the lines for the file to stderr: `tickcast key alice 2>> keys.toml` shows the one and
/// files the other.
fn run_key(args: &Key) -> Result<(), Failure> {
    let (plan, expires) = (args.plan.as_deref(), args.expires.as_deref());
    config::check_key(&args.id, plan, expires).map_err(Failure::Usage)?;
    key::run(&args.id, plan, expires, &mut io::stdout().lock(), &mut io::stderr().lock())
        .map_err(|error| Failure::Run(format!("key: {error}")))
}

fn run_watch(args: Watch) -> Result<(), Failure> {
    let key = std::env::var("TICKCAST_API_KEY").ok().filter(|key| !key.is_empty()).map(watch::Key);
    let Watch { symbols, url, throttle } = args;
    let options = watch::Options { symbols, url, throttle, key };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(format!("no runtime: {error}")))?;
    runtime.block_on(watch::run(options)).map_err(|error| match error {
        WatchError::Url { .. } => Failure::Usage(error.to_string()),
        _ => Failure::Run(error.to_string()),
    })
}

/// The scenarios' names, each with what is to be seen.
fn scenario() -> PossibleValuesParser {
    Scenario::ALL
        .iter()
        .map(|scenario| PossibleValue::new(scenario.name()).help(scenario.about()))
        .collect::<Vec<_>>()
        .into()
}

/// A venue that sends frames; the simulator makes prices without.
fn venue_with_frames(text: &str) -> Result<Venue, String> {
    let with_frames: Vec<&str> =
        Venue::ALL.iter().filter(|v| v.profile().is_some()).map(|v| v.name()).collect();
    let venue = text.parse::<Venue>().ok().filter(|venue| venue.profile().is_some());
    venue.ok_or_else(|| format!("expected one of {}", with_frames.join(", ")))
}
