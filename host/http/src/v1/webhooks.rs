//! `/v1/webhooks`: endpoints, their secrets, what was delivered to them and what is to be again.

mod bodies;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tidegate_engine::store::DeliveryFilter;
use tidegate_engine::webhook::EndpointId;
use tidegate_service::control::ReplayRequest;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Json, Path, Query, one_of};
use super::page::{Page, PageQuery, page_limit};
use super::problem::{Answer, Failed};
use super::routes::{Routes, Rule};
use crate::views::word::Word;
use crate::views::{self, text};

use bodies::{CreateEndpoint, NewReplay, RotateSecret, UpdateEndpoint};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::READ, routes!(list))
        .add(Rule::MANAGE.secret(), routes!(create))
        .add(Rule::READ, routes!(show))
        .add(Rule::MANAGE, routes!(update, remove))
        .add(Rule::MANAGE.secret(), routes!(rotate_secret))
        .add(Rule::MANAGE, routes!(send_test))
        .add(Rule::READ, routes!(deliveries))
        .add(Rule::MANAGE, routes!(replay))
}

/// A webhook endpoint.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct EndpointPath {
    /// `ep_…`
    #[param(value_type = text::EndpointId)]
    endpoint: EndpointId,
}

/// Endpoints, oldest first; there are at most 100.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointsPage {
    endpoints: Vec<views::Endpoint>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List the webhook endpoints
///
/// Their URLs come without queries, which may hold tokens.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(PageQuery), responses(
    (status = 200, description = "Oldest first", body = EndpointsPage),
))]
async fn list(
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Answer<Json<EndpointsPage>> {
    let found = app.control.endpoints().await?;
    let page = Page::of(found, &query, |endpoint| &endpoint.id)?;
    let endpoints = page.rows.iter().map(views::Endpoint::without_query);
    Ok(Json(EndpointsPage {
        endpoints: endpoints.collect(),
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Add a webhook endpoint
///
/// It gets what happens from now on. Repeating it adds another one.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = CreateEndpoint, responses(
    (status = 201, description = "The endpoint, with its secret, which is shown only now", body = views::EndpointWithSecret),
    (status = 404, description = "There is no such integration"),
    (status = 409, description = "There are too many already"),
))]
async fn create(
    State(app): State<App>,
    Json(body): Json<CreateEndpoint>,
) -> Answer<impl IntoResponse> {
    let made = app.control.add_endpoint(body.into_new()).await?;
    let place = format!("/v1/webhooks/{}", made.endpoint.id);
    let made = views::EndpointWithSecret::from(&made);
    Ok((StatusCode::CREATED, [("location", place)], Json(made)))
}

/// Show a webhook endpoint
///
/// Its URL comes without the query, which may hold a token.
#[utoipa::path(get, path = "/v1/webhooks/{endpoint}", tag = "webhooks", params(EndpointPath), responses(
    (status = 200, description = "As it is now", body = views::Endpoint),
    (status = 404, description = "There is no such endpoint"),
))]
async fn show(
    State(app): State<App>,
    Path(path): Path<EndpointPath>,
) -> Answer<Json<views::Endpoint>> {
    let endpoint = app.control.endpoint(path.endpoint).await?;
    Ok(Json(views::Endpoint::without_query(&endpoint)))
}

/// Change a webhook endpoint
///
/// What is not named stays. What waits for an endpoint that is enabled again is delivered.
#[utoipa::path(patch, path = "/v1/webhooks/{endpoint}", tag = "webhooks",
    params(EndpointPath), request_body = UpdateEndpoint,
    responses(
        (status = 200, description = "As it is now", body = views::Endpoint),
        (status = 404, description = "There is no such endpoint or integration"),
        (status = 409, description = "Others change it all the time"),
    ),
)]
async fn update(
    State(app): State<App>,
    Path(path): Path<EndpointPath>,
    Json(body): Json<UpdateEndpoint>,
) -> Answer<Json<views::Endpoint>> {
    let update = body.into_update();
    let endpoint = app.control.update_endpoint(path.endpoint, update).await?;
    Ok(Json((&endpoint).into()))
}

