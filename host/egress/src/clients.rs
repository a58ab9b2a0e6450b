//! The HTTP clients of connections that ran lately: their next run finds connections still open, and
//! TLS sessions to resume.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use reqwest::Client;
use tidegate_engine::ConnectionKey;

use crate::policy::Policy;

/// Most clients that are kept; the one that was not used for longest goes. A run that goes on keeps its own.
const CLIENTS_MAX: usize = 128;

/// Whose client it is, and all that it was made from besides what the whole gate has in common: whoever
/// was granted something else meanwhile gets another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    connection: ConnectionKey,
    https: bool,
    private: Vec<IpNet>,
    headers: u64,
    header_bytes: u64,
}

/// What is kept, each with the use that was its last.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    clients: HashMap<Key, (Client, u64)>,
    uses: u64,
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
            https,
            private: policy.private.clone(),
            headers: policy.limits.http_headers,
            header_bytes: policy.limits.http_header_bytes,
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((client, used)) = kept.clients.get_mut(&key) {
            *used = uses;
            return Ok(client.clone());
        }
        let client = make()?;
        kept.clients.insert(key, (client.clone(), uses));
        if kept.clients.len() > CLIENTS_MAX {
            let oldest = kept.clients.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                kept.clients.remove(&key);
            }
        }
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tidegate_engine::limits::Limits;

    fn policy(connection: &str) -> Policy {
        Policy {
            connection: ConnectionKey {
                integration: "crm".parse().unwrap(),
                connection: connection.parse().unwrap(),
            },
            rate_limit: None,
            requested: Vec::new(),
            granted: Vec::new(),
            private: Vec::new(),
            base_url: "https://api.example".parse().unwrap(),
            credentials: None,
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
        // The ones that were not used for longest go.
        for number in 0..CLIENTS_MAX - 1 {
            get(&policy(&format!("c{number}")), true);
            get(&acme, true);
        }
        let before = made.get();
        assert_eq!(get(&acme, true), before, "always used");
        assert_eq!(get(&policy("globex"), true), before + 1, "forgotten");
        assert_eq!(clients.0.lock().unwrap().clients.len(), CLIENTS_MAX);
    }
}
