//! The commands that start, end and recover runs, and append to their logs.

use std::collections::HashMap;

use tidegate_engine::board::Ended;
use tidegate_engine::run::{Failure, Fence, LogLine, NewRun, Run, RunEnd, RunId, Target};
use tidegate_engine::store::Started;
use tidegate_engine::store::rules;
use tidegate_engine::webhook::{self, NewEvent};
use tidegate_engine::{Name, StoreError, SyncKey, Timestamp};

use crate::disk::{Writes, damaged};
use crate::layout::ends;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, SyncRow};
use crate::lists;
use crate::turns::Turn;

use super::{Running, Writer, encode, unless_damaged};

/// Raw bytes of log lines in one value.
const LOG_CHUNK_BYTES: usize = 12 * 1024;

/// The lists that name the runs of a connection that have come to `end`.
pub(super) fn lists_of_run(integration: &Name, connection: u64, end: u8) -> [Key; 2] {
    [
        keys::runs_of_integration(integration).end(end),
        keys::runs_of_connection(connection).end(end),
    ]
}

impl Writer {
    pub(super) fn load_running(&mut self) -> Result<(), StoreError> {
        let prefix = Key::new(Tag::Running);
        let mut ids = Vec::new();
        for item in self.view().prefix(&prefix) {
            let (key, value) = item?;
            let id = keys::rest(&key, &prefix).and_then(keys::decode_run);
            let held = (!value.is_empty()).then(|| Key::stored(&value));
            ids.push((id.map_err(|corrupt| damaged(&key, corrupt))?, held));
        }
        for (id, key) in ids {
            let run: Option<Run> = self.view().row(&keys::run(id), rows::decode)?;
            let run = run.ok_or_else(|| StoreError::Damaged {
                place: id.to_string(),
                reason: "it is marked as running, and there is no such run".into(),
            })?;
            let connection = self.connection_number(run.target.connection())?;
            let sync = match &run.target {
                Target::Sync(key) => {
                    let row = self.sync_row(connection, key)?;
                    row.map(|row| (key.clone(), row.number))
                }
                _ => None,
            };
            if let (Target::Sync(key), None) = (&run.target, run.job) {
                self.board.set_busy(key, true);
            }
            self.running.insert(
                id,
                Running {
                    run,
                    connection,
                    sync,
                    key,
                    feeds: HashMap::new(),
                },
            );
        }
        Ok(())
    }

    fn sync_row(&self, connection: u64, key: &SyncKey) -> Result<Option<SyncRow>, StoreError> {
        self.view().row(
            &keys::sync(connection, &key.sync, &key.variant),
            rows::decode,
        )
    }

    /// The run that works on a sync: there is one at a time.
    fn run_of_sync(&self, sync: u64) -> Option<RunId> {
        // There are as many as may run at the same time: few.
        let mut running = self.running.iter();
        let own = |running: &Running| running.sync.as_ref().is_some_and(|(_, own)| *own == sync);
        running.find(|(_, running)| own(running)).map(|(id, _)| *id)
    }

    pub(super) fn put_sync(
        &self,
        writes: &mut Writes,
        connection: u64,
        key: &SyncKey,
        row: SyncRow,
    ) -> Result<(), StoreError> {
        let stored = keys::sync(connection, &key.sync, &key.variant);
        let value = encode(stored.as_ref(), &row)?;
        writes.put_new(stored, &value);
        Ok(())
    }

    fn put_run(&self, writes: &mut Writes, run: &Run) -> Result<(), StoreError> {
        let key = keys::run(run.id);
        let value = encode(key.as_ref(), run)?;
        writes.put(&self.view(), key, &value)
    }

    pub(super) fn stored_checkpoint(&self, sync: u64) -> Result<Option<String>, StoreError> {
        self.view().row(&keys::checkpoint(sync), keys::decode_text)
    }

