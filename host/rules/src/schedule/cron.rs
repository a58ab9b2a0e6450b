//! A cron expression in a time zone: five fields, POSIX weekdays.
//!
//! Days on which clocks change: a fixed time (numbers, and lists and ranges of them) within the hour that
//! is left out is due at the first moment after it; one within the hour that comes twice is due in the
//! first of them. Where a wildcard or a step says "every", that goes by elapsed time. (The rule of Vixie
//! cron.)

use std::fmt;

use croner::JobType;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp as Moment, Zoned};
use serde::{Deserialize, Serialize};

use super::{ScheduleError, zones};
use crate::Timestamp;

/// Longest expression and longest time zone, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The longest gap whose times are due after it: Apia left out all of 30 December 2011, and that day's noon is
/// not the next day's first moment.
const GAP_SECONDS_MAX: i32 = 2 * 60 * 60;
const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Where the search for a first moment begins: 2000-01-01, a leap year whose first day is a Saturday.
const LONG_AGO: Timestamp = Timestamp(946_684_800_000);

/// What becomes of a fixed time within an hour that the clock leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstGap {
    /// It is due at the first moment after that hour.
    #[default]
    Shift,
    /// It is not due on that day.
    Skip,
}

impl DstGap {
    pub fn is_shift(&self) -> bool {
        *self == Self::Shift
    }
}

/// A cron expression in a time zone, which is due again and again.
#[derive(Clone)]
pub struct Cron {
    expression: String,
    parsed: croner::Cron,
    zone: TimeZone,
    gap: DstGap,
    /// It names its times of day one by one.
    is_fixed: bool,
    /// The hour or the day of which it is due in every minute, if in any.
    block_ms: Option<i64>,
}

impl Cron {
    /// `expression` has five fields, or is one of `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`,
    /// `@yearly` and `@annually`; `zone` is an IANA time zone.
    pub fn new(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let expression = expression.trim();
        let shown = || expression.chars().take(100).collect::<String>();
        let fields = expression.split_whitespace().count();
        let word = expression.starts_with('@');
        if expression.len() > TEXT_BYTES_MAX || fields != if word { 1 } else { 5 } {
            let text = shown();
            return Err(ScheduleError::Fields { text, fields });
        }
        let bad = |reason: String| ScheduleError::Cron {
            text: shown(),
            reason,
        };
        let spelled = match expression.to_ascii_lowercase().as_str() {
            "@midnight" => "@daily",
            _ => expression,
        };
        // The library takes `1,,2` for `1,2`.
        let mut lists = spelled.split_whitespace();
        if lists.any(|field| field.split(',').any(str::is_empty)) {
            return Err(bad("a list has an empty place".to_owned()));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            // `5/15` is `5-59/15`, as most libraries read it.
            .sloppy_ranges(true)
            .build();
        let parsed = parser.parse(spelled).map_err(|e| bad(e.to_string()))?;
        let named = (zone.len() <= TEXT_BYTES_MAX)
            .then(|| zones().get(zone).ok())
            .flatten();
        let zone =
            named.ok_or_else(|| ScheduleError::TimeZone(zone.chars().take(100).collect()))?;
        let mut times = expression.split_whitespace().take(2);
        let block_ms = match (times.next(), times.next()) {
            (Some("*"), Some("*")) => Some(DAY_MS),
            (Some("*"), _) => Some(HOUR_MS),
            _ => None,
        };
        let mut times = expression.split_whitespace().take(2);
        // To the library, what has several values is no fixed time.
        let is_fixed = parsed.determine_job_type() == JobType::FixedTime
            || (!word && !times.any(|field| field.contains(['*', '/'])));
        let cron = Self {
            expression: expression.to_owned(),
            parsed,
            zone,
            gap: DstGap::Shift,
            is_fixed,
            block_ms,
        };
        match cron.next_after(LONG_AGO) {
            Some(_) => Ok(cron),
            None => Err(ScheduleError::Never(cron.expression)),
        }
    }

    /// The same with another choice for hours that are left out.
    #[must_use]
    pub fn with_gap(mut self, gap: DstGap) -> Self {
        self.gap = gap;
        self
    }

    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone's name.
    #[must_use]
    pub fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The time zone as it came with this build.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let from = moment(after)?.to_zoned(self.zone.clone());
        if !self.is_fixed {
            return timestamp(self.find(&from)?.timestamp());
        }
        // By the clock on the wall, and from there to moments, which never go back.
        let mut wall = from.datetime();
        loop {
            let shown = wall.to_zoned(TimeZone::UTC).ok()?;
            wall = self.find(&shown)?.datetime();
            let at = self.moment_of(wall);
            if let Some(at) = at.filter(|at| *at > after) {
                return Some(at);
            }
        }
    }

