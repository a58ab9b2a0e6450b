//! How soon a guest that never waits is stopped once somebody cancels its run.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::House;
use crate::{percentile, rounded};

const ROUNDS: usize = 40;

pub(crate) fn measure() {
    for beside in [0, 8] {
        cancel(beside);
    }
}

/// With so many other runs that never wait either.
fn cancel(beside: usize) {
    let house = House::new();
    let origin = "http://127.0.0.1:9";
    house.deploy("tests/plugins/acts", "acts", origin, &[]);
    house.connect("acts", 1 + beside, origin);
    let server = house.serve();
    for number in 1..=beside {
        let action = format!("/v1/integrations/acts/connections/c{number}/actions/loop");
        server.post_later(&action, &json!(null));
    }
    std::thread::sleep(Duration::from_millis(500));
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        std::thread::scope(|scope| {
            let action = "/v1/integrations/acts/connections/c0/actions/loop";
            let ended = scope.spawn(|| {
                // It is cancelled, which is a status of its own.
                server.try_post(action, &json!(null));
                Instant::now()
            });
            let run = loop {
                let runs = server.get("/v1/runs?limit=1&connection=c0&integration=acts");
                let run = &runs["runs"][0];
                if run["outcome"] == "running" {
                    break run["run"].as_str().expect("an id").to_owned();
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            std::thread::sleep(Duration::from_millis(20));
            let begin = Instant::now();
            server.try_post(&format!("/v1/runs/{run}/cancel"), &json!({}));
            let ended = ended.join().expect("an answer");
            took.push(ended.duration_since(begin).as_secs_f64() * 1000.0);
        });
    }
    let line = json!({
        "bench": "serve", "figure": "cancel", "runs": ROUNDS, "beside": beside,
        "median_ms": rounded(percentile(&mut took, 50)), "all_ms": rounded(percentile(&mut took, 100)),
    });
    println!("{line}");
}
