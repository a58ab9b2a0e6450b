//! Answers that go on: runs, which are watched, exports and imports; both ends of each.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_engine::run::{Figures, LogLine, Run, RunId};
use tidegate_service::control::{ApiControl, InvokeRequest, Invoked, Progress, SyncRequest};
use tidegate_service::problem::{Problem, Result};
use tidegate_service::transfer::pipe::{PART_BYTES, PARTS, Receiving, Sending, here};
use tidegate_service::transfer::{ExportScope, ImportReport, ImportTerms, Totals};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::answer::{last, read};
use super::client::Remote;
use super::frame::Frame;
use crate::v1::{App, receive};

/// The names of the calls, for both ends.
pub(super) const RUN_SYNC: &str = "run_sync";
pub(super) const INVOKE: &str = "invoke";
pub(super) const EXPORT: &str = "export";
/// The first line of its body is the terms, and the rest is the export.
pub(super) const IMPORT: &str = "import";

/// Lines of a log on their way to a command that reads slowly; what does not fit is in the store.
const LINES: usize = 1000;

// The command's end.

/// The path as the server finds it: its working directory is another one.
fn absolute(path: &mut Option<std::path::PathBuf>) -> Result<()> {
    if let Some(path) = path {
        *path = std::path::absolute(&*path).map_err(Problem::internal)?;
    }
    Ok(())
}

fn tell(progress: &dyn Progress, frame: Frame) -> Result<()> {
    match frame {
        Frame::Started(run) => progress.started(run),
        Frame::Log(line) => progress.log(&line),
        Frame::Figures(figures) => progress.figures(&figures),
        _ => {}
    }
    Ok(())
}

pub(super) async fn run_sync(
    remote: &Remote,
    mut request: SyncRequest,
    progress: &dyn Progress,
) -> Result<Run> {
    absolute(&mut request.record)?;
    let each = |frame| tell(progress, frame);
    remote.call_with(RUN_SYNC, request, each).await
}

pub(super) async fn invoke(
    remote: &Remote,
    mut request: InvokeRequest,
    progress: &dyn Progress,
) -> Result<Invoked> {
    absolute(&mut request.record)?;
    let each = |frame| tell(progress, frame);
    remote.call_with(INVOKE, request, each).await
}

pub(super) async fn export(
    remote: &Remote,
    scope: &ExportScope,
    out: &mut (dyn Write + Send),
) -> Result<Totals> {
    let each = |frame| match frame {
        Frame::Part(part) => out.write_all(&part).map_err(Problem::internal),
        _ => Ok(()),
    };
    remote.call_with(EXPORT, scope, each).await
}

/// Most bytes of the terms of an import.
const TERMS_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) async fn import(
    remote: &Remote,
    input: &mut (dyn BufRead + Send),
    terms: &ImportTerms,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<ImportReport> {
    let mut terms = serde_json::to_vec(terms).map_err(Problem::internal)?;
    terms.push(b'\n');
    let input = &mut terms.as_slice().chain(input);
    let (sender, parts) = mpsc::channel::<std::io::Result<Bytes>>(PARTS);
    let body = futures::stream::unfold(parts, |mut parts| async move {
        let part = parts.recv().await?;
        Some((part, parts))
    });
    let sent = async move {
        loop {
            let part = match input.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(bytes) => Bytes::copy_from_slice(bytes),
                Err(error) => {
                    let problem = Problem::invalid(&error);
                    // So that the server does not take what has come for all of it.
                    let _ = sender.send(Err(error)).await;
                    return Err(problem);
                }
            };
            input.consume(part.len());
            // The server has seen enough: its answer says why.
            if sender.send(Ok(part)).await.is_err() {
                return Ok(());
            }
        }
    };
    let answered = async {
        let frames = remote.begin(IMPORT, Body::from_stream(body)).await?;
        let each = |frame| {
            if let Frame::Read(records) = frame {
                progress(records);
            }
            Ok(())
        };
        frames.end(each).await
    };
    let (sent, answered) = futures::join!(sent, answered);
    sent.and(answered)
}

// The server's end.

/// Tells a command of its run.
struct RunReporter {
    frames: mpsc::Sender<Frame>,
    /// Once it has begun.
    run: watch::Sender<Option<RunId>>,
}

impl Progress for RunReporter {
    fn started(&self, run: RunId) {
        self.run.send_replace(Some(run));
        let _ = self.frames.try_send(Frame::Started(run));
    }

    fn log(&self, line: &LogLine) {
        // A command that does not read them misses lines; they are in the store.
        let _ = self.frames.try_send(Frame::Log(line.clone()));
    }

    fn figures(&self, figures: &Figures) {
        let _ = self.frames.try_send(Frame::Figures(figures.clone()));
    }
}

/// Answer with frames as they come.
fn frames(frames: mpsc::Receiver<Frame>) -> Response {
    let lines = futures::stream::unfold(frames, |mut frames| async move {
        let frame = frames.recv().await?;
        let line: std::io::Result<_> = Ok(Bytes::from(frame.line()));
        Some((line, frames))
    });
    Body::from_stream(lines).into_response()
}

