//! What an action through the API adds to the request that it sends.

use std::time::Instant;

use serde_json::json;

use crate::server::House;
use crate::source::Source;
use crate::{from_env, percentile, rounded};

/// Calls before those that count.
const WARM_UP: usize = 100;

pub(crate) fn measure() {
    let calls = from_env("TIDEGATE_BENCH_CALLS", 2000);
    let upstream = Source::start(1);
    let origin = format!("http://{}", upstream.address);
    let house = House::new();
    house.deploy("tests/plugins/acts", "acts", &origin, &[]);
    house.connect("acts", 1, &origin);
    let server = house.serve();
    let action = "/v1/integrations/acts/connections/c0/actions/get";
    let input = json!("/records?limit=1");
    let direct = format!("{origin}/records?limit=1");
    let (mut through, mut alone, mut cpu) = (Vec::new(), Vec::new(), 0.0);
    let agent = ureq::Agent::new_with_defaults();
    // Side by side, so that a noisy moment hits both.
    for call in 0..WARM_UP + calls {
        if call == WARM_UP {
            (through, alone, cpu) = (Vec::new(), Vec::new(), server.cpu());
        }
        let begin = Instant::now();
        let mut answer = agent.get(&direct).call().expect("the source answers");
        answer.body_mut().read_to_string().expect("an answer");
        alone.push(begin.elapsed().as_secs_f64() * 1000.0);
        let begin = Instant::now();
        server.post(action, &input);
        through.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let cpu = (server.cpu() - cpu) * 1000.0 / calls as f64;
    let (own, upstream) = (percentile(&mut through, 50), percentile(&mut alone, 50));
    let line = json!({
        "bench": "serve", "figure": "action", "calls": calls,
        "median_ms": rounded(own), "p99_ms": rounded(percentile(&mut through, 99)),
        "upstream_median_ms": rounded(upstream), "added_median_ms": rounded(own - upstream),
        "cpu_ms": rounded(cpu),
    });
    println!("{line}");
}
