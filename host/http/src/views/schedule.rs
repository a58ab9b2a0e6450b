//! Schedules as they are asked for and shown, and what became of their moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_engine::health::Hold;
use tidegate_engine::job::{JobId, JobTarget, Priority, Retry};
use tidegate_engine::schedule::{
    self, Definition, DstGap, FireOutcome, Misfire, Origin, Overlap, ScheduleId,
};
use tidegate_engine::{ConnectionKey, ConnectionName, Name, Timestamp};
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

/// One rule of when: `{"every": "15m"}`, `{"cron": "0 6 * * *", "timezone": "Europe/Berlin"}` or
/// `{"at": "2027-01-01T00:00:00Z"}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleRule {
    /// `s`, `m`, `h` or `d`; 10s to 366d.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Five fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An IANA time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `shift` (the default) or `skip`: a fixed time within an hour that the clock leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub dst_gap: Option<DstGap>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl ScheduleRule {
    pub fn parse(&self) -> Result<schedule::ScheduleRule> {
        match (&self.every, &self.cron, &self.at) {
            (Some(every), None, None) if self.timezone.is_none() => {
                Ok(schedule::ScheduleRule::Every {
                    every: every.parse().map_err(Problem::invalid)?,
                })
            }
            (None, Some(cron), None) => Ok(schedule::ScheduleRule::Cron {
                cron: cron.clone(),
                timezone: self.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
                dst_gap: self.dst_gap.unwrap_or_default(),
            }),
            (None, None, Some(at)) => Ok(schedule::ScheduleRule::At { at: moment(at)? }),
            _ => Err(Problem::invalid(
                "a rule is one of every, cron (with timezone) and at",
            )),
        }
    }
}

impl From<&schedule::ScheduleRule> for ScheduleRule {
    fn from(when: &schedule::ScheduleRule) -> Self {
        match when {
            schedule::ScheduleRule::Every { every } => Self {
                every: Some(every.to_string()),
                ..Self::default()
            },
            schedule::ScheduleRule::Cron {
                cron,
                timezone,
                dst_gap,
            } => Self {
                cron: Some(cron.clone()),
                timezone: Some(timezone.clone()),
                dst_gap: Some(*dst_gap),
                ..Self::default()
            },
            schedule::ScheduleRule::At { at } => Self {
                at: Some(display::time(*at)),
                ..Self::default()
            },
        }
    }
}

/// A moment from RFC 3339.
pub fn moment(text: &str) -> Result<Timestamp> {
    let parsed: jiff::Timestamp = text.parse().map_err(|_| {
        Problem::invalid(format!("{text:?} is no time such as 2027-01-31T06:00:00Z"))
    })?;
    let ms = u64::try_from(parsed.as_millisecond());
    ms.map(Timestamp)
        .map_err(|_| Problem::invalid("a time before 1970 is no time to be due"))
}

