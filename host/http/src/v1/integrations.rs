//! `/v1/integrations` and `/v1/components`: what is deployed, and deploying.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidegate_engine::Name;
use tidegate_engine::command;
use tidegate_engine::grant::{FeedGrant, HostPattern, PatternError};
use tidegate_engine::integration::{self, Digest};
use tidegate_engine::limits::COMPONENT_BYTES;
use tidegate_service::control::{DeployPlan, DeployRequest, GrantChanges};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::app::App;
use super::extract::{Json, Path, Query, WholeBody, checked};
use super::page::{Page, PageQuery, page_limit};
use super::problem::{Answer, Failed, Type};
use super::routes::{Routes, Rule};
use crate::views::text::{self, Time};
use crate::views::{self};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(
            Rule::MANAGE.untimed().body(COMPONENT_BYTES),
            routes!(upload),
        )
        .add(Rule::READ, routes!(list))
        .add(Rule::READ, routes!(show))
        .add(Rule::MANAGE.untimed(), routes!(deploy))
        .add(Rule::MANAGE.untimed(), routes!(plan))
        .add(Rule::MANAGE, routes!(rollback))
}

/// An integration.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct IntegrationPath {
    #[param(value_type = text::Name)]
    pub(super) integration: Name,
}

/// A component that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
struct Component {
    /// Its sha256, by which it is deployed.
    #[schema(value_type = text::Digest)]
    digest: Digest,
    bytes: u64,
    /// What the plugin says of itself, with what it requests.
    manifest: views::Manifest,
}

/// Integrations by name.
#[derive(Debug, Serialize, ToSchema)]
struct IntegrationsPage {
    integrations: Vec<views::Integration>,
    /// Where the next page begins; nothing after the last.
    next_cursor: Option<String>,
    more: bool,
}

/// An integration with what its plugin says of itself.
#[derive(Debug, Serialize, ToSchema)]
struct IntegrationInFull {
    #[serde(flatten)]
    integration: views::Integration,
    manifest: views::Manifest,
    /// Earlier deployments, newest first: to these it can be rolled back.
    earlier: Vec<EarlierDeployment>,
}

#[derive(Debug, Serialize, ToSchema)]
struct EarlierDeployment {
    deployment: u32,
    #[schema(value_type = text::Version)]
    version: String,
    #[schema(value_type = text::Digest)]
    digest: Digest,
    deployed_at: Time,
}

/// What to deploy. What is not given stays as the deployment before had it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Deploy {
    /// The digest of a component that was uploaded, or deployed before.
    #[serde(default)]
    #[schema(value_type = Option<text::Digest>)]
    component: Option<Digest>,
    #[serde(default)]
    grants: NewGrants,
    /// What all its connections share; replaced whole.
    #[serde(default)]
    #[schema(value_type = Option<text::JsonObject>)]
    config: Option<Map<String, Value>>,
}

/// What it is granted: each kind that is given is replaced whole.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewGrants {
    /// Origins that it may send requests to. `https://*` is not one of them: `any_host` says so.
    #[schema(value_type = Option<Vec<text::HostPattern>>)]
    hosts: Option<Vec<Origin>>,
    /// Every public host over https, besides `hosts`: for plugins whose hosts only their configuration knows.
    any_host: Option<bool>,
    /// Private and loopback ranges that these may lie in.
    #[schema(value_type = Option<Vec<text::IpRange>>)]
    private: Option<Vec<IpNet>>,
    /// Origins that the host may get tokens from.
    #[schema(value_type = Option<Vec<text::HostPattern>>)]
    token_hosts: Option<Vec<Origin>>,
    /// Change feeds of others that it may read.
    #[schema(value_type = Option<Vec<text::FeedGrant>>)]
    feeds: Option<Vec<FeedGrant>>,
    metadata_write: Option<bool>,
    /// Start the manifest's default schedules for each connection.
    auto_start: Option<bool>,
    /// Limits by name (docs/limits.md).
    limits: Option<BTreeMap<String, u64>>,
    /// How fast each connection may ask each origin.
    rate_limit: Option<views::RateLimit>,
}

/// An origin as somebody writes it who grants it: never every host in passing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Origin(HostPattern);

