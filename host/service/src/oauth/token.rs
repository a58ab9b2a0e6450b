//! The tokens among a connection's sealed secrets: what is read of them and written back.
//!
//! A rotated refresh token takes the place of the secret that the operator gave. The access token
//! and its times lie beside the secrets, under names that no secret can have.

use tidegate_egress::Secret;
use tidegate_engine::manifest::TokenRequest;
use tidegate_engine::token::Validity;

use super::exchange::TokenResponse;
use crate::problem::{Problem, Result};
use crate::secrets::SecretMap;

/// Where the access token lies, and its [`Validity`] in JSON. They are no
/// [`tidegate_engine::Name`]s, so that no secret is called so.
const ACCESS: &str = "oauth2:access";
const TIMES: &str = "oauth2:times";

/// An access token, and how long it may be used.
#[derive(Debug, Clone)]
pub(super) struct CachedToken {
    pub(super) access: Secret,
    /// `None` for one that the operator brought: it is used until it is refused.
    pub(super) validity: Option<Validity>,
}

/// What a token is requested with.
#[derive(Debug, Clone)]
pub(super) struct TokenCredentials {
    pub(super) client_id: Secret,
    pub(super) client_secret: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
}

impl TokenCredentials {
    /// `Err` names the secret that is missing.
    pub(super) fn of(
        secrets: &SecretMap,
        request: &TokenRequest,
    ) -> std::result::Result<Self, String> {
        let get = |name: &String| secrets.get(name).cloned();
        let must = |name: &String| get(name).ok_or_else(|| name.clone());
        Ok(Self {
            client_id: must(&request.client_id)?,
            client_secret: request.client_secret.as_ref().and_then(get),
            refresh_token: request.refresh_token.as_ref().map(must).transpose()?,
        })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_owned());
        self.client_id.expose() == other.client_id.expose()
            && text(&self.client_secret) == text(&other.client_secret)
            && text(&self.refresh_token) == text(&other.refresh_token)
    }

    /// All of it but the client's id, which is no secret.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let both = self.client_secret.iter().chain(&self.refresh_token);
        both.cloned().collect()
    }
}

/// The access token that is there.
pub(super) fn held(secrets: &SecretMap, request: &TokenRequest) -> Option<CachedToken> {
    if let (Some(access), Some(times)) = (secrets.get(ACCESS), secrets.get(TIMES)) {
        // Without times that can be read it is as if there were none.
        let validity = serde_json::from_str(times.expose()).ok()?;
        return Some(CachedToken {
            access: access.clone(),
            validity: Some(validity),
        });
    }
    let given = secrets.get(request.access_token.as_ref()?)?;
    Some(CachedToken {
        access: given.clone(),
        validity: None,
    })
}

/// Put the new tokens in the place of the old ones.
pub(super) fn put(
    secrets: &mut SecretMap,
    response: &TokenResponse,
    validity: Validity,
) -> Result<CachedToken> {
    let times = serde_json::to_string(&validity).map_err(Problem::internal)?;
    secrets.insert(TIMES.to_owned(), Secret::new(times));
    secrets.insert(ACCESS.to_owned(), response.access.clone());
    Ok(CachedToken {
        access: response.access.clone(),
        validity: Some(validity),
    })
}

/// Put a new refresh token in the place of the old one.
pub(super) fn put_refresh(secrets: &mut SecretMap, request: &TokenRequest, new: &Secret) {
    if let Some(name) = &request.refresh_token {
        secrets.insert(name.clone(), new.clone());
    }
}

/// Forget the access token: it was requested with credentials that are not stored any more.
pub(crate) fn forget_tokens(secrets: &mut SecretMap) {
    secrets.remove(ACCESS);
    secrets.remove(TIMES);
}

/// Those of the secrets that nothing may show: not the client's id, which may well stand in records.
pub(crate) fn texts(mut secrets: SecretMap, request: &TokenRequest) -> Vec<Secret> {
    secrets.remove(&request.client_id);
    secrets.remove(TIMES);
    secrets.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::Timestamp;

    #[test]
    fn what_was_bought_takes_the_place_of_what_was_given() {
        let request = TokenRequest {
            url: "https://id.example/token".parse().unwrap(),
            client_id: "id".to_owned(),
            client_secret: Some("secret".to_owned()),
            refresh_token: Some("refresh".to_owned()),
            access_token: Some("access".to_owned()),
            scopes: Vec::new(),
            client_auth: tidegate_engine::manifest::ClientAuth::Basic,
        };
        let secret = |text: &str| Secret::new(text.to_owned());
        let mut secrets: SecretMap = [("id", "me"), ("refresh", "r1"), ("access", "a1")]
            .map(|(name, text)| (name.to_owned(), secret(text)))
            .into();
        let first = held(&secrets, &request).unwrap();
        assert_eq!((first.access.expose(), first.validity), ("a1", None));
        let before = TokenCredentials::of(&secrets, &request).unwrap();

        let validity = Validity::new(Timestamp(5), None);
        for (refresh, left) in [(Some("r2"), "r2"), (None, "r2")] {
            let response = TokenResponse {
                access: secret("a2"),
                lifetime: None,
            };
            if let Some(new) = refresh {
                put_refresh(&mut secrets, &request, &secret(new));
            }
            put(&mut secrets, &response, validity).unwrap();
            let now = held(&secrets, &request).unwrap();
            assert_eq!((now.access.expose(), now.validity), ("a2", Some(validity)));
            assert_eq!(secrets["refresh"].expose(), left);
        }
        assert!(!before.is_same(&TokenCredentials::of(&secrets, &request).unwrap()));
        forget_tokens(&mut secrets);
        assert_eq!(held(&secrets, &request).unwrap().access.expose(), "a1");
        assert_eq!(secrets["refresh"].expose(), "r2");
        secrets.remove("id");
        assert_eq!(TokenCredentials::of(&secrets, &request).unwrap_err(), "id");
    }
}
