//! How far the outside API has been read: the high-water mark, and the parameter that asks for
//! what came after it.
//!
//! The rules, each of which some API punishes the lack of:
//!
//! - The mark is only as good as the pull behind it: it counts when the pull is whole. (In an
//!   `ordered` pull each page continues where the last one ended, so there it also says where an
//!   interrupted pull goes on.)
//! - A record can change after its page was read,
//!   while another with a later change is read further on. So the mark is never later than the
//!   pull's begin, by the server's own clock (its `Date` header).
//! - A header such as `ETag` is taken from the first page: a later one covers changes to records
//!   whose pages had been read already.
//! - Clocks have a resolution, and replicas lag: the next pull begins `overlap_seconds` before the
//!   mark. What comes again unchanged costs nothing.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, scalar_text};

use crate::config::{self, OnMissingOverlap};
use crate::plan::text;
use crate::time::{self, Format};

/// How far: a time in Unix milliseconds, or a text that only the API understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Mark {
    Time(i64),
    Text(String),
}

/// Asks for changes only.
#[derive(Debug)]
pub(crate) struct Incremental {
    pub(crate) parameter: String,
    pub(crate) source: Source,
    parameter_format: Format,
    overlap_ms: i64,
    pub(crate) on_missing_overlap: OnMissingOverlap,
    initial: Option<String>,
    /// Of times without an offset.
    zone: Option<TimeZone>,
    key: ConfigPath,
}

/// Where the mark comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A header of the first page.
    Header(String),
    /// The latest value of a field of the records.
    Field { format: Format, ordered: bool },
}

impl Incremental {
    pub(crate) fn new(config: &config::Incremental, key: &ConfigPath) -> Result<Self> {
        let source = source(config, key)?;
        let format = match source {
            Source::Header(_) => Format::Opaque,
            Source::Field { format, .. } => format,
        };
        let parameter_format = config.parameter_format.unwrap_or(format);
        if (parameter_format == Format::Opaque) != (format == Format::Opaque) {
            return Err(key.at("parameter_format").wrong(format!(
                "`{}` can't be made of a mark of format `{}`",
                parameter_format.name(),
                format.name()
            )));
        }
        let overlap = match (format, parameter_format, config.overlap_seconds) {
            (Format::Opaque, _, Some(seconds)) if seconds > 0 => {
                return Err(key
                    .at("overlap_seconds")
                    .wrong("an opaque mark can't be set back; leave it out"));
            }
            (Format::Opaque, ..) => 0,
            (_, _, Some(seconds)) => seconds,
            // A day may be over before its last change is visible.
            (Format::Date, ..) | (_, Format::Date, _) => 86_400,
            _ => 1,
        };
        let by_field = matches!(source, Source::Field { .. });
        if config.on_missing_overlap == OnMissingOverlap::FullPull && !(by_field && overlap > 0) {
            return Err(key.at("on_missing_overlap").wrong(
                "needs a `field` and `overlap_seconds` above 0: nothing has to come again without",
            ));
        }
        let zone = match &config.zone {
            None => None,
            Some(name) => Some(time::zone(name).ok_or_else(|| {
                key.at("zone").wrong(format!(
                    "`{name}` is neither a time zone such as `Europe/Berlin` nor an offset such as `+02:00`"
                ))
            })?),
        };
        if zone.is_none() && [format, parameter_format].contains(&Format::Local) {
            return Err(key.at("zone").wrong("is missing, as a format is `local`"));
        }
        let initial = match &config.initial {
            None => None,
            Some(value) => Some(
                text(value)
                    .ok_or_else(|| key.at("initial").wrong("is no text, number or boolean"))?,
            ),
        };
        Ok(Incremental {
            parameter: config.parameter.clone(),
            source,
            parameter_format,
            overlap_ms: i64::from(overlap) * 1_000,
            on_missing_overlap: config.on_missing_overlap,
            initial,
            zone,
            key: key.clone(),
        })
    }

    /// Whether records come in the order of the field that the mark follows.
    pub(crate) fn ordered(&self) -> bool {
        matches!(self.source, Source::Field { ordered: true, .. })
    }

    /// The parameter's value for what came after `mark`.
    pub(crate) fn since(&self, mark: Option<&Mark>) -> Option<String> {
        match mark {
            None => self.initial.clone(),
            Some(Mark::Time(ms)) => Some(
                self.parameter_format
                    .write(ms.saturating_sub(self.overlap_ms), self.zone.as_ref()),
            ),
            Some(Mark::Text(text)) => Some(text.clone()),
        }
    }

