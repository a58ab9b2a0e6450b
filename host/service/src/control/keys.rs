//! Master keys: which one seals, which connections are under which, and rotating them.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_egress::Secret;
use tidegate_engine::ConnectionKey;
use tidegate_engine::integration::Connection;
use tidegate_engine::webhook::EndpointId;

use super::endpoint_keys::{self, EndpointSurvey};
use super::local::Local;
use super::pages::{PAGE, Pages};
use super::wire_secrets;
use crate::problem::{Kind, Problem, Result};
use crate::secrets::{
    KeyId, KeyRing, MasterKey, Place, UnsealError, VARIABLE, VARIABLE_NEXT, key_of, probe, rewrap,
};

/// Connections named in a refusal.
const NAMED_MAX: usize = 10;

/// How to rotate.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct RotateKeys {
    /// The new master key, 32 bytes in base64. `None` makes one, where a key file is in use, or takes
    /// that of `TIDEGATE_MASTER_KEY_NEXT`.
    #[serde(with = "wire_secrets::one")]
    pub to: Option<Secret>,
    /// Leave credentials that can't be opened as they are, instead of refusing.
    pub skip_unreadable: bool,
    /// Connections re-wrapped in one step, at least 1.
    pub step: usize,
}

/// What a rotation did.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Rotated {
    /// The ids of the keys.
    pub from: String,
    pub to: String,
    /// Connections re-wrapped by this command; an interrupted one did others.
    pub connections: u64,
    /// Webhook endpoints whose secrets were re-wrapped.
    pub endpoints: u64,
    /// Left as they were, because they can't be opened.
    pub skipped: Vec<ConnectionKey>,
    pub skipped_endpoints: Vec<EndpointId>,
    /// Whether whoever sets the environment has to put the new key in the old one's place.
    pub environment: bool,
}

/// What a master key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// It seals.
    Current,
    /// It will, once a rotation that was interrupted is finished.
    Next,
    /// It is not at hand.
    Unknown,
    /// What is sealed does not say by which key.
    Damaged,
}

impl KeyRole {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
        }
    }
}

/// A master key, and how much is sealed under it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct KeyStatus {
    /// `None` for credentials that are damaged, and don't say their key.
    pub key: Option<String>,
    pub role: KeyRole,
    /// Where it comes from, if it is at hand.
    pub place: Option<String>,
    pub connections: u64,
    /// Webhook endpoints with a signing secret under it.
    pub endpoints: u64,
}

/// Which connections are sealed under which key.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct KeysStatus {
    pub keys: Vec<KeyStatus>,
    pub without_credentials: u64,
    /// Those that the keys at hand don't open, the first of them, with the reason.
    pub unreadable: Vec<(ConnectionKey, String)>,
    /// More than are listed.
    pub unreadable_count: u64,
    /// Webhook endpoints with secrets that the keys at hand don't open, with the reason.
    pub unreadable_endpoints: Vec<(EndpointId, String)>,
}

/// The ring, with a key in it that may seal: made if nothing is sealed yet. Where something is, one
/// of the keys must open at least one of it: a wrong key would seal what nobody can open later.
/// The caller holds `key_use` until what it seals is stored.
pub(super) async fn ring_to_seal(local: &Local) -> Result<KeyRing> {
    let mut ring = KeyRing::load(&local.data)?;
    let keys = ring.keys();
    let mut refused = None;
    let mut pages = Pages::new(PAGE);
    while let Some(page) = pages.next(local).await? {
        for sealed in page.iter().filter(|c| !c.sealed_secrets.is_empty()) {
            match probe(&keys, &sealed.key, &sealed.sealed_secrets) {
                Ok(()) => return Ok(ring),
                // Says nothing against the key.
                Err(UnsealError::Damaged) => {}
                Err(unopened) => {
                    refused.get_or_insert_with(|| ring.problem(&sealed.key, unopened));
                }
            }
        }
    }
    if let Some(opened) = endpoint_keys::opens_one(local, &ring).await? {
        return opened.map(|()| ring);
    }
    if let Some(problem) = refused {
        return Err(problem);
    }
    if ring.sealing().is_none()
        && let Err(problem) = ring.create()
    {
        // Another connection may have been the first at the same moment.
        ring = KeyRing::load(&local.data)?;
        if ring.sealing().is_none() {
            return Err(problem);
        }
    }
    Ok(ring)
}

