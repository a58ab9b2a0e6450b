//! What events say of a job that goes on after a failed attempt.

use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::job::{JobId, JobState, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::{RunEnd, Trigger};
use tidegate_engine::store::Claim;

use super::*;

/// Longer than the test.
const LEASE_MS: u64 = 1_000_000;

pub fn a_failure_says_when_it_is_tried_again<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        let job = NewJob {
            id: JobId::from_parts(Timestamp(10), 1),
            target: JobTarget::Sync {
                connection: connection("acme"),
                sync: name("contacts"),
                variant: name("base"),
                reset: false,
                empty: false,
                allow_deletes: false,
            },
            trigger: Trigger::Api,
            fire: None,
            priority: Priority::Normal,
            concurrency: None,
            retry: Retry {
                max_attempts: 2,
                ..Retry::default()
            },
            due_at: Timestamp(10),
            expires_at: None,
            idempotency_key: None,
            now: Timestamp(10),
        };
        let id = store.enqueue(job).await.unwrap().id;
        let mut now = 10;
        for attempt in 1..=2 {
            let claim = Claim {
                runs: vec![run_id(now)],
                caps: ConcurrencyLimits::default(),
                now: Timestamp(now),
                lease_until: Timestamp(now + LEASE_MS),
            };
            let claimed = store.claim(claim).await.unwrap().remove(0);
            let end = RunEnd {
                outcome: Outcome::Failed,
                failure: Some(Failure::new(FailureClass::Transient, Blame::Upstream, "no")),
                ..end(now + 1)
            };
            let fence = claimed.started.fence;
            store.finish_run(run_id(now), fence, end).await.unwrap();
            let told = webhooks::due(store, now + 1).await.deliveries.remove(0);
            let data = webhooks::data(&told.event);
            assert_eq!(data["attempt"], attempt);
            let job = store.job(id).await.unwrap();
            if attempt == 2 {
                assert_eq!(
                    (job.state, &data["retry_at"]),
                    (JobState::Dead, &serde_json::Value::Null)
                );
                return;
            }
            now = job.due_at.0;
            let retry_at: jiff::Timestamp = data["retry_at"].as_str().unwrap().parse().unwrap();
            assert_eq!(retry_at.as_millisecond(), i64::try_from(now).unwrap());
            let (endpoint, event) = (told.endpoint.id, told.event.seq);
            let taken = webhooks::attempt(now, 204);
            store
                .settle_delivery(endpoint, event, 0, taken)
                .await
                .unwrap();
        }
    });
}
