//! `…/proxy/{*path}`: one request with a connection's credentials, through its integration's gate.

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_engine::limits::Limits;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::{ProxyRequest, ProxyResponse};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Path, WholeBody};
use super::problem::{Answer, Failed, Type};
use super::routes::{Routes, Rule};
use crate::views::text;

/// Says that an answer is the outside API's, whatever its status: problems of ours don't have it.
const ANSWERED: HeaderName = HeaderName::from_static("tidegate-answered-by");

pub(super) fn routes(routes: Routes) -> Routes {
    let rule = Rule::TRIGGER
        .untimed()
        // The header is the outside API's.
        .own_repeats()
        .body(Limits::default().http_request_bytes);
    routes.add(rule, routes!(proxy))
}

/// A path below a connection's base URL.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ProxyPath {
    #[param(value_type = text::Name)]
    integration: Name,
    #[param(value_type = text::ConnectionName)]
    connection: ConnectionName,
    /// May have slashes.
    #[allow(dead_code, reason = "taken from the URL itself, with its escapes")]
    path: String,
}

/// Send one request with a connection's credentials
///
/// Method, query, headers and body go to that path below the connection's base URL, under the
/// integration's grants and limits; `Authorization` and `Cookie` don't. The answer comes back as it is,
/// with the header `tidegate-answered-by: upstream`, and without the connection's secrets.
#[utoipa::path(method(get, head, post, put, patch, delete),
    path = "/v1/integrations/{integration}/connections/{connection}/proxy/{*path}",
    tag = "actions", params(ProxyPath),
    responses(
        (status = "default", description = "What the outside API answered"),
        (status = 409, description = "It is not granted, or the connection's credentials are rejected"),
        (status = 502, description = "The outside API could not be reached"),
    ),
)]
async fn proxy(
    State(app): State<App>,
    Path(path): Path<ProxyPath>,
    request: Request,
) -> Answer<Response> {
    let method = request.method().as_str().to_owned();
    let url = target(request.uri().path(), request.uri().query());
    let headers = forwarded(request.headers())?;
    let WholeBody(body) = WholeBody::from_request(request, &app).await?;
    let request = ProxyRequest {
        connection: ConnectionKey {
            integration: path.integration,
            connection: path.connection,
        },
        method,
        url,
        headers,
        body: (!body.is_empty()).then(|| body.into()),
    };
    answer(app.control.request(request).await?)
}

/// The path after `…/proxy`, as it was written, with its query.
fn target(path: &str, query: Option<&str>) -> String {
    // `/v1/integrations/{integration}/connections/{connection}/proxy/…`
    let rest = path.splitn(8, '/').nth(7).unwrap_or_default();
    match query {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    }
}

/// What belongs to the client's connection with us, and not to the outside API.
fn is_ours(name: &HeaderName) -> bool {
    let ours = [
        "authorization",
        "cookie",
        "host",
        "content-length",
        "accept-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
        "x-request-id",
        "forwarded",
    ];
    let name = name.as_str();
    ours.contains(&name) || name.starts_with("proxy-") || name.starts_with("x-forwarded-")
}

fn forwarded(headers: &HeaderMap) -> Answer<Vec<(String, String)>> {
    let forwarded = headers.iter().filter(|(name, _)| !is_ours(name));
    let texts = forwarded.map(|(name, value)| {
        let bad = |_| Failed::invalid(format!("the header {name} is not text"));
        Ok((name.to_string(), value.to_str().map_err(bad)?.to_owned()))
    });
    texts.collect()
}

fn answer(upstream: ProxyResponse) -> Answer<Response> {
    let status = StatusCode::from_u16(upstream.status).map_err(|_| {
        Failed::new(
            Type::UpstreamFailed,
            "the outside API answered with no known status",
        )
    })?;
    let mut response = (status, Body::from(upstream.body)).into_response();
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_TYPE);
    for (name, value) in upstream.headers {
        // The body is decompressed, and goes over another connection.
        let is_of_connection = |name: &HeaderName| is_ours(name) || name == "content-encoding";
        let name = HeaderName::try_from(name)
            .ok()
            .filter(|name| !is_of_connection(name));
        if let (Some(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(ANSWERED, HeaderValue::from_static("upstream"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_goes_on_as_it_was_written() {
        let rows = [
            (
                "/v1/integrations/a/connections/b/proxy/items/7",
                None,
                "/items/7",
            ),
            (
                "/v1/integrations/proxy/connections/proxy/proxy/a%2Fb",
                Some("x=%20&y"),
                "/a%2Fb?x=%20&y",
            ),
            ("/v1/integrations/a/connections/b/proxy//x", None, "//x"),
        ];
        for (path, query, want) in rows {
            assert_eq!(target(path, query), want);
        }
    }
}
