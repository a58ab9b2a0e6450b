//! What a token endpoint answered, read as leniently as real ones write (RFC 6749 §5.1 and §5.2).
//!
//! Some send `expires_in` as text (Azure AD v1) or with a fraction, no `token_type`, a list of scopes
//! (Twitch), a form instead of JSON (GitHub, unless asked), a byte order mark, or 201. Errors come with 200
//! (GitHub, Slack, Zoho), as an object (Facebook), in a list (Fitbit), or under other names (Supabase,
//! Okta). What has an `access_token` is a token; what names an error is one, whatever its status.

use std::time::Duration;

use serde_json::{Map, Value};
use tidegate_engine::Timestamp;

/// Types of tokens that are more than a text to be sent along: who has only the text can't use them.
const BOUND_TYPES: [&str; 4] = ["dpop", "hmac", "mac", "pop"];

/// Codes that the same request will get again (RFC 6749 §5.2, and those of GitHub, Slack, Supabase, Zoho).
const FINAL: [&str; 16] = [
    "bad_client_id",
    "bad_client_secret",
    "bad_refresh_token",
    "incorrect_client_credentials",
    "invalid_client",
    "invalid_client_id",
    "invalid_client_secret",
    "invalid_grant",
    "invalid_refresh_token",
    "invalid_scope",
    "refresh_token_already_used",
    "refresh_token_expired",
    "refresh_token_not_found",
    "token_revoked",
    "unauthorized_client",
    "unsupported_grant_type",
];
/// Codes that say nothing of the credentials.
const PASSING: [&str; 12] = [
    "internal_error",
    "internal_failure",
    "overloaded",
    "rate_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "server_error",
    "service_unavailable",
    "slow_down",
    "temporarily_unavailable",
    "timeout",
    "too_many_requests",
];

/// What an answer's body says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ParsedAnswer {
    pub(super) access: Option<String>,
    /// Never thrown away, whatever else is wrong: the one before it may be used up.
    pub(super) refresh: Option<String>,
    pub(super) lifetime: Option<Duration>,
    /// In lower case, if it is one of those that we can't use.
    pub(super) bound_type: Option<String>,
    pub(super) error: Option<ServerError>,
    /// Whether it was a JSON object or a form at all.
    pub(super) is_read: bool,
}

/// An error that an answer names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServerError {
    /// The server's own word; empty if it has none.
    pub(super) code: String,
    pub(super) description: Option<String>,
}

/// What an error means for the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are rejected, and will be again.
    Rejected,
    /// They are refused with a code that nobody knows: that may be the same.
    Refused,
    /// Nothing is known of them.
    Failed,
}

impl ServerError {
    /// What it means in an answer of this status. A server in trouble may say anything.
    pub(super) fn verdict(&self, status: u16) -> Verdict {
        let code = self.code.to_ascii_lowercase().replace(['-', ' '], "_");
        let is = |known: &[&str]| known.contains(&code.as_str());
        match status {
            200..300 | 400..500 if matches!(status, 408 | 425 | 429) || is(&PASSING) => {
                Verdict::Failed
            }
            200..300 | 400..500 if is(&FINAL) => Verdict::Rejected,
            200..300 | 400 | 401 | 403 => Verdict::Refused,
            400..500 if !code.is_empty() => Verdict::Refused,
            _ => Verdict::Failed,
        }
    }
}

/// Read an answer that was asked for at `now`.
pub(super) fn read(body: &[u8], now: Timestamp) -> ParsedAnswer {
    // RFC 8259 §8.1 lets a parser pass over it.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Some(members) = json(body).or_else(|| form(body)) else {
        return ParsedAnswer::default();
    };
    let text = |name: &str| text(members.get(name));
    let bound_type = text("token_type").map(|kind| kind.to_ascii_lowercase());
    let until = ["expires_at", "expires_on"].into_iter();
    let mut until = until.filter_map(|name| seconds(members.get(name)));
    let until = until
        .next_back()
        .map(|at| at.saturating_sub(Duration::from_millis(now.0)));
    ParsedAnswer {
        access: text("access_token"),
        refresh: text("refresh_token"),
        lifetime: seconds(members.get("expires_in")).or(until),
        bound_type: bound_type.filter(|kind| BOUND_TYPES.contains(&kind.as_str())),
        error: fault(&members),
        is_read: true,
    }
}

