//! Rules of when a schedule is due.

use serde::{Deserialize, Serialize};
use tidegate_engine::Timestamp;
use tidegate_engine::schedule;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

use super::super::text::Time;
use super::super::word::words;

words! {
    /// What becomes of a fixed time within an hour that the clock leaves out.
    pub enum DstGap: Default of schedule::DstGap, and back {
        /// It is due at the first moment after that hour.
        Shift = "shift" default,
        /// It is not due on that day.
        Skip = "skip",
    }
}

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
    /// A fixed time within an hour that the clock leaves out; `shift` unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_gap: Option<DstGap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
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
                dst_gap: self.dst_gap.unwrap_or_default().into(),
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
                dst_gap: Some((*dst_gap).into()),
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
