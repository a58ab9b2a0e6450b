//! `/metrics`: counters and gauges as Prometheus text.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tidegate_service::problem::{Problem, Result};
use utoipa_axum::routes;

use super::app::App;
use super::problem::Answer;
use super::routes::{Routes, Rule};

/// Bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];
/// How often what has been recorded is put in order, so that it does not pile up unread.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Start to record what happens in this process.
pub(crate) fn recorder() -> Result<PrometheusHandle> {
    let durations = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &SECONDS);
    let recorder = builder.map_err(Problem::internal)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(Problem::internal)?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Rule::READ, routes!(metrics))
}

/// Counters and gauges, as Prometheus reads them
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "In Prometheus' text format", body = String, content_type = "text/plain"),
))]
async fn metrics(State(app): State<App>) -> Answer<impl IntoResponse> {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], app.metrics.render()))
}
