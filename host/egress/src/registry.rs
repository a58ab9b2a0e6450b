//! What all runs of a process share, by owner and origin, within a bound on its number.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
/// Most origins that are remembered of one owner. A plugin that asks more of them forgets its own,
/// not others'.
pub(crate) const ORIGINS_MAX: usize = 64;
/// Owners from which on those are dropped that have nothing left to say.
const OWNERS_SWEPT: usize = 256;

/// Something that is remembered for an origin.
pub(crate) trait Remembered: Default {
    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: Instant) -> bool;
    /// When it last mattered.
    fn used(&self) -> Option<Instant>;
}

/// Values by owner (an integration, or a connection of it) and origin.
pub(crate) struct Registry<O, T>(Mutex<Inner<O, T>>);

struct Inner<O, T> {
    owners: HashMap<O, HashMap<String, Arc<T>>>,
    /// The number of owners at which the idle ones are dropped next.
    sweep_at: usize,
}

impl<O, T> Default for Registry<O, T> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            owners: HashMap::new(),
            sweep_at: OWNERS_SWEPT,
        }))
    }
}

impl<O, T> fmt::Debug for Registry<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl<O: Clone + Eq + Hash, T: Remembered> Registry<O, T> {
    /// The value of this owner and origin, the same for everybody who asks.
    pub(crate) fn get(&self, owner: &O, origin: &str, now: Instant) -> Arc<T> {
        let mut inner = self.0.lock();
        if let Some(found) = inner.owners.get(owner).and_then(|of| of.get(origin)) {
            return Arc::clone(found);
        }
        if inner.owners.len() >= inner.sweep_at {
            inner.owners.retain(|_, origins| {
                origins.retain(|_, value| keeps(value, now));
                !origins.is_empty()
            });
            inner.sweep_at = OWNERS_SWEPT.max(inner.owners.len() * 2);
        }
        let origins = inner.owners.entry(owner.clone()).or_default();
        if origins.len() >= ORIGINS_MAX {
            origins.retain(|_, value| keeps(value, now));
        }
        if origins.len() >= ORIGINS_MAX {
            let oldest = origins.iter().min_by_key(|(_, value)| value.used());
            if let Some(oldest) = oldest.map(|(origin, _)| origin.clone()) {
                origins.remove(&oldest);
            }
        }
        let value = Arc::new(T::default());
        origins.insert(origin.to_owned(), Arc::clone(&value));
        value
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let inner = self.0.lock();
        inner.owners.values().map(HashMap::len).sum()
    }
}

fn keeps<T: Remembered>(value: &Arc<T>, now: Instant) -> bool {
    Arc::strong_count(value) > 1 || !value.is_idle(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::time::Duration;

    /// Busy until a moment.
    #[derive(Debug, Default)]
    struct BusyUntil(OnceLock<Instant>);

    impl Remembered for BusyUntil {
        fn is_idle(&self, now: Instant) -> bool {
            self.0.get().is_none_or(|until| *until <= now)
        }
        fn used(&self) -> Option<Instant> {
            self.0.get().copied()
        }
    }

    #[test]
    fn one_value_for_all_who_ask_and_another_for_others() {
        let registry = Registry::<u32, BusyUntil>::default();
        let now = Instant::now();
        let first = registry.get(&1, "https://a", now);
        assert!(Arc::ptr_eq(&first, &registry.get(&1, "https://a", now)));
        assert!(!Arc::ptr_eq(&first, &registry.get(&2, "https://a", now)));
        assert!(!Arc::ptr_eq(&first, &registry.get(&1, "https://b", now)));
    }

    #[test]
    fn the_number_is_bounded_and_what_matters_is_kept() {
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        // Owners come and go: the busy ones stay.
        let registry = Registry::<u32, BusyUntil>::default();
        for owner in 0..100_000 {
            let value = registry.get(&owner, "https://a", now);
            if owner < 10 {
                value.0.set(later).unwrap();
            }
        }
        assert!(registry.len() <= OWNERS_SWEPT, "{}", registry.len());
        assert!((0..10).all(|owner| registry.get(&owner, "https://a", now).used() == Some(later)));
        // One owner asks without end: it forgets its own, the oldest first.
        for number in 0..1000 {
            let value = registry.get(&0, &format!("https://{number}"), now);
            value.0.set(later + Duration::from_secs(number)).unwrap();
        }
        assert!(
            registry.len() <= OWNERS_SWEPT + ORIGINS_MAX,
            "{}",
            registry.len()
        );
        let last = registry.get(&0, "https://999", now).used();
        assert_eq!(last, Some(later + Duration::from_secs(999)));
        assert_eq!(registry.get(&0, "https://0", now).used(), None);
        assert_eq!(registry.get(&9, "https://a", now).used(), Some(later));
    }
}
