//! Bytes that the host holds for calls of guests that have not ended: a run's own share of them, and
//! one pool that all runs together draw from.
//!
//! A byte of an answer counts from when it has come (decompressed) until the guest has it (its share goes
//! along with the response), a byte of a call from when it was copied out of the guest until the call ends. What a run may hold is its limit
//! `host_held_bytes`; beyond it, its call is refused. What all may hold is `runs_held_bytes`; beyond
//! it, a call waits until others give back what they hold, and is refused after `runs_held_wait_ms`.
//! That wait can't last: whoever waits for room gives up in time what it holds itself. The first bytes of
//! each run are its own, so that runs with small answers go on beside any that fill the pool.

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::limits::{RUNS_HELD_BYTES, RUNS_HELD_WAIT_MS};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted at once. Shares are rounded up to it.
const UNIT: u64 = 1024;

/// What each run holds before it draws from what is for all: some ordinary pages.
const OWN_BYTES: u64 = 512 * 1024;

/// What all runs of a process may hold together. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct Pool {
    free: Arc<Semaphore>,
    bytes: u64,
    wait: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(RUNS_HELD_BYTES)
    }
}

impl Pool {
    /// A pool of this many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            free: Arc::new(Semaphore::new(semaphore_units(bytes))),
            bytes,
            wait: Duration::from_millis(RUNS_HELD_WAIT_MS),
        }
    }

    /// What it has in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is free now.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free.available_permits() as u64 * UNIT
    }

    /// What one run may hold of it.
    #[must_use]
    pub fn account(&self, most: u64) -> Account {
        Account {
            pool: self.clone(),
            free: Arc::new(Semaphore::new(semaphore_units(most))),
            own: Arc::new(Semaphore::new(semaphore_units(OWN_BYTES))),
            most,
        }
    }
}

/// What one run may hold. Clones are the same account.
#[derive(Debug, Clone)]
pub struct Account {
    pool: Pool,
    free: Arc<Semaphore>,
    own: Arc<Semaphore>,
    most: u64,
}

/// Why more can't be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overdrawn {
    /// The run holds too much itself.
    #[error(
        "the run's calls that have not ended hold more than the limit host_held_bytes = {most}; have \
         fewer or smaller ones at once, or ask the operator to raise the limit"
    )]
    Run { most: u64 },
    /// All runs together hold too much, and nobody gave any of it back in time.
    #[error(
        "the calls of all runs hold what the limit runs_held_bytes = {bytes} allows, and no room came \
         within the limit runs_held_wait_ms = {RUNS_HELD_WAIT_MS}; a later run may find some"
    )]
    All { bytes: u64 },
}

impl Overdrawn {
    /// The limit, by its name in `tidegate_engine::limits`.
    #[must_use]
    pub fn limit(&self) -> &'static str {
        match self {
            Self::Run { .. } => "host_held_bytes",
            Self::All { .. } => "runs_held_bytes",
        }
    }

    /// The limit's value.
    #[must_use]
    pub fn most(&self) -> u64 {
        match self {
            Self::Run { most } => *most,
            Self::All { bytes } => *bytes,
        }
    }
}

impl Account {
    /// A share of nothing, which can grow.
    #[must_use]
    pub fn open(&self) -> Share {
        Share {
            account: self.clone(),
            of_run: None,
            of_own: None,
            of_all: None,
        }
    }

    /// A share of this much.
    pub async fn hold(&self, bytes: u64) -> Result<Share, Overdrawn> {
        let mut share = self.open();
        share.grow_to(bytes).await?;
        Ok(share)
    }

    /// A share of nothing yet, with room for this much in the run's own part: it waits until other calls
    /// of the run have ended. Of what all runs share it takes nothing before there is something to
    /// hold: who claims a length need not send it.
    pub async fn expect(&self, bytes: u64) -> Result<Share, Overdrawn> {
        if bytes > self.most {
            return Err(Overdrawn::Run { most: self.most });
        }
        let mut share = self.open();
        if bytes > 0 {
            let of_run = Arc::clone(&self.free).acquire_many_owned(units(bytes));
            share.of_run = of_run.await.ok();
        }
        Ok(share)
    }

    /// What is left of the run's own, up to this much.
    fn of_own(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        let left = u32::try_from(self.own.available_permits()).unwrap_or(u32::MAX);
        let units = left.min(units);
        Arc::clone(&self.own).try_acquire_many_owned(units).ok()
    }

    async fn of_all(&self, units: u32) -> Result<OwnedSemaphorePermit, Overdrawn> {
        let pool = &self.pool;
        let all = || Overdrawn::All { bytes: pool.bytes };
        if let Ok(permit) = Arc::clone(&pool.free).try_acquire_many_owned(units) {
            return Ok(permit);
        }
        if u64::from(units) * UNIT > pool.bytes {
            return Err(all());
        }
        let permit = Arc::clone(&pool.free).acquire_many_owned(units);
        let permit = tokio::time::timeout(pool.wait, permit).await;
        permit.map_err(|_| all())?.map_err(|_| all())
    }
}

