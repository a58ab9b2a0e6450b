//! Counts the moments of a long time without looking at each.
//!
//! It goes day by day of UTC. Where no clock changes, a cron expression is due at the same minutes on each day that it
//! names, and an interval is arithmetic: the seconds of a day are bits, which rules set and exclusions clear. The
//! hours around a change of a clock are looked at moment by moment.

use std::collections::BTreeSet;

use super::super::Cron;
use super::{Calendar, Timing};
use crate::Timestamp;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Longer than any change of a clock: how long before a time one may matter to it.
const REACH_MS: u64 = 30 * HOUR_MS;
/// Seconds of a day in words of bits.
const WORDS: usize = 86_400 / 64;

/// Counts for one calendar, and remembers what it worked out.
#[derive(Debug)]
pub(super) struct Counter<'c> {
    calendar: &'c Calendar,
    /// What may be seconds of a day: by rules, and by exclusions.
    when: Vec<Rule<'c>>,
    exclude: Vec<Rule<'c>>,
    /// Single moments between two seconds, which no other rule can name.
    odd: BTreeSet<Timestamp>,
}

/// A rule, by whole seconds.
#[derive(Debug)]
enum Rule<'c> {
    Every(u64),
    Once(u64),
    Cron(Days<'c>),
}

/// The days that a cron expression names.
#[derive(Debug)]
struct Days<'c> {
    cron: &'c Cron,
    /// Minutes of such a day.
    minutes: Vec<u64>,
    /// A day since the epoch, and the first one from it on that is named.
    known: Option<(i64, Option<i64>)>,
}

impl Days<'_> {
    fn names(&mut self, day: i64) -> bool {
        let is_known =
            |(from, next): &(i64, Option<i64>)| *from <= day && next.is_none_or(|next| day <= next);
        let (_, next) = match self.known.filter(is_known) {
            Some(known) => known,
            None => *self.known.insert((day, self.cron.day_from(day))),
        };
        next == Some(day)
    }
}

/// The seconds of a day.
struct Seconds(Box<[u64; WORDS]>);

impl Seconds {
    fn set(&mut self, second: u64, to: bool) {
        let (word, bit) = (usize::try_from(second / 64), second % 64);
        if let Some(word) = word.ok().and_then(|word| self.0.get_mut(word)) {
            match to {
                true => *word |= 1 << bit,
                false => *word &= !(1 << bit),
            }
        }
    }
}

impl<'c> Counter<'c> {
    pub(super) fn new(calendar: &'c Calendar) -> Self {
        let rules = |timings: &'c [Timing]| timings.iter().filter_map(rule).collect();
        let odd = |timings: &[Timing]| -> BTreeSet<Timestamp> {
            let moments = timings.iter().filter_map(|timing| match timing {
                Timing::Once(at) => Some(*at),
                _ => None,
            });
            moments
                .filter(|at| !at.0.is_multiple_of(SECOND_MS))
                .collect()
        };
        let excluded = odd(&calendar.exclude);
        Self {
            calendar,
            when: rules(&calendar.when),
            exclude: rules(&calendar.exclude),
            odd: odd(&calendar.when).difference(&excluded).copied().collect(),
        }
    }

    /// How many moments there are after `after` and up to `until`.
    pub(super) fn count(&mut self, after: Timestamp, until: Timestamp) -> u64 {
        let first = after.0.saturating_add(1).max(self.calendar.start_at.0);
        let end = until.min(self.calendar.end_at).0.saturating_add(1);
        if first >= end {
            return 0;
        }
        let odd = self.odd.range(Timestamp(first)..Timestamp(end)).count() as u64;
        if let ([Rule::Every(ms)], []) = (&*self.when, &*self.exclude) {
            return odd + (end - 1) / ms - (first - 1) / ms;
        }
        let mut count = odd;
        let mut from = first;
        while from < end {
            let day = from / DAY_MS * DAY_MS;
            let until = end.min(day + DAY_MS);
            count += self.count_in_day(day, from, until);
            from = until;
        }
        count
    }

    /// From when on, up to `now`, there are at least `least` moments, but hardly more than that takes; `None` if that
    /// is not after `floor`.
    pub(super) fn latest(
        &mut self,
        least: u64,
        floor: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut window = MINUTE_MS;
        loop {
            let from = Timestamp(now.0.saturating_sub(window));
            if from <= floor {
                return None;
            }
            if self.count(from, now) >= least {
                return Some(from);
            }
            window = window.saturating_mul(2);
        }
    }

