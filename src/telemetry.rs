//! Spans for an OpenTelemetry collector, where the standard variables name one (`OTEL_EXPORTER_OTLP_ENDPOINT`): sent as
//! OTLP over HTTP by a thread of its own. What the collector does not take is counted and forgotten: nothing waits for it.
//!
//! Not logs and not metrics: those go to stderr and to `/metrics`.

mod exporter;

use std::env;
use std::fmt::Display;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use crate::config::url_without_secrets;
use exporter::{Bounded, Exporter, Post};

/// Where to, in the order in which the standard asks.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const PROTOCOL: &str = "http/protobuf";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
/// Spans that wait when `OTEL_BSP_MAX_QUEUE_SIZE` says nothing: the standard's own number.
const QUEUE_DEFAULT: usize = 2048;
/// At the end the last spans have so long to be taken.
const END_MAX: Duration = Duration::from_secs(2);

/// Why there can be no spans.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// It names another way to say spans.
    #[error(
        "{variable}: `{value}` is not spoken here; `{PROTOCOL}` is, for which collectors listen on port 4318"
    )]
    Protocol {
        /// Where it stands.
        variable: &'static str,
        /// What stands there.
        value: String,
    },
    /// It is no size.
    #[error("{QUEUE}: `{0}` is no number of spans from 1 up")]
    Queue(String),
    /// The variables make no exporter.
    #[error("no spans can be sent to `{endpoint}`, which an OTEL_EXPORTER_OTLP variable names: {source}")]
    Exporter {
        /// Where to.
        endpoint: String,
        /// Why not.
        source: ExporterBuildError,
    },
}

/// What makes spans and sends them.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// As the environment says; `None` where it names no collector, or switches the whole off (`OTEL_SDK_DISABLED`,
    /// `OTEL_TRACES_EXPORTER=none`).
    ///
    /// # Errors
    ///
    /// [`TelemetryError`] where it says what cannot be done.
    pub fn from_env() -> Result<Option<Self>, TelemetryError> {
        let Some((_, endpoint)) = first(ENDPOINTS) else { return Ok(None) };
        let is = |name, word: &str| env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case(word));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        if let Some((variable, value)) = first(PROTOCOLS).filter(|(_, value)| value != PROTOCOL) {
            return Err(TelemetryError::Protocol { variable, value });
        }
        let most = match env::var(QUEUE) {
            Err(_) => QUEUE_DEFAULT,
            Ok(text) => {
                let size = text.trim().parse().ok().filter(|size| *size > 0);
                size.ok_or(TelemetryError::Queue(text))?
            }
        };
        let shown = url_without_secrets(&endpoint);
        let post = Post::default();
        let exporter = SpanExporter::builder().with_http().with_http_client(post.clone()).build();
        let exporter =
            exporter.map_err(|source| TelemetryError::Exporter { endpoint: shown.clone(), source })?;
        let processor = Bounded::new(most, |waiting| Exporter::new(exporter, post, shown, waiting));
        let provider =
            SdkTracerProvider::builder().with_resource(resource()).with_span_processor(processor).build();
        Ok(Some(Self { provider }))
    }

    /// What tracing gives its spans to. Spans of clients' requests are made for it even where logs don't show them. What
    /// is logged within a span stays in the log: some of it names addresses.
    pub fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        let own = |metadata: &Metadata<'_>| {
            metadata.is_span()
                && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
                && *metadata.level() <= Level::DEBUG
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("tickcast"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            // Both cost at every entry of a span, and nobody here asks.
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(own).with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is left, for two seconds at most.
    pub fn end(self) {
        // What did not go is counted, and was told.
        let _ = self.provider.shutdown_with_timeout(END_MAX);
    }
}

/// The first of these variables that is set, with its value.
fn first(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    let set = |name| Some((name, env::var(name).ok().filter(|value| !value.is_empty())?));
    names.into_iter().find_map(set)
}

/// Who we are, which the environment may say otherwise.
fn resource() -> Resource {
    let mut resource =
        Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let named = env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="));
    if env::var_os("OTEL_SERVICE_NAME").is_none() && !named {
        resource = resource.with_service_name("tickcast");
    }
    resource.build()
}

/// An error with its sources.
fn told(error: &dyn std::error::Error) -> impl Display {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Tells in metrics how many spans were lost.
#[derive(Debug)]
pub(crate) struct Losses;

impl Collector for Losses {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let lost = ConstCounter::new(exporter::lost());
        let about = "Spans for OpenTelemetry that no collector got.";
        lost.encode(encoder.encode_descriptor("tickcast_spans_lost", about, None, lost.metric_type())?)
    }
}
