//! Writing an export, page by page.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use tidegate_engine::canonical;
use tidegate_engine::integration::{Connection, Digest, Integration};
use tidegate_engine::record::Record;
use tidegate_engine::store::{ActionFilter, ReadChanges};
use tidegate_engine::transfer::components;
use tidegate_engine::{ConnectionKey, ModelKey, Name, Store, Timestamp};

use super::lines::{
    CheckpointLine, ConnectionLine, Head, IntegrationLine, ModelLine, Typed, component_lines,
    end_line, one_line, record_line,
};
use super::{ExportScope, Totals, VERSION};
use crate::display;
use crate::problem::{Problem, Result};

/// Records, and bytes of their bodies, read from the store at once.
const PAGE: usize = 1000;
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Integrations or connections listed at once.
const NAMES: usize = 100;

/// Write everything of `scope` to `out`.
pub(crate) async fn export(
    store: &dyn Store,
    scope: &ExportScope,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> Result<Totals> {
    let mut export = Export {
        store,
        out,
        written: BTreeSet::new(),
        totals: Totals::default(),
    };
    export.write(&Head {
        tidegate_export: VERSION,
        scope,
        exported_at: display::time(now),
    })?;
    match scope {
        ExportScope::All {} => export.integrations().await?,
        ExportScope::Integration { integration } => {
            let integration = store.integration(integration).await?;
            export
                .integration(Arc::unwrap_or_clone(integration))
                .await?;
        }
        ExportScope::Connection(key) => {
            let connection = store.connection(key).await?;
            export.connection(&connection).await?;
        }
        ExportScope::Model {
            integration,
            connection,
            model,
        } => {
            let key = ConnectionKey {
                integration: integration.clone(),
                connection: connection.clone(),
            };
            export.model(key.model(model.clone())).await?;
        }
    }
    export.write(&end_line(export.totals))?;
    export.out.flush().map_err(Problem::internal)?;
    Ok(export.totals)
}

struct Export<'a> {
    store: &'a dyn Store,
    out: &'a mut (dyn Write + Send),
    /// Components that are written already; several deployments may share one.
    written: BTreeSet<Digest>,
    totals: Totals,
}

impl Export<'_> {
    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(Problem::internal)?;
        text.push(b'\n');
        self.out
            .write_all(&text)
            .map_err(|error| Problem::internal(format!("writing the export: {error}")))
    }

    async fn integrations(&mut self) -> Result<()> {
        let mut after: Option<Name> = None;
        loop {
            let page = self.store.integrations(after.as_ref(), NAMES).await?;
            let last = page.len() < NAMES;
            for integration in page {
                after = Some(integration.name.clone());
                self.integration(integration).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    async fn integration(&mut self, integration: Integration) -> Result<()> {
        for digest in components(&integration) {
            if self.written.insert(digest) {
                let bytes = self.store.component(digest).await?;
                for line in component_lines(digest, &bytes) {
                    let kind = "component";
                    self.write(&Typed { kind, line })?;
                }
                self.totals.components += 1;
            }
        }
        let name = integration.name.clone();
        self.write(&Typed {
            kind: "integration",
            line: IntegrationLine { integration },
        })?;
        self.totals.integrations += 1;
        let mut after = None;
        loop {
            let page = self.store.connections(&name, after.as_ref(), NAMES).await?;
            for connection in &page {
                self.connection(connection).await?;
            }
            if page.len() < NAMES {
                return Ok(());
            }
            after = page.last().map(|last| last.key.connection.clone());
        }
    }

    async fn connection(&mut self, connection: &Connection) -> Result<()> {
        let key = &connection.key;
        self.write(&Typed {
            kind: "connection",
            line: ConnectionLine::of(connection),
        })?;
        self.totals.connections += 1;
        for (sync, checkpoint) in self.store.checkpoints(key).await? {
            let checkpoint = one_line(&checkpoint);
            let line = CheckpointLine {
                integration: sync.connection.integration,
                connection: sync.connection.connection,
                sync: sync.sync,
                variant: sync.variant,
                checkpoint: std::borrow::Cow::Borrowed(
                    serde_json::from_str(&checkpoint).map_err(Problem::internal)?,
                ),
            };
            self.write(&Typed {
                kind: "checkpoint",
                line,
            })?;
            self.totals.checkpoints += 1;
        }
        for (model, _) in self.store.models(key).await? {
            self.model(key.model(model)).await?;
        }
        Ok(())
    }

    async fn model(&mut self, model: ModelKey) -> Result<()> {
        self.write(&Typed {
            kind: "model",
            line: ModelLine {
                integration: model.connection.integration.clone(),
                connection: model.connection.connection.clone(),
                model: model.model.clone(),
            },
        })?;
        self.totals.models += 1;
        let mut after = None;
        loop {
            let read = ReadChanges {
                model: model.clone(),
                after,
                filter: ActionFilter::ALL,
                limit: PAGE,
                bytes_max: PAGE_BYTES_MAX,
            };
            let changes = self.store.read_changes(read).await?;
            self.records(&model, &changes.records).await?;
            if !changes.more {
                return Ok(());
            }
            after = Some(changes.next);
        }
    }

    async fn records(&mut self, model: &ModelKey, records: &[Record]) -> Result<()> {
        let pruned = records.iter().filter(|record| record.body.is_none());
        let pruned: Vec<String> = pruned.map(|record| record.id.clone()).collect();
        let hashes = match pruned.is_empty() {
            true => Vec::new(),
            false => self.store.hashes(model, &pruned).await?,
        };
        let mut hashes = hashes.into_iter();
        for record in records {
            let (hash, size) = match &record.body {
                Some(body) => (canonical::hash(body).ok(), body.len() as u64),
                None => hashes
                    .next()
                    .flatten()
                    .map_or((None, 0), |(h, len)| (Some(h), len)),
            };
            let hash = hash.ok_or_else(|| {
                Problem::internal(format!("record {:?} of {model} has no hash", record.id))
            })?;
            let body = record.body.as_deref().map(one_line);
            self.write(&record_line(record, hash, size, body.as_deref())?)?;
            self.totals.records += 1;
        }
        Ok(())
    }
}
