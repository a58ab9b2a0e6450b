//! Schedules as they are asked for and shown, and what became of their moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_engine::job::{JobId, JobTarget};
use tidegate_engine::schedule::{self, Definition, ScheduleId};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

use super::connection::Hold;
use super::job::JobPriority;
use super::text::{self, Time};
use super::word::words;

mod policy;
mod rule;

use policy::{Misfire, Overlap, Retry, ScheduleOrigin};
pub use rule::{DstGap, ScheduleRule, moment};

words! {
    /// Whether a schedule fires.
    pub(crate) enum ScheduleState {
        Active = "active",
        Paused = "paused",
        /// It is never due again.
        Completed = "completed",
    }
}

words! {
    /// What became of a moment of a schedule.
    pub(crate) enum FireOutcome of schedule::FireOutcome {
        /// A job, which says what became of it.
        Started = "started",
        /// An earlier one's job had not ended.
        Overlap = "overlap",
        /// The sync or action is held: a person has to act first.
        Held = "held",
        /// Nothing could fire then, and it is not made up for.
        Missed = "missed",
    }
}

/// What decides about a schedule, as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    /// The sync to run; or `action`.
    #[schema(value_type = Option<text::Name>)]
    sync: Option<Name>,
    #[schema(value_type = Option<text::Name>)]
    action: Option<Name>,
    /// The action's input, at most 64 KiB.
    #[schema(value_type = Option<text::JsonValue>)]
    input: Option<Box<RawValue>>,
    /// It is due when any of these is.
    when: Vec<ScheduleRule>,
    /// But not at the moments of these.
    #[serde(default)]
    exclude: Vec<ScheduleRule>,
    #[schema(value_type = Option<Time>)]
    start_at: Option<String>,
    #[schema(value_type = Option<Time>)]
    end_at: Option<String>,
    max_fires: Option<u64>,
    #[serde(default)]
    spread_ms: u64,
    /// `{"policy": "skip"}` unless it is given.
    #[serde(default)]
    overlap: Overlap,
    /// `latest` unless it is given.
    #[serde(default)]
    misfire: Misfire,
    catchup_window_ms: Option<u64>,
    max_catchup: Option<u32>,
    pause_on_failures: Option<u32>,
    /// `normal` unless it is given.
    #[serde(default)]
    priority: JobPriority,
    #[serde(default)]
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
        definition.overlap = self.overlap.into();
        definition.misfire = self.misfire.into();
        definition.catchup_window_ms = self.catchup_window_ms;
        definition.max_catchup = self.max_catchup.unwrap_or(definition.max_catchup);
        definition.pause_on_failures = self.pause_on_failures;
        definition.priority = self.priority.into();
        definition.retry = self.retry.into();
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
    #[schema(value_type = text::ScheduleId)]
    schedule: ScheduleId,
    state: ScheduleState,
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[schema(value_type = Option<text::Name>)]
    sync: Option<Name>,
    /// The variant of the sync.
    #[schema(value_type = Option<text::Name>)]
    variant: Option<Name>,
    #[schema(value_type = Option<text::Name>)]
    action: Option<Name>,
    when: Vec<ScheduleRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<ScheduleRule>,
    start_at: Option<Time>,
    end_at: Option<Time>,
    max_fires: Option<u64>,
    spread_ms: u64,
    overlap: Overlap,
    misfire: Misfire,
    catchup_window_ms: Option<u64>,
    max_catchup: u32,
    pause_on_failures: Option<u32>,
    priority: JobPriority,
    retry: Retry,
    queue_ttl_ms: Option<u64>,
    external_id: Option<String>,
    dedup_key: Option<String>,
    labels: BTreeMap<String, String>,
    origin: ScheduleOrigin,
    revision: u64,
    created_at: Time,
    updated_at: Time,
    /// The moment that is due next, by its rules.
    next_fire: Option<Time>,
    /// When that starts: its spread later.
    next_start: Option<Time>,
    paused_at: Option<Time>,
    paused_until: Option<Time>,
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
                (true, _) => ScheduleState::Paused,
                (_, true) => ScheduleState::Completed,
                _ => ScheduleState::Active,
            },
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            sync: sync.cloned(),
            variant: variant.cloned(),
            action: action.cloned(),
            when: definition.when.iter().map(Into::into).collect(),
            exclude: definition.exclude.iter().map(Into::into).collect(),
            start_at: definition.start_at.map(Time),
            end_at: definition.end_at.map(Time),
            max_fires: definition.max_fires,
            spread_ms: definition.spread_ms,
            overlap: definition.overlap.into(),
            misfire: definition.misfire.into(),
            catchup_window_ms: definition.catchup_window_ms,
            max_catchup: definition.max_catchup,
            pause_on_failures: definition.pause_on_failures,
            priority: definition.priority.into(),
            retry: definition.retry.into(),
            queue_ttl_ms: definition.queue_ttl_ms,
            external_id: definition.external_id.clone(),
            dedup_key: definition.dedup_key.clone(),
            labels: definition.labels.clone(),
            origin: schedule.origin.into(),
            revision: schedule.revision,
            created_at: Time(schedule.created_at),
            updated_at: Time(schedule.updated_at),
            next_fire: progress.next.map(|due| Time(due.scheduled_for)),
            next_start: progress.next.map(|due| Time(due.at)),
            paused_at: pause.map(|pause| Time(pause.at)),
            paused_until: pause.and_then(|pause| pause.until).map(Time),
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
    #[schema(value_type = text::ScheduleId)]
    schedule: ScheduleId,
    scheduled_for: Time,
    /// When that was decided.
    at: Time,
    outcome: FireOutcome,
    /// Why it was held.
    reason: Option<Hold>,
    /// What it started.
    #[schema(value_type = Option<text::JobId>)]
    job: Option<JobId>,
    /// The last moment that was missed, and how many were.
    missed_until: Option<Time>,
    missed: Option<u64>,
}

impl From<&schedule::Fire> for Fire {
    fn from(fire: &schedule::Fire) -> Self {
        let (job, reason, missed) = match &fire.outcome {
            schedule::FireOutcome::Started { job } => (Some(*job), None, None),
            schedule::FireOutcome::Overlap => (None, None, None),
            schedule::FireOutcome::Held { reason } => (None, Some((*reason).into()), None),
            schedule::FireOutcome::Missed { until, moments } => {
                (None, None, Some((*until, *moments)))
            }
        };
        Self {
            schedule: fire.schedule,
            scheduled_for: Time(fire.scheduled_for),
            at: Time(fire.at),
            outcome: fire.outcome.clone().into(),
            reason,
            job,
            missed_until: missed.map(|(until, _)| Time(until)),
            missed: missed.map(|(_, moments)| moments),
        }
    }
}

/// A moment at which a schedule is due.
#[derive(Debug, Serialize, ToSchema)]
pub struct Due {
    /// By its rules.
    scheduled_for: Time,
    /// The same by the clock of the rule's time zone, with its offset.
    #[schema(value_type = Time)]
    local: String,
    /// When it starts: its spread later.
    starts_at: Time,
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
            scheduled_for: Time(due.scheduled_for),
            local: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            starts_at: Time(due.at),
        })
    }
}
