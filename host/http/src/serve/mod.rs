//! The server: the data directory held open, the API on a port, commands on a socket, and an orderly end.
//!
//! | module | its one job |
//! |---|---|
//! | `port` | accepting connections and serving each, with bounds |
//! | `own` | the socket of this machine's commands |
//! | `stall` | ending connections whose client takes too little |
//! | `descriptors` | as many open files as the machine allows |
//! | `tls` | certificate and key from files |
//! | `found` | the file by which this machine's commands find the server |
//! | `log` | the server's log |
//! | `traces` | its traces |
//! | `signals` | being told to stop |

mod descriptors;
mod log;
mod own;
mod port;
mod server_info;
mod signals;
mod stall;
mod tls;
mod traces;

use futures::future::BoxFuture;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_engine::command;
use tidegate_runtime::Clock;
use tidegate_service::control::run_registry::Stop;
use tidegate_service::control::{ApiControl, Control, Local};
use tidegate_service::dispatch::{self, Dispatcher};
use tidegate_service::notice::notice;
use tidegate_service::problem::{Problem, Result};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::v1::{self, App, Bounds, Names, Parts, Places, Shared};

use own::CommandSocket;
use port::{Listener, Port};
use server_info::NewServerInfo;
use signals::Signals;

pub use log::{Format, start as start_log};

pub use traces::Traces;

/// How long runs that were told to stop, and answers about them, may take after the grace period.
const AFTER_GRACE: Duration = Duration::from_secs(3);

/// How often it is looked whether anything can be stored.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How to serve.
#[derive(Debug)]
pub struct Options {
    pub listen: SocketAddr,
    /// Certificate chain and key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How long requests and runs may go on once the server is to stop.
    pub grace: Duration,
    pub bounds: Bounds,
    /// Names that it answers to besides its addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Whether only signed components may be deployed, which only the command can check.
    pub signatures_only: bool,
    pub dispatch: dispatch::Options,
    /// Private ranges that webhooks may go to.
    pub webhook_private: Vec<IpNet>,
    /// What all runs together may hold of calls that have not ended, in bytes.
    pub runs_held: u64,
}

/// Serve until told to stop.
pub fn run(data: &Path, options: Options) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let signals = Signals::hear()?;
        descriptors::raise();
        let mut local = Local::open_served(data).await?;
        local.allow_webhooks_to(options.webhook_private.clone());
        local.hold_at_most(options.runs_held);
        local.require_signatures(options.signatures_only);
        let local = Arc::new(local);
        let served = serve(data, &local, options, signals).await;
        let closed = local.close().await;
        served.and(closed)
    })
}

async fn serve(
    data: &Path,
    local: &Arc<Local>,
    options: Options,
    mut signals: Signals,
) -> Result<()> {
    check_address(&**local, options.listen).await?;
    let tls = options.tls.as_ref();
    let tls = tls
        .map(|(chain, key)| tls::acceptor(chain, key))
        .transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (public, address) = bind(options.listen).await?;
    let (own, own_listener) = CommandSocket::bind(data)?;
    local.listens_at(vec![address]);

    let found = NewServerInfo::new(own.named.clone())?;
    let stopping = CancellationToken::new();
    // Whatever comes after this and fails, what was started hears that it is over.
    let stop = stopping.clone().drop_guard();
    let control: Arc<dyn ApiControl> = Arc::clone(local) as _;
    let app = Shared::load(Parts {
        control,
        own_token: found.digest(),
        clock: Clock::system(),
        bounds: options.bounds,
        names: names(address, options.allowed_hosts),
        signatures_only: options.signatures_only,
        metrics: v1::recorder()?,
        stopping: stopping.clone(),
    })
    .await?;
    let port = |listener, tls, router| Port {
        places: Places::new(options.bounds, matches!(listener, Listener::Tcp(_))),
        listener,
        tls,
        router,
        bounds: options.bounds,
        stopping: stopping.clone(),
    };
    let mut ports = JoinSet::new();
    ports.spawn(port(Listener::Tcp(public), tls, v1::public(&app)).serve());
    ports.spawn(port(Listener::Unix(own_listener), None, v1::own(&app)).serve());

    let dispatcher = Dispatcher::start(Arc::clone(local), options.dispatch).await?;
    let deliveries = tokio::spawn(deliver(Arc::clone(local), stopping));
    let _found = found.write(data)?;
    notice(format!("listening on {scheme}://{address}"));
    tracing::info!(%address, data = %data.display(), "listening");

    let failed = tokio::select! {
        () = signals.heard() => None,
        failed = failing(local, &app) => Some(failed),
    };
    if let Some(problem) = &failed {
        tracing::error!("nothing can be stored any more, so the server ends: {problem}");
    }
    let grace_ms = u64::try_from(options.grace.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        grace_ms,
        "stopping: no new connections, requests may finish"
    );
    signals.exit_at_next();
    // First, so that a sync whose page comes after the ports were closed stops there.
    local.wind_down();
    drop(stop);
    // Together: neither takes from the other's time.
    tokio::join!(
        dispatcher.stop(options.grace),
        finish(local, &app, ports, options.grace),
        delivered(deliveries, options.grace),
    );
    tracing::info!("stopped");
    failed.map_or(Ok(()), Err)
}

