//! When a schedule is due, and what is to be done with moments that have passed.

mod count;

use std::collections::{BTreeSet, VecDeque};

use crate::Timestamp;

use count::Counter;

use super::{Definition, DefinitionError, Due, Misfire, ScheduleId, Timing, spread_ms};

/// How late a fire may be and still count as on time.
const ON_TIME_MS: u64 = 60_000;
/// Moments that have passed and are looked at one by one; of more, those are counted that nothing is done with.
const STEPS_MAX: u64 = 200;
/// Excluded moments looked at in a row; whether it is due behind them is asked again when these have passed.
const EXCLUDED_MAX: usize = 10_000;
/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;
/// The catch-up window of a schedule that names none, at most: a day.
const WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// A definition's rules, parsed and ready to be asked.
#[derive(Debug, Clone)]
pub struct Calendar {
    when: Vec<Timing>,
    exclude: Vec<Timing>,
    /// It is due at whole minutes only.
    by_minutes: bool,
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
    /// When it is due next, or has to be looked at again.
    pub next: Option<Due>,
}

/// What comes after a moment.
enum NextMoment {
    Due(Timestamp),
    /// This one is excluded, as were very many before it.
    Excluded(Timestamp),
    Never,
}

impl Calendar {
    /// The calendar of `definition` as that of the schedule `id`.
    pub fn new(id: ScheduleId, definition: &Definition) -> Result<Self, DefinitionError> {
        let parse = |place: &str, rules: &[super::ScheduleRule]| {
            let parsed = rules.iter().enumerate().map(|(index, when)| {
                when.timing().map_err(|error| DefinitionError::When {
                    place: format!("{place}[{index}]"),
                    error,
                })
            });
            parsed.collect::<Result<Vec<_>, _>>()
        };
        let when = parse("when", &definition.when)?;
        let by_minutes = when.iter().all(|timing| match timing {
            Timing::Cron(_) => true,
            Timing::Every(interval) => interval.ms().is_multiple_of(MINUTE_MS),
            Timing::Once(at) => at.0.is_multiple_of(MINUTE_MS),
        });
        Ok(Self {
            when,
            by_minutes,
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
        match self.look_after(after) {
            NextMoment::Due(at) => Some(at),
            NextMoment::Excluded(_) | NextMoment::Never => None,
        }
    }

    fn look_after(&self, after: Timestamp) -> NextMoment {
        // `start_at` itself may be one.
        let mut after = after.max(Timestamp(self.start_at.0.saturating_sub(1)));
        let mut last = after;
        for _ in 0..EXCLUDED_MAX {
            let next = self
                .when
                .iter()
                .filter_map(|timing| timing.next_after(after));
            let Some(next) = next.min().filter(|next| *next <= self.end_at) else {
                return NextMoment::Never;
            };
            let Some(until) = self.excluded_until(next) else {
                return NextMoment::Due(next);
            };
            (after, last) = (until, next);
        }
        NextMoment::Excluded(last)
    }

    /// Up to when nothing is due because of exclusions, if `moment` is excluded.
    fn excluded_until(&self, moment: Timestamp) -> Option<Timestamp> {
        let just_before = Timestamp(moment.0.saturating_sub(1));
        let hits = self.exclude.iter().filter(|timing| match timing {
            Timing::Cron(cron) => cron.names(moment),
            _ => timing.next_after(just_before) == Some(moment),
        });
        // A December is excluded by days, not by minutes.
        let ends = hits.map(|timing| match timing {
            Timing::Cron(cron) if self.by_minutes => cron.block_end(moment),
            _ => None,
        });
        let ends = ends.map(|end| end.map_or(moment, |end| Timestamp(end.0.saturating_sub(1))));
        ends.max()
    }

    /// The same with the moment at which it starts: its spread later, and never as late as the moment
    /// after it. Behind very many exclusions, when it has to be looked at again.
    #[must_use]
    pub fn due_after(&self, after: Timestamp) -> Option<Due> {
        match self.look_after(after) {
            NextMoment::Due(scheduled_for) => Some(self.due(scheduled_for)),
            NextMoment::Excluded(at) => Some(Due {
                scheduled_for: at,
                at,
            }),
            NextMoment::Never => None,
        }
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
        let due_after = move |after| self.next_after(after).map(|at| self.due(at));
        let next = move |due: &Due| due_after(due.scheduled_for);
        std::iter::successors(due_after(after), next).take(count)
    }

    /// What to do at `now` with a schedule that was due first for `first`.
    #[must_use]
    pub fn plan(&self, first: Due, now: Timestamp) -> Plan {
        let mut passed = PastMoments::default();
        let mut due = Some(first);
        let mut is_near = false;
        while let Some(this) = due.filter(|due| due.at <= now) {
            if self.excluded_until(this.scheduled_for).is_some() {
                due = self.due_after(this.scheduled_for);
                continue;
            }
            if passed.count == STEPS_MAX && !is_near {
                // Far behind: go on where what may be fired for begins.
                is_near = true;
                let mut counter = Counter::new(self);
                let least = self.max_catchup as u64 + 2;
                if let Some(from) = counter.latest(least, this.scheduled_for, now) {
                    passed.count += 1 + counter.count(this.scheduled_for, from);
                    due = self.due_after(from);
                    continue;
                }
            }
            passed.push(this, self.max_catchup);
            due = self.due_after(this.scheduled_for);
        }
        let gap = passed.latest.back().zip(due);
        let gap = gap.map_or(WINDOW_MS, |(latest, next)| {
            next.scheduled_for.since(latest.scheduled_for)
        });
        let window = self.window_ms.unwrap_or(gap.min(WINDOW_MS));
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

    /// What is left of a range of missed moments without the ones of `own`.
    #[must_use]
    pub fn without(
        &self,
        (from, until, moments): (Timestamp, Timestamp, u64),
        own: &BTreeSet<Timestamp>,
    ) -> Vec<(Timestamp, Timestamp, u64)> {
        let mut counter = Counter::new(self);
        let mut parts = Vec::new();
        let mut left = moments;
        // Where the next part begins, if there is one.
        let mut start = Some(from);
        let is_moment =
            |own: &&Timestamp| self.next_after(Timestamp(own.0.saturating_sub(1))) == Some(**own);
        // The rules may have changed since.
        for own in own.range(from..=until).filter(is_moment) {
            let Some(first) = start.filter(|first| first < own) else {
                // Nothing lies between this one and the one before.
                left = left.saturating_sub(1);
                start = self.next_after(*own);
                continue;
            };
            let just_before = Timestamp(first.0.saturating_sub(1));
            let last = counter.last_before(*own, just_before).unwrap_or(first);
            let count = counter.count(just_before, last);
            parts.push((first, last, count));
            left = left.saturating_sub(count + 1);
            start = self.next_after(*own);
        }
        if let Some(first) = start.filter(|first| *first <= until) {
            parts.push((first, until, left.max(1)));
        }
        parts
    }
}

/// Moments that have passed.
#[derive(Debug, Default)]
struct PastMoments {
    count: u64,
    first: Option<Timestamp>,
    /// The last one that `latest` has no place for.
    last_forgotten: Option<Timestamp>,
    latest: VecDeque<Due>,
}

impl PastMoments {
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
