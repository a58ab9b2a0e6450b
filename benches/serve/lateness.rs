//! How late schedules fire that are due in the same minute, and what they cost with their runs.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::server::{House, Server};
use crate::{from_env, percentile, rounded};

/// Schedules of one connection: together they must not wait for its places.
const PER_CONNECTION: usize = 10;
/// Most of the minute.
const SPREAD_MS: i64 = 50_000;

pub(crate) fn measure() {
    let schedules = from_env("TIDEGATE_BENCH_SCHEDULES", 10_000);
    let house = House::new();
    let origin = "http://127.0.0.1:9";
    house.deploy("tests/plugins/acts", "acts", origin, &[]);
    house.connect("acts", schedules.div_ceil(PER_CONNECTION), origin);
    let server = house.serve();
    for spread in [SPREAD_MS, 0] {
        one_minute(&server, schedules, spread);
    }
}

fn time(value: &Value) -> i64 {
    let text = value.as_str().expect("a time");
    text.parse::<Timestamp>().expect("a time").as_millisecond()
}

/// Let `schedules` of them be due at the same moment.
fn one_minute(server: &Server, schedules: usize, spread: i64) {
    // Later than making them takes.
    let making = i64::try_from(schedules).expect("some") / 200 + 10;
    let moment = Timestamp::from_second(Timestamp::now().as_second() + making).expect("a time");
    let mut made = Vec::new();
    for number in 0..schedules {
        let schedule = json!({
            "integration": "acts", "connection": format!("c{}", number / PER_CONNECTION),
            "action": "echo", "input": number, "when": [{"at": moment.to_string()}],
            "spread_ms": spread,
        });
        let schedule = server.post("/v1/schedules", &schedule);
        let id = schedule["schedule"].as_str().expect("an id").to_owned();
        made.push((id, time(&schedule["next_start"])));
    }
    assert!(Timestamp::now() < moment, "making them took too long");
    let wait = moment.duration_since(Timestamp::now());
    std::thread::sleep(Duration::try_from(wait).expect("it lies ahead"));
    let (cpu, begin) = (server.cpu(), Instant::now());
    let busy = |state: &str| {
        let page = server.get(&format!("/v1/jobs?state={state}&limit=1"));
        !page["jobs"].as_array().expect("a list").is_empty()
    };
    let last = made.iter().map(|(_, start)| *start).max().expect("some");
    while Timestamp::now().as_millisecond() <= last || busy("queued") || busy("running") {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (cpu, wall) = (server.cpu() - cpu, begin.elapsed().as_secs_f64());
    let mut late = Vec::new();
    for (id, start) in &made {
        let fires = server.get(&format!("/v1/schedules/{id}/fires"));
        let fire = &fires["fires"][0];
        assert_eq!(fire["outcome"], "started", "{fire}");
        late.push((time(&fire["at"]) - start) as f64);
    }
    let line = json!({
        "bench": "serve", "figure": "lateness", "schedules": schedules, "spread_ms": spread,
        "p50_ms": percentile(&mut late, 50), "p99_ms": percentile(&mut late, 99),
        "all_ms": percentile(&mut late, 100),
        "cpu_ms_with_run": rounded(cpu * 1000.0 / schedules as f64), "all_run_after_s": rounded(wall),
    });
    println!("{line}");
}