/// Bytes that are held. Dropping it gives them back.
#[derive(Debug)]
pub struct Share {
    account: Account,
    of_run: Option<OwnedSemaphorePermit>,
    of_own: Option<OwnedSemaphorePermit>,
    of_all: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// What it has room for.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(held(&self.of_own) + held(&self.of_all)) * UNIT
    }

    /// Have room for this many bytes in all. It waits for other runs, not for the run's own calls.
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Overdrawn> {
        let units = units(bytes);
        let of_run = units.saturating_sub(held(&self.of_run));
        if of_run > 0 {
            let most = self.account.most;
            let permit = Arc::clone(&self.account.free).try_acquire_many_owned(of_run);
            add(
                &mut self.of_run,
                permit.map_err(|_| Overdrawn::Run { most })?,
            );
        }
        let more = units.saturating_sub(held(&self.of_own) + held(&self.of_all));
        let of_own = self.account.of_own(more);
        let of_all = more - held(&of_own);
        if let Some(of_own) = of_own {
            add(&mut self.of_own, of_own);
        }
        if of_all > 0 {
            add(&mut self.of_all, self.account.of_all(of_all).await?);
        }
        Ok(())
    }
}

fn held(permit: &Option<OwnedSemaphorePermit>) -> u32 {
    let permits = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    u32::try_from(permits).unwrap_or(u32::MAX)
}

fn add(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

/// Rounded up. What doesn't fit is more than any limit may be.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

fn semaphore_units(bytes: u64) -> usize {
    let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
    units.min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const KIB: u64 = 1024;
    /// What is drawn from the pool when this much more than a run's own is held.
    const fn beyond_own(bytes: u64) -> u64 {
        OWN_BYTES + bytes
    }

    #[tokio::test]
    async fn a_run_is_refused_what_is_beyond_its_own_share() {
        let pool = Pool::new(1024 * KIB);
        let account = pool.account(10 * KIB);
        let mut share = account.hold(6 * KIB).await.unwrap();
        let refused = account.hold(5 * KIB).await.unwrap_err();
        assert_eq!(refused.limit(), "host_held_bytes");
        share.grow_to(10 * KIB).await.unwrap();
        share.grow_to(3).await.unwrap();
        assert_eq!(share.bytes(), 10 * KIB, "it never shrinks");
        let refused = share.grow_to(10 * KIB + 1).await;
        assert_eq!(refused, Err(Overdrawn::Run { most: 10 * KIB }));
        drop(share);
        assert!(account.hold(10 * KIB).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_expected_waits_for_the_runs_own_calls() {
        let account = Pool::new(1024 * KIB).account(beyond_own(10 * KIB));
        let first = account.expect(beyond_own(8 * KIB)).await.unwrap();
        let mut second = Box::pin(account.expect(beyond_own(8 * KIB)));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        let mut second = second.await.unwrap();
        assert_eq!(
            account.pool.free_bytes(),
            1024 * KIB,
            "nothing has come yet"
        );
        second.grow_to(beyond_own(8 * KIB)).await.unwrap();
        assert_eq!(account.pool.free_bytes(), 1016 * KIB);
        assert!(second.grow_to(beyond_own(11 * KIB)).await.is_err());
        let never = account.expect(beyond_own(11 * KIB)).await;
        assert_eq!(never.unwrap_err().limit(), "host_held_bytes");
    }

    #[tokio::test]
    async fn all_together_wait_and_then_fail_by_name() {
        let pool = Pool {
            wait: Duration::from_millis(20),
            ..Pool::new(10 * KIB)
        };
        let most = beyond_own(100 * KIB);
        let (one, other) = (pool.account(most), pool.account(most));
        let first = one.hold(beyond_own(8 * KIB)).await.unwrap();
        // Its own is there whatever others hold.
        let small = other.hold(OWN_BYTES).await.unwrap();
        let mut waiting = Box::pin(other.hold(4 * KIB));
        assert!((&mut waiting).now_or_never().is_none());
        drop(first);
        let second = waiting.await.unwrap();
        let refused = one.hold(beyond_own(8 * KIB)).await.unwrap_err();
        assert_eq!(refused.limit(), "runs_held_bytes");
        let hints = refused.to_string();
        assert!(hints.contains("runs_held_bytes = 10240"), "{hints}");
        // What could never fit is not waited for.
        let never = one.hold(beyond_own(11 * KIB)).now_or_never();
        assert!(never.unwrap().is_err());
        drop((second, small));
        // Who gave up holds nothing of either.
        assert_eq!(pool.free_bytes(), 10 * KIB);
        assert!(one.hold(beyond_own(10 * KIB)).await.is_ok());
    }
}
