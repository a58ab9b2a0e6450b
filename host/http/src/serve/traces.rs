//! Traces of requests, runs and deliveries, sent to the operator's collector: OTLP over HTTP, protobuf.
//!
//! Everything but the endpoint is set by OpenTelemetry's own variables. Spans that a collector does not
//! take in time are dropped; nothing waits for it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tidegate_egress::{Gate, GateOptions, Receiver};
use tidegate_service::control::egress_proxy;
use tidegate_service::problem::{Problem, Result};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use url::Url;

/// The service's name, unless `OTEL_SERVICE_NAME` has another.
const SERVICE: &str = "tidegate";
/// How long the last spans may take once the server has stopped.
const AT_THE_END: Duration = Duration::from_secs(2);

/// What is traced goes through it.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// To the collector at `endpoint`, below which `/v1/traces` takes traces.
    pub fn start(endpoint: &str) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            Problem::invalid(format!("--otlp-endpoint {endpoint}: {error}"))
                .hint("give the URL of an OTLP collector that speaks HTTP: http://127.0.0.1:4318")
        };
        let mut url: Url = endpoint.parse().map_err(|error| wrong(&error))?;
        url.path_segments_mut()
            .map_err(|()| wrong(&"no URL of a server"))?
            .pop_if_empty()
            .extend(["v1", "traces"]);
        let gate = Gate::new(GateOptions {
            proxy: egress_proxy()?,
            ..GateOptions::default()
        });
        let collector = Collector {
            receiver: Receiver::of_traces(&gate, &url).map_err(|error| wrong(&error))?,
            runtime: Handle::current(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(url)
            .build()
            .map_err(|error| wrong(&error))?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(SERVICE);
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of ours into theirs.
    pub fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("tidegate"))
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(Targets::new().with_target("tidegate", LevelFilter::DEBUG))
    }

    /// Send what is left.
    pub async fn finish(self) {
        let last = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(AT_THE_END));
        if let Ok(Err(error)) = last.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The way to the collector, through the gate.
#[derive(Debug)]
struct Collector {
    receiver: Receiver,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> std::result::Result<http::Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers: Vec<_> = head.headers.iter().filter_map(text).collect();
        let receiver = self.receiver.clone();
        // The exporter has a thread of its own, without tokio.
        let posted = self
            .runtime
            .spawn(async move { receiver.post(&headers, body).await });
        let answer = posted.await??;
        Ok(http::Response::builder()
            .status(answer.status)
            .body(answer.body)?)
    }
}
