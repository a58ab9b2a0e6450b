//! One token request (RFC 6749 §4.4.2, §6), through the gate, and what its answer means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;
use tidegate_egress::{EgressError, Gate, Response, Secret, TokenEndpoint, TokenFault};
use tidegate_engine::Timestamp;
use tidegate_engine::manifest::{ClientAuth, TokenRequest};
use tidegate_engine::redact::Redactor;

use super::answer::{self, ParsedAnswer, Verdict};
use super::token::TokenCredentials;
use crate::secrets::SECRET_BYTES_MAX;

/// Most characters repeated of what a server says.
const SAID_MAX: usize = 200;

/// What a token request brought.
#[derive(Debug)]
pub(super) struct TokenResponse {
    pub(super) access: Secret,
    pub(super) lifetime: Option<Duration>,
}

/// What came of a token request.
#[derive(Debug)]
pub(super) struct TokenExchange {
    pub(super) response: Result<TokenResponse, TokenRefusal>,
    /// Another refresh token than before: it has to be kept even if there is no access token.
    pub(super) refresh: Option<Secret>,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum TokenRefusal {
    /// The server rejects these credentials, and will again.
    Rejected(String),
    /// Anything else.
    Failed(EgressError),
}

/// Ask for a token, once.
pub(super) async fn request_token(
    gate: &Gate,
    endpoint: &TokenEndpoint,
    request: &TokenRequest,
    credentials: &TokenCredentials,
    now: Timestamp,
) -> TokenExchange {
    let (headers, form) = asked(request, credentials);
    match endpoint.post(gate, headers, form.into()).await {
        Ok(response) => judge(&response, endpoint, credentials, now),
        Err(error) => TokenExchange {
            response: Err(TokenRefusal::Failed(no_answer(error, endpoint))),
            refresh: None,
        },
    }
}

/// The headers and the form of a request.
fn asked(
    request: &TokenRequest,
    credentials: &TokenCredentials,
) -> (Vec<(String, String)>, String) {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match &credentials.refresh_token {
        Some(token) => {
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("refresh_token", token.expose());
        }
        None => {
            form.append_pair("grant_type", "client_credentials");
        }
    }
    if !request.scopes.is_empty() {
        form.append_pair("scope", &request.scopes.join(" "));
    }
    let mut headers = vec![
        ("accept".to_owned(), "application/json".to_owned()),
        (
            "content-type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        ),
    ];
    let id = credentials.client_id.expose();
    match (&credentials.client_secret, request.client_auth) {
        (Some(secret), ClientAuth::Basic) => {
            // §2.3.1: both are encoded as in a form before they are put together.
            let encoded = |text: &str| -> String {
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
            };
            let both = format!("{}:{}", encoded(id), encoded(secret.expose()));
            let basic = format!("Basic {}", STANDARD.encode(both));
            headers.push(("authorization".to_owned(), basic));
        }
        (secret, _) => {
            form.append_pair("client_id", id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", secret.expose());
            }
        }
    }
    (headers, form.finish())
}

fn shown(endpoint: &TokenEndpoint) -> String {
    let mut url = endpoint.url.clone();
    url.set_query(None);
    url.into()
}

fn failed(fault: TokenFault, retry_after: Option<Duration>, message: String) -> EgressError {
    EgressError::Token {
        fault,
        retry_after,
        message,
    }
}

fn no_answer(error: EgressError, endpoint: &TokenEndpoint) -> EgressError {
    match error {
        // The grant is the operator's to give.
        EgressError::Denied { .. } => error,
        error => failed(
            TokenFault::Failed,
            error.retry_after(),
            format!(
                "the token endpoint {} gave no answer: {error}",
                shown(endpoint)
            ),
        ),
    }
}

fn judge(
    response: &Response,
    endpoint: &TokenEndpoint,
    credentials: &TokenCredentials,
    now: Timestamp,
) -> TokenExchange {
    let said = match response.status {
        300..400 => ParsedAnswer::default(),
        _ => answer::read(&response.body, now),
    };
    let old = credentials.refresh_token.as_ref().map(Secret::expose);
    let new = said.refresh.as_deref();
    let new = new.filter(|new| Some(*new) != old && is_usable(new));
    let refresh = new.map(|new| Secret::new(new.to_owned()));
    TokenExchange {
        response: token_response(response, &said, &shown(endpoint), credentials),
        refresh,
    }
}

fn token_response(
    response: &Response,
    said: &ParsedAnswer,
    url: &str,
    credentials: &TokenCredentials,
) -> Result<TokenResponse, TokenRefusal> {
    let status = response.status;
    let clean = |text: &str| clean(text, credentials);
    let failed = |fault, what: &str| {
        let message = format!("the token endpoint {url} {what}");
        TokenRefusal::Failed(self::failed(fault, response.retry_after, message))
    };
    if let (200..300, Some(access)) = (status, &said.access) {
        if let Some(kind) = &said.bound_type {
            let what =
                format!("gave a token of the type {kind:?}, which is more than a text to send");
            return Err(failed(TokenFault::Failed, &what));
        }
        if !is_usable(access) {
            let what = "gave a token that is too long or has control characters";
            return Err(failed(TokenFault::Failed, what));
        }
        return Ok(TokenResponse {
            access: Secret::new(access.clone()),
            lifetime: said.lifetime,
        });
    }
    if (300..400).contains(&status) {
        let to = response.header("location").unwrap_or_default();
        let what = format!(
            "redirects (status {status}) to {:?}, which is not followed: the client's secret would go along; \
             if that is where it is now, make it the token URL",
            clean(to.split('?').next().unwrap_or_default())
        );
        return Err(failed(TokenFault::Failed, &what));
    }
    let Some(error) = &said.error else {
        // Whatever it is, it may hold tokens: the body is not repeated.
        let content_type = response.header("content-type").map_or_else(
            || "no content type".to_owned(),
            |text| format!("content type {:?}", clean(text)),
        );
        let wanted = match (status, said.is_read) {
            (200..300, true) => ", and there is no access_token in it",
            (200..300, false) => ", and that is no token set in JSON",
            _ => "",
        };
        let what = format!("answered with status {status} and {content_type}{wanted}");
        return Err(failed(TokenFault::Failed, &what));
    };
    let code = match error.code.as_str() {
        "" => "an error without a code".to_owned(),
        code => clean(code),
    };
    let described = error.description.as_deref().map(clean);
    let described = described.map_or_else(String::new, |text| format!(" ({text})"));
    let verdict = error.verdict(status);
    match verdict {
        Verdict::Rejected => Err(TokenRefusal::Rejected(format!(
            "the token endpoint {url} rejects the credentials: {code}{described}"
        ))),
        Verdict::Refused => {
            let what = format!("refuses with status {status}: {code}{described}");
            Err(failed(TokenFault::Refused, &what))
        }
        Verdict::Failed => {
            let what = format!("failed with status {status}: {code}{described}");
            Err(failed(TokenFault::Failed, &what))
        }
    }
}

fn is_usable(text: &str) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

/// A server's words, without what we sent it, cut and in one line.
fn clean(text: &str, credentials: &TokenCredentials) -> String {
    let text = Redactor::new(&credentials.secrets())
        .text(text)
        .into_owned();
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(SAID_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_rfc_has_them() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let request = |client_auth, scopes: &[&str]| TokenRequest {
            url: "https://id.example/token".parse().unwrap(),
            client_id: "id".to_owned(),
            client_secret: Some("secret".to_owned()),
            refresh_token: None,
            access_token: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            client_auth,
        };
        let credentials = |client_secret: Option<&str>, refresh: Option<&str>| TokenCredentials {
            client_id: secret("a b"),
            client_secret: client_secret.map(secret),
            refresh_token: refresh.map(secret),
        };
        // (client auth, secret, refresh token, the form, what is in the basic credentials)
        for (client_auth, with, refresh, form, basic) in [
            (
                ClientAuth::Basic,
                Some("s:1"),
                None,
                "grant_type=client_credentials&scope=x+y",
                Some("a+b:s%3A1"),
            ),
            (
                ClientAuth::Body,
                Some("s:1"),
                Some("r/1"),
                "grant_type=refresh_token&refresh_token=r%2F1&scope=x+y&client_id=a+b&client_secret=s%3A1",
                None,
            ),
            (
                ClientAuth::Basic,
                None,
                Some("r"),
                "grant_type=refresh_token&refresh_token=r&scope=x+y&client_id=a+b",
                None,
            ),
        ] {
            let (headers, got) = asked(
                &request(client_auth, &["x", "y"]),
                &credentials(with, refresh),
            );
            assert_eq!(got, form);
            let sent = headers.iter().find(|(name, _)| name == "authorization");
            let want = basic.map(|both| format!("Basic {}", STANDARD.encode(both)));
            assert_eq!(sent.map(|(_, value)| value.clone()), want);
        }
        let (_, form) = asked(&request(ClientAuth::Body, &[]), &credentials(None, None));
        assert_eq!(form, "grant_type=client_credentials&client_id=a+b");
    }
}
