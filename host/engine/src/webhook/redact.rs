//! What may be kept of an endpoint's answer: its beginning, without secrets.

use crate::limits::WEBHOOK_RESPONSE_KEPT_BYTES;

const REDACTED: &str = "[redacted]";
/// Shorter texts are no secrets, and would redact half of an answer.
const SECRET_BYTES_MIN: usize = 8;
/// What every signing secret begins with, this endpoint's or another one's.
const SIGNING: &str = "whsec_";

/// The beginning of an answer's body as text, for a person's terminal: without any of `secrets`,
/// without signing secrets, without control characters but line ends and tabs, and cut. Secrets go
/// first, so that the cut leaves no half of one.
#[must_use]
pub fn kept_response(body: &[u8], secrets: &[&str]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets
        .iter()
        .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
    {
        text = text.replace(secret, REDACTED);
    }
    let text = without_signing_secrets(&text);
    let shown = |c: char| {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            '\u{fffd}'
        } else {
            c
        }
    };
    let most = usize::try_from(WEBHOOK_RESPONSE_KEPT_BYTES).unwrap_or(usize::MAX);
    cut(&text.chars().map(shown).collect::<String>(), most)
}

fn without_signing_secrets(text: &str) -> String {
    let mut parts = text.split(SIGNING);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest =
            part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "+/=".contains(c));
        clean.push_str(REDACTED);
        clean.push_str(rest);
    }
    clean
}

/// At most `most` bytes of `text`; an ellipsis says that there was more.
pub(super) fn cut(text: &str, most: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(MORE.len()));
    format!("{}{MORE}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_stays_and_nothing_is_long() {
        let secret = "hunter2-hunter2";
        let rows: &[(&[u8], &str)] = &[
            (b"ok", "ok"),
            (
                b"a hunter2-hunter2 b hunter2-hunter2",
                "a [redacted] b [redacted]",
            ),
            (
                b"key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==, and whsec_",
                "key [redacted], and [redacted]",
            ),
            (b"x\x1b[31m\n\t\x00", "x\u{fffd}[31m\n\t\u{fffd}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"pin is ok", "pin is ok"),
        ];
        for (body, want) in rows {
            assert_eq!(kept_response(body, &[secret, "ok"]), *want);
        }
        // At the cut, too.
        let body = format!("{}{secret}", "é".repeat(508));
        let kept = kept_response(body.as_bytes(), &[secret]);
        assert!(
            kept.len() as u64 <= WEBHOOK_RESPONSE_KEPT_BYTES && kept.ends_with("[reda…"),
            "{kept}"
        );
    }
}
