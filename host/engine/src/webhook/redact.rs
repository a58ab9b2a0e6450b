//! What may be kept of an endpoint's answer: its beginning, without secrets.

use crate::limits::WEBHOOK_RESPONSE_KEPT_BYTES;
use crate::redact::{PLACEHOLDER, Redactor};

/// What every signing secret begins with, this endpoint's or another one's.
const SIGNING: &str = "whsec_";

/// The beginning of an answer's body as text, for a person's terminal: without secrets,
/// without signing secrets, without control characters but line ends and tabs, and cut. Secrets go
/// first, so that the cut leaves no half of one.
#[must_use]
pub fn kept_response(body: &[u8], redactor: &Redactor) -> String {
    let clean = redactor.bytes(body);
    let text = without_signing_secrets(&String::from_utf8_lossy(&clean));
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
        clean.push_str(PLACEHOLDER);
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
    use crate::redact::Secret;

    #[test]
    fn nothing_secret_stays_and_nothing_is_long() {
        let secret = "hunter2-hunter2";
        let rows: &[(&[u8], &str)] = &[
            (b"ok", "ok"),
            (
                b"a hunter2-hunter2 b hunter2-hunter2",
                "a [secret] b [secret]",
            ),
            (
                b"key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==, and whsec_",
                "key [secret], and [secret]",
            ),
            (b"x\x1b[31m\n\t\x00", "x\u{fffd}[31m\n\t\u{fffd}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"pin is ok", "pin is ok"),
        ];
        let secrets = [secret, "ok"].map(|text| Secret::new(text.to_owned()));
        let redactor = Redactor::new(&secrets);
        for (body, want) in rows {
            assert_eq!(kept_response(body, &redactor), *want);
        }
        // At the cut, too.
        let body = format!("{}{secret}", "é".repeat(509));
        let kept = kept_response(body.as_bytes(), &redactor);
        assert!(
            kept.len() as u64 <= WEBHOOK_RESPONSE_KEPT_BYTES && kept.ends_with("[se…"),
            "{kept}"
        );
    }
}
