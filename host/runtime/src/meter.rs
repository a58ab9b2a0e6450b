//! Figures and CPU time of a run, readable while it goes on.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_egress::Session;
use tidegate_engine::Name;
use tidegate_engine::record::Counts;
use tidegate_engine::run::Figures;

/// What a run has done so far. Shared between the run and whoever shows its progress.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    commits: AtomicU64,
    records: AtomicU64,
    skipped: AtomicU64,
    calls: AtomicU64,
    copied: AtomicU64,
    cpu_us: AtomicU64,
    memory_bytes: AtomicU64,
    log_lines: AtomicU64,
    log_lines_dropped: AtomicU64,
    counts: Mutex<BTreeMap<Name, Counts>>,
    session: OnceLock<Session>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            commits: AtomicU64::new(0),
            records: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            cpu_us: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            log_lines: AtomicU64::new(0),
            log_lines_dropped: AtomicU64::new(0),
            counts: Mutex::default(),
            session: OnceLock::new(),
        }
    }
}

impl Meter {
    /// A consistent enough picture of now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let egress = self.session.get().map(Session::figures).unwrap_or_default();
        Figures {
            commits: get(&self.commits),
            counts: self.counts.lock().clone(),
            requests: egress.requests,
            retries: egress.retries,
            statuses: egress.statuses,
            waited: egress.waited,
            bytes_out: egress.bytes_out,
            bytes_in: egress.bytes_in,
            cpu_ms: get(&self.cpu_us) / 1000,
            wall_ms: millis(self.started.elapsed()),
            memory_bytes: get(&self.memory_bytes),
            log_lines: get(&self.log_lines),
            log_lines_dropped: get(&self.log_lines_dropped),
        }
    }

    pub(crate) fn watch_session(&self, session: Session) {
        // A meter belongs to one run; a second session would be a bug, and the first one counts.
        let _ = self.session.set(session);
    }

    /// Count records that were committed.
    pub fn committed(&self, model: &Name, counts: Counts) {
        let mut all = self.counts.lock();
        all.entry(model.clone()).or_default().add(counts);
    }

    pub(crate) fn commit_done(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Count records that the guest hands over; returns the total.
    pub(crate) fn records(&self, more: u64) -> u64 {
        self.records.fetch_add(more, Ordering::Relaxed) + more
    }

    /// Count a record that was skipped; returns how many were before it.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.fetch_add(1, Ordering::Relaxed)
    }

    /// Count a call of the host; returns the total.
    pub(crate) fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Count bytes copied from the guest; returns the total.
    pub(crate) fn copied(&self, more: u64) -> u64 {
        self.copied.fetch_add(more, Ordering::Relaxed) + more
    }

    pub(crate) fn memory(&self, peak: usize) {
        self.memory_bytes.store(peak as u64, Ordering::Relaxed);
    }

    pub(crate) fn logged(&self, kept: u64, dropped: u64) {
        self.log_lines.store(kept, Ordering::Relaxed);
        self.log_lines_dropped.store(dropped, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a run has used up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exhausted {
    Cpu,
    HostCalls,
}

/// Polls a run, adds up the time its polls take, and stops it when a budget is used up.
///
/// The guest yields at every epoch tick, so a poll is never longer than a tick. Time is the
/// thread's wall time during the poll: on a loaded machine it counts more than the CPU did, never
/// less, and reading it costs next to nothing.
pub(crate) struct Metered<'a, F> {
    pub(crate) run: Pin<Box<F>>,
    pub(crate) meter: &'a Meter,
    pub(crate) budget: Duration,
    /// The limit `host_calls`. Our own imports trap at once; calls of WASI are counted only, and
    /// stop the run at the next yield.
    pub(crate) calls_max: u64,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = Result<F::Output, Exhausted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let before = Instant::now();
        let polled = self.run.as_mut().poll(cx);
        let spent = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        let total = self
            .meter
            .cpu_us
            .fetch_add(spent, Ordering::Relaxed)
            .saturating_add(spent);
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if Duration::from_micros(total) > self.budget => {
                Poll::Ready(Err(Exhausted::Cpu))
            }
            Poll::Pending if self.meter.calls.load(Ordering::Relaxed) > self.calls_max => {
                Poll::Ready(Err(Exhausted::HostCalls))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
