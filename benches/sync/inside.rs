//! Tidegate inside one running process, as a server would be: what a run costs without the start of
//! a process, and a thousand runs at once.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;
use tidegate_engine::run::{Figures, LogLine, Outcome, RunId};
use tidegate_engine::store::Durability;
use tidegate_engine::{ConnectionKey, Name};
use tidegate_service::control::{Control, Local, Management, NewConnection, Progress, SyncRequest};

/// What the child process is asked to do.
const TASK: &str = "TIDEGATE_BENCH_INSIDE";
/// Share of the source's records that change before each run: 1 %.
const CHANGED_ONE_IN: usize = 100;

/// CPU of this process so far, user and system, in seconds.
pub(crate) fn own_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Have the source change 1 % of its records.
pub(crate) fn change(url: &str) {
    let url = format!("{url}/change?one_in={CHANGED_ONE_IN}");
    ureq::get(&url).call().expect("the source answers");
}

/// A child that runs the sync `runs` times, each after a change of 1 %, and prints the mean CPU.
pub(crate) fn incremental(data: &Path, source: &str, runs: usize) -> Command {
    child(&format!(
        "incremental\n{}\n{source}\n{runs}",
        data.display()
    ))
}

/// A child that adds `runs` connections to the source and syncs all at once; it prints a JSON line.
pub(crate) fn concurrent(data: &Path, source: &str, runs: usize) -> Command {
    child(&format!("concurrent\n{}\n{source}\n{runs}", data.display()))
}

fn child(task: &str) -> Command {
    let program = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    command.env(TASK, task);
    command
}

/// The child's work, if this process is one.
pub(crate) fn run_if_asked() -> bool {
    let Ok(task) = std::env::var(TASK) else {
        return false;
    };
    let lines: Vec<&str> = task.lines().collect();
    let [kind, data, source, runs] = lines[..] else {
        panic!("a task of four lines");
    };
    let runs = runs.parse().expect("a number of runs");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let local = Local::open(data.as_ref())
            .await
            .expect("the data directory");
        match kind {
            "incremental" => run_incremental(&local, source, runs).await,
            _ => run_concurrent(&local, source, runs).await,
        }
        local.close().await.expect("the store closes");
    });
    true
}

struct Quiet;

impl Progress for Quiet {
    fn started(&self, _: RunId) {}
    fn log(&self, _: &LogLine) {}
    fn figures(&self, _: &Figures) {}
}

async fn sync(local: &Local, connection: &str) {
    let request = SyncRequest {
        connection: key(connection),
        sync: name("Contact"),
        reset: false,
        empty: false,
        allow_deletes: false,
        durability: Durability::Durable,
        record: None,
    };
    let run = local.run_sync(request, Arc::new(Quiet)).await;
    let end = run.expect("the run starts").end.expect("it has ended");
    assert_eq!(end.outcome, Outcome::Success, "{:?}", end.failure);
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn key(connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: name("bench"),
        connection: connection.parse().expect("a name"),
    }
}

async fn run_incremental(local: &Local, source: &str, runs: usize) {
    // The first run of a process compiles or loads the plugin.
    sync(local, "acme").await;
    let mut cpu = 0.0;
    for _ in 0..runs {
        change(source);
        let before = own_cpu();
        sync(local, "acme").await;
        cpu += own_cpu() - before;
    }
    println!("{}", cpu / runs as f64);
}

async fn run_concurrent(local: &Local, source: &str, runs: usize) {
    let names: Vec<String> = (0..runs).map(|n| format!("customer-{n:05}")).collect();
    for name in &names {
        let connection = NewConnection {
            key: key(name),
            base_url: source.parse().expect("a URL"),
            config: serde_json::Map::new(),
            metadata: serde_json::Map::new(),
            tags: std::collections::BTreeMap::new(),
            external_id: None,
            secrets: Default::default(),
        };
        local.add_connection(connection).await.expect("it is new");
    }
    let (cpu, wall) = (own_cpu(), Instant::now());
    futures::future::join_all(names.iter().map(|name| sync(local, name))).await;
    let (cpu, wall) = (own_cpu() - cpu, wall.elapsed().as_secs_f64());
    println!("{}", json!({ "cpu_s": cpu, "wall_s": wall }));
}