/// Remove a webhook endpoint
///
/// Its deliveries go with it, those that wait included.
#[utoipa::path(delete, path = "/v1/webhooks/{endpoint}", tag = "webhooks", params(EndpointPath), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is no such endpoint"),
))]
async fn remove(State(app): State<App>, Path(path): Path<EndpointPath>) -> Answer<StatusCode> {
    app.control.remove_endpoint(path.endpoint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new signing secret
///
/// The old ones sign beside it for a day, or no more with `now`, as when one has leaked.
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/rotate-secret", tag = "webhooks",
    params(EndpointPath), request_body = RotateSecret,
    responses(
        (status = 200, description = "The endpoint, with its new secret, which is shown only now", body = views::EndpointWithSecret),
        (status = 404, description = "There is no such endpoint"),
        (status = 409, description = "Others change it all the time"),
    ),
)]
async fn rotate_secret(
    State(app): State<App>,
    Path(path): Path<EndpointPath>,
    Json(body): Json<RotateSecret>,
) -> Answer<Json<views::EndpointWithSecret>> {
    let made = app
        .control
        .rotate_endpoint_secret(path.endpoint, body.now)
        .await?;
    Ok(Json((&made).into()))
}

/// Send a test event to a webhook endpoint
///
/// At once, past the queue and the log: of the first type that it wants, with `{"test": true}` as its data.
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/test", tag = "webhooks", params(EndpointPath), responses(
    (status = 200, description = "What came of it: only a `status` of 2xx is a success", body = views::Attempt),
    (status = 404, description = "There is no such endpoint"),
))]
async fn send_test(
    State(app): State<App>,
    Path(path): Path<EndpointPath>,
) -> Answer<Json<views::Attempt>> {
    let attempt = app.control.test_endpoint(path.endpoint).await?;
    Ok(Json((&attempt).into()))
}

/// Which deliveries: those that fit all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Only those in this state.
    #[param(value_type = Option<views::DeliveryState>)]
    state: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Deliveries, newest event first.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveriesPage {
    deliveries: Vec<views::Delivery>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// List what was delivered to a webhook endpoint, and what was not
///
/// Each with its last 10 attempts.
#[utoipa::path(get, path = "/v1/webhooks/{endpoint}/deliveries", tag = "webhooks",
    params(EndpointPath, DeliveriesQuery),
    responses(
        (status = 200, description = "Newest event first", body = DeliveriesPage),
        (status = 404, description = "There is no such endpoint"),
    ),
)]
async fn deliveries(
    State(app): State<App>,
    Path(path): Path<EndpointPath>,
    Query(query): Query<DeliveriesQuery>,
) -> Answer<Json<DeliveriesPage>> {
    let limit = page_limit(query.limit)?;
    let state = one_of::<views::DeliveryState>("state", query.state.as_deref())?;
    let before = query.cursor.as_deref().map(str::parse::<u64>).transpose();
    let filter = DeliveryFilter {
        endpoint: path.endpoint,
        state: state.map(|state| state.word().to_owned()),
        before: before.map_err(|_| Failed::invalid("cursor: use one as it was given out"))?,
        limit: limit + 1,
    };
    let found = app.control.deliveries(filter).await?;
    let page = Page::cut(&found, limit, |last| last.seq.to_string());
    Ok(Json(DeliveriesPage {
        deliveries: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Deliver again what a webhook endpoint has not taken
///
/// At most 10,000 deliveries; `more_after` says where to go on.
#[utoipa::path(post, path = "/v1/webhooks/{endpoint}/replay", tag = "webhooks",
    params(EndpointPath), request_body = NewReplay,
    responses(
        (status = 202, description = "They will be made again", body = views::Replayed),
        (status = 404, description = "There is no such endpoint"),
        (status = 409, description = "It is disabled: enable it first"),
    ),
)]
async fn replay(
    State(app): State<App>,
    Path(path): Path<EndpointPath>,
    Json(body): Json<NewReplay>,
) -> Answer<impl IntoResponse> {
    let request = ReplayRequest {
        endpoint: path.endpoint,
        since: views::moment(&body.since)?,
        all: body.all,
        after: body.after,
    };
    let done = app.control.replay_deliveries(request).await?;
    Ok((StatusCode::ACCEPTED, Json(views::Replayed::from(done))))
}