fn json(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// `access_token=…&token_type=bearer`; nothing else that is no JSON has these names.
fn form(body: &[u8]) -> Option<Map<String, Value>> {
    let pairs = url::form_urlencoded::parse(body.trim_ascii());
    let members: Map<String, Value> = pairs
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let is_one = members.contains_key("access_token") || members.contains_key("error");
    is_one.then_some(members)
}

/// A text that is not empty.
fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// A text, or a number as one.
fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(number) => Some(number.to_string()),
        value => text(Some(value)),
    }
}

/// Seconds as a number or as text. A negative number is none: those who send it mean that it does not matter.
fn seconds(value: Option<&Value>) -> Option<Duration> {
    let number = match value? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    match number {
        number if number.is_nan() || number < 0.0 => None,
        number => Some(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)),
    }
}

/// The error that these members name.
fn fault(members: &Map<String, Value>) -> Option<ServerError> {
    let first = |members: &Map<String, Value>, names: &[&str]| {
        names.iter().find_map(|name| word(members.get(*name)))
    };
    let described = |members: &Map<String, Value>| {
        first(
            members,
            &[
                "error_description",
                "error_message",
                "message",
                "msg",
                "errorSummary",
            ],
        )
    };
    let within = |inner: &Map<String, Value>| ServerError {
        code: ["type", "errorType", "status", "code"]
            .iter()
            .filter_map(|name| word(inner.get(*name)))
            .take(2)
            .collect::<Vec<_>>()
            .join(" "),
        description: described(inner),
    };
    match (members.get("error"), members.get("errors")) {
        (Some(Value::Object(inner)), _) => return Some(within(inner)),
        (_, Some(Value::Array(all))) => {
            if let Some(Value::Object(inner)) = all.first() {
                return Some(within(inner));
            }
        }
        _ => {}
    }
    let code = first(members, &["error", "error_code", "errorCode"]);
    let failed = [members.get("ok"), members.get("success")].contains(&Some(&Value::Bool(false)));
    let description = described(members);
    match code {
        Some(code) => Some(ServerError { code, description }),
        None if failed || (description.is_some() && !members.contains_key("access_token")) => {
            Some(ServerError {
                code: String::new(),
                description,
            })
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn of(value: &Value) -> ParsedAnswer {
        read(value.to_string().as_bytes(), NOW)
    }

    #[test]
    fn tokens_as_real_endpoints_write_them() {
        let hour = Some(Duration::from_secs(3600));
        for (more, lifetime) in [
            (json!({}), None),
            (json!({"expires_in": 3600}), hour),
            (json!({"expires_in": "3600"}), hour),
            (json!({"expires_in": " 3600 "}), hour),
            (json!({"expires_in": 3600.0}), hour),
            (json!({"expires_in": "3600.0"}), hour),
            (json!({"expires_in": 0}), Some(Duration::ZERO)),
            (json!({"expires_in": -1}), None),
            (json!({"expires_in": null}), None),
            (json!({"expires_in": "soon"}), None),
            (json!({"expires_in": [3600]}), None),
            (json!({"expires_in": 1e30}), Some(Duration::MAX)),
            (json!({"expires_on": "1700003600"}), hour),
            (json!({"expires_at": 1_700_003_600}), hour),
            (
                json!({"token_type": null, "scope": ["read", "write"]}),
                None,
            ),
            (json!({"token_type": "BearerToken", "scope": ""}), None),
            (
                json!({"token_type": "bot", "scope": null, "error": null}),
                None,
            ),
            (json!({"token_type": "", "error": "", "ok": true}), None),
        ] {
            let mut value = json!({"access_token": "A"});
            value
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let said = of(&value);
            assert_eq!(said.access.as_deref(), Some("A"), "{value}");
            assert_eq!((said.lifetime, &said.error), (lifetime, &None), "{value}");
            assert_eq!((said.bound_type, said.refresh), (None, None), "{value}");
        }
        for refresh in [json!(null), json!(""), json!(7)] {
            assert_eq!(
                of(&json!({"access_token": "A", "refresh_token": refresh})).refresh,
                None
            );
        }
        // The new refresh token is there even if nothing else is of use.
        let said = of(&json!({"refresh_token": "R", "token_type": "DPoP"}));
        assert_eq!(said.refresh.as_deref(), Some("R"));
        assert_eq!(said.bound_type.as_deref(), Some("dpop"));
        let marked = read(b"\xef\xbb\xbf{\"access_token\":\"A\"}", NOW);
        assert_eq!(marked.access.as_deref(), Some("A"));
        let form = read(
            b"access_token=a%2Bb&token_type=bearer&expires_in=3600\n",
            NOW,
        );
        assert_eq!((form.access.as_deref(), form.lifetime), (Some("a+b"), hour));
        for nothing in ["", "<html>", "[]", "\"A\"", "{", "token=a"] {
            assert_eq!(
                read(nothing.as_bytes(), NOW),
                ParsedAnswer::default(),
                "{nothing}"
            );
        }
    }

    #[test]
    fn errors_as_real_endpoints_write_them() {
        use Verdict::{Failed, Refused, Rejected};
        // (status, answer, code, verdict)
        for (status, answer, code, verdict) in [
            (
                400,
                json!({"error": "invalid_grant"}),
                "invalid_grant",
                Rejected,
            ),
            (
                403,
                json!({"error": "invalid_grant", "error_uri": null}),
                "invalid_grant",
                Rejected,
            ),
            (
                200,
                json!({"error": "bad_refresh_token"}),
                "bad_refresh_token",
                Rejected,
            ),
            (
                200,
                json!({"ok": false, "error": "invalid_refresh_token"}),
                "invalid_refresh_token",
                Rejected,
            ),
            (
                400,
                json!({"code": 400, "error_code": "refresh_token_not_found", "msg": "x"}),
                "refresh_token_not_found",
                Rejected,
            ),
            (
                400,
                json!({"error": {"message": "x", "type": "OAuthException", "code": 190}}),
                "OAuthException 190",
                Refused,
            ),
            (
                401,
                json!({"errors": [{"errorType": "invalid_grant", "message": "x"}], "success": false}),
                "invalid_grant",
                Rejected,
            ),
            (
                400,
                json!({"errorCode": "E0000011", "errorSummary": "x"}),
                "E0000011",
                Refused,
            ),
            (
                401,
                json!({"error": "Unauthorized"}),
                "Unauthorized",
                Refused,
            ),
            (401, json!({"message": "who are you"}), "", Refused),
            (200, json!({"ok": false}), "", Refused),
            (404, json!({"message": "no such page"}), "", Failed),
            (
                200,
                json!({"ok": false, "error": "ratelimited"}),
                "ratelimited",
                Failed,
            ),
            (
                400,
                json!({"error": "temporarily_unavailable"}),
                "temporarily_unavailable",
                Failed,
            ),
            (
                429,
                json!({"error": "invalid_grant"}),
                "invalid_grant",
                Failed,
            ),
            (
                500,
                json!({"error": "invalid_grant"}),
                "invalid_grant",
                Failed,
            ),
            (503, json!({"error": "x"}), "x", Failed),
        ] {
            let said = of(&answer).error.unwrap();
            assert_eq!(
                (said.code.as_str(), said.verdict(status)),
                (code, verdict),
                "{status} {answer}"
            );
        }
        let form = read(
            b"error=bad_verification_code&error_description=It+is+old.",
            NOW,
        );
        let error = form.error.unwrap();
        assert_eq!(error.description.as_deref(), Some("It is old."));
        assert_eq!(error.verdict(200), Refused);
    }
}