    /// The last moment before `end` and after `floor`.
    pub(super) fn last_before(&mut self, end: Timestamp, floor: Timestamp) -> Option<Timestamp> {
        let until = Timestamp(end.0.saturating_sub(1));
        if self.count(floor, until) == 0 {
            return None;
        }
        let from = self.latest(1, floor, until).unwrap_or(floor);
        let next = |at: &Timestamp| self.calendar.next_after(*at);
        let all = std::iter::successors(next(&from), next);
        all.take_while(|at| *at < end).last()
    }

    /// The same as [`Self::count`] of `from` to before `until`, both of one day.
    fn count_in_day(&mut self, day: u64, from: u64, until: u64) -> u64 {
        let mut count = 0;
        let mut from = from;
        for (first, end) in self.changes(from, until) {
            let (first, end) = (first.max(from), end.min(until));
            if first < end {
                count += self.count_seconds(day, from, first) + self.count_one_by_one(first, end);
                from = end;
            }
        }
        count + self.count_seconds(day, from, until)
    }

    /// The times around changes of clocks that reach into a time, in their order.
    fn changes(&self, from: u64, until: u64) -> Vec<(u64, u64)> {
        let rules = self.when.iter().chain(&self.exclude);
        let crons = rules.filter_map(|rule| match rule {
            Rule::Cron(days) => Some(days.cron),
            _ => None,
        });
        let mut changes: Vec<(u64, u64)> = crons
            .flat_map(|cron| cron.clock_changes(from.saturating_sub(REACH_MS), until + HOUR_MS))
            .map(|(at, by_ms)| (at.saturating_sub(HOUR_MS), at + by_ms + HOUR_MS))
            .collect();
        changes.sort_unstable();
        changes
    }

    /// A time in which no clock changes.
    fn count_seconds(&mut self, day: u64, from: u64, until: u64) -> u64 {
        if from >= until {
            return 0;
        }
        let mut seconds = Seconds(Box::new([0; WORDS]));
        for (rules, to) in [(&mut self.when, true), (&mut self.exclude, false)] {
            for rule in rules {
                rule.each(from, until, |at| seconds.set((at - day) / SECOND_MS, to));
            }
        }
        seconds
            .0
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    fn count_one_by_one(&self, from: u64, until: u64) -> u64 {
        let calendar = self.calendar;
        let mut count = 0;
        let mut after = Timestamp(from.saturating_sub(1));
        loop {
            let next = calendar.when.iter();
            let next = next.filter_map(|timing| timing.next_after(after)).min();
            let Some(next) = next.filter(|next| next.0 < until) else {
                return count;
            };
            let is_odd = !next.0.is_multiple_of(SECOND_MS);
            count += u64::from(!is_odd && calendar.excluded_until(next).is_none());
            after = next;
        }
    }
}

fn rule(timing: &Timing) -> Option<Rule<'_>> {
    match timing {
        Timing::Every(interval) => Some(Rule::Every(interval.ms())),
        Timing::Once(at) => at.0.is_multiple_of(SECOND_MS).then_some(Rule::Once(at.0)),
        Timing::Cron(cron) => Some(Rule::Cron(Days {
            cron,
            minutes: cron.minutes_of_day(),
            known: None,
        })),
    }
}

impl Rule<'_> {
    /// Look at each of its moments from `from` to before `until`, in which no clock changes.
    fn each(&mut self, from: u64, until: u64, mut look: impl FnMut(u64)) {
        match self {
            Self::Every(ms) => {
                let mut at = from.div_ceil(*ms).max(1) * *ms;
                while at < until {
                    look(at);
                    at += *ms;
                }
            }
            Self::Once(at) => {
                if (from..until).contains(at) {
                    look(*at);
                }
            }
            Self::Cron(days) => {
                let ahead = days.cron.ahead_of_utc_ms(Timestamp(from));
                let day = |at: u64| (at.cast_signed() + ahead).div_euclid(DAY_MS.cast_signed());
                for day in day(from)..=day(until - 1) {
                    if !days.names(day) {
                        continue;
                    }
                    for minute in &days.minutes {
                        let shown = day * DAY_MS.cast_signed() + (minute * MINUTE_MS).cast_signed();
                        let at = u64::try_from(shown - ahead).unwrap_or(0);
                        if (from..until).contains(&at) {
                            look(at);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
