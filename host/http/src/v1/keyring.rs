//! The API keys in memory: which one a request carries, and whether it asks too fast.
//!
//! This process holds the data directory, so nobody else changes the keys; the routes that do tell
//! the keyring.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::RwLock;
use subtle::ConstantTimeEq;
use tidegate_engine::Timestamp;
use tidegate_engine::api_key::{ApiKey, ApiKeyId, LAST_USED_MS, key_digest};
use tidegate_engine::integration::Digest;
use tidegate_engine::limits::{API_RATE_BURST, API_RATE_REQUESTS};
use tokio_util::sync::CancellationToken;

use super::bounds::Bounds;
use super::room::Share;

/// All keys.
pub(crate) struct Keyring {
    bounds: Bounds,
    entries: RwLock<Vec<Arc<Entry>>>,
    /// Held while keys are changed in the store and here, so that one who reads them all for [`Self::set`]
    /// brings back none that is being revoked.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// A key, and how fast it has asked lately.
pub(crate) struct Entry {
    pub(crate) key: ApiKey,
    limiter: DefaultDirectRateLimiter,
    /// What may be held for it at once.
    pub(super) share: Arc<Share>,
    /// When its last use was written down, in Unix milliseconds.
    touched: AtomicU64,
    /// Cancelled once it opens nothing any more.
    revoked: CancellationToken,
}

/// Why a text opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is no key, or one that was never made or has been revoked.
    Key,
    Expired,
}

