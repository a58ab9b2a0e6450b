//! The latest mark of a page's records, read from as few of them as can be.

use serde_json::value::RawValue;
use tidegate_sdk::Found;
use tidegate_sdk::prelude::*;

use crate::incremental::{Incremental, Mark, Source, later};
use crate::plan::{Fields, Plan};
use crate::time::{self, Format};

/// The latest mark of a page's records.
#[derive(Debug)]
pub(crate) struct Latest<'p, 'a> {
    fields: &'p Fields,
    incremental: &'p Incremental,
    format: Format,
    ordered: bool,
    /// Not read yet, as those to come may be compared with it as they are.
    raw: Option<&'a RawValue>,
    mark: Option<Mark>,
    /// How many of the page were read.
    read: u64,
    /// What could not be read may have taken the place of others: each is to be read by itself.
    is_spoilt: bool,
}

impl<'p, 'a> Latest<'p, 'a> {
    /// `None` when the mark is not in the records.
    pub(crate) fn of(plan: &'p Plan) -> Option<Self> {
        let incremental = plan.incremental.as_ref()?;
        match incremental.source {
            Source::Header(_) => None,
            Source::Field { format, ordered } => Some(Latest {
                fields: &plan.fields,
                incremental,
                format,
                ordered,
                raw: None,
                mark: None,
                read: 0,
                is_spoilt: false,
            }),
        }
    }

    /// Take the next record's fields: of several, the first that is there and not null, nor what stands for it.
    pub(crate) fn add(&mut self, fields: &[Found<'a>]) -> Result<()> {
        let Some(raw) = fields.iter().find_map(|found| time_of(found, self.format)) else {
            return Ok(());
        };
        if let Some(latest) = self.raw
            && comparable(self.format, latest.get(), raw.get())
            && (!self.ordered || raw.get() >= latest.get())
        {
            if raw.get() > latest.get() {
                self.raw = Some(raw);
            }
            return Ok(());
        }
        self.settle()?;
        self.raw = Some(raw);
        if self.ordered {
            // Now, as the next record is compared with this one alone.
            self.settle()?;
            self.raw = Some(raw).filter(|_| !self.is_spoilt);
        }
        Ok(())
    }

    /// Read what has not been read yet.
    fn settle(&mut self) -> Result<()> {
        let Some(raw) = self.raw.take() else {
            return Ok(());
        };
        let Some((mark, assumed_utc)) = self.incremental.read(raw, self.format) else {
            self.is_spoilt = true;
            return Ok(());
        };
        self.fields.watch.times(1, assumed_utc);
        self.read += 1;
        if let (Some(Mark::Time(before)), Mark::Time(after)) = (&self.mark, &mark)
            && self.ordered
            && after < before
        {
            return Err(self.incremental.not_ordered(*before, *after));
        }
        self.mark = later(self.mark.take(), Some(mark));
        Ok(())
    }

    /// The latest of these records, which were added; `None` when no record has one. Fails when there are
    /// some, and none of them can be read.
    pub(crate) fn mark(mut self, records: &[&'a RawValue]) -> Result<Option<Mark>> {
        self.settle()?;
        if !self.is_spoilt {
            return Ok(self.mark);
        }
        // Rare: the times of the page again, one by one.
        let mut found = vec![Found::Nothing; self.fields.finder.len()];
        let mut unread = None;
        for record in records {
            if self.fields.finder.find(record.get(), &mut found).is_err() {
                continue;
            }
            let marks = found.get(self.fields.marks.clone()).unwrap_or_default();
            let Some(raw) = marks.iter().find_map(|found| time_of(found, self.format)) else {
                continue;
            };
            match self.incremental.read(raw, self.format) {
                Some((mark, assumed_utc)) => {
                    self.fields.watch.times(1, assumed_utc);
                    self.read += 1;
                    self.mark = later(self.mark.take(), Some(mark));
                }
                None => {
                    self.fields.watch.unread(raw.get());
                    unread.get_or_insert(raw);
                }
            }
        }
        match unread {
            Some(raw) if self.read == 0 && !self.fields.watch.has_times() => {
                Err(self.incremental.unreadable(raw, self.format))
            }
            _ => Ok(self.mark),
        }
    }
}

/// Whether records have times that can be compared, and come in no order of them.
pub(crate) fn is_in_records(plan: &Plan) -> bool {
    let source = plan
        .incremental
        .as_ref()
        .map(|incremental| &incremental.source);
    matches!(source, Some(Source::Field { format, ordered: false }) if *format != Format::Opaque)
}

/// The time of one record, in Unix milliseconds.
pub(crate) fn time(plan: &Plan, record: &RawValue) -> Option<i64> {
    let incremental = plan.incremental.as_ref()?;
    let Source::Field { format, .. } = incremental.source else {
        return None;
    };
    let mut found = vec![Found::Nothing; plan.fields.finder.len()];
    plan.fields.finder.find(record.get(), &mut found).ok()?;
    let mut marks = found.get(plan.fields.marks.clone())?.iter();
    let raw = marks.find_map(|found| time_of(found, format))?;
    match incremental.read(raw, format)? {
        (Mark::Time(ms), _) => Some(ms),
        (Mark::Text(_), _) => None,
    }
}

/// What stands for a time at this place, unless it stands for none.
fn time_of<'a>(found: &Found<'a>, format: Format) -> Option<&'a RawValue> {
    let raw = found.value()?;
    let text = raw.get().strip_prefix('"').unwrap_or(raw.get());
    let is_none = format != Format::Opaque && time::is_none(text.trim_end_matches('"'));
    (!is_none).then_some(raw)
}

