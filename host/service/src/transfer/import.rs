//! Reading an export and staging it, line by line; nothing of it is seen before its last line.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::sync::Arc;
use tidegate_engine::command;
use tidegate_engine::command_line::CommandLine;

use async_trait::async_trait;
use serde::Deserialize;
use tidegate_engine::integration::{Connection, Deployment, Digest, Integration};
use tidegate_engine::limits::Limits;
use tidegate_engine::record::check_checkpoint;
use tidegate_engine::transfer::{ImportId, ImportPart, ImportedRecord};
use tidegate_engine::{ConnectionKey, ModelKey, Name, Store, StoreError, SyncKey};

use super::lines::{
    CheckpointLine, ComponentLine, ConnectionLine, HeadRead, IntegrationLine, Kind, ModelLine,
    RecordLine,
};
use super::terms::{AcceptedGrants, Granted, ImportReport};
use super::{LINE_BYTES_MAX, Totals, VERSION};
use crate::display;
use crate::problem::{self, Problem, Result};

/// Records, and bytes of their bodies, staged at once.
const PART: usize = 1000;
const PART_BYTES: usize = 4 * 1024 * 1024;

/// What an import brings is held to what holds for what comes in by the usual ways.
#[async_trait]
pub trait Checks: Send + Sync {
    /// Keep a component, whatever it is; earlier deployments may be of plugins that this version can't run.
    async fn keep(&self, digest: Digest, bytes: Vec<u8>) -> Result<()>;
    /// As a deploy checks it; its components are kept.
    async fn integration(&self, integration: &Integration) -> Result<()>;
    /// As adding it to `integration` checks it.
    async fn connection(&self, integration: &Integration, connection: &Connection) -> Result<()>;
}

/// Bring everything of an export into the store, or nothing. `id` is a new one; `progress` hears
/// how many records have been read.
pub async fn import(
    store: &dyn Store,
    checks: &dyn Checks,
    agreed: &AcceptedGrants,
    id: ImportId,
    input: &mut (dyn BufRead + Send),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<ImportReport> {
    let mut import = Import {
        store,
        checks,
        agreed,
        granted: Vec::new(),
        integrations: BTreeMap::new(),
        limits: Limits::default(),
        id,
        parts: 0,
        line: 0,
        records: Vec::new(),
        bytes: 0,
        first_line: 0,
        model: None,
        component: None,
        seen: Totals::default(),
        progress,
    };
    match import.read(input).await {
        Ok(totals) => Ok(ImportReport {
            totals,
            granted: import.granted,
        }),
        Err(problem) => {
            store.abort_import(id).await?;
            Err(problem)
        }
    }
}

struct Import<'a> {
    store: &'a dyn Store,
    checks: &'a dyn Checks,
    agreed: &'a AcceptedGrants,
    /// What the integrations so far are granted.
    granted: Vec<Granted>,
    /// Those so far, and those that are there already of which it brings something.
    integrations: BTreeMap<Name, Arc<Integration>>,
    /// Those of the integration whose records are read.
    limits: Limits,
    id: ImportId,
    /// Parts staged so far.
    parts: u64,
    /// The line at hand, counted from 1.
    line: u64,
    /// Records not staged yet, the bytes of their bodies, and the line of the first.
    records: Vec<ImportedRecord>,
    bytes: usize,
    first_line: u64,
    model: Option<ModelKey>,
    /// A component of which not all pieces have come.
    component: Option<Pieces>,
    seen: Totals,
    progress: &'a mut (dyn FnMut(u64) + Send),
}

struct Pieces {
    digest: Digest,
    next: u64,
    count: u64,
    bytes: Vec<u8>,
}

