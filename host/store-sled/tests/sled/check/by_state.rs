//! Lists by state and outcome read the rows of what they list, and no others: whatever else there is may be
//! damaged, and be as much as it likes.

use tidegate_engine::Timestamp;
use tidegate_engine::job::{JobId, JobTarget};
use tidegate_engine::run::{Outcome, RunEnd, Target};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Claim, JobFilter, RunFilter};
use tidegate_store_sled::SledStore;

use super::raw::Raw;
use super::work_rows::new_job;
use crate::common::*;

const JOBS: u64 = 30;

fn job_id(number: u64) -> JobId {
    JobId::from_parts(Timestamp(100 + number), 1)
}

/// Jobs with a run each. Of every ten one fails for good, and one is cancelled before it begins.
async fn fill(store: &SledStore) {
    set_up(store).await;
    for number in 0..JOBS {
        let connection = connection(if number % 2 == 0 { "acme" } else { "bolt" });
        let target = JobTarget::Action {
            connection,
            action: name("push"),
            input: "{}".to_owned().into(),
        };
        let mut job = new_job(job_id(number), target);
        job.retry.max_attempts = 1;
        store.enqueue(job).await.unwrap();
        if number % 10 == 4 {
            store
                .cancel_job(job_id(number), Timestamp(20_000))
                .await
                .unwrap();
            continue;
        }
        let claim = Claim {
            runs: vec![run_id(30_000 + number)],
            caps: Default::default(),
            now: Timestamp(30_000),
            lease_until: Timestamp(90_000),
        };
        let claimed = store.claim(claim).await.unwrap().remove(0);
        let outcome = match number % 10 {
            7 => Outcome::Failed,
            _ => Outcome::Success,
        };
        let end = RunEnd {
            outcome,
            ..end(40_000)
        };
        store
            .finish_run(claimed.run, claimed.started.fence, end)
            .await
            .unwrap();
    }
    // One that no job is for, and that goes on.
    let target = Target::Sync(sync("acme", "contacts"));
    store.start_run(new_run(50_000, target)).await.unwrap();
}

#[test]
fn a_list_by_state_reads_no_row_of_another() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open(dir.path());
        fill(&store).await;
        store.close().await.unwrap();
    });
    let raw = Raw::open(dir.path());
    for number in (0..JOBS).filter(|number| ![4, 7].contains(&(number % 10))) {
        let (job, run) = (
            job_id(number).to_bytes(),
            run_id(30_000 + number).to_bytes(),
        );
        raw.put(&[&b"J"[..], &job].concat(), b"nonsense");
        raw.put(&[&b"r"[..], &run].concat(), b"nonsense");
    }
    raw.close();
    block_on(async {
        let store = open(dir.path());
        let jobs = async |filter: JobFilter| -> Vec<JobId> {
            let jobs = store.jobs(filter).await.unwrap();
            jobs.iter().map(|job| job.id).collect()
        };
        let by = |state: &str| JobFilter {
            state: Some(state.into()),
            limit: 100,
            ..JobFilter::default()
        };
        assert_eq!(jobs(by("dead")).await, [27, 17, 7].map(job_id));
        assert_eq!(jobs(by("cancelled")).await, [24, 14, 4].map(job_id));
        assert_eq!(jobs(by("expired")).await, []);
        // Page by page, of a connection, of an integration.
        let page = JobFilter {
            before: Some(job_id(17)),
            limit: 1,
            ..by("dead")
        };
        assert_eq!(jobs(page).await, [job_id(7)]);
        let own = JobFilter {
            connection: Some(connection("bolt")),
            ..by("dead")
        };
        assert_eq!(jobs(own).await, [27, 17, 7].map(job_id));
        let own = JobFilter {
            connection: Some(connection("acme")),
            ..by("dead")
        };
        assert_eq!(jobs(own).await, []);
        let own = JobFilter {
            integration: Some(name("crm")),
            limit: 2,
            ..by("dead")
        };
        assert_eq!(jobs(own).await, [27, 17].map(job_id));
        let by = |outcome: &str| RunFilter {
            outcome: Some(outcome.into()),
            limit: 100,
            ..RunFilter::default()
        };
        let runs = async |filter: RunFilter| -> Vec<_> {
            let runs = store.runs(filter).await.unwrap();
            runs.iter().map(|run| run.id).collect()
        };
        let failed = [30_027, 30_017, 30_007].map(run_id);
        assert_eq!(runs(by("failed")).await, failed);
        assert_eq!(runs(by("running")).await, [run_id(50_000)]);
        let page = RunFilter {
            before: Some(failed[0]),
            connection: Some(connection("bolt")),
            limit: 1,
            ..by("failed")
        };
        assert_eq!(runs(page).await, failed[1..2]);
        // What is damaged is told of when it is asked for.
        assert!(store.runs(by("success")).await.is_err());
        // A job moves with what becomes of it.
        store
            .discard_job(job_id(7), Timestamp(60_000))
            .await
            .unwrap();
        store
            .redrive_job(job_id(17), Timestamp(60_000))
            .await
            .unwrap();
        let by = |state: &str| JobFilter {
            state: Some(state.into()),
            limit: 100,
            ..JobFilter::default()
        };
        assert_eq!(jobs(by("dead")).await, [job_id(27)]);
        assert_eq!(jobs(by("discarded")).await, [job_id(7)]);
        assert_eq!(jobs(by("queued")).await, [job_id(17)]);
        store
            .cancel_job(job_id(17), Timestamp(61_000))
            .await
            .unwrap();
        assert_eq!(jobs(by("cancelled")).await, [24, 17, 14, 4].map(job_id));
    });
}
