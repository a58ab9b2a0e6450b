//! The commands on API keys.

use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::store::rules;
use tidegate_engine::{StoreError, Timestamp};

use crate::disk::Writes;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;

use super::{Writer, encode, not_found};

impl Writer {
    pub(crate) fn add_api_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let prefix = Key::new(Tag::ApiKey);
        let mut count = 0;
        for item in self.view().raw(&prefix, &prefix.after_prefix()) {
            item?;
            count += 1;
        }
        let place = keys::api_key(key.id);
        let stored: Option<ApiKey> = self.view().row(&place, rows::decode)?;
        if rules::is_new_api_key(stored.as_ref(), key, count)? {
            let mut writes = Writes::default();
            let row = encode(place.as_ref(), key)?;
            writes.put_new(place, &row);
            self.apply(writes)?;
        }
        Ok(())
    }

    pub(crate) fn touch_api_key(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        let place = keys::api_key(id);
        let stored: Option<ApiKey> = self.view().row(&place, rows::decode)?;
        let mut key = stored.ok_or_else(|| not_found("API key", &id))?;
        key.last_used_at = key.last_used_at.max(Some(at));
        let mut writes = Writes::default();
        let row = encode(place.as_ref(), &key)?;
        writes.put(&self.view(), place, &row)?;
        self.apply(writes)
    }

    pub(crate) fn remove_api_key(&mut self, id: ApiKeyId) -> Result<(), StoreError> {
        let place = keys::api_key(id);
        if self.view().get(&place)?.is_none() {
            return Err(not_found("API key", &id));
        }
        let mut writes = Writes::default();
        writes.remove(&self.view(), place)?;
        self.apply(writes)
    }
}
