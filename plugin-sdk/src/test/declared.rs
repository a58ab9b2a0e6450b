//! What a plugin declares, parsed and checked as the host does, and what a run of it may do.

use serde_json::{Map, Value};
use tidegate_rules::Name;
use tidegate_rules::grant::HostRequest;
use tidegate_rules::limits::{LimitError, LimitValues, Limits, check};
use tidegate_rules::manifest::{FeedRequest, Manifest, ManifestError};

use crate::Plugin;

/// What one run may do.
#[derive(Debug, Default)]
pub(super) struct Grants {
    pub(super) hosts: Vec<HostRequest>,
    pub(super) feeds: Vec<FeedRequest>,
    pub(super) metadata_write: bool,
    pub(super) models: Vec<Name>,
    pub(super) limits: Limits,
}

/// What the plugin says of itself, if the host would take it.
pub(super) fn manifest(plugin: &Plugin) -> Result<Manifest, ManifestError> {
    Manifest::parse(&plugin.manifest())
}

/// What a run of this kind and name may do, on a connection with this config, where the operator set these limits.
pub(super) fn grants(
    manifest: &Manifest,
    kind: &str,
    name: &str,
    config: &Value,
    set: &LimitValues,
) -> Result<Grants, LimitError> {
    check(set)?;
    let nothing = Map::new();
    let config = config.as_object().unwrap_or(&nothing);
    let mut models = Vec::new();
    if kind == "sync" {
        let mut syncs = manifest.syncs_for(config).into_iter();
        let named = syncs.find(|sync| sync.name.as_str() == name);
        models.extend(named.into_iter().flat_map(|sync| sync.models));
    } else if kind == "action" {
        let mut actions = manifest.actions_for(config).into_iter();
        let named = actions.find(|action| action.name.as_str() == name);
        models.extend(named.into_iter().flat_map(|action| action.models));
    }
    let asked = &manifest.capabilities;
    Ok(Grants {
        hosts: asked.hosts.clone(),
        feeds: asked.feeds.clone(),
        metadata_write: asked.metadata_write,
        models,
        limits: Limits::resolve(&asked.limits, set),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    async fn nothing(_: Cx) -> Result<()> {
        Ok(())
    }

    async fn act(_: Cx, input: Value) -> Result<Value> {
        Ok(input)
    }

    fn sync(name: &str) -> Sync {
        Sync::new(name, nothing).model("M")
    }

    #[test]
    fn what_a_run_may_do() {
        let plugin = Plugin::new("p", "0.1.0-rc.1")
            .host("https://*.example.com:8443")
            .host("base-url")
            .feed("crm/Contact")
            .feed("config")
            .limit("memory_bytes", 1 << 20)
            .limit("record_bytes", 2_000)
            .auth(Auth::basic("user", "password"))
            .sync(sync("a").every("10s"))
            .sync(sync("b").cron("0 6 * * 1-5", "Europe/Berlin"))
            .sync(Sync::each("/models", nothing))
            .action(Action::each("/actions", act));
        let manifest = manifest(&plugin).unwrap();
        let config = json!({ "models": { "of-config": {} }, "actions": { "close": {} } });
        let set = LimitValues::from([("http_headers".to_owned(), 3)]);
        let grants = |kind, name| grants(&manifest, kind, name, &config, &set).unwrap();
        let models = |kind, name| -> Vec<String> {
            let models = grants(kind, name).models;
            models
                .iter()
                .map(|model| model.as_str().to_owned())
                .collect()
        };
        assert_eq!(models("sync", "a"), ["M"]);
        assert_eq!(models("sync", "of-config"), ["of-config"]);
        assert_eq!(models("action", "close"), ["M", "M", "of-config"]);
        assert!(models("event", "a").is_empty());
        let limits = grants("sync", "a").limits;
        assert_eq!((limits.record_bytes, limits.http_headers), (2_000, 3));
    }

    #[test]
    fn limits_that_no_operator_can_set() {
        let manifest = manifest(&Plugin::new("p", "0.1.0")).unwrap();
        for (name, value) in [
            ("recrod_bytes", 1),
            ("record_bytes", 0),
            ("record_bytes", u64::MAX),
        ] {
            let set = LimitValues::from([(name.to_owned(), value)]);
            assert!(grants(&manifest, "sync", "a", &json!({}), &set).is_err());
        }
    }
}
