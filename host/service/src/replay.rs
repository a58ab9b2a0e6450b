//! Cassettes played with a component: read, run without network or store, compared.

use futures::future::BoxFuture;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tidegate_egress::{Gate, GateOptions, SecretTexts};
use tidegate_engine::Name;
use tidegate_engine::cassette::{
    Ask, CASSETTE_BYTES_MAX, Cassette, Difference, LoggedLine, log_differences,
};
use tidegate_engine::integration::Digest;
use tidegate_engine::run::{LogLine, Outcome, RunId, Target};
use tidegate_runtime::{
    Clock, Function, Inspection, Observer, Plugin, Recording, Runtime, RuntimeOptions,
};

use crate::cassettes::CassetteWriter;
use crate::control::{inspect_problem, output_check};
use crate::display;
use crate::problem::{Problem, Result};

/// Read a cassette; a problem names the file and the line.
pub fn read(path: &Path) -> Result<Cassette> {
    let at = |problem: Problem| problem.at(path.display());
    let metadata =
        fs::metadata(path).map_err(|error| Problem::not_found(error).at(path.display()))?;
    if metadata.len() > CASSETTE_BYTES_MAX as u64 {
        return Err(at(Problem::invalid(format!(
            "it has {} bytes; the largest cassette has {CASSETTE_BYTES_MAX}",
            metadata.len()
        ))));
    }
    let bytes = fs::read(path).map_err(|error| at(Problem::not_found(error)))?;
    Cassette::parse(&bytes).map_err(|error| at(Problem::invalid(error)))
}

/// A component, ready to play cassettes with.
#[derive(Debug)]
pub struct Stage {
    runtime: Runtime,
    plugin: Plugin,
    inspection: Inspection,
}

/// What came of one cassette.
#[derive(Debug, Serialize)]
pub struct Report {
    pub equal: bool,
    pub(crate) run: RunId,
    /// `sync` or `action`, and which.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The plugin that was recorded, and the one that played.
    pub(crate) recorded: PluginShown,
    pub(crate) replayed: PluginShown,
    pub(crate) commits: usize,
    /// Saved and deleted ones.
    pub(crate) records: usize,
    pub(crate) requests: u64,
    pub(crate) outcome: Outcome,
    pub(crate) wall_ms: u64,
    pub differences: Vec<Difference>,
    /// The replay ended at a request that the cassette doesn't have.
    pub incomplete: bool,
}

/// A plugin in a report.
#[derive(Debug, Serialize)]
pub(crate) struct PluginShown {
    pub(crate) name: Name,
    pub(crate) version: String,
    pub(crate) digest: Digest,
}

impl PluginShown {
    fn text(&self) -> String {
        let digest = self.digest.short();
        format!("{} {} (sha256 {digest}…)", self.name, self.version)
    }
}

impl Report {
    /// What was played, in one line.
    pub fn figures(&self) -> String {
        let counted = |count: u64, one: &str, many: &str| {
            let what = if count == 1 { one } else { many };
            format!("{} {what}", display::count(count))
        };
        format!(
            "{} with {}, {}, outcome {}, in {}",
            counted(self.commits as u64, "commit", "commits"),
            counted(self.records as u64, "record", "records"),
            counted(self.requests, "request", "requests"),
            self.outcome.as_str(),
            display::duration(self.wall_ms)
        )
    }

    /// Which plugin was recorded and which played.
    pub fn plugins(&self) -> String {
        let replayed = self.replayed.text();
        if self.recorded.digest == self.replayed.digest {
            return format!("with the recorded plugin, {replayed}");
        }
        format!(
            "recorded with {}, replayed with {replayed}",
            self.recorded.text()
        )
    }
}

/// How to play a cassette.
#[derive(Debug, Default)]
pub struct Options {
    /// Compare log lines too.
    pub logs: bool,
    /// Write what happens as a cassette; it takes its place only when the replay is complete.
    pub take: Option<CassetteWriter>,
}

/// Keeps log lines.
#[derive(Default)]
struct Lines(Mutex<Vec<LoggedLine>>);

impl Observer for Lines {
    fn log(&self, line: &LogLine) {
        let mut lines = self.0.lock();
        lines.push(LoggedLine::of(line));
    }
}

