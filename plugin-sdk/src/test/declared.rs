//! What a plugin declares, read back from its manifest and checked as the host would.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Plugin;

/// The manifest, as far as a fake host needs it. Unknown keys are refused, as by the host.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "all keys are listed, so that unknown ones are noticed"
)]
struct Manifest {
    manifest: u32,
    name: String,
    version: String,
    description: Option<String>,
    sdk: String,
    syncs: Vec<SyncEntry>,
    actions: Vec<ActionEntry>,
    models: Vec<ModelEntry>,
    capabilities: Capabilities,
    config: Option<Value>,
    #[serde(default)]
    auth: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct SyncEntry {
    name: String,
    description: Option<String>,
    models: Vec<String>,
    schedule: Option<BTreeMap<String, String>>,
    each: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct ActionEntry {
    name: String,
    description: Option<String>,
    models: Vec<String>,
    input: Option<Value>,
    output: Option<Value>,
    each: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct ModelEntry {
    name: String,
    description: Option<String>,
    schema: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Capabilities {
    hosts: Vec<String>,
    feeds: Vec<String>,
    metadata_write: bool,
    limits: BTreeMap<String, u64>,
    rate_limit: Option<RateLimitEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct RateLimitEntry {
    requests: u32,
    per_ms: u64,
    burst: Option<u32>,
}

/// What one run may do.
#[derive(Debug, Default)]
pub(super) struct Grants {
    pub(super) hosts: Vec<String>,
    pub(super) feeds: Vec<String>,
    pub(super) metadata_write: bool,
    pub(super) models: Vec<String>,
}

/// A plugin's declaration without problems.
#[derive(Debug)]
pub(super) struct Declared {
    manifest: Manifest,
}

impl Declared {
    /// Fails with everything that the host would refuse at deploy.
    pub(super) fn of(plugin: &Plugin) -> Result<Self, Vec<String>> {
        let manifest: Manifest =
            serde_json::from_str(&plugin.manifest()).map_err(|error| vec![error.to_string()])?;
        let problems = problems(&manifest);
        if problems.is_empty() {
            Ok(Declared { manifest })
        } else {
            Err(problems)
        }
    }

    /// What a run of this kind and name may do, on a connection with this config.
    pub(super) fn grants(&self, kind: &str, name: &str, config: &Value) -> Grants {
        let Manifest {
            syncs,
            actions,
            capabilities,
            ..
        } = &self.manifest;
        let models = if kind == "sync" {
            let named = syncs.iter().find(|sync| sync.name == name);
            match named {
                Some(sync) => sync.models.clone(),
                None => vec![name.to_owned()], // a sync of `each` writes the model of its name
            }
        } else {
            let named = actions.iter().find(|action| action.name == name);
            let action = named.or_else(|| actions.iter().find(|action| action.each.is_some()));
            let models = action.filter(|_| kind == "action");
            let models = models.map_or(&[][..], |action| action.models.as_slice());
            if models.iter().any(|model| model == "*") {
                self.models_of_each(config)
            } else {
                models.to_vec()
            }
        };
        Grants {
            hosts: capabilities.hosts.clone(),
            feeds: capabilities.feeds.clone(),
            metadata_write: capabilities.metadata_write,
            models,
        }
    }
}

impl Declared {
    /// The models that the config names for syncs of `each`, and those of the other syncs.
    fn models_of_each(&self, config: &Value) -> Vec<String> {
        let models = |sync: &SyncEntry| match &sync.each {
            None => sync.models.clone(),
            Some(pointer) => {
                let object = config.pointer(pointer).and_then(Value::as_object);
                object.map_or(Vec::new(), |object| object.keys().cloned().collect())
            }
        };
        self.manifest.syncs.iter().flat_map(models).collect()
    }
}

fn problems(manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = |what: &str, found: Vec<&String>| {
        for (at, name) in found.iter().enumerate() {
            if !is_name(name) {
                let rule = "names match [A-Za-z0-9][A-Za-z0-9_.-]{0,63}";
                problems.push(format!("{what} `{name}`: {rule}"));
            }
            if found.iter().take(at).any(|before| before == name) {
                problems.push(format!("{what} `{name}` is declared twice"));
            }
        }
    };
    let named = manifest.syncs.iter().filter(|sync| sync.each.is_none());
    names("plugin", vec![&manifest.name]);
    names("sync", named.map(|sync| &sync.name).collect());
    let named = manifest
        .actions
        .iter()
        .filter(|action| action.each.is_none());
    names("action", named.map(|action| &action.name).collect());
    names(
        "model",
        manifest.models.iter().map(|model| &model.name).collect(),
    );
    if !is_version(&manifest.version) {
        let version = &manifest.version;
        problems.push(format!(
            "the version `{version}` is not like 1.2.3 (semver)"
        ));
    }
    for sync in &manifest.syncs {
        let problem = sync.schedule.as_ref().and_then(schedule_problem);
        problems.extend(problem.map(|problem| format!("sync `{}`: {problem}", sync.name)));
        if sync
            .each
            .as_ref()
            .is_some_and(|pointer| !pointer.starts_with('/'))
        {
            problems.push("a sync's `each` is a JSON pointer, for example /models".to_owned());
        }
    }
    for action in &manifest.actions {
        let each = action.each.as_ref();
        if each.is_some_and(|pointer| !pointer.starts_with('/')) {
            problems.push("an action's `each` is a JSON pointer, for example /actions".to_owned());
        }
    }
    for host in &manifest.capabilities.hosts {
        if host != "base-url" && host != "granted" && !is_origin(host) {
            problems.push(format!(
                "the host `{host}` is no origin like https://api.example.com, nor base-url or granted"
            ));
        }
    }
    for feed in &manifest.capabilities.feeds {
        let named = feed
            .split_once('/')
            .is_some_and(|(integration, model)| is_name(integration) && is_name(model));
        if feed != "config" && !named {
            problems.push(format!(
                "the feed `{feed}` is neither integration/model nor config"
            ));
        }
    }
    problems
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(inner)
}

fn is_version(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = core.split('.').map(str::parse::<u64>).collect();
    numbers.len() == 3 && numbers.iter().all(Result::is_ok)
}

fn is_origin(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else {
        return false;
    };
    let rest = rest.strip_prefix("*.").unwrap_or(rest);
    ["http", "https"].contains(&scheme)
        && !rest.is_empty()
        && !rest.contains(['/', '?', '#', '@', '*', ' '])
}

fn schedule_problem(schedule: &BTreeMap<String, String>) -> Option<String> {
    if let Some(every) = schedule.get("every") {
        let (number, unit) = every.split_at_checked(every.len().saturating_sub(1))?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => 0,
        };
        let number = number.parse::<u64>().unwrap_or(0);
        return (number * seconds < 10).then(|| {
            format!("every `{every}` is not like 30s, 15m, 1h or 1d, or is less than 10s")
        });
    }
    let cron = schedule.get("cron").map(String::as_str).unwrap_or_default();
    (cron.split_ascii_whitespace().count() != 5)
        .then(|| format!("the cron expression `{cron}` does not have 5 fields"))
}

#[cfg(test)]
mod tests {
    use super::Declared;
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
    fn what_the_host_would_refuse() {
        let p = || Plugin::new("p", "0.1.0");
        for (plugin, expected) in [
            (Plugin::new("p q", "0.1.0"), "plugin `p q`"),
            (Plugin::new("p", "1.0"), "the version `1.0`"),
            (
                p().sync(sync("a")).sync(sync("a")),
                "sync `a` is declared twice",
            ),
            (p().sync(sync("*")), "sync `*`"),
            (p().sync(sync("a").model("")), "model ``"),
            (p().sync(sync("a").every("5s")), "every `5s`"),
            (p().sync(sync("a").every("1 hour")), "every `1 hour`"),
            (p().sync(sync("a").every("")), "every ``"),
            (
                p().sync(sync("a").cron("* * * *", "UTC")),
                "the cron expression",
            ),
            (p().sync(Sync::each("models", nothing)), "a JSON pointer"),
            (p().action(Action::each("acts", act)), "a JSON pointer"),
            (p().host("api.example.com"), "the host `api.example.com`"),
            (p().host("https://h/v1"), "the host `https://h/v1`"),
            (p().feed("crm"), "the feed `crm`"),
        ] {
            let problems = Declared::of(&plugin).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].contains(expected),
                "{problems:?} has no {expected}"
            );
        }
    }

    #[test]
    fn what_the_host_accepts() {
        let plugin = Plugin::new("p", "0.1.0-rc.1")
            .host("https://*.example.com:8443")
            .host("base-url")
            .feed("crm/Contact")
            .feed("config")
            .limit("memory_bytes", 1 << 20)
            .auth(Auth::basic("user", "password"))
            .sync(sync("a").every("10s"))
            .sync(sync("b").cron("0 6 * * 1-5", "Europe/Berlin"))
            .sync(Sync::each("/models", nothing))
            .action(Action::each("/actions", act));
        let declared = Declared::of(&plugin).unwrap();
        let config = json!({ "models": { "of-config": {} } });
        let models = |kind, name| declared.grants(kind, name, &config).models;
        assert_eq!(models("sync", "a"), ["M"]);
        assert_eq!(models("sync", "of-config"), ["of-config"]);
        assert_eq!(models("action", "close"), ["M", "M", "of-config"]);
        assert!(models("event", "a").is_empty());
    }
}
