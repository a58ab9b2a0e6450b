//! `/livez` and `/readyz`: whether the process lives, and whether it can work.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_axum::routes;

use super::app::App;
use super::problem::{Answer, Failed, Type};
use super::routes::{Routes, Rule};

const TEXT: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; charset=utf-8")];

/// How long `/readyz` waits for the store, which may just have something larger to write.
const ANSWER_WITHIN: Duration = Duration::from_millis(5);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::OPEN, routes!(livez))
        .add(Rule::OPEN, routes!(readyz))
}

/// Whether the process lives
#[utoipa::path(get, path = "/livez", tag = "health", responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain"),
))]
async fn livez() -> impl IntoResponse {
    (TEXT, "ok\n")
}

/// Whether requests can be served: what is written is stored, and the server is not about to stop
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "They can", body = String, content_type = "text/plain"),
))]
async fn readyz(State(app): State<App>) -> Answer<impl IntoResponse> {
    if app.stopping.is_cancelled() {
        return Err(Failed::new(Type::Stopping, "the server is about to stop"));
    }
    let unable = |detail: &str| Err(Failed::new(Type::Stopping, detail));
    match tokio::time::timeout(ANSWER_WITHIN, app.control.ready()).await {
        Ok(Ok(())) => app.pulse.beats(),
        // The server is about to find that out and end.
        Ok(Err(_)) => return unable("nothing can be stored any more; the server's log says why"),
        Err(_) if app.pulse.is_fresh() => {}
        Err(_) => return unable("the store has not answered for long"),
    }
    Ok((TEXT, "ok\n"))
}