impl Stage {
    /// Compile a component and ask for its manifest.
    pub fn set(component: &[u8]) -> BoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let runtime = Runtime::new(RuntimeOptions {
                cache: None,
                clock: Clock::system(),
                // A replay has no session, so that nothing ever passes it.
                gate: Gate::new(GateOptions::default()),
            })
            .map_err(Problem::internal)?;
            let inspected = runtime.inspect(component).await;
            let (inspection, plugin) = inspected.map_err(|error| inspect_problem(&error))?;
            Ok(Self {
                runtime,
                plugin,
                inspection,
            })
        })
    }

    /// Play a cassette.
    pub fn play<'a>(
        &'a self,
        cassette: &'a Cassette,
        options: Options,
    ) -> BoxFuture<'a, Result<Report>> {
        Box::pin(async move {
            let function = self.function(cassette)?;
            let recording = match &options.take {
                Some(take) => Some(Recording {
                    sink: take.sink()?,
                    // What was recorded holds none.
                    secrets: SecretTexts::default(),
                }),
                None => None,
            };
            let lines = Arc::new(Lines::default());
            let observer = Arc::clone(&lines) as Arc<dyn Observer>;
            let manifest = self.inspection.manifest.clone();
            let replayed = self
                .runtime
                .replay(
                    &self.plugin,
                    manifest,
                    function,
                    cassette,
                    recording,
                    observer,
                )
                .await;
            let mut differences = replayed.differences(cassette);
            let incomplete = replayed.missing.is_some();
            if options.logs && !incomplete {
                let lines = lines.0.lock();
                differences.extend(log_differences(&cassette.log, &lines));
            }
            if let Some(take) = options.take.filter(|_| !incomplete) {
                take.finish(cassette.head.run, replayed.recorded);
            }
            let commits = replayed.effects.iter().filter_map(|effect| match effect {
                Ask::Commit(commit) => Some(commit),
                _ => None,
            });
            let pages = commits.clone().flat_map(|commit| &commit.pages);
            let manifest = &self.inspection.manifest;
            let head = &cassette.head;
            Ok(Report {
                equal: differences.is_empty(),
                run: head.run,
                kind: head.target.kind(),
                name: head.target.name().to_owned(),
                recorded: PluginShown {
                    name: head.plugin.name.clone(),
                    version: head.plugin.version.clone(),
                    digest: head.plugin.digest,
                },
                replayed: PluginShown {
                    name: manifest.name.clone(),
                    version: manifest.version.to_string(),
                    digest: self.plugin.digest(),
                },
                commits: commits.count(),
                records: pages.map(|page| page.save.len() + page.delete.len()).sum(),
                requests: replayed.requests,
                outcome: replayed.end.outcome,
                wall_ms: replayed.figures.wall_ms,
                differences,
                incomplete,
            })
        })
    }

    /// The recorded sync or action, as the component that plays it has it.
    fn function(&self, cassette: &Cassette) -> Result<Function> {
        let manifest = &self.inspection.manifest;
        let config = serde_json::from_str(&cassette.head.config).map_err(|error| {
            Problem::invalid(format!("the cassette's config is no JSON object: {error}"))
        })?;
        let target = &cassette.head.target;
        let found = match target {
            Target::Sync(key) => {
                let mut syncs = manifest.syncs_for(&config).into_iter();
                let found = syncs.find(|sync| sync.name == key.sync);
                found.map(|sync| Function {
                    models: sync.models,
                    output_check: None,
                })
            }
            Target::Action { action, .. } => {
                let mut actions = manifest.actions_for(&config).into_iter();
                match actions.find(|found| found.name == *action) {
                    Some(found) => Some(Function {
                        output_check: Some(output_check(action, &found.spec.output)?),
                        models: found.models,
                    }),
                    None => None,
                }
            }
            Target::Event { .. } => {
                return Err(Problem::invalid(
                    "the cassette is of an event; only syncs and actions are replayed",
                ));
            }
        };
        found.ok_or_else(|| {
            Problem::not_found(format!(
                "the plugin {} {} has no {} {:?}, which the cassette is of",
                manifest.name,
                manifest.version,
                target.kind(),
                target.name()
            ))
            .hint("give the plugin's component with --plugin FILE.wasm")
        })
    }
}
