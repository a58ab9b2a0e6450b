//! The queue before the writer thread, and the thread's loop.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_engine::StoreError;
use tidegate_engine::store::Durability;
use tokio::sync::oneshot;

use super::Writer;

/// Commands that share one flush, at most.
const GROUP_MAX: usize = 256;
/// How long a relaxed commit may wait for a flush.
const RELAXED_MAX: Duration = Duration::from_millis(50);

/// Answers a command, once it is known whether the flush went well.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A command, given the writer or the reason why nothing is written any more.
type Command = dyn FnOnce(Result<&mut Writer, StoreError>) -> Answer + Send;

enum Job {
    Command(Durability, Box<Command>),
    Stop(Answer),
}

/// Hands commands to the writer thread.
pub(crate) struct Queue {
    jobs: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Why nothing is written any more, once that is so.
    failed: Arc<OnceLock<StoreError>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// A command on its way.
#[derive(Debug)]
pub(crate) struct PendingReply<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> PendingReply<T> {
    pub(crate) async fn answer(self) -> Result<T, StoreError> {
        self.0.await.map_err(|_| closed())?
    }
}

/// What commands are told after a failed write.
fn stopped(failed: &StoreError) -> StoreError {
    let why = match failed {
        StoreError::Backend(why) => why.clone(),
        other => other.to_string(),
    };
    StoreError::Backend(format!(
        "nothing is written any more, because a write has failed: {why}. Restart once its cause is gone; what \
         was acknowledged is safe"
    ))
}

fn closed() -> StoreError {
    StoreError::Backend("the store is closed".into())
}

impl Queue {
    /// Start the thread.
    pub(crate) fn start(writer: Writer) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let failed = Arc::new(OnceLock::new());
        let told = Arc::clone(&failed);
        let thread = std::thread::Builder::new()
            .name("tidegate-store".into())
            .spawn(move || {
                Thread {
                    writer,
                    queue,
                    failed: None,
                    told,
                    flushed: Instant::now(),
                }
                .work();
            })?;
        Ok(Self {
            jobs,
            thread: Mutex::new(Some(thread)),
            failed,
        })
    }

    /// Send `command` to the writer thread. A relaxed one has its answer before it is flushed.
    pub(crate) fn send<T: Send + 'static>(
        &self,
        durability: Durability,
        command: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<PendingReply<T>, StoreError> {
        let (sender, answer) = oneshot::channel();
        let job = Box::new(move |writer: Result<&mut Writer, StoreError>| -> Answer {
            let done = writer.and_then(command);
            // Nobody may be waiting any more; the command happened all the same.
            Box::new(move |flushed| drop(sender.send(done.and_then(|done| flushed.map(|()| done)))))
        });
        self.jobs
            .send(Job::Command(durability, job))
            .map_err(|_| closed())?;
        Ok(PendingReply(answer))
    }

    /// Whether commands are carried out and stored, as far as is known without one.
    pub(crate) fn ready(&self) -> Result<(), StoreError> {
        if let Some(failed) = self.failed.get() {
            return Err(stopped(failed));
        }
        let thread = self.thread.lock();
        let works = thread.as_ref().is_some_and(|thread| !thread.is_finished());
        works.then_some(()).ok_or_else(closed)
    }

    /// Let the commands before this one finish, then end the thread.
    pub(crate) async fn stop(&self) -> Result<(), StoreError> {
        let (sender, answer) = oneshot::channel();
        let job = Job::Stop(Box::new(move |flushed| drop(sender.send(flushed))));
        if self.jobs.send(job).is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.jobs.send(Job::Stop(Box::new(drop)));
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic in the thread has been printed by then.
            let _ = thread.join();
        }
    }
}

struct Thread {
    writer: Writer,
    queue: Receiver<Job>,
    /// After a failed write what is in memory and what is on disk may differ; nothing is written
    /// any more until the store is opened again.
    failed: Option<StoreError>,
    /// The same for whoever asks without a command.
    told: Arc<OnceLock<StoreError>>,
    /// When the last flush was.
    flushed: Instant,
}

impl Thread {
    fn work(mut self) {
        loop {
            let Some(first) = self.wait() else { return };
            let mut answers = Vec::new();
            let mut urgent = false;
            let mut stop = None;
            let more = std::iter::from_fn(|| self.queue.try_recv().ok());
            let group: Vec<Job> = std::iter::once(first).chain(more).take(GROUP_MAX).collect();
            for job in group {
                match job {
                    Job::Command(..) if stop.is_some() => {}
                    Job::Command(durability, command) => {
                        let answer = match &self.failed {
                            None => command(Ok(&mut self.writer)),
                            Some(failed) => command(Err(stopped(failed))),
                        };
                        self.failed = self.failed.take().or_else(|| self.writer.take_failure());
                        match durability {
                            Durability::Durable => answers.push(answer),
                            // Whoever asks for this does not wait for the disk.
                            Durability::Relaxed => answer(self.failed.clone().map_or(Ok(()), Err)),
                        }
                        urgent |= durability == Durability::Durable;
                    }
                    Job::Stop(answer) => stop = Some(answer),
                }
            }
            let flushed = self.finish_group(urgent || stop.is_some());
            self.tell_failure();
            for answer in answers {
                answer(flushed.clone());
            }
            if let Some(answer) = stop {
                // The database is closed before anybody hears of it.
                drop(self);
                answer(flushed);
                return;
            }
            if self.failed.is_none() {
                self.failed = self.writer.upkeep_step().err();
            }
        }
    }

    /// The next job. Meanwhile what is left to do is done.
    fn wait(&mut self) -> Option<Job> {
        loop {
            self.tell_failure();
            if self.failed.is_none() && self.writer.wants_upkeep() {
                match self.queue.try_recv() {
                    Ok(job) => return Some(job),
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return None,
                    Err(std::sync::mpsc::TryRecvError::Empty) => {
                        let step = self.writer.flush().and_then(|()| self.writer.upkeep_step());
                        self.failed = step.err();
                    }
                }
            } else if self.failed.is_none() && self.writer.unflushed {
                match self.queue.recv_timeout(RELAXED_MAX) {
                    Ok(job) => return Some(job),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => self.failed = self.writer.flush().err(),
                }
            } else {
                return self.queue.recv().ok();
            }
        }
    }

    /// Let all know that nothing is written any more, if so: whoever waits for something to be done in steps asks
    /// again, and is told.
    fn tell_failure(&mut self) {
        if let Some(failed) = &self.failed {
            self.told.get_or_init(|| failed.clone());
            self.writer.drop_endings();
        }
    }

    fn finish_group(&mut self, urgent: bool) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(stopped(failed));
        }
        if urgent || self.flushed.elapsed() >= RELAXED_MAX {
            let flushed = self.writer.flush();
            self.flushed = Instant::now();
            self.failed = flushed.clone().err();
            return flushed;
        }
        Ok(())
    }
}
