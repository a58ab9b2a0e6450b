//! Idempotency keys, when they expire, and what their runs returned.

use tidegate_engine::StoreError;
use tidegate_engine::idempotency::KeyRow;
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::request::RequestRow;

use crate::disk::damaged;
use crate::layout::ends;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;

use super::checker::Checker;
use super::{ResumeAt, STEP};

/// Kinds of rows about keys.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Idempotency,
    Expiry,
    Output,
    Request,
    RequestExpiry,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Idempotency,
        Self::Expiry,
        Self::Output,
        Self::Request,
        Self::RequestExpiry,
    ];

    pub(super) fn first(self) -> Key {
        Key::new(match self {
            Self::Idempotency => Tag::Idempotency,
            Self::Expiry => Tag::Expiry,
            Self::Output => Tag::Output,
            Self::Request => Tag::Request,
            Self::RequestExpiry => Tag::RequestExpiry,
        })
    }
}

/// Check rows of one kind from `from` on.
pub(super) fn check(
    look: &mut Checker<'_>,
    kind: Kind,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    look.subject("idempotency keys");
    let prefix = kind.first();
    let end = prefix.after_prefix();
    look.some_rows(from, &end, STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let rest = keys::rest(key, &prefix).map_err(bad)?;
        match kind {
            Kind::Idempotency => {
                let row: KeyRow = rows::decode(value).map_err(bad)?;
                idempotency(look, key, rest, &row)
            }
            Kind::Expiry => {
                let (at, rest) = keys::split_number(rest).map_err(bad)?;
                let place = Key::new(Tag::Idempotency).raw(rest);
                let row: Option<KeyRow> = look.view.row(&place, rows::decode)?;
                // That of a dropped connection stays until it is its time.
                if row.is_some_and(|row| row.expires_at.map(|at| at.0) != Some(at)) {
                    look.wrong_key(key, "the idempotency key does not expire then");
                }
                Ok(())
            }
            Kind::Output => {
                let id = keys::decode_run(rest).map_err(bad)?;
                if look.view.get(&keys::run(id))?.is_none() {
                    look.wrong_key(key, "a result of a run that is not there");
                }
                keys::decode_text(value).map_err(bad).map(drop)
            }
            Kind::Request => {
                let row: RequestRow = rows::decode(value).map_err(bad)?;
                keys::split_api_key(rest).map_err(bad)?;
                let expiry = keys::request_expiry(row.expires_at().0).raw(rest);
                if look.view.get(&expiry)?.is_none() {
                    look.wrong_key(key, "nothing says when it is forgotten");
                }
                Ok(())
            }
            Kind::RequestExpiry => {
                let (at, rest) = keys::split_number(rest).map_err(bad)?;
                let place = Key::new(Tag::Request).raw(rest);
                let row: Option<RequestRow> = look.view.row(&place, rows::decode)?;
                if row.is_none_or(|row| row.expires_at().0 != at) {
                    look.wrong_key(key, "there is no request that is forgotten then");
                }
                Ok(())
            }
        }
    })
}

/// A key has a run, or a job, which holds it or has ended; then it expires.
fn idempotency(
    look: &mut Checker<'_>,
    key: &[u8],
    rest: &[u8],
    row: &KeyRow,
) -> Result<(), StoreError> {
    let (connection, _) = keys::split_number(rest).map_err(|corrupt| damaged(key, corrupt))?;
    let dropped = keys::dropped_connections().number(connection);
    if look.view.get(&dropped)?.is_some() {
        return Ok(());
    }
    // A job that waits may outlive its last run.
    let run = row.run.filter(|_| row.job.is_none() || row.kept);
    if let Some(run) = run {
        let list = keys::runs_of_connection(connection);
        let mut keys = ends::of_runs(None)
            .into_iter()
            .map(|end| list.clone().end(end).run(run));
        if !is_listed(look, &mut keys)? {
            look.wrong_key(key, format!("its run {run} is not one of its connection"));
        }
    }
    match (row.job, row.run) {
        (Some(job), _) => held_by_job(look, key, connection, job, row)?,
        (None, Some(run)) if row.expires_at.is_none() => {
            let held = look.view.get(&keys::running(run))?;
            if held.is_none_or(|held| held != key) {
                look.wrong_key(key, format!("it is held by {run}, which does not hold it"));
            }
        }
        (None, Some(_)) => {}
        (None, None) => look.wrong_key(key, "nobody ever took it"),
    }
    if let Some(at) = row.expires_at
        && look.view.get(&keys::expiry(at.0).raw(rest))?.is_none()
    {
        look.wrong_key(key, "nothing says when it expires");
    }
    Ok(())
}

/// Whether a list has it, whatever has become of it.
fn is_listed(
    look: &Checker<'_>,
    places: &mut dyn Iterator<Item = keys::Key>,
) -> Result<bool, StoreError> {
    for place in places {
        if look.view.get(&place)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The job of a key is one of its connection, and holds it until it has ended.
fn held_by_job(
    look: &mut Checker<'_>,
    key: &[u8],
    connection: u64,
    id: JobId,
    row: &KeyRow,
) -> Result<(), StoreError> {
    let list = keys::jobs_of_connection(connection);
    let mut keys = ends::of_jobs(None)
        .into_iter()
        .map(|end| list.clone().end(end).raw(&id.to_bytes()));
    if !is_listed(look, &mut keys)? {
        look.wrong_key(key, format!("its job {id} is not one of its connection"));
        return Ok(());
    }
    let job: Option<Job> = look.view.row(&keys::job(id), rows::decode)?;
    let holds = job.is_some_and(|job| job.holds_key && job.state.is_active());
    if holds != row.expires_at.is_none() {
        look.wrong_key(
            key,
            format!("it says of {id} whether that holds it, and errs"),
        );
    }
    Ok(())
}
