//! Lanes of reads: how many go on at the same time.
//!
//! A read takes a thread and a core. Those of a few rows and those of large pages have lanes of their own, so that
//! however many large pages are asked for, a small read waits for none of them. A large page is read in parts,
//! and whoever wants the next one queues again: so those who read large pages share their lane evenly.

use std::sync::Arc;

use tidegate_engine::StoreError;
use tidegate_engine::store::{Changes, ReadChanges};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SledStore;
use super::ways::blocking;

/// What one part of a page has at most.
const PART_RECORDS: usize = 500;
const PART_BYTES: usize = 256 * 1024;
/// A page of so many records is small; so is its first part, whatever they weigh.
const SMALL_RECORDS: usize = 200;

/// How many reads may go on at the same time.
#[derive(Debug)]
pub(super) struct Lanes {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A place in a lane.
pub(super) type Place = Result<OwnedSemaphorePermit, StoreError>;

impl Lanes {
    /// Half of the cores for large reads: the others are for what becomes of what they have read. Small ones take less
    /// time than it takes to be given a core, so there may be some more.
    pub(super) fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(4.max(2 * cores), cores.div_ceil(2))
    }

    fn new(small: usize, large: usize) -> Self {
        Self {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new(large)),
        }
    }

    pub(super) async fn small(&self) -> Place {
        place(&self.small).await
    }

    pub(super) async fn large(&self) -> Place {
        place(&self.large).await
    }
}

/// First come, first served.
async fn place(lane: &Arc<Semaphore>) -> Place {
    let place = Arc::clone(lane).acquire_owned().await;
    place.map_err(|_| StoreError::Backend("the store is closed".into()))
}

impl SledStore {
    /// Work that may take long, off the async threads.
    pub(crate) async fn large<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        let place = self.lanes.large().await?;
        // Given back when it is done, even if nobody waits for it any more.
        blocking(move || {
            let done = work();
            drop(place);
            done
        })
        .await
    }

    /// A page of a change feed, in parts.
    pub(super) async fn changes_in_parts(&self, read: ReadChanges) -> Result<Changes, StoreError> {
        let is_small = read.limit <= SMALL_RECORDS;
        let mut left = read;
        let mut page: Option<Changes> = None;
        loop {
            let part = ReadChanges {
                limit: left.limit.min(PART_RECORDS),
                bytes_max: left.bytes_max.min(PART_BYTES),
                ..left.clone()
            };
            let wanted = (part.limit, part.bytes_max);
            let found = match is_small && page.is_none() {
                true => self.read(move |reader| reader.changes(&part)).await?,
                false => {
                    let reader = Arc::clone(&self.reader);
                    self.large(move || reader.changes(&part)).await?
                }
            };
            let bodies = found
                .records
                .iter()
                .filter_map(|record| record.body.as_ref());
            let bytes: usize = bodies.map(String::len).sum();
            let records = found.records.len();
            // Otherwise it has looked at as many as one read may.
            let is_full = records >= wanted.0 || bytes >= wanted.1;
            left.after = Some(found.next);
            left.limit = left.limit.saturating_sub(records);
            left.bytes_max = left.bytes_max.saturating_sub(bytes);
            let is_done = !found.more || !is_full || left.limit == 0 || left.bytes_max == 0;
            let whole = match page.take() {
                Some(mut page) => {
                    page.records.extend(found.records);
                    (page.next, page.more) = (found.next, found.more);
                    page
                }
                None => found,
            };
            if is_done {
                return Ok(whole);
            }
            page = Some(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tidegate_engine::Store;

    use super::*;
    use crate::common::*;

    /// Holds whoever comes until it is opened.
    #[derive(Default)]
    struct Gate {
        open: Mutex<bool>,
        opened: Condvar,
    }

    impl Gate {
        fn pass(&self) {
            let mut open = self.open.lock().unwrap();
            while !*open {
                open = self.opened.wait(open).unwrap();
            }
        }

        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn large_reads_wait_for_each_other_and_small_ones_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(open(dir.path()));
        set_up(&*store).await;
        let places = store.lanes.large.available_permits();
        let (gate, running) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (store, gate) = (Arc::clone(&store), Arc::clone(&gate));
            let running = Arc::clone(&running);
            readers.spawn(async move {
                let read = move || {
                    let most = running.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.pass();
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(most)
                };
                store.large(read).await.unwrap()
            });
        }
        while running.load(Ordering::SeqCst) < places {
            tokio::task::yield_now().await;
        }
        // All places are taken, and whoever reads little is answered.
        for _ in 0..100 {
            store.models(&connection("acme")).await.unwrap();
            store.ready().await.unwrap();
        }
        let mut small = read(model("acme", "Contact"));
        small.limit = 100;
        store.read_changes(small).await.unwrap();
        gate.open();
        while let Some(most) = readers.join_next().await {
            assert!(most.unwrap() <= places);
        }
    }

    #[tokio::test]
    async fn a_page_in_parts_is_the_page() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let (run, fence) = start(&store, 1).await;
        let body = format!("{{\"text\":\"{}\"}}", "x".repeat(500));
        let ids: Vec<String> = (0..1700).map(|number| format!("r{number:04}")).collect();
        let records: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), &*body)).collect();
        let saved = commit(vec![page("Contact", &records, &[])], 10);
        store.commit_page(run, fence, saved).await.unwrap();
        // Limits of a page, and how many records it then has.
        let rows = [
            (10_000, usize::MAX, 1700),
            (1000, usize::MAX, 1000),
            (150, usize::MAX, 150),
            (10_000, 1, 1),
            (10_000, 600_000, 600_000usize.div_ceil(body.len())),
            (150, 300 * body.len(), 150),
        ];
        for (limit, bytes_max, want) in rows {
            let wanted = ReadChanges {
                limit,
                bytes_max,
                ..read(model("acme", "Contact"))
            };
            let whole = store.reader.changes(&wanted).unwrap();
            let parts = store.read_changes(wanted).await.unwrap();
            assert_eq!(parts, whole, "{limit} {bytes_max}");
            assert_eq!(parts.records.len(), want, "{limit} {bytes_max}");
        }
    }
}
