//! API keys: few ids and names, so that they meet.

use tidegate_engine::api_key::{ApiKey, ApiKeyId, KeyScope};
use tidegate_engine::integration::Digest;
use tidegate_engine::request::{Fingerprint, NewRequest, RequestKey, StoredAnswer};

use super::*;

#[derive(Debug, Clone)]
pub(crate) enum ApiKeyStep {
    Add {
        id: u8,
        scopes: u8,
    },
    Touch {
        id: u8,
        back: u64,
    },
    Remove {
        id: u8,
    },
    Begin {
        id: u8,
        key: u8,
        print: u8,
    },
    Answer {
        id: u8,
        key: u8,
        bytes: Option<usize>,
    },
}

pub(crate) fn on_key() -> impl Strategy<Value = ApiKeyStep> {
    let id = 0u8..4;
    let bytes = prop_oneof![Just(None), Just(Some(2)), Just(Some(20_000))];
    prop_oneof![
        3 => (id.clone(), 0u8..3).prop_map(|(id, scopes)| ApiKeyStep::Add { id, scopes }),
        2 => (id.clone(), 0u64..100).prop_map(|(id, back)| ApiKeyStep::Touch { id, back }),
        1 => id.prop_map(|id| ApiKeyStep::Remove { id }),
        3 => (0u8..2, 0u8..3, 0u8..2).prop_map(|(id, key, print)| ApiKeyStep::Begin { id, key, print }),
        2 => (0u8..2, 0u8..3, bytes).prop_map(|(id, key, bytes)| ApiKeyStep::Answer { id, key, bytes }),
    ]
}

fn key_id(id: u8) -> ApiKeyId {
    ApiKeyId::from_parts(Timestamp(u64::from(id)), u128::from(id))
}

fn key(id: u8, scopes: u8) -> ApiKey {
    let scopes = KeyScope::ALL.into_iter().take(usize::from(scopes) + 1);
    ApiKey {
        id: key_id(id),
        name: format!("key {id}"),
        digest: Digest::of(&[id]),
        scopes: scopes.collect(),
        created_at: Timestamp(5),
        expires_at: (id == 0).then_some(Timestamp(1_000_000)),
        last_used_at: None,
        rate_limit: (id == 1).then(|| "5/1s".parse().unwrap()),
    }
}

fn request_key(id: u8, key: u8) -> RequestKey {
    RequestKey {
        api_key: key_id(id),
        key: format!("request-{key}").parse().unwrap(),
    }
}

impl<B: Backend> Pair<'_, B> {
    pub(crate) async fn on_key(&self, step: &ApiKeyStep) {
        match step {
            ApiKeyStep::Add { id, scopes } => {
                let key = key(*id, *scopes);
                let _ = both!(self, store => store.add_api_key(key.clone()));
            }
            ApiKeyStep::Touch { id, back } => {
                let at = Timestamp(self.now - back);
                let _ = both!(self, store => store.touch_api_key(key_id(*id), at));
            }
            ApiKeyStep::Remove { id } => {
                let _ = both!(self, store => store.remove_api_key(key_id(*id)));
            }
            ApiKeyStep::Begin { id, key, print } => {
                let new = NewRequest {
                    key: request_key(*id, *key),
                    print: Fingerprint::of(&[&[*print]]),
                    now: Timestamp(self.now),
                };
                both!(self, store => store.begin_request(new.clone())).unwrap();
            }
            ApiKeyStep::Answer { id, key, bytes } => {
                let answer = bytes.map(|bytes| StoredAnswer {
                    status: 201,
                    location: None,
                    body: Some("x".repeat(bytes)),
                });
                let key = request_key(*id, *key);
                both!(self, store => store.end_request(key.clone(), answer.clone())).unwrap();
            }
        }
        both!(self, store => store.api_keys()).unwrap();
    }

    /// As many keys as there may be, and one more.
    pub(crate) async fn fill_with_keys(&self) {
        let most = tidegate_engine::limits::API_KEYS;
        for number in 100..=100 + most {
            let mut key = key(2, 0);
            key.id = ApiKeyId::from_parts(Timestamp(number), 0);
            let added = both!(self, store => store.add_api_key(key.clone()));
            assert_eq!(added.is_ok(), number < 100 + most, "{number}: {added:?}");
        }
    }
}