    /// Whether it is due at `at`, or the clock on the wall shows one of its times, the second time, too.
    pub fn names(&self, at: Timestamp) -> bool {
        let shown = moment(at).filter(|_| at.0.is_multiple_of(1000));
        let shown = shown.map(|shown| shown.to_zoned(self.zone.clone()));
        let shows =
            shown.is_some_and(|shown| self.parsed.is_time_matching(&shown).unwrap_or(false));
        let just_before = Timestamp(at.0.saturating_sub(1));
        shows || self.is_fixed && self.next_after(just_before) == Some(at)
    }

    /// The minutes of a day at which it is due, on a day that it names.
    pub fn minutes_of_day(&self) -> Vec<u64> {
        let mut minutes = Vec::new();
        // Its midnight, too.
        let just_before = moment(Timestamp(LONG_AGO.0 - 1000));
        let mut from = just_before.map(|from| from.to_zoned(TimeZone::UTC));
        let mut day = None;
        while let Some(next) = from.as_ref().and_then(|from| self.find(from)) {
            if *day.get_or_insert(next.date()) != next.date() {
                break;
            }
            minutes.push(
                u64::from(next.hour().unsigned_abs()) * 60
                    + u64::from(next.minute().unsigned_abs()),
            );
            from = Some(next);
        }
        minutes
    }

    /// The first day that it names from `day` on, both counted from the epoch.
    pub fn day_from(&self, day: i64) -> Option<i64> {
        let start = Moment::from_millisecond(day.checked_mul(DAY_MS)?).ok()?;
        let start = start.to_zoned(TimeZone::UTC);
        let next = self.parsed.find_next_occurrence(&start, true).ok()?;
        Some(next.timestamp().as_millisecond().div_euclid(DAY_MS))
    }

    /// By how much the clock on the wall is ahead of UTC.
    pub fn ahead_of_utc_ms(&self, at: Timestamp) -> i64 {
        let offset = moment(at).map(|at| self.zone.to_offset(at).seconds());
        i64::from(offset.unwrap_or_default()) * 1000
    }

    /// When that clock changes between two times, and by how much.
    pub fn clock_changes(&self, from: u64, until: u64) -> Vec<(u64, u64)> {
        let Some(start) = moment(Timestamp(from)) else {
            return Vec::new();
        };
        let mut ahead = self.ahead_of_utc_ms(Timestamp(from));
        let mut changes = Vec::new();
        for change in self.zone.following(start) {
            let at = change.timestamp().as_millisecond();
            let Some(at) = u64::try_from(at).ok().filter(|at| *at < until) else {
                break;
            };
            let now = i64::from(change.offset().seconds()) * 1000;
            changes.push((at, now.abs_diff(ahead)));
            ahead = now;
        }
        changes
    }

    fn find(&self, after: &Zoned) -> Option<Zoned> {
        self.parsed.find_next_occurrence(after, false).ok()
    }

    /// When the clock on the wall first shows this or, where that is left out, what comes after it.
    fn moment_of(&self, wall: DateTime) -> Option<Timestamp> {
        let found = self.zone.to_ambiguous_timestamp(wall);
        let AmbiguousOffset::Gap { before, after } = found.offset() else {
            return timestamp(found.earlier().ok()?);
        };
        if self.gap == DstGap::Skip || after.seconds() - before.seconds() > GAP_SECONDS_MAX {
            return None;
        }
        let just_before = after.to_timestamp(wall).ok()?;
        let mut changes = self.zone.following(just_before);
        timestamp(changes.find(|change| change.offset() == after)?.timestamp())
    }

    /// The end of the hour or day around `at` of which it is due in every minute, if there is one in which the
    /// clock does not change.
    pub fn block_end(&self, at: Timestamp) -> Option<Timestamp> {
        let block_ms = self.block_ms?;
        let from = moment(at)?;
        let offset_ms = i64::from(self.zone.to_offset(from).seconds()) * 1000;
        let into_ms = (from.as_millisecond() + offset_ms).rem_euclid(block_ms);
        let end = Moment::from_millisecond(from.as_millisecond() + block_ms - into_ms).ok()?;
        let change = self.zone.following(from).next();
        if change.is_some_and(|change| change.timestamp() < end) {
            return None;
        }
        timestamp(end)
    }
}

fn timestamp(moment: Moment) -> Option<Timestamp> {
    let ms = u64::try_from(moment.as_millisecond()).ok()?;
    Some(Timestamp(ms))
}

fn moment(at: Timestamp) -> Option<Moment> {
    let ms = i64::try_from(at.0).ok()?;
    Moment::from_millisecond(ms).ok()
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.timezone() == other.timezone()
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?}, {})", self.expression, self.timezone())
    }
}
