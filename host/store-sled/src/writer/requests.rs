//! Requests under idempotency keys: taken, answered, and forgotten after a day.
//!
//! A second row says when a request is forgotten. Looking at those is iterating, for which what is gathered
//! has to go into sled, so it waits until the first of them has come.

use std::collections::HashMap;

use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::request::{NewRequest, RequestKey, RequestRow, RequestStart, StoredAnswer};
use tidegate_engine::store::rules;
use tidegate_engine::{StoreError, Timestamp};

use crate::disk::{Writes, damaged};
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;

use super::{Writer, encode, unless_damaged};

/// What the writer remembers of requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// How many an API key has, of those that were counted.
    counts: HashMap<ApiKeyId, u64>,
    /// No request is forgotten before.
    next_expiry: Timestamp,
    /// Those that expired until then are to be forgotten.
    expiring: Option<Timestamp>,
}

fn place_of(key: &RequestKey) -> Key {
    keys::requests(key.api_key).raw(key.key.as_str().as_bytes())
}

/// The row that says when the request at `place` is forgotten.
fn expiry(row: &RequestRow, place: &Key) -> Key {
    let rest = place.as_ref().get(1..).unwrap_or_default();
    keys::request_expiry(row.expires_at().0).raw(rest)
}

impl Writer {
    pub(crate) fn begin_request(&mut self, new: &NewRequest) -> Result<RequestStart, StoreError> {
        let place = place_of(&new.key);
        self.expire_requests_later(new.now);
        let row: Option<RequestRow> = self.view().row(&place, rows::decode)?;
        let mut writes = Writes::default();
        let is_new = row.is_none();
        match row {
            Some(row) if row.is_expired(new.now) => {
                self.forget_request(&mut writes, &place, &row)?;
            }
            Some(row) => return Ok(row.judge(&new.print)),
            None => self.make_request_room(new.key.api_key)?,
        }
        let row = RequestRow::begun(new);
        writes.put_new(expiry(&row, &place), &[]);
        writes.put_new(place.clone(), &encode(place.as_ref(), &row)?);
        self.apply(writes)?;
        let next = &mut self.requests.next_expiry;
        *next = row.expires_at().min(*next);
        if is_new && let Some(count) = self.requests.counts.get_mut(&new.key.api_key) {
            *count += 1;
        }
        Ok(RequestStart::First)
    }

    pub(crate) fn end_request(
        &mut self,
        key: &RequestKey,
        answer: Option<StoredAnswer>,
    ) -> Result<(), StoreError> {
        let place = place_of(key);
        let row: Option<RequestRow> = self.view().row(&place, rows::decode)?;
        let Some(row) = row else { return Ok(()) };
        let mut writes = Writes::default();
        let Some(answer) = answer else {
            self.forget_request(&mut writes, &place, &row)?;
            self.apply(writes)?;
            self.count_forgotten(key.api_key);
            return Ok(());
        };
        let value = encode(place.as_ref(), &row.answered(answer))?;
        writes.put(&self.view(), place, &value)?;
        self.apply(writes)
    }

    fn forget_request(
        &self,
        writes: &mut Writes,
        place: &Key,
        row: &RequestRow,
    ) -> Result<(), StoreError> {
        writes.remove_short(expiry(row, place));
        writes.remove_any(&self.view(), place.clone()).map(drop)
    }

    fn count_forgotten(&mut self, api_key: ApiKeyId) {
        if let Some(count) = self.requests.counts.get_mut(&api_key) {
            *count = count.saturating_sub(1);
        }
    }

    /// Refuse a further request of an API key that has too many; those that have expired don't count.
    fn make_request_room(&mut self, api_key: ApiKeyId) -> Result<(), StoreError> {
        let most = self.tuning.requests_max;
        if self.count_requests(api_key)? >= most {
            while self.wants_request_expiry() {
                self.request_expiry_step()?;
            }
        }
        rules::check_request_room(self.count_requests(api_key)?, most)
    }

    fn count_requests(&mut self, api_key: ApiKeyId) -> Result<u64, StoreError> {
        if let Some(count) = self.requests.counts.get(&api_key) {
            return Ok(*count);
        }
        let prefix = keys::requests(api_key);
        let mut count = 0;
        for item in self.view().raw(&prefix, &prefix.after_prefix()) {
            item?;
            count += 1;
        }
        self.requests.counts.insert(api_key, count);
        Ok(count)
    }

    /// Forget what has expired by `now`, sooner or later.
    pub(super) fn expire_requests_later(&mut self, now: Timestamp) {
        if self.requests.next_expiry <= now {
            self.requests.expiring = self.requests.expiring.max(Some(now));
        }
    }

    pub(super) fn wants_request_expiry(&self) -> bool {
        self.requests.expiring.is_some()
    }

    /// Forget some of the requests that have expired.
    pub(super) fn request_expiry_step(&mut self) -> Result<(), StoreError> {
        let Some(now) = self.requests.expiring else {
            return Ok(());
        };
        let prefix = Key::new(Tag::RequestExpiry);
        let mut writes = Writes::default();
        let mut forgotten = Vec::new();
        let mut next_expiry = None;
        let end = prefix.after_prefix();
        for (looked_at, item) in self.view().range(&prefix, &end).enumerate() {
            let (key, _) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let rest = keys::rest(&key, &prefix).map_err(bad)?;
            let (at, rest) = keys::split_number(rest).map_err(bad)?;
            if at > now.0 || looked_at >= self.tuning.step_keys {
                next_expiry = Some(Timestamp(at));
                break;
            }
            let (api_key, _) = keys::split_api_key(rest).map_err(bad)?;
            let place = Key::new(Tag::Request).raw(rest);
            let is_there = !matches!(self.view().found(&place), Ok(None));
            let row: Option<RequestRow> = unless_damaged(self.view().row(&place, rows::decode))?;
            // One that was begun again has another such row.
            if is_there && row.is_none_or(|row| row.expires_at().0 == at) {
                writes.remove_any(&self.view(), place)?;
                forgotten.push(api_key);
            }
            writes.remove_short(Key::stored(&key));
        }
        self.apply(writes)?;
        self.requests.next_expiry = next_expiry.unwrap_or(Timestamp(u64::MAX));
        if self.requests.next_expiry > now {
            self.requests.expiring = None;
        }
        for api_key in forgotten {
            self.count_forgotten(api_key);
        }
        Ok(())
    }
}
