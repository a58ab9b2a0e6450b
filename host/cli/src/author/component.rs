//! A component inspected, and shown to its author.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_engine::command;
use tidegate_engine::command_line::CommandLine;
use tidegate_engine::grant::Grants;

use serde::Serialize;
use tidegate_egress::{Gate, GateOptions};

use tidegate_engine::integration::Digest;
use tidegate_engine::limits::{LimitValues, Limits, TABLE};
use tidegate_engine::manifest::{ActionSpec, Auth, AuthName, Manifest, ScheduleSpec, Sync};
use tidegate_runtime::identify::COMPONENT_BYTES_MAX;
use tidegate_runtime::{
    CONTRACT_VERSION, Clock, IdentifyError, InspectError, Inspection, Runtime, RuntimeError,
    RuntimeOptions,
};
use tidegate_service::control::{check_manifest, missing_grants};
use tidegate_service::display;
use tidegate_service::problem::{Kind, Problem, Result};

use super::program;
use crate::output::{self, Block};

/// Names and descriptions of a listing start here.
const LABEL_WIDTH: usize = 12;

/// A component that this host can run.
#[derive(Debug)]
pub(crate) struct Component {
    path: PathBuf,
    inspection: Inspection,
    /// What is not as its author may think, and why it would not be deployed.
    warnings: Vec<String>,
}

/// What `--json` prints of a component.
#[derive(Debug, Serialize)]
pub(crate) struct Listing<'a> {
    file: String,
    bytes: usize,
    digest: Digest,
    /// The version of the contract that it was built against.
    contract: String,
    imports: &'a [String],
    manifest: &'a Manifest,
    /// Those that a run has, unless the operator sets others.
    limits: Limits,
    /// What is not as its author may think, and why it would not be deployed.
    warnings: &'a [String],
}

impl Component {
    /// Read a file, say what it is, and ask it for its manifest in a sandbox without capabilities.
    pub(crate) async fn inspect(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        let options = RuntimeOptions {
            cache: None,
            clock: Clock::system(),
            gate: Gate::new(GateOptions::default()),
        };
        let runtime = Runtime::new(options).map_err(Problem::internal)?;
        let inspected = runtime.inspect(&bytes).await;
        let (inspection, _plugin) =
            inspected.map_err(|error| refused(&error).at(path.display()))?;
        let warnings = match check_manifest(&inspection.manifest) {
            Ok(warnings) => warnings,
            Err(problem) => vec![format!("no host takes it: {problem}")],
        };
        Ok(Self {
            path: path.to_owned(),
            inspection,
            warnings,
        })
    }

    /// For programs.
    pub(crate) fn listing(&self) -> Listing<'_> {
        Listing {
            file: self.path.display().to_string(),
            bytes: self.inspection.bytes,
            digest: self.inspection.digest,
            contract: self.inspection.identity.contract.to_string(),
            imports: &self.inspection.identity.imports,
            manifest: &self.inspection.manifest,
            limits: requested_limits(&self.inspection.manifest),
            warnings: &self.warnings,
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> Block {
        let Inspection {
            digest,
            bytes,
            identity,
            manifest,
        } = &self.inspection;
        let mut block = Block::new();
        let named = format!("{} {}", manifest.name, manifest.version);
        block.quote("", &described(&named, &manifest.description));
        let mut label = |label: &str, values: Vec<String>| {
            let values = if values.is_empty() {
                vec!["none".to_owned()]
            } else {
                values
            };
            for (index, value) in values.iter().enumerate() {
                let label = if index == 0 { label } else { "" };
                block.quote(&format!("  {label:LABEL_WIDTH$}"), value);
            }
        };
        label("file", vec![program::path(&self.path)]);
        label("digest", vec![format!("sha256:{digest}")]);
        label(
            "size",
            vec![format!("{} ({bytes} bytes)", output::bytes(*bytes as u64))],
        );
        label(
            "contract",
            vec![format!(
                "tidegate:plugin@{} (this host: {CONTRACT_VERSION})",
                identity.contract
            )],
        );
        if !manifest.sdk.is_empty() {
            label("built with", vec![manifest.sdk.clone()]);
        }
        label("syncs", manifest.syncs.iter().map(sync_line).collect());
        if !manifest.actions.is_empty() {
            let lines = manifest.actions.iter().map(action_line);
            label("actions", lines.collect());
        }
        if !manifest.events.is_empty() {
            let kinds: Vec<String> = manifest.events.iter().map(ToString::to_string).collect();
            label("events", vec![kinds.join(", ")]);
        }
        label(
            "models",
            manifest
                .models
                .iter()
                .map(|m| described(m.name.as_str(), &m.description))
                .collect(),
        );
        label("requests", requests(manifest));
        label("auth", manifest.auth.iter().map(auth_line).collect());
        label("config", config_keys(manifest));
        label("limits", limit_lines(&requested_limits(manifest)));
        if !self.warnings.is_empty() {
            label("warnings", self.warnings.clone());
        }
        block
    }

    /// The command that deploys it, with what it requests.
    pub(crate) fn deploy_command(&self) -> CommandLine {
        let granted = Grants::default();
        let missing = missing_grants(&self.inspection.manifest, &granted);
        program::deploy(&self.path, None, &granted, &missing)
    }
}

/// The bytes of a file that may be a component, checked for size before they are read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Problem::not_found(format!("{shown}: there is no such file"))
        }
        _ => Problem::not_found(format!("{shown}: {error}")),
    };
    let about = fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        let problem = Problem::invalid(format!("{shown} is a folder, not a component"));
        return Err(problem.advise(
            "compile a plugin's crate with",
            command!("build {dir}", program::path(path)),
        ));
    }
    if about.len() > COMPONENT_BYTES_MAX as u64 {
        let bytes = usize::try_from(about.len()).unwrap_or(usize::MAX);
        return Err(Problem::new(Kind::Plugin, IdentifyError::Large { bytes }).at(shown));
    }
    fs::read(path).map_err(failed)
}