    pub(crate) fn start_run(&mut self, new: NewRun) -> Result<Started, StoreError> {
        let connection = self.connection_number(new.target.connection())?;
        let stored: Option<Run> = self.view().row(&keys::run(new.id), rows::decode)?;
        if let Some(run) = stored {
            // The latter is of a connection that was dropped, and about to go.
            if run.target != new.target || !lists::is_listed(&self.view(), &run)? {
                return Err(StoreError::Exists {
                    what: "run",
                    name: new.id.to_string(),
                });
            }
            let row = match &new.target {
                Target::Sync(key) => self.sync_row(connection, key)?,
                _ => None,
            };
            let checkpoint = row.map(|row| self.stored_checkpoint(row.number));
            let checkpoint = checkpoint.transpose()?.flatten();
            return Ok(Started {
                fence: run.fence,
                checkpoint,
            });
        }

        self.put_start(Writes::default(), new, connection, None)
    }

    /// Start a run that is new and has no job, together with other writes.
    pub(super) fn put_start(
        &mut self,
        mut writes: Writes,
        new: NewRun,
        connection: u64,
        held: Option<Key>,
    ) -> Result<Started, StoreError> {
        let id = new.id;
        let (running, started) = self.plan_start(&mut writes, new, connection, held)?;
        self.put_counters(&mut writes)?;
        self.apply(writes)?;
        if let Target::Sync(key) = &running.run.target {
            self.board.set_busy(key, true);
        }
        self.running.insert(id, running);
        Ok(started)
    }

    /// What starting a run writes, but for the counters.
    pub(super) fn plan_start(
        &mut self,
        writes: &mut Writes,
        new: NewRun,
        connection: u64,
        held: Option<Key>,
    ) -> Result<(Running, Started), StoreError> {
        let mut checkpoint = None;
        let mut number = None;
        if let Target::Sync(key) = &new.target {
            let row = self.sync_row(connection, key)?;
            let sync = match row {
                Some(row) => row.number,
                None => {
                    self.counters.sync += 1;
                    let number = self.counters.sync;
                    self.put_sync(writes, connection, key, SyncRow { number })?;
                    number
                }
            };
            if let Some(by) = self.run_of_sync(sync) {
                return Err(StoreError::Busy {
                    what: key.to_string(),
                    by: by.to_string(),
                });
            }
            if new.reset {
                self.forget_progress(writes, connection, sync)?;
            } else {
                checkpoint = self.stored_checkpoint(sync)?;
            }
            number = Some((key.clone(), sync));
        }
        self.counters.fence += 1;
        let run = rules::started(new, Fence(self.counters.fence), checkpoint.as_deref());
        let (id, fence) = (run.id, run.fence);
        let key = keys::run(id);
        let value = encode(key.as_ref(), &run)?;
        writes.put_new(key, &value);
        let value = held.as_ref().map_or(&[][..], Key::as_ref);
        writes.put_first(keys::running(id), value);
        let integration = &run.target.connection().integration;
        for list in lists_of_run(integration, connection, ends::RUNNING) {
            writes.put_first(list.run(id), &[]);
        }
        let running = Running {
            run,
            connection,
            sync: number,
            key: held,
            feeds: HashMap::new(),
        };
        Ok((running, Started { fence, checkpoint }))
    }

    /// Change a running run's progress, or note where it begins, and put its row.
    pub(super) fn put_progress(
        &mut self,
        id: RunId,
        writes: &mut Writes,
        change: impl FnOnce(&mut Run),
    ) -> Result<(), StoreError> {
        let Some(running) = self.running.get(&id) else {
            return Ok(());
        };
        let mut run = running.run.clone();
        change(&mut run);
        self.put_run(writes, &run)?;
        if let Some(running) = self.running.get_mut(&id) {
            running.run = run;
        }
        Ok(())
    }

