//! How fast a model's records are read over HTTP.

use std::time::Instant;

use serde_json::json;

use crate::server::House;
use crate::source::Source;
use crate::{from_env, percentile, rounded};

const ROUNDS: usize = 5;

pub(crate) fn measure() {
    let records = from_env("TIDEGATE_BENCH_RECORDS", 100_000);
    let source = Source::start(records);
    let origin = format!("http://{}", source.address);
    let house = House::new();
    let config = ["--config", "page_size=1000"];
    house.deploy("tests/plugins/bench-source", "bench", &origin, &config);
    house.connect("bench", 1, &origin);
    house.run(&["run", "bench/Contact", "--connection", "c0"]);
    let server = house.serve();
    let place = "/v1/integrations/bench/connections/c0/models/Contact/records?limit=1000";
    let (mut cpu, mut wall, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (before, begin) = (server.cpu(), Instant::now());
        let text = server.text(place, "application/x-ndjson");
        wall.push(begin.elapsed().as_secs_f64());
        cpu.push(server.cpu() - before);
        // The last line is the cursor.
        assert_eq!(text.lines().count(), records + 1);
        bytes = text.len();
    }
    let line = json!({
        "bench": "serve", "figure": "ndjson", "records": records, "bytes_each": bytes / records,
        "per_cpu_second": (records as f64 / percentile(&mut cpu, 50)).round(),
        "per_second": (records as f64 / percentile(&mut wall, 50)).round(),
        "rss_mb": rounded(server.resident_mb()),
    });
    println!("{line}");
}