pub(super) async fn status(local: &Local) -> Result<KeysStatus> {
    let _in_use = local.key_use.read().await;
    let survey = Survey::of(local, &KeyRing::load(&local.data)?, None).await?;
    let ring = &survey.ring;
    let mut keys: Vec<KeyStatus> = Vec::new();
    let mut counts = survey.counts.clone();
    let mut endpoints = survey.endpoints.counts.clone();
    let known = [
        (ring.current(), KeyRole::Current, ring.place().to_string()),
        (ring.next(), KeyRole::Next, ring.place().next()),
    ];
    for (key, role, place) in known {
        if let Some(id) = key.map(MasterKey::id) {
            keys.push(KeyStatus {
                key: Some(id.to_string()),
                role,
                place: Some(place),
                connections: counts.remove(&Some(id)).unwrap_or_default(),
                endpoints: endpoints.remove(&Some(id)).unwrap_or_default(),
            });
        }
    }
    let unknown: BTreeSet<Option<KeyId>> = counts.keys().chain(endpoints.keys()).copied().collect();
    keys.extend(unknown.into_iter().map(|id| KeyStatus {
        role: match id {
            Some(_) => KeyRole::Unknown,
            None => KeyRole::Damaged,
        },
        key: id.map(|id| id.to_string()),
        place: None,
        connections: counts.get(&id).copied().unwrap_or_default(),
        endpoints: endpoints.get(&id).copied().unwrap_or_default(),
    }));
    let unreadable = survey.unreadable.iter().take(NAMED_MAX);
    Ok(KeysStatus {
        keys,
        without_credentials: survey.without,
        unreadable: unreadable
            .map(|(key, unopened)| (key.clone(), ring.problem(key, unopened.clone()).message))
            .collect(),
        unreadable_count: survey.unreadable.len() as u64,
        unreadable_endpoints: (survey.endpoints.unreadable.iter())
            .map(|(id, unopened)| (*id, ring.problem(*id, unopened.clone()).message))
            .collect(),
    })
}

/// What is sealed under what.
struct Survey {
    ring: KeyRing,
    /// By key; `None` is version 1.
    counts: BTreeMap<Option<KeyId>, u64>,
    without: u64,
    unreadable: Vec<(ConnectionKey, UnsealError)>,
    endpoints: EndpointSurvey,
}

impl Survey {
    /// With `more`, a key that is not in the ring yet.
    async fn of(local: &Local, ring: &KeyRing, more: Option<&MasterKey>) -> Result<Self> {
        let mut survey = Self {
            ring: ring.clone(),
            counts: BTreeMap::new(),
            without: 0,
            unreadable: Vec::new(),
            endpoints: EndpointSurvey::default(),
        };
        let mut keys = ring.keys();
        keys.extend(more);
        survey.endpoints = EndpointSurvey::of(local, &keys).await?;
        let mut pages = Pages::new(PAGE);
        while let Some(page) = pages.next(local).await? {
            for connection in page {
                let sealed = &connection.sealed_secrets;
                if sealed.is_empty() {
                    survey.without += 1;
                    continue;
                }
                *survey.counts.entry(key_of(sealed)).or_default() += 1;
                if let Err(unopened) = probe(&keys, &connection.key, sealed) {
                    survey.unreadable.push((connection.key, unopened));
                }
            }
        }
        Ok(survey)
    }

