//! Exports and imports as streams. Both block while they read and write, so they run on threads of
//! their own, with a channel between them and the connection.

use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::problem::{Kind, Problem, Result};
use tidegate_service::transfer::pipe::{PART_BYTES, PARTS, Part, Receiving, Sending, here};
use tidegate_service::transfer::{
    AcceptedGrants, ExportScope, Granted, ImportReport, ImportTerms, LINE_BYTES_MAX, ScopeNames,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use utoipa::{IntoParams, ToSchema};

use super::super::app::App;
use super::super::extract::{Json, Pace, Query};
use super::super::problem::{Answer, Failed, Type};
use super::super::room::{Allowance, Hold};
use super::super::stream::{self, ResponseFormat, Source};
use crate::views::{self, text};

/// What is said of a body of which nothing comes any more.
const STALLED: &str = "the body did not come within the limit api_stall_ms";

/// What to export: everything, an integration, a connection or a model.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    #[param(value_type = Option<text::Name>)]
    integration: Option<Name>,
    /// Of `integration`.
    #[param(value_type = Option<text::ConnectionName>)]
    connection: Option<ConnectionName>,
    /// Of `connection`.
    #[param(value_type = Option<text::Name>)]
    model: Option<Name>,
}

impl ExportQuery {
    fn scope(self) -> Answer<ExportScope> {
        let names = ScopeNames {
            integration: self.integration,
            connection: self.connection,
            model: self.model,
        };
        ExportScope::try_from(names).map_err(Failed::invalid)
    }
}

/// Export as JSON lines
///
/// The format is that of `tidegate data export` (docs/data.md); secrets stay sealed. An export that
/// does not end with its last line is not complete.
#[utoipa::path(get, path = "/v1/data/export", tag = "data", params(ExportQuery), responses(
    (status = 200, description = "The export", body = String, content_type = "application/x-ndjson"),
    (status = 404, description = "What is to be exported is not there"),
))]
pub(super) async fn export(
    State(app): State<App>,
    Query(query): Query<ExportQuery>,
    Extension(allowance): Extension<Allowance>,
) -> Answer<Response> {
    let scope = query.scope()?;
    let permit = allowance.transfer()?.and(allowance.answer().await?);
    let (sender, parts) = mpsc::channel(PARTS);
    let handle = Handle::current();
    let thread = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PART_BYTES, Sending(sender));
        here(&handle, app.control.export(&scope, &mut out))?;
        out.flush().map_err(Problem::internal)
    });
    let mut source = Exported {
        parts,
        thread: Some(thread),
        first: None,
    };
    // What is wrong with the scope is the answer, not its first line.
    source.first = source.next().await?;
    Ok(stream::answer(ResponseFormat::Lines, source, permit))
}

struct Exported {
    parts: mpsc::Receiver<Bytes>,
    thread: Option<JoinHandle<Result<()>>>,
    first: Option<Bytes>,
}

impl Source for Exported {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if let Some(part) = self.parts.recv().await {
            return Ok(Some(part));
        }
        if let Some(thread) = self.thread.take() {
            thread.await.map_err(Problem::internal)??;
        }
        Ok(None)
    }
}

/// What an import brought.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Imported {
    components: u64,
    integrations: u64,
    connections: u64,
    models: u64,
    /// Deleted ones included.
    records: u64,
    checkpoints: u64,
    /// What its integrations are granted from now on.
    granted: Vec<ImportedGrants>,
}

/// What an integration is granted that an import brought.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedGrants {
    #[schema(value_type = text::Name)]
    integration: Name,
    grants: views::Grants,
}

impl From<Granted> for ImportedGrants {
    fn from(granted: Granted) -> Self {
        Self {
            integration: granted.integration,
            grants: (&granted.current).into(),
        }
    }
}

/// Bring in everything of an export, or nothing
///
/// Whatever is there already is not touched: then the answer is 409. What is in it is checked as if it were
/// deployed and added: grants, limits, sizes, base URLs and configs; each manifest must be what its component says
/// of itself, and secrets must have been given for the origin of the base URL. `granted` says what its
/// integrations may do from now on. On a server that takes signed components only, those of the export must be there already: an
/// export has no signatures.
#[utoipa::path(post, path = "/v1/data/import", tag = "data",
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What it brought", body = Imported),
        (status = 404, description = "It has something of a connection or an integration that is nowhere"),
        (status = 409, description = "Something of it is there already"),
        (status = 422, description = "A component of it can't be deployed"),
    ),
)]
pub(super) async fn import(
    State(app): State<App>,
    Extension(allowance): Extension<Allowance>,
    Extension(hold): Extension<Arc<Hold>>,
    request: Request,
) -> Answer<Json<Imported>> {
    let _permit = allowance.transfer()?;
    // A line of it is held whole.
    let line = LINE_BYTES_MAX as u64;
    let whole = request.body().size_hint().upper().unwrap_or(line);
    hold.grow(whole.min(line)).await?;
    let stall = app.bounds.stall;
    let (sender, parts) = mpsc::channel(PARTS);
    let handle = Handle::current();
    let thread = tokio::task::spawn_blocking(move || {
        let mut input = BufReader::with_capacity(PART_BYTES, Receiving::new(parts));
        let mut unwatched = |_| {};
        let terms = ImportTerms {
            signed_only: app.signatures_only,
            grants: AcceptedGrants::Any,
        };
        let import = app.control.import(&mut input, &terms, &mut unwatched);
        here(&handle, import)
    });
    let stalled = receive(request.into_body(), sender, stall).await;
    let totals = thread.await.map_err(Problem::internal)?;
    let ImportReport { totals, granted } =
        totals.map_err(|problem| match (stalled, problem.kind) {
            (true, Kind::Invalid) => Failed::new(Type::SlowRequest, STALLED),
            _ => problem.into(),
        })?;
    Ok(Json(Imported {
        components: totals.components,
        integrations: totals.integrations,
        connections: totals.connections,
        models: totals.models,
        records: totals.records,
        checkpoints: totals.checkpoints,
        granted: granted.into_iter().map(Into::into).collect(),
    }))
}

/// Hand the parts of a body over as they come. Says whether it stalled.
pub(crate) async fn receive(body: Body, sender: mpsc::Sender<Part>, stall: Duration) -> bool {
    let mut body = body.into_data_stream();
    let mut pace = Pace::new(stall);
    loop {
        let (part, stalled) = match tokio::time::timeout_at(pace.until(), body.next()).await {
            Ok(Some(Ok(part))) => (Ok(part), false),
            Ok(None) => return false,
            Ok(Some(Err(_))) => (Err("the body ended before it was complete"), false),
            Err(_) => (Err(STALLED), true),
        };
        let bytes = part.as_ref().map_or(0, Bytes::len);
        // It ends early when a line is wrong: its problem is the answer.
        if sender.send(part).await.is_err() {
            return false;
        }
        // What was waited for here was the import itself.
        pace.went_on(bytes);
        if stalled {
            return true;
        }
    }
}
