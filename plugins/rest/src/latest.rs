//! The latest mark of a page's records, read from as few of them as can be.

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;

use crate::find::Found;
use crate::incremental::{Incremental, Mark, Source, later};
use crate::time::Format;

/// The latest mark of a page's records.
#[derive(Debug)]
pub(crate) struct Latest<'p, 'a> {
    incremental: &'p Incremental,
    format: Format,
    ordered: bool,
    /// Not read yet, as those to come may be compared with it as they are.
    raw: Option<&'a RawValue>,
    mark: Option<Mark>,
}

impl<'p, 'a> Latest<'p, 'a> {
    /// `None` when the mark is not in the records.
    pub(crate) fn new(incremental: &'p Incremental) -> Option<Self> {
        match incremental.source {
            Source::Header(_) => None,
            Source::Field { format, ordered } => Some(Latest {
                incremental,
                format,
                ordered,
                raw: None,
                mark: None,
            }),
        }
    }

    /// Take the next record's fields: of several, the first that is there and not null.
    pub(crate) fn add(&mut self, fields: &[Found<'a>]) -> Result<()> {
        let Some(raw) = fields.iter().find_map(Found::value) else {
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
            self.raw = Some(raw);
        }
        Ok(())
    }

    /// Read what has not been read yet.
    fn settle(&mut self) -> Result<()> {
        let Some(raw) = self.raw.take() else {
            return Ok(());
        };
        let mark = self.incremental.read(raw, self.format)?;
        if let (Some(Mark::Time(before)), Mark::Time(after)) = (&self.mark, &mark)
            && self.ordered
            && after < before
        {
            return Err(self.incremental.not_ordered(*before, *after));
        }
        self.mark = later(self.mark.take(), Some(mark));
        Ok(())
    }

    /// The latest; `None` when no record has one.
    pub(crate) fn mark(mut self) -> Result<Option<Mark>> {
        self.settle()?;
        Ok(self.mark)
    }
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
    use tidegate_sdk::prelude::*;

    use super::Latest;
    use crate::config::Config;
    use crate::find::Found;
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
        let mut latest = Latest::new(plan.incremental.as_ref().unwrap()).unwrap();
        let added = texts
            .into_iter()
            .try_for_each(|text| latest.add(&[Found::Value(text)]));
        let mark = added.and_then(|()| latest.mark());
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
        assert_eq!(latest("epoch_s", true, &["1", "true"]), format);
    }
}
