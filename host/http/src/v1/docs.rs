//! The document of the API: as OpenAPI 3.1, and as a page for people that needs no network.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::routes;
use utoipa_swagger_ui::Config;

use super::app::App;
use super::extract::Path;
use super::problem::{Answer, Details, Failed, Type};
use super::routes::{Routes, Rule, SCHEME, problem_content, response_name};
use crate::views::text;

/// Where the document is.
const DOCUMENT: &str = "/v1/openapi.json";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::OPEN, routes!(openapi))
        .add(Rule::OPEN, routes!(to_page))
        .add(Rule::OPEN, routes!(page))
        .add(Rule::OPEN, routes!(page_file))
}

/// The document that describes this API
#[utoipa::path(get, path = "/v1/openapi.json", tag = "documents", responses(
    (status = 200, description = "OpenAPI 3.1", body = text::JsonObject),
))]
async fn openapi(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], app.document())
}

/// To the page for people
#[utoipa::path(get, path = "/v1/docs", tag = "documents", responses(
    (status = 308, description = "It is at /v1/docs/"),
))]
async fn to_page() -> impl IntoResponse {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, "/v1/docs/")])
}

/// The same document as a page for people
#[utoipa::path(get, path = "/v1/docs/", tag = "documents", responses(
    (status = 200, description = "A page", body = String, content_type = "text/html"),
))]
async fn page() -> Answer<Response> {
    file("")
}

/// What the page is made of
#[utoipa::path(get, path = "/v1/docs/{file}", tag = "documents",
    params(("file" = String, Path, description = "The name of a file of the page")),
    responses((status = 200, description = "The file", body = String, content_type = "*/*")),
)]
async fn page_file(Path(name): Path<String>) -> Answer<Response> {
    file(&name)
}

/// What the page may load: what it is made of, from here.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A file of the page, however many read it.
#[derive(Clone)]
struct File {
    bytes: Bytes,
    kind: HeaderValue,
    is_gzipped: bool,
}

/// The files that have been asked for.
static FILES: Mutex<BTreeMap<String, File>> = Mutex::new(BTreeMap::new());

fn file(name: &str) -> Answer<Response> {
    let file = load(name)?;
    let mut response = Body::from(file.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, file.kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    let policy = HeaderValue::from_static(PAGE_POLICY);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if file.is_gzipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn load(name: &str) -> Answer<File> {
    let files = || FILES.lock();
    if let Some(file) = files().get(name) {
        return Ok(file.clone());
    }
    let config = Config::from(DOCUMENT).validator_url("none");
    let missing = || Failed::new(Type::NotFound, "the page has no such file");
    let found = utoipa_swagger_ui::serve(name, Arc::new(config)).map_err(|error| {
        tracing::error!(%error, "the page can't be made");
        Failed::new(Type::Internal, "the page can't be made")
    })?;
    let found = found.ok_or_else(missing)?;
    let file = File {
        bytes: found.bytes.into_owned().into(),
        kind: HeaderValue::from_str(&found.content_type).map_err(|_| missing())?,
        is_gzipped: found.gzpipped,
    };
    files().insert(name.to_owned(), file.clone());
    Ok(file)
}

/// Say in the document what holds for all routes.
pub(super) fn describe(document: &mut OpenApi) {
    document.info = InfoBuilder::new()
        .title("Tidegate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The API of a Tidegate server. How to authenticate, to page and to read streams, and what \
             the types of problems mean, is in docs/api.md.",
        ))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(
        SCHEME,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("tgk_…")
                .description(Some(
                    "An API key. Routes say which of its scopes they need: read, trigger or manage, \
                     which implies the other two.",
                ))
                .build(),
        ),
    );
    let schema = Details::name().into_owned();
    components.schemas.insert(schema, Details::schema());
    components.schemas.extend(text::schemas());
    for kind in Type::ALL {
        let (media_type, content) = problem_content();
        let response = ResponseBuilder::new()
            .description(kind.status().canonical_reason().unwrap_or_default())
            .content(media_type, content)
            .build();
        let name = response_name(*kind);
        components.responses.insert(name, RefOr::T(response));
    }
}
