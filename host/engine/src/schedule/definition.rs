//! A schedule as it is written and stored: what it starts, when, and what happens when that can't be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Cron, DstGap, Interval, ScheduleError, Timing};
use crate::health::Hold;
use crate::job::{JobTarget, Priority, Retry};
use crate::limits::SCHEDULE_PAYLOAD_BYTES;
use crate::manifest::ScheduleSpec;
use crate::{Name, Timestamp, is_default};

/// Most rules of one schedule, and most exclusions, each.
pub const RULES_MAX: usize = 10;
/// Longest dedup key and external id, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// Most labels; longest name and value of one, in bytes.
pub const LABELS_MAX: usize = 32;
/// Most runs of one schedule at the same time.
pub const ALLOW_MAX: u32 = 100;
/// Most fires that are caught up with at once.
pub const CATCHUP_MAX: u32 = 100;
/// Longest catch-up window: 30 days.
pub const CATCHUP_WINDOW_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;
/// Longest spread: a day.
pub const SPREAD_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Longest note of a pause, in bytes.
pub const NOTE_BYTES_MAX: usize = 1000;

crate::id::id!(
    /// Identifies a schedule.
    ScheduleId, ScheduleIdError, "sch", "a schedule id"
);

/// One rule of when something is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ScheduleRule {
    /// At whole multiples of an interval since 1970.
    Every { every: Interval },
    /// By a cron expression in an IANA time zone.
    Cron {
        cron: String,
        #[serde(default = "utc")]
        timezone: String,
        /// What becomes of a fixed time within an hour that the clock leaves out.
        #[serde(default, skip_serializing_if = "DstGap::is_shift")]
        dst_gap: DstGap,
    },
    /// Once.
    At { at: Timestamp },
}

fn utc() -> String {
    "UTC".to_owned()
}

impl ScheduleRule {
    /// The same as a manifest has it; `None` for an interval that is none, which no manifest that was
    /// checked has.
    #[must_use]
    pub fn of(spec: &ScheduleSpec) -> Option<Self> {
        Some(match spec {
            ScheduleSpec::Every { every } => Self::Every {
                every: every.parse().ok()?,
            },
            ScheduleSpec::Cron { cron, timezone } => Self::Cron {
                cron: cron.clone(),
                timezone: timezone.clone(),
                dst_gap: DstGap::Shift,
            },
        })
    }

    /// Checked and ready to be asked.
    pub fn timing(&self) -> Result<Timing, ScheduleError> {
        Ok(match self {
            Self::Every { every } => Timing::Every(*every),
            Self::Cron {
                cron,
                timezone,
                dst_gap,
            } => Timing::Cron(Box::new(Cron::new(cron, timezone)?.with_gap(*dst_gap))),
            Self::At { at } => Timing::Once(*at),
        })
    }
}

/// What happens to a fire while an earlier one's job has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing, and that is recorded.
    #[default]
    Skip,
    /// One waits; further ones are skipped.
    QueueOne,
    /// The earlier one is cancelled.
    CancelPrevious,
    /// Up to `max` at the same time; a sync still runs once at a time.
    Allow { max: u32 },
}

/// What happens to fires that were due while nothing could fire them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// The latest is made up for, if it lies within the catch-up window.
    #[default]
    Latest,
    /// None is.
    Skip,
    /// The latest `max_catchup` of the window are.
    All,
}

/// Everything that a person or an application decides about a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What a fire starts.
    pub target: JobTarget,
    /// It is due when any of these is.
    pub when: Vec<ScheduleRule>,
    /// But not at the moments of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<ScheduleRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// Not due after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_at: Option<Timestamp>,
    /// Completed after so many fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fires: Option<u64>,
    /// Fires start up to so many milliseconds late, always the same for one schedule.
    #[serde(default, skip_serializing_if = "is_default")]
    pub spread_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlap: Overlap,
    #[serde(default, skip_serializing_if = "is_default")]
    pub misfire: Misfire,
    /// How late a fire may be made up for; by default until the next is due, a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catchup_window_ms: Option<u64>,
    #[serde(default = "ten", skip_serializing_if = "is_ten")]
    pub max_catchup: u32,
    /// Pause after so many jobs in a row have failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_on_failures: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// How long a job of it may wait for its first run before it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ttl_ms: Option<u64>,
    /// What the application calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Creating another one with the same key changes this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn ten() -> u32 {
    10
}