    fn refusal(&self) -> Problem {
        let endpoints = &self.endpoints.unreadable;
        let connections = self.unreadable.iter();
        let connections =
            connections.map(|(key, unopened)| self.ring.problem(key, unopened.clone()));
        let of_endpoints = endpoints.iter();
        let of_endpoints =
            of_endpoints.map(|(id, unopened)| self.ring.problem(*id, unopened.clone()));
        let named = connections.chain(of_endpoints).take(NAMED_MAX);
        let named: Vec<String> = named.map(|problem| problem.message).collect();
        let what = match endpoints.len() {
            0 => "the connections' credentials",
            _ => "the connections' credentials and webhook endpoints' secrets",
        };
        let message = format!(
            "{} of {what} can't be opened, and nothing was changed:\n  {}",
            self.unreadable.len() + endpoints.len(),
            named.join("\n  ")
        );
        Problem::new(Kind::Secrets, message).hint(
            "use the key that they were sealed with, or leave them as they are: with --skip-unreadable, by the API \
             with \"skip_unreadable\": true",
        )
    }
}

pub(super) async fn rotate(local: &Local, request: RotateKeys) -> Result<Rotated> {
    let mut ring = KeyRing::load(&local.data)?;
    if local.served && *ring.place() == Place::Environment && ring.next().is_none() {
        // Everybody else in the server would go on with what it was started with.
        let message = "the master key comes from the server's environment, which has no next one";
        return Err(Problem::new(Kind::Conflict, message).hint(
            "start the server again with the new key in TIDEGATE_MASTER_KEY_NEXT, too, and rotate then",
        ));
    }
    let to = request.to.as_ref();
    let to = to
        .map(|text| MasterKey::decode(text.expose()).map_err(|problem| problem.at("the new key")))
        .transpose()?;
    let new = destination(&ring, to)?;
    // The new key may have sealed some already, if it is the operator's.
    let survey = Survey::of(local, &ring, Some(&new)).await?;
    let is_whole = survey.unreadable.is_empty() && survey.endpoints.unreadable.is_empty();
    if !is_whole && !request.skip_unreadable {
        return Err(survey.refusal());
    }
    let Some(old) = ring.current().map(MasterKey::id) else {
        let message = format!(
            "there is no master key to rotate: {} is not there",
            ring.place().name()
        );
        let hint = "it is made when the first credentials are added";
        return Err(Problem::not_found(message).hint(hint));
    };
    if ring.next().is_none() {
        // Whoever loads the keys from here on seals under the next one.
        let _alone = local.key_use.write().await;
        ring.keep_next(new.clone())?;
    }
    let mut rotated = Rotated {
        from: old.to_string(),
        to: new.id().to_string(),
        environment: *ring.place() == Place::Environment,
        skipped: survey.unreadable.into_iter().map(|(key, _)| key).collect(),
        skipped_endpoints: (survey.endpoints.unreadable.into_iter())
            .map(|(id, _)| id)
            .collect(),
        ..Rotated::default()
    };
    // Until a pass finds nothing: connections and endpoints may come and change meanwhile.
    loop {
        let (tried, done) = rewrap_all(local, &ring, &new, request.step).await?;
        rotated.connections += done;
        let endpoints = endpoint_keys::rewrap_all(local, &ring, &new).await?;
        rotated.endpoints += endpoints.1;
        if tried + endpoints.0 == 0 {
            break;
        }
    }
    let _alone = local.key_use.write().await;
    ring.finish()?;
    Ok(rotated)
}

