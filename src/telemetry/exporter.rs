//! The way of a span to the collector: through a bounded queue, by a client that blocks the queue's own thread and no
//! other, in the names that collectors know.

use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{Context, Key, KeyValue, Value};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use tracing::{info, warn};
use warp::http::{Request, Response};

/// One attempt to give a batch away.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// What is read of a collector's answer.
const ANSWER_MAX: u64 = 64 << 10;

/// Of the whole process: its subscriber is, too.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Spans that no collector got.
pub(super) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

fn lose(count: usize) {
    LOST.fetch_add(count as u64, Ordering::Relaxed);
}

/// A queue that knows what it drops: the library's own drops without a word.
#[derive(Debug)]
pub(super) struct Bounded {
    queue: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl Bounded {
    /// A queue of at most so many spans, those on their way included. `exporter` counts what leaves it.
    pub(super) fn new<E>(most: usize, exporter: impl FnOnce(Arc<AtomicUsize>) -> E) -> Self
    where
        E: SpanExporter + 'static,
    {
        let waiting = Arc::new(AtomicUsize::new(0));
        let config = BatchConfigBuilder::default().with_max_queue_size(most).build();
        let queue = BatchSpanProcessor::builder(exporter(Arc::clone(&waiting))).with_batch_config(config);
        Self { queue: queue.build(), waiting, most }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.queue.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        // The library leaves out what is not sampled, which was never meant to arrive.
        if !span.span_context.is_sampled() {
            return;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.most {
            self.queue.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            lose(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Gives batches to the collector, and counts and tells where that fails.
#[derive(Debug)]
pub(super) struct Exporter<E> {
    inner: E,
    post: Post,
    /// Without secrets.
    endpoint: String,
    waiting: Arc<AtomicUsize>,
    is_failing: AtomicBool,
}

impl<E> Exporter<E> {
    pub(super) fn new(inner: E, post: Post, endpoint: String, waiting: Arc<AtomicUsize>) -> Self {
        Self { inner, post, endpoint, waiting, is_failing: AtomicBool::new(false) }
    }
}

impl<E: SpanExporter> SpanExporter for Exporter<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(name);
        let count = batch.len();
        let result = self.inner.export(batch).await;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        let endpoint = self.endpoint.as_str();
        match &result {
            Err(error) => {
                lose(count);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    let cause = self.post.failure();
                    warn!(
                        endpoint,
                        cause,
                        error = error as &dyn std::error::Error,
                        "spans do not reach their collector; they are counted and forgotten"
                    );
                }
            }
            Ok(()) if self.is_failing.swap(false, Ordering::Relaxed) => {
                info!(endpoint, spans_lost = lost(), "spans reach their collector again");
            }
            Ok(()) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Puts a span into the words of OpenTelemetry's conventions (semconv 1.27, HTTP). Here and not where spans are made, so
/// that logs keep ours.
fn name(span: &mut SpanData) {
    match span.name.as_ref() {
        "request" => {
            span.span_kind = SpanKind::Server;
            let word = |key: &str| {
                let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
                found.map(|attribute| attribute.value.as_str().into_owned()).unwrap_or_default()
            };
            span.name = format!("{} {}", word("method"), word("route")).into();
            for KeyValue { key, value, .. } in &mut span.attributes {
                match key.as_str() {
                    "method" => *key = Key::from_static_str("http.request.method"),
                    "route" => *key = Key::from_static_str("http.route"),
                    "status" => {
                        *key = Key::from_static_str("http.response.status_code");
                        if matches!(value, Value::I64(500..)) {
                            span.status = Status::error("");
                        }
                    }
                    _ => {}
                }
            }
        }
        "feed" => span.span_kind = SpanKind::Client,
        _ => {}
    }
}

/// Posts over HTTP or HTTPS. It blocks, which costs the queue's thread alone and needs no runtime there.
#[derive(Clone, Debug)]
pub(super) struct Post {
    agent: ureq::Agent,
    /// Of the last attempt: the library keeps it to itself.
    failure: Arc<Mutex<String>>,
}

impl Default for Post {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ATTEMPT_MAX))
            .http_status_as_error(false)
            .max_redirects(0);
        Self { agent: config.build().new_agent(), failure: Arc::default() }
    }
}

impl Post {
    /// Why the last attempt failed; empty where none did.
    fn failure(&self) -> String {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, failure: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(parts, &body[..]))?;
        let status = answer.status();
        self.note(if status.is_success() { String::new() } else { format!("it answers {status}") });
        let (parts, mut body) = answer.into_parts();
        let bytes = match body.with_config().limit(ANSWER_MAX).read_to_vec() {
            Ok(bytes) => bytes,
            // What it says beside the status is nothing that we need.
            Err(ureq::Error::BodyExceedsLimit(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.post(request).map_err(|error| {
            self.note(super::told(&error).to_string());
            Box::new(io::Error::other(error)).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
    };
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    fn span(name: &'static str, attributes: Vec<KeyValue>) -> SpanData {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let tracer = provider.tracer("test");
        drop(tracer.span_builder(name).with_attributes(attributes).start(&tracer));
        exporter.get_finished_spans().expect("spans").remove(0)
    }

    #[test]
    fn a_request_is_named_as_collectors_expect_and_a_failure_is_one_of_ours_only() {
        for (status, failed) in [(200, false), (404, false), (503, true)] {
            let mut request = span(
                "request",
                vec![
                    KeyValue::new("method", "GET"),
                    KeyValue::new("route", "/prices"),
                    KeyValue::new("status", status),
                ],
            );
            name(&mut request);
            assert_eq!((request.name.as_ref(), request.span_kind), ("GET /prices", SpanKind::Server));
            let keys: Vec<_> = request.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
            assert_eq!(keys, ["http.request.method", "http.route", "http.response.status_code"]);
            assert_eq!(matches!(request.status, Status::Error { .. }), failed, "{status}");
        }
    }

    /// Takes nothing until it may.
    #[derive(Debug)]
    struct Stuck(Arc<Mutex<()>>);

    impl SpanExporter for Stuck {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            drop(self.0.lock());
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_lost_at_once_and_counted() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().expect("nobody has it");
        let exporter =
            |waiting| Exporter::new(Stuck(Arc::clone(&gate)), Post::default(), String::new(), waiting);
        let queue = Bounded::new(4, exporter);
        let sampled =
            SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, false, TraceState::NONE);
        let one = SpanData { span_context: sampled, ..span("connection", Vec::new()) };
        let before = lost();
        for _ in 0..10 {
            queue.on_end(one.clone());
        }
        assert_eq!(lost() - before, 6);
        drop(held);
        assert!(queue.shutdown_with_timeout(Duration::from_secs(30)).is_ok());
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(lost() - before, 6, "the others arrived");
    }
}