    /// The earliest time that what is asked for since `mark` should have.
    pub(crate) fn earliest(&self, mark: i64) -> i64 {
        let rounded = match self.parameter_format {
            Format::Date => 86_400_000,
            // Seconds have no fraction.
            _ => 1_000,
        };
        mark.saturating_sub(self.overlap_ms).saturating_sub(rounded)
    }

    /// Whether the record that gave the mark has to come again when changes are asked for.
    pub(crate) fn overlaps(&self) -> bool {
        self.overlap_ms > 0 && matches!(self.source, Source::Field { .. })
    }

    /// Whether a stored mark is of the kind that this config makes.
    pub(crate) fn fits(&self, mark: &Mark) -> bool {
        let opaque = self.parameter_format == Format::Opaque;
        opaque == matches!(mark, Mark::Text(_))
    }

    /// Read a mark as the field's format has it, and say whether it was taken for UTC for want of a word; `None`
    /// for what does not fit the format.
    pub(crate) fn read(&self, raw: &RawValue, format: Format) -> Option<(Mark, bool)> {
        let text = scalar_text(raw)?;
        if format == Format::Opaque {
            return Some((Mark::Text(text.into_owned()), false));
        }
        let read = format.parse(&text, self.zone.as_ref())?;
        Some((Mark::Time(read.ms), read.assumed_utc))
    }

    /// The failure for times none of which fits the format.
    pub(crate) fn unreadable(&self, raw: &RawValue, format: Format) -> Failure {
        self.key.at("format").wrong(format!(
            "`{}` does not fit what a record has in `incremental.field`: {}",
            format.name(),
            raw.get()
        ))
    }

    /// The failure for a record that comes before another which it should follow.
    pub(crate) fn not_ordered(&self, before: i64, after: i64) -> Failure {
        self.key.at("ordered").wrong(format!(
            "the records are not sorted by `incremental.field`: {} comes after {}; sort them in \
             `query`, or leave `ordered` out",
            self.parameter_format.write(after, self.zone.as_ref()),
            self.parameter_format.write(before, self.zone.as_ref())
        ))
    }

    /// The failure for a first page without the header that the mark comes from.
    pub(crate) fn no_header(&self, name: &str, url: &str) -> Failure {
        self.key
            .at("header")
            .wrong(format!("the answer of {url} has no header `{name}`"))
    }

    /// What counts when a pull is whole: `found` is the mark that it ended with.
    pub(crate) fn settled(
        &self,
        before: Option<Mark>,
        found: Option<Mark>,
        begun: i64,
    ) -> Option<Mark> {
        let found = match found {
            // A time in the future would hide every change before it.
            Some(Mark::Time(ms)) => Some(Mark::Time(ms.min(begun))),
            found => found,
        };
        later(before, found)
    }
}

/// The later of two marks; of two texts, which can't be compared, the second.
pub(crate) fn later(first: Option<Mark>, second: Option<Mark>) -> Option<Mark> {
    match (first, second) {
        (Some(Mark::Time(first)), Some(Mark::Time(second))) => Some(Mark::Time(first.max(second))),
        (first, None) => first,
        (_, second) => second,
    }
}

fn source(config: &config::Incremental, key: &ConfigPath) -> Result<Source> {
    match (&config.field, &config.header) {
        (None, None) => Err(key.wrong(
            "needs `field`, a JSON pointer into each record, or `header`, a response header",
        )),
        (Some(_), Some(_)) => Err(key.at("header").wrong("can't go together with `field`")),
        (None, Some(header)) => {
            if config.ordered {
                return Err(key.at("ordered").wrong("needs `field`"));
            }
            if config.format.is_some_and(|format| format != Format::Opaque) {
                return Err(key.at("format").wrong("of a header can only be `opaque`"));
            }
            Ok(Source::Header(header.clone()))
        }
        (Some(_), None) => {
            let format = config.format.unwrap_or(Format::Rfc3339);
            if format == Format::Opaque && !config.ordered {
                return Err(key.at("format").wrong(
                    "`opaque` values can't be compared, so they need `ordered`: the last one counts",
                ));
            }
            Ok(Source::Field {
                format,
                ordered: config.ordered,
            })
        }
    }
}