    pub(crate) fn finish_run(
        &mut self,
        id: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Turn<Run>, StoreError> {
        self.writing(id, fence)?;
        if let Some(held) = self.ending_of(id) {
            // What it deletes is told of with its end.
            return Ok(Turn::After(held));
        }
        self.put_end(Writes::default(), id, end).map(Turn::Done)
    }

    /// End a run that may still write, together with other writes.
    pub(super) fn put_end(
        &mut self,
        mut writes: Writes,
        id: RunId,
        end: RunEnd,
    ) -> Result<Run, StoreError> {
        let events = self.end_run(&mut writes, id, end)?;
        self.apply_telling(writes, events, None)?;
        let ended = self.running.remove(&id);
        ended
            .map(|running| running.run)
            .ok_or(StoreError::Fenced { run: id })
    }

    /// Put the end of a run. Returns the events that tell of it.
    pub(super) fn end_run(
        &mut self,
        writes: &mut Writes,
        id: RunId,
        end: RunEnd,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let Ended {
            end,
            retry_at,
            paused,
        } = self.settle_job(writes, id, end)?;
        let Some(running) = self.running.get(&id) else {
            return Ok(Vec::new());
        };
        if let Some(key) = &running.key {
            self.settle_key(writes, key, &end)?;
        }
        let mut event = None;
        if let Some((_, number)) = &running.sync
            && self.hooks.has_endpoints()
        {
            let checkpoint = unless_damaged(self.stored_checkpoint(*number))?;
            event = webhook::run_ended(&running.run, &end, checkpoint.as_deref(), retry_at);
        }
        let (mut run, connection) = (running.run.clone(), running.connection);
        let failed = self.put_health(writes, &run.target, &end, retry_at.is_some())?;
        let integration = &run.target.connection().integration;
        for list in lists_of_run(integration, connection, ends::RUNNING) {
            writes.remove_short(list.run(id));
        }
        for list in lists_of_run(integration, connection, ends::of_outcome(end.outcome)) {
            writes.put_new(list.run(id), &[]);
        }
        run.end = Some(end);
        self.put_run(writes, &run)?;
        if let Some(running) = self.running.get_mut(&id) {
            running.run = run;
        }
        writes.remove_short(keys::running(id));
        Ok(event.into_iter().chain(paused).chain(failed).collect())
    }

    pub(crate) fn recover_runs(
        &mut self,
        why: &Failure,
        now: Timestamp,
    ) -> Result<Vec<RunId>, StoreError> {
        let mut writes = Writes::default();
        let ids: Vec<RunId> = self.running.keys().copied().collect();
        let mut events = Vec::new();
        for id in &ids {
            if let Some(running) = self.running.get(id) {
                let end = rules::interrupted(&running.run, why, now);
                events.extend(self.end_run(&mut writes, *id, end)?);
            }
        }
        self.apply_telling(writes, events, None)?;
        self.running.clear();
        self.expire_later(now);
        Ok(ids)
    }

    pub(crate) fn append_logs(&mut self, id: RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        lists::run(&self.view(), id)?;
        let next = lists::next_line(&self.view(), id)?;
        let lines = lines.iter().filter(|line| line.index >= next);
        let mut writes = Writes::default();
        let mut chunk: Vec<&LogLine> = Vec::new();
        let mut bytes = 0;
        for line in lines {
            chunk.push(line);
            bytes += line.message.len() + 100;
            if bytes >= LOG_CHUNK_BYTES {
                self.put_log_chunk(&mut writes, id, &std::mem::take(&mut chunk))?;
                bytes = 0;
            }
        }
        self.put_log_chunk(&mut writes, id, &chunk)?;
        self.apply(writes)
    }

    fn put_log_chunk(
        &self,
        writes: &mut Writes,
        id: RunId,
        lines: &[&LogLine],
    ) -> Result<(), StoreError> {
        let Some(first) = lines.first() else {
            return Ok(());
        };
        let key = keys::logs(id).number(first.index);
        let value = encode(key.as_ref(), &lines)?;
        writes.put(&self.view(), key, &value)
    }
}
