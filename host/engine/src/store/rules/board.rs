//! What every backend asks its board in the same way.

use crate::Timestamp;
use crate::board::Board;
use crate::error::StoreError;
use crate::schedule::Schedule;
use crate::store::{JobFilter, PutSchedule, QueueFigures, ScheduleFilter};

/// The schedules of `filter`, by id.
#[must_use]
pub fn schedules(board: &Board, filter: &ScheduleFilter) -> Vec<Schedule> {
    let all = board.schedules(filter.after);
    let wanted = all.filter(|schedule| filter.matches(schedule));
    wanted.take(filter.limit).cloned().collect()
}

/// `filter` with the connection of its schedule, if that is there: a schedule's jobs are those of its connection.
#[must_use]
pub fn with_connection(board: &Board, filter: JobFilter) -> JobFilter {
    let schedule = filter.schedule.and_then(|id| board.schedule(id).ok());
    let own = schedule.map(|schedule| schedule.definition.target.connection());
    filter.of_connection(own)
}

/// How full the queue is.
#[must_use]
pub fn queue_figures(board: &Board, now: Timestamp) -> QueueFigures {
    let (running, ready, oldest) = board.figures(now);
    QueueFigures {
        running,
        ready,
        oldest,
    }
}

/// Make those schedules that are not there, and leave out those whose connection is gone. Says how many are new. `put`
/// makes one; `board` is that of `backend`.
pub fn ensure_schedules<B>(
    backend: &mut B,
    puts: Vec<PutSchedule>,
    board: impl Fn(&B) -> &Board,
    put: impl Fn(&mut B, PutSchedule) -> Result<Schedule, StoreError>,
) -> Result<usize, StoreError> {
    let mut new = 0;
    for wanted in puts {
        if board(backend).schedule(wanted.id).is_ok() {
            continue;
        }
        match put(backend, wanted) {
            Ok(_) => new += 1,
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(new)
}