impl Import<'_> {
    async fn read(&mut self, input: &mut (dyn BufRead + Send)) -> Result<Totals> {
        let mut line = String::new();
        self.next_line(input, &mut line)?;
        self.head(&line)?;
        loop {
            if !self.next_line(input, &mut line)? {
                let message = format!(
                    "the export ends after line {} without its last line, so it was cut; nothing was imported",
                    self.line
                );
                return Err(Problem::invalid(message).hint("export it again, or copy it again"));
            }
            let at = self.line;
            let here = |problem: Problem| problem.at(format!("line {at}"));
            if line.trim().is_empty() {
                continue;
            }
            let kind: Kind<'_> = parse(&line).map_err(here)?;
            if kind.kind == "end" {
                self.stage_records().await?;
                let totals: Totals = parse(&line).map_err(here)?;
                return self.finish(totals, input).await;
            }
            self.take(&kind.kind, &line).await.map_err(here)?;
        }
    }

    /// Read the next line; false at the end.
    fn next_line(&mut self, input: &mut (dyn BufRead + Send), line: &mut String) -> Result<bool> {
        let mut bytes = std::mem::take(line).into_bytes();
        bytes.clear();
        let number = self.line + 1;
        let read = input
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| Problem::invalid(error).at(format!("line {number}")))?;
        if read == 0 {
            return Ok(false);
        }
        self.line = number;
        if read > LINE_BYTES_MAX {
            return Err(Problem::invalid(format!(
                "line {number} has more than {} MiB: this is no export of tidegate, or a damaged one",
                LINE_BYTES_MAX / (1024 * 1024)
            )));
        }
        *line = String::from_utf8(bytes)
            .map_err(|_| Problem::invalid(format!("line {number} is not UTF-8")))?;
        Ok(true)
    }

    fn head(&self, line: &str) -> Result<()> {
        let head: HeadRead = serde_json::from_str(line).map_err(|_| {
            Problem::invalid("this is no export of tidegate: its first line would say {\"tidegate_export\": 1, …}")
                .advise("write one with", command!("data export --output FILE"))
        })?;
        match head.tidegate_export {
            1..=VERSION => Ok(()),
            newer => Err(Problem::invalid(format!(
                "the export has version {newer}, and this version of tidegate reads up to {VERSION}"
            ))
            .hint("import it with the version of tidegate that wrote it, or a newer one")),
        }
    }

    async fn take(&mut self, kind: &str, line: &str) -> Result<()> {
        if kind == "record" {
            return self.record(parse::<RecordLine<'_>>(line)?.record()?).await;
        }
        self.stage_records().await?;
        match kind {
            "component" => self.component(&parse(line)?).await,
            "integration" => {
                let IntegrationLine { integration } = parse(line)?;
                self.checks.integration(&integration).await?;
                let granted = Granted::of(&integration);
                self.agreed.check(&granted)?;
                self.granted.push(granted);
                let known = Arc::new(integration.clone());
                self.integrations.insert(integration.name.clone(), known);
                self.seen.integrations += 1;
                self.stage(ImportPart::Integration(Box::new(integration)))
                    .await
            }
            "connection" => {
                let connection = parse::<ConnectionLine>(line)?.connection()?;
                let integration = self.integration(&connection.key.integration).await?;
                self.checks.connection(&integration, &connection).await?;
                self.seen.connections += 1;
                self.stage(ImportPart::Connection(Box::new(connection)))
                    .await
            }
            "checkpoint" => {
                let line: CheckpointLine<'_> = parse(line)?;
                let key = SyncKey {
                    connection: ConnectionKey {
                        integration: line.integration,
                        connection: line.connection,
                    },
                    sync: line.sync,
                    variant: line.variant,
                };
                let limits = self.limits_of(&key.connection.integration).await?;
                let checkpoint = line.checkpoint.get().to_owned();
                check_checkpoint(&checkpoint, &limits).map_err(Problem::invalid)?;
                self.seen.checkpoints += 1;
                self.stage(ImportPart::Checkpoint { key, checkpoint }).await
            }
            "model" => {
                let line: ModelLine = parse(line)?;
                let connection = ConnectionKey {
                    integration: line.integration,
                    connection: line.connection,
                };
                self.limits = self.limits_of(&connection.integration).await?;
                let model = connection.model(line.model);
                self.model = Some(model.clone());
                self.seen.models += 1;
                // It comes to be even without records, and says here whether it may.
                let records = Vec::new();
                self.stage(ImportPart::Records { model, records }).await
            }
            unknown => Err(Problem::invalid(format!("unknown type {unknown:?}"))),
        }
    }

    /// One that is in this import, or there already.
    async fn integration(&mut self, name: &Name) -> Result<Arc<Integration>> {
        if let Some(known) = self.integrations.get(name) {
            return Ok(Arc::clone(known));
        }
        let found = self.store.integration(name).await.map_err(explain)?;
        self.integrations.insert(name.clone(), Arc::clone(&found));
        Ok(found)
    }

    /// Those of a run of it.
    async fn limits_of(&mut self, name: &Name) -> Result<Limits> {
        let Deployment {
            manifest, grants, ..
        } = &self.integration(name).await?.current;
        Ok(Limits::resolve(
            &manifest.capabilities.limits,
            &grants.limits,
        ))
    }

    async fn component(&mut self, line: &ComponentLine<'_>) -> Result<()> {
        let out_of_order = || Problem::invalid("a piece of a component is missing or comes twice");
        let mut pieces = match self.component.take() {
            None if line.piece == 0 => Pieces {
                digest: line.digest,
                next: 0,
                count: line.pieces,
                bytes: Vec::new(),
            },
            None => return Err(out_of_order()),
            Some(pieces) => pieces,
        };
        let fits =
            (line.digest, line.piece, line.pieces) == (pieces.digest, pieces.next, pieces.count);
        if !fits || pieces.next >= pieces.count {
            return Err(out_of_order());
        }
        let most = tidegate_runtime::identify::COMPONENT_BYTES_MAX;
        pieces.bytes.extend(line.bytes()?);
        pieces.next += 1;
        if pieces.bytes.len() > most {
            return Err(Problem::invalid(format!(
                "a component of more than {most} bytes"
            )));
        }
        if pieces.next < pieces.count {
            self.component = Some(pieces);
            return Ok(());
        }
        if Digest::of(&pieces.bytes) != pieces.digest {
            return Err(Problem::invalid(format!(
                "the component's bytes do not have the digest {}: the export is damaged",
                pieces.digest
            )));
        }
        self.checks.keep(pieces.digest, pieces.bytes).await?;
        self.seen.components += 1;
        Ok(())
    }

    async fn record(&mut self, mut record: ImportedRecord) -> Result<()> {
        record.settle();
        let Some(model) = &self.model else {
            return Err(Problem::invalid(
                "a record before any line of type \"model\"",
            ));
        };
        let index = usize::try_from(self.seen.records).unwrap_or(usize::MAX);
        record.check(&model.model, index).map_err(explain)?;
        if record.body_len > self.limits.record_bytes {
            return Err(Problem::invalid(format!(
                "record {:?} has {} bytes; the limit record_bytes is {}",
                record.id, record.body_len, self.limits.record_bytes
            )));
        }
        if self.records.is_empty() {
            self.first_line = self.line;
        }
        self.bytes += record.body.as_ref().map_or(0, String::len);
        self.records.push(record);
        self.seen.records += 1;
        if self.records.len() >= PART || self.bytes >= PART_BYTES {
            self.stage_records().await?;
        }
        Ok(())
    }

    async fn stage_records(&mut self) -> Result<()> {
        let (Some(model), false) = (&self.model, self.records.is_empty()) else {
            return Ok(());
        };
        let part = ImportPart::Records {
            model: model.clone(),
            records: std::mem::take(&mut self.records),
        };
        self.bytes = 0;
        let first = self.first_line;
        let staged = self.stage(part).await;
        staged.map_err(|problem| problem.at(format!("a record from line {first} on")))?;
        (self.progress)(self.seen.records);
        Ok(())
    }

    async fn stage(&mut self, part: ImportPart) -> Result<()> {
        let staged = self.store.stage_import(self.id, self.parts, part).await;
        staged.map_err(explain)?;
        self.parts += 1;
        Ok(())
    }

    async fn finish(&mut self, said: Totals, input: &mut (dyn BufRead + Send)) -> Result<Totals> {
        if self.seen != said {
            return Err(Problem::invalid(format!(
                "the last line says that there were {}, and there were {}: lines are missing; nothing was imported",
                describe(said),
                describe(self.seen)
            )));
        }
        let mut more = String::new();
        while self.next_line(input, &mut more)? {
            if !more.trim().is_empty() {
                return Err(Problem::invalid(format!(
                    "line {} comes after the last line of the export",
                    self.line
                )));
            }
        }
        if self.parts == 0 {
            return Ok(self.seen);
        }
        let imported = self.store.finish_import(self.id).await.map_err(explain)?;
        Ok(Totals::of(imported, self.seen.components))
    }
}

