//! What all requests share.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tidegate_engine::integration::Digest;
use tidegate_runtime::Clock;
use tidegate_service::control::ApiControl;
use tidegate_service::problem::Result;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use utoipa::openapi::OpenApi;

use super::bounds::Bounds;
use super::host::Names;
use super::in_flight::InFlightKeys;
use super::keyring::Keyring;
use super::pulse::Pulse;
use super::room::Room;
use super::strangers::Strangers;

/// The state of every route.
pub(crate) type App = Arc<Shared>;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// The address that the operator chose: API keys open it.
    Public,
    /// The socket of this machine's commands: only the server's own token opens it.
    Own,
}

/// See [`App`].
pub(crate) struct Shared {
    pub(crate) control: Arc<dyn ApiControl>,
    pub(crate) keyring: Keyring,
    /// Of the token that opens [`Entrance::Own`].
    pub(crate) own_token: Digest,
    pub(crate) clock: Clock,
    pub(crate) bounds: Bounds,
    /// What it answers to on [`Entrance::Public`].
    pub(super) names: Names,
    /// What is held for its clients.
    pub(super) room: Arc<Room>,
    /// Those without a key.
    pub(crate) strangers: Strangers,
    /// Whether the store has answered lately.
    pub(crate) pulse: Pulse,
    /// Whether only signed components may be deployed, which only the command can check.
    pub(crate) signatures_only: bool,
    pub(crate) metrics: PrometheusHandle,
    /// Cancelled once the server is to stop: streams and waits end then.
    pub(crate) stopping: CancellationToken,
    /// What is being done under idempotency keys.
    pub(super) in_flight: InFlightKeys,
    document: OnceLock<Bytes>,
    /// Each of its tokens is a change that is being made.
    work: TaskTracker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What a server gives to its routes.
pub(crate) struct Parts {
    pub(crate) control: Arc<dyn ApiControl>,
    pub(crate) own_token: Digest,
    pub(crate) clock: Clock,
    pub(crate) bounds: Bounds,
    pub(crate) names: Names,
    pub(crate) signatures_only: bool,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) stopping: CancellationToken,
}

impl Shared {
    /// With the keys that are stored.
    pub(crate) async fn load(parts: Parts) -> Result<App> {
        let keyring = Keyring::new(parts.control.api_keys().await?, parts.bounds);
        let Parts {
            control,
            own_token,
            clock,
            bounds,
            names,
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
            names,
            room: Arc::new(Room::new(&bounds)),
            strangers: Strangers::new(&bounds),
            pulse: Pulse::default(),
            signatures_only,
            metrics,
            stopping,
            in_flight: InFlightKeys::default(),
            document: OnceLock::new(),
            work: TaskTracker::new(),
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
    pub(crate) fn working(&self) -> TaskTrackerToken {
        self.work.token()
    }

    /// Resolves when nothing is being changed any more.
    pub(crate) async fn idle(&self) {
        self.work.close();
        self.work.wait().await;
    }
}