fn is_ten(number: &u32) -> bool {
    *number == ten()
}

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("{place}: {error}")]
    When { place: String, error: ScheduleError },
    #[error("{name} is {value}; it lies between {min} and {max}")]
    Bounds {
        name: &'static str,
        value: u64,
        min: u64,
        max: u64,
    },
    #[error("end_at does not lie after start_at")]
    Order,
    #[error("the payload is not JSON: {0}")]
    Payload(String),
    #[error("what it says is never due between start_at and end_at")]
    Never,
    #[error("a moment to be due once lies in the past: to run it now, trigger it")]
    Past,
    #[error("it belongs to connection {0} and stays with it: make another one")]
    Moved(crate::ConnectionKey),
}

impl Definition {
    /// A schedule of `target` at `when`, with every other choice at its default.
    #[must_use]
    pub fn new(target: JobTarget, when: Vec<ScheduleRule>) -> Self {
        Self {
            target,
            when,
            exclude: Vec::new(),
            start_at: None,
            end_at: None,
            max_fires: None,
            spread_ms: 0,
            overlap: Overlap::default(),
            misfire: Misfire::default(),
            catchup_window_ms: None,
            max_catchup: ten(),
            pause_on_failures: None,
            priority: Priority::default(),
            retry: Retry::default(),
            queue_ttl_ms: None,
            external_id: None,
            dedup_key: None,
            labels: BTreeMap::new(),
        }
    }

    /// Check every bound.
    pub fn check(&self) -> Result<(), DefinitionError> {
        for (place, rules, min) in [("when", &self.when, 1), ("exclude", &self.exclude, 0)] {
            bounds(place, rules.len() as u64, min, RULES_MAX as u64)?;
            for (index, when) in rules.iter().enumerate() {
                when.timing().map_err(|error| DefinitionError::When {
                    place: format!("{place}[{index}]"),
                    error,
                })?;
            }
        }
        if let (Some(start), Some(end)) = (self.start_at, self.end_at)
            && end <= start
        {
            return Err(DefinitionError::Order);
        }
        self.check_numbers()?;
        self.check_labels()?;
        self.retry.check()?;
        if let Some(payload) = self.target.input() {
            bounds(
                "the payload's length",
                payload.len() as u64,
                1,
                SCHEDULE_PAYLOAD_BYTES,
            )?;
            serde_json::from_str::<serde::de::IgnoredAny>(payload)
                .map_err(|error| DefinitionError::Payload(error.to_string()))?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), DefinitionError> {
        let window = self.catchup_window_ms.unwrap_or_default();
        let max_allowed = match self.overlap {
            Overlap::Allow { max } => max,
            _ => 1,
        };
        let key = |key: &Option<String>| key.as_ref().map_or(1, String::len) as u64;
        let rows = [
            ("max_fires", self.max_fires.unwrap_or(1), 1, u64::MAX),
            ("spread_ms", self.spread_ms, 0, SPREAD_MS_MAX),
            ("catchup_window_ms", window, 0, CATCHUP_WINDOW_MS_MAX),
            (
                "max_catchup",
                self.max_catchup.into(),
                1,
                CATCHUP_MAX.into(),
            ),
            ("overlap.max", max_allowed.into(), 1, ALLOW_MAX.into()),
            (
                "pause_on_failures",
                self.pause_on_failures.unwrap_or(1).into(),
                1,
                1000,
            ),
            (
                "queue_ttl_ms",
                self.queue_ttl_ms.unwrap_or(1000),
                1000,
                CATCHUP_WINDOW_MS_MAX,
            ),
            (
                "external_id's length",
                key(&self.external_id),
                1,
                KEY_BYTES_MAX as u64,
            ),
            (
                "dedup_key's length",
                key(&self.dedup_key),
                1,
                KEY_BYTES_MAX as u64,
            ),
        ];
        for (name, value, min, max) in rows {
            bounds(name, value, min, max)?;
        }
        Ok(())
    }

    fn check_labels(&self) -> Result<(), DefinitionError> {
        let count = self.labels.len() as u64;
        bounds("the number of labels", count, 0, LABELS_MAX as u64)?;
        for (name, value) in &self.labels {
            let (name, value) = (name.len() as u64, value.len() as u64);
            bounds("a label's name's length", name, 1, KEY_BYTES_MAX as u64)?;
            bounds("a label's length", value, 0, KEY_BYTES_MAX as u64)?;
        }
        Ok(())
    }

    /// Whether it is to be due once at a moment that has passed, and that `before` did not name already.
    #[must_use]
    pub(crate) fn names_the_past(&self, before: Option<&Self>, now: Timestamp) -> bool {
        self.when.iter().any(|when| {
            let has_passed = matches!(when, ScheduleRule::At { at } if *at <= now);
            has_passed && !before.is_some_and(|before| before.when.contains(when))
        })
    }

    /// Whether the moments at which it is due may differ from those of `other`.
    #[must_use]
    pub(crate) fn is_due_otherwise(&self, other: &Self) -> bool {
        let moments = |d: &Self| {
            (
                d.when.clone(),
                d.exclude.clone(),
                d.start_at,
                d.end_at,
                d.spread_ms,
            )
        };
        moments(self) != moments(other) || self.max_fires != other.max_fires
    }
}

/// `name` must lie between `min` and `max`.
pub(crate) fn bounds(
    name: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), DefinitionError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(DefinitionError::Bounds {
        name,
        value,
        min,
        max,
    })
}

