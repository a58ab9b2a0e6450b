//! What a server's process holds in memory, seen from outside, while plugins ask for more than there is
//! room for; and that others go on.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Served;
use crate::support::cli::Tidegate;
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Gate, Listener};
use crate::support::{PATIENCE, wait_until};

const MIB: u64 = 1 << 20;
const RUNS: usize = 64;

/// A figure of a process's memory, such as `VmRSS` and `VmHWM`, in bytes.
pub fn memory(process: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let words = line
        .unwrap()
        .trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB");
    words.trim().parse::<u64>().unwrap() * 1024
}

/// A server whose `/endless` answers with this many bytes and then with nothing more until the gate
/// opens; everything else has an empty answer.
struct Source {
    listener: Listener,
    asked: Arc<AtomicUsize>,
    gate: Gate,
}

impl Source {
    fn start(bytes: u64) -> Self {
        let (asked, gate) = (Arc::<AtomicUsize>::default(), Gate::default());
        let (count, end) = (Arc::clone(&asked), gate.clone());
        let listener = Listener::start(move |mut stream| {
            let Ok(Some(request)) = Request::read(&stream) else {
                return;
            };
            if request.path() != "/endless" {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            // A client that takes no more is what this is about.
            let _ = send(&mut stream, bytes);
            end.pass();
        });
        Self {
            listener,
            asked,
            gate,
        }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.listener.address)
    }
}

/// The beginning of an answer whose length nobody knows.
fn send(stream: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    let piece = vec![b' '; 64 << 10];
    for _ in 0..bytes / piece.len() as u64 {
        stream.write_all(&piece)?;
    }
    Ok(())
}

fn deploy(tidegate: &Tidegate, name: &str, origin: &str, words: &str) {
    let component = plugins::hostile();
    let grants = format!("--allow-host {origin} --allow-private 127.0.0.0/8");
    let cmd = tidegate.cmd("deploy").arg(&component);
    cmd.words(&format!("--as {name} --yes {grants} {words}"))
        .ok();
}

/// Start a sync, which goes on by itself.
fn trigger(served: &Served, integration: &str, connection: &str, sync: &str) {
    let place =
        format!("/v1/integrations/{integration}/connections/{connection}/syncs/{sync}/trigger");
    served.post(&place, &json!({}), 202);
}

fn runs(served: &Served, integration: &str) -> Vec<Value> {
    let runs = served.get(&format!("/v1/runs?integration={integration}&limit=1000"));
    runs["runs"].as_array().unwrap().clone()
}

/// The first run of a sync that has ended.
fn ended(served: &Served, integration: &str, sync: &str) -> Value {
    let what = format!("a run of {sync} to end");
    wait_until(&what, PATIENCE, || {
        let runs = runs(served, integration).into_iter();
        let mut ended = runs.filter(|run| run["name"] == sync && run["outcome"] != "running");
        ended.next()
    })
}

#[test]
fn answers_that_one_run_waits_for_count_as_its_own() {
    let source = Source::start(60 * MIB);
    let tidegate = Tidegate::new();
    let limits = "--limit http_in_flight=24 --limit http_response_bytes=67108864";
    deploy(&tidegate, "greedy", &source.origin(), limits);
    tidegate.connect("greedy", "acme", &source.origin());
    let served = Served::start(tidegate);
    trigger(&served, "greedy", "acme", "well");
    ended(&served, "greedy", "well");
    let before = memory(served.running.id(), "VmHWM");
    trigger(&served, "greedy", "acme", "many-large-at-once");
    let run = ended(&served, "greedy", "many-large-at-once");
    source.gate.open();
    assert_eq!(run["failure"]["limit"], "host_held_bytes", "{run}");
    assert_eq!(run["failure"]["blame"], "guest", "{run}");
    let more = memory(served.running.id(), "VmHWM") - before;
    // What it may hold, once more while it grows, and what belongs to connections.
    assert!(more < 250 * MIB, "{} MiB", more / MIB);
}

#[test]
fn answers_that_sixty_four_runs_wait_for_fit_one_room() {
    let source = Source::start(6 * MIB);
    let tidegate = Tidegate::new();
    deploy(
        &tidegate,
        "greedy",
        &source.origin(),
        "--limit http_in_flight=4",
    );
    deploy(&tidegate, "modest", &source.origin(), "");
    tidegate.connect("modest", "acme", &source.origin());
    let options = "--runs-held-bytes 67108864 --jobs 80 --jobs-per-integration 64";
    let served = Served::start_with(tidegate, options);
    for number in 0..RUNS {
        let connection = json!({"connection": format!("c{number}"), "base_url": source.origin()});
        served.post("/v1/integrations/greedy/connections", &connection, 201);
    }
    trigger(&served, "modest", "acme", "well");
    ended(&served, "modest", "well");
    let before = memory(served.running.id(), "VmHWM");
    for number in 0..RUNS {
        trigger(
            &served,
            "greedy",
            &format!("c{number}"),
            "many-large-at-once",
        );
    }
    wait_until("all runs to ask all they may", PATIENCE, || {
        (source.asked.load(Ordering::SeqCst) >= RUNS * 4).then_some(())
    });
    // There is no more room, and a run with small answers doesn't need it.
    let begun = Instant::now();
    trigger(&served, "modest", "acme", "ask-once");
    let run = ended(&served, "modest", "ask-once");
    assert_eq!(run["outcome"], "success", "{run}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let run = ended(&served, "greedy", "many-large-at-once");
    source.gate.open();
    assert_eq!(run["failure"]["limit"], "runs_held_bytes", "{run}");
    assert_eq!(run["failure"]["blame"], "host", "{run}");
    assert_eq!(run["failure"]["class"], "transient", "{run}");
    let more = memory(served.running.id(), "VmHWM") - before;
    // Of 1,536 MiB: the room, what each run has of its own, and 256 connections and 64 guests.
    assert!(more < 600 * MIB, "{} MiB", more / MIB);
}

#[test]
fn what_an_input_costs_to_check_is_bounded() {
    let source = Source::start(0);
    let tidegate = Tidegate::new();
    deploy(&tidegate, "picky", &source.origin(), "");
    tidegate.connect("picky", "acme", &source.origin());
    let served = Served::start(tidegate);
    let invoke = |items: usize| {
        let place = "/v1/integrations/picky/connections/acme/actions/picky";
        served.call("POST", place).json(&json!(vec![1; items]))
    };
    invoke(1).ok(400);
    let before = memory(served.running.id(), "VmHWM");
    // A million branches that fail: as many errors, if somebody kept them.
    let calls: Vec<_> = (0..4).map(|_| invoke(5_000).begin_and_leave()).collect();
    let begun = Instant::now();
    trigger(&served, "picky", "acme", "well");
    ended(&served, "picky", "well");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for call in calls {
        let answer = super::client::Answer::read(call).whole();
        let problem = super::expect_problem(&answer, "invalid-request", 400);
        let error = problem["errors"][0].as_str().unwrap();
        assert!(error.contains("too large to say where"), "{problem}");
    }
    let more = memory(served.running.id(), "VmHWM") - before;
    assert!(more < 100 * MIB, "{} MiB", more / MIB);
    // And what is more than may be done at all is not begun.
    let answer = invoke(30_000).send();
    let problem = super::expect_problem(&answer, "invalid-request", 400);
    let error = problem["errors"][0].as_str().unwrap();
    assert!(error.contains("schema_check_steps"), "{problem}");
}
