//! One token request: its shape and its answer's are the crate `oauth2`'s, its way is the gate's.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use oauth2::basic::BasicTokenResponse;
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenType};
use oauth2::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, Scope, TokenResponse, TokenUrl,
};
use tidegate_egress::{EgressError, Gate, Secret, TokenEndpoint};
use tidegate_engine::manifest::{ClientAuth, TokenRequest};
use tidegate_engine::run::Blame;
use tidegate_runtime::Redactor;

use super::purse::Price;
use crate::secrets::SECRET_BYTES_MAX;

/// Most characters repeated of what a server says.
const SAID_MAX: usize = 200;

/// What a token request brought.
#[derive(Debug)]
pub(super) struct Bought {
    pub(super) access: Secret,
    /// Another refresh token than before.
    pub(super) refresh: Option<Secret>,
    pub(super) lifetime: Option<Duration>,
}

/// Why it brought nothing.
#[derive(Debug)]
pub(super) enum Refused {
    /// The server rejects these credentials (RFC 6749 §5.2), and will again.
    Rejected(String),
    /// Anything else: nothing is known of the credentials.
    Failed(EgressError),
}

type Answer = Result<BasicTokenResponse, RequestTokenError<EgressError, BasicErrorResponse>>;

/// Ask for a token, once.
pub(super) async fn buy(
    gate: &Gate,
    endpoint: &TokenEndpoint,
    request: &TokenRequest,
    price: &Price,
) -> Result<Bought, Refused> {
    let mut client = BasicClient::new(ClientId::new(price.client_id.expose().to_owned()))
        .set_token_uri(TokenUrl::from_url(request.url.clone()))
        .set_auth_type(match request.client_auth {
            ClientAuth::Basic => AuthType::BasicAuth,
            ClientAuth::Body => AuthType::RequestBody,
        });
    if let Some(secret) = &price.client_secret {
        client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
    }
    let scopes = request.scopes.iter().cloned().map(Scope::new);
    let through = Through {
        gate,
        endpoint,
        head: Mutex::new(Head::default()),
    };
    let answer: Answer = match &price.refresh_token {
        Some(token) => {
            let token = RefreshToken::new(token.expose().to_owned());
            let asked = client.exchange_refresh_token(&token).add_scopes(scopes);
            asked.request_async(&through).await
        }
        None => {
            let asked = client.exchange_client_credentials().add_scopes(scopes);
            asked.request_async(&through).await
        }
    };
    let head = through.head.into_inner();
    let head = head.unwrap_or_else(PoisonError::into_inner);
    judge(answer, &head, endpoint, price)
}

/// What an answer's head said.
#[derive(Debug, Default)]
struct Head {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
}

/// The gate as the client of the crate `oauth2`.
struct Through<'a> {
    gate: &'a Gate,
    endpoint: &'a TokenEndpoint,
    head: Mutex<Head>,
}

impl<'c> AsyncHttpClient<'c> for Through<'_> {
    type Error = EgressError;
    type Future = BoxFuture<'c, Result<HttpResponse, EgressError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl Through<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, EgressError> {
        let (parts, body) = request.into_parts();
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
        let sent = self
            .endpoint
            .post(self.gate, headers.collect(), body.into());
        let response = sent.await?;
        let header = |name: &str| response.header(name).map(str::to_owned);
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Head {
            status: response.status,
            content_type: header("content-type"),
            location: header("location"),
        };
        let mut answer = http::Response::builder().status(response.status);
        for (name, value) in &response.headers {
            answer = answer.header(name, value);
        }
        answer.body(response.body.to_vec()).map_err(|error| {
            let message = format!("the answer can't be read: {error}");
            let blame = Blame::Upstream;
            EgressError::Other { blame, message }
        })
    }
}

fn judge(
    answer: Answer,
    head: &Head,
    endpoint: &TokenEndpoint,
    price: &Price,
) -> Result<Bought, Refused> {
    let mut url = endpoint.url.clone();
    url.set_query(None);
    let failed = |retry_after, what: &str| {
        Refused::Failed(EgressError::Token {
            rejected: false,
            retry_after,
            message: format!("the token endpoint {url} {what}"),
        })
    };
    let clean = |text: &str| clean(text, price);
    match answer {
        Ok(token) => bought(&token, price).map_err(|what| failed(None, what)),
        // The grant is the operator's to give.
        Err(RequestTokenError::Request(error @ EgressError::Denied { .. })) => {
            Err(Refused::Failed(error))
        }
        Err(RequestTokenError::Request(error)) => Err(failed(
            error.retry_after(),
            &format!("gave no answer: {error}"),
        )),
        Err(_) if (300..400).contains(&head.status) => {
            let to = head.location.as_deref().unwrap_or_default();
            let what = format!(
                "redirects (status {}) to {:?}, which is not followed: the client's secret would go along; \
                 if that is where it is now, make it the token URL",
                head.status,
                clean(to.split('?').next().unwrap_or_default())
            );
            Err(failed(None, &what))
        }
        Err(RequestTokenError::ServerResponse(said)) => {
            let mut what = clean(said.error().as_ref());
            if let Some(description) = said.error_description() {
                // It can't fail.
                let _ = write!(what, " ({})", clean(description));
            }
            match is_rejection(said.error(), head.status) {
                true => Err(Refused::Rejected(format!(
                    "the token endpoint {url} rejects the credentials: {what}"
                ))),
                false => {
                    let status = head.status;
                    Err(failed(
                        None,
                        &format!("failed with status {status}: {what}"),
                    ))
                }
            }
        }
        // Whatever it is, it may hold tokens: neither the body nor the parser's error is repeated.
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            let content_type = head.content_type.as_deref().map_or_else(
                || "no content type".to_owned(),
                |text| format!("content type {:?}", clean(text)),
            );
            let (status, wanted) = match head.status {
                200 => (200, ", and that is no token set in JSON"),
                other => (other, ""),
            };
            let what = format!("answered with status {status} and {content_type}{wanted}");
            Err(failed(None, &what))
        }
    }
}

/// Errors that the same request will get again. A server in trouble may say anything.
fn is_rejection(error: &BasicErrorResponseType, status: u16) -> bool {
    use BasicErrorResponseType as E;
    let named = matches!(
        error,
        E::InvalidGrant
            | E::InvalidClient
            | E::UnauthorizedClient
            | E::InvalidScope
            | E::UnsupportedGrantType
    );
    named && (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
}

fn bought(token: &BasicTokenResponse, price: &Price) -> Result<Bought, &'static str> {
    if !matches!(token.token_type(), BasicTokenType::Bearer) {
        return Err("gave a token of another type than \"bearer\"");
    }
    let usable = |text: &str| {
        (1..=SECRET_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
    };
    let access = token.access_token().secret();
    let refresh = token.refresh_token().map(RefreshToken::secret);
    if !usable(access) || !refresh.is_none_or(|text| usable(text)) {
        return Err("gave a token that is empty, too long or has control characters");
    }
    let old = price.refresh_token.as_ref().map(Secret::expose);
    let new = refresh.filter(|new| Some(new.as_str()) != old);
    Ok(Bought {
        access: Secret::new(access.clone()),
        refresh: new.cloned().map(Secret::new),
        lifetime: token.expires_in(),
    })
}

/// A server's words, without what we sent it, cut and in one line.
fn clean(text: &str, price: &Price) -> String {
    let text = Redactor::new(&price.secrets()).text(text).into_owned();
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(SAID_MAX).collect()
}
