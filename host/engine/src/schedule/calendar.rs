//! When a schedule is due, and what is to be done with moments that have passed.

use std::collections::VecDeque;

use crate::Timestamp;

use super::{Definition, DefinitionError, Due, Misfire, ScheduleId, Timing, spread_ms};

/// How late a fire may be and still count as on time.
const ON_TIME_MS: u64 = 60_000;
/// Moments looked at one by one; of more than these are missed, only that there were so many is known.
const MOMENTS_MAX: u64 = 100_000;
/// Excluded moments in a row, after which a schedule is taken to be never due again.
const EXCLUDED_MAX: usize = 10_000;
/// The catch-up window of a schedule that names none, at most: a day.
const WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// A definition's rules, parsed and ready to be asked.
#[derive(Debug, Clone)]
pub struct Calendar {
    when: Vec<Timing>,
    exclude: Vec<Timing>,
    start_at: Timestamp,
    end_at: Timestamp,
    spread_ms: u64,
    misfire: Misfire,
    window_ms: Option<u64>,
    max_catchup: usize,
}

/// What is to be done with a schedule that is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Moments to fire for, oldest first.
    pub fires: Vec<Timestamp>,
    /// Moments that are not made up for: the first, the last, and how many there were.
    pub missed: Vec<(Timestamp, Timestamp, u64)>,
    /// When it is due next.
    pub next: Option<Due>,
}

impl Calendar {
    /// The calendar of `definition` as that of the schedule `id`.
    pub fn new(id: ScheduleId, definition: &Definition) -> Result<Self, DefinitionError> {
        let parse = |place: &str, rules: &[super::When]| {
            let parsed = rules.iter().enumerate().map(|(index, when)| {
                when.timing().map_err(|error| DefinitionError::When {
                    place: format!("{place}[{index}]"),
                    error,
                })
            });
            parsed.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            when: parse("when", &definition.when)?,
            exclude: parse("exclude", &definition.exclude)?,
            start_at: definition.start_at.unwrap_or_default(),
            end_at: definition.end_at.unwrap_or(Timestamp(u64::MAX)),
            spread_ms: spread_ms(&id.to_string(), definition.spread_ms),
            misfire: definition.misfire,
            window_ms: definition.catchup_window_ms,
            max_catchup: usize::try_from(definition.max_catchup).unwrap_or(1),
        })
    }

    /// The first moment after `after` at which it is due.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        // `start_at` itself may be one.
        let mut after = after.max(Timestamp(self.start_at.0.saturating_sub(1)));
        for _ in 0..EXCLUDED_MAX {
            let next = self
                .when
                .iter()
                .filter_map(|timing| timing.next_after(after));
            let next = next.min().filter(|next| *next <= self.end_at)?;
            let just_before = Timestamp(next.0.saturating_sub(1));
            let mut exclude = self.exclude.iter();
            if !exclude.any(|timing| timing.next_after(just_before) == Some(next)) {
                return Some(next);
            }
            after = next;
        }
        None
    }

    /// The same with the moment at which it starts: its spread later, and never as late as the moment
    /// after it.
    #[must_use]
    pub fn due_after(&self, after: Timestamp) -> Option<Due> {
        let scheduled_for = self.next_after(after)?;
        Some(self.due(scheduled_for))
    }

    fn due(&self, scheduled_for: Timestamp) -> Due {
        let mut late = self.spread_ms;
        if late > 0 {
            let next = self.next_after(scheduled_for);
            let gap = next.map_or(u64::MAX, |next| next.since(scheduled_for));
            // Taken from the whole gap, so that a spread longer than it stays even.
            late %= gap.max(1);
        }
        Due {
            scheduled_for,
            at: Timestamp(scheduled_for.0.saturating_add(late)),
        }
    }

    /// The first `count` of them.
    pub fn preview(&self, after: Timestamp, count: usize) -> impl Iterator<Item = Due> {
        let next = move |due: &Due| self.due_after(due.scheduled_for);
        std::iter::successors(self.due_after(after), next).take(count)
    }

    /// What to do at `now` with a schedule that was due first for `first`.
    #[must_use]
    pub fn plan(&self, first: Due, now: Timestamp) -> Plan {
        let gap = self.next_after(first.scheduled_for);
        let gap = gap.map_or(WINDOW_MS, |next| next.since(first.scheduled_for));
        let window = self.window_ms.unwrap_or(gap.min(WINDOW_MS));
        let mut passed = Passed::default();
        let mut due = Some(first);
        while let Some(this) = due.filter(|due| due.at <= now) {
            if passed.count == MOMENTS_MAX {
                // Far behind: go on at the window, or where it would have come to by itself.
                let horizon = Timestamp(now.0.saturating_sub(window.max(WINDOW_MS)));
                let from = horizon.max(this.scheduled_for);
                passed.count += 1;
                passed.last_forgotten =
                    Some(Timestamp(from.0.saturating_sub(1)).max(this.scheduled_for));
                due = self.due_after(from);
                continue;
            }
            passed.push(this, self.max_catchup);
            due = self.due_after(this.scheduled_for);
        }
        let in_time = |due: &Due| match self.misfire {
            Misfire::Skip => now.since(due.at) <= ON_TIME_MS,
            _ => now.since(due.scheduled_for) <= window || now.since(due.at) <= ON_TIME_MS,
        };
        let most = if self.misfire == Misfire::All {
            self.max_catchup
        } else {
            1
        };
        let kept = passed.latest.len();
        let fires: Vec<Timestamp> = passed
            .latest
            .iter()
            .skip(kept.saturating_sub(most))
            .filter(|due| in_time(due))
            .map(|due| due.scheduled_for)
            .collect();
        let missed = passed.before(fires.first().copied());
        Plan {
            fires,
            missed: missed.into_iter().collect(),
            next: due,
        }
    }
}

/// Moments that have passed.
#[derive(Debug, Default)]
struct Passed {
    count: u64,
    first: Option<Timestamp>,
    /// The last one that `latest` has no place for.
    last_forgotten: Option<Timestamp>,
    latest: VecDeque<Due>,
}

impl Passed {
    fn push(&mut self, due: Due, keep: usize) {
        self.count += 1;
        self.first.get_or_insert(due.scheduled_for);
        self.latest.push_back(due);
        if self.latest.len() > keep.max(1) {
            self.last_forgotten = self.latest.pop_front().map(|due| due.scheduled_for);
        }
    }

    /// Those before `end`, or all: the first, the last, and how many.
    fn before(&self, end: Option<Timestamp>) -> Option<(Timestamp, Timestamp, u64)> {
        let fired = self
            .latest
            .iter()
            .filter(|due| end.is_some_and(|end| due.scheduled_for >= end));
        let count = self.count - fired.count() as u64;
        let missed = self.latest.iter().map(|due| due.scheduled_for);
        let mut missed = missed.filter(|at| end.is_none_or(|end| *at < end));
        let last = missed.next_back().or(self.last_forgotten)?;
        (count > 0).then_some((self.first?, last, count))
    }
}
