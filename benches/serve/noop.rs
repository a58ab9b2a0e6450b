//! What schedules and the queue cost by themselves: jobs that do nothing.

use std::time::Instant;

use serde_json::json;
use tidegate_engine::board::Caps;
use tidegate_engine::job::JobTarget;
use tidegate_engine::run::{Figures, Outcome, RunEnd, RunId};
use tidegate_engine::schedule::{Definition, Origin, ScheduleId, When};
use tidegate_engine::store::{Claim, Jobs, PutSchedule, Schedules};
use tidegate_engine::{Name, Store, Timestamp};
use tidegate_store::{Options, SledStore};

use crate::common::{self, cpu};
use crate::{from_env, rounded};

/// As the server does it.
const FIRED_AT_ONCE: usize = 500;
const CLAIMED_AT_ONCE: usize = 32;
const RUNNING: u32 = 64;
/// All schedules are due at this moment.
const MOMENT: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) fn measure() {
    let schedules = from_env("TIDEGATE_BENCH_SCHEDULES", 10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(run(schedules));
}

async fn run(schedules: usize) {
    let folder = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(folder.path(), Options::default()).expect("a store");
    prepare(&store, schedules).await;

    let (mut last, mut fired) = ((cpu(), Instant::now()), 0);
    let mut lap = || {
        let now = (cpu(), Instant::now());
        let took = (now.0 - last.0, (now.1 - last.1).as_secs_f64());
        last = now;
        took
    };
    while fired < schedules {
        fired += store
            .fire_due(MOMENT, FIRED_AT_ONCE)
            .await
            .expect("it fires")
            .len();
    }
    let (fire_cpu, fire_wall) = lap();

    let (mut ended, mut runs) = (0, 0_u128);
    while ended < schedules {
        let mut claimed = Vec::new();
        while claimed.len() < RUNNING as usize && ended + claimed.len() < schedules {
            let wanted = CLAIMED_AT_ONCE.min(schedules - ended - claimed.len());
            let claim = Claim {
                runs: (0..wanted)
                    .map(|n| RunId::from_parts(MOMENT, runs + n as u128))
                    .collect(),
                caps: Caps {
                    total: RUNNING,
                    per_integration: RUNNING,
                    ..Caps::default()
                },
                now: MOMENT,
                lease_until: Timestamp(MOMENT.0 + 30_000),
            };
            runs += wanted as u128;
            claimed.extend(store.claim(claim).await.expect("there are jobs"));
        }
        ended += claimed.len();
        let ends = claimed.iter().map(|claimed| {
            let end = RunEnd {
                at: MOMENT,
                outcome: Outcome::Success,
                failure: None,
                figures: Figures::default(),
            };
            store.finish_run(claimed.run, claimed.started.fence, end)
        });
        futures::future::try_join_all(ends).await.expect("they end");
    }
    let (job_cpu, job_wall) = lap();

    let each = |seconds: f64| rounded(seconds * 1000.0 / schedules as f64);
    let line = json!({
        "bench": "serve", "figure": "noop-fire", "schedules": schedules,
        "cpu_ms": each(fire_cpu + job_cpu), "fire_cpu_ms": each(fire_cpu), "job_cpu_ms": each(job_cpu),
        "fires_per_second": (schedules as f64 / fire_wall).round(),
        "jobs_per_second": (schedules as f64 / job_wall).round(),
    });
    println!("{line}");
}

/// A connection with a schedule, so many times.
async fn prepare(store: &SledStore, schedules: usize) {
    common::deploy(store).await;
    let puts = (0..schedules).map(async |number| {
        let key = common::key(&format!("c{number}"));
        common::connect(store, key.clone()).await;
        let target = JobTarget::Sync {
            connection: key,
            sync: "pull".parse().expect("a name"),
            variant: Name::base_variant(),
            reset: false,
            allow_deletes: false,
        };
        let put = PutSchedule {
            id: ScheduleId::from_parts(Timestamp(1), number as u128),
            definition: Definition::new(target, vec![When::At { at: MOMENT }]),
            origin: Origin::User,
            revision: None,
            now: Timestamp(1),
        };
        store.put_schedule(put).await.expect("it is new");
    });
    futures::future::join_all(puts).await;
}