/// `2 connections, 3 models, …`
pub fn describe(totals: Totals) -> String {
    let Totals {
        components,
        integrations,
        connections,
        models,
        records,
        checkpoints,
    } = totals;
    [
        display::counted(components, "component"),
        display::counted(integrations, "integration"),
        display::counted(connections, "connection"),
        display::counted(models, "model"),
        display::counted(records, "record"),
        display::counted(checkpoints, "checkpoint"),
    ]
    .join(", ")
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T> {
    // Its position is that in the line, which is told already.
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let message = text
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        Problem::invalid(format!("{message}, at column {}", error.column()))
    })
}

/// What the store says about a part, with what to do about it.
fn explain(error: StoreError) -> Problem {
    let advise = |what: &str, command: CommandLine| Some(format!("{what}: {command}"));
    let drop = |command| advise("remove it first with", command);
    let hint = match &error {
        StoreError::Exists {
            what: "integration",
            name,
        } => drop(command!("data drop {integration} --yes", name)),
        StoreError::Exists { what, name } => {
            match (*what, name.split('/').collect::<Vec<_>>().as_slice()) {
                ("connection", [integration, connection]) => drop(command!(
                    "data drop {integration} -c {connection} --yes",
                    integration,
                    connection
                )),
                ("model", [integration, connection, model]) => drop(command!(
                    "data drop {integration} {model} -c {connection} --yes",
                    integration,
                    model,
                    connection
                )),
                ("record", _) => Some(
                    "an export has each record once: this one was changed or put together"
                        .to_owned(),
                ),
                _ => None,
            }
        }
        StoreError::NotFound {
            what: "integration",
            name,
        } => Some(format!(
            "deploy {name} first, or import an export of the whole integration"
        )),
        StoreError::NotFound {
            what: "connection",
            name,
        } => {
            let (integration, connection) = name.split_once('/').unwrap_or(("INTEGRATION", name));
            advise(
                "import an export of the whole connection, or add it first with",
                command!(
                    "connections add {integration} {connection} --base-url URL",
                    integration,
                    connection
                ),
            )
        }
        _ => None,
    };
    let mut problem = Problem::from(error.clone());
    if matches!(error, StoreError::Damaged { .. }) {
        // The export is, not the data directory.
        problem = Problem::new(problem::Kind::Invalid, error);
    }
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