impl TryFrom<String> for Origin {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse().map(Self)
    }
}

fn patterns(origins: Vec<Origin>) -> Vec<HostPattern> {
    origins.into_iter().map(|origin| origin.0).collect()
}

/// The kind of grant that `hosts` and `any_host` are together.
fn hosts(origins: Option<Vec<Origin>>, any_host: bool) -> Option<Vec<HostPattern>> {
    let any = any_host.then(HostPattern::any_host);
    match (origins, any) {
        (None, None) => None,
        (origins, any) => Some(
            patterns(origins.unwrap_or_default())
                .into_iter()
                .chain(any)
                .collect(),
        ),
    }
}

/// What a deploy would do.
#[derive(Debug, Serialize, ToSchema)]
struct Plan {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::Name)]
    plugin: Name,
    #[schema(value_type = text::Version)]
    version: String,
    #[schema(value_type = text::Digest)]
    digest: Digest,
    #[schema(value_type = Option<text::Version>)]
    previous_version: Option<String>,
    grants: views::Grants,
    #[schema(value_type = text::JsonObject)]
    config: Map<String, Value>,
    /// What is not as its author may think, such as a pattern that is not checked.
    warnings: Vec<String>,
    /// What the plugin requests and nothing grants, as the flags of `tidegate deploy` that would.
    missing: Vec<String>,
    /// Grants without effect: the plugin doesn't request them.
    unused: Vec<String>,
}

impl From<DeployPlan> for Plan {
    fn from(plan: DeployPlan) -> Self {
        let manifest = plan.inspection.manifest;
        Self {
            integration: plan.integration,
            plugin: manifest.name,
            version: manifest.version.to_string(),
            digest: plan.inspection.digest,
            previous_version: plan.previous.map(|(version, _)| version),
            grants: (&plan.grants).into(),
            config: plan.config,
            warnings: plan.warnings,
            missing: views::flags(&plan.missing),
            unused: views::flags(&plan.unused),
        }
    }
}

/// Where to go back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Rollback {
    /// The number of an earlier deployment; the one before the current if absent.
    #[schema(minimum = 1)]
    to: Option<u32>,
}

/// Upload a component
///
/// It is inspected in a sandbox without capabilities, and kept. It does nothing until it is deployed.
/// Uploading it again changes nothing.
#[utoipa::path(post, path = "/v1/components", tag = "integrations",
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 200, description = "What it is and asks for", body = Component),
        (status = 422, description = "It is no plugin that can be deployed"),
    ),
)]
async fn upload(State(app): State<App>, WholeBody(body): WholeBody) -> Answer<Json<Component>> {
    if app.signatures_only {
        let detail = "this server deploys signed components only, and the API takes no signatures";
        return Err(Failed::new(Type::Forbidden, detail).advise(
            "deploy it on the server's machine with",
            command!("deploy FILE"),
        ));
    }
    let bytes = body.len() as u64;
    let inspection = app.control.put_component(body.into()).await?;
    Ok(Json(Component {
        digest: inspection.digest,
        bytes,
        manifest: inspection.manifest.into(),
    }))
}

/// List what is deployed
#[utoipa::path(get, path = "/v1/integrations", tag = "integrations", params(PageQuery), responses(
    (status = 200, description = "By name", body = IntegrationsPage),
))]
async fn list(
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Answer<Json<IntegrationsPage>> {
    let limit = page_limit(query.limit)?;
    let after = query.after::<Name>()?;
    let found = app.control.integrations(after, limit + 1).await?;
    let page = Page::cut(&found, limit, |last| last.name.to_string());
    Ok(Json(IntegrationsPage {
        integrations: page.rows,
        next_cursor: page.next_cursor,
        more: page.more,
    }))
}

/// Show an integration
#[utoipa::path(get, path = "/v1/integrations/{integration}", tag = "integrations",
    params(IntegrationPath),
    responses((status = 200, description = "With its manifest and earlier deployments", body = IntegrationInFull)),
)]
async fn show(
    State(app): State<App>,
    Path(path): Path<IntegrationPath>,
) -> Answer<Json<IntegrationInFull>> {
    let integration = app.control.integration(&path.integration).await?;
    let earlier = integration.earlier.iter().map(|earlier| EarlierDeployment {
        deployment: earlier.number,
        version: earlier.manifest.version.to_string(),
        digest: earlier.digest,
        deployed_at: Time(earlier.deployed_at),
    });
    Ok(Json(IntegrationInFull {
        earlier: earlier.collect(),
        integration: (&integration).into(),
        manifest: integration.current.manifest.into(),
    }))
}