/// Whether the order of these JSON texts is that of the times they stand for: both are in UTC and
/// written alike. Most records are so spared the
/// reading of a time, a fifth of what a page costs.
fn comparable(format: Format, first: &str, second: &str) -> bool {
    let alike = first.len() == second.len();
    match format {
        Format::Rfc3339 => alike && first.ends_with("Z\"") && second.ends_with("Z\""),
        Format::Date => alike,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use tidegate_sdk::Found;
    use tidegate_sdk::prelude::*;

    use super::Latest;
    use crate::config::Config;
    use crate::incremental::Mark;
    use crate::plan::Plan;

    /// The latest of these marks, or the key that is to blame.
    fn latest(format: &str, ordered: bool, marks: &[&str]) -> Result<Option<Mark>, String> {
        let config: Config = serde_json::from_value(json!({ "models": { "M": {
            "path": "/m",
            "incremental": { "parameter": "p", "field": "/f", "format": format, "ordered": ordered },
        } } }))
        .unwrap();
        let plan = Plan::new(&config, "M").unwrap();
        let texts: Vec<&RawValue> = marks
            .iter()
            .map(|m| serde_json::from_str(m).unwrap())
            .collect();
        let mut latest = Latest::of(&plan).unwrap();
        let added = texts
            .iter()
            .try_for_each(|text| latest.add(&[Found::Value(text)]));
        let records: Vec<String> = marks.iter().map(|m| format!("{{\"f\":{m}}}")).collect();
        let records: Vec<&RawValue> = records
            .iter()
            .map(|record| serde_json::from_str(record).unwrap())
            .collect();
        let mark = added.and_then(|()| latest.mark(&records));
        mark.map_err(|failure| failure.message.split('`').nth(1).unwrap().to_owned())
    }

    #[test]
    fn the_latest_in_any_order() {
        let at = |ms| Ok(Some(Mark::Time(ms)));
        for (format, marks, expected) in [
            ("rfc3339", &[][..], Ok(None)),
            ("rfc3339", &["null"], Ok(None)),
            (
                "rfc3339",
                &[r#""1970-01-01T00:00:02Z""#, r#""1970-01-01T00:00:01Z""#],
                at(2_000),
            ),
            (
                "rfc3339",
                &[r#""1970-01-01T00:00:01Z""#, r#""1970-01-01T00:00:02Z""#],
                at(2_000),
            ),
            // The texts are in another order than the times.
            (
                "rfc3339",
                &[r#""1970-01-01T00:00:02.5Z""#, r#""1970-01-01T00:00:02Z""#],
                at(2_500),
            ),
            (
                "rfc3339",
                &[
                    r#""1970-01-01T01:00:03+01:00""#,
                    r#""1970-01-01T00:00:02+00:00""#,
                ],
                at(3_000),
            ),
            (
                "date",
                &[r#""1970-01-02""#, r#""1970-01-03""#, r#""1970-01-01""#],
                at(172_800_000),
            ),
            ("epoch_s", &["9", "10", "2"], at(10_000)),
            ("epoch_ms", &[r#""10""#, "9"], at(10)),
        ] {
            assert_eq!(latest(format, false, marks), expected, "{marks:?}");
        }
    }

    #[test]
    fn what_is_not_ordered() {
        let ordered = Err("models.M.incremental.ordered".to_owned());
        for (format, marks, expected) in [
            (
                "epoch_s",
                &["1", "2", "2", "3"][..],
                Ok(Some(Mark::Time(3_000))),
            ),
            ("epoch_s", &["1", "3", "2", "4"], ordered.clone()),
            (
                "rfc3339",
                &[
                    r#""1970-01-01T00:00:02Z""#,
                    r#""1970-01-01T00:00:01Z""#,
                    r#""1970-01-01T00:00:03Z""#,
                ],
                ordered.clone(),
            ),
            (
                "rfc3339",
                &[
                    r#""1970-01-01T00:00:02Z""#,
                    r#""1970-01-01T01:00:01+01:00""#,
                ],
                ordered.clone(),
            ),
            (
                "rfc3339",
                &[
                    r#""1970-01-01T00:00:02Z""#,
                    r#""1970-01-01T01:00:02+01:00""#,
                ],
                Ok(Some(Mark::Time(2_000))),
            ),
            (
                "opaque",
                &[r#""b""#, r#""a""#],
                Ok(Some(Mark::Text("a".to_owned()))),
            ),
        ] {
            assert_eq!(latest(format, true, marks), expected, "{marks:?}");
        }
    }

    #[test]
    fn what_can_not_be_read() {
        let format = Err("models.M.incremental.format".to_owned());
        assert_eq!(latest("rfc3339", false, &[r#""soon""#]), format);
        assert_eq!(latest("epoch_s", true, &["true", "{}"]), format);
        // Among others that can be, it counts for nothing, wherever it is.
        let soon = "\"soon-but-not-just-now\"Z";
        let soon = &soon[..soon.len() - 1];
        for (format, marks, expected) in [
            ("rfc3339", vec![r#""1970-01-01T00:00:02Z""#, soon], 2_000),
            ("rfc3339", vec![soon, r#""1970-01-01T00:00:02Z""#], 2_000),
            // It looks later than the others, and is compared with them as it stands.
            (
                "rfc3339",
                vec![
                    r#""1970-01-01T00:00:02Z""#,
                    r#""9970-99-99T99:99:99Z""#,
                    r#""1970-01-01T00:00:01Z""#,
                ],
                2_000,
            ),
            ("epoch_s", vec!["1", "true", "2"], 2_000),
            // No time at all.
            (
                "rfc3339",
                vec![
                    "\"\"",
                    r#""0000-00-00 00:00:00""#,
                    r#""1970-01-01T00:00:02Z""#,
                ],
                2_000,
            ),
        ] {
            for ordered in [false, true] {
                let found = latest(format, ordered, &marks);
                if !(ordered && marks.last().is_some_and(|m| m.contains("00:00:01Z"))) {
                    assert_eq!(found, Ok(Some(Mark::Time(expected))), "{marks:?}");
                }
            }
        }
        assert_eq!(latest("rfc3339", false, &["\"\"", "null"]), Ok(None));
    }
}
