//! What schedules and the queue cost by themselves: jobs that do nothing.
//!
//! Each schedule fires twice, and the second time counts: a schedule fires for years. Either all are due
//! in the same minute, spread over it, and each second's jobs run before the next second; or all at once.

use std::time::Instant;

use serde_json::json;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::job::JobTarget;
use tidegate_engine::run::{Figures, Outcome, RunEnd, RunId};
use tidegate_engine::schedule::{Definition, Origin, ScheduleId, ScheduleRule};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Claim, PutSchedule};
use tidegate_engine::{Name, Timestamp};
use tidegate_store_sled::{Options, SledStore};

use crate::common::{self, cpu};
use crate::{from_env, rounded};

/// As the server does it.
const FIRED_AT_ONCE: usize = 500;
const CLAIMED_AT_ONCE: usize = 32;
const RUNNING: u32 = 64;
/// ScheduleRule they are due for the first time, and for the second.
const FIRST: Timestamp = Timestamp(1_800_000_000_000);
const SECOND: Timestamp = Timestamp(FIRST.0 + 3_600_000);

/// Over how many seconds the schedules are due.
#[derive(Clone, Copy)]
struct Spread(usize);

pub(crate) fn measure() {
    let schedules = from_env("TIDEGATE_BENCH_SCHEDULES", 10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    for spread in [Spread(60), Spread(1)] {
        runtime.block_on(run(schedules, spread));
    }
}

async fn run(schedules: usize, spread: Spread) {
    let folder = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(folder.path(), Options::default()).expect("a store");
    prepare(&store, schedules, spread).await;
    let mut round = Round::default();
    round.run(&store, FIRST, spread).await;
    round = Round {
        runs: round.runs,
        ..Round::default()
    };
    round.run(&store, SECOND, spread).await;
    assert_eq!(round.jobs, schedules);

    let each = |seconds: f64| rounded(seconds * 1000.0 / schedules as f64);
    let line = json!({
        "bench": "serve", "figure": "noop-fire", "schedules": schedules, "due_within_seconds": spread.0,
        "cpu_ms": each(round.fire.cpu + round.job.cpu),
        "fire_cpu_ms": each(round.fire.cpu), "job_cpu_ms": each(round.job.cpu),
        "fires_per_second": (schedules as f64 / round.fire.wall).round(),
        "jobs_per_second": (schedules as f64 / round.job.wall).round(),
    });
    println!("{line}");
}

/// Seconds that something took in all.
#[derive(Default)]
struct Took {
    cpu: f64,
    wall: f64,
}

impl Took {
    async fn add<T>(&mut self, what: impl Future<Output = T>) -> T {
        let (cpu_before, began) = (cpu(), Instant::now());
        let done = what.await;
        self.cpu += cpu() - cpu_before;
        self.wall += began.elapsed().as_secs_f64();
        done
    }
}

/// One time that all schedules fire.
#[derive(Default)]
struct Round {
    jobs: usize,
    /// In this and the rounds before.
    runs: u128,
    fire: Took,
    job: Took,
}

impl Round {
    async fn run(&mut self, store: &SledStore, moment: Timestamp, spread: Spread) {
        for second in 0..spread.0 {
            let now = Timestamp(moment.0 + 1000 * second as u64);
            let fired = self.fire.add(fire(store, now)).await;
            self.job.add(work(store, now, fired, self.runs)).await;
            self.jobs += fired;
            self.runs += fired as u128;
        }
    }
}

async fn fire(store: &SledStore, now: Timestamp) -> usize {
    let mut fired = 0;
    while store
        .next_wake()
        .await
        .expect("it is known")
        .is_some_and(|at| at <= now)
    {
        let some = store.fire_due(now, FIRED_AT_ONCE).await;
        fired += some.expect("it fires").len();
    }
    fired
}

async fn work(store: &SledStore, now: Timestamp, jobs: usize, runs: u128) {
    let mut ended = 0;
    while ended < jobs {
        let mut claimed = Vec::new();
        while claimed.len() < RUNNING as usize && ended + claimed.len() < jobs {
            let wanted = CLAIMED_AT_ONCE.min(jobs - ended - claimed.len());
            let first = runs + (ended + claimed.len()) as u128;
            let claim = Claim {
                runs: (first..first + wanted as u128)
                    .map(|n| RunId::from_parts(now, n))
                    .collect(),
                caps: ConcurrencyLimits {
                    total: RUNNING,
                    per_integration: RUNNING,
                    ..ConcurrencyLimits::default()
                },
                now,
                lease_until: Timestamp(now.0 + 30_000),
            };
            claimed.extend(store.claim(claim).await.expect("there are jobs"));
        }
        ended += claimed.len();
        let ends = claimed.iter().map(|claimed| {
            let end = RunEnd {
                at: now,
                outcome: Outcome::Success,
                failure: None,
                figures: Figures::default(),
            };
            store.finish_run(claimed.run, claimed.started.fence, end)
        });
        futures::future::try_join_all(ends).await.expect("they end");
    }
}

/// A connection with a schedule, so many times.
async fn prepare(store: &SledStore, schedules: usize, spread: Spread) {
    common::deploy(store).await;
    let puts = (0..schedules).map(async |number| {
        let key = common::key(&format!("c{number}"));
        common::connect(store, key.clone()).await;
        let target = JobTarget::Sync {
            connection: key,
            sync: "pull".parse().expect("a name"),
            variant: Name::base_variant(),
            reset: false,
            empty: false,
            allow_deletes: false,
        };
        let offset = 1000 * (number * spread.0 / schedules) as u64;
        let moments = [FIRST, SECOND].map(|moment| ScheduleRule::At {
            at: Timestamp(moment.0 + offset),
        });
        let put = PutSchedule {
            id: ScheduleId::from_parts(Timestamp(1), number as u128),
            definition: Definition::new(target, moments.to_vec()),
            origin: Origin::User,
            revision: None,
            now: Timestamp(1),
        };
        store.put_schedule(put).await.expect("it is new");
    });
    futures::future::join_all(puts).await;
}
