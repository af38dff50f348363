//! What a connection is told to do, what it works with, and what it tells its supervisor.

use std::sync::Arc;
use std::time::Duration;

use tickcast_feeds::Profile;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::Key;
use crate::ingest::board::Feed;
use crate::ingest::dial::{Dial, Target};
use crate::ingest::pipeline::Pipeline;
use crate::ingest::record::Recorder;
use crate::metrics::Metrics;

/// What one connection is to do.
pub struct Order {
    /// Where to.
    pub target: Target,
    /// Facts about the socket.
    pub profile: &'static Profile,
    /// What to follow.
    pub wires: Arc<[String]>,
    /// It is silent after this long without a tick.
    pub silence_max: Duration,
    /// Whether all of it trades in the hours of US stocks only.
    pub has_hours: bool,
    /// Whether another connection serves until this one ticks.
    pub is_replacement: bool,
    /// The operator's key, for venues that want one.
    pub key: Option<Key>,
}

/// What a connection works with.
pub struct Means {
    /// How the supervisor knows it.
    pub id: u64,
    /// Its place on the board.
    pub feed: Feed,
    /// Its way to the store.
    pub pipeline: Pipeline,
    /// Opens sockets.
    pub dial: Arc<dyn Dial>,
    /// Keeps the raw frames, where that is wanted.
    pub recorder: Option<Recorder>,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// To the supervisor.
    pub reports: mpsc::Sender<Report>,
    /// From the supervisor: another connection serves now.
    pub retire: mpsc::Receiver<oneshot::Sender<()>>,
    /// Cancelled when the service stops.
    pub closing: CancellationToken,
}

/// What a connection tells its supervisor.
#[derive(Debug)]
pub struct Report {
    /// Which connection.
    pub id: u64,
    /// What.
    pub news: News,
}

/// The news in a report.
#[derive(Debug)]
pub enum News {
    /// It serves from now on. Where it replaces another, its first tick waits for `go`: the other one's last ticks
    /// come first, so that none is late.
    Serving {
        /// Dropped or answered when the other one's frames are in.
        go: Option<oneshot::Sender<()>>,
    },
    /// It will not last: another should be opened.
    Leaving {
        /// Why, as in the metrics.
        reason: &'static str,
    },
}
