//! The HTTP clients of connections that ran lately: their next run finds connections still open, and
//! TLS sessions to resume.

use std::fmt;
use std::num::NonZeroUsize;

use ipnet::IpNet;
use lru::LruCache;
use parking_lot::Mutex;
use reqwest::Client;
use tidegate_engine::{ConnectionKey, Timestamp};

use crate::policy::Policy;

/// Most clients that are kept, so that memory and open files don't grow with the number of connections; the
/// one that was not used for longest goes. A run that goes on keeps its own.
const CLIENTS_MAX: NonZeroUsize = match NonZeroUsize::new(128) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// Whose client it is, and all that it was made from besides what the whole gate has in common: whoever
/// was granted something else meanwhile gets another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    connection: ConnectionKey,
    since: Timestamp,
    https: bool,
    private: Vec<IpNet>,
    headers: u64,
    header_bytes: u64,
}

pub(crate) struct Clients(Mutex<LruCache<Key, Client>>);

impl Default for Clients {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CLIENTS_MAX)))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    /// The client for a run with this policy, made by `make` where none is kept.
    pub(crate) fn get(
        &self,
        policy: &Policy,
        https: bool,
        make: impl FnOnce() -> Result<Client, String>,
    ) -> Result<Client, String> {
        let key = Key {
            connection: policy.connection.clone(),
            since: policy.since,
            https,
            private: policy.private.clone(),
            headers: policy.limits.http_headers,
            header_bytes: policy.limits.http_header_bytes,
        };
        let mut kept = self.0.lock();
        kept.try_get_or_insert(key, make).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tidegate_engine::limits::Limits;
    use tidegate_engine::redact::SecretTexts;

    fn policy(connection: &str) -> Policy {
        Policy {
            connection: ConnectionKey {
                integration: "crm".parse().unwrap(),
                connection: connection.parse().unwrap(),
            },
            since: Timestamp(1),
            rate_limit: None,
            requested: Vec::new(),
            granted: Vec::new(),
            private: Vec::new(),
            base_url: "https://api.example".parse().unwrap(),
            credentials: None,
            secrets: SecretTexts::default(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn one_client_for_each_connection_and_what_it_may() {
        let (clients, made) = (Clients::default(), Cell::new(0));
        let get = |policy: &Policy, https| {
            let make = || {
                made.set(made.get() + 1);
                // Of no use, and not used.
                Ok(Client::new())
            };
            clients.get(policy, https, make).unwrap();
            made.get()
        };
        let acme = policy("acme");
        let mut other_integration = acme.clone();
        other_integration.connection.integration = "mail".parse().unwrap();
        let mut added_again = acme.clone();
        added_again.since = Timestamp(2);
        let mut opened = acme.clone();
        opened.private = vec!["10.0.0.0/8".parse().unwrap()];
        let mut bounded = acme.clone();
        bounded.limits.http_headers -= 1;
        assert_eq!(get(&acme, true), 1);
        assert_eq!(get(&acme, true), 1, "its next run");
        assert_eq!(get(&acme, false), 2);
        assert_eq!(get(&policy("globex"), true), 3);
        assert_eq!(get(&other_integration, true), 4);
        assert_eq!(get(&opened, true), 5);
        assert_eq!(get(&bounded, true), 6);
        assert_eq!(get(&added_again, true), 7);
        // The ones that were not used for longest go.
        for number in 1..CLIENTS_MAX.get() {
            get(&policy(&format!("c{number}")), true);
            get(&acme, true);
        }
        let before = made.get();
        assert_eq!(get(&acme, true), before, "always used");
        assert_eq!(get(&policy("globex"), true), before + 1, "forgotten");
        assert_eq!(clients.0.lock().len(), CLIENTS_MAX.get());
    }
}
