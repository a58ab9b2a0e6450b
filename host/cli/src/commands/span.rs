//! How long something is, as people write it: `30d`, `12h`, `8 weeks`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// A span of days and smaller units; a month has no length of its own.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let hint = "write how long, such as 30d, 12h or 8 weeks";
    let span: Span = text.parse().map_err(|error| format!("{error}; {hint}"))?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("months and years have no length of their own; {hint}"))?;
    Duration::try_from(duration).map_err(|_| format!("it is negative; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_length() {
        let rows = [
            ("30d", Some(30 * 24 * 3600)),
            ("8 weeks", Some(8 * 7 * 24 * 3600)),
            ("1d 12h", Some(36 * 3600)),
            ("90m", Some(90 * 60)),
            ("PT1H", Some(3600)),
            ("0s", Some(0)),
            ("1 month", None),
            ("-3d", None),
            ("30", None),
            ("", None),
            ("soon", None),
        ];
        for (text, want) in rows {
            let parsed = parse_span(text).ok().map(|span| span.as_secs());
            assert_eq!(parsed, want, "{text:?}");
        }
    }
}