/// Deploy a component under this name
///
/// Connections, checkpoints and records stay. The same again changes nothing.
#[utoipa::path(put, path = "/v1/integrations/{integration}", tag = "integrations",
    params(IntegrationPath), request_body = Deploy,
    responses(
        (status = 200, description = "What is deployed now", body = views::Deployed),
        (status = 422, description = "The component can't be deployed"),
    ),
)]
async fn deploy(
    State(app): State<App>,
    Path(path): Path<IntegrationPath>,
    Json(body): Json<Deploy>,
) -> Answer<Json<views::Deployed>> {
    let request = request(&app, path.integration, body).await?;
    let plan = app.control.plan_deploy(request.clone()).await?;
    let integration = match deployed(&app, &plan).await? {
        Some(integration) => integration,
        None => app.control.deploy(request).await?,
    };
    let signature = app.control.signature(integration.current.digest).await?;
    let signed_by = signature.map(|signature| signature.key);
    Ok(Json(views::Deployed::new(&integration, &plan, signed_by)))
}

/// The integration, if it is just what the plan would make of it.
async fn deployed(app: &App, plan: &DeployPlan) -> Answer<Option<integration::Integration>> {
    if plan.previous.is_none() {
        return Ok(None);
    }
    let integration = app.control.integration(&plan.integration).await?;
    let current = &integration.current;
    let is_same = current.digest == plan.inspection.digest
        && current.grants == plan.grants
        && current.config == plan.config;
    Ok(is_same.then_some(integration))
}

/// Say what a deploy would do
#[utoipa::path(post, path = "/v1/integrations/{integration}/plan", tag = "integrations",
    params(IntegrationPath), request_body = Deploy,
    responses(
        (status = 200, description = "Nothing has changed", body = Plan),
        (status = 422, description = "The component can't be deployed"),
    ),
)]
async fn plan(
    State(app): State<App>,
    Path(path): Path<IntegrationPath>,
    Json(body): Json<Deploy>,
) -> Answer<Json<Plan>> {
    let request = request(&app, path.integration, body).await?;
    Ok(Json(app.control.plan_deploy(request).await?.into()))
}

/// Make an earlier deployment current again
///
/// Its component, grants and config become a new deployment. Repeating it goes back again.
#[utoipa::path(post, path = "/v1/integrations/{integration}/rollback", tag = "integrations",
    params(IntegrationPath), request_body = Rollback,
    responses(
        (status = 200, description = "What is deployed now", body = views::Integration),
        (status = 409, description = "There is no such earlier deployment"),
    ),
)]
async fn rollback(
    State(app): State<App>,
    Path(path): Path<IntegrationPath>,
    Json(body): Json<Rollback>,
) -> Answer<impl IntoResponse> {
    let integration = app.control.rollback(&path.integration, body.to).await?;
    Ok((StatusCode::OK, Json(views::Integration::from(&integration))))
}

async fn request(app: &App, integration: Name, body: Deploy) -> Answer<DeployRequest> {
    let digest = match body.component {
        Some(digest) => digest,
        None => app.control.integration(&integration).await?.current.digest,
    };
    let component =
        app.control.component(digest).await.map_err(|problem| {
            Failed::from(problem).hint("upload it first: POST /v1/components")
        })?;
    let grants = body.grants;
    Ok(DeployRequest {
        component: component.0,
        name: Some(integration),
        signed: None,
        grants: GrantChanges {
            hosts: hosts(grants.hosts, grants.any_host.unwrap_or(false)),
            private: grants.private,
            feeds: grants.feeds,
            token_hosts: grants.token_hosts.map(patterns),
            metadata_write: grants.metadata_write,
            auto_start: grants.auto_start,
            limits: grants.limits,
            rate_limit: grants.rate_limit.map(checked).transpose()?.map(Some),
            config: body.config,
        },
    })
}