/// Resolves when a write has failed. Nothing is stored after that until the store is opened again, which whoever
/// watches over the process sees to.
async fn failing(local: &Local, app: &App) -> Problem {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tick.tick().await;
        app.strangers.settle();
        match local.ready().await {
            Ok(()) => app.pulse.beats(),
            Err(problem) => return problem,
        }
    }
}

/// Deliver webhooks until the server is to stop.
async fn deliver(local: Arc<Local>, stopping: CancellationToken) {
    if let Err(problem) = local.deliver_webhooks(stopping.cancelled()).await {
        tracing::error!("webhooks are not delivered any more: {problem}");
    }
}

/// Let the deliveries on their way end within the grace period. What is cut off is made again by the
/// next server, with the same id.
async fn delivered(mut deliveries: JoinHandle<()>, grace: Duration) {
    if tokio::time::timeout(grace, &mut deliveries).await.is_err() {
        deliveries.abort();
        let _ = deliveries.await;
        tracing::warn!("webhooks on their way were cut off");
    }
}

/// Let requests finish within the grace period, then end their runs, then the requests.
async fn finish(local: &Local, app: &App, mut ports: JoinSet<()>, grace: Duration) {
    if tokio::time::timeout(grace, all_done(app, &mut ports))
        .await
        .is_err()
    {
        let runs = local.stop_runs(Stop::HostStops);
        tracing::warn!(runs, "the grace period is over: runs are being cancelled");
        let done = tokio::time::timeout(AFTER_GRACE, all_done(app, &mut ports));
        if done.await.is_err() {
            tracing::warn!("requests were cut off");
        }
    }
    ports.shutdown().await;
}

/// Every connection has ended, and everything that is being changed.
async fn all_done(app: &App, ports: &mut JoinSet<()>) {
    while ports.join_next().await.is_some() {}
    app.idle().await;
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| {
        Problem::invalid(format!("can't listen on {address}: {error}"))
            .hint("choose another address with --listen")
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// What the server answers to. One on loopback is asked by this machine, and by pages in its browsers; of another one
/// only who has set it up knows its names.
fn names(listen: SocketAddr, allowed: Vec<String>) -> Names {
    match allowed.is_empty() && !listen.ip().is_loopback() {
        true => Names::Any,
        false => Names::These(allowed),
    }
}

/// Without a key nobody could use the API, and whoever set it up meant something else.
async fn check_address(control: &dyn Control, listen: SocketAddr) -> Result<()> {
    if listen.ip().is_loopback() || !control.api_keys().await?.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{listen} is reachable from other machines, and there is no API key yet that would open it"
    );
    Err(Problem::invalid(message).advise(
        "listen on 127.0.0.1, or make one with",
        command!("api-keys create --name NAME --scope manage"),
    ))
}
