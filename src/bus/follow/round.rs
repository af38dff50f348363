//! Many subscriptions of one connection, heard in the order in which the stream stored what they bring.
//!
//! Each has a queue of its own, filled in the connection's order. Whoever empties one queue after the other may find the later
//! of two messages and not the earlier one, whose queue he had left just before it came. So he looks twice: what was there
//! before anything that the first look found, the second look finds. What was fetched may be ahead of what has come by itself: it
//! waits until that has got there too.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Message, Subscriber, header};
use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::names;
use crate::catalogue::SymbolId;

/// With many subscriptions a look costs something: there are no more of them than this allows.
const PACE: Duration = Duration::from_millis(1);
/// Fewer are looked at whenever something comes.
const FEW: usize = 8;

/// A ticker as it is on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) token: String,
    pub(super) sequence: u64,
    pub(super) payload: Bytes,
}

/// The subscriptions.
#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<(Option<SymbolId>, Box<dyn Line>)>,
    paced: Option<Instant>,
    /// Everything up to this sequence has come by itself, or was before us.
    heard: u64,
}

/// A queue of messages.
trait Line: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Published>>;
}

impl Line for Subscriber {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Published>> {
        loop {
            let Some(message) = std::task::ready!(Pin::new(&mut *self).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            // What NATS republishes has its sequence; what anybody else says there is nothing to us.
            if let Some(published) = published(message) {
                return Poll::Ready(Some(published));
            }
        }
    }
}

fn published(message: Message) -> Option<Published> {
    let sequence = message.headers.as_ref()?.get(header::NATS_SEQUENCE)?.as_str().parse().ok()?;
    let token = names::token_of(&message.subject).to_owned();
    Some(Published { token, sequence, payload: message.payload })
}

/// What has come by a subscription up to now.
pub(super) fn drain(subscriber: &mut Subscriber) -> Vec<Published> {
    let mut found = Vec::new();
    let take = std::future::poll_fn(|cx| {
        while let Poll::Ready(Some(published)) = Line::poll(subscriber, cx) {
            found.push(published);
        }
        Poll::Ready(())
    });
    // As in `round`.
    unconstrained(take).now_or_never();
    found
}

impl Lines {
    pub(super) fn add(&mut self, subscriber: Subscriber, id: Option<SymbolId>) {
        self.lines.push((id, Box::new(subscriber)));
    }

    /// Ends the subscription of one symbol.
    pub(super) fn remove(&mut self, id: SymbolId) {
        self.lines.retain(|(of, _)| *of != Some(id));
    }

    /// Ends all subscriptions.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Begins with what comes after this sequence.
    pub(super) fn begin(&mut self, sequence: u64) {
        self.heard = sequence;
    }

    /// Notes that everything up to this sequence has come by itself, though it may be nothing that we listen to.
    pub(super) fn pass(&mut self, sequence: u64) {
        self.heard = self.heard.max(sequence);
    }

    /// Up to where everything was returned.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Waits until something has come, or was `carried` from before and its turn has come, and returns it in the order of the
    /// stream. What may have something before it that is not here yet is carried to the next round.
    pub(super) async fn round(&mut self, carried: &mut Vec<Published>) -> Vec<Published> {
        if let Some(at) = self.paced.filter(|_| self.lines.len() > FEW) {
            sleep_until(at).await;
        }
        // Tokio's queues pretend to be empty now and then, to let others run: here that would look like order.
        unconstrained(std::future::poll_fn(|cx| self.poll(carried, cx))).await
    }

    fn poll(&mut self, carried: &mut Vec<Published>, cx: &mut Context<'_>) -> Poll<Vec<Published>> {
        self.look(carried, cx);
        let newest = self.heard;
        if carried.iter().all(|published| published.sequence > newest) {
            return Poll::Pending;
        }
        self.look(carried, cx);
        self.paced = Some(Instant::now() + PACE);
        let (mut now, later) =
            std::mem::take(carried).into_iter().partition::<Vec<_>, _>(|it| it.sequence <= newest);
        *carried = later;
        now.sort_by_key(|published| published.sequence);
        Poll::Ready(now)
    }

    /// Takes whatever is there.
    fn look(&mut self, found: &mut Vec<Published>, cx: &mut Context<'_>) {
        for (_, line) in &mut self.lines {
            while let Poll::Ready(Some(published)) = line.poll(cx) {
                self.heard = self.heard.max(published.sequence);
                found.push(published);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// A connection that brings the next message whenever somebody looks at a queue, as often as it likes.
    struct Connection {
        /// Which queue each message goes to, in the connection's order.
        rest: VecDeque<(u64, usize)>,
        queues: Vec<VecDeque<u64>>,
        /// How many messages come before each look.
        pace: VecDeque<usize>,
    }

    struct Queue(usize, Arc<Mutex<Connection>>);

    impl Line for Queue {
        fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<Published>> {
            let mut connection = self.1.lock().expect("nobody panics");
            for _ in 0..connection.pace.pop_front().unwrap_or(1) {
                if let Some((sequence, queue)) = connection.rest.pop_front() {
                    connection.queues[queue].push_back(sequence);
                }
            }
            match connection.queues[self.0].pop_front() {
                Some(sequence) => Poll::Ready(Some(Published {
                    token: self.0.to_string(),
                    sequence,
                    payload: Bytes::new(),
                })),
                None => Poll::Pending,
            }
        }
    }

    proptest! {
        #[test]
        fn whenever_messages_come_they_are_told_in_the_order_of_the_stream(
            queues in prop::collection::vec(0_usize..4, 1..60),
            pace in prop::collection::vec(0_usize..5, 0..200),
        ) {
            let count = queues.len() as u64;
            let connection = Arc::new(Mutex::new(Connection {
                rest: (1..).zip(queues).collect(),
                queues: vec![VecDeque::new(); 4],
                pace: pace.into(),
            }));
            let mut lines = Lines::default();
            for queue in 0..4 {
                lines.lines.push((None, Box::new(Queue(queue, Arc::clone(&connection)))));
            }
            let (mut carried, mut told) = (Vec::new(), Vec::new());
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..1_000 {
                if let Poll::Ready(published) = lines.poll(&mut carried, &mut cx) {
                    told.extend(published.into_iter().map(|published| published.sequence));
                }
            }
            prop_assert_eq!(told, (1..=count).collect::<Vec<_>>());
        }
    }
}