pub(super) fn answer_sync(app: &App, args: &[u8]) -> Response {
    answer_run(app, args, |control, request, progress| async move {
        control.run_sync(request, progress).await
    })
}

pub(super) fn answer_invoke(app: &App, args: &[u8]) -> Response {
    answer_run(app, args, |control, request, progress| async move {
        control.invoke(request, progress).await
    })
}

/// Answer with what a run has to tell, as it goes on.
fn answer_run<R: DeserializeOwned, T: Serialize + Send, F>(
    app: &App,
    args: &[u8],
    run: impl FnOnce(Arc<dyn ApiControl>, R, Arc<RunReporter>) -> F,
) -> Response
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let request = match read::<R>(args) {
        Ok(request) => request,
        Err(problem) => return last(Err::<(), _>(problem)),
    };
    let (sender, receiver) = mpsc::channel(LINES);
    let telling = Arc::new(RunReporter {
        frames: sender.clone(),
        run: watch::Sender::new(None),
    });
    let run = run(Arc::clone(&app.control), request, Arc::clone(&telling));
    watch(app, sender, telling, run);
    frames(receiver)
}

/// Cancel a run whose command is gone, as soon as it has begun.
async fn cancel(control: &dyn ApiControl, begun: &mut watch::Receiver<Option<RunId>>) {
    // The sender goes with the run.
    let id = begun.wait_for(Option::is_some).await.map_or(None, |id| *id);
    if let Some(id) = id {
        tracing::info!(run = %id, "its command is gone: it is cancelled");
        // It may have ended just now.
        let _ = control.cancel_run(id).await;
    }
}

/// Let the run go on to its end, or cancel it when its command is gone.
fn watch<T: Serialize + Send>(
    app: &App,
    sender: mpsc::Sender<Frame>,
    telling: Arc<RunReporter>,
    run: impl Future<Output = Result<T>> + Send + 'static,
) {
    let (control, working) = (Arc::clone(&app.control), app.working());
    tokio::spawn(async move {
        let mut run = Box::pin(run);
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = sender.closed() => {
                let mut begun = telling.run.subscribe();
                tokio::select! {
                    // It may have ended just now, or never begun.
                    ended = &mut run => ended,
                    () = cancel(&*control, &mut begun) => run.await,
                }
            }
        };
        // A command that is gone hears no end.
        let _ = sender.send(Frame::end(ended)).await;
        drop(working);
    });
}

pub(super) fn answer_export(app: &App, args: &[u8]) -> Response {
    let scope = match read::<ExportScope>(args) {
        Ok(scope) => scope,
        Err(problem) => return last(Err::<(), _>(problem)),
    };
    let (sender, receiver) = mpsc::channel(PARTS);
    let (bytes, mut parts) = mpsc::channel(PARTS);
    let (control, handle) = (Arc::clone(&app.control), Handle::current());
    let thread = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PART_BYTES, Sending(bytes));
        let totals = here(&handle, control.export(&scope, &mut out))?;
        out.flush().map_err(Problem::internal)?;
        Ok(totals)
    });
    tokio::spawn(async move {
        while let Some(part) = parts.recv().await {
            if sender.send(Frame::Part(part.to_vec())).await.is_err() {
                return;
            }
        }
        let ended = thread.await.map_err(Problem::internal).flatten();
        // As above.
        let _ = sender.send(Frame::end::<Totals>(ended)).await;
    });
    frames(receiver)
}

pub(super) fn answer_import(app: &App, body: Body) -> Response {
    let (sender, receiver) = mpsc::channel(LINES);
    let (parts, input) = mpsc::channel(PARTS);
    let (control, handle, stall) = (
        Arc::clone(&app.control),
        Handle::current(),
        app.bounds.stall,
    );
    let (reading, working) = (sender.clone(), app.working());
    let signatures_only = app.signatures_only;
    let thread = tokio::task::spawn_blocking(move || {
        let mut input = BufReader::with_capacity(PART_BYTES, Receiving::new(input));
        let mut terms = Vec::new();
        let mut line = (&mut input).take(TERMS_BYTES_MAX);
        line.read_until(b'\n', &mut terms)
            .map_err(Problem::invalid)?;
        let mut terms: ImportTerms = serde_json::from_slice(&terms).map_err(Problem::internal)?;
        terms.signed_only |= signatures_only;
        let mut progress = |records| {
            // As with a run's figures.
            let _ = reading.try_send(Frame::Read(records));
        };
        here(&handle, control.import(&mut input, &terms, &mut progress))
    });
    tokio::spawn(async move {
        receive(body, parts, stall).await;
        let ended = thread.await.map_err(Problem::internal).flatten();
        let _ = sender.send(Frame::end::<ImportReport>(ended)).await;
        drop(working);
    });
    frames(receiver)
}
