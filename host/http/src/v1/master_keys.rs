//! `/v1/master-keys`: the keys that credentials are sealed under.

use axum::extract::State;
use serde::{Deserialize, Deserializer};
use tidegate_egress::Secret;
use tidegate_service::control::RotateKeys;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::app::App;
use super::extract::Json;
use super::problem::Answer;
use super::routes::{Routes, Rule};
use crate::views;

/// Connections re-wrapped in one step.
const STEP: usize = 200;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Rule::MANAGE.untimed(), routes!(status))
        .add(Rule::MANAGE.untimed(), routes!(rotate))
}

/// Say how many connections are sealed under which master key
#[utoipa::path(get, path = "/v1/master-keys", tag = "master keys", responses(
    (status = 200, description = "By key; never a key itself", body = views::KeysStatus),
))]
async fn status(State(app): State<App>) -> Answer<Json<views::KeysStatus>> {
    let status = app.control.keys_status().await?;
    Ok(Json((&status).into()))
}

/// How to rotate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// The new key, 32 bytes in base64; one is made if absent, where a key file is in use.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>, write_only)]
    to: Option<Secret>,
    /// Leave credentials that can't be opened as they are, instead of refusing.
    #[serde(default)]
    skip_unreadable: bool,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(from);
    // What was sent instead could be a key: it is not repeated.
    let text = text.map_err(|_| serde::de::Error::custom("a text is expected"))?;
    Ok(text.map(Secret::new))
}

/// Put a new master key in the place of the one in use
///
/// When it is interrupted, repeating it goes on.
#[utoipa::path(post, path = "/v1/master-keys/rotate", tag = "master keys", request_body = Rotate,
    responses(
        (status = 200, description = "What was done", body = views::Rotated),
        (status = 404, description = "There is no key to rotate to"),
        (status = 409, description = "Something can't be opened, or another rotation goes on"),
    ),
)]
async fn rotate(State(app): State<App>, Json(body): Json<Rotate>) -> Answer<Json<views::Rotated>> {
    let request = RotateKeys {
        to: body.to,
        skip_unreadable: body.skip_unreadable,
        step: STEP,
    };
    let rotated = app.control.rotate_keys(request).await?;
    Ok(Json((&rotated).into()))
}