/// An error about the component is its author's; one about wasmtime itself is ours.
fn refused(error: &InspectError) -> Problem {
    let kind = match error {
        InspectError::Runtime(RuntimeError::Setup(_)) => Kind::Internal,
        _ => Kind::Plugin,
    };
    Problem::new(kind, error)
}

fn described(name: &str, description: &str) -> String {
    if description.is_empty() {
        name.to_owned()
    } else {
        format!("{name}: {description}")
    }
}

fn sync_line(sync: &Sync) -> String {
    let mut line = match &sync.each {
        Some(pointer) => format!("one for each key of the config's {pointer}"),
        None => format!("{} -> {}", sync.name, sync.models.join(", ")),
    };
    match &sync.schedule {
        Some(ScheduleSpec::Every { every }) => {
            let _ = write!(line, ", every {every}");
        }
        Some(ScheduleSpec::Cron { cron, timezone }) => {
            let _ = write!(line, ", at \"{cron}\" {timezone}");
        }
        None => {}
    }
    described(&line, &sync.description)
}

fn action_line(action: &ActionSpec) -> String {
    let line = match &action.each {
        Some(pointer) => format!("one for each key of the config's {pointer}"),
        None if action.models.is_empty() => action.name.clone(),
        None => format!("{} -> {}", action.name, action.models.join(", ")),
    };
    described(&line, &action.description)
}

/// What it asks to be granted.
fn requests(manifest: &Manifest) -> Vec<String> {
    let requested = &manifest.capabilities;
    let mut lines = Vec::new();
    for host in &requested.hosts {
        lines.push(match host.to_string().as_str() {
            "base-url" => "host base-url (the origin of each connection's base URL)".to_owned(),
            "granted" => {
                "host granted (those that you grant, where a config names them)".to_owned()
            }
            pattern => format!("host {pattern}"),
        });
    }
    for feed in &requested.feeds {
        lines.push(match String::from(feed.clone()).as_str() {
            "config" => "the change feeds that the connection's config names".to_owned(),
            feed => format!("change feed {feed}"),
        });
    }
    if requested.metadata_write {
        lines.push("writing the connection's metadata".to_owned());
    }
    let gets = requested_limits(manifest);
    let defaults = Limits::default();
    lines.extend(requested.limits.iter().map(|(name, value)| {
        let gets = gets.get(name).unwrap_or_default();
        let default = defaults.get(name).unwrap_or_default();
        if gets == *value {
            format!("limit {name} = {value} (the default is {default})")
        } else {
            format!("limit {name} = {value} (it gets {gets}, unless the operator sets more)")
        }
    }));
    lines
}

/// The limits of a run to which the operator says nothing.
fn requested_limits(manifest: &Manifest) -> Limits {
    Limits::resolve(&manifest.capabilities.limits, &LimitValues::new())
}

/// What each run gets, three to a line.
fn limit_lines(limits: &Limits) -> Vec<String> {
    let value = |name: &str| {
        let value = limits.get(name).unwrap_or_default();
        match name {
            _ if name.ends_with("_bytes") => output::bytes(value),
            _ if name.ends_with("_ms") => display::duration(value),
            _ => display::count(value),
        }
    };
    let each = TABLE
        .iter()
        .map(|row| format!("{} {}", row.name, value(row.name)));
    let each: Vec<String> = each.collect();
    each.chunks(3).map(|some| some.join(", ")).collect()
}

fn auth_line(auth: &Auth) -> String {
    let name = |name: &AuthName| match name {
        AuthName::Fixed(name) => name.clone(),
        AuthName::Config { config, default } => format!("{default} (or the config's {config})"),
    };
    let how = match auth {
        Auth::Bearer { .. } => "bearer".to_owned(),
        Auth::Basic { .. } => "basic".to_owned(),
        Auth::Header { name: header, .. } => format!("header {}", name(header)),
        Auth::Query {
            name: parameter, ..
        } => format!("query parameter {}", name(parameter)),
        Auth::Template { headers, query } => {
            let headers = headers.keys().map(|name| format!("header {name}"));
            let query = query.keys().map(|name| format!("query parameter {name}"));
            let all: Vec<String> = headers.chain(query).collect();
            all.join(", ")
        }
        Auth::ClientCredentials(_) => "OAuth 2 client credentials".to_owned(),
        Auth::RefreshToken(_) => "OAuth 2 refresh token".to_owned(),
    };
    format!("{how}, with {}", secrets(&auth.secrets()))
}