/// Who made a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The manifest's default, for each connection.
    Manifest,
    /// A person or an application.
    User,
}

/// Why a schedule fires nothing for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// It resumes by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// It was not paused by anybody: so many of its jobs had failed in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

/// When a schedule is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The moment by its rules, which names the fire.
    pub scheduled_for: Timestamp,
    /// That moment and the schedule's spread.
    pub at: Timestamp,
}

/// What has become of a schedule so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// `None` while it is paused and once it is completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Due>,
    /// It will never be due again.
    #[serde(skip_serializing_if = "is_default")]
    pub completed: bool,
    /// When it was last looked at because it was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<Timestamp>,
    /// Fires that became jobs.
    #[serde(skip_serializing_if = "is_default")]
    pub fires: u64,
    /// Fires that were skipped because an earlier one's job had not ended.
    #[serde(skip_serializing_if = "is_default")]
    pub overlaps: u64,
    /// Fires that were skipped because their target is held ([`crate::health`]).
    #[serde(skip_serializing_if = "is_default")]
    pub held: u64,
    /// Moments that passed while nothing could fire, and were not made up for.
    #[serde(skip_serializing_if = "is_default")]
    pub missed: u64,
    /// Jobs in a row that failed for good.
    #[serde(skip_serializing_if = "is_default")]
    pub failures: u32,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub id: ScheduleId,
    pub definition: Definition,
    pub origin: Origin,
    /// Counts changes of the definition and pauses, not fires.
    pub revision: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub progress: Progress,
}

impl Schedule {
    /// When it was last decided what is due next.
    #[must_use]
    pub fn decided_at(&self) -> Timestamp {
        let fired_at = self.progress.fired_at.unwrap_or_default();
        self.updated_at.max(fired_at)
    }
}

/// What became of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FireOutcome {
    /// A job, which says what became of it.
    Started { job: crate::job::JobId },
    /// An earlier one's job had not ended.
    Overlap,
    /// Its target is held: a person has to act first.
    Held { reason: Hold },
    /// This moment and those up to `until` passed while nothing could fire, and are not made up for.
    Missed {
        until: Timestamp,
        /// How many; of more than a hundred thousand, at least that many.
        moments: u64,
    },
}

impl FireOutcome {
    /// Whether its moment has been decided on by itself, rather than passed over with others.
    #[must_use]
    pub fn is_own(&self) -> bool {
        !matches!(self, Self::Missed { .. })
    }
}

/// A fire: one due moment of a schedule, or several that were missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    pub schedule: ScheduleId,
    pub scheduled_for: Timestamp,
    /// When that was decided.
    pub at: Timestamp,
    #[serde(flatten)]
    pub outcome: FireOutcome,
}

/// The id of the schedule that a manifest's default makes of a connection's sync. A connection that is
/// removed and added again has another one.
#[must_use]
pub fn manifest_schedule(
    connection: &crate::ConnectionKey,
    created_at: Timestamp,
    sync: &Name,
) -> ScheduleId {
    let text = connection.to_string();
    let parts = [text.as_bytes(), sync.as_str().as_bytes()];
    ScheduleId::derived(created_at, &parts)
}