/// The key that a rotation goes to.
fn destination(ring: &KeyRing, to: Option<MasterKey>) -> Result<MasterKey> {
    let new = match (ring.next(), to) {
        (Some(next), Some(to)) if next.id() != to.id() => {
            let message = format!(
                "{} is {}, another key than --to, which is {}",
                ring.place().next_name(),
                next.id(),
                to.id()
            );
            let hint = "a rotation to it is not finished: finish it first, without --to";
            return Err(Problem::new(Kind::Conflict, message).hint(hint));
        }
        (Some(next), _) => next.clone(),
        (None, Some(to)) => to,
        (None, None) if *ring.place() == Place::Environment => {
            let message = format!(
                "the master key comes from {VARIABLE}, so the new one must come from you too"
            );
            let hint = format!(
                "set {VARIABLE_NEXT} to it (32 bytes in base64), or give --to env:VAR, file:PATH or -"
            );
            return Err(Problem::invalid(message).hint(hint));
        }
        (None, None) => MasterKey::generate()?,
    };
    if ring.current().is_some_and(|key| key.id() == new.id()) {
        let message = format!("the new master key, {}, is the one in use", new.id());
        return Err(Problem::invalid(message));
    }
    Ok(new)
}

/// One pass over everything that is not under `new`: how many connections there were to re-wrap,
/// and how many were.
async fn rewrap_all(
    local: &Local,
    ring: &KeyRing,
    new: &MasterKey,
    step: usize,
) -> Result<(u64, u64)> {
    let keys = ring.keys();
    let mut counts = (0, 0);
    let mut pages = Pages::new(step.max(1));
    while let Some(page) = pages.next(local).await? {
        let mut updates = Vec::new();
        for connection in page {
            let sealed = &connection.sealed_secrets;
            if sealed.is_empty() || key_of(sealed) == Some(new.id()) {
                continue;
            }
            // What can't be opened was refused or is to be left.
            if let Ok(sealed_secrets) = rewrap(&keys, new, &connection.key, sealed)? {
                updates.push(Connection {
                    sealed_secrets,
                    ..connection
                });
            }
        }
        if !updates.is_empty() {
            let done = local.store.update_connections(updates).await?;
            // One that was changed meanwhile is looked at again in the next pass.
            counts.0 += done.len() as u64;
            counts.1 += done.iter().filter(|done| **done).count() as u64;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::Map;
    use tidegate_engine::Timestamp;
    use tidegate_engine::grant::Grants;
    use tidegate_engine::integration::NewDeployment;

    use super::super::{NewConnection, connections, credentials};
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rotation_waits_for_those_who_use_the_keys_and_none_loses_its_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let local = Arc::new(Local::open(folder.path()).await.unwrap());
        let component = local.store.put_component(b"component".to_vec());
        let manifest = r#"{"manifest": 1, "name": "crm", "version": "1.0.0",
            "auth": [{"kind": "bearer", "token": "token"}]}"#;
        let deployment = NewDeployment {
            integration: "crm".parse().unwrap(),
            digest: component.await.unwrap(),
            manifest: serde_json::from_str(manifest).unwrap(),
            grants: Grants::default(),
            config: Map::new(),
            now: Timestamp(1),
        };
        local.store.deploy(deployment).await.unwrap();
        let key = ConnectionKey {
            integration: "crm".parse().unwrap(),
            connection: "acme".parse().unwrap(),
        };
        let new = NewConnection {
            key: key.clone(),
            base_url: "https://api.example".parse().unwrap(),
            config: Map::new(),
            metadata: Map::new(),
            tags: BTreeMap::new(),
            external_id: None,
            secrets: BTreeMap::from([("token".to_owned(), Secret::new("secret".to_owned()))]),
        };
        connections::add(&local, new).await.unwrap();
        let before = local.find_connection(&key).await.unwrap();

        let in_use = Arc::clone(&local.key_use).read_owned().await;
        let mut rotation = tokio::spawn({
            let local = Arc::clone(&local);
            async move { rotate(&local, RotateKeys::default()).await }
        });
        let early = tokio::time::timeout(Duration::from_millis(300), &mut rotation).await;
        assert!(early.is_err(), "somebody may be sealing under the old key");
        assert!(KeyRing::load(folder.path()).unwrap().next().is_none());
        drop(in_use);
        assert_eq!(rotation.await.unwrap().unwrap().connections, 1);

        // A run that had read its connection before.
        let opened = credentials::open(&local, &before).await.unwrap();
        assert_eq!(opened["token"].expose(), "secret");
    }
}
