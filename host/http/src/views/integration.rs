//! Integrations, and what a deploy came to.

use serde::Serialize;
use serde_json::{Map, Value};
use tidegate_engine::Name;
use tidegate_engine::grant::GrantFlag;
use tidegate_engine::integration::{self, Digest};
use tidegate_service::control::DeployPlan;
use utoipa::ToSchema;

use super::grants::Grants;
use super::text::{self, Time};

/// A plugin deployed under a name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Integration {
    #[schema(value_type = text::Name)]
    integration: Name,
    /// The plugin's own name and version.
    #[schema(value_type = text::Name)]
    plugin: Name,
    #[schema(value_type = text::Version)]
    version: String,
    /// The sha256 of the component.
    #[schema(value_type = text::Digest)]
    digest: Digest,
    /// Counts the integration's deployments, from 1.
    deployment: u32,
    deployed_at: Time,
    grants: Grants,
    /// What all its connections share.
    #[schema(value_type = text::JsonObject)]
    config: Map<String, Value>,
}

impl From<&integration::Integration> for Integration {
    fn from(integration: &integration::Integration) -> Self {
        let current = &integration.current;
        Self {
            integration: integration.name.clone(),
            plugin: current.manifest.name.clone(),
            version: current.manifest.version.to_string(),
            digest: current.digest,
            deployment: current.number,
            deployed_at: Time(current.deployed_at),
            grants: (&current.grants).into(),
            config: current.config.clone(),
        }
    }
}

/// What was deployed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deployed {
    #[schema(value_type = text::Name)]
    integration: Name,
    deployment: u32,
    #[schema(value_type = text::Version)]
    version: String,
    #[schema(value_type = text::Digest)]
    digest: Digest,
    /// The version that was deployed before.
    #[schema(value_type = Option<text::Version>)]
    previous_version: Option<String>,
    grants: Grants,
    /// What the plugin requests and nothing grants, as the flags that would.
    missing: Vec<String>,
    /// The trusted key that signed the component, if it was deployed with a signature once.
    signed_by: Option<String>,
}

impl Deployed {
    pub fn new(
        integration: &integration::Integration,
        plan: &DeployPlan,
        signed_by: Option<String>,
    ) -> Self {
        let current = &integration.current;
        Self {
            integration: integration.name.clone(),
            deployment: current.number,
            version: current.manifest.version.to_string(),
            digest: current.digest,
            previous_version: plan.previous.as_ref().map(|(version, _)| version.clone()),
            grants: (&current.grants).into(),
            missing: super::flags(&plan.missing),
            signed_by,
        }
    }
}

/// Options of `tidegate deploy`, as a shell takes them.
#[must_use]
pub fn flags(flags: &[GrantFlag]) -> Vec<String> {
    flags.iter().map(ToString::to_string).collect()
}
