//! What all requests share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tidegate_engine::integration::Digest;
use tidegate_engine::limits;
use tidegate_runtime::Clock;
use tokio::sync::watch;
use utoipa::openapi::OpenApi;

use super::keyring::Keyring;
use super::once::UnderWay;
use crate::control::Control;
use crate::problem::{Problem, Result};

/// The state of every route.
pub(crate) type App = Arc<Shared>;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// The address that the operator chose: API keys open it.
    Public,
    /// The loopback port of this machine's commands: only the server's own token opens it.
    Own,
}

/// Bounds of requests that the operator may set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) header: Duration,
    pub(crate) request: Duration,
    pub(crate) stall: Duration,
    pub(crate) connections: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header: Duration::from_millis(limits::API_HEADER_MS),
            request: Duration::from_millis(limits::API_REQUEST_MS),
            stall: Duration::from_millis(limits::API_STALL_MS),
            connections: limits::API_CONNECTIONS,
        }
    }
}

impl Bounds {
    /// Set one by the name of its limit.
    pub(crate) fn set(&mut self, name: &str, value: u64) -> Result<()> {
        let time = Duration::from_millis(value);
        match name {
            _ if value == 0 => {
                return Err(Problem::invalid(format!(
                    "the limit {name} must be at least 1"
                )));
            }
            "api_header_ms" => self.header = time,
            "api_request_ms" => self.request = time,
            "api_stall_ms" => self.stall = time,
            "api_connections" => self.connections = value,
            _ => {
                let message = format!("a server sets no limit {name:?}");
                return Err(Problem::invalid(message).hint(
                    "it sets api_header_ms, api_request_ms, api_stall_ms and api_connections",
                ));
            }
        }
        Ok(())
    }
}

/// See [`App`].
pub(crate) struct Shared {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) keyring: Keyring,
    /// Of the token that opens [`Via::Own`].
    pub(crate) own_token: Digest,
    pub(crate) clock: Clock,
    pub(crate) bounds: Bounds,
    /// Whether only signed components may be deployed, which only the command can check.
    pub(crate) signatures_only: bool,
    pub(crate) metrics: PrometheusHandle,
    /// True once the server is to stop: streams and waits end then.
    pub(crate) stopping: watch::Receiver<bool>,
    /// What is being done under idempotency keys.
    pub(super) under_way: UnderWay,
    document: OnceLock<Bytes>,
    /// Each of its receivers is a change that is being made.
    work: watch::Sender<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What a server gives to its routes.
pub(crate) struct Parts {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) own_token: Digest,
    pub(crate) clock: Clock,
    pub(crate) bounds: Bounds,
    pub(crate) signatures_only: bool,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Shared {
    /// With the keys that are stored.
    pub(crate) async fn load(parts: Parts) -> Result<App> {
        let keyring = Keyring::new(parts.control.api_keys().await?);
        let Parts {
            control,
            own_token,
            clock,
            bounds,
            signatures_only,
            metrics,
            stopping,
        } = parts;
        Ok(Arc::new(Self {
            control,
            keyring,
            own_token,
            clock,
            bounds,
            signatures_only,
            metrics,
            stopping,
            under_way: UnderWay::default(),
            document: OnceLock::new(),
            work: watch::Sender::new(()),
        }))
    }

    /// Keep the OpenAPI document, which is the same for every way in.
    pub(super) fn documented(&self, document: &OpenApi) {
        let text = || serde_json::to_vec(document).unwrap_or_default().into();
        self.document.get_or_init(text);
    }

    /// The OpenAPI document as JSON.
    pub(super) fn document(&self) -> Bytes {
        self.document.get().cloned().unwrap_or_default()
    }

    /// Something is being changed until what is returned is dropped.
    pub(crate) fn working(&self) -> impl Send + 'static {
        self.work.subscribe()
    }

    /// Resolves when nothing is being changed any more.
    pub(crate) async fn idle(&self) {
        self.work.closed().await;
    }

    /// Resolves when the server is to stop.
    pub(super) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the server is gone.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
