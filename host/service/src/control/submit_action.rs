//! Actions that are queued as jobs, and what they returned.

use serde::{Deserialize, Serialize};
use tidegate_engine::idempotency::{IdempotencyKey, Queued};
use tidegate_engine::job::{ConcurrencyKey, Job, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::limits::JOB_INPUT_BYTES;
use tidegate_engine::{ConnectionKey, Name};

use super::jobs::{check_target, new_job_id};
use super::local::Local;
use super::{Invoked, action};
use crate::problem::{Problem, Result};

/// Most jobs with one concurrency key that may run at the same time.
const CONCURRENCY_MAX: u32 = 100;
/// Longest concurrency key.
const KEY_BYTES_MAX: usize = 255;
/// Before each of them in the queue.
const KEY_PREFIX: &str = "key:";

/// An action to run when its turn comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitAction {
    pub connection: ConnectionKey,
    pub action: Name,
    /// JSON text.
    pub input: String,
    /// Under which it acts once. Without one the job's id is its key.
    pub idempotency_key: Option<IdempotencyKey>,
    pub priority: Priority,
    pub concurrency: Option<ConcurrencyKey>,
}

/// What comes of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ActionSubmission {
    /// The job that does it, or has done it, under this key.
    Job(Box<Job>),
    /// Somebody who waited has the result of a run under this key.
    Done(Box<Invoked>),
}

pub(super) async fn invoke_later(local: &Local, request: SubmitAction) -> Result<ActionSubmission> {
    let SubmitAction {
        connection,
        action,
        input,
        idempotency_key,
        priority,
        concurrency,
    } = request;
    let bytes = input.len() as u64;
    if bytes > JOB_INPUT_BYTES {
        return Err(Problem::invalid(format!(
            "the input of {action} has {bytes} bytes; the limit job_input_bytes is {JOB_INPUT_BYTES}"
        )));
    }
    let concurrency = concurrency.map(checked).transpose()?;
    let target = JobTarget::Action {
        connection,
        action,
        input: input.into(),
    };
    check_target(local, &target).await?;
    let now = local.clock.now();
    let id = new_job_id(now)?;
    let key = match idempotency_key {
        Some(key) => key,
        None => id.to_string().parse().map_err(Problem::internal)?,
    };
    let input = target.input().unwrap_or_default();
    let used = action::key_use(key, target.name(), input)?;
    let job = NewJob {
        id,
        target,
        trigger: local.trigger(),
        fire: None,
        priority,
        concurrency,
        retry: Retry::default(),
        due_at: now,
        expires_at: None,
        idempotency_key: None,
        now,
    };
    let queued = local.store.enqueue_keyed(job, used).await?;
    local.jobs_changed.notify();
    Ok(match queued {
        Queued::Job(job) => ActionSubmission::Job(job),
        Queued::Kept(kept) => ActionSubmission::Done(Box::new(Invoked {
            run: kept.run,
            output: kept.output,
            repeated: true,
        })),
    })
}

/// A concurrency key as the queue is to have it: apart from those of schedules, which are their ids.
fn checked(wanted: ConcurrencyKey) -> Result<ConcurrencyKey> {
    let ConcurrencyKey { key, max } = wanted;
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len());
    if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::invalid(format!(
            "concurrency_key: it has 1 to {KEY_BYTES_MAX} visible ASCII characters"
        )));
    }
    if !(1..=CONCURRENCY_MAX).contains(&max) {
        return Err(Problem::invalid(format!(
            "concurrency: it is 1 to {CONCURRENCY_MAX}"
        )));
    }
    Ok(ConcurrencyKey {
        key: format!("{KEY_PREFIX}{key}"),
        max,
    })
}

/// The key of a job as its caller has given it; `None` if it is a schedule's.
pub(super) fn as_wanted(queued: &ConcurrencyKey) -> Option<ConcurrencyKey> {
    let key = queued.key.strip_prefix(KEY_PREFIX)?.to_owned();
    let max = queued.max;
    Some(ConcurrencyKey { key, max })
}
