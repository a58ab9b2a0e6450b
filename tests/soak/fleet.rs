//! The fleet: one integration, its connections, a schedule for each, an endpoint that hears of all.

use std::fmt::Write;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::lives::Lives;
use crate::receiver::Receiver;
use crate::source::Source;
use crate::support::cli::{Cmd, Tidegate};
use crate::support::{plugins, wait_until};

/// Seconds between two moments of a schedule.
pub const EVERY: i64 = 10;
/// How many clients add schedules at once.
const HANDS: usize = 8;
/// How long the last jobs may take, those included that are to be tried again.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is set up, without a server.
#[derive(Debug)]
pub struct Fleet {
    tidegate: Tidegate,
    pub connections: usize,
    pub key: String,
}

impl Fleet {
    pub fn prepare(source: &Source, receiver: &Receiver, connections: usize) -> Self {
        let tidegate = Tidegate::new();
        tidegate.deploy(&plugins::demo_crm(), "crm", &source.origin());
        tidegate
            .cmd("deploy")
            .arg(plugins::demo_crm())
            .words("--as crm --yes --limit http_timeout_ms=2000")
            .ok();
        let rows = (0..connections).fold(String::new(), |mut rows, connection| {
            let base_url = format!("{}/{connection}", source.origin());
            let row = json!({"connection": format!("c{connection}"), "base_url": base_url,
                "config": {"page_size": 4}});
            writeln!(rows, "{row}").unwrap();
            rows
        });
        let file = tidegate.data().join("../connections.jsonl");
        std::fs::write(&file, rows).unwrap();
        let import = tidegate.cmd("connections import crm").arg(&file);
        import.ok();
        let endpoint = format!(
            "webhooks add {} --event run.finished --event run.failed",
            receiver.url()
        );
        tidegate.cmd(&endpoint).ok();
        let made = tidegate
            .cmd("api-keys create --name soak --scope manage --rate-limit 1000000/1s --json")
            .ok()
            .json();
        Self {
            tidegate,
            connections,
            key: made["api_key"].as_str().unwrap().to_owned(),
        }
    }

    /// The command that starts a server.
    pub fn serve(&self) -> Cmd {
        self.tidegate
            .cmd("serve --listen 127.0.0.1:0 --log-level warn --webhook-allow-private 127.0.0.0/8")
    }

    /// A schedule for each connection, which ends after `fires_for`; returns when.
    pub fn schedule_all(&self, lives: &Lives, fires_for: Duration) -> Timestamp {
        let end = Timestamp::now() + SignedDuration::try_from(fires_for).unwrap();
        std::thread::scope(|scope| {
            for hand in 0..HANDS {
                let client = lives.client();
                scope.spawn(move || {
                    for connection in (hand..self.connections).step_by(HANDS) {
                        let overlap = ["skip", "queue_one"][connection % 2];
                        let schedule = json!({
                            "integration": "crm", "connection": format!("c{connection}"),
                            "sync": "contacts", "when": [{"every": format!("{EVERY}s")}],
                            "end_at": end.to_string(), "overlap": {"policy": overlap},
                            "spread_ms": EVERY * 1000, "dedup_key": format!("soak-{connection}"),
                        });
                        client.post("/v1/schedules", &schedule);
                    }
                });
            }
        });
        end
    }

    /// Wait until no job waits or runs.
    #[track_caller]
    pub fn drain(&self, lives: &Lives) {
        let client = lives.client();
        wait_until("all jobs to end", PATIENCE, || {
            let left = ["queued", "running"].iter().any(|state| {
                let page = client.get(&format!("/v1/jobs?state={state}&limit=1"));
                !page["jobs"].as_array().unwrap().is_empty()
            });
            (!left).then_some(())
        });
    }
}