impl Keyring {
    pub(crate) fn new(keys: Vec<ApiKey>, bounds: Bounds) -> Self {
        let entries = keys
            .into_iter()
            .map(|key| Arc::new(Entry::new(key, &bounds)));
        Self {
            bounds,
            entries: RwLock::new(entries.collect()),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The key with this text. It is compared with each one in constant time.
    pub(crate) fn find(&self, text: &str, now: Timestamp) -> Result<Arc<Entry>, Unknown> {
        let digest = key_digest(text).ok_or(Unknown::Key)?;
        let entries = self.entries.read();
        let mut found = None;
        for entry in entries.iter() {
            if is_same(entry.key.digest, digest) {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(Unknown::Key)?;
        match entry.key.is_expired(now) {
            true => Err(Unknown::Expired),
            false => Ok(Arc::clone(entry)),
        }
    }

    /// These are all there are; those that were there already go on counting.
    pub(crate) fn set(&self, keys: Vec<ApiKey>) {
        let mut entries = self.entries.write();
        let old = std::mem::take(&mut *entries);
        let kept: BTreeSet<ApiKeyId> = keys.iter().map(|key| key.id).collect();
        *entries = keys
            .into_iter()
            .map(|key| {
                let known = old.iter().find(|entry| entry.key.id == key.id);
                known.map_or_else(|| Arc::new(Entry::new(key, &self.bounds)), Arc::clone)
            })
            .collect();
        for entry in old.iter().filter(|entry| !kept.contains(&entry.key.id)) {
            entry.revoked.cancel();
        }
    }

    pub(crate) fn add(&self, key: ApiKey) {
        let mut entries = self.entries.write();
        entries.push(Arc::new(Entry::new(key, &self.bounds)));
    }

    pub(crate) fn remove(&self, id: ApiKeyId) {
        let mut entries = self.entries.write();
        let (gone, kept) = entries.drain(..).partition(|entry| entry.key.id == id);
        *entries = kept;
        let gone: Vec<Arc<Entry>> = gone;
        for entry in gone {
            entry.revoked.cancel();
        }
    }
}

/// Whether two digests are the same, in a time that does not depend on where they differ.
pub(crate) fn is_same(one: Digest, other: Digest) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

impl Entry {
    fn new(key: ApiKey, bounds: &Bounds) -> Self {
        let touched = key.last_used_at.map_or(0, |at| at.0);
        Self {
            limiter: RateLimiter::direct(quota(&key)),
            share: Arc::new(Share::new(bounds)),
            touched: AtomicU64::new(touched),
            revoked: CancellationToken::new(),
            key,
        }
    }

    /// Count a request, or say how long to wait.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        let admitted = self.limiter.check();
        admitted.map_err(|refused| refused.wait_time_from(DefaultClock::default().now()))
    }

    /// Resolves when the key opens nothing any more, with why.
    pub(crate) async fn ended(&self, now: Timestamp) -> Unknown {
        let expired = async {
            match self.key.expires_at {
                Some(at) => tokio::time::sleep(Duration::from_millis(at.since(now))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.revoked.cancelled() => Unknown::Key,
            () = expired => Unknown::Expired,
        }
    }

    /// Whether its use now is to be written down; true once in a while.
    pub(crate) fn is_to_touch(&self, now: Timestamp) -> bool {
        let touched = self.touched.load(Ordering::Relaxed);
        if touched.saturating_add(LAST_USED_MS) > now.0 {
            return false;
        }
        let (order, fail) = (Ordering::Relaxed, Ordering::Relaxed);
        let swapped = self.touched.compare_exchange(touched, now.0, order, fail);
        swapped.is_ok()
    }
}

/// What a key may ask in so long a time, it may ask at once.
const SIDE_BY_SIDE: Duration = Duration::from_millis(100);

/// How fast a key may ask.
fn quota(key: &ApiKey) -> Quota {
    let usual = Duration::from_secs(1) / u32::try_from(API_RATE_REQUESTS).unwrap_or(1).max(1);
    let usual_burst = u32::try_from(API_RATE_BURST).unwrap_or(u32::MAX);
    let (interval, burst) = match key.rate_limit {
        Some(rate) => (rate.interval(), rate.burst()),
        None => (usual, usual_burst),
    };
    // A client's requests come side by side, however evenly it means to ask.
    let side_by_side = SIDE_BY_SIDE.as_nanos() / interval.as_nanos().max(1);
    let burst = burst.max(u32::try_from(side_by_side).unwrap_or(u32::MAX));
    // A rate is never so high that a request takes no time; the least there is, is fast enough.
    let interval = interval.max(Duration::from_nanos(1));
    let one = std::num::NonZeroU32::MIN;
    let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(one));
    quota.allow_burst(std::num::NonZeroU32::new(burst).unwrap_or(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::api_key::{KeyScope, key_text};

    fn key(number: u8, rate: Option<&str>) -> (String, ApiKey) {
        let text = key_text(&[number; 32]);
        let key = ApiKey {
            id: ApiKeyId::from_parts(Timestamp(1), u128::from(number)),
            name: "x".to_owned(),
            digest: Digest::of(text.as_bytes()),
            scopes: [KeyScope::Read].into(),
            created_at: Timestamp(1),
            expires_at: (number == 2).then_some(Timestamp(50)),
            last_used_at: None,
            rate_limit: rate.map(|rate| rate.parse().unwrap()),
        };
        (text, key)
    }

    #[test]
    fn keys_are_found_until_they_expire_or_are_removed() {
        let (one, first) = key(1, None);
        let (two, second) = key(2, None);
        let id = first.id;
        let keyring = Keyring::new(vec![first], Bounds::default());
        keyring.add(second);
        let find = |text: &str, now| keyring.find(text, Timestamp(now)).map(|entry| entry.key.id);
        assert_eq!(find(&one, 100), Ok(id));
        assert!(find(&two, 49).is_ok());
        assert_eq!(find(&two, 50), Err(Unknown::Expired));
        assert_eq!(find(&key(3, None).0, 1), Err(Unknown::Key));
        keyring.remove(id);
        assert_eq!(find(&one, 100), Err(Unknown::Key));
    }

    #[test]
    fn a_key_asks_no_faster_than_its_rate() {
        let admitted = |rate| {
            let entry = Entry::new(key(1, rate).1, &Bounds::default());
            (0..1000).take_while(|_| entry.admit().is_ok()).count()
        };
        assert_eq!(admitted(Some("5/1h burst 3")), 3);
        assert!((10..15).contains(&admitted(Some("100/1s"))));
        assert!((200..250).contains(&admitted(None)));
    }

    #[test]
    fn a_use_is_written_down_once_in_a_while() {
        let entry = Entry::new(key(1, None).1, &Bounds::default());
        let rows = [
            (LAST_USED_MS, true),
            (LAST_USED_MS + 5, false),
            (2 * LAST_USED_MS, true),
        ];
        for (now, is_to_touch) in rows {
            assert_eq!(entry.is_to_touch(Timestamp(now)), is_to_touch, "{now}");
        }
    }
}
