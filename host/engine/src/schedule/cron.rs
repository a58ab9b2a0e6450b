//! A cron expression in a time zone: five fields, POSIX weekdays.
//!
//! Days on which clocks change: what falls into the hour that is left out is due at the first moment
//! after it; what falls into the hour that comes twice is due in the first of them, except where a
//! wildcard or a step says "every": that goes by elapsed time. (The rule of Vixie cron.)

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Moment};
use serde::{Deserialize, Serialize};

use super::{ScheduleError, zones};
use crate::Timestamp;

/// Longest expression and longest time zone, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The longest gap that the library looks behind.
const GAP_SECONDS_MAX: i32 = 2 * 60 * 60;
/// How many changes of a zone's clock are looked at for a longer one: decades.
const TRANSITIONS_MAX: usize = 200;
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
    pub(super) fn is_shift(&self) -> bool {
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
        let cron = Self {
            expression: expression.to_owned(),
            parsed,
            zone,
            gap: DstGap::Shift,
        };
        match moment(LONG_AGO).and_then(|from| cron.search(from, false)) {
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

    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let next = self.next_or_shifted(after)?;
        if self.gap == DstGap::Shift || self.is_as_written(next) {
            return Some(next);
        }
        // Two days in a row never leave the same hour out.
        self.next_or_shifted(next)
    }

    fn next_or_shifted(&self, after: Timestamp) -> Option<Timestamp> {
        let after = moment(after)?;
        self.search(after, false)
            .or_else(|| self.search_past_a_gap(after))
    }

    /// Whether the clock shows what the expression says, rather than what comes after a gap.
    fn is_as_written(&self, at: Timestamp) -> bool {
        moment(at).is_some_and(|at| {
            let at = at.to_zoned(self.zone.clone());
            self.parsed.is_time_matching(&at).unwrap_or(true)
        })
    }

    /// The library gives up at a gap of more than two hours (Apia left out 30 December 2011), and a
    /// schedule must not end there.
    fn search_past_a_gap(&self, after: Moment) -> Option<Timestamp> {
        let transitions = self.zone.following(after).take(TRANSITIONS_MAX);
        let gap = transitions
            .map(|transition| transition.timestamp())
            .find(|at| {
                let before = at.checked_sub(SignedDuration::from_secs(1)).unwrap_or(*at);
                let seconds = |moment| self.zone.to_offset(moment).seconds();
                seconds(*at) - seconds(before) > GAP_SECONDS_MAX
            })?;
        // The first moment behind the gap may be one.
        self.search(gap, true)
    }

    fn search(&self, from: Moment, inclusive: bool) -> Option<Timestamp> {
        let from = from.to_zoned(self.zone.clone());
        let next = self.parsed.find_next_occurrence(&from, inclusive).ok()?;
        let ms = u64::try_from(next.timestamp().as_millisecond()).ok()?;
        Some(Timestamp(ms))
    }
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
