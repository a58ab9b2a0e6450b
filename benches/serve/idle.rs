//! What a server costs that has nothing to do.

use std::time::Duration;

use serde_json::json;

use crate::server::House;
use crate::{from_env, rounded};

const CONNECTIONS: usize = 1000;
/// Until what a start does has been done.
const SETTLE: Duration = Duration::from_secs(10);

pub(crate) fn measure() {
    let seconds = from_env("TIDEGATE_BENCH_IDLE_SECONDS", 60);
    let house = House::new();
    let origin = "http://127.0.0.1:9";
    house.deploy("plugins/demo-crm", "crm", origin, &[]);
    house.connect("crm", CONNECTIONS, origin);
    let server = house.serve();
    for number in 0..CONNECTIONS {
        // Every hour, at the minute that is farthest away.
        let minute = (jiff::Timestamp::now().as_second() / 60 + 30) % 60;
        let schedule = json!({
            "integration": "crm", "connection": format!("c{number}"), "sync": "contacts",
            "when": [{"cron": format!("{minute} * * * *"), "timezone": "Etc/UTC"}],
        });
        server.post("/v1/schedules", &schedule);
    }
    std::thread::sleep(SETTLE);
    let before = server.cpu();
    std::thread::sleep(Duration::from_secs(seconds as u64));
    let line = json!({
        "bench": "serve", "figure": "idle", "connections": CONNECTIONS,
        "rss_mb": rounded(server.resident_mb()),
        "cpu_percent": rounded((server.cpu() - before) * 100.0 / seconds as f64),
    });
    println!("{line}");
}
