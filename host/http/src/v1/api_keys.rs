//! `/v1/api-keys`: making, listing and revoking API keys.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tidegate_engine::api_key::ApiKeyId;
use tidegate_service::control::NewApiKey;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Json, Path, Query, checked};
use super::page::{Page, PageQuery};
use super::problem::Answer;
use super::routes::{Routes, Rule};
use crate::views::{self, text};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::MANAGE.secret(), routes!(list, create))
        .add(Rule::MANAGE, routes!(revoke))
}

/// Keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeysPage {
    api_keys: Vec<views::ApiKey>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateApiKey {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it is for; at least one.
    #[schema(min_items = 1)]
    scopes: BTreeSet<views::KeyScope>,
    /// In how many seconds it expires; never if absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    expires_in: Option<u64>,
    /// How fast it may ask, instead of what holds for all keys.
    #[serde(default)]
    rate_limit: Option<views::RateLimit>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
struct MadeApiKey {
    #[serde(flatten)]
    key: views::ApiKey,
    /// The key itself. It is not shown again.
    #[schema(pattern = "^tgk_[A-Za-z0-9_-]{43}$")]
    api_key: String,
}

/// List the API keys
#[utoipa::path(get, path = "/v1/api-keys", tag = "API keys", params(PageQuery), responses(
    (status = 200, description = "Oldest first", body = ApiKeysPage),
))]
async fn list(State(app): State<App>, Query(query): Query<PageQuery>) -> Answer<Json<ApiKeysPage>> {
    let page = Page::of(app.control.api_keys().await?, &query, |key| &key.id)?;
    Ok(Json(ApiKeysPage {
        api_keys: page.rows.iter().map(Into::into).collect(),
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Make an API key
///
/// Repeating it makes another one.
#[utoipa::path(post, path = "/v1/api-keys", tag = "API keys",
    request_body = CreateApiKey,
    responses(
        (status = 201, description = "The key, which is shown only now", body = MadeApiKey),
        (status = 409, description = "There are too many"),
    ),
)]
async fn create(
    State(app): State<App>,
    Json(new): Json<CreateApiKey>,
) -> Answer<impl IntoResponse> {
    let new = NewApiKey {
        name: new.name,
        scopes: new.scopes.into_iter().map(Into::into).collect(),
        expires_in: new.expires_in.map(Duration::from_secs),
        rate_limit: new.rate_limit.map(checked).transpose()?,
    };
    let _changing = app.keyring.changing.lock().await;
    let made = app.control.create_api_key(new).await?;
    let shown = MadeApiKey {
        key: (&made.key).into(),
        api_key: made.text.to_string(),
    };
    app.keyring.add(made.key);
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Revoke an API key
///
/// From then on it is refused, and answers to it that go on end.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "API keys",
    params(("id" = text::ApiKeyId, Path, description = "As the list of keys has it: `key_…`")),
    responses((status = 204, description = "It is gone")),
)]
async fn revoke(State(app): State<App>, Path(id): Path<ApiKeyId>) -> Answer<StatusCode> {
    let _changing = app.keyring.changing.lock().await;
    app.control.revoke_api_key(id).await?;
    app.keyring.remove(id);
    Ok(StatusCode::NO_CONTENT)
}
