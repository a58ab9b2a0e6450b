//! Lanes of reads: how many go on at the same time.
//!
//! A read takes a thread and a core. Those of a few rows and those of large pages have lanes of their own, so that
//! however many large pages are asked for, a small read waits for none of them. A large page is read in parts,
//! and whoever wants the next one queues again: so those who read large pages share their lane evenly.

use std::sync::Arc;

use tidegate_engine::StoreError;
use tidegate_engine::record::Record;
use tidegate_engine::store::{Changes, ReadChanges, SMALL_READ};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SledStore;
use super::access::blocking;

/// What one part of a page has at most.
const PART_RECORDS: usize = 500;
const PART_BYTES: usize = 256 * 1024;

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

    /// A page of a change feed, in parts. It is as good as one that is read at once: what is pruned between two parts
    /// is what a reader meets anyway, and of a feed that is dropped it has what was read before.
    pub(super) async fn changes_in_parts(&self, read: ReadChanges) -> Result<Changes, StoreError> {
        let is_small = read.limit <= SMALL_READ;
        let mut left = read;
        let mut part = part_of(&left);
        let (first, reader) = (part.clone(), Arc::clone(&self.reader));
        let (mut page, mut place) = match is_small {
            true => self.read(move |reader| reader.changes(&first)).await?,
            false => self.large(move || reader.changes(&first)).await?,
        };
        let mut own = size_of(&page.records);
        loop {
            let (records, bytes) = own;
            left.limit = left.limit.saturating_sub(records);
            left.bytes_max = left.bytes_max.saturating_sub(bytes);
            // Otherwise it has looked at as many as one read may.
            let is_full = records >= part.limit || bytes >= part.bytes_max;
            if !page.more || !is_full || left.limit == 0 || left.bytes_max == 0 {
                return Ok(page);
            }
            part = part_of(&left);
            let (next, reader) = (part.clone(), Arc::clone(&self.reader));
            let found = self.large(move || reader.go_on(&next, place)).await?;
            let Some((found, come_to)) = found else {
                // Whoever asks for the rest is told that the feed is gone.
                return Ok(page);
            };
            own = size_of(&found.records);
            page.records.extend(found.records);
            (page.next, page.more) = (found.next, found.more);
            page.newest = page.newest.max(found.newest);
            place = come_to;
        }
    }
}

/// What is read at once of what is left of a page.
fn part_of(left: &ReadChanges) -> ReadChanges {
    ReadChanges {
        limit: left.limit.min(PART_RECORDS),
        bytes_max: left.bytes_max.min(PART_BYTES),
        ..left.clone()
    }
}

/// How many these are, and how long their bodies are together.
fn size_of(records: &[Record]) -> (usize, usize) {
    let bodies = records.iter().filter_map(|record| record.body.as_ref());
    (records.len(), bodies.map(String::len).sum())
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tidegate_engine::Timestamp;
    use tidegate_engine::cursor::CursorError;
    use tidegate_engine::upkeep::Scope;

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
            let (whole, _) = store.reader.changes(&wanted).unwrap();
            let parts = store.read_changes(wanted).await.unwrap();
            assert_eq!(parts, whole, "{limit} {bytes_max}");
            assert_eq!(parts.records.len(), want, "{limit} {bytes_max}");
        }
    }
    #[tokio::test]
    async fn a_page_goes_on_beside_a_pruning_and_ends_with_its_feed() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let (run, fence) = start(&store, 1).await;
        let ids: Vec<String> = (0..10).map(|number| format!("r{number}")).collect();
        let records: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "{}")).collect();
        let saved = commit(vec![page("Contact", &records, &[])], 10);
        store.commit_page(run, fence, saved).await.unwrap();
        store.finish_run(run, fence, end(10)).await.unwrap();
        let contact = model("acme", "Contact");
        let wanted = ReadChanges {
            limit: 4,
            ..read(contact.clone())
        };
        let (first, place) = store.reader.changes(&wanted).unwrap();
        let later = ReadChanges {
            after: Some(first.next),
            limit: 2,
            ..read(contact.clone())
        };
        let (_, with_cursor) = store.reader.changes(&later).unwrap();
        store.prune(&contact, Timestamp(11)).await.unwrap();
        // Who began at the start takes what is left, and knows what is missing.
        let (rest, _) = store.reader.go_on(&wanted, place).unwrap().unwrap();
        let seen: Vec<_> = rest.records.iter().map(|r| (r.seq, &r.body)).collect();
        assert_eq!(seen, [(5, &None), (6, &None), (7, &None), (8, &None)]);
        assert_eq!((rest.next.pruned, rest.more), (8, true));
        // Who came with a cursor expects bodies, and is told.
        let told = store.reader.go_on(&later, with_cursor);
        assert_eq!(told, Err(StoreError::Cursor(CursorError::Expired)));
        store.drop_scope(&Scope::Model(contact)).await.unwrap();
        assert_eq!(store.reader.go_on(&wanted, place), Ok(None));
    }
}