/// What decides about a schedule, as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    #[schema(value_type = String)]
    integration: Name,
    #[schema(value_type = String)]
    connection: ConnectionName,
    /// The sync to run; or `action`.
    #[schema(value_type = Option<String>)]
    sync: Option<Name>,
    #[schema(value_type = Option<String>)]
    action: Option<Name>,
    /// The action's input, at most 64 KiB.
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<Box<RawValue>>,
    /// It is due when any of these is.
    when: Vec<ScheduleRule>,
    /// But not at the moments of these.
    #[serde(default)]
    exclude: Vec<ScheduleRule>,
    start_at: Option<String>,
    end_at: Option<String>,
    max_fires: Option<u64>,
    #[serde(default)]
    spread_ms: u64,
    /// `{"policy": "skip"}` (the default), `queue_one`, `cancel_previous`, `{"policy": "allow", "max": 3}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    overlap: Overlap,
    /// `latest` (the default), `skip` or `all`.
    #[serde(default)]
    #[schema(value_type = String)]
    misfire: Misfire,
    catchup_window_ms: Option<u64>,
    max_catchup: Option<u32>,
    pause_on_failures: Option<u32>,
    /// `high`, `normal` (the default) or `low`.
    #[serde(default)]
    #[schema(value_type = String)]
    priority: Priority,
    /// `{"max_attempts": 5, "first_ms": 5000, "max_ms": 3600000}`
    #[serde(default)]
    #[schema(value_type = Object)]
    retry: Retry,
    queue_ttl_ms: Option<u64>,
    external_id: Option<String>,
    /// Asking again with the same key changes that schedule.
    dedup_key: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl NewSchedule {
    /// Checked as far as it can be by itself.
    pub(crate) fn definition(self) -> Result<Definition> {
        let connection = ConnectionKey {
            integration: self.integration,
            connection: self.connection,
        };
        let target = match (self.sync, self.action, self.input) {
            (Some(sync), None, None) => JobTarget::Sync {
                connection,
                sync,
                variant: Name::base_variant(),
                reset: false,
                empty: false,
                allow_deletes: false,
            },
            (None, Some(action), Some(input)) => JobTarget::Action {
                connection,
                action,
                input: String::from(Box::<str>::from(input)).into(),
            },
            _ => {
                let message = "a schedule has either sync, or action and input";
                return Err(Problem::invalid(message));
            }
        };
        let rules = |rules: &[ScheduleRule]| {
            rules
                .iter()
                .map(ScheduleRule::parse)
                .collect::<Result<Vec<_>>>()
        };
        let moment = |text: Option<String>| text.as_deref().map(moment).transpose();
        let mut definition = Definition::new(target, rules(&self.when)?);
        definition.exclude = rules(&self.exclude)?;
        definition.start_at = moment(self.start_at)?;
        definition.end_at = moment(self.end_at)?;
        definition.max_fires = self.max_fires;
        definition.spread_ms = self.spread_ms;
        definition.overlap = self.overlap;
        definition.misfire = self.misfire;
        definition.catchup_window_ms = self.catchup_window_ms;
        definition.max_catchup = self.max_catchup.unwrap_or(definition.max_catchup);
        definition.pause_on_failures = self.pause_on_failures;
        definition.priority = self.priority;
        definition.retry = self.retry;
        definition.queue_ttl_ms = self.queue_ttl_ms;
        definition.external_id = self.external_id;
        definition.dedup_key = self.dedup_key;
        definition.labels = self.labels;
        definition.check().map_err(Problem::invalid)?;
        Ok(definition)
    }
}

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
pub struct Schedule {
    #[schema(value_type = String)]
    schedule: ScheduleId,
    /// `active`, `paused` or `completed`.
    state: &'static str,
    #[schema(value_type = String)]
    integration: Name,
    #[schema(value_type = String)]
    connection: ConnectionName,
    #[schema(value_type = Option<String>)]
    sync: Option<Name>,
    /// The variant of the sync.
    #[schema(value_type = Option<String>)]
    variant: Option<Name>,
    #[schema(value_type = Option<String>)]
    action: Option<Name>,
    when: Vec<ScheduleRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<ScheduleRule>,
    start_at: Option<String>,
    end_at: Option<String>,
    max_fires: Option<u64>,
    spread_ms: u64,
    #[schema(value_type = Object)]
    overlap: Overlap,
    #[schema(value_type = String)]
    misfire: Misfire,
    catchup_window_ms: Option<u64>,
    max_catchup: u32,
    pause_on_failures: Option<u32>,
    #[schema(value_type = String)]
    priority: Priority,
    #[schema(value_type = Object)]
    retry: Retry,
    queue_ttl_ms: Option<u64>,
    external_id: Option<String>,
    dedup_key: Option<String>,
    labels: BTreeMap<String, String>,
    /// `manifest` or `user`.
    #[schema(value_type = String)]
    origin: Origin,
    revision: u64,
    created_at: String,
    updated_at: String,
    /// The moment that is due next, by its rules.
    next_fire: Option<String>,
    /// When that starts: its spread later.
    next_start: Option<String>,
    paused_at: Option<String>,
    paused_until: Option<String>,
    pause_note: Option<String>,
    fires: u64,
    overlaps: u64,
    /// Fires that were skipped because the sync or action is held.
    held: u64,
    missed: u64,
    /// Jobs in a row that failed for good.
    failures: u32,
}

