//! Lists that have to look at more rows than one view shows.

use tidegate_engine::job::{JobId, JobTarget};
use tidegate_engine::schedule::{Definition, Origin, ScheduleId, ScheduleRule};
use tidegate_engine::store::{Backfill, JobFilter, PutSchedule, RefirePolicy};

use super::*;

pub fn a_few_jobs_are_found_among_many<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let schedule = ScheduleId::from_parts(Timestamp(7), 1);
        let target = JobTarget::Action {
            connection: connection("acme"),
            action: name("push"),
            input: "{}".to_owned().into(),
        };
        let every = ScheduleRule::Every {
            every: "10s".parse().unwrap(),
        };
        let put = PutSchedule {
            id: schedule,
            definition: Definition::new(target, vec![every]),
            origin: Origin::User,
            revision: None,
            now: Timestamp(5000),
        };
        store.put_schedule(put).await.unwrap();
        let backfill = Backfill {
            schedule,
            moments: (1..=1300).map(|n| Timestamp(n * 10_000)).collect(),
            again: RefirePolicy::Never,
            now: Timestamp(20_000_000),
        };
        store.backfill(backfill).await.unwrap();

        let list = async |filter: JobFilter| -> Vec<JobId> {
            let jobs = store.jobs(filter).await.unwrap();
            jobs.iter().map(|job| job.id).collect()
        };
        let filter = |limit| JobFilter {
            schedule: Some(schedule),
            limit,
            ..JobFilter::default()
        };
        let all = list(filter(2000)).await;
        assert_eq!(all.len(), 1300);
        assert!(all.is_sorted_by(|a, b| a > b));
        for limit in [0, 1, 500, 501, 1299] {
            assert_eq!(list(filter(limit)).await, all[..limit]);
        }
        let few = [all[0], all[600], all[1299]];
        for id in few {
            store.cancel_job(id, Timestamp(20_000_001)).await.unwrap();
        }
        let cancelled = |limit| JobFilter {
            state: Some("cancelled".into()),
            ..filter(limit)
        };
        assert_eq!(list(cancelled(10)).await, few);
        assert_eq!(list(cancelled(2)).await, few[..2]);
        let older = JobFilter {
            connection: Some(connection("acme")),
            before: Some(few[1]),
            ..cancelled(10)
        };
        assert_eq!(list(older).await, few[2..]);
        let other = JobFilter {
            schedule: Some(ScheduleId::from_parts(Timestamp(7), 2)),
            ..filter(10)
        };
        assert_eq!(list(other).await, []);
    });
}
