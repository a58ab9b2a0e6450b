//! `…/models/{model}/records`: a model's change feed by cursor; pages, lines and events.

mod feed;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidegate_engine::cursor::Cursor;
use tidegate_engine::limits::{API_IDS, API_PAGE_RECORDS, API_WAIT_MS};
use tidegate_engine::store::ActionFilter;
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name, Timestamp};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::connections::ConnectionPath;
use super::extract::{Json, Path, Query};
use super::page::{Page, PageQuery};
use super::problem::{Answer, Failed};
use super::room::{Allowance, Hold};
use super::routes::{Routes, Rule};
use super::stream::{self, ResponseFormat};
use crate::views::{self, text};

use feed::{Feed, Following, RemainingPages};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(models))
        .add(Rule::READ.untimed(), routes!(records))
        .add(Rule::READ, routes!(lookup))
}

/// A model of a connection.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ModelPath {
    #[param(value_type = text::Name)]
    integration: Name,
    #[param(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[param(value_type = text::Name)]
    model: Name,
}

impl ModelPath {
    fn key(&self) -> ModelKey {
        let key = ConnectionKey {
            integration: self.integration.clone(),
            connection: self.connection.clone(),
        };
        key.model(self.model.clone())
    }
}

/// What to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RecordsQuery {
    /// Read what changed after this cursor; from the start without one.
    cursor: Option<String>,
    /// Most records of the page.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
    /// Only records whose last action is one of these: `added`, `updated`, `deleted`, with commas.
    filter: Option<String>,
    /// Only records modified at or after this time. A cursor is the surer way to see
    /// each change.
    #[param(value_type = Option<text::Time>)]
    modified_after: Option<String>,
    /// Only the records with these ids, as they are now: with commas, or as a JSON list. Goes with none of
    /// cursor, filter and modified_after. A list that is too long for a URL goes to `…/records/lookup`.
    ids: Option<String>,
    /// If there is nothing, wait for so many seconds.
    #[param(maximum = 55)]
    wait: Option<u64>,
}

/// Which records to look up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Lookup)]
struct LookupBody {
    /// Ids of records, each once.
    #[schema(max_items = 1000)]
    ids: Vec<String>,
}

/// A page of a change feed, oldest first, each record once, in its latest state.
#[derive(Debug, Serialize, ToSchema)]
#[allow(
    dead_code,
    reason = "the page is written by hand, its shape is described here"
)]
struct RecordsPage {
    records: Vec<views::Record<'static>>,
    /// Where to go on. Moves even when the filter left nothing.
    next_cursor: Option<String>,
    /// Whether there was more when this was read.
    more: bool,
}

