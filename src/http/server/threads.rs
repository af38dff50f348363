//! The fan-out threads: started with the server, told to stop with it.

use std::io;
use std::sync::Arc;

use mio::{Poll, Waker};
use tokio::sync::mpsc;
use tracing::error;

use super::door::{Door, Doors, Order};
use super::hub::{self, DOOR};
use crate::http::State;

/// All fan-out threads. Dropping this cuts the streams on them.
pub(super) struct Threads {
    doors: Doors,
    ends: mpsc::Receiver<()>,
    running: usize,
}

impl Threads {
    /// Starts as many as the config says.
    pub(super) fn start(state: &State) -> io::Result<Self> {
        let running = state.http.threads;
        let (ended, ends) = mpsc::channel(running);
        let mut doors = Vec::new();
        for index in 0..running {
            let poll = Poll::new()?;
            let door = Arc::new(Door::new(Waker::new(poll.registry(), DOOR)?));
            doors.push(Arc::clone(&door));
            let (state, ended) = (state.clone(), Ended(ended.clone()));
            std::thread::Builder::new().name(format!("fanout-{index}")).spawn(move || {
                let _ended = ended;
                if let Err(error) = hub::run(poll, &door, state) {
                    error!(error = &error as &dyn std::error::Error, "a fan-out thread failed");
                }
            })?;
        }
        Ok(Self { doors: Doors::new(doors), ends, running })
    }

    /// The ways into them.
    pub(super) fn doors(&self) -> Doors {
        self.doors.clone()
    }

    /// Tells the streams to end, each at its moment. More may come and are told the same.
    pub(super) fn close(&self) {
        self.doors.order(Order::Close);
    }

    /// Tells that no more streams come: each thread ends with its last one.
    pub(super) fn shut(&self) {
        self.doors.order(Order::Shut);
    }

    /// Waits for the end of any of them.
    pub(super) async fn any_ended(&mut self) {
        if self.ends.recv().await.is_some() {
            self.running -= 1;
        }
    }

    /// Waits until all have ended.
    pub(super) async fn all_ended(&mut self) {
        while self.running > 0 {
            self.any_ended().await;
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.doors.order(Order::Cut);
    }
}

/// Tells that a thread has ended, also by a panic.
struct Ended(mpsc::Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // There is room for one of each thread; where nobody listens any more, nobody needs to know.
        let _ = self.0.try_send(());
    }
}
