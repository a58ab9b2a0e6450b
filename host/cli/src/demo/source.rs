//! The demo's source API: the fictional CRM over HTTP, on a port of the loopback interface.
//!
//! `GET /contacts` and `GET /companies` answer
//! `{"items": […], "next_cursor": "…" or null, "as_of": "…"}`, oldest change first. Query:
//! `limit` (1 to 1,000, default 100), `cursor` (from the page before), `updated_since` (RFC 3339;
//! items that changed then or later, deleted ones as `{"id", "updated_at", "deleted": true}`).
//! Requests carry a bearer token. Errors are `{"error": "…"}`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_service::problem::{Problem, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::crm::{Crm, Kind, Tick};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// The running API.
#[derive(Debug)]
pub(super) struct Source {
    crm: Arc<Mutex<Crm>>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug, Clone)]
struct Api {
    crm: Arc<Mutex<Crm>>,
    /// The whole header.
    authorization: Arc<str>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    limit: Option<usize>,
    cursor: Option<String>,
    updated_since: Option<String>,
}

type Answer = std::result::Result<Json<Value>, (StatusCode, Json<Value>)>;

impl Source {
    /// Serve the CRM to requests with this bearer token.
    pub(super) async fn start(crm: Crm, token: &str) -> Result<Self> {
        let failed =
            |error| Problem::internal(format!("the demo's source API could not start: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let crm = Arc::new(Mutex::new(crm));
        let api = Api {
            crm: Arc::clone(&crm),
            authorization: format!("Bearer {token}").into(),
        };
        let router = Router::new()
            .route(
                "/contacts",
                get(|api, headers, query| list(Kind::Contacts, api, headers, query)),
            )
            .route(
                "/companies",
                get(|api, headers, query| list(Kind::Companies, api, headers, query)),
            )
            .with_state(api);
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async {
            // Told to stop, or nobody is left to tell.
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serve.into_future());
        Ok(Self {
            crm,
            address,
            stop,
            serving,
        })
    }

    /// Where it listens: a loopback address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Read or change the CRM.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Crm) -> T) -> T {
        act(&mut self.crm.lock())
    }

    /// Answer what is under way, and stop.
    pub(super) async fn stop(self) -> Result<()> {
        // An error means that it has stopped already.
        let _ = self.stop.send(());
        let served = self.serving.await.map_err(Problem::internal)?;
        served.map_err(|error| Problem::internal(format!("the demo's source API: {error}")))
    }
}

async fn list(
    kind: Kind,
    State(api): State<Api>,
    headers: HeaderMap,
    query: std::result::Result<Query<Listing>, QueryRejection>,
) -> Answer {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes());
    if authorization != Some(api.authorization.as_bytes()) {
        return refused(
            StatusCode::UNAUTHORIZED,
            "the bearer token is missing or wrong",
        );
    }
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return refused(StatusCode::BAD_REQUEST, "limit must be from 1 to 1000");
    }
    let since = match query.updated_since.as_deref().map(Tick::from_time) {
        Some(None) => {
            return refused(
                StatusCode::BAD_REQUEST,
                "updated_since must be an RFC 3339 time",
            );
        }
        since => since.flatten(),
    };
    let after = match query.cursor.as_deref().map(Tick::from_cursor) {
        Some(None) => {
            return refused(
                StatusCode::BAD_REQUEST,
                "cursor must be one that a page named",
            );
        }
        after => after.flatten(),
    };
    let from = after.max(since).unwrap_or(Tick::START);
    let page = {
        let crm = api.crm.lock();
        crm.page(kind, from, since.is_some(), limit)
    };
    Ok(Json(json!({
        "items": page.items,
        "next_cursor": page.next.map(Tick::cursor),
        "as_of": page.as_of.time(),
    })))
}

fn refused(status: StatusCode, why: &str) -> Answer {
    Err((status, Json(json!({ "error": why }))))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(token: &str, query: &[(&str, &str)]) -> (u16, Value) {
        let api = Api {
            crm: Arc::new(Mutex::new(Crm::new(250))),
            authorization: "Bearer right".to_owned().into(),
        };
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert(
                header::AUTHORIZATION,
                format!("Bearer {token}").parse().unwrap(),
            );
        }
        let mut uri = url::Url::parse("http://crm.example/contacts").unwrap();
        uri.query_pairs_mut().extend_pairs(query);
        let query = Query::try_from_uri(&uri.as_str().parse().unwrap());
        match list(Kind::Contacts, State(api), headers, query).await {
            Ok(Json(body)) => (200, body),
            Err((status, Json(body))) => (status.as_u16(), body),
        }
    }

    #[tokio::test]
    async fn pages_follow_one_another() {
        let (status, first) = ask("right", &[]).await;
        assert_eq!(
            (status, first["items"].as_array().unwrap().len()),
            (200, 100)
        );
        let cursor = first["next_cursor"].as_str().unwrap();
        let (_, last) = ask("right", &[("cursor", cursor), ("limit", "1000")]).await;
        assert_eq!(last["items"].as_array().unwrap().len(), 150);
        assert_eq!(last["next_cursor"], Value::Null);
        assert!(
            last["items"][0]["updated_at"].as_str() > first["items"][99]["updated_at"].as_str()
        );
        let as_of = last["as_of"].as_str().unwrap();
        let (_, changes) = ask("right", &[("updated_since", as_of)]).await;
        assert_eq!(changes["items"], json!([]));
    }

    #[tokio::test]
    async fn bad_requests_are_told_why() {
        for (token, query, status, why) in [
            ("", ("limit", "5"), 401, "bearer token"),
            ("wrong", ("limit", "5"), 401, "bearer token"),
            ("right", ("limit", "0"), 400, "1 to 1000"),
            ("right", ("limit", "1001"), 400, "1 to 1000"),
            ("right", ("limit", "many"), 400, "limit"),
            ("right", ("cursor", "x"), 400, "cursor"),
            ("right", ("updated_since", "yesterday"), 400, "RFC 3339"),
        ] {
            let (answered, body) = ask(token, &[query]).await;
            assert_eq!(answered, status, "{query:?}");
            assert!(
                body["error"].as_str().unwrap().contains(why),
                "{query:?}: {body}"
            );
        }
    }
}