/// The models of a connection, by name.
#[derive(Debug, Serialize, ToSchema)]
struct ModelsPage {
    models: Vec<views::Model>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List the models of a connection that have records
#[utoipa::path(get, path = "/v1/integrations/{integration}/connections/{connection}/models",
    tag = "records", params(ConnectionPath, PageQuery),
    responses((status = 200, description = "By name, with their counts", body = ModelsPage)),
)]
async fn models(
    State(app): State<App>,
    Path(path): Path<ConnectionPath>,
    Query(query): Query<PageQuery>,
) -> Answer<Json<ModelsPage>> {
    let found = app.control.models(&path.key()).await?;
    let page = Page::of(found, &query, |(name, _)| name)?;
    Ok(Json(ModelsPage {
        models: page.rows.into_iter().map(Into::into).collect(),
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Read a model's change feed
///
/// With `Accept: application/x-ndjson` the whole rest of the feed comes, a record a line; the last
/// line has `next_cursor`. With `Accept: text/event-stream` changes come as they happen, as events
/// whose id is the cursor after them, until the client or the server ends it.
#[utoipa::path(get,
    path = "/v1/integrations/{integration}/connections/{connection}/models/{model}/records",
    tag = "records", params(ModelPath, RecordsQuery),
    responses(
        (status = 200, description = "A page; or lines; or events", content(
            (RecordsPage = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/event-stream"),
        )),
        (status = 410, description = "The cursor can't be used any more: read from the start"),
    ),
)]
async fn records(
    State(app): State<App>,
    Path(path): Path<ModelPath>,
    Query(query): Query<RecordsQuery>,
    Extension(allowance): Extension<Allowance>,
    Extension(hold): Extension<Arc<Hold>>,
    headers: HeaderMap,
) -> Answer<Response> {
    let form = ResponseFormat::of(&headers);
    if let Some(ids) = query.ids {
        if query.cursor.is_some() || query.filter.is_some() || query.modified_after.is_some() {
            let detail = "ids goes without cursor, filter and modified_after";
            return Err(Failed::invalid(detail));
        }
        let ids = parse_ids(&ids)?;
        let model = app.control.known_model(&path.key()).await?;
        return feed::by_ids(&app, &model, &ids, &hold).await;
    }
    // An event stream that was cut goes on where it was.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let cursor = match (form, last) {
        (ResponseFormat::Events, Some(last)) => Some(last),
        _ => query.cursor.as_deref(),
    };
    let feed = Feed {
        app: app.clone(),
        allowance,
        model: app.control.known_model(&path.key()).await?,
        after: cursor.map(parse_cursor).transpose()?,
        filter: parse_filter(query.filter.as_deref())?,
        modified_after: query
            .modified_after
            .as_deref()
            .map(parse_time)
            .transpose()?,
    };
    let limit = query.limit.unwrap_or(100);
    if !(1..=API_PAGE_RECORDS).contains(&limit) {
        return Err(Failed::invalid(format!(
            "limit: it is 1 to {API_PAGE_RECORDS}"
        )));
    }
    let wait = Duration::from_secs(query.wait.unwrap_or(0));
    if wait > Duration::from_millis(API_WAIT_MS) {
        return Err(Failed::invalid(format!(
            "wait: it is at most {} seconds",
            API_WAIT_MS / 1000
        )));
    }
    match form {
        ResponseFormat::Page => feed.page(usize::try_from(limit).unwrap_or(1), wait).await,
        ResponseFormat::Lines => {
            let (rest, permit) = RemainingPages::begin(feed).await?;
            Ok(stream::answer(form, rest, permit))
        }
        ResponseFormat::Events => {
            let (following, permit) = Following::begin(feed).await?;
            Ok(stream::answer(form, following, permit))
        }
    }
    .map(IntoResponse::into_response)
}

/// Look records up by their ids
///
/// The records with these ids as they are now, deleted ones included, each once, in the order asked; those that there never were are
/// left out. The same as `ids` of the change feed, for lists that are too long for a URL. It changes nothing.
#[utoipa::path(post,
    path = "/v1/integrations/{integration}/connections/{connection}/models/{model}/records/lookup",
    tag = "records", params(ModelPath), request_body = LookupBody,
    responses((status = 200, description = "All of them; there is no next page", body = RecordsPage)),
)]
async fn lookup(
    State(app): State<App>,
    Path(path): Path<ModelPath>,
    Extension(hold): Extension<Arc<Hold>>,
    Json(body): Json<LookupBody>,
) -> Answer<Response> {
    check_ids(&body.ids)?;
    let model = app.control.known_model(&path.key()).await?;
    feed::by_ids(&app, &model, &body.ids, &hold).await
}

fn parse_cursor(text: &str) -> Answer<Cursor> {
    text.parse::<Cursor>()
        .map_err(|error| Failed::invalid(format!("cursor: {error}")))
}

fn parse_time(text: &str) -> Answer<Timestamp> {
    let bad = || Failed::invalid("modified_after: it is a time such as 2026-01-31T12:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| bad())?;
    u64::try_from(time.as_millisecond())
        .map(Timestamp)
        .map_err(|_| bad())
}

fn parse_filter(words: Option<&str>) -> Answer<ActionFilter> {
    let Some(words) = words else {
        return Ok(ActionFilter::ALL);
    };
    let mut filter = ActionFilter {
        added: false,
        updated: false,
        deleted: false,
    };
    for word in words.split(',') {
        match word.trim() {
            "added" => filter.added = true,
            "updated" => filter.updated = true,
            "deleted" => filter.deleted = true,
            _ => {
                let detail = "filter: it takes added, updated and deleted, with commas";
                return Err(Failed::invalid(detail));
            }
        }
    }
    Ok(filter)
}

fn parse_ids(text: &str) -> Answer<Vec<String>> {
    let ids: Vec<String> = match text.starts_with('[') {
        true => serde_json::from_str(text).map_err(|_| {
            Failed::invalid("ids: the list is not JSON, or has other things than texts")
        })?,
        false => text.split(',').map(str::to_owned).collect(),
    };
    check_ids(&ids)?;
    Ok(ids)
}

fn check_ids(ids: &[String]) -> Answer<()> {
    if ids.len() as u64 <= API_IDS {
        return Ok(());
    }
    let detail = format!("ids: {} of them; the limit api_ids is {API_IDS}", ids.len());
    Err(Failed::invalid(detail))
}