fn secrets(names: &[&str]) -> String {
    match names {
        [one] => format!("the secret {one}"),
        several => format!("the secrets {}", several.join(" and ")),
    }
}

/// The keys at the top of the config's schema.
fn config_keys(manifest: &Manifest) -> Vec<String> {
    let properties = manifest
        .config
        .get("properties")
        .and_then(serde_json::Value::as_object);
    let keys = properties.into_iter().flatten();
    keys.map(|(key, schema)| {
        let description = schema
            .get("description")
            .and_then(serde_json::Value::as_str);
        described(key, description.unwrap_or_default())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn component(manifest: &serde_json::Value) -> Component {
        let parsed = Manifest::parse(&manifest.to_string()).unwrap();
        Component {
            path: "/t/crm.wasm".into(),
            warnings: check_manifest(&parsed).unwrap(),
            inspection: Inspection {
                digest: Digest::of(b"crm"),
                bytes: 98_765,
                identity: tidegate_runtime::Identity {
                    contract: CONTRACT_VERSION.parse().unwrap(),
                    imports: vec!["tidegate:plugin/log@0.2.0".to_owned()],
                },
                manifest: parsed,
            },
        }
    }

    #[test]
    fn everything_that_is_asked_for_is_shown() {
        let full = component(&json!({
            "manifest": 1, "name": "crm", "version": "0.1.0", "description": "A CRM",
            "syncs": [
                {"name": "contacts", "models": ["Contact"], "schedule": {"every": "1h"}},
                {"name": "*", "models": ["*"], "each": "/models"},
            ],
            "actions": [{"name": "create", "description": "Makes one"}],
            "events": ["connection-check", "connection-removed"],
            "models": [{"name": "Contact"}],
            "capabilities": {
                "hosts": ["base-url", "https://*.example.com", "https://*"], "feeds": ["config", "a/B"],
                "metadata_write": true, "limits": {"memory_bytes": 7, "checkpoint_bytes": 3_000_000},
            },
            "config": {"properties": {"region": {"description": "Where", "pattern": "^(?=.{2,9}$)[a-z]+$"}}},
            "auth": [
                {"kind": "basic", "username": "user", "password": "pass"},
                {"kind": "header", "name": {"config": "/h", "default": "X-Key"}, "value": "key"},
            ],
        }));
        let text = full.text().to_string();
        for part in [
            "crm 0.1.0: A CRM",
            "98.77 kB (98765 bytes)",
            "contacts -> Contact, every 1h",
            "one for each key of the config's /models",
            "create: Makes one",
            "host base-url",
            "host https://*.example.com",
            "the change feeds that the connection's config names",
            "change feed a/B",
            "writing the connection's metadata",
            "limit memory_bytes = 7 (the default is 134217728)",
            "limit checkpoint_bytes = 3000000 (it gets 1048576, unless the operator sets more)",
            "basic, with the secrets user and pass",
            "header X-Key (or the config's /h), with the secret key",
            "region: Where",
            "warnings    config: the pattern \"^(?=.{2,9}$)[a-z]+$\" needs look-around",
        ] {
            assert!(text.contains(part), "wanted {part:?} in\n{text}");
        }
        let command = full.deploy_command().to_string();
        for part in [
            " deploy /t/crm.wasm --allow-host https://HOST-OF-THE-BASE-URL",
            "--allow-host 'https://*.example.com' --allow-any-host",
            "--allow-feed INTEGRATION/MODEL",
            "--allow-feed a/B",
            "--allow-metadata-write",
        ] {
            assert!(command.contains(part), "wanted {part:?} in {command}");
        }
        let listing = serde_json::to_value(full.listing()).unwrap();
        assert_eq!(listing["manifest"]["syncs"][0]["name"], "contacts");
        assert_eq!(listing["digest"].as_str().unwrap().len(), 64);
        assert_eq!(listing["limits"]["memory_bytes"], 7);
        assert_eq!(listing["limits"]["checkpoint_bytes"], 1 << 20);
        assert_eq!(listing["limits"]["cpu_ms"], Limits::default().cpu_ms);
    }

    #[test]
    fn a_plugin_that_asks_for_nothing_says_so() {
        let text = component(&json!({"manifest": 1, "name": "idle", "version": "1.0.0"}))
            .text()
            .to_string();
        assert!(text.contains("requests    none"), "{text}");
        assert!(text.contains("syncs       none"), "{text}");
    }

    #[test]
    fn files_are_told_apart_before_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.wasm");
        let file = fs::File::create(&large).unwrap();
        file.set_len(COMPONENT_BYTES_MAX as u64 + 1).unwrap();
        for (path, kind) in [
            (folder.path().join("nothing.wasm"), Kind::NotFound),
            (folder.path().to_owned(), Kind::Invalid),
            (large, Kind::Plugin),
        ] {
            assert_eq!(read(&path).unwrap_err().kind, kind, "{}", path.display());
        }
    }
}
