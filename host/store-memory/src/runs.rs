//! Runs, fences and logs of the memory store.

use tidegate_engine::board::Ended;
use tidegate_engine::run::{Failure, Fence, LogLine, NewRun, Run, RunEnd, RunId, Target};
use tidegate_engine::store::{RunFilter, Started, StoreError};
use tidegate_engine::webhook::{self, NewEvent};
use tidegate_engine::{SyncKey, Timestamp};

use tidegate_engine::store::rules;

use super::{State, not_found};

impl State {
    pub(super) fn start_run(&mut self, new: NewRun) -> Result<Started, StoreError> {
        self.connection(new.target.connection())?;
        if let Some(run) = self.runs.get(&new.id) {
            if run.target != new.target {
                return Err(StoreError::Exists {
                    what: "run",
                    name: new.id.to_string(),
                });
            }
            return Ok(Started {
                fence: run.fence,
                checkpoint: self.checkpoint_of(&new.target),
            });
        }
        if let Target::Sync(key) = &new.target {
            let same = |run: &&Run| run.end.is_none() && run.target == new.target;
            if let Some(run) = self.runs.values().find(same) {
                return Err(StoreError::Busy {
                    what: key.to_string(),
                    by: run.id.to_string(),
                });
            }
            self.board.set_busy(key, true);
        }
        self.forget_progress(&new);
        self.last_fence += 1;
        let fence = Fence(self.last_fence);
        let checkpoint = self.checkpoint_of(&new.target);
        let run = rules::started(new, fence, checkpoint.as_deref());
        self.runs.insert(run.id, run);
        Ok(Started { fence, checkpoint })
    }

    /// What a run that resets its sync forgets.
    pub(super) fn forget_progress(&mut self, new: &NewRun) {
        if let (Target::Sync(key), true) = (&new.target, new.reset) {
            self.checkpoints.remove(key);
            for feed in self.feeds.values_mut() {
                feed.snapshots.remove(key);
            }
        }
    }

    pub(super) fn checkpoint_of(&self, target: &Target) -> Option<String> {
        match target {
            Target::Sync(key) => self.checkpoints.get(key).cloned(),
            _ => None,
        }
    }

    /// The run, if it may still write.
    pub(super) fn writing(&mut self, id: RunId, fence: Fence) -> Result<&mut Run, StoreError> {
        let run = self
            .runs
            .get_mut(&id)
            .ok_or(StoreError::Fenced { run: id })?;
        if run.end.is_some() || run.fence != fence {
            return Err(StoreError::Fenced { run: id });
        }
        Ok(run)
    }

    /// The sync of a run that may still write; snapshots and checkpoints are a sync's.
    pub(super) fn writing_sync(&mut self, id: RunId, fence: Fence) -> Result<SyncKey, StoreError> {
        match &self.writing(id, fence)?.target {
            Target::Sync(key) => Ok(key.clone()),
            _ => Err(not_found("sync that is run by", &id)),
        }
    }

    pub(super) fn finish_run(
        &mut self,
        id: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError> {
        self.writing(id, fence)?;
        let events = self.end_run(id, end);
        self.write_events(events);
        let run = self.runs.get(&id).cloned();
        run.ok_or(StoreError::Fenced { run: id })
    }

    /// End a run: whoever holds on to it lets go. Returns the events that tell of it.
    pub(super) fn end_run(&mut self, id: RunId, end: RunEnd) -> Vec<NewEvent> {
        let Ended {
            end,
            retry_at,
            paused,
        } = self.settle_job(id, end);
        self.keys.settle(id, &end);
        let run = self.runs.get(&id);
        let event = run.and_then(|run| self.run_ended(run, &end, retry_at));
        let target = run.map(|run| run.target.clone());
        let failed = target.map(|target| self.take_in_health(&target, &end, retry_at.is_some()));
        if let Some(run) = self.runs.get_mut(&id) {
            run.end = Some(end);
        }
        let failed = failed.into_iter().flatten();
        event.into_iter().chain(paused).chain(failed).collect()
    }

    pub(super) fn recover_runs(&mut self, why: &Failure, now: Timestamp) -> Vec<RunId> {
        self.keys.forget_expired(now);
        let running = self.runs.values().filter(|run| run.end.is_none());
        let running: Vec<Run> = running.cloned().collect();
        let mut events = Vec::new();
        for run in &running {
            events.extend(self.end_run(run.id, rules::interrupted(run, why, now)));
        }
        self.write_events(events);
        running.iter().map(|run| run.id).collect()
    }

    /// The event of a run that ends so.
    pub(super) fn run_ended(
        &self,
        run: &Run,
        end: &RunEnd,
        retry_at: Option<Timestamp>,
    ) -> Option<NewEvent> {
        let checkpoint = self.checkpoint_of(&run.target);
        webhook::run_ended(run, end, checkpoint.as_deref(), retry_at)
    }

    pub(super) fn list_runs(&self, filter: &RunFilter) -> Vec<Run> {
        let newest_first = self.runs.values().rev();
        newest_first
            .filter(|run| filter.before.is_none_or(|before| run.id < before))
            .filter(|run| filter.matches(run))
            .take(filter.limit)
            .cloned()
            .collect()
    }

    pub(super) fn append_logs(&mut self, id: RunId, lines: Vec<LogLine>) -> Result<(), StoreError> {
        if !self.runs.contains_key(&id) {
            return Err(not_found("run", &id));
        }
        let log = self.logs.entry(id).or_default();
        let next = log.last_key_value().map_or(0, |(last, _)| last + 1);
        let new = lines.into_iter().filter(|line| line.index >= next);
        log.extend(new.map(|line| (line.index, line)));
        Ok(())
    }

    pub(super) fn read_logs(
        &self,
        id: RunId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        if !self.runs.contains_key(&id) {
            return Err(not_found("run", &id));
        }
        let lines = self
            .logs
            .get(&id)
            .into_iter()
            .flat_map(|log| log.range(from..));
        Ok(lines.take(limit).map(|(_, line)| line.clone()).collect())
    }
}
