//! `tickcast watch`: prices in the terminal, over the same stream that browsers get. A live table where there is a terminal
//! to draw it on, else one line per message.

mod follow;
mod lines;
mod list;
mod screen;
mod table;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

pub use follow::{Key, Price};

/// What to watch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The symbols, by any of their names, or `*`.
    pub symbols: Vec<String>,
    /// The service's address, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// The least time between two updates of one symbol.
    pub throttle: Duration,
    /// What to show the service.
    pub key: Option<Key>,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The service does not give us this, and will not later.
    #[error("{0}")]
    Refused(String),
    /// There is no such address.
    #[error("`{url}` is no address of a service: {problem}; expected one such as http://127.0.0.1:8080")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The terminal, or what reads our lines.
    #[error("the terminal failed")]
    Terminal(#[from] io::Error),
}

/// Watches until it is told to stop, or refused.
///
/// # Errors
///
/// [`WatchError`]. Lines that nobody reads any more, as by `head`, are an end and no error.
pub async fn run(options: Options) -> Result<(), WatchError> {
    follow::check(&options.url)?;
    if io::stdout().is_terminal() {
        return table::run(options).await;
    }
    match lines::run(options, &mut io::stdout(), &mut io::stderr()).await {
        Err(WatchError::Terminal(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}
