//! Who may have an idempotency key.

use crate::error::StoreError;
use crate::idempotency::KeyUse;
use crate::job::{Job, JobTarget};
use crate::run::{NewRun, Target};
use crate::{ConnectionKey, Name};

/// The action that a run to be started under an idempotency key is of.
pub fn action_of(new: &NewRun) -> Result<(&ConnectionKey, &Name), StoreError> {
    match &new.target {
        Target::Action { connection, action } => Ok((connection, action)),
        other => Err(StoreError::NotFound {
            what: "action that is run by",
            name: format!("{} {}", other.kind(), other.name()),
        }),
    }
}

/// The action that a job to be queued under an idempotency key is of.
pub fn action_of_job(target: &JobTarget) -> Result<(&ConnectionKey, &Name), StoreError> {
    match target {
        JobTarget::Action {
            connection, action, ..
        } => Ok((connection, action)),
        JobTarget::Sync { .. } | JobTarget::Event { .. } => Err(StoreError::NotFound {
            what: "action that is run by",
            name: format!("{} {}", target.kind(), target.name()),
        }),
    }
}

/// The key that a job holds, for its input; `None` if it holds none.
pub fn key_of_job(job: &Job) -> Result<Option<KeyUse>, StoreError> {
    let key = job.idempotency_key.clone().filter(|_| job.holds_key);
    let (Some(key), Some(input)) = (key, job.target.input()) else {
        return Ok(None);
    };
    let used = KeyUse::new(key, input).map_err(|error| StoreError::Damaged {
        place: job.id.to_string(),
        reason: format!("its input can't be compared: {error}"),
    })?;
    Ok(Some(used))
}

/// Whether a connection that has so many idempotency keys may have another.
pub fn check_room(connection: &ConnectionKey, keys: u64, most: u64) -> Result<(), StoreError> {
    if keys < most {
        return Ok(());
    }
    let connection = connection.clone();
    Err(StoreError::ManyKeys { connection, keys })
}