impl From<&schedule::Schedule> for Schedule {
    fn from(schedule: &schedule::Schedule) -> Self {
        let definition = &schedule.definition;
        let progress = &schedule.progress;
        let pause = progress.paused.as_ref();
        let key = definition.target.connection();
        let (sync, variant, action) = match &definition.target {
            JobTarget::Sync { sync, variant, .. } => (Some(sync), Some(variant), None),
            JobTarget::Action { action, .. } => (None, None, Some(action)),
            // Events happen, and are not scheduled.
            JobTarget::Event { .. } => (None, None, None),
        };
        Self {
            schedule: schedule.id,
            state: match (pause.is_some(), progress.completed) {
                (true, _) => "paused",
                (_, true) => "completed",
                _ => "active",
            },
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            sync: sync.cloned(),
            variant: variant.cloned(),
            action: action.cloned(),
            when: definition.when.iter().map(Into::into).collect(),
            exclude: definition.exclude.iter().map(Into::into).collect(),
            start_at: definition.start_at.map(display::time),
            end_at: definition.end_at.map(display::time),
            max_fires: definition.max_fires,
            spread_ms: definition.spread_ms,
            overlap: definition.overlap,
            misfire: definition.misfire,
            catchup_window_ms: definition.catchup_window_ms,
            max_catchup: definition.max_catchup,
            pause_on_failures: definition.pause_on_failures,
            priority: definition.priority,
            retry: definition.retry,
            queue_ttl_ms: definition.queue_ttl_ms,
            external_id: definition.external_id.clone(),
            dedup_key: definition.dedup_key.clone(),
            labels: definition.labels.clone(),
            origin: schedule.origin,
            revision: schedule.revision,
            created_at: display::time(schedule.created_at),
            updated_at: display::time(schedule.updated_at),
            next_fire: progress.next.map(|due| display::time(due.scheduled_for)),
            next_start: progress.next.map(|due| display::time(due.at)),
            paused_at: pause.map(|pause| display::time(pause.at)),
            paused_until: pause.and_then(|pause| pause.until).map(display::time),
            pause_note: pause.map(|pause| pause.note.clone()),
            fires: progress.fires,
            overlaps: progress.overlaps,
            held: progress.held,
            missed: progress.missed,
            failures: progress.failures,
        }
    }
}

/// What became of one moment of a schedule, or of several that were missed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fire {
    #[schema(value_type = String)]
    schedule: ScheduleId,
    scheduled_for: String,
    /// When that was decided.
    at: String,
    /// `started`, `overlap`, `held` or `missed`.
    outcome: &'static str,
    /// Why it was held: `auth_failed` or `config_failed`.
    #[schema(value_type = Option<String>)]
    reason: Option<Hold>,
    /// What it started.
    #[schema(value_type = Option<String>)]
    job: Option<JobId>,
    /// The last moment that was missed, and how many were.
    missed_until: Option<String>,
    missed: Option<u64>,
}

impl From<&schedule::Fire> for Fire {
    fn from(fire: &schedule::Fire) -> Self {
        let (outcome, job, missed) = match &fire.outcome {
            FireOutcome::Started { job } => ("started", Some(*job), None),
            FireOutcome::Overlap => ("overlap", None, None),
            FireOutcome::Held { .. } => ("held", None, None),
            FireOutcome::Missed { until, moments } => ("missed", None, Some((*until, *moments))),
        };
        let reason = match &fire.outcome {
            FireOutcome::Held { reason } => Some(*reason),
            _ => None,
        };
        Self {
            schedule: fire.schedule,
            scheduled_for: display::time(fire.scheduled_for),
            at: display::time(fire.at),
            outcome,
            reason,
            job,
            missed_until: missed.map(|(until, _)| display::time(until)),
            missed: missed.map(|(_, moments)| moments),
        }
    }
}

/// A moment at which a schedule is due.
#[derive(Debug, Serialize, ToSchema)]
pub struct Due {
    /// By its rules.
    scheduled_for: String,
    /// The same by the clock of the rule's time zone, with its offset.
    local: String,
    /// When it starts: its spread later.
    starts_at: String,
}

impl Due {
    pub(crate) fn new(due: &schedule::Due, definition: &Definition) -> Result<Self> {
        let zone = definition.when.iter().find_map(|when| match when {
            schedule::ScheduleRule::Cron { timezone, .. } => Some(timezone.as_str()),
            _ => None,
        });
        let zone = schedule::zone(zone.unwrap_or("UTC")).map_err(Problem::invalid)?;
        let ms = i64::try_from(due.scheduled_for.0).map_err(Problem::internal)?;
        let moment = jiff::Timestamp::from_millisecond(ms).map_err(Problem::internal)?;
        let local = moment.to_zoned(zone);
        Ok(Self {
            scheduled_for: display::time(due.scheduled_for),
            local: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            starts_at: display::time(due.at),
        })
    }
}
