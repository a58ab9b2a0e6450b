//! Schedules and jobs: random commands, and what they come to in both stores.

use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::job::{ConcurrencyKey, JobId, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::{Outcome, RunEnd, RunId, Trigger};
use tidegate_engine::schedule::{
    Definition, Misfire, Origin, Overlap, Pause, ScheduleId, ScheduleRule,
};
use tidegate_engine::store::{
    Backfill, Claim, JobFilter, PutSchedule, RefirePolicy, ScheduleFilter,
};

use super::*;

/// Retention is at least as long as an idempotency key is kept.
const DAY: u64 = tidegate_engine::idempotency::KEPT_MS;

#[derive(Debug, Clone)]
pub(crate) enum QueueStep {
    Put {
        schedule: u8,
        shape: u8,
        overlap: u8,
        misfire: u8,
        dedup: bool,
        stale: bool,
    },
    Pause {
        schedule: u8,
        until: Option<u64>,
    },
    Resume {
        schedule: u8,
    },
    RemoveSchedule {
        schedule: u8,
    },
    Fire {
        limit: usize,
    },
    Backfill {
        schedule: u8,
        again: u8,
        moments: u64,
    },
    Enqueue {
        job: u8,
        what: u8,
        key: bool,
        due: u64,
        expires: Option<u64>,
    },
    /// An action that is to act once, under one of the keys that runs have, too.
    EnqueueKeyed {
        connection: usize,
        key: u8,
        input: u8,
    },
    Claim {
        runs: u64,
        caps: u32,
    },
    /// End the run of a slot in some way.
    End {
        slot: u8,
        how: u8,
        commits: u64,
    },
    Heartbeat {
        slot: u8,
        stale: bool,
    },
    Reap,
    Cancel {
        job: u8,
    },
    Redrive {
        job: u8,
    },
    Discard {
        job: u8,
    },
    Later {
        ms: u64,
    },
    Earlier {
        ms: u64,
    },
    Forget {
        age: u64,
        limit: usize,
    },
}

pub(crate) fn work() -> impl Strategy<Value = QueueStep> {
    let later = prop_oneof![6 => 1u64..3_000, 4 => 3_000u64..90_000, 1 => 90_000u64..100_000_000];
    prop_oneof![
        8 => (0u8..6, 0u8..6, 0u8..4, 0u8..3, prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(schedule, shape, overlap, misfire, dedup, stale)| QueueStep::Put { schedule, shape, overlap, misfire, dedup, stale }),
        1 => (0u8..6, prop::option::of(0u64..50_000)).prop_map(|(schedule, until)| QueueStep::Pause { schedule, until }),
        1 => (0u8..6).prop_map(|schedule| QueueStep::Resume { schedule }),
        1 => (0u8..6).prop_map(|schedule| QueueStep::RemoveSchedule { schedule }),
        12 => (1usize..5).prop_map(|limit| QueueStep::Fire { limit }),
        1 => (0u8..6, 0u8..3, 0u64..5).prop_map(|(schedule, again, moments)| QueueStep::Backfill { schedule, again, moments }),
        5 => (0u8..12, 0u8..5, any::<bool>(), 0u64..20_000, prop::option::of(0u64..30_000))
            .prop_map(|(job, what, key, due, expires)| QueueStep::Enqueue { job, what, key, due, expires }),
        3 => (0usize..3, 0u8..3, 0u8..2)
            .prop_map(|(connection, key, input)| QueueStep::EnqueueKeyed { connection, key, input }),
        12 => (1u64..4, 1u32..5).prop_map(|(runs, caps)| QueueStep::Claim { runs, caps }),
        12 => (0u8..5, 0u8..6, 0u64..2).prop_map(|(slot, how, commits)| QueueStep::End { slot, how, commits }),
        2 => (0u8..5, prop::bool::weighted(0.2)).prop_map(|(slot, stale)| QueueStep::Heartbeat { slot, stale }),
        2 => Just(QueueStep::Reap),
        2 => (0u8..12).prop_map(|job| QueueStep::Cancel { job }),
        2 => (0u8..12).prop_map(|job| QueueStep::Redrive { job }),
        1 => (0u8..12).prop_map(|job| QueueStep::Discard { job }),
        10 => later.prop_map(|ms| QueueStep::Later { ms }),
        1 => (60_001u64..10_000_000).prop_map(|ms| QueueStep::Earlier { ms }),
        1 => (1u64..3, 1usize..6).prop_map(|(age, limit)| QueueStep::Forget { age, limit }),
    ]
}

fn schedule_id(number: u8) -> ScheduleId {
    ScheduleId::from_parts(Timestamp(7), number.into())
}

fn target(what: u8) -> JobTarget {
    let sync = |name: &str, sync: &str, reset| JobTarget::Sync {
        connection: connection(name),
        sync: fixtures::name(sync),
        variant: fixtures::name("base"),
        reset,
        empty: false,
        allow_deletes: false,
    };
    match what {
        0 => sync("acme", "contacts", false),
        1 => sync("acme", "deals", false),
        2 => sync("bolt", "contacts", true),
        3 => JobTarget::Action {
            connection: connection("acme"),
            action: fixtures::name("push"),
            input: format!("{{\"long\":\"{}\"}}", "x".repeat(7_000)).into(),
        },
        _ => sync("nobody", "contacts", false),
    }
}

/// A job that may start at `now` and is tried again as usual.
pub(crate) fn job(id: JobId, target: JobTarget, now: Timestamp) -> NewJob {
    NewJob {
        id,
        target,
        trigger: Trigger::Api,
        fire: None,
        priority: Priority::Normal,
        concurrency: None,
        retry: Retry::default(),
        due_at: now,
        expires_at: None,
        idempotency_key: None,
        now,
    }
}

fn when(shape: u8) -> ScheduleRule {
    match shape {
        0 => ScheduleRule::At {
            at: Timestamp(2_030_000_000),
        },
        1 => ScheduleRule::Cron {
            cron: "*/2 * * * *".into(),
            timezone: "Europe/Berlin".into(),
            dst_gap: Default::default(),
        },
        _ => ScheduleRule::Every {
            every: format!("{}s", 10 * u32::from(shape)).parse().unwrap(),
        },
    }
}

impl<B: Backend> Pair<'_, B> {
    pub(crate) async fn work(&mut self, work: &QueueStep) {
        let now = Timestamp(self.now);
        match work {
            QueueStep::Put {
                schedule,
                shape,
                overlap,
                misfire,
                dedup,
                stale,
            } => {
                let mut definition = Definition::new(target(*schedule % 5), vec![when(*shape)]);
                definition.overlap = match overlap {
                    0 => Overlap::Skip,
                    1 => Overlap::QueueOne,
                    2 => Overlap::CancelPrevious,
                    _ => Overlap::Allow { max: 2 },
                };
                definition.misfire = match misfire {
                    0 => Misfire::Latest,
                    1 => Misfire::Skip,
                    _ => Misfire::All,
                };
                definition.spread_ms = u64::from(*shape) * 2_000;
                definition.pause_on_failures = Some(2);
                definition.max_fires = (*shape == 5).then_some(3);
                definition.dedup_key = dedup.then(|| "key".to_owned());
                definition.retry = Retry {
                    max_attempts: 2,
                    first_ms: 1000,
                    max_ms: 1000,
                };
                let put = PutSchedule {
                    id: schedule_id(*schedule),
                    definition,
                    origin: Origin::User,
                    revision: stale.then_some(99),
                    now,
                };
                let _ = both!(self, store => store.put_schedule(put.clone()));
                let puts = vec![put.clone()];
                let _ = both!(self, store => store.ensure_schedules(puts.clone()));
            }
            QueueStep::Pause { schedule, until } => {
                let pause = Pause {
                    at: now,
                    note: "a pause".into(),
                    until: until.map(|ms| Timestamp(self.now + ms)),
                    failures: None,
                };
                let id = schedule_id(*schedule);
                let _ = both!(self, store => store.pause_schedule(id, pause.clone()));
            }
            QueueStep::Resume { schedule } => {
                let id = schedule_id(*schedule);
                let _ = both!(self, store => store.resume_schedule(id, now));
            }
            QueueStep::RemoveSchedule { schedule } => {
                let id = schedule_id(*schedule);
                let _ = both!(self, store => store.remove_schedule(id, now));
            }
            QueueStep::Fire { limit } => {
                both!(self, store => store.fire_due(now, *limit)).unwrap();
            }
            QueueStep::Backfill {
                schedule,
                again,
                moments,
            } => {
                let backfill = Backfill {
                    schedule: schedule_id(*schedule),
                    moments: (0..*moments)
                        .map(|n| Timestamp((now.0 / 10_000 * 10_000).saturating_sub(n * 10_000)))
                        .collect(),
                    again: [
                        RefirePolicy::Never,
                        RefirePolicy::Failed,
                        RefirePolicy::Always,
                    ][usize::from(*again)],
                    now,
                };
                let _ = both!(self, store => store.backfill(backfill.clone()));
            }
            QueueStep::Enqueue {
                job: number,
                what,
                key,
                due,
                expires,
            } => {
                let id = JobId::from_parts(
                    Timestamp(self.now.min(1_000_000 + u64::from(*number))),
                    u128::from(*number),
                );
                let new = NewJob {
                    priority: [Priority::High, Priority::Normal, Priority::Low]
                        [usize::from(number % 3)],
                    concurrency: key.then(|| ConcurrencyKey {
                        key: "k".into(),
                        max: 1,
                    }),
                    due_at: Timestamp(self.now + due),
                    expires_at: expires.map(|ms| Timestamp(self.now + ms)),
                    ..job(id, target(*what), now)
                };
                let _ = both!(self, store => store.enqueue(new.clone()));
            }
            QueueStep::EnqueueKeyed {
                connection: at,
                key,
                input,
            } => {
                // Ids of runs and jobs are apart, numbers may be the same.
                self.next_run += 1;
                let input = format!("{{\"input\": {}}}", input * u8::from(*key > 0));
                let target = JobTarget::Action {
                    connection: connection(CONNECTIONS[*at]),
                    action: fixtures::name("create"),
                    input: input.clone().into(),
                };
                let new = job(JobId::from_parts(now, self.next_run.into()), target, now);
                let key = format!("key-{key}").parse().unwrap();
                let key = tidegate_engine::idempotency::KeyUse::new(key, &input).unwrap();
                for _ in 0..2 {
                    // Asking again finds what there is.
                    let _ = both!(self, store => store.enqueue_keyed(new.clone(), key.clone()));
                }
            }
            QueueStep::Claim { runs, caps } => {
                let first = self.next_run + 1;
                self.next_run += runs;
                let claim = Claim {
                    runs: (first..=self.next_run).map(run_id).collect(),
                    caps: ConcurrencyLimits {
                        total: caps * 2,
                        per_integration: caps + 1,
                        per_connection: *caps,
                    },
                    now,
                    lease_until: Timestamp(self.now + 30_000),
                };
                let claimed = both!(self, store => store.claim(claim.clone())).unwrap();
                for (number, claimed) in (first..).zip(claimed) {
                    let slot = u8::try_from(number % 5).unwrap();
                    self.runs.insert(slot, (number, claimed.started.fence));
                }
            }
            QueueStep::End { slot, how, commits } => {
                let (run, fence) = self.run(*slot);
                let outcome = [
                    Outcome::Success,
                    Outcome::Failed,
                    Outcome::Failed,
                    Outcome::Interrupted,
                    Outcome::Interrupted,
                    Outcome::Cancelled,
                ][usize::from(*how)];
                let class = [
                    FailureClass::Other,
                    FailureClass::Transient,
                    FailureClass::Auth,
                    FailureClass::Limit,
                    FailureClass::Internal,
                    FailureClass::Other,
                ];
                let class = match (*how, *commits % 2) {
                    (1, 1) => FailureClass::Config,
                    (how, _) => class[usize::from(how)],
                };
                let mut end = RunEnd {
                    at: now,
                    outcome,
                    failure: (*how > 0).then(|| Failure::new(class, Blame::Host, "over")),
                    figures: Default::default(),
                };
                end.figures.commits = *commits;
                let run = run_id(run);
                let _ = match *how == 0 && self.holds_key(run).await {
                    true => {
                        let output =
                            format!("\"{}\"", "x".repeat(20_000 * usize::from(*commits > 0)));
                        both!(self, store => store.finish_keyed_run(run, fence, end.clone(), output.clone()))
                    }
                    false => both!(self, store => store.finish_run(run, fence, end.clone())),
                };
            }
            QueueStep::Heartbeat { slot, stale } => {
                let (run, fence) = self.run(*slot);
                let held = vec![(run_id(run), Fence(fence.0 - u64::from(*stale)))];
                // A backend may forget leases when it is opened again, and with them that they were lost.
                let until = Timestamp(self.now + 30_000);
                let _ = self
                    .store
                    .as_ref()
                    .unwrap()
                    .heartbeat(held.clone(), until)
                    .await
                    .unwrap();
                let _ = self.memory.heartbeat(held, until).await.unwrap();
            }
            QueueStep::Reap => {
                let why = Failure::new(FailureClass::Internal, Blame::Host, "its lease ended");
                both!(self, store => store.reap(why.clone(), now)).unwrap();
            }
            QueueStep::Cancel { job } => {
                if let Some(id) = self.some_job(*job).await {
                    let _ = both!(self, store => store.cancel_job(id, now));
                }
            }
            QueueStep::Redrive { job } => {
                if let Some(id) = self.some_job(*job).await {
                    let _ = both!(self, store => store.redrive_job(id, now));
                }
            }
            QueueStep::Discard { job } => {
                if let Some(id) = self.some_job(*job).await {
                    let _ = both!(self, store => store.discard_job(id, now));
                }
            }
            QueueStep::Later { ms } => self.now += ms,
            QueueStep::Earlier { ms } => {
                self.tell_time().await;
                self.now = self.now.saturating_sub(*ms);
                self.tell_time().await;
            }
            QueueStep::Forget { age, limit } => {
                let before = Timestamp(self.now.saturating_sub(age * DAY));
                both!(self, store => store.forget_ended(before, *limit)).unwrap();
            }
        }
        both!(self, store => store.next_wake()).unwrap();
        both!(self, store => store.next_due(Timestamp(self.now))).unwrap();
        both!(self, store => store.queue_figures(Timestamp(self.now))).unwrap();
    }

    /// Let both know what time it is: a store that was opened again knows only when it last fired.
    async fn tell_time(&self) {
        let now = Timestamp(self.now);
        both!(self, store => store.fire_due(now, 0)).unwrap();
    }

    /// What is done whenever a host starts.
    pub(crate) async fn take_up(&self) {
        let figures = self.memory.queue_figures(Timestamp(self.now)).await;
        if figures.unwrap().running > 0 {
            self.recover().await;
        }
        self.tell_time().await;
    }

    /// Whether a run is of a job that holds an idempotency key.
    async fn holds_key(&self, run: RunId) -> bool {
        let Ok(Some(job)) = self.memory.run(run).await.map(|run| run.job) else {
            return false;
        };
        self.memory.job(job).await.is_ok_and(|job| job.holds_key)
    }

    async fn some_job(&self, number: u8) -> Option<JobId> {
        let filter = JobFilter {
            limit: 12,
            ..JobFilter::default()
        };
        let jobs = self.memory.jobs(filter).await.unwrap();
        jobs.get(usize::from(number)).map(|job| job.id)
    }

    pub(crate) async fn list_work(&self) {
        let filter = ScheduleFilter {
            limit: 100,
            ..ScheduleFilter::default()
        };
        let schedules = both!(self, store => store.schedules(filter.clone())).unwrap();
        for schedule in schedules {
            both!(self, store => store.fires(schedule.id, None, 1000)).unwrap();
            let filter = JobFilter {
                schedule: Some(schedule.id),
                limit: 5,
                ..JobFilter::default()
            };
            both!(self, store => store.jobs(filter.clone())).unwrap();
        }
        let filter = JobFilter {
            limit: 1000,
            ..JobFilter::default()
        };
        for job in both!(self, store => store.jobs(filter.clone())).unwrap() {
            both!(self, store => store.job(job.id)).unwrap();
            let _ = both!(self, store => store.job_output(job.id));
        }
        let states = [
            "queued",
            "running",
            "succeeded",
            "dead",
            "cancelled",
            "expired",
            "discarded",
        ];
        for state in states {
            let all = JobFilter {
                state: Some(state.into()),
                limit: 3,
                ..JobFilter::default()
            };
            let own = JobFilter {
                connection: Some(connection("acme")),
                ..all.clone()
            };
            let of_integration = JobFilter {
                integration: Some(name("crm")),
                ..all.clone()
            };
            for filter in [all, own, of_integration] {
                both!(self, store => store.jobs(filter.clone())).unwrap();
            }
        }
    }
}
